"""Serve under load, all durable: what it takes in and what that costs, with the journal compressed as
needed and always, beside an import of the same sessions.

    tests/run serving [--megabytes 2000] [--runs 3] [--connections 1 8 64 256]

`simulate` is the client, as fast as it goes, on the same machine: its share of the processors is in
the MB/s. Then, over 8 connections, at half of what went in so, and a lone session at a time. CPU
seconds and memory are of the server alone, from its start until all has landed. All in turn, run
after run; medians, and the lowest and highest CPU seconds. Only ratios travel between machines.
"""

import argparse
import os
import re
import signal
import statistics
from pathlib import Path
from types import SimpleNamespace

from common import ROOT, children_cpu_s, measure, scratch

SAID = re.compile(r"([\d.]+) MB/s, p50 ([\d.]+) (µs|ms|s) p99 ([\d.]+) (µs|ms|s)")
MS = {"µs": 1e-3, "ms": 1.0, "s": 1e3}
COMPRESSION = ("auto", "true")
ROW = "{:<24}{:>12}{:>8}{:>10}{:>14}{:>10}{:>9}{:>9}{:>7}"


def serve(folder, name, flags, client):
    """One server, one client: MB/s, CPU s per GB, p50 and p99 in ms, peak MiB."""
    from harness import place
    from harness.process import Process, clean_environment
    from harness.server import Server

    own = folder / name
    own.mkdir()
    server = Server(own, SimpleNamespace(uri=str(own / "lake"), env={}), flags).start()
    words = [place.binary(), "simulate", "--seed", "5", "--to", server.url, *client]
    said = Process(words, own / "simulate.log", clean_environment())
    code = said.wait(600)
    found = SAID.search(said.output())
    assert code == 0 and found, said.output()
    sent = float(re.search(r"sessions, ([\d.]+) MB", said.output())[1])
    peak = server.peak_memory_bytes() / (1 << 20)
    before = children_cpu_s()
    server.drain(signal.SIGTERM)
    rate, p50, unit50, p99, unit99 = found.groups()
    return (
        float(rate),
        (children_cpu_s() - before) / sent * 1000,
        float(p50) * MS[unit50],
        float(p99) * MS[unit99],
        peak,
    )


def line(name, compression, tries, base):
    middle = [statistics.median(column) for column in zip(*tries, strict=True)]
    costs = [one[1] for one in tries]
    print(
        ROW.format(
            name,
            compression,
            f"{middle[0]:.0f}",
            f"{middle[1]:.2f}",
            f"{min(costs):.2f}-{max(costs):.2f}",
            f"{middle[1] / base:.2f}",
            f"{middle[2]:.2f}",
            f"{middle[3]:.2f}",
            f"{max(one[4] for one in tries):.0f}",
        ),
        flush=True,
    )
    return middle[0]


def main():
    parser = argparse.ArgumentParser(prog="tests/run serving")
    parser.add_argument("--binary", default=ROOT / "target/release/sessionlake")
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64, 256])
    options = parser.parse_args()
    os.environ.setdefault("SESSIONLAKE_TEST_BIN", str(options.binary))
    with scratch() as name:
        folder = Path(name)
        source = folder / "in.ndjson"
        size = ("--bytes", f"{options.megabytes}MB")
        measure([options.binary, "simulate", "--seed", "5", "--out", source, *size], folder / "log")
        whole = source.stat().st_size / 1e6
        imports, tries = [], {}
        for run in range(options.runs):
            source.read_bytes()  # Found in the page cache.
            lake = folder / f"import-{run}"
            imports.append(measure([options.binary, "import", source, "--lake", lake, "--quiet"], folder / "log"))
            for connections in options.connections:
                for compression in COMPRESSION:
                    flags = [f"--journal-compression={compression}"]
                    client = ["--connections", connections, *size]
                    found = serve(folder, f"serve-{run}-{connections}-{compression}", flags, client)
                    tries.setdefault((connections, compression), []).append(found)
        costs = [one.cpu_s / whole * 1000 for one in imports]
        base = statistics.median(costs)
        print(f"{whole:.0f} MB, medians of {options.runs}")
        print(ROW.format("", "journal", "MB/s", "CPU s/GB", "from-to", "of import", "p50 ms", "p99 ms", "MiB"))
        print(ROW.format("import", "", "", f"{base:.2f}", f"{min(costs):.2f}-{max(costs):.2f}", "1.00", "", "", ""))
        rates = {key: line(f"{key[0]} connections", key[1], found, base) for key, found in tries.items()}
        for compression in COMPRESSION:
            flags = [f"--journal-compression={compression}"]
            half = max(rate for (_, packed), rate in rates.items() if packed == compression) / 2
            client = ["--connections", 8, "--rate", f"{half:.0f}MB/s", *size]
            line(f"at {half:.0f} MB/s", compression, [serve(folder, f"half-{compression}", flags, client)], base)
            lone = ["--connections", 1, "--sessions", 2000, "--rate", "200/s", "--flush", "1ms"]
            line("a session at a time", compression, [serve(folder, f"lone-{compression}", flags, lone)], base)


if __name__ == "__main__":
    main()
