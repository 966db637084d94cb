"""A limit of memory for a process, as a container has one."""

import contextlib
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


class Group:
    """A control group with a limit. What reads files is charged for its page cache too, which is given
    back where it is needed; a process that needs more than the limit is killed."""

    def __init__(self, path, version):
        self.path, self.version = path, version
        self.killed_file, self.killed_word = (
            ("memory.events", "oom_kill") if version == 2 else ("memory.oom_control", "oom_kill")
        )

    def command(self, command):
        """The command, begun within the group."""
        join = f'echo $$ > "{self.path}/cgroup.procs" && exec "$@"'
        return ["sh", "-c", join, "sh", *map(str, command)]

    def killed(self):
        """How many processes were killed for want of memory; None where the system does not count them."""
        for line in (self.path / self.killed_file).read_text().splitlines():
            if line.split()[0] == self.killed_word:
                return int(line.split()[1])
        return None


def _make(limit_bytes):
    name = f"sessionlake-test-{os.getpid()}"
    if (ROOT / "cgroup.controllers").exists():
        path, limit, version = ROOT / name, "memory.max", 2
    else:
        path, limit, version = ROOT / "memory" / name, "memory.limit_in_bytes", 1
    path.mkdir()
    try:
        (path / limit).write_text(str(limit_bytes))
    except OSError:
        path.rmdir()
        raise
    return Group(path, version)


@contextlib.contextmanager
def limited(limit_bytes):
    """Yields a group and how it was made; or None and why there is none."""
    try:
        group = _make(limit_bytes)
    except OSError as error:
        yield None, f"no control group can be made here ({error}): resident memory alone is looked at"
        return
    try:
        yield group, f"in a control group (version {group.version}) of {limit_bytes >> 20} MiB"
    finally:
        with contextlib.suppress(OSError):
            group.path.rmdir()
