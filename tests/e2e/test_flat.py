"""Flat tables: every row and value is that of the lists, over kills, formats, imports and settings."""

import json
import random
import time

import pyarrow.parquet as pq
import pytest
from harness import flat
from harness.documents import FIRST_MS, document
from harness.flat import FLAT, TABLES
from harness.process import wait_until

ROLLS = ("--roll-age", "1h", "--roll-rows", "400", "--decode-threads", "2")

# Nulls, empty lists, values that do not fit, fields that nobody knows, at every place.
ODD = [
    {"userActions": None, "events": [], "errors": [None]},
    {"userActions": [None, {"name": "a", "new": {"x": [1, None]}}, None, 7, {"duration": 5.5, "startTime": FIRST_MS}]},
    {"userActions": [{"stringProperties": [None, {"key": "k", "value": 5, "a/b~": "c"}], "longProperties": []}]},
    {"stringProperties": [{"key": "k", "value": "v"}, {}, None, {"key": None, "value": "größer"}], "new": True},
    {"longProperties": [{"key": "l", "value": 7}, {"key": "m", "value": "8"}], "dateProperties": [{"key": "d", "value": "2026-01-01"}]},
    {"events": [{"name": "e", "startTime": FIRST_MS - 86_400_000}, {"type": "t"}], "errors": [{"startTime": "soon"}]},
    {"doubleProperties": [{"key": "f", "value": 1.5}, None], "events": {"no": "list"}, "partNumber": 3, "tenantId": "t"},
]


def odd_lines():
    return [document(f"odd-{number}", FIRST_MS + number, **fields) for number, fields in enumerate(ODD)]


@pytest.fixture
def lines(command, folder):
    """Drifted sessions of all forms, in parts, over a few days, with the odd ones among them."""

    def simulate(sessions):
        command("simulate", "--seed", "11", "--sessions", str(sessions), "--format", "mixed", "--drift", "30%",
                "--days", "3", "--out", "made.ndjson")  # fmt: skip
        made = (folder / "made.ndjson").read_bytes().splitlines() + odd_lines() * 3
        random.Random(5).shuffle(made)
        return made

    return simulate


def bodies(lines, size=90):
    return [b"\n".join(lines[at : at + size]) + b"\n" for at in range(0, len(lines), size)]


def put_through(server, body):
    """Sends a body until it is acknowledged, whatever happens to the server meanwhile."""
    for _ in range(100):
        try:
            if server.put(body).status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("a body was not taken")


def check_all(lake):
    found = {table: flat.check(lake, table) for table in TABLES}
    assert all(rows > 0 for rows in found.values()), found
    return found


def test_each_row_is_an_element_after_kills(make_server, local_lake, command, lines):
    made = lines(2500)
    server = make_server(local_lake, *FLAT, *ROLLS).start()
    chance = random.Random(3)
    for number, body in enumerate(bodies(made)):
        put_through(server, body)
        if number % 8 == 5:
            time.sleep(chance.random())
            server.kill()
            server.start()
    server.drain()
    assert local_lake.rows() == len(made)
    found = check_all(local_lake)
    assert found["user_actions"] > 2500
    local_lake.check_receipts()
    local_lake.no_leftovers()
    receipts = local_lake.receipts()
    derived = {t["table"]: t.get("derived", False) for r in receipts for t in r["tables"]}
    assert derived == {"user_sessions": False, **dict.fromkeys(TABLES, True)}
    assert not any(t["quarantine"] for r in receipts for t in r["tables"])
    command("verify", local_lake.at.uri, "--rows")


def test_flat_tables_of_a_delta_table_are_delta_tables(make_server, delta_lake, lines):
    made = lines(400)
    server = make_server(delta_lake, *FLAT, *ROLLS, "--table-format", "delta").start()
    for body in bodies(made):
        put_through(server, body)
    server.drain()
    assert len(delta_lake.session_ids()) == len(made)
    check_all(delta_lake)
    for table in TABLES:
        assert sorted(delta_lake.paths(table)) == sorted(delta_lake.data_files(table))
        fields = json.loads(delta_lake.table(table=table).schema().to_json())["fields"]
        documented = {field["name"] for field in fields if field["metadata"].get("comment")}
        assert {"userSessionId", "sessionStartTime", "position"} <= documented


def test_flat_tables_of_an_iceberg_table_are_iceberg_tables(make_server, iceberg_lake):
    flags = (*FLAT, *ROLLS, "--table-format", "iceberg")
    server = make_server(iceberg_lake, *flags).start()
    put_through(server, b"\n".join(odd_lines()) + b"\n")
    server.drain()
    for table in TABLES:
        assert iceberg_lake.rows(table) > 0, table
        assert sorted(iceberg_lake.paths(table)) == sorted(iceberg_lake.data_files(table))
        flat.check(iceberg_lake, table)


def test_an_import_has_flat_tables_too(command, local_lake, folder, lines):
    (folder / "a.ndjson").write_bytes(b"\n".join(lines(600)) + b"\n")
    command("import", "a.ndjson", *FLAT, "--roll-rows", "150", "--lake", local_lake.at.uri)
    check_all(local_lake)
    command("verify", local_lake.at.uri, "--rows")


def test_bodies_in_the_journal_land_by_the_flat_tables_of_their_seal(make_server, local_lake):
    """Taken without flat tables and landed with them; then the other way round."""
    server = make_server(local_lake, "--roll-age", "1h").start()
    for line in odd_lines():
        put_through(server, line + b"\n")
    server.kill()
    server.flags += FLAT
    server.start().drain()
    before = check_all(local_lake)
    server.start()
    put_through(server, odd_lines()[1] + b" \n")
    server.kill()
    server.flags = server.flags[: -len(FLAT)]
    server.start().drain()
    assert local_lake.rows() == len(ODD) + 1
    assert {table: local_lake.rows(table) for table in TABLES} == before


def test_rules_for_personal_data_hold_in_flat_tables(make_server, local_lake, folder):
    """What a rule treats in the session is treated in every flat table, and footers say so."""
    (folder / "secret").write_bytes(bytes(range(32)))
    settings = {
        "userId": "drop", "country": "hash", "userActions.name": "hash", "userActions.stringProperties.mail": "drop",
        "stringProperties.mail": "hash", "events.name": "drop",
    }  # fmt: skip
    rules = "".join(f'"{path}" = "{action}"\n' for path, action in settings.items())
    (folder / "c.toml").write_text(f'flat_tables = {json.dumps(TABLES)}\n[privacy]\n{rules}')
    mail = {"key": "mail", "value": "SECRET"}
    line = document(
        "s", userId="SECRET", country="SECRET", stringProperties=[mail, {"key": "mail", "value": {"x": "SECRET"}}],
        userActions=[{"name": "SECRET", "stringProperties": [mail, {"key": "plan", "value": "open"}]}, {"name": ["SECRET"]}],
        events=[{"name": "SECRET"}], errors=[{"name": "open"}],
    )  # fmt: skip
    flags = ("--config", folder / "c.toml", "--privacy-key", folder / "secret", "--roll-age", "1h")
    server = make_server(local_lake, *flags).start()
    put_through(server, line + b"\n")
    server.drain()
    check_all(local_lake)
    for path in local_lake.files():
        if path.endswith(".parquet"):
            assert "SECRET" not in str(pq.read_table(local_lake.uri(path)).to_pylist()), path
            metadata = pq.read_metadata(local_lake.uri(path)).metadata
            assert all(rule in metadata[b"sessionlake.privacy"].decode() for rule in settings), path


def test_a_body_that_is_for_a_flat_table_is_refused(make_server, local_lake, folder, command):
    endpoint = '[[endpoint]]\npath = "/x"\ntable = "user_actions"\n'
    (folder / "c.toml").write_text(f'flat_tables = ["user_actions"]\n{endpoint}')
    said = command("check", "--config", "c.toml", "--lake", local_lake.at.uri, expect=None)
    assert "user_actions is a flat table" in str(said), said


def test_settings_that_name_no_flat_table_say_which_there_are(command, folder):
    for given, says in (
        ("user_action", "did you mean `user_actions`?"),
        ("orders_errors", "did you mean `user_errors`?"),
        ("all", "user_actions, user_events, user_errors, user_properties"),
    ):
        said = command("check", "--flat-tables", given, expect=None)
        assert f"there is no flat table {given}" in str(said) and says in str(said), said
    said = command("check", "--flat-tables", "user_errors", "--flat-columns", "contry,userActions", expect=None)
    assert "did you mean `country`?" in str(said) and "userActions is a list" in str(said), said
