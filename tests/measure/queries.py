"""The queries of examples/ by DuckDB on a file of this program, and on the file that DuckDB makes of the same documents;
and how much of a file a look-up of one session reads.

    tests/run queries [--megabytes 400] [--runs 5] [--lookups 20]

Both files have zstd level 1. Queries run in turn on both, with one thread and with two; what they answer must be equal.
The program's views join parts of sessions and leave out doubles; here both files have the same plain views, in which a
row is a session. Bytes of a look-up are those that DuckDB asks a file system for, which counts them.
"""

import argparse
import datetime
import os
import random
import statistics
import subprocess
import threading
import time
from pathlib import Path

import duckdb
import fsspec
import pyarrow.parquet as pq
from common import ROOT, scratch

QUERIES = ROOT / "examples/queries"
ACTIONS = """CREATE OR REPLACE VIEW user_actions AS
SELECT tenantId, userSessionId, userType AS sessionUserType, unnest(userActions, max_depth := 2) FROM sessions_of"""


def views(connection, path, replaced):
    connection.execute(f"CREATE OR REPLACE VIEW sessions_of AS FROM read_parquet('{path}')")
    connection.execute(f"CREATE OR REPLACE VIEW sessions AS SELECT * {replaced} FROM sessions_of")
    connection.execute(ACTIONS)


def comparable(rows):
    """Rows without what a sum in another order changes."""
    return [tuple(f"{v:.6g}" if isinstance(v, float) else str(v).removesuffix("+00:00") for v in row) for row in rows]


def times(files, names, threads, runs):
    """{query: {file: (seconds, CPU seconds) of each run}}, and the queries whose answers differ."""
    connection = duckdb.connect(config={"threads": threads})
    connection.execute("SET TimeZone = 'UTC'; SET enable_external_file_cache = false")
    found, differ = {name: {file: [] for file in files} for name in names}, set()
    for run in range(runs + 1):
        for name in names:
            answers = []
            for file, (path, replaced) in files.items():
                views(connection, path, replaced)
                started, worked = time.perf_counter(), time.process_time()
                rows = connection.execute((QUERIES / name).read_text()).fetchall()
                # The first of them finds nothing in memory.
                if run:
                    found[name][file].append((time.perf_counter() - started, time.process_time() - worked))
                answers.append(comparable(rows))
            if answers[0] != answers[1]:
                differ.add(name)
    return found, differ


def compare(files, names, runs):
    for threads in (1, 2):
        found, differ = times(files, names, threads, runs)
        sums = {file: [0, 0] for file in files}
        print(f"\n{f'{threads} thread(s), ms':36}{'ours':>9}{'DuckDB':>9}{'ratio':>7}  {'of the runs':14}{'ratio of CPU':>13}")
        for name, by_file in found.items():
            middle = {file: [statistics.median(of) for of in zip(*values)] for file, values in by_file.items()}
            for file, (wall, cpu) in middle.items():
                sums[file] = [sums[file][0] + wall, sums[file][1] + cpu]
            by_run = sorted(one[0] / two[0] for one, two in zip(*by_file.values(), strict=True))
            said = "  ANOTHER ANSWER" if name in differ else ""
            row(name, middle, f"{by_run[0]:.2f} to {by_run[-1]:.2f}", said)
        row("all", sums)


def row(name, middle, spread="", said=""):
    (wall, cpu), (other_wall, other_cpu) = middle.values()
    print(
        f"{name:36}{wall * 1000:9.1f}{other_wall * 1000:9.1f}{wall / other_wall:7.2f}  {spread:14}"
        f"{cpu / other_cpu:13.2f}{said}"
    )


class Counting(fsspec.AbstractFileSystem):
    """Local files; what is read of them is counted."""

    protocol = "counting"
    read_bytes = 0

    def _open(self, path, mode="rb", **_):
        file = open(self._strip_protocol(path), mode, buffering=0)
        return Counted(file, self)

    def info(self, path, **_):
        path = Path(self._strip_protocol(path))
        return {"name": str(path), "size": path.stat().st_size, "type": "file", "mtime": path.stat().st_mtime}

    def glob(self, path, **_):
        return [self._strip_protocol(path)]

    def modified(self, path):
        return datetime.datetime.fromtimestamp(self.info(path)["mtime"], datetime.UTC)


class Counted:
    """A file whose place is that of each thread: DuckDB reads ahead in another one, a seek and a read at a time."""

    def __init__(self, file, system):
        self.file, self.system, self.place = file, system, threading.local()

    def seek(self, offset, whence=0):
        assert whence == 0
        self.place.at = offset
        return offset

    def tell(self):
        return getattr(self.place, "at", 0)

    def read(self, count=-1):
        size = os.fstat(self.file.fileno()).st_size
        data = os.pread(self.file.fileno(), size if count < 0 else count, self.tell())
        self.seek(self.tell() + len(data))
        self.system.read_bytes += len(data)
        return data

    def __getattr__(self, name):
        return getattr(self.file, name)


def lookups(path, count, what):
    """Looks sessions up by their id; prints the share of the file that was read."""
    size = path.stat().st_size
    ids = pq.read_table(path, columns=["userSessionId"])["userSessionId"].to_pylist()
    chosen = random.Random(1).sample(ids, count)
    groups = pq.ParquetFile(path).metadata.num_row_groups
    print(f"\n{what}: {size / 1e6:.2f} MB, {len(ids)} sessions, {groups} row groups; {count} look-ups")
    for columns in ("*", '"startTime", duration, country, "userActionCount"'):
        shares = []
        for session in [*chosen, "no such session"]:
            system = Counting(skip_instance_cache=True)
            connection = duckdb.connect(config={"threads": 1})
            connection.register_filesystem(system)
            connection.execute("SET enable_external_file_cache = false")
            sql = f"SELECT {columns} FROM read_parquet('counting://{path}') WHERE \"userSessionId\" = ?"
            rows = connection.execute(sql, [session]).fetchall()
            assert len(rows) == (session != "no such session"), (session, len(rows))
            shares.append(system.read_bytes / size)
        missing, shares = shares[-1], sorted(shares[:-1])
        print(
            f"  SELECT {columns[:40]:42} median {statistics.median(shares):7.2%}, most {shares[-1]:7.2%}; "
            f"of one that is not there {missing:.2%}"
        )


def main():
    parser = argparse.ArgumentParser(prog="tests/run queries")
    parser.add_argument("--binary", default=ROOT / "target/release/sessionlake")
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--lookups", type=int, default=20)
    parser.add_argument("--flags", nargs="*", default=[], help="more settings of import, as --flags=--name=value")
    options = parser.parse_args()
    with scratch() as folder:
        folder = Path(folder)
        source, own = folder / "in.ndjson", folder / "duckdb.parquet"
        run = lambda *words: subprocess.run([options.binary, *words], check=True)  # noqa: E731
        run("simulate", "--seed", "7", "--bytes", f"{options.megabytes}MB", "--days", "5", "--out", source, "--quiet")
        run("import", source, "--lake", folder / "lake", "--partition=", "--quiet", *options.flags)
        [ours] = (folder / "lake").glob("user_sessions/*.parquet")
        duckdb.sql(
            f"COPY (FROM read_json_auto('{source}', format='newline_delimited', sample_size=-1)) "
            f"TO '{own}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        )
        source.unlink()
        print(f"ours {ours.stat().st_size / 1e6:.2f} MB, DuckDB's {own.stat().st_size / 1e6:.2f} MB")
        # DuckDB has times as numbers; here they get the type that ours have, which are instants.
        as_time = "REPLACE (make_timestamptz(startTime * 1000) AS startTime)"
        compare({"ours": (ours, ""), "duckdb": (own, as_time)}, sorted(path.name for path in QUERIES.glob("*.sql")), options.runs)
        lookups(ours, options.lookups, "ours")
        lookups(own, options.lookups, "DuckDB's")


if __name__ == "__main__":
    main()
