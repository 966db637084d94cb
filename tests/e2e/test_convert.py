"""Plain lakes that become tables with a log by `convert`, tables made by `table create|upgrade`, and what
`verify` and `inspect` say of them."""

import json
import shutil

import pytest
from harness import place, stores
from harness.delta import DeltaLake, by_deltalake, by_files, differences, rows
from harness.documents import body
from harness.iceberg import IcebergLake
from harness.iceberg import by_duckdb as iceberg_by_duckdb
from harness.log_table import copy_of_earlier_build, land_plain
from harness.process import kill_until_done, wait_until
from sessions import Sessions

FORMAT = ("--table-format", "delta")
ICEBERG = ("--table-format", "iceberg")
EVERY_SECOND = ("--roll-age", "1s")


def verify(lake, command):
    report = json.loads(command("verify", lake.at.uri, "--json", env=lake.at.env))
    assert report["problems"] == [], report["problems"][:10]
    return report


def trouble(server):
    reply = server.get("/health/ready")
    assert reply.status == 200
    return reply.text


def test_a_plain_lake_is_converted_beside_its_receiver(make_server, command, lake, folder):
    """The running receiver of plain files takes bodies, lands none, says why, and loses nothing."""
    lake = DeltaLake(lake.at)
    ids, server = land_plain(make_server, command, lake, folder, 1)
    to = ("convert", "--to", "delta", "--lake", lake.at.uri)
    said = command(*to, env=lake.at.env)
    assert "created; " in said and "of 2 nodes added" in said and "table_format = \"delta\"" in said, said
    assert sorted(lake.session_ids()) == sorted(ids)
    assert not differences(rows(by_deltalake(lake)), rows(by_files(lake)))
    # Again: nothing is added.
    version = lake.table().version()
    assert "no roll waited" in command(*to, env=lake.at.env)
    assert lake.table().version() == version
    verify(lake, command)
    kept, data = Sessions("kept").bulk(30)
    assert server.put(data).status == 200
    wait_until(lambda: "table_format" in trouble(server), 60, "readiness says why nothing lands")
    before = lake.data_files()
    assert server.put(body("kept-too")).status == 200
    server.kill()
    assert lake.data_files() == before
    server.flags += FORMAT
    server.start()
    wait_until(lambda: len(lake.session_ids()) >= len(ids) + 31, 60, "what was kept is in the table")
    server.drain()
    assert sorted(lake.session_ids()) == sorted([*ids, *kept, "kept-too"])
    lake.check_table()
    verify(lake, command)


def test_the_lake_of_the_earlier_build_is_converted(command, folder):
    """Its receipts have no statistics and no partition values."""
    copy_of_earlier_build(folder / "before")
    lake = DeltaLake(stores.LocalStore(folder / "before").lake("lake"))
    at = ("--lake", lake.at.uri, "--config", folder / "before/sessionlake.toml")
    assert "created; " in command("convert", "--to", "delta", *at, cwd=folder / "before")
    ids = lake.session_ids()
    assert {"s1", "s6", "i1", "i2"} <= set(ids) and len(ids) == len(set(ids))
    landed = [row for row in rows(by_files(lake)) if row["userSessionId"] in ids]
    assert not differences(rows(by_deltalake(lake)), landed)
    lake.check_table()


def test_a_killed_conversion_goes_on(command, delta_lake, folder):
    """Killed over and over at growing times; each file is in the table once."""
    ids = []
    for n in range(4):
        some, data = Sessions(f"k{n}", days=10).bulk(400)
        ids += some
        (folder / f"{n}.ndjson").write_bytes(data)
        command("import", f"{n}.ndjson", "--roll-rows", "100", "--lake", delta_lake.at.uri)
    arguments = ["convert", "--to", "delta", "--lake", delta_lake.at.uri]
    kill_until_done([place.binary(), *arguments], folder, 1.35, b"no roll waited", first_s=0.01)
    command(*arguments)
    assert sorted(delta_lake.session_ids()) == sorted(ids)
    delta_lake.check_table()
    verify(delta_lake, command)


def test_a_table_is_created_then_upgraded(command, delta_lake, folder):
    at = ("--lake", delta_lake.at.uri, *FORMAT)
    few = {"type": "record", "name": "t", "fields": [
        {"name": "userSessionId", "type": ["null", "string"]},
        {"name": "startTime", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
    ]}  # fmt: skip
    (folder / "few.avsc").write_text(json.dumps(few))
    assert "would be created" in command("table", "create", "--dry-run", *at)
    assert not (folder / "lake").exists()
    assert "created" in command("table", "create", *at, "--schema", "few.avsc")
    assert delta_lake.table().version() == 0 and delta_lake.session_ids() == []
    assert "is there, and lacks " in command("table", "create", *at)
    assert "would get " in command("table", "upgrade", "--dry-run", *at)
    assert delta_lake.table().version() == 0
    assert "has got " in command("table", "upgrade", *at)
    assert delta_lake.table().version() == 1
    assert "with all columns" in command("table", "upgrade", *at)
    assert "userActions" in [field.name for field in delta_lake.table().schema().fields]
    (folder / "a.ndjson").write_bytes(body("a"))
    assert "is a Delta table" in command(
        "import", "a.ndjson", "--lake", delta_lake.at.uri, expect=1
    )
    command("import", "a.ndjson", *at)
    assert delta_lake.session_ids() == ["a"]


def test_a_table_that_was_deleted_is_refused_over_restarts(make_server, command, delta_lake, folder):
    """Its rolls would all be added again to what somebody has made in its place."""
    server = make_server(delta_lake, *FORMAT, *EVERY_SECOND).start()
    assert server.put(body("a", "b")).status == 200
    wait_until(lambda: len(delta_lake.session_ids()) == 2, 30, "visible")
    server.drain()
    shutil.rmtree(folder / "lake/user_sessions/_delta_log")
    server.start()
    assert server.put(body("c")).status == 200
    wait_until(lambda: "--anew" in trouble(server), 60, "readiness says that the table is gone")
    delta_lake.wait_landed(3)
    assert not (folder / "lake/user_sessions/_delta_log").exists()
    at = ("--lake", delta_lake.at.uri, *FORMAT)
    assert "--anew" in command("table", "create", *at, expect=1)
    command("table", "create", "--anew", *at)
    wait_until(lambda: len(delta_lake.session_ids()) == 3, 60, "the receiver goes on with the new table")
    server.drain()
    assert sorted(delta_lake.session_ids()) == ["a", "b", "c"]
    delta_lake.check_table()
    verify(delta_lake, command)


def test_an_import_into_a_plain_lake_adds_what_others_have_landed(make_server, command, delta_lake, folder):
    server = make_server(delta_lake).start()
    assert server.put(body("served")).status == 200
    server.drain()
    (folder / "a.ndjson").write_bytes(body("a"))
    said = command("import", "a.ndjson", *FORMAT, "--lake", delta_lake.at.uri)
    assert "rolls of 1 other nodes" in said, said
    assert sorted(delta_lake.session_ids()) == ["a", "served"]
    delta_lake.check_table()


def log_of(report):
    """The only table with a log."""
    [log] = report["logs"]
    return log


def test_a_plain_lake_is_converted_to_iceberg(make_server, command, iceberg_lake, folder):
    lake = iceberg_lake
    plain = lake.plain()
    ids, server = land_plain(make_server, command, plain, folder, 1)
    to = ("convert", "--to", "iceberg", "--lake", lake.at.uri)
    assert "and no catalog is configured" in command(*to, env=plain.at.env, expect=1)
    said = command(*to, env=lake.at.env)
    assert "created; " in said and "of 2 nodes added" in said, said
    assert sorted(lake.session_ids()) == sorted(ids)
    hidden = ("date",)
    assert not differences(rows(iceberg_by_duckdb(lake), without=hidden), rows(by_files(lake), without=hidden))
    snapshots = len(lake.snapshots())
    assert "no roll waited" in command(*to, env=lake.at.env)
    assert len(lake.snapshots()) == snapshots
    log = log_of(verify(lake, command))
    files = lake.check_table()
    assert (log["format"], log["files"], log["foreign_files"], log["waiting_rolls"]) == ("iceberg", files, 0, {})
    # The receiver of plain files goes on taking bodies, and lands none.
    assert server.put(body("kept")).status == 200
    wait_until(lambda: "table_format" in trouble(server), 60, "readiness says why nothing lands")
    server.kill()
    server.lake, server.flags = lake.at, [*server.flags, *ICEBERG]
    server.start()
    wait_until(lambda: "kept" in lake.session_ids(), 60, "what was kept is in the table")
    server.drain()
    assert sorted(lake.session_ids()) == sorted([*ids, "kept"])
    lake.check_table()


def test_verify_and_inspect_look_into_the_catalog(command, iceberg_lake, folder):
    """Other people's appends are told and no error; a table that nobody can ask for is one."""
    lake = iceberg_lake
    (folder / "a.ndjson").write_bytes(body("a", "b"))
    # pyiceberg writes tables without partitions alone, by what is installed here.
    command("import", "a.ndjson", *ICEBERG, "--partition", "", "--lake", lake.at.uri, env=lake.at.env)
    report = json.loads(command("inspect", lake.at.uri, "--json", env=lake.at.env))
    [log] = [table["log"] for table in report["tables"] if table.get("log")]
    snapshot = lake.table().current_snapshot()
    assert log["format"] == "iceberg" and log["snapshot_id"] == snapshot.snapshot_id
    assert log["version"] == snapshot.sequence_number and list(log["marks"].values()) == [1]
    assert f"snapshot {snapshot.snapshot_id}" in command("inspect", lake.at.uri, env=lake.at.env)
    table = lake.table()
    table.append(table.scan(row_filter="userSessionId == 'a'").to_arrow())
    log = log_of(verify(lake, command))
    assert (log["files"], log["foreign_files"]) == (1, 1)
    # A rewrite by another writer: our file is replaced, and no row is missed.
    table = lake.table()
    table.overwrite(table.scan().to_arrow())
    log = log_of(verify(lake, command))
    assert (log["files"], log["replaced"]) == (0, 1) and log["foreign_files"] >= 1
    # Without the catalog nothing is known, and that is said.
    plain = lake.plain()
    assert "[catalog]" in command("verify", lake.at.uri, env=plain.at.env, expect=1)
    assert "[catalog]" in command("inspect", lake.at.uri, env=plain.at.env, expect=1)


# SeaweedFS' catalog is its store as well: nothing lands without it.
@pytest.mark.parametrize("own_catalog", ["java"], indirect=True)
def test_rolls_that_wait_for_a_catalog_are_counted_and_added_by_convert(make_server, command, own_catalog):
    lake = IcebergLake(own_catalog.lake("waiting"), own_catalog)
    server = make_server(lake, *ICEBERG, *EVERY_SECOND).start()
    assert server.put(body("a")).status == 200
    wait_until(lambda: lake.session_ids() == ["a"], 60, "visible")
    assert "checkpoints written" in command("verify", lake.at.uri, "--checkpoint", env=lake.at.env)
    own_catalog.kill()
    for name in ("b", "c"):
        assert server.put(body(name)).status == 200
        wait_until(lambda: lake.landed() >= 1 + " bc".index(name), 60, "landed")  # noqa: B023
    server.kill()
    assert "metadata" in command("verify", lake.at.uri, env=lake.at.env, expect=1)
    own_catalog.start_again()
    log = log_of(verify(lake, command))
    assert list(log["waiting_rolls"].values()) == [2] and log["files"] == 1
    since = json.loads(
        command("verify", lake.at.uri, "--json", "--since", "checkpoint", "--checkpoint", env=lake.at.env).split("\n}")[0]
        + "\n}"
    )
    assert list(log_of(since)["waiting_rolls"].values()) == [2]
    said = command("convert", *ICEBERG, "--lake", lake.at.uri, env=lake.at.env)
    assert "2 rolls" in said and "of 1 node added" in said, said
    assert sorted(lake.session_ids()) == ["a", "b", "c"]
    assert log_of(verify(lake, command))["waiting_rolls"] == {}
    lake.check_table()


def test_an_iceberg_table_that_was_dropped_is_refused_over_restarts(make_server, command, iceberg_lake):
    lake = iceberg_lake
    server = make_server(lake, *ICEBERG, *EVERY_SECOND).start()
    assert server.put(body("a", "b")).status == 200
    wait_until(lambda: len(lake.session_ids()) == 2, 60, "visible")
    server.drain()
    lake.catalog.load(lake.at).drop_table(f"{lake.namespace}.user_sessions")
    server.start()
    assert server.put(body("c")).status == 200
    wait_until(lambda: "--anew" in trouble(server), 60, "readiness says that the table is gone")
    assert lake.table() is None
    at = ("--lake", lake.at.uri, *ICEBERG)
    assert "--anew" in command("table", "create", *at, env=lake.at.env, expect=1)
    assert "created" in command("table", "create", "--anew", *at, env=lake.at.env)
    wait_until(lambda: len(lake.session_ids()) == 3, 60, "the receiver goes on with the new table")
    server.drain()
    assert sorted(lake.session_ids()) == ["a", "b", "c"]
    lake.check_table()
    verify(lake, command)
