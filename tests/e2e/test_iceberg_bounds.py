"""Bounds of Iceberg's manifests: what readers leave unread has no row that they look for.

The table of test_delta_bounds.py, as an Iceberg table: every bound of every file against the file, and each
reader's counts, with its pruning, against a scan of all files.
"""

import datetime
import json
import math

import pyarrow.parquet as parquet
import pytest
from harness.iceberg import IcebergLake, by_pyiceberg, name_in_spark
from harness.server import land
from pyiceberg import expressions
from pyiceberg.conversions import from_bytes
from test_delta_bounds import COLUMNS, COMPARED, SCHEMA, TABLE, conditions, different, files

PYICEBERG = {
    "=": expressions.EqualTo,
    "<": expressions.LessThan,
    "<=": expressions.LessThanOrEqual,
    ">": expressions.GreaterThan,
    ">=": expressions.GreaterThanOrEqual,
}


@pytest.fixture(scope="module")
def edges(tmp_path_factory, seaweedfs_catalog):
    """A table of many small files, each a roll of its own. In one catalog: bounds are not its business."""
    folder = tmp_path_factory.mktemp("iceberg-edges")
    (folder / "edges.avsc").write_text(json.dumps(SCHEMA))
    lake = IcebergLake(seaweedfs_catalog.lake("edges"), seaweedfs_catalog, "edges")
    flags = ["--table", TABLE, "--schema", folder / "edges.avsc", "--partition", "date={at:%Y-%m-%d}"]
    flags += ["--table-format", "iceberg", "--roll-rows", "1"]
    land(folder / "server", lake.at, flags, files())
    return lake


def counts(lake, source):
    """How many rows fulfil each condition, by DuckDB from `source`."""
    told = {}
    for column, how, value in conditions():
        sql = f'SELECT count(*) FROM {source} WHERE "{column}" {how} ?'
        told[column, how, value] = lake.connection.execute(sql, [value]).fetchone()[0]
    for column in COLUMNS:
        for how in ("IS NULL", "IS NOT NULL"):
            sql = f'SELECT count(*) FROM {source} WHERE "{column}" {how}'
            told[column, how, None] = lake.connection.execute(sql).fetchone()[0]
    return told


@pytest.fixture(scope="module")
def scanned(edges):
    """The truth: each condition by a scan of all files, whatever their names say."""
    edges.connection.execute(f"CREATE TABLE scanned AS SELECT * FROM {edges.files_source(TABLE)}")
    return counts(edges, "scanned")


def leaves(fields, path=()):
    """{id: (path, type)} of the columns outside lists and maps."""
    for field in fields:
        if field.field_type.is_struct:
            yield from leaves(field.field_type.fields, (*path, field.name))
        else:
            yield field.field_id, (*path, field.name), field.field_type


def test_every_bound_holds(edges):
    """Each file's counts and bounds, as the manifests have them, against all its rows."""
    table = edges.table(TABLE)
    columns = list(leaves(table.schema().fields))
    told = table.inspect.files().to_pylist()
    assert len(told) == len(edges.data_files(TABLE)) > 30
    seen = 0
    for file in told:
        path = file["file_path"].split("://", 1)[1]
        with edges.at.files.open_input_file(path) as opened:
            found = parquet.ParquetFile(opened).read().to_pylist()
        assert file["record_count"] == len(found), path
        values = {name: dict(file[name] or ()) for name in ("value_counts", "null_value_counts", "lower_bounds", "upper_bounds")}
        for number, names, kind in columns:
            column = [value_at(row, names) for row in found]
            there = [value for value in column if value is not None]
            if number in values["null_value_counts"]:
                assert values["null_value_counts"][number] == len(column) - len(there), (path, names)
                assert values["value_counts"][number] == len(column), (path, names)
            low, high = (values[name].get(number) for name in ("lower_bounds", "upper_bounds"))
            if low is not None:
                assert all(not_above(from_bytes(kind, low), value) for value in there), (path, names, low)
            if high is not None:
                assert all(not_above(value, from_bytes(kind, high)) for value in there), (path, names, high)
            seen += (low is not None) + (high is not None)
    assert seen > 300, "hardly any column has bounds"


def value_at(row, names):
    for name in names:
        row = row and row.get(name)
    return row


def not_above(a, b):
    """a <= b: times as microseconds, texts by their UTF-8, -0.0 below 0.0."""
    a, b = comparable(a), comparable(b)
    return a < b or (a == b and not (isinstance(a, float) and math.copysign(1, a) > math.copysign(1, b)))


def comparable(value):
    if isinstance(value, datetime.datetime):
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return (value - epoch) // datetime.timedelta(microseconds=1)
    return value.encode() if isinstance(value, str) else value


def test_duckdb_prunes_nothing_that_is_looked_for(edges, scanned):
    assert not different(counts(edges, edges.source(TABLE)), scanned)


SHARES = [pytest.param(6, id="short"), pytest.param(1, id="long", marks=pytest.mark.soak)]


@pytest.mark.parametrize("one_in", SHARES)
def test_pyiceberg_prunes_nothing_that_is_looked_for(edges, scanned, one_in):
    """The usual run has some of the conditions: each takes a plan of all manifests."""
    found = {}
    for column, how, value in list(conditions())[::one_in]:
        text = value.isoformat() if isinstance(value, datetime.datetime) else value
        found[column, how, value] = by_pyiceberg(edges, TABLE, row_filter=PYICEBERG[how](column, text)).num_rows
    for column in list(COLUMNS)[::one_in]:
        found[column, "IS NULL", None] = by_pyiceberg(edges, TABLE, row_filter=expressions.IsNull(column)).num_rows
        found[column, "IS NOT NULL", None] = by_pyiceberg(edges, TABLE, row_filter=expressions.NotNull(column)).num_rows
    assert len(found) > 9
    assert not different(found, scanned)


@pytest.mark.spark
@pytest.mark.parametrize("one_in", SHARES)
def test_spark_prunes_nothing_that_is_looked_for(spark, edges, scanned, one_in):
    """Spark takes its time for each condition."""
    frame = spark.table(name_in_spark(spark, edges, TABLE))
    found = {}
    for column, how, value in list(conditions())[::one_in]:
        # PySpark hands dates before 1582 over in the calendar of then, as other dates.
        is_early = isinstance(value, datetime.datetime) and value.year < 1583
        if how in ("=", "<") and not is_early:
            found[column, how, value] = frame.where(getattr(frame[column], COMPARED[how])(value)).count()
    for column in list(COLUMNS)[::one_in]:
        found[column, "IS NULL", None] = frame.where(frame[column].isNull()).count()
    assert len(found) > 9
    assert not different(found, scanned)
