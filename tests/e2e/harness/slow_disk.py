"""A limit of what a process reads from disk, as an old disk or a busy volume has one."""

import contextlib
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup/blkio")


def forget(paths):
    """Drops files from the page cache, so that the next reader gets them from disk."""
    for path in paths:
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def slow_reads(folder, bytes_per_s):
    """Yields a function that makes a command one that reads slowly from the disk of `folder`; or None where
    the system has no such limit."""
    device = os.stat(folder).st_dev
    group = ROOT / f"sessionlake-slow-{os.getpid()}"
    try:
        group.mkdir()
        limit = f"{os.major(device)}:{os.minor(device)} {bytes_per_s}"
        (group / "blkio.throttle.read_bps_device").write_text(limit)
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        yield None
        return
    join = f'echo $$ > "{group}/cgroup.procs" && exec "$@"'
    try:
        yield lambda command: ["sh", "-c", join, "sh", *map(str, command)]
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()
