"""A lake as its readers see it: files, receipts and quarantine as they are, rows by DuckDB."""

import json
from pathlib import Path

import duckdb
import duckdb_extension_avro
import duckdb_extension_delta
import duckdb_extension_httpfs
import duckdb_extension_iceberg
from pyarrow import fs

from .process import wait_until

TABLE = "user_sessions"
EXTENSIONS = {
    "httpfs": duckdb_extension_httpfs,
    "delta": duckdb_extension_delta,
    "avro": duckdb_extension_avro,
    "iceberg": duckdb_extension_iceberg,
}


def connect():
    """A DuckDB that reads local files, S3, Delta and Iceberg, with times shown in UTC, and installs nothing."""
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "2GB"})
    connection.execute("SET autoinstall_known_extensions = false")
    for name, package in EXTENSIONS.items():
        folder = Path(package.__file__).parent / "extensions" / f"v{duckdb.__version__}"
        connection.execute(f"LOAD '{folder / name}.duckdb_extension'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


class Lake:
    """`at` is a stores.LakeAt."""

    def __init__(self, at):
        self.at = at
        self._connection = None

    @property
    def connection(self):
        if self._connection is None:
            self._connection = connect()
            if self.at.duckdb_setup:
                self._connection.execute(self.at.duckdb_setup)
        return self._connection

    def uri(self, path):
        return f"{self.at.uri}/{path}"

    def files(self, under=""):
        """Every file below a folder of the lake, by its path from the lake's root, sorted."""
        base = f"{self.at.base}/{under}".rstrip("/")
        selector = fs.FileSelector(base, recursive=True, allow_not_found=True)
        found = self.at.files.get_file_info(selector)
        return sorted(info.path[len(self.at.base) + 1 :] for info in found if info.type == fs.FileType.File)

    def read(self, path):
        with self.at.files.open_input_stream(f"{self.at.base}/{path}") as file:
            return file.read()

    def data_files(self, table=TABLE):
        return [path for path in self.files(table) if path.endswith(".parquet")]

    def receipts(self):
        """The receipts, by roll."""
        # A hidden file is a receipt that is being written.
        paths = [path for path in self.files("_receipts") if "/." not in path]
        found = [json.loads(self.read(path)) for path in paths]
        return sorted(found, key=lambda receipt: (receipt["node"], receipt["roll"]))

    def last_rolls(self):
        """The last roll of each node that has a receipt."""
        last = {}
        for receipt in self.receipts():
            last[receipt["node"]] = max(receipt["roll"], last.get(receipt["node"], 0))
        return last

    def quarantine(self, table=TABLE):
        """Every entry of the quarantine, in the order of files and lines."""
        return [
            json.loads(line)
            for path in self.files(f"_quarantine/{table}")
            for line in self.read(path).splitlines()
        ]

    def source(self, table=TABLE):
        """How the README says to read the table."""
        return f"read_parquet('{self.uri(table)}/*/*.parquet', hive_partitioning=true)"

    def files_source(self, table=TABLE):
        """The table's files with nobody asked which of them are in it."""
        # Not `*/*`, which would meet the files of a log.
        uri = f"{self.uri(table)}/*=*/*.parquet"
        return f"read_parquet('{uri}', hive_partitioning=true, union_by_name=true)"

    def query(self, sql, table=TABLE):
        """Rows of a query; `{t}` stands for the table."""
        return self.connection.execute(sql.format(t=self.source(table))).fetchall()

    def rows(self, table=TABLE):
        if not self.data_files(table):
            return 0
        return self.query("SELECT count(*) FROM {t}", table)[0][0]

    def session_ids(self):
        """Every userSessionId, as often as it is there."""
        if not self.data_files():
            return []
        return [value for (value,) in self.query('SELECT "userSessionId" FROM {t}')]

    def landed(self):
        """Rows by the receipts."""
        return sum(receipt["rows"] for receipt in self.receipts())

    def wait_landed(self, rows, timeout_s=60):
        """Waits until the receipts tell of so many rows."""
        wait_until(lambda: self.landed() >= rows, timeout_s, f"{rows} rows in receipts", 0.2)

    def check_receipts(self):
        """What every receipt must say, held against the files that are there. Returns the sums."""
        sums = {"lines": 0, "rows": 0, "rejects": 0}
        told, next_seq = {}, {}
        for receipt in self.receipts():
            node = receipt["node"]
            doubled = receipt.get("doubled", 0)
            assert doubled == sum(table.get("doubled", 0) for table in receipt["tables"]), receipt
            assert receipt["lines"] == receipt["rows"] + receipt["rejects"] + doubled, receipt
            if node in next_seq:
                assert receipt["first_seq"] == next_seq[node], f"a gap before {receipt}"
            next_seq[node] = receipt["last_seq"] + 1
            for name in sums:
                sums[name] += receipt[name]
            documents = [table for table in receipt["tables"] if not table.get("derived")]
            assert receipt["rows"] == sum(f["rows"] for t in documents for f in t["files"])
            for table in receipt["tables"]:
                for file in table["files"]:
                    told[file["path"]] = file
                if table["quarantine"]:
                    told[table["quarantine"]["path"]] = table["quarantine"]
        # Not of rolls; the last is what a start writes to try the lake, and a kill may leave.
        others = ("_receipts/", "_imports/", "_tables/", "_nodes/", "_lake.json", "_sessionlake_check/")
        there = {path: self.size(path) for path in self.files() if not path.startswith(others)}
        assert {path: file["bytes"] for path, file in told.items()} == there
        return sums

    def size(self, path):
        return self.at.files.get_file_info(f"{self.at.base}/{path}").size

    def hidden(self):
        return [path for path in self.files() if any(p.startswith(".") for p in path.split("/"))]

    def no_leftovers(self):
        """No staging file is left where readers might meet it."""
        hidden = self.hidden()
        # The lock of a fence stays.
        odd = [path for path in hidden if not (path.startswith("_nodes/.") and path.endswith(".json.lock"))]
        assert not odd, odd
