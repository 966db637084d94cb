"""Fields that no column has: counted, listed, and made columns of, by hand and by the receiver itself."""

import json
import os

import pytest
from harness.documents import document
from harness.lake import TABLE
from harness.process import wait_until

AUTO = ("--promote", "auto", "--promote-after", "20", "--roll-rows", "20", "--roll-age", "1h")


def sessions(first, last, **more):
    """A body of sessions; with `more`, each has a field for each, made of its number."""
    lines = []
    for number in range(first, last):
        fields = {name: make(number) for name, make in more.items()}
        lines.append(document(f"s{number:04}", **fields) + b"\n")
    return lines


def send(server, lines):
    for line in lines:
        assert server.put(line).status == 200


def put_in_place(lake, source):
    """The value of `/plan` and of `/userActions/*/step` of each session: what is in the column and in _extra."""
    columns = {name for name, *_ in lake.connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    plan = '"plan"' if "plan" in columns else "NULL"
    found = lake.connection.execute(
        f'SELECT "userSessionId", {plan}, CAST(_extra AS VARCHAR), to_json("userActions") FROM {source} ORDER BY 1'
    ).fetchall()
    values = {}
    for session, column, extra, actions in found:
        assert session not in values, f"{session} is there twice"
        extra = json.loads(extra) if extra else {}
        plans = [value for value in (column, extra.get("/plan")) if value is not None]
        in_columns = [a.get("step") for a in json.loads(actions or "null") or []]
        steps = [step for step in in_columns if step is not None]
        steps += [value for pointer, value in extra.items() if pointer.startswith("/userActions/")]
        values[session] = (plans, steps)
    return values, columns


def action(number):
    return [{"name": "a", "step": number}]


def expected(plain, last):
    """Sessions below `plain` lack the fields."""
    return {f"s{n:04}": (([], []) if n < plain else ([f"p{n}"], [n])) for n in range(last)}


def run(make_server, lake, flags, source):
    """A field appears in the middle of a stream, the receiver is killed and started again."""
    server = make_server(lake, *AUTO, *flags).start()
    more = {"plan": lambda n: f"p{n}", "userActions": action}
    send(server, sessions(0, 30))
    send(server, sessions(30, 75, **more))
    remembered = server.state / "promoted.json"
    promoted = lambda: remembered.exists() and len(json.loads(remembered.read_text())["columns"]) == 2  # noqa: E731
    wait_until(promoted, 60, "the fields are promoted", 0.1)
    server.kill()
    server.start()
    send(server, sessions(75, 90, **more))
    server.drain()
    # A start that does not promote any more keeps the columns.
    server.flags = [flag for flag in server.flags if flag not in ("--promote", "auto")]
    server.start()
    send(server, sessions(90, 120, **more))
    server.drain()
    lake.check_table() if "--table-format" in flags else lake.check_receipts()
    values, columns = put_in_place(lake, source())
    assert values == expected(30, 120)
    assert "plan" in columns
    receipts = lake.receipts()
    assert sum(receipt["rows"] for receipt in receipts) == 120
    # Sessions 30 to 59 had the fields when the roll up to 59 ended, 20 of them or more.
    first = next(r["roll"] for r in receipts if any("fields" in t for t in r["tables"]))
    schemas = [table["schema"] for receipt in receipts for table in receipt["tables"] if table["table"] == TABLE]
    changed = next(at for at, schema in enumerate(schemas) if schema != schemas[0])
    assert receipts[changed]["roll"] - first <= 2, [r["roll"] for r in receipts]
    table = source()
    in_column = lake.connection.execute(f'SELECT count(*) FROM {table} WHERE "plan" IS NOT NULL').fetchone()
    assert in_column[0] >= 60
    return server


def test_a_field_becomes_a_column_of_a_plain_table(make_server, local_lake, command):
    lake = local_lake
    run(make_server, lake, ("--flat-tables", "user_actions"), lake.files_source)
    # The flat table has the column of its element, and of rows before the value in its _extra.
    flat = lake.connection.execute(
        f"""SELECT "userSessionId", step, _extra->>'$."/step"' FROM {lake.files_source("user_actions")}"""
    ).fetchall()
    steps = {session: [int(value) for value in values if value is not None] for session, *values in flat}
    assert len(flat) == len(steps) and steps == {f"s{n:04}": [n] for n in range(30, 120)}
    assert sum(column is not None for _, column, _ in flat) >= 60
    told = json.loads(command("fields", "--lake", lake.at.uri, "--json", env=lake.at.env))
    [table] = told["tables"]
    fields = {field["pointer"]: field for field in table["fields"]}
    assert set(fields) == {"/plan", "/userActions/*/step"}
    assert fields["/plan"]["types"] == ["string"] and fields["/plan"]["has_column"] and fields["/plan"]["promotes_to"] is None
    assert fields["/userActions/*/step"]["types"] == ["long"]
    assert fields["/plan"]["examples"] and "p3" not in json.dumps(told)
    assert [json.loads(lake.read(path)) for path in lake.files("_tables") if "/columns/" in path]


def test_a_field_becomes_a_column_of_a_delta_table(make_server, delta_lake):
    lake = delta_lake
    run(make_server, lake, ("--table-format", "delta"), lambda: lake.source())
    names = {field["name"] for field in json.loads(lake.table().schema().to_json())["fields"]}
    assert "plan" in names


def test_a_field_becomes_a_column_of_an_iceberg_table(make_server, iceberg_lake):
    lake = iceberg_lake

    def source():
        lake.forget()
        return lake.source()

    run(make_server, lake, ("--table-format", "iceberg"), source)
    assert "plan" in {field.name for field in lake.table().schema().fields}


def test_fields_are_listed_and_promoted_by_hand(make_server, local_lake, command, folder):
    lake = local_lake
    server = make_server(lake, "--roll-age", "1s").start()
    line = document("s1", userActions=[{"new-field": 1}, {"step": 7}], user={"mail": "ann@example.com"}, **{"a@b": 1})
    assert server.put(line + b"\n").status == 200
    lake.wait_landed(1)
    metric = 'sessionlake_unknown_field_rows_total{table="user_sessions",field="/userActions/*/step"}'
    wait_until(lambda: server.metrics().get(metric) == 1, 20, "the metric tells", 0.2)
    text = command("fields", "--lake", lake.at.uri, env=lake.at.env)
    assert "/userActions/*/step" in text and "/{key}" in text
    assert "ann" not in text and "a@b" not in text
    server.drain()
    sample = folder / "sample.ndjson"
    sample.write_bytes(line + b"\n")
    [table] = json.loads(command("fields", str(sample), "--json"))["tables"]
    assert {field["pointer"] for field in table["fields"]} >= {"/userActions/*/step", "/user"}
    lake_flags = ("--lake", lake.at.uri)
    refused = command("fields", *lake_flags, "--table", "sessions", env=lake.at.env, expect=2)
    assert "has a table sessions; there is user_sessions" in refused
    schema = command("schema", "promote", "/userActions/*/step", *lake_flags, env=lake.at.env)
    next_schema = folder / "next.avsc"
    next_schema.write_text(schema)
    server.flags += ["--schema", str(next_schema)]
    server.start()
    assert server.put(document("s2", userActions=[{"step": 8}]) + b"\n").status == 200
    server.drain()
    found = lake.connection.execute(
        f'SELECT to_json("userActions") FROM {lake.files_source()} WHERE "userSessionId" = \'s2\''
    ).fetchone()
    assert json.loads(found[0])[0]["step"] == 8


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("/userActions/*/name", "--type", "string"), "has a column already"),
        (("/duration/x", "--type", "long"), "/duration is one value"),
        (("/zz",), "no receipt of table user_sessions"),
        (("zz",), "is no pointer to a field"),
        (("/userActions/zz",), "a list, whose items are /*"),
        (("/zz", "--type", "date"), "possible values"),
    ],
)
def test_what_cannot_become_a_column_is_refused(local_lake, command, arguments, reason):
    os.makedirs(local_lake.at.uri)
    refused = command("schema", "promote", *arguments, "--lake", local_lake.at.uri, expect=2)
    assert reason in refused


def test_a_rule_for_a_field_holds_before_and_after_it_is_a_column(make_server, local_lake, folder):
    """A promoted column is no way around a rule: its values are those that were in _extra."""
    lake, key, config = local_lake, folder / "privacy.key", folder / "fields.toml"
    key.write_bytes(b"k" * 32)
    rules = '[privacy]\n"/plan" = "hash"\n"/mail" = "drop"\n"/userActions/*/address" = "truncate"\n'
    config.write_text(f'privacy_key = "{key}"\n{rules}')
    server = make_server(lake, "--config", config, *AUTO).start()
    more = {
        "plan": lambda _: "ann",
        "mail": lambda _: "ann@example.com",
        "userActions": lambda _: [{"address": "203.0.113.77"}],
    }
    send(server, sessions(0, 70, **more))
    server.drain()
    source = lake.files_source()
    plans = lake.connection.execute(f"""SELECT "plan", _extra->>'$."/plan"' FROM {source}""").fetchall()
    in_column = {plan for plan, _ in plans if plan is not None}
    in_extra = {plan for _, plan in plans if plan is not None}
    assert len(plans) == 70 and in_column == in_extra and len(in_column) == 1
    assert all((column is None) != (extra is None) for column, extra in plans)
    assert len(in_column.pop()) == 32
    actions = lake.connection.execute(f'SELECT to_json("userActions"), CAST(_extra AS VARCHAR) FROM {source}').fetchall()
    addresses = ["203.0.113.0" in f"{action}{extra}" for action, extra in actions]
    assert all(addresses) and any('"address":"203' in action for action, _ in actions)
    everything = str(lake.connection.execute(f"SELECT * FROM {source}").fetchall())
    assert "ann" not in everything and ".77" not in everything and "mail" not in everything
    receipts = json.dumps(lake.receipts())
    assert "/plan" in receipts and "mail" not in receipts
