"""Flat tables, views and the lists of sessions, held against one another row by row and value by value: of generated
and drifted sessions in parts, twice and in any order, with odd values at every place, over kills, while fields become
columns and properties are columns."""

import json
import random
import time
import zlib

import pytest
from harness import flat
from harness.flat import FLAT, TABLES
from harness.process import wait_until
from test_flat import bodies, put_through
from test_views import MANY, drifted, line_of, odd

PROPERTIES = {"plan": "string", "basket": "double", "level": "long", "birthday": "date"}


def plan_of(session):
    """The value of a field that no schema knows; most sessions have one."""
    number = zlib.crc32(session.encode())
    return f"p{number % 1000}" if number % 4 else None


def spoilt(document, rng):
    """Nulls, empty lists, values that do not fit, fields that nobody knows, keys that come twice: at any place."""
    actions = list(document.get("userActions") or [])
    changes = rng.sample(range(12), rng.randrange(1, 5))
    if 0 in changes:
        actions.insert(rng.randrange(len(actions) + 1), None)
    if 1 in changes:
        actions.append(rng.choice([7, "text", [], {}]))
    if 2 in changes:
        actions.append({"name": rng.choice(["a", None, ["list"]]), "duration": rng.choice([5.5, "5", None, 2**63, 5.0])})
    if 3 in changes:
        entries = [None, {"key": "plan", "value": "silver", "unit": "ms"}, {"key": "plan", "value": "late"}, {}]
        entries += [{"key": "k", "value": 5, "a/b~\"'": "c"}, {"key": None, "value": "größer"}, 3]
        rng.shuffle(entries)
        actions.append({"stringProperties": entries, "longProperties": [], "doubleProperties": [None]})
    document = document | {"userActions": actions}
    if 4 in changes:
        document |= {rng.choice(["events", "errors", "userActions", "stringProperties"]): rng.choice([[], None, [None]])}
    if 5 in changes:
        values = [{"key": "level", "value": value} for value in (2**53 + 1, 5.5, -0.0, "7", None)]
        rng.shuffle(values)
        document |= {"longProperties": [None, *values], "dateProperties": [{"key": "birthday", "value": "2026-01-01"}]}
    if 6 in changes:
        values = [{"key": "basket", "value": value} for value in (1, 0.1, 1e300, 2**53 + 1, "1.5")]
        rng.shuffle(values)
        document |= {"doubleProperties": values, "stringTags": {"plan": "of a tag"}, "numTags": {"basket": 2.5}}
    if 7 in changes:
        document |= {"userActions": {"no": "list"}}
    if 8 in changes:
        document |= {"duration": "5", "country": 7, "bounce": "true", "partNumber": document.get("partNumber")}
    if 9 in changes:
        document |= {"events": [{"name": "e", "startTime": -5}, {}, None, {"type": 3, "x/y~\"'": {"deep": [1.50, None]}}]}
    if 10 in changes:
        document |= {"errors": [{"startTime": "soon"}, None, {"name": "n", "startTime": document.get("startTime")}]}
    if 11 in changes:
        document |= {"stringProperties": [{"key": "plan", "value": value} for value in (None, "first", {"a": 1})]}
    return document


def with_fields(document, rng):
    """Fields that become columns: of the session, a list of them, of actions, of properties."""
    document = dict(document)
    # The oldest exports call it a visit.
    session = document.get("userSessionId", document.get("visitId"))
    if session and (plan := plan_of(session)):
        document |= {"plan": plan, "marks": ["a", plan, None][: rng.randrange(4)]}
    actions = document.get("userActions")
    if isinstance(actions, list):
        add = lambda action: action | {"step": rng.choice([1, 2**62, 3.5, 2**53 + 1])} if rng.random() < 0.5 else action  # noqa: E731
        document["userActions"] = [add(action) if isinstance(action, dict) else action for action in actions]
    entries = document.get("stringProperties")
    if isinstance(entries, list):
        document["stringProperties"] = [e | {"unit": "ms"} if isinstance(e, dict) else e for e in entries]
    return document


def made(folder, count):
    """The lines in the order in which they are sent, and the number of their sessions."""
    sent, later, sessions = drifted(folder, count, 11)
    rng = random.Random(5)

    def change(lines):
        for number, line in enumerate(lines):
            document = json.loads(line)
            lines[number] = line_of(with_fields(spoilt(document, rng) if rng.random() < 0.3 else document, rng))

    change(sent)
    # Doubles that are equal and doubles that are not, some before and some after the process was killed.
    sent += [line_of(with_fields(document, rng)) for document in odd()]
    change(later)
    sent += later + rng.sample(sent, count // 20)
    of_odd = [json.loads(line) for line in sent if b'"tenantId": "odd"' in line]
    without_id = sum(document.get("userSessionId") is None for document in of_odd)
    more = {document.get("userSessionId") for document in odd()} - {None}
    return sent, sessions + len(more) + without_id


def claims(lake):
    """The fields that the lake remembers as columns."""
    return [json.loads(lake.read(path)) for path in lake.files("_tables") if "/columns/" in path]


def levels(lake, name):
    """The levels whose properties have a promoted column: fields of both are promoted one by one."""
    pointers = [claim["pointer"] for claim in claims(lake) if claim["pointer"].endswith(f"Properties/*/{name}")]
    return {"action" if pointer.startswith("/userActions/") else "session" for pointer in pointers}


def promoted(lake, table):
    """The columns of a flat table that were promoted, with their types, by what the lake remembers."""
    found = {}
    for claim in claims(lake):
        *around, name = claim["pointer"].split("/")[1:]
        around = [token for token in around if token != "*"]
        is_of = around and around[-1] in {f"{kind}Properties" for kind in flat.TYPES}
        if (table == "user_properties" and is_of) or around == [flat.LISTS.get(table)]:
            found[name] = claim["type"]
    return found


def before(name, kind, of=None):
    """A column of a flat table with the values of rows from before it was one, if their level is one `of` these."""
    pointer = f"'/~1{name}'"
    typed, value = f"json_type(_extra, {pointer})", f"json_extract(_extra, {pointer})"
    whole = f"{typed} IN ('BIGINT', 'UBIGINT') OR CAST({value} AS VARCHAR) LIKE '%.0'"
    # 2^53 + 1 is no double.
    number = f"{typed} IN ('BIGINT', 'UBIGINT', 'DOUBLE') AND CAST({value} AS VARCHAR) <> '{2**53 + 1}'"
    old = {
        "string": f"CASE WHEN {typed} = 'VARCHAR' THEN json_extract_string(_extra, {pointer}) END",
        "long": f"CASE WHEN {whole} THEN TRY_CAST({value} AS BIGINT) END",
        "double": f"CASE WHEN {number} THEN TRY_CAST({value} AS DOUBLE) END",
        "boolean": f"CASE WHEN {typed} = 'BOOLEAN' THEN TRY_CAST({value} AS BOOLEAN) END",
    }[kind]
    if of is not None:
        old = f"CASE WHEN level IN ({', '.join(map(repr, sorted(of)))}) THEN {old} END"
    return f'coalesce("{name}", {old})'


def agree_with_views(lake, table):
    """The view has the rows and values of the flat table, but for doubles, which it leaves out, and promoted columns,
    whose values of before it shows."""
    connection, files = lake.connection, lake.files_source(table)
    names = [name for name, *_ in connection.execute(f"DESCRIBE SELECT * EXCLUDE (date) FROM {table}").fetchall()]
    there = {name for name, *_ in connection.execute(f"DESCRIBE SELECT * EXCLUDE (date) FROM {files}").fetchall()}
    assert there == set(names), table
    columns = promoted(lake, table)
    of = {name: levels(lake, name) for name in columns} if table == "user_properties" else {}

    def select(source, is_flat):
        made = [
            "json(_extra) AS _extra" if name == "_extra"
            else f'{before(name, columns[name], of.get(name))} AS "{name}"' if is_flat and name in columns
            else f'"{name}"'
            for name in names
        ]  # fmt: skip
        return f"SELECT {', '.join(made)} FROM {source}"

    of_flat = select(files, True) + " WHERE _ingest_id IN (SELECT _ingest_id FROM user_sessions_latest)"
    of_view = select(table, False)
    flat.same_rows(connection, of_flat, of_view, f"{table} and its view")


def check_properties(lake):
    """Columns of properties are those of the first entry of the lists, or else of the tags, in sessions and actions."""
    kinds = {"string": "stringTags", "double": "numTags", "long": "numTags", "date": None}
    actions = f'(SELECT unnest("userActions", max_depth := 2) FROM {lake.files_source()})'
    for source, has_tags in ((lake.files_source(), True), (actions, False)):
        for key, kind in PROPERTIES.items():
            entry = f"list_filter(\"{kind}Properties\", lambda e: e.key = '{key}')"
            tags = f"\"{kinds[kind]}\"['{key}']" if has_tags and kinds[kind] else "NULL"
            if kind == "long" and tags != "NULL":
                tags = f"CASE WHEN {tags} = floor({tags}) THEN {tags}::BIGINT END"
            wanted = f"CASE WHEN len({entry}) > 0 THEN {entry}[1].value ELSE {tags} END"
            asked = f"SELECT count(*) FILTER (WHERE prop_{key} IS DISTINCT FROM {wanted}), count(prop_{key}) FROM {source}"
            wrong, some = lake.connection.execute(asked).fetchone()
            assert wrong == 0, (source, key)
            assert some > 0 or not has_tags or kind == "date", key


@pytest.mark.parametrize(
    ("count", "kills"),
    [
        pytest.param(200, 2, id="some"),
        pytest.param(MANY, 12, id="many", marks=[pytest.mark.soak, pytest.mark.timeout(7200)]),
    ],
)
def test_lists_flat_tables_and_views_agree(make_server, local_lake, command, folder, count, kills):
    lake = local_lake
    lines, sessions = made(folder, count)
    properties = "".join(f'{key} = "{kind}"\n' for key, kind in PROPERTIES.items())
    (folder / "c.toml").write_text(f"[properties]\n{properties}")
    count_of_lines = len(lines)
    rows = max(60, count_of_lines // 25)
    rolls = ("--roll-age", "1h", "--roll-rows", str(rows), "--decode-threads", "2")
    flags = ("--config", folder / "c.toml", "--promote", "auto", "--promote-after", "20", *FLAT)
    server = make_server(lake, *flags, *rolls).start()
    all_bodies = bodies(lines, max(20, count_of_lines // 200))
    del lines
    chance = random.Random(3)
    at = set(chance.sample(range(len(all_bodies)), kills))
    for number, body in enumerate(all_bodies):
        put_through(server, body)
        if number in at:
            # A body that is always the one at which the process ends is set aside.
            sent = sum(len(body.splitlines()) for body in all_bodies[:number])
            wait_until(lambda sent=sent: lake.landed() > sent - 3 * rows, 300, "rolls land between kills", 0.2)
            time.sleep(chance.random() / 2)
            server.kill()
            server.start()
    server.drain(timeout_s=900)
    lake.check_receipts()
    assert lake.rows() == count_of_lines
    found = {table: flat.check(lake, table, lake.files_source) for table in TABLES}
    assert min(found.values()) > count / 10, found
    check_properties(lake)

    printed = command("schema", "--format", "views-duckdb", "--lake", lake.at.uri, "--config", folder / "c.toml")
    lake.connection.execute(printed)
    for table in TABLES:
        agree_with_views(lake, table)
    assert lake.connection.execute("SELECT count(*) FROM sessions").fetchone() == (sessions,)
    parts = lake.connection.execute("SELECT sum(parts), max(parts) FROM sessions").fetchone()
    latest = lake.connection.execute("SELECT count(*) FROM user_sessions_latest").fetchone()[0]
    assert parts[0] == latest < count_of_lines and parts[1] > 2
    # Fields are columns from the middle on, and views show the values of before in them.
    assert promoted(lake, "user_actions").get("step") == "double"
    assert promoted(lake, "user_properties").get("unit") == "string"
    plans = lake.connection.execute(
        "SELECT userSessionId, plan, marks FROM user_sessions_latest WHERE userSessionId IS NOT NULL"
    ).fetchall()
    assert {(session, plan) for session, plan, _ in plans if plan != plan_of(session)} == set()
    assert all(marks == ["a", plan, None][: len(marks)] for _, plan, marks in plans if marks is not None)
    in_column = lake.connection.execute(f"SELECT count(plan), count(json_extract_string(_extra, '/~1plan')) FROM {lake.files_source()}").fetchone()
    assert min(in_column) > 0, in_column
    command("verify", lake.at.uri, "--rows", timeout_s=600)
