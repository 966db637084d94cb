"""The same file, NDJSON to Parquet with zstd level 1, by this program and by others.

    tests/run peers [--megabytes 400] [--runs 5] [--only NAME...]

Every tool runs as a process of its own, all of them in turn, run after run, so that what else the
machine does falls on all alike. Medians; memory is the highest seen. A CPU second is one of user
or system time of the whole process, its start included. Only ratios travel between machines.
"""

import argparse
import shutil
import sys
from pathlib import Path

from common import ROOT, measure, median, scratch, size_mb

PYARROW = """
import sys, pyarrow.json, pyarrow.parquet
options = pyarrow.json.ReadOptions(block_size=16 << 20)
table = pyarrow.json.read_json(sys.argv[1], read_options=options)
pyarrow.parquet.write_table(table, sys.argv[2], compression="zstd", compression_level=1)
"""
DUCKDB = """
import sys, duckdb
duckdb.sql(f"COPY (FROM read_json_auto('{sys.argv[1]}', format='newline_delimited', sample_size=-1)) "
           f"TO '{sys.argv[2]}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
"""
POLARS = """
import sys, polars
frame = polars.read_ndjson(sys.argv[1], infer_schema_length=None)
frame.write_parquet(sys.argv[2], compression="zstd", compression_level=1)
"""


# The columns and types that are ours, as pyarrow writes them: what is left is the writers.
REWRITE = """
import glob, sys, pyarrow.parquet
(ours,) = glob.glob(sys.argv[1] + "/user_sessions/*.parquet")
table = pyarrow.parquet.ParquetFile(ours).read()
pyarrow.parquet.write_table(table, sys.argv[2], compression="zstd", compression_level=1)
"""


def tools(binary):
    python = lambda text: lambda source, out: [sys.executable, "-c", text, source, out]  # noqa: E731
    ours = lambda *more: lambda source, out: [  # noqa: E731
        *(binary, "import", source, "--lake", out, "--compression", "zstd:1", "--quiet", *more)
    ]
    return {
        "sessionlake, by day": ours(),
        "sessionlake, one file": ours("--partition="),
        "pyarrow": python(PYARROW),
        "duckdb": python(DUCKDB),
        "polars": python(POLARS),
    }


def table(megabytes, costs, sizes):
    base = costs["sessionlake, by day"]
    print(
        f"\n{'':24}{'MB/s':>8}{'MB/CPU s':>10}{'CPU s/GB':>10}{'peak MiB':>10}{'MB out':>8}"
        f"{'CPU, ratio':>12}{'size, ratio':>12}"
    )
    for name, cost in costs.items():
        print(
            f"{name:24}{megabytes / cost.wall_s:8.0f}{megabytes / cost.cpu_s:10.0f}"
            f"{cost.cpu_s / megabytes * 1000:10.2f}{cost.peak_mib:10.0f}{sizes[name]:8.2f}"
            f"{cost.cpu_s / base.cpu_s:12.2f}{sizes[name] / sizes['sessionlake, by day']:12.2f}"
        )
    print("ratios: how many times that of the first line")


def main():
    parser = argparse.ArgumentParser(prog="tests/run peers")
    parser.add_argument("--binary", default=ROOT / "target/release/sessionlake")
    parser.add_argument("--cache", default=ROOT / "tests/.cache")
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], help="of the others, only those named")
    options = parser.parse_args()
    import sessions

    source, count = sessions.cached(Path(options.cache), options.megabytes)
    megabytes = source.stat().st_size / 1e6
    source.read_bytes()  # All find it in the page cache.
    chosen = {
        name: command
        for name, command in tools(options.binary).items()
        if not options.only or name.startswith("sessionlake") or name in options.only
    }
    print(f"{megabytes:.0f} MB, {count} sessions, {options.runs} runs")
    costs, sizes = {name: [] for name in chosen}, {}
    with scratch() as folder:
        for run in range(options.runs):
            for name, command in chosen.items():
                out = Path(folder) / "out.parquet"
                costs[name].append(measure(command(source, out), Path(folder) / "log"))
                sizes[name] = size_mb(out)
                if name == "sessionlake, one file":
                    again = Path(folder) / "again.parquet"
                    measure([sys.executable, "-c", REWRITE, out, again], Path(folder) / "log")
                    rewritten = size_mb(again)
                shutil.rmtree(out) if out.is_dir() else out.unlink()
            print(f"run {run + 1}: " + ", ".join(f"{n} {c[-1].cpu_s:.2f} CPU s" for n, c in costs.items()), flush=True)
    table(megabytes, {name: median(found) for name, found in costs.items()}, sizes)
    print(f"the one file of sessionlake, read and written again by pyarrow: {rewritten:.2f} MB")


if __name__ == "__main__":
    main()
