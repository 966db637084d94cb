"""The queries in examples/queries over a simulated lake, by DuckDB and, where they are for it, Spark."""

import pytest
from harness import place
from harness import spark as spark_harness
from harness.lake import Lake, connect
from harness.process import Process, clean_environment
from harness.stores import LocalStore

QUERIES = place.ROOT / "examples" / "queries"
EVERY = sorted(path.name for path in QUERIES.glob("*.sql") if path.name != "view.sql")
DUCKDB = [name for name in EVERY if not name.endswith(".spark.sql")]
SPARK = [
    name
    for name in EVERY
    if name.endswith(".spark.sql") or name.replace(".sql", ".spark.sql") not in EVERY
]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A lake at data/lake of a folder, with 5000 simulated sessions."""
    folder = tmp_path_factory.mktemp("queries")
    for arguments in (
        ["simulate", "--seed", "3", "--sessions", "5000", "--out", "sessions.ndjson"],
        ["import", "sessions.ndjson"],
    ):
        command = [place.binary(), *arguments]
        process = Process(command, folder / "log", clean_environment(), folder)
        assert process.wait(120) == 0, process.tail()
    return folder


@pytest.fixture(scope="module")
def duckdb(simulated):
    connection = connect()
    view = (QUERIES / "view.sql").read_text()
    assert "'data/lake/" in view
    connection.execute(view.replace("'data/lake/", f"'{simulated}/data/lake/"))
    return connection


def rows(duckdb, name):
    return duckdb.execute((QUERIES / name).read_text()).fetchall()


@pytest.mark.parametrize("name", DUCKDB)
def test_duckdb_answers(duckdb, name):
    assert len(rows(duckdb, name)) > 1


def test_the_answers_make_sense(duckdb):
    apdex = rows(duckdb, "apdex-by-application.sql")
    assert {row[0] for row in apdex} >= {"Nordwind shop", "Nordwind partners"}
    assert all(0.5 < row[2] < 1 for row in apdex), apdex
    funnel = [row[2] for row in rows(duckdb, "funnel.sql")]
    assert len(funnel) == 4 and funnel == sorted(funnel, reverse=True) and funnel[3] > 0, funnel
    assert 99 < sum(row[2] for row in rows(duckdb, "browser-shares.sql")) < 101
    assert all(0 <= row[3] < 40 for row in rows(duckdb, "conversion.sql"))
    assert sum(row[2] for row in rows(duckdb, "error-rates.sql")) == 5000
    lengths = rows(duckdb, "session-length-by-country.sql")
    assert lengths[0][0] == "United States" and all(row[3] >= row[2] for row in lengths)
    slowest = [row[2] for row in rows(duckdb, "slowest-actions.sql")]
    assert slowest == sorted(slowest, reverse=True)
    assert len({row[0] for row in rows(duckdb, "sessions-an-hour-by-country.sql")}) >= 24


@pytest.mark.spark
def test_spark_answers_the_same(spark, simulated, duckdb):
    lake = Lake(LocalStore(simulated / "data").lake("lake"))
    spark_harness.read(spark, lake.at).createOrReplaceTempView("user_sessions")
    for name in SPARK:
        sql = (QUERIES / name).read_text().rstrip().rstrip(";")
        by_spark = [tuple(map(str, row)) for row in spark.sql(sql).collect()]
        by_duckdb = rows(duckdb, name.replace(".spark.sql", ".sql"))
        assert len(by_spark) == len(by_duckdb), name
        # Percentiles and averages may differ in the last digit; names and counts not.
        names = [row[0] for row in by_spark]
        if name.startswith(("top-actions", "funnel", "browser-shares", "error-rates", "conversion")):
            assert names == [str(row[0]) for row in by_duckdb], name
