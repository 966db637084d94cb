"""Records of Grail, as its pipeline forwards them: dotted names, ISO 8601 times, integers as text."""

import datetime
import gzip
import json
import random

import pytest
from harness import place

SESSIONS, EVENTS = "grail_user_sessions", "grail_user_events"
SAMPLE = place.ROOT / "tests/data/grail-sessions.ndjson"
FIRST = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


def iso(micros, nanos=0):
    time = FIRST + datetime.timedelta(microseconds=micros)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond:06}{nanos:03}Z"


def made(count, seed=16):
    """Records, and for each what its columns are to have."""
    rng = random.Random(seed)
    records, expected = [], {}
    for number in range(count):
        start, nanos = rng.randrange(20 * 86_400_000_000), rng.randrange(1000)
        length = rng.randrange(10**12)
        ident = f"{number}_made"
        record = {
            "start_time": iso(start, nanos),
            "end_time": iso(start + length // 1000),
            "duration": str(length) if number % 2 else length,
            "dt.rum.session.id": ident,
            "dt.rum.user_type": rng.choice(["real_user", "robot", "synthetic"]),
            "frontend.name": ["shop"] * rng.randrange(3),
            "user_action_count": rng.randrange(50),
            "error.count": str(rng.randrange(9)),
            "characteristics.is_bounce": rng.random() < 0.2,
            "session_properties.plan": rng.choice(["gold", "basic"]),
            "session_properties.basket": rng.randrange(1000) / 8,
        }
        if number % 10 == 0:
            record["new.field"] = number
        members = list(record.items())
        rng.shuffle(members)
        records.append(dict(members))
        expected[ident] = (
            FIRST + datetime.timedelta(microseconds=start),
            nanos,
            length,
            record["user_action_count"],
            int(record["error.count"]),
            record["session_properties.plan"],
            record["session_properties.basket"],
            record["characteristics.is_bounce"],
            json.dumps({"/new.field": number}, separators=(",", ":")) if number % 10 == 0 else None,
            (FIRST + datetime.timedelta(microseconds=start)).date(),
        )
    return records, expected


COLUMNS = """SELECT dt_rum_session_id, start_time, start_time_nanos, duration, user_action_count, error_count,
    session_properties['plan'], session_properties_number['basket'], characteristics_is_bounce, _extra, date
    FROM {t} WHERE dt_rum_session_id LIKE '%_made'"""


def ndjson(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def check_made(lake, expected):
    rows = lake.query(COLUMNS, SESSIONS)
    assert len(rows) == len(expected)
    assert {row[0]: row[1:] for row in rows} == expected


def test_sample_is_in_typed_columns_and_partitions(command, local_lake, folder):
    command("import", SAMPLE, "--table", SESSIONS, "--lake", local_lake.at.uri)
    rows = local_lake.query(
        """SELECT dt_rum_session_id, strftime(start_time, '%c %f'), start_time_nanos, end_time_nanos, duration,
        frontend_name, navigation_count, error_count, session_properties, session_properties_number,
        session_properties_boolean, CAST(date AS VARCHAR), _extra FROM {t} ORDER BY 1""",
        SESSIONS,
    )
    first, second, third = rows
    assert first[2:] == (
        999,
        0,
        180000000001,
        ["shop", "partners"],
        2,
        1,
        {"plan": "gold"},
        {"basket": 12.5},
        {"member": True},
        "2026-11-24",
        None,
    )
    assert second[2:] == (
        0,
        1,
        179876543211,
        ["shop"],
        None,
        0,
        None,
        {"plan": 7.0, "cart.size": 3.0},
        None,
        "2026-11-25",
        '{"/a.new.field":{"x":1}}',
    )
    assert third[1] is None and third[11] in (None, "__HIVE_DEFAULT_PARTITION__")
    kept = {"/start_time": "yesterday", "/session_properties.ids": [1, 2], "/frontend.name": "shop"}
    assert json.loads(third[12]) == kept


def test_objects_of_the_pipeline_are_imported_once(command, local_lake, folder):
    records, expected = made(10_000)
    for number in range(10):
        path = folder / f"bucket/2026112{number % 5}/{number:02}/bulk-{number}.json.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(ndjson(records[number::10])))
    objects = sorted(folder.glob("bucket/*/*/*.json.gz"))
    command("import", *objects, "--table", SESSIONS, "--lake", local_lake.at.uri)
    # Once more is not twice.
    command("import", *objects, "--table", SESSIONS, "--lake", local_lake.at.uri, expect=None)
    check_made(local_lake, expected)
    days = local_lake.query("SELECT DISTINCT date FROM {t}", SESSIONS)
    assert len(days) == 20
    assert local_lake.check_receipts() == {"lines": 10_000, "rows": 10_000, "rejects": 0}


def test_they_are_received_beside_others(make_server, local_lake, folder):
    config = folder / "grail.toml"
    config.write_text(
        f"""
table = "{SESSIONS}"
[[tables]]
name = "{EVENTS}"
[[endpoint]]
name = "sessions"
path = "/sessions"
table = "{SESSIONS}"
[[endpoint]]
name = "events"
path = "/events"
table = "{EVENTS}"
"""
    )
    server = make_server(local_lake, "--roll-age", "1h", "--config", config).start()
    records, expected = made(10_000, seed=3)
    for start in range(0, len(records), 1000):
        assert server.put(ndjson(records[start : start + 1000]), path="/sessions").status == 200
    event = {
        "start_time": "2026-11-25T10:00:00.000000001Z",
        "dt.rum.session.id": "1_made",
        "characteristics.has_request": True,
        "http.response.status_code": "503",
        "web_vitals.largest_contentful_paint": "1948000000",
        "web_vitals.cumulative_layout_shift": 0.02,
        "event_properties.step": "pay",
    }
    assert server.put(ndjson([event]), path="/events").status == 200
    server.drain()
    check_made(local_lake, expected)
    row = local_lake.query(
        """SELECT CAST(date AS VARCHAR), start_time_nanos, characteristics_has_request, http_response_status_code,
        web_vitals_largest_contentful_paint, web_vitals_cumulative_layout_shift, event_properties['step'], _extra
        FROM {t}""",
        EVENTS,
    )
    assert row == [("2026-11-25", 1, True, 503, 1_948_000_000, 0.02, "pay", None)]


@pytest.mark.parametrize("table", [SESSIONS, EVENTS])
def test_schemas_and_checks_know_them(command, local_lake, table):
    said = command("check", "--table", table, "--lake", local_lake.at.uri)
    assert table in said and "date={start_time:%Y-%m-%d}" in said, said
    for form in ("avro", "duckdb", "spark", "trino", "elasticsearch", "reference"):
        assert "start_time" in command("schema", table, "--format", form)


def infer(command, folder, *files, table="made"):
    """The inferred schema, and what else was said."""
    out = command("schema", "infer", *files, "--table", table)
    start, end = out.index('{\n  "type"'), out.rindex("\n}") + 2
    (folder / f"{table}.avsc").write_text(out[start:end])
    return json.loads(out[start:end]), out[:start] + out[end:]


def test_an_inferred_schema_lands_what_it_was_inferred_from(command, local_lake, folder):
    records, expected = made(500)
    (folder / "some.json.gz").write_bytes(gzip.compress(ndjson(records[:250])))
    (folder / "more.json").write_text(json.dumps(records[250:]))
    schema, said = infer(command, folder, "some.json.gz", "more.json")
    columns = {field.get("json", field["name"]): field for field in schema["fields"]}
    assert columns["start_time"]["from"] == ["iso8601"]
    assert columns["start_time_nanos"]["nanos_of"] == "start_time"
    assert columns["duration"]["from"] == ["number", "text"]
    assert columns["dt.rum.session.id"]["name"] == "dt_rum_session_id"
    assert "In 500 of 500 documents" in columns["start_time"]["doc"]
    assert "--partition 'date={start_time:%Y-%m-%d}'" in said, said
    flags = ["--table", "made", "--schema", "made.avsc", "--lake", local_lake.at.uri]
    command("check", *flags)
    command("import", "some.json.gz", "more.json", *flags)
    sql = """SELECT dt_rum_session_id, start_time, start_time_nanos, duration, user_action_count, new_field, date
        FROM {t} WHERE _extra IS NULL"""
    rows = local_lake.query(sql, "made")
    assert len(rows) == 500
    for ident, start, nanos, duration, actions, field, day in rows:
        of = expected[ident]
        assert (start, nanos, duration, actions, day) == (*of[:4], of[-1])
        assert (field is None) == (of[8] is None)


def test_infer_tells_what_it_left_out_and_no_value(command, folder):
    (folder / "odd.ndjson").write_text('{"a":"geheim","b":1}\nno document\n{"b":"geheim","c":null}\n')
    schema, said = infer(command, folder, "odd.ndjson")
    assert [field["name"] for field in schema["fields"]] == ["a"]
    assert "line 2 of odd.ndjson is no document" in said, said
    assert "b has no column: its values have no one type" in said, said
    assert "geheim" not in json.dumps(schema) + said
    (folder / "none.ndjson").write_text("{}\n")
    assert "no column could be made" in command("schema", "infer", "none.ndjson", expect=1)
    (folder / "table.csv").write_text("a,b\n1,2\n")
    said = command("schema", "infer", "table.csv", expect=1)
    assert "2 lines of table.csv are no documents" in said and "FORMAT json" in said, said
    (folder / "table.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    assert "Parquet" in command("schema", "infer", "table.parquet", expect=1)
    assert "1st" in command("schema", "infer", "odd.ndjson", "--table", "1st", expect=2)
