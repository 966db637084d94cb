"""Whole processes, measured: wall seconds, CPU seconds, peak memory."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))


@dataclass
class Cost:
    wall_s: float
    cpu_s: float
    peak_mib: float


def measure(command, log):
    """Runs a command to its end; fails with the end of its output if it fails."""
    started = time.monotonic()
    with open(log, "wb") as out:
        child = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        # It has been waited for: Popen must not try again.
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        tail = Path(log).read_text(errors="replace")[-3000:]
        sys.exit(f"{command} ended with {child.returncode}:\n{tail}")
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(costs):
    middle = statistics.median
    return Cost(
        middle(c.wall_s for c in costs), middle(c.cpu_s for c in costs), max(c.peak_mib for c in costs)
    )


def size_mb(path):
    path = Path(path)
    files = path.rglob("*.parquet") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 1e6


def scratch():
    """A folder below tests/.cache that is gone afterwards."""
    folder = ROOT / "tests/.cache/tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="measure-", dir=folder)
