"""What a command takes: wall seconds, CPU seconds of the whole process, peak memory.

The system counts the peak of a process from its fork on, when it still is its parent's memory. A parent
that has read a file of 400 MB would have found that every command takes 400 MB. So this file is also
the program that starts the command, which has nothing in memory.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass
class Usage:
    wall_s: float
    cpu_s: float
    peak_bytes: int


class Failed(Exception):
    """The command ended with another code than 0."""


def run(command, log):
    """Runs a command to its end, what it prints added to the file `log`."""
    words = [sys.executable, "-I", "-S", __file__, str(log), *map(str, command)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{words} ended with {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout)
    if found.pop("code") != 0:
        with open(log, errors="replace") as out:
            raise Failed(f"{command} failed:\n{out.read()[-3000:]}")
    return Usage(**found)


def main(log, command):
    started = time.monotonic()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    pid = os.posix_spawnp(
        command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    )
    _, status, usage = os.wait4(pid, 0)
    found = {
        "code": os.waitstatus_to_exitcode(status),
        "wall_s": time.monotonic() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
