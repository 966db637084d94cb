"""Statistics that do not lie: what readers leave unread has no row that they look for.

A wrong bound loses rows in silence, so every bound of every file is held against the file, and each
reader's counts, with its pruning, against a scan of all files.
"""

import datetime
import itertools
import json
import math

import polars
import pyarrow.dataset as ds
import pyarrow.parquet as parquet
import pytest
from harness import delta
from harness import spark as spark_harness
from harness.delta import DeltaLake
from harness.server import land
from harness.stores import LocalStore

TABLE = "edges"
SCHEMA = {
    "type": "record",
    "name": TABLE,
    "fields": [
        {"name": "id", "type": ["null", "string"], "default": None},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": None},
        {"name": "text", "type": ["null", "string"], "default": None},
        {"name": "whole", "type": ["null", "long"], "default": None},
        {"name": "part", "type": ["null", "double"], "default": None},
        {"name": "yes", "type": ["null", "boolean"], "default": None},
        {
            "name": "within",
            "default": None,
            "type": ["null", {
                "type": "record",
                "name": "inner",
                "fields": [
                    {"name": "text", "type": ["null", "string"], "default": None},
                    {"name": "whole", "type": ["null", "long"], "default": None},
                ],
            }],
        },
    ],
}  # fmt: skip
DAY = 1_793_491_200_000  # 2026-11-01

NONE_ABOVE = "\U0010ffff" * 70
TEXTS = [
    "", " ", "a", "ab", "s10", "s9", "z" * 300, "é" * 100, "日本" * 60, "\uffff" * 80, "\U00010000" * 50,
    NONE_ABOVE, "\u0000", "a\u0000b", "it's", '"quoted"', "x" * 31 + "é" + "y" * 40,
    "x" * 63 + "\U0010ffff" + "y", "line\nfeed", "2026-11-01", "null", None,
]  # fmt: skip
WHOLES = [0, -1, 1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 42, None]
PARTS = [0.0, -0.0, 1.5, -1.5, 1e308, -1e308, 5e-324, 0.1, 1 / 3, 123456789.123456789, None]
TIMES = [DAY, DAY + 1, DAY + 999, DAY - 1, 0, -1, -62135596800000, 253402300799999, DAY + 86_399_999, None]
YES = [True, False, None]


def files():
    """Lines of files of their own: one of each value, and some of several, so that bounds differ."""
    numbers = itertools.count()

    def line(text=None, whole=None, part=None, at=None, yes=None):
        fields = {"id": f"e{next(numbers)}", "text": text, "whole": whole, "part": part, "at": at, "yes": yes}
        fields["within"] = None if text is None and whole is None else {"text": text, "whole": whole}
        return json.dumps({name: value for name, value in fields.items() if value is not None}).encode() + b"\n"

    for text in TEXTS:
        yield line(text, at=DAY) + line(text, at=DAY)
    for whole, part in itertools.zip_longest(WHOLES, PARTS):
        yield line(whole=whole, part=part, at=DAY)
    for at, yes in itertools.zip_longest(TIMES, YES):
        yield line(at=at, yes=yes)
    yield b"".join(line(text, at=DAY) for text in TEXTS[2:9])
    yield b"".join(line(whole=whole, part=part, at=DAY) for whole, part in zip(WHOLES, PARTS, strict=False))
    yield b"".join(line(at=at, yes=True) for at in (DAY, DAY + 1, DAY + 999))


@pytest.fixture(scope="module")
def edges(tmp_path_factory):
    """A table of many small files, each a roll of its own."""
    folder = tmp_path_factory.mktemp("edges")
    (folder / "edges.avsc").write_text(json.dumps(SCHEMA))
    lake = DeltaLake(LocalStore(folder).lake("lake"))
    flags = ["--table", TABLE, "--schema", folder / "edges.avsc", "--partition", "date={at:%Y-%m-%d}"]
    flags += ["--table-format", "delta", "--roll-rows", "1"]
    land(folder / "server", lake.at, flags, files())
    return lake


COLUMNS = {"id": None, "text": TEXTS, "whole": WHOLES, "part": PARTS, "at": TIMES, "yes": YES}
COMPARED = {"=": "__eq__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}


def time_of(millis):
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(milliseconds=millis)


def conditions():
    """(column, comparison, value) over every column, its edges and what is just beside them."""
    for column, values in COLUMNS.items():
        for value in values or ["e0", "e7", "f"]:
            if value is not None:
                value = time_of(value) if column == "at" else value
                yield from ((column, how, value) for how in (COMPARED if column != "yes" else ["="]))


def millis_of(time):
    return (time - time_of(0)) / datetime.timedelta(milliseconds=1)


def test_every_bound_holds(edges):
    """Each file's statistics against all its rows: bounds that no row is outside of, counts that are exact."""
    told = delta.bounds(edges, TABLE)
    assert len(told) == len(edges.data_files(TABLE)) > 30
    seen = 0
    for path, stats in told.items():
        table = parquet.ParquetFile(f"{edges.uri(TABLE)}/{path}").read()
        found = table.to_pylist()
        assert stats["numRecords"] == len(found), path
        seen += bounds_hold(stats, found, path)
    assert seen > 300, "hardly any column has bounds"


def bounds_hold(stats, found, path):
    """Checks one struct of statistics, and those within it. Returns how many bounds there were."""
    seen = 0
    lowest, highest, nulls = (stats.get(name) or {} for name in ("minValues", "maxValues", "nullCount"))
    for name in lowest.keys() | highest.keys() | nulls.keys():
        values = [row[name] if row else None for row in found]
        if isinstance(nulls.get(name), dict):
            inner = {key: stats[key].get(name) for key in ("minValues", "maxValues", "nullCount") if key in stats}
            seen += bounds_hold(inner, values, f"{path}: {name}")
            continue
        there = [value for value in values if value is not None]
        if name in nulls:
            assert nulls[name] == len(values) - len(there), f"nulls of {name} in {path}"
        for bound, of_low in ((lowest.get(name), True), (highest.get(name), False)):
            if bound is None:
                continue
            seen += 1
            assert there, f"a bound of {name} without values in {path}"
            for value in there:
                text = f"{name} in {path}: {bound!r} is no bound of {value!r}"
                if isinstance(value, datetime.datetime):
                    # Readers take times as cut to milliseconds.
                    edge = millis_of(datetime.datetime.fromisoformat(bound)) + (0 if of_low else 1)
                    value = millis_of(value)
                elif isinstance(value, str):  # As UTF-8: another order than that of UTF-16.
                    edge, value = bound.encode(), value.encode()
                else:
                    edge = bound
                    if isinstance(value, float) and value == edge == 0:
                        # A reader that tells zeros apart finds -0.0 below 0.0.
                        edge, value = math.copysign(1, edge), math.copysign(1, value)
                assert edge <= value if of_low else edge >= value, text
    return seen


def counts(edges, source):
    connection = edges.connection
    for column, how, value in conditions():
        sql = f'SELECT count(*) FROM {source} WHERE "{column}" {how} ?'
        yield (column, how, value), connection.execute(sql, [value]).fetchone()[0]
    for column in COLUMNS:
        for how in ("IS NULL", "IS NOT NULL"):
            sql = f'SELECT count(*) FROM {source} WHERE "{column}" {how}'
            yield (column, how, None), connection.execute(sql).fetchone()[0]


@pytest.fixture(scope="module")
def scanned(edges):
    """Counts by condition, of all rows of all files, with no statistics in between."""
    edges.connection.execute(f"CREATE TEMP TABLE scanned AS SELECT * FROM {edges.files_source(TABLE)}")
    return dict(counts(edges, "scanned"))


def literal(value):
    """A value as a reader that does not take parameters wants it."""
    if isinstance(value, datetime.datetime):
        return f"TIMESTAMP '{value:%Y-%m-%d %H:%M:%S.%f}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def different(found, scanned):
    return {key: (count, scanned[key]) for key, count in found.items() if count != scanned[key]}


def test_duckdb_prunes_nothing_that_is_looked_for(edges, scanned):
    # By literals as well: parameters may come too late for pruning.
    assert not different(dict(counts(edges, edges.source(TABLE))), scanned)
    by_literals = {}
    for column, how, value in conditions():
        if not isinstance(value, (str, datetime.datetime)) or str(value).isascii() and "\0" not in str(value):
            sql = f'SELECT count(*) FROM {edges.source(TABLE)} WHERE "{column}" {how} {literal(value)}'
            by_literals[column, how, value] = edges.connection.execute(sql).fetchone()[0]
    assert not different(by_literals, scanned)


def test_deltalake_prunes_nothing_that_is_looked_for(edges, scanned):
    dataset = edges.table(table=TABLE).to_pyarrow_dataset()
    found = {}
    for column, how, value in conditions():
        found[column, how, value] = dataset.count_rows(filter=getattr(ds.field(column), COMPARED[how])(value))
    for column in COLUMNS:
        found[column, "IS NULL", None] = dataset.count_rows(filter=ds.field(column).is_null())
        found[column, "IS NOT NULL", None] = dataset.count_rows(filter=ds.field(column).is_valid())
    # deltalake 1.6.6 takes a bound that is not there beside others for null, and would lose the file's rows.
    assert not different(found, scanned)


def test_polars_prunes_nothing_that_is_looked_for(edges, scanned):
    def counted(condition):
        return delta.scan_polars(edges, TABLE).filter(condition).select(polars.len()).collect().item()

    found = {}
    for column, how, value in conditions():
        found[column, how, value] = counted(getattr(polars.col(column), COMPARED[how])(value))
    assert not different(found, scanned)


@pytest.mark.spark
@pytest.mark.parametrize("one_in", [pytest.param(12, id="short"), pytest.param(1, id="long", marks=pytest.mark.soak)])
def test_spark_prunes_nothing_that_is_looked_for(spark, edges, scanned, one_in):
    """A few of each kind: Spark takes its time for each, so that the usual run has one in twelve."""
    frame = spark.read.format("delta").load(spark_harness.reach(spark, edges.at, TABLE))
    found = {}
    # Booleans have bounds that Spark itself does not write.
    booleans = [one for one in conditions() if one[0] == "yes"]
    for column, how, value in {*list(conditions())[::one_in], *booleans}:
        # PySpark hands dates before 1582 over in the calendar of then, as other dates.
        is_early = isinstance(value, datetime.datetime) and value.year < 1583
        if how in ("=", "<") and not is_early:
            condition = getattr(frame[column], COMPARED[how])(value)
            found[column, how, value] = frame.where(condition).count()
    for column in COLUMNS if one_in == 1 else ["yes"]:
        found[column, "IS NULL", None] = frame.where(frame[column].isNull()).count()
    assert len(found) > 9
    assert not different(found, scanned)
