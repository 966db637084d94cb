"""The queries in examples/queries over the views of a simulated lake, by DuckDB and Spark."""

import json
import subprocess

import pytest
from harness import place
from harness.lake import connect
from harness.process import Process, clean_environment

QUERIES = place.ROOT / "examples" / "queries"
EVERY = sorted(path.name for path in QUERIES.glob("*.sql"))


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


def views(folder, engine):
    """The statements that the program prints for the lake of a folder."""
    command = [place.binary(), "schema", "--format", f"views-{engine}", "--lake", f"{folder}/data/lake"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


@pytest.fixture(scope="module")
def duckdb(simulated):
    connection = connect()
    connection.execute(views(simulated, "duckdb"))
    return connection


def rows(duckdb, name):
    return duckdb.execute((QUERIES / name).read_text()).fetchall()


@pytest.mark.parametrize("name", EVERY)
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
    counts = "SELECT count(*), count(DISTINCT (tenantId, userSessionId)) FROM user_sessions"
    landed, sessions = duckdb.execute(counts).fetchone()
    # The simulated sessions have parts, too.
    assert landed == 5000 and 4900 < sessions < 5000
    assert sum(row[2] for row in rows(duckdb, "error-rates.sql")) == sessions
    lengths = rows(duckdb, "session-length-by-country.sql")
    assert lengths[0][0] == "United States" and all(row[3] >= row[2] for row in lengths)
    slowest = [row[2] for row in rows(duckdb, "slowest-actions.sql")]
    assert slowest == sorted(slowest, reverse=True)
    assert len({row[0] for row in rows(duckdb, "sessions-an-hour-by-country.sql")}) >= 24


@pytest.mark.spark
def test_spark_answers_the_same(spark, simulated, duckdb):
    for statement in views(simulated, "spark").split(";\n"):
        if statement.strip():
            spark.sql(statement)
    for name in EVERY:
        sql = (QUERIES / name).read_text().rstrip().rstrip(";")
        by_spark = [tuple(map(str, row)) for row in spark.sql(sql).collect()]
        by_duckdb = rows(duckdb, name)
        assert len(by_spark) == len(by_duckdb), name
        # Percentiles and averages may differ in the last digit; names and counts not.
        names = [row[0] for row in by_spark]
        if name.startswith(("top-actions", "funnel", "browser-shares", "error-rates", "conversion")):
            assert names == [str(row[0]) for row in by_duckdb], name


def part(number, start_ms, end_ms, **more):
    """One part of a session, a session of its own if `number` is None."""
    session = {
        "tenantId": "t1",
        "userSessionId": "S1",
        "partNumber": number,
        "startTime": start_ms,
        "endTime": end_ms,
        "userType": "REAL_USER",
        "applicationType": "WEB_APPLICATION",
        "browserFamily": "Chrome",
        "clientType": "Desktop Browser",
        "country": "Austria",
        "userActionCount": 200,
        "totalErrorCount": 0,
        "matchingConversionGoalsCount": 0,
    }
    return {key: value for key, value in (session | more).items() if value is not None}


NOON = 1_795_608_000_000
HOUR = 3_600_000


def answers(folder, sessions):
    """The answers over these sessions, imported."""
    (folder / "s.ndjson").write_text("".join(json.dumps(session) + "\n" for session in sessions))
    process = Process([place.binary(), "import", "s.ndjson"], folder / "log", clean_environment(), folder)
    assert process.wait(60) == 0, process.tail()
    connection = connect()
    connection.execute(views(folder, "duckdb"))
    return lambda name: rows(connection, name)


def test_a_session_in_three_parts_is_one(tmp_path):
    ask = answers(
        tmp_path,
        [
            part(0, NOON, NOON + 5_000),
            part(1, NOON + 1_000, NOON + 5_000),
            part(2, NOON + 2_000, NOON + 5_000, userActionCount=17, matchingConversionGoalsCount=1),
        ],
    )
    assert ask("conversion.sql") == [("WEB_APPLICATION", "Desktop Browser", 1, 100.0)]
    assert ask("browser-shares.sql") == [("Chrome", 1, 100.0)]
    assert [row[1:] for row in ask("sessions-an-hour-by-country.sql")] == [("Austria", 1)]
    assert [row[1:] for row in ask("error-rates.sql")] == [("WEB_APPLICATION", 1, 0.0, 0.0)]
    assert ask("session-length-by-country.sql") == [("Austria", 1, 5.0, 5.0)]


def test_parts_over_an_hour_and_midnight_and_sent_again_are_one_session(tmp_path):
    """The goal is reached in the first part, errors are in two, and the last part came twice."""
    last = part(2, NOON + 13 * HOUR, NOON + 14 * HOUR, totalErrorCount=3)
    ask = answers(
        tmp_path,
        [
            part(0, NOON, NOON + HOUR, matchingConversionGoalsCount=2, totalErrorCount=1),
            part(1, NOON + HOUR, NOON + 13 * HOUR),
            last,
            last,
        ],
    )
    assert ask("conversion.sql") == [("WEB_APPLICATION", "Desktop Browser", 1, 100.0)]
    assert [row[1:] for row in ask("sessions-an-hour-by-country.sql")] == [("Austria", 1)]
    (errors,) = ask("error-rates.sql")
    assert (str(errors[0]), *errors[2:]) == ("2026-11-25", 1, 100.0, 4.0), errors
    assert ask("session-length-by-country.sql") == [("Austria", 1, 50_400.0, 50_400.0)]


def test_sessions_of_other_tenants_and_without_an_id_are_each_their_own(tmp_path):
    ask = answers(
        tmp_path,
        [
            part(None, NOON, NOON + 1_000),
            part(None, NOON, NOON + 1_000, tenantId="t2"),
            part(None, NOON, NOON + 1_000, userSessionId=None),
            part(None, NOON + 1_000, NOON + 2_000, userSessionId=None),
            part(0, NOON, NOON + 1_000, userSessionId="S2", matchingConversionGoalsCount=1),
            part(1, NOON + 1_000, NOON + 2_000, userSessionId="S2"),
        ],
    )
    assert ask("conversion.sql") == [("WEB_APPLICATION", "Desktop Browser", 5, 20.0)]
    assert [row[1:] for row in ask("sessions-an-hour-by-country.sql")] == [("Austria", 5)]
