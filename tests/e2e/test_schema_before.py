"""Lakes of before, whose tables have columns that the built-in schema has no more, beside what this version lands
in them."""

import json
from pathlib import Path

import polars
import pyarrow.dataset
import pytest
from harness import delta, iceberg, place, stores
from harness import spark as spark_harness
from harness.before import (
    ACTIONS,
    BEFORE,
    FLAGS,
    GONE,
    NEW,
    NO_FLAT,
    OF_ENTRY,
    OLD,
    PROPERTIES,
    by_duckdb,
    check_flat,
    check_lake,
    check_sessions,
    extra,
    gone_columns,
    land,
    rows_of,
    session,
)
from harness.delta import DeltaLake
from harness.documents import FIRST_MS
from harness.lake import TABLE, Lake, connect
from harness.process import wait_until


def test_files_of_both_schemas_are_read_together(make_server, local_lake, command, folder):
    lake = local_lake
    land(make_server, lake)
    assert sorted(gone_columns(lake).values()) == [0, 8]
    check_sessions(by_duckdb(lake))
    check_flat(by_duckdb(lake, ACTIONS), by_duckdb(lake, PROPERTIES))
    check_lake(lake, command)
    report = json.loads(command("inspect", lake.at.uri, "--json"))
    assert [table["table"] for table in report["tables"]] == [ACTIONS, PROPERTIES, TABLE]
    told = command("check", "--lake", lake.at.uri, "--state", folder / "other", *FLAGS)
    assert "warning" not in told.lower(), told
    # A session is given back as it came, of whatever version its file is; nothing is said besides.
    lines = [json.loads(line) for line in command("sample", lake.at.uri).splitlines()]
    came = [json.loads(session(name)) for name in (*OLD, *NEW)]
    by_id = lambda documents: sorted(documents, key=lambda of: of["userSessionId"])  # noqa: E731
    assert by_id(lines) == by_id(came)


def test_readers_in_python_see_both(make_server, local_lake):
    """By the columns of the first file, whichever that is."""
    lake = local_lake
    land(make_server, lake)
    files = {count: lake.uri(path) for path, count in gone_columns(lake).items()}
    by_name = {"missing_struct_fields": "insert", "extra_struct_fields": "ignore"}
    for first, other in ((8, 0), (0, 8)):
        both = [files[first], files[other]]
        found = lake.connection.execute(f"SELECT * FROM read_parquet({both})").to_arrow_table()
        check_sessions(found.to_pylist(), first == 8)
        check_sessions(pyarrow.dataset.dataset(both).to_table().to_pylist(), first == 8)
        frame = polars.scan_parquet(both, cast_options=polars.ScanCastOptions(**by_name))
        check_sessions(frame.collect().to_arrow().to_pylist(), first == 8)


@pytest.mark.spark
def test_spark_sees_both(spark, make_server, local_lake):
    lake = local_lake
    land(make_server, lake)
    for table, check in ((TABLE, check_sessions), (ACTIONS, None)):
        where = spark_harness.reach(spark, lake.at, table)
        merged = spark.read.option("mergeSchema", "true").parquet(where).toArrow().to_pylist()
        if check is not None:
            check(merged)
            # By the schema of one of the files.
            assert sorted(row["userSessionId"] for row in spark.read.parquet(where).toArrow().to_pylist()) == sorted(
                (*OLD, *NEW)
            )
        else:
            check_flat(merged, by_duckdb(lake, PROPERTIES))


def test_a_delta_table_keeps_its_columns(make_server, delta_lake, command):
    """It gets rows without them, and no other schema; a value that comes for one is in `_extra`."""
    lake = delta_lake
    form = ("--table-format", "delta")
    land(make_server, lake, form)
    for table in (TABLE, ACTIONS, PROPERTIES):
        log = [lake.read(path).decode() for path in lake.files(f"{table}/_delta_log") if path.endswith(".json")]
        assert [text.count('"metaData"') for text in log] == [1, 0, 0], f"another schema of {table}"
    assert sorted(gone_columns(lake).values()) == [0, 8]
    for read in (delta.by_duckdb, delta.by_deltalake, delta.by_polars, delta.by_files):
        check_sessions(read(lake).to_pylist())
        check_flat(read(lake, ACTIONS).to_pylist(), read(lake, PROPERTIES).to_pylist())
    assert "with all columns" in command("table", "upgrade", "--lake", lake.at.uri, *form)
    check_lake(lake, command)


@pytest.mark.spark
def test_spark_sees_all_of_a_delta_table(spark, make_server, delta_lake):
    land(make_server, delta_lake, ("--table-format", "delta"))
    check_sessions(delta.by_spark(spark, delta_lake).to_pylist())
    actions, properties = (delta.by_spark(spark, delta_lake, table).to_pylist() for table in (ACTIONS, PROPERTIES))
    check_flat(actions, properties)


def ids(fields, before=""):
    """The id of each field of an Iceberg schema in JSON, by its path."""
    found = {}
    for field in fields:
        path = f"{before}{field['name']}"
        found[path] = field["id"]
        kind = field["type"]
        while isinstance(kind, dict) and kind["type"] == "list":
            path += ".element"
            found[path] = kind["element-id"]
            kind = kind["element"]
        if isinstance(kind, dict) and kind["type"] == "struct":
            found |= ids(kind["fields"], f"{path}.")
    return found


def ids_of(lake, table=TABLE):
    return ids(json.loads(lake.table(table).schema().model_dump_json())["fields"])


def test_an_iceberg_table_keeps_its_columns_and_their_ids(make_server, iceberg_lake, command):
    lake = iceberg_lake
    form = ("--table-format", "iceberg")
    server = land(make_server, lake, form, names=(OLD,))
    before = {table: (ids_of(lake, table), lake.table(table).metadata.schemas) for table in (TABLE, ACTIONS)}
    assert sum(path.split(".")[-1] in OF_ENTRY and "Properties" in path for path in before[TABLE][0]) == 16
    server.start()
    for name in NEW:
        assert server.put(session(name)).status == 200
    server.drain()
    lake.forget()
    for table, (of_fields, schemas) in before.items():
        assert ids_of(lake, table) == of_fields, table
        assert lake.table(table).metadata.schemas == schemas, f"the schema of {table} was changed"
    for read in (iceberg.by_duckdb, iceberg.by_pyiceberg):
        check_sessions(read(lake).to_pylist())
        check_flat(read(lake, ACTIONS).to_pylist(), read(lake, PROPERTIES).to_pylist())
    check_lake(lake, command)


@pytest.mark.spark
def test_spark_sees_all_of_an_iceberg_table(spark, make_server, iceberg_lake):
    land(make_server, iceberg_lake, ("--table-format", "iceberg"))
    check_sessions(iceberg.by_spark(spark, iceberg_lake).to_pylist())
    actions, properties = (iceberg.by_spark(spark, iceberg_lake, table).to_pylist() for table in (ACTIONS, PROPERTIES))
    check_flat(actions, properties)


@pytest.fixture(params=["plain", "delta"])
def form_and_lake(request, folder):
    """A format, and an empty lake on local disk for it."""
    kind = {"plain": Lake, "delta": DeltaLake}[request.param]
    return request.param, kind(stores.LocalStore(folder).lake("lake"))


def test_what_waits_in_a_journal_of_before_lands_by_the_schema_of_today(make_server, form_and_lake, command):
    form, lake = form_and_lake
    server = make_server(lake, *FLAGS, "--table-format", form, "--schema", BEFORE).start()
    for name in (*OLD, *NEW):
        assert server.put(session(name)).status == 200
    server.kill()
    server.flags = [*FLAGS, "--table-format", form]
    server.start()
    server.drain()
    assert list(gone_columns(lake).values()) == [0]
    rows = [row | {"userSessionId": row["userSessionId"].replace("old", "new")} for row in rows_of(lake)]
    check_sessions(rows, names=(*NEW, *NEW))
    check_lake(lake, command)


def test_what_was_sealed_before_lands_by_the_schema_of_its_seal(make_server, form_and_lake, command):
    """A roll that could not be put before the upgrade, behind one that was."""
    form, lake = form_and_lake
    flags = [*FLAGS, "--table-format", form, "--roll-rows", "2"]
    server = make_server(lake, *flags, "--schema", BEFORE).start()
    assert server.put(session("old")).status == 200
    server.drain()
    server.start()
    in_the_way = Path(lake.at.base) / TABLE / "date=2026-11-02"
    in_the_way.write_text("no folder")
    later = FIRST_MS + 86_400_000
    for name in ("old-filled", "old-too", "new-filled"):
        assert server.put(session(name, later)).status == 200
    wait_until(lambda: server.metrics()["sessionlake_lake_up"] == 0, 60, "the roll cannot be put")
    server.kill()
    in_the_way.unlink()
    server.flags = flags
    server.start()
    server.drain()
    assert sorted(gone_columns(lake).values()) == [0, 8, 8]
    check_sessions(rows_of(lake), names=("old", "old-filled", "old-too", "new-filled"))
    check_lake(lake, command)


def test_a_schema_of_ones_own_keeps_the_columns(make_server, form_and_lake, command, folder):
    form, lake = form_and_lake
    land(make_server, lake, ("--table-format", form), names=(OLD,))
    own = folder / "own.avsc"
    own.write_text(BEFORE.read_text())
    flags = ("--table-format", form, "--schema", own)
    server = make_server(lake, *FLAGS, *flags, name="own").start()
    assert server.put(session("new")).status == 200
    server.drain()
    (folder / "more.ndjson").write_bytes(session("new-filled"))
    command("import", "more.ndjson", "--lake", lake.at.uri, *flags)
    assert list(gone_columns(lake).values()) == [8, 8, 8]
    rows = [row | {"userSessionId": row["userSessionId"].replace("new", "old")} for row in rows_of(lake)]
    check_sessions(rows, names=(*OLD, *OLD))
    check_lake(lake, command)


def test_an_import_of_today_goes_into_a_lake_of_before(make_server, form_and_lake, command, folder):
    form, lake = form_and_lake
    land(make_server, lake, ("--table-format", form), names=(OLD,))
    (folder / "more.ndjson").write_bytes(b"".join(map(session, NEW)))
    command("import", "more.ndjson", "--lake", lake.at.uri, "--table-format", form)
    check_sessions(rows_of(lake))
    check_lake(lake, command)


POINTER = "/userActions/*/stringProperties/*/applicationId"


def test_a_promoted_field_is_the_column_of_before(make_server, form_and_lake, command, folder):
    """Whoever fills such a field has its column again, of the same name and type."""
    form, lake = form_and_lake
    auto = ("--table-format", form, "--promote", "auto", "--promote-after", "1", "--roll-rows", "1")
    server = land(make_server, lake, auto, names=(OLD,))
    server.start()
    assert server.put(session("new-filled")).status == 200
    file = server.state / "promoted.json"
    told = lambda: {of["pointer"]: of["type"] for of in json.loads(file.read_text())["columns"]}  # noqa: E731
    wait_until(lambda: file.exists() and len(told()) == len(GONE), 120, "the fields are columns")
    assert told() == {f"/userActions/*/{of}/*/{column}": "string" for of, column in GONE}
    assert server.put(session("once-more-filled")).status == 200
    server.drain()
    rows = {row["userSessionId"]: row for row in rows_of(lake)}
    assert len(rows) == 4 and extra(rows["once-more-filled"]) == {}
    for name in ("old-filled", "once-more-filled"):
        assert rows[name]["userActions"][1]["dateProperties"][0]["applicationId"] == "shop"
    assert len(extra(rows["new-filled"])) == len(GONE)
    check_lake(lake, command)
    # By hand, from what the receipts of the lake say.
    own = command("schema", "promote", POINTER, "--lake", lake.at.uri)
    assert '"promoted": true' in own and "applicationId" in own


SECRET = "0123456789abcdef0123456789abcdef-secret"


@pytest.mark.parametrize("action", ["hash", "drop"])
def test_privacy_rules_reach_the_field_wherever_it_is(make_server, local_lake, folder, action):
    """Before in its column, and today in `_extra`; by its pointer, and by the path of the column."""
    (folder / "privacy.key").write_text(SECRET)
    config = folder / "sessionlake.toml"
    pointer, path = POINTER, "userActions.stringProperties.internalApplicationId"
    secret = f'privacy_key = "{folder / "privacy.key"}"\n'
    config.write_text(f'{secret}[privacy]\n"{pointer}" = "{action}"\n"{path}" = "{action}"\n')
    land(make_server, local_lake, ("--config", config))
    rows = {row["userSessionId"]: row for row in rows_of(local_lake)}
    entry = rows["old-filled"]["userActions"][1]["stringProperties"][0]
    today = extra(rows["new-filled"])
    hashed = {"drop": None, "hash": entry["applicationId"]}[action]
    assert action == "drop" or len(hashed) == 32
    assert today.pop("/userActions/1/stringProperties/0/applicationId", None) == hashed == entry["applicationId"]
    # By that path, which names a property today, the value goes whatever the rule says.
    assert "/userActions/1/stringProperties/0/internalApplicationId" not in today
    assert (entry["internalApplicationId"] is None) == (action == "drop")
    clear = {pointer: value for pointer, value in today.items() if "stringProperties" in pointer}
    assert not clear and len(today) == 6
    assert entry["internalApplicationId"] != OF_ENTRY["internalApplicationId"]


def test_a_rule_that_is_none_any_more_is_told(command, local_lake, folder):
    (folder / "privacy.key").write_text(SECRET)
    config = folder / "sessionlake.toml"
    secret = f'privacy_key = "{folder / "privacy.key"}"\n'
    config.write_text(f'{secret}[privacy]\n"userActions.longProperties.applicationId" = "hash"\n')
    flags = ("--config", config, "--lake", local_lake.at.uri, "--state", folder / "state")
    assert "only text can be treated with hash" in command("check", *flags, expect=2)
    command("check", *flags, "--schema", BEFORE)


QUERIES = sorted((place.ROOT / "examples/queries").glob("*.sql"))


def test_views_and_queries_show_both(make_server, form_and_lake, command):
    form, lake = form_and_lake
    land(make_server, lake, ("--table-format", form), first=NO_FLAT)
    connection = connect()
    connection.execute(command("schema", "--format", "views-duckdb", "--lake", lake.at.uri, "--table-format", form))
    read = lambda view: connection.execute(f"SELECT * FROM {view}").to_arrow_table().to_pylist()  # noqa: E731
    check_sessions(read("user_sessions_latest"))
    check_flat(read(ACTIONS), read(PROPERTIES))
    for query in QUERIES:
        connection.execute(query.read_text()).fetchall()


@pytest.mark.spark
def test_views_and_queries_of_spark_run(spark, make_server, local_lake, command):
    """The view of plain files has the columns of today."""
    land(make_server, local_lake)
    for statement in command("schema", "--format", "views-spark", "--lake", local_lake.at.uri).split(";\n"):
        if statement.strip():
            spark.sql(statement)
    read = lambda view: spark.sql(f"SELECT * FROM {view}").toArrow().to_pylist()  # noqa: E731
    check_sessions(read("user_sessions_latest"), columns=False)
    check_flat(read(ACTIONS), read(PROPERTIES), columns=False)
    for query in QUERIES:
        spark.sql(query.read_text().rstrip().rstrip(";")).collect()


def test_a_plain_lake_of_both_becomes_a_table(make_server, local_lake, command):
    """With the columns of the schema that is named: those of before for who has filled them."""
    land(make_server, local_lake, first=NO_FLAT)
    table = DeltaLake(local_lake.at)
    command("convert", "--to", "delta", "--lake", table.at.uri, "--schema", BEFORE)
    check_sessions(rows_of(table))
    check_lake(table, command)


def test_doubles_are_known_over_the_upgrade(make_server, local_lake):
    """Rows are equal whose columns of before were null."""
    server = make_server(local_lake, "--roll-age", "1h", "--dedup", "24h", "--schema", BEFORE).start()
    assert server.put(session("old")).status == 200
    server.drain()
    server.flags = ["--roll-age", "1h", "--dedup", "24h"]
    server.start()
    assert server.put(session("old") + b"\n").status == 200
    server.drain()
    assert local_lake.session_ids() == ["old"]
