"""The catalog of Iceberg tables in the configuration: what `check` says of it, credentials that it does not
take, and tables that have another format."""

import json

import pytest
from conftest import unique
from harness import place
from harness.documents import body
from harness.iceberg import IcebergLake
from harness.process import wait_until
from pyiceberg.exceptions import NoSuchNamespaceError

FORMAT = ("--table-format", "iceberg")
ROLLS = (*FORMAT, "--roll-age", "1s")
SECRET = "not-the-secret-of-anybody"


def lake_of(catalog, request):
    name = unique(request)
    return IcebergLake(catalog.lake(name), catalog, f"of_{name.replace('-', '_')}")


def sessions(number, name="s"):
    return body(*(f"{name}{n}" for n in range(number)))


def check(command, lake, folder, *flags, expect=0, **more):
    place = ("--listen", "127.0.0.1:0", "--lake", lake.at.uri, "--state", folder / "checked")
    return command("check", *place, *flags, expect=expect, env={**lake.at.env, **more})


def tables_of(lake):
    """The tables of the lake's namespace; none without it."""
    try:
        return lake.catalog.load(lake.at).list_tables(lake.namespace)
    except NoSuchNamespaceError:
        return None


def test_check_looks_at_the_table_and_creates_nothing(make_server, command, iceberg_lake, folder):
    lake = iceberg_lake
    printed = check(command, lake, folder, *FORMAT)
    assert f"ok      table     user_sessions: the Iceberg table {lake.namespace}.user_sessions" in printed
    assert "the first commit creates its namespace and it" in printed and "an Iceberg table" in printed
    assert not tables_of(lake) and lake.files() == []
    server = make_server(lake, *ROLLS).start()
    assert server.put(sessions(10)).status == 200
    wait_until(lambda: lake.rows() == 10, 30, "rows are visible", 0.3)
    before = lake.files()
    printed = check(command, lake, folder, *FORMAT)
    assert "at sequence number 1" in printed and "This configuration would start.\n" in printed
    assert lake.files() == before
    # Another template is another table.
    printed = check(command, lake, folder, *FORMAT, "--partition", "", expect=1)
    assert "failed" in printed


def test_a_catalog_that_is_away_keeps_nobody_from_starting(make_server, command, iceberg_lake, folder):
    lake = iceberg_lake
    nowhere = {"SESSIONLAKE_CATALOG_URI": "http://127.0.0.1:9"}
    printed = check(command, lake, folder, *FORMAT, expect=1, **nowhere)
    assert "failed  table     user_sessions: " in printed and "127.0.0.1:9" in printed
    assert "would start and land data, but readers of a table would not see it" in printed
    server = make_server(lake, *ROLLS, env=nowhere).start()
    assert server.put(sessions(10)).status == 200
    wait_until(lambda: trouble(server), 30, "readiness tells of it", 0.3)
    assert "127.0.0.1:9" in trouble(server)
    wait_until(lake.receipts, 30, "the roll has landed", 0.3)
    server.kill()
    assert len(lake.data_files()) == 1 and not tables_of(lake)
    server = make_server(lake, *ROLLS, name="again").start()
    wait_until(lambda: lake.rows() == 10, 30, "rows are visible", 0.3)
    assert trouble(server) == ""


def trouble(server):
    """What readiness tells of tables; bodies are taken all the same."""
    ready = server.get("/health/ready")
    assert ready.status == 200
    told = json.dumps(ready.json.get("trouble", ""))
    return told if "tables" in told else ""


@pytest.mark.parametrize(
    "credentials",
    [{"SESSIONLAKE_CATALOG_CREDENTIAL": f"someone:{SECRET}"}, {"SESSIONLAKE_CATALOG_TOKEN": SECRET}],
    ids=["credential", "token"],
)
def test_credentials_that_the_catalog_does_not_take_are_told_of_at_once(
    make_server, command, seaweedfs_catalog, folder, request, credentials
):
    lake = lake_of(seaweedfs_catalog, request)
    env = {"SESSIONLAKE_CATALOG_CREDENTIAL": "", **credentials}
    printed = check(command, lake, folder, *FORMAT, expect=1, **env)
    assert "failed  table     user_sessions: " in printed and "under [catalog]" in printed, printed
    assert SECRET not in printed
    server = make_server(lake, *ROLLS, env=env).start()
    wait_until(lambda: trouble(server), 10, "readiness tells of it", 0.1)
    assert "under [catalog]" in trouble(server) and SECRET not in trouble(server)
    assert server.put(sessions(10)).status == 200
    server.drain()
    assert SECRET not in server.log.read_text()
    # An import says so before it lands anything.
    (folder / "more.ndjson").write_bytes(sessions(10, "more"))
    files = lake.files()
    printed = command("import", "more.ndjson", *FORMAT, "--lake", lake.at.uri, env={**lake.at.env, **env}, expect=1)
    assert "under [catalog]" in printed and SECRET not in printed
    assert [path for path in lake.files() if path not in files and path.endswith(".parquet")] == []
    server = make_server(lake, *ROLLS, name="again").start()
    wait_until(lambda: lake.rows() == 10, 30, "rows are visible", 0.3)


def test_a_table_of_another_format_is_refused(make_server, command, java_catalog, folder, request):
    lake = lake_of(java_catalog, request)
    server = make_server(lake, *ROLLS).start()
    assert server.put(sessions(10)).status == 200
    wait_until(lambda: lake.rows() == 10, 30, "rows are visible", 0.3)
    server.drain()
    plain = lake.plain()
    for format in ("plain", "delta"):
        printed = check(command, plain, folder, "--table-format", format, expect=1)
        assert "is an Iceberg table in" in printed and 'table_format = \\"iceberg\\"' in printed.replace('"', '\\"')
        (folder / "more.ndjson").write_bytes(sessions(10, "more"))
        flags = ("--table-format", format, "--lake", plain.at.uri)
        printed = command("import", "more.ndjson", *flags, env=plain.at.env, expect=1)
        assert "is an Iceberg table in" in printed
    assert lake.rows() == 10 and not any("_delta_log" in path for path in lake.files())


def test_a_table_that_is_taken_out_of_the_configuration_waits_for_its_return(make_server, java_catalog, folder, request):
    """Bodies in the journal land without a catalog, and are in the table once it is configured again."""
    lake = lake_of(java_catalog, request)
    config = folder / "orders.toml"
    config.write_text(
        'table_format = "plain"\n[[endpoint]]\npath = "/orders"\ntable = "orders"\n'
        f'[[tables]]\nname = "orders"\nschema = "{place.ROOT}/examples/orders.avsc"\nformat = "iceberg"\n'
    )
    flags = ("--config", config, "--roll-age", "1h")
    server = make_server(lake, *flags).start()
    assert server.put(b'{"id":"1"}\n{"id":"2"}\n').status == 200
    server.kill()
    server.lake, server.flags = lake.plain().at, ["--roll-age", "1h"]
    server.start()
    server.drain()
    assert "table orders is an Iceberg table of before" in server.log.read_text()
    assert len(lake.receipts()) == 1 and lake.table("orders") is None
    server.lake, server.flags = lake.at, [str(flag) for flag in flags]
    server.start()
    wait_until(lambda: lake.rows("orders") == 2, 30, "rows are visible", 0.3)
