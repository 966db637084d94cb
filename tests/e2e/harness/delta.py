"""A Delta table of a lake, as its readers see it: DuckDB, deltalake, Polars and Spark."""

import datetime
import json
import urllib.parse

import polars
import pyarrow as pa
from deltalake import DeltaTable

from . import spark as spark_harness
from .lake import TABLE
from .log_table import LoggedLake


class DeltaLake(LoggedLake):
    """A lake whose table is a Delta table: rows are what the log says, files are what is there."""

    def source(self, table=TABLE):
        return f"delta_scan('{self.uri(table)}')"

    def data_files(self, table=TABLE):
        return [path for path in super().data_files(table) if f"{table}/_delta_log/" not in path]

    def rows(self, table=TABLE):
        return len(self.session_ids()) if table == TABLE else super().rows(table)

    def session_ids(self):
        if f"{TABLE}/_delta_log/{0:020}.json" not in self.files(f"{TABLE}/_delta_log"):
            return []
        return [value for (value,) in self.query('SELECT "userSessionId" FROM {t}')]

    def table(self, version=None, table=TABLE):
        """The table by deltalake, for its log."""
        return DeltaTable(self.uri(table), version=version, storage_options=self.at.env)

    def marks(self, table=TABLE):
        """The last roll of each node that the table has."""
        delta = self.table(table=table)
        nodes = {receipt["node"] for receipt in self.receipts()}
        return {node: delta.transaction_version(f"sessionlake/{node}") for node in nodes}

    def rolls_of_commit(self, version, table=TABLE):
        """The rolls, as (node, roll), whose files a version of the log adds."""
        entry = self.read(f"{table}/_delta_log/{version:020}.json").splitlines()
        paths = [add["path"] for add in (json.loads(line).get("add") for line in entry) if add]
        names = [path.rsplit("/", 1)[1].removesuffix(".parquet") for path in paths]
        return {tuple(name.rsplit("-", 1)) for name in names}

    def paths(self, table=TABLE):
        """The files of the newest version, from the lake's root."""
        actions = pa.table(self.table(table=table).get_add_actions(flatten=True))
        return [f"{table}/{urllib.parse.unquote(path)}" for path in actions["path"].to_pylist()]

    def history(self):
        return f"version {self.table().version()}"

    def ids_by_python(self):
        return self.table().to_pyarrow_table(columns=["userSessionId"])["userSessionId"].to_pylist()

    def ids_by_spark(self, spark):
        frame = spark.read.format("delta").load(spark_harness.reach(spark, self.at))
        return frame.select("userSessionId").toArrow()["userSessionId"].to_pylist()


def by_files(lake, table=TABLE):
    """What the files say, by DuckDB."""
    return lake.connection.execute(f"SELECT * FROM {lake.files_source(table)}").to_arrow_table()


def by_duckdb(lake, table=TABLE):
    return lake.connection.execute(f"SELECT * FROM {lake.source(table)}").to_arrow_table()


def by_deltalake(lake, table=TABLE):
    return lake.table(table=table).to_pyarrow_table()


def by_polars(lake, table=TABLE):
    return scan_polars(lake, table).collect().to_arrow()


def scan_polars(lake, table=TABLE):
    return polars.scan_delta(lake.uri(table), storage_options=lake.at.env or None)


def by_spark(spark, lake, table=TABLE):
    return spark.read.format("delta").load(spark_harness.reach(spark, lake.at, table)).toArrow()


def rows(table, key="_ingest_id", without=()):
    """The rows of an Arrow table in one shape, whoever made it: sorted, columns by name, times in UTC."""
    found = [
        {name: plain(value) for name, value in sorted(row.items()) if name not in without}
        for row in table.to_pylist()
    ]
    return sorted(found, key=lambda row: str(row.get(key)))


def plain(value):
    """A value without what readers do their own way: zones of times, orders of fields and of maps."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC) if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def differences(found, wanted, most=5):
    """The first values that differ, to be read by a person: nothing if all are the same."""
    told = [] if len(found) == len(wanted) else [f"{len(found)} rows of {len(wanted)}"]
    for row, other in zip(found, wanted, strict=False):
        for name in sorted(row.keys() | other.keys()):
            a, b = row.get(name, "no such column"), other.get(name, "no such column")
            if repr(a) != repr(b):
                told.append(f"{name}: {str(a)[:200]!r} for {str(b)[:200]!r}")
        if len(told) >= most:
            break
    return told[:most]


def bounds(lake, table=TABLE):
    """Each file's statistics as the log has them: {path: {"numRecords", "minValues", …}}."""
    told = {}
    for path in lake.files(f"{table}/_delta_log"):
        if path.endswith(".json"):
            for line in lake.read(path).splitlines():
                add = json.loads(line).get("add")
                if add is not None:
                    told[urllib.parse.unquote(add["path"])] = json.loads(add["stats"] or "{}")
    return told
