"""The same file, NDJSON to Parquet with zstd level 1, by this program and by others.

    tests/run peers [--megabytes 400] [--runs 5] [--inputs own other] [--only NAME...] [--columns]

Two inputs: the sessions of the project's tests, and sessions of other shapes (`shapes.py`). Every tool runs as a
process of its own, all of them in turn, run after run, so that what else the machine does falls on all alike. Medians;
memory is the highest seen. A CPU second is one of user or system time of the whole process, its start included. Only
ratios travel between machines.
"""

import argparse
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq
import shapes
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
CLICKHOUSE = """
import sys, chdb
settings = {
    "output_format_parquet_compression_method": "'zstd'",
    "output_format_compression_level": 1,
    "engine_file_truncate_on_insert": 1,
}
chdb.query(f"INSERT INTO FUNCTION file('{sys.argv[2]}', 'Parquet') "
           f"SELECT * FROM file('{sys.argv[1]}', 'JSONEachRow') "
           f"SETTINGS " + ", ".join(f"{name} = {value}" for name, value in settings.items()))
"""
POLARS = """
import sys, polars
frame = polars.read_ndjson(sys.argv[1], infer_schema_length=None)
frame.write_parquet(sys.argv[2], compression="zstd", compression_level=1)
"""


# The columns and types that are ours, as pyarrow writes them: what is left is the writers.
REWRITE = """
import glob, sys, pyarrow.parquet
(ours,) = glob.glob(sys.argv[1] + "/[a-z]*/*.parquet")
table = pyarrow.parquet.ParquetFile(ours).read()
pyarrow.parquet.write_table(table, sys.argv[2], compression="zstd", compression_level=1)
"""

OURS, BY_DAY = "sessionlake, one file", "sessionlake, by day"
# Those that the program is held against: one of them is the best.
HELD_AGAINST = ("pyarrow", "duckdb", "clickhouse")
LINEAGE = ("_ingest_time", "_ingest_id")


def tools(binary, flags):
    python = lambda text: lambda source, out: [sys.executable, "-c", text, source, out]  # noqa: E731
    ours = lambda *more: lambda source, out: [  # noqa: E731
        *(binary, "import", source, "--lake", out, "--compression", "zstd:1", "--quiet", *flags, *more),
    ]
    return {
        BY_DAY: ours(),
        OURS: ours("--partition="),
        "pyarrow": python(PYARROW),
        "duckdb": python(DUCKDB),
        "clickhouse": python(CLICKHOUSE),
        "polars": python(POLARS),
    }


def table(megabytes, costs, sizes):
    base = costs[OURS]
    print(
        f"\n{'':24}{'MB/s':>8}{'MB/CPU s':>10}{'CPU s/GB':>10}{'peak MiB':>10}{'MB out':>8}"
        f"{'CPU, ratio':>12}{'size, ratio':>12}"
    )
    for name, cost in costs.items():
        print(
            f"{name:24}{megabytes / cost.wall_s:8.0f}{megabytes / cost.cpu_s:10.0f}"
            f"{cost.cpu_s / megabytes * 1000:10.2f}{cost.peak_mib:10.0f}{sizes[name]:8.2f}"
            f"{cost.cpu_s / base.cpu_s:12.2f}{sizes[name] / sizes[OURS]:12.2f}"
        )
    print(f"ratios: how many times that of {OURS!r}")


def against_the_best(found):
    """The ratios in each run, for their spread: those of one run had the same machine."""
    others = [name for name in HELD_AGAINST if name in found]
    if not others:
        return
    middle = {name: median(costs).cpu_s for name, costs in found.items()}
    best = min(others, key=middle.get)
    by_run = sorted(one.cpu_s / ours.cpu_s for one, ours in zip(found[best], found[OURS], strict=True))
    ratio = middle[best] / middle[OURS]
    print(f"CPU of the best of {', '.join(others)} ({best}): {ratio:.2f} times ours, run by run {by_run[0]:.2f} to {by_run[-1]:.2f}")


def chunks(path):
    """The bytes of each leaf column of a file."""
    metadata, found = pq.ParquetFile(path).metadata, {}
    for group in range(metadata.num_row_groups):
        for at in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(at)
            found[chunk.path_in_schema] = found.get(chunk.path_in_schema, 0) + chunk.total_compressed_size
    return found


def told_apart(ours, file_bytes, sizes):
    """What of our file is columns of documents, and what others do not have."""
    lineage = sum(ours.get(name, 0) for name in LINEAGE)
    extra = ours.get("_extra", 0)
    rest = file_bytes - sum(ours.values())
    documents = sum(ours.values()) - lineage - extra
    print(
        f"{OURS}: {file_bytes / 1e6:.2f} MB are {documents / 1e6:.2f} of columns of documents, {extra / 1e6:.2f} of _extra, "
        f"{lineage / 1e6:.2f} of lineage, {rest / 1e6:.2f} of footer, indexes and filters"
    )
    for name in HELD_AGAINST:
        if name in sizes:
            without = (file_bytes - lineage) / 1e6
            print(f"  without lineage {without:.2f} MB: {without / sizes[name]:.3f} times that of {name}")


def by_column(ours, other, most=40):
    """The columns whose sizes differ most from DuckDB's."""
    print(f"\n{'bytes of a column':64}{'ours':>12}{'DuckDB':>12}{'more':>12}")
    names = sorted(ours.keys() | other.keys(), key=lambda name: other.get(name, 0) - ours.get(name, 0))
    shown = names if len(names) <= 2 * most else [*names[:most], *names[-most:]]
    for name in shown:
        one, two = ours.get(name, 0), other.get(name, 0)
        print(f"{name.replace('.list.element', '[]'):64}{one:12}{two:12}{one - two:+12}")
    alone = [name for name in names if name not in other and name not in (*LINEAGE, "_extra")]
    print(f"{len(alone)} columns that only ours has: {sum(ours[name] for name in alone)} bytes")


def compare(options, source, count, flags, folder):
    megabytes = source.stat().st_size / 1e6
    source.read_bytes()  # All find it in the page cache.
    chosen = {
        name: command
        for name, command in tools(options.binary, flags).items()
        if not options.only or name.startswith("sessionlake") or name in options.only
    }
    print(f"\n{source.name}: {megabytes:.0f} MB, {count} sessions, {options.runs} runs")
    costs, sizes, columns, failing = {name: [] for name in chosen}, {}, {}, []
    for run in range(options.runs):
        for name, command in chosen.items():
            out = folder / "out.parquet"
            try:
                costs[name].append(measure(command(source, out), folder / "log"))
            except SystemExit as failed:
                if name == OURS:
                    raise
                print(f"{name} cannot do it, and is left out: {str(failed).strip().splitlines()[-1]}")
                failing.append(name)
                continue
            sizes[name] = size_mb(out)
            last = run + 1 == options.runs
            if name == OURS and last:
                again = folder / "again.parquet"
                measure([sys.executable, "-c", REWRITE, out, again], folder / "log")
                rewritten = size_mb(again)
                [file] = out.glob("*/*.parquet")
                columns[name], file_bytes = chunks(file), file.stat().st_size
            if name == "duckdb" and last:
                columns[name] = chunks(out)
            shutil.rmtree(out) if out.is_dir() else out.unlink()
        for name in failing:
            del chosen[name], costs[name]
        failing = []
        print(f"run {run + 1}: " + ", ".join(f"{n} {c[-1].cpu_s:.2f} CPU s" for n, c in costs.items()), flush=True)
    table(megabytes, {name: median(found) for name, found in costs.items()}, sizes)
    against_the_best(costs)
    told_apart(columns[OURS], file_bytes, sizes)
    print(f"the one file of sessionlake, read and written again by pyarrow: {rewritten:.2f} MB")
    if options.columns and "duckdb" in columns:
        by_column(columns[OURS], columns["duckdb"])


def main():
    parser = argparse.ArgumentParser(prog="tests/run peers")
    parser.add_argument("--binary", default=ROOT / "target/release/sessionlake")
    parser.add_argument("--cache", default=ROOT / "tests/.cache")
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--inputs", nargs="*", default=["own", "other"], help="own, other, small, large, grail, or paths of NDJSON files")
    parser.add_argument("--only", nargs="*", default=[], help="of the others, only those named")
    parser.add_argument("--columns", action="store_true", help="print the size of columns against DuckDB's")
    options = parser.parse_args()
    import sessions

    for name in options.inputs:
        if name == "own":
            source, count = sessions.cached(Path(options.cache), options.megabytes)
        elif name in shapes.KINDS:
            source, count = shapes.cached(Path(options.cache), options.megabytes, name)
        else:
            source = Path(name)
            with source.open("rb") as lines:
                count = sum(1 for _ in lines)
        with scratch() as folder:
            compare(options, source, count, shapes.FLAGS.get(name, []), Path(folder))


if __name__ == "__main__":
    main()
