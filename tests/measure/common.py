"""Whole processes, measured: wall seconds, CPU seconds, peak memory."""

import resource
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from harness import alone  # noqa: E402


@dataclass
class Cost:
    wall_s: float
    cpu_s: float
    peak_mib: float


def measure(command, log):
    """Runs a command to its end; fails with the end of its output if it fails."""
    try:
        usage = alone.run(command, log)
    except alone.Failed as failed:
        sys.exit(str(failed))
    return Cost(usage.wall_s, usage.cpu_s, usage.peak_bytes / (1 << 20))


def children_cpu_s():
    """CPU seconds of all processes that were started here and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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
