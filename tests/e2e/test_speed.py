"""Memory under a steady stream, and import against pyarrow per CPU second.

Each is there twice: a short form in every run, the form of the promise under `tests/run perf`.
"""

import contextlib
import os
import signal
import statistics
import sys
import threading
import time

import pytest
import sessions
from harness import alone, place
from harness.lake import Lake
from harness.process import resident_memory_bytes, wait_until
from harness.senders import Stream

MEMORY_LIMIT = 512 << 20


def stream(make_server, lake, seconds, least_rate, flags):
    """20 partitions, 50 MB/s: the memory of the process stays within its limit."""
    server = make_server(lake, *flags).start()
    load = Stream(server, 50, seconds, days=20)
    rate = load.run()
    peak = drained_peak(server)
    print(
        f"\n{rate:.1f} MB/s for {seconds} s, {load.sessions} sessions in 20 partitions: peak memory"
        f" {peak / (1 << 20):.0f} MiB, ack p50 {load.latency_s(0.5) * 1000:.0f} ms,"
        f" p99 {load.latency_s(0.99) * 1000:.0f} ms"
    )
    assert not load.refusals, load.refusals[:10]
    assert lake.landed() == load.sessions == lake.rows()
    assert len({path.split("/")[1] for path in lake.data_files()}) == 20
    assert peak < MEMORY_LIMIT, f"{peak / (1 << 20):.0f} MiB"
    assert rate >= least_rate, f"only {rate:.1f} MB/s were taken in"


def drained_peak(server):
    """Drains the server; the peak of its memory, the drain included."""
    peak = server.peak_memory_bytes()
    server.process.signal(signal.SIGTERM)

    def ended():
        nonlocal peak
        with contextlib.suppress(OSError, AssertionError):  # A process that has just ended.
            peak = max(peak, server.peak_memory_bytes())
        return not server.process.running()

    wait_until(ended, 120, "it drains")
    assert server.process.wait(1) == 0, server.process.tail()
    return peak


@pytest.mark.timeout(200)
def test_memory_short(make_server, local_lake):
    stream(make_server, local_lake, 25, 35, ["--roll-age", "10s"])


@pytest.mark.perf
@pytest.mark.timeout(400)
def test_memory_with_default_settings(make_server, local_lake):
    stream(make_server, local_lake, 90, 48, [])


@pytest.mark.perf
@pytest.mark.timeout(400)
def test_memory_into_a_bucket(make_server, seaweedfs):
    stream(make_server, Lake(seaweedfs.lake("stream")), 60, 40, ["--roll-age", "15s"])


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_memory_over_hours(make_server, local_lake):
    """Hundreds of partitions, 10 MB/s, for SESSIONLAKE_SOAK_MINUTES (60): what is resident does not grow."""
    seconds = 60 * float(os.environ.get("SESSIONLAKE_SOAK_MINUTES", "60"))
    server = make_server(local_lake).start()
    load = Stream(server, 10, seconds, days=400)
    sender = threading.Thread(target=load.run)
    started = time.monotonic()
    sender.start()
    seen = []
    while sender.is_alive():
        sender.join(2)
        seen.append(resident_memory_bytes(server.pid) / (1 << 20))
    took = time.monotonic() - started
    peak = drained_peak(server)
    days = len({path.split("/")[1] for path in local_lake.data_files()})
    parts = [seen[len(seen) * n // 6 : len(seen) * (n + 1) // 6] for n in range(6)]
    print(
        f"\n{load.bytes / 1e6 / took:.1f} MB/s for {took / 60:.0f} min, {load.sessions} sessions in {days} partitions:"
        f" peak memory {peak / (1 << 20):.0f} MiB; mean and most of each sixth:"
        f" {', '.join(f'{statistics.mean(part):.0f} {max(part):.0f}' for part in parts)} MiB; ack p50"
        f" {load.latency_s(0.5) * 1000:.1f} ms, p99 {load.latency_s(0.99) * 1000:.1f} ms"
    )
    assert not load.refusals, load.refusals[:10]
    assert local_lake.landed() == load.sessions == local_lake.rows()
    assert days >= 200
    assert peak < MEMORY_LIMIT
    # The first sixth fills buffers and caches; after that there is nothing left to grow.
    assert statistics.mean(parts[5]) < 1.1 * statistics.mean(parts[1])
    assert max(parts[5]) < 1.1 * max(map(max, parts[:5]))


def compare(folder, lake, megabytes, tries=3):
    """Import and pyarrow in turn on one file: the ratio of their medians of MB a CPU second."""
    source, count = sessions.cached(place.CACHE, megabytes)
    size = source.stat().st_size / 1e6
    source.read_bytes()  # Both find the file in the page cache.
    ours, theirs, peaks = [], [], []
    for number in range(tries):
        usage = alone.run(
            [place.binary(), "import", source, "--lake", f"{lake.at.uri}-{number}"], folder / "import.log"
        )
        ours.append(size / usage.cpu_s)
        peaks.append(usage.peak_bytes)
        script = [sys.executable, place.E2E / "pyarrow_import.py", source, folder / "pyarrow.parquet"]
        theirs.append(size / alone.run(script, folder / "pyarrow.log").cpu_s)
    mine, pyarrow = statistics.median(ours), statistics.median(theirs)
    print(
        f"\n{size:.0f} MB, {count} sessions: import {mine:.0f} MB per CPU second"
        f" ({', '.join(f'{one:.0f}' for one in ours)}), pyarrow {pyarrow:.0f}"
        f" ({', '.join(f'{one:.0f}' for one in theirs)}): {mine / pyarrow:.2f} times;"
        f" peak memory of import {max(peaks) / (1 << 20):.0f} MiB"
    )
    assert max(peaks) <= MEMORY_LIMIT
    return mine / pyarrow, count


@pytest.mark.timeout(200)
def test_import_short(folder, local_lake):
    ratio, _ = compare(folder, local_lake, 100)
    assert ratio >= 1.0, f"{ratio:.2f} times pyarrow"


@pytest.mark.perf
@pytest.mark.timeout(600)
def test_import_of_400_mb(folder, local_lake):
    ratio, _ = compare(folder, local_lake, 400)
    assert ratio >= 1.0, f"{ratio:.2f} times pyarrow"
