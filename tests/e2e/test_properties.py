"""[properties]: keys of the lists of properties, and of the tags of older exports, as columns prop_…, over plain,
Delta and Iceberg tables, with rules for personal data, flat tables' views, restarts and changed settings."""

import json

import pytest
from harness import place
from harness.delta import DeltaLake
from harness.iceberg import IcebergLake
from harness.lake import TABLE, Lake
from harness.stores import LocalStore

NOON = 1_795_608_000_000
PROPERTIES = """
[properties]
plan = "string"
basket = "double"
visits = "long"
since = "date"
"""
COLUMNS = ["prop_plan", "prop_basket", "prop_visits", "prop_since"]
LISTS = ["stringProperties", "doubleProperties", "longProperties", "dateProperties"]


def entries(*pairs):
    return [None if pair is None else {"key": pair[0], "value": pair[1]} for pair in pairs]


def lists(plan=(), basket=(), visits=(), since=()):
    return dict(zip(LISTS, (entries(*pairs) for pairs in (plan, basket, visits, since)), strict=True))


# Each by what its columns are to be: of the session, and of its actions.
CASES = {
    "all": (
        lists([("a", "x"), ("plan", "gold")], [("basket", 9.5)], [("visits", 7)], [("since", "2026-01-01")]),
        ["gold", 9.5, 7, "2026-01-01"],
    ),
    "the first of two": (lists([("plan", "a"), ("plan", "b")], [("basket", 1)]), ["a", 1.0, None, None]),
    "another type": (
        lists([("plan", 5), ("plan", "b")], [("plan", 5.5)], [("visits", "7")], [None]),
        [None, None, None, None],
    ),
    "no entries": (lists([None, ("Plan", "case"), (None, "x")]), [None] * 4),
    "no lists": ({}, [None] * 4),
    "empty text": (lists([("plan", "")]), ["", None, None, None]),
}
TAGS = {
    "tags": (
        {"stringTags": {"plan": "gold"}, "numTags": {"basket": 0.5, "visits": 3.0}, "dateTags": {"since": NOON}},
        ["gold", 0.5, 3, None],
    ),
    "a tag with a fraction": ({"numTags": {"visits": 3.5, "basket": 4}}, [None, 4.0, None, None]),
    "a list before a tag": (
        lists([("plan", "list")]) | {"stringTags": {"plan": "tag"}},
        ["list", None, None, None],
    ),
    "a member of that name": ({"prop_plan": "not this"}, [None] * 4),
}


def documents():
    actions = [{"name": name, "startTime": NOON} | lists for name, (lists, _) in CASES.items()]
    for name, (lists_of_it, _) in {**CASES, **TAGS}.items():
        base = {"tenantId": "t", "userSessionId": name, "startTime": NOON, "endTime": NOON + 1}
        yield base | lists_of_it | {"userActions": [None, *actions, {}]}


def configured(folder, more=""):
    (folder / "sessionlake.toml").write_text(more + PROPERTIES)
    return ["--config", "sessionlake.toml"]


def land(folder, command, *flags, env=None, name="sessions.ndjson", of=documents):
    (folder / name).write_text("".join(json.dumps(document) + "\n" for document in of()))
    command("import", name, *flags, env=env)


def lifted(lake, source=None):
    """The columns of every session, and of every action of one, by name."""
    source = source or lake.source()
    names = ", ".join(COLUMNS)
    of_sessions = lake.connection.execute(f"SELECT userSessionId, {names} FROM {source}").fetchall()
    members = ", ".join(f"a.{name}" for name in COLUMNS)
    of_actions = lake.connection.execute(
        f"SELECT DISTINCT a.name, {members} FROM (SELECT unnest(userActions) AS a FROM {source})"
        " WHERE a.name IS NOT NULL"
    ).fetchall()
    return [{row[0]: list(row[1:]) for row in rows} for rows in (of_sessions, of_actions)]


def wanted():
    of_sessions = {name: values for name, (_, values) in {**CASES, **TAGS}.items()}
    return [of_sessions, {name: values for name, (_, values) in CASES.items()}]


@pytest.mark.parametrize("form", ["plain", "delta", "iceberg"])
def test_columns_have_the_values_of_the_lists_on_each_format(form, folder, command, request):
    """Also where the table was there before it had the columns."""
    if form == "iceberg":
        catalog = request.getfixturevalue("seaweedfs_catalog")
        lake = IcebergLake(catalog.lake("properties"), catalog, "of_properties")
    else:
        lake = (DeltaLake if form == "delta" else Lake)(LocalStore(folder).lake("lake"))
    flags = ["--lake", lake.at.uri, "--table-format", form]
    before = lambda: [{"userSessionId": "before", "startTime": NOON, **CASES["all"][0]}]  # noqa: E731
    land(folder, command, *flags, env=lake.at.env, name="before.ndjson", of=before)
    land(folder, command, *flags, *configured(folder), env=lake.at.env)
    source = lake.files_source() if form == "plain" else None
    of_sessions, of_actions = lifted(lake, source)
    assert of_sessions.pop("before") == [None] * 4, "rows of before are as they were"
    assert [of_sessions, of_actions] == wanted()


def test_nothing_else_of_a_row_is_other(folder, command, local_lake):
    """Lists and tags stay, a member of a column's name is in _extra, and sample gives the documents back."""
    flags = ["--lake", local_lake.at.uri]
    land(folder, command, *flags, *configured(folder))
    named = local_lake.query("SELECT _extra FROM {t} WHERE userSessionId = 'a member of that name'")
    assert json.loads(named[0][0])["/prop_plan"] == "not this"
    lists = local_lake.query("SELECT stringProperties FROM {t} WHERE userSessionId = 'the first of two'")
    assert [entry["value"] for entry in lists[0][0]] == ["a", "b"]
    told = command("sample", "--lake", local_lake.at.uri, "--days", "1000").splitlines()
    given = [json.loads(line) for line in told if line.startswith("{")]
    assert len(given) == len({**CASES, **TAGS})
    by_id = {document["userSessionId"]: document for document in given}
    assert by_id["a member of that name"]["prop_plan"] == "not this"
    del by_id["a member of that name"]
    assert "prop_" not in json.dumps(by_id)


def test_rules_for_personal_data_reach_the_columns(folder, command, local_lake):
    (folder / "privacy.key").write_text("x" * 64)
    flags = configured(folder, 'privacy_key = "privacy.key"\n[privacy]\n"stringProperties.plan" = "hash"\n'
                               '"stringTags" = "drop"\n"userActions.stringProperties" = "drop"\n')  # fmt: skip
    land(folder, command, "--lake", local_lake.at.uri, *flags)
    of_sessions, of_actions = lifted(local_lake)
    hashed = local_lake.query("SELECT stringProperties[2].value FROM {t} WHERE userSessionId = 'all'")[0][0]
    assert of_sessions["all"][0] == hashed != "gold"
    assert of_sessions["tags"][0] is None and of_sessions["tags"][1:] == [0.5, 3, None]
    assert {values[0] for values in of_actions.values()} == {None}
    assert of_actions["all"][1:] == [9.5, 7, "2026-01-01"]


def test_views_have_the_columns(folder, command, local_lake):
    flags = ["--lake", local_lake.at.uri, *configured(folder)]
    land(folder, command, *flags)
    local_lake.connection.execute(command("schema", "--format", "views-duckdb", *flags))
    names = ", ".join(COLUMNS)
    found = local_lake.connection.execute(f"SELECT userSessionId, {names} FROM sessions").fetchall()
    assert {row[0]: list(row[1:]) for row in found} == wanted()[0]
    found = local_lake.connection.execute(f"SELECT name, {names} FROM user_actions WHERE name IS NOT NULL").fetchall()
    assert {row[0]: list(row[1:]) for row in found} == wanted()[1]
    asked = "SELECT count(*) FROM user_actions WHERE prop_plan = 'gold'"
    assert local_lake.connection.execute(asked).fetchone()[0] == len({**CASES, **TAGS})


def test_bodies_in_the_journal_land_by_the_settings_of_their_roll(folder, make_server, local_lake):
    """A receiver that is killed, and started again with other properties, loses and doubles nothing: what was not
    sealed lands by the new settings."""
    body = "".join(json.dumps(document) + "\n" for document in documents()).encode()
    flags = ["--roll-age", "1h", *configured(folder)]
    server = make_server(local_lake, *flags, cwd=folder).start()
    assert server.put(body).status == 200
    server.kill()
    (folder / "sessionlake.toml").write_text('[properties]\nplan = "string"\nlevel = "string"\n')
    server.start()
    server.drain()
    columns = {row[0] for row in local_lake.connection.execute(f"DESCRIBE SELECT * FROM {local_lake.source(TABLE)}").fetchall()}
    assert {"prop_plan", "prop_level"} <= columns and "prop_basket" not in columns
    plans = local_lake.query("SELECT userSessionId, prop_plan FROM {t}")
    assert dict(plans) == {name: values[0] for name, values in wanted()[0].items()}
    assert len(plans) == local_lake.landed()


def test_what_cannot_be_a_column_is_said_at_the_start(folder, command):
    (folder / "sessionlake.toml").write_text('[properties]\n"my plan" = "string"\n')
    told = command("check", "--config", "sessionlake.toml", expect=2)
    assert "properties.my plan: the key cannot be part of a column's name" in told
    schema = json.loads((place.ROOT / "schemas/user_sessions.avsc").read_text())
    schema["fields"].append({"name": "PROP_PLAN", "type": ["null", "string"], "default": None})
    (folder / "own.avsc").write_text(json.dumps(schema))
    (folder / "sessionlake.toml").write_text('schema = "own.avsc"\n[properties]\nplan = "string"\n')
    told = command("check", "--config", "sessionlake.toml", expect=2)
    assert "prop_plan" in told and "only in case" in told
