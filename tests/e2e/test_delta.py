"""Delta tables by their readers: each acknowledged session once, with all its values.

Kills, the store away and several receivers on one table: short forms run every time, `tests/run soak`
runs the long ones. Maintenance by others (OPTIMIZE, DELETE, VACUUM) is in test_delta_maintenance.py.
"""

import json
import os
import time

import pytest
from harness import mounts, stores
from harness.delta import DeltaLake, by_deltalake, by_duckdb, by_files, by_polars, by_spark, differences, rows
from harness.documents import body
from harness.lake import Lake
from harness.load import Load
from harness.log_table import (
    KILLS,
    LANDS,
    become_a_table,
    become_a_table_of_today,
    bodies,
    check_killed_import,
    check_kills,
    copy_of_earlier_build,
    verify,
    write_lands,
)
from harness.process import wait_until
from harness.server import land

FORMAT = ("--table-format", "delta")
ROLLS = (*FORMAT, "--roll-age", "1s", "--roll-rows", "2500", "--decode-threads", "2")
READERS = {"duckdb": by_duckdb, "deltalake": by_deltalake, "polars": by_polars}


@pytest.fixture(scope="module")
def landed(request, store, tmp_path_factory):
    """The same bodies in a Delta table and, by another server, in a plain lake: (table, plain lake)."""
    delta_lake, plain = DeltaLake(store.lake("delta")), Lake(store.lake("delta-plain"))
    for lake, flags in ((delta_lake, FORMAT), (plain, ())):
        land(tmp_path_factory.mktemp("delta-server"), lake.at, ["--roll-age", "1h", *flags], bodies("delta"))
    return delta_lake, plain


@pytest.mark.parametrize("reader", READERS)
def test_readers_see_what_is_in_the_files(landed, reader):
    """All columns of all rows, lists and maps and nulls included, as read_parquet has them."""
    lake, plain = landed
    found, files = rows(READERS[reader](lake)), rows(by_files(lake))
    assert len(files) == 208
    assert not differences(found, files)
    # A plain lake of the same bodies: all but when, and by which node, they were received.
    lineage = ("_ingest_time", "_ingest_id")
    other = plain.connection.execute(f"SELECT * FROM {plain.source()}").to_arrow_table()
    by_content = lambda table: sorted(rows(table, without=lineage), key=repr)  # noqa: E731
    assert not differences(by_content(READERS[reader](lake)), by_content(other))


@pytest.mark.spark
def test_spark_sees_what_is_in_the_files(spark, landed):
    lake, _ = landed
    assert not differences(rows(by_spark(spark, lake)), rows(by_files(lake)))


def test_the_table_says_what_its_columns_are(landed):
    lake, _ = landed
    table = lake.table()
    assert table.metadata().partition_columns == ["date"]
    fields = {field["name"]: field for field in json.loads(table.schema().to_json())["fields"]}
    assert fields["date"]["type"] == "date" and fields["startTime"]["type"] == "timestamp"
    documented = [name for name, field in fields.items() if field["metadata"].get("comment")]
    assert {"userSessionId", "startTime", "userActions"} <= set(documented)
    assert all(field["nullable"] for field in fields.values())
    assert lake.check_table() == len(lake.data_files())


def test_nothing_but_the_log_is_new_in_the_lake(landed):
    """Files are named, and made, as in a plain lake."""
    lake, plain = landed
    shape = lambda files: sorted(path.rsplit("/", 1)[0] for path in files)  # noqa: E731
    assert shape(lake.data_files()) == shape(plain.data_files())
    assert not any("_delta_log" in path for path in plain.files())
    lake.no_leftovers()


def test_each_version_is_a_table_of_its_own(make_server, delta_lake):
    """Time travel: an earlier version has what it had, by deltalake and DuckDB."""
    server = make_server(delta_lake, *FORMAT, "--roll-age", "1s").start()
    versions, sent = {}, []
    for n in range(3):
        ids = [f"v{n}-{m}" for m in range(n + 1)]
        assert server.put(body(*ids)).status == 200
        sent += ids
        wait_until(lambda: len(delta_lake.session_ids()) == len(sent), 30, "the roll is visible")
        versions[delta_lake.table().version()] = sorted(sent)
    server.drain()
    assert len(versions) == 3, versions
    for version, wanted in versions.items():
        table = delta_lake.table(version).to_pyarrow_table(columns=["userSessionId"])
        assert sorted(table["userSessionId"].to_pylist()) == wanted
        at = f"delta_scan('{delta_lake.uri('user_sessions')}', version={version})"
        found = delta_lake.connection.execute(f'SELECT "userSessionId" FROM {at}').fetchall()
        assert sorted(value for (value,) in found) == wanted


def test_partitions_of_any_text_are_read(command, lake, folder):
    """The log's paths are of files whose names are escaped themselves."""
    lake = DeltaLake(lake.at)
    write_lands(folder / "a.ndjson", LANDS)
    partition = ("--partition", "land={country}/date={startTime:%Y-%m-%d}")
    command("import", "a.ndjson", *FORMAT, *partition, "--lake", lake.at.uri, env=lake.at.env)
    for name, reader in READERS.items():
        if name == "polars" and lake.at.uri.startswith("s3:"):
            continue  # Polars 2.1 asks a bucket for names that it has escaped once more.
        found = [(row["land"], row["country"]) for row in rows(reader(lake))]
        assert sorted(found, key=str) == sorted(((v, v) for v in LANDS), key=str), name
    for value in LANDS:
        same = "IS NOT DISTINCT FROM"
        counted = lake.connection.execute(f"SELECT count(*) FROM {lake.source()} WHERE land {same} ?", [value])
        assert counted.fetchall() == [(1,)], value
    lake.check_table()


@KILLS
def test_receivers_of_one_table_are_killed(make_server, request, store, command, form):
    """Several nodes commit to one table side by side, each killed at any moment."""
    lake = DeltaLake(store.lake(f"delta-kills-{form['kills']}"))
    check_kills(request, make_server, lake, ROLLS, form, store.name)
    verify(lake, command)
    lake.no_leftovers()


def test_a_killed_import_goes_on(folder, command, delta_lake):
    """Killed over and over at growing times: with the same command, every row is in the table once."""
    check_killed_import(command, delta_lake, folder, FORMAT, 3000, 500)


def test_a_plain_lake_becomes_a_table_whole(make_server, command, lake, folder):
    """Rolls of a server and of an import that landed before are in the table with the first start."""
    lake = DeltaLake(lake.at)
    become_a_table(make_server, command, lake, lake, folder, FORMAT)
    assert not differences(rows(by_deltalake(lake)), rows(by_files(lake)))


def test_a_lake_of_the_earlier_build_becomes_a_table(make_server, folder):
    """Its receipts have no statistics and no partition values: its rows are in the table all the same."""
    before = copy_of_earlier_build(folder / "before")
    lake = DeltaLake(stores.LocalStore(before).lake("lake"))
    ids = become_a_table_of_today(make_server, lake, before, FORMAT)
    landed = [row for row in rows(by_files(lake)) if row["userSessionId"] in ids]
    assert not differences(rows(by_deltalake(lake)), landed)


AWAY_SHORT = {"before_s": 3, "away_s": 6, "rate": 10}
AWAY_LONG = {"before_s": 60, "away_s": 300, "rate": float(os.environ.get("SESSIONLAKE_AWAY_RATE", "32"))}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(AWAY_SHORT, id="short"),
        pytest.param(AWAY_LONG, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
def test_the_log_cannot_be_written(make_server, delta_lake, command, form):
    """Answers stay 200 and as quick, rolls land and wait, and then one commit takes all of them."""
    server = make_server(delta_lake, *ROLLS).start()
    load = Load(server, form["rate"]).start()
    wait_until(delta_lake.session_ids, 30, "something is visible", 0.3)
    begin = time.monotonic()
    time.sleep(form["before_s"])
    with mounts.read_only(f"{delta_lake.at.base}/user_sessions/_delta_log") as reason:
        if reason is not None:
            load.stop()
            pytest.skip(f"the log cannot be made read-only: {reason}")
        away, version, landed = time.monotonic(), delta_lake.table().version(), delta_lake.landed()
        time.sleep(form["away_s"])
        assert delta_lake.landed() > landed, "nothing lands without the log"
        ready = server.get("/health/ready")
        assert ready.status == 200 and "tables" in json.dumps(ready.json["trouble"]), ready.json
        waiting = server.metrics()["sessionlake_waiting_rolls"]
        assert waiting >= 1 and delta_lake.table().version() == version
        back = time.monotonic()
    wait_until(lambda: server.metrics()["sessionlake_waiting_rolls"] <= 1, 60, "all is visible", 0.2)
    load.stop()
    server.drain(timeout_s=200)
    assert set(load.statuses) == {200} and load.broken == 0, load.statuses
    delta_lake.check_visible([load], f"no log for {back - away:.0f} s, {waiting:.0f} rolls waited")
    rolls = delta_lake.rolls_of_commit(version + 1)
    p99 = load.latency_s(0.99, begin, away), load.latency_s(0.99, away, back)
    print(
        f"{load.megabytes_per_s():.1f} MB/s; answers within {p99[0] * 1e3:.0f} ms (p99) before and"
        f" {p99[1] * 1e3:.0f} ms without the log; {len(rolls)} rolls in the first commit afterwards"
    )
    assert len(rolls) >= waiting, "what waited is not one commit"
    assert p99[1] < 2 * p99[0] + 0.2, p99
    verify(delta_lake, command)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_the_store_is_away(make_server, own_store, command, how):
    """Answers stay 200; when the store is back, all that waited becomes visible, once."""
    lake = DeltaLake(own_store.lake("delta-away"))
    flags = ("--store-timeout", "2s", "--disk-reserve", "1GiB")
    server = make_server(lake, *ROLLS, *flags).start()
    load = Load(server, 10).start()
    wait_until(lambda: lake.session_ids(), 30, "something is visible", 0.3)
    {"killed": own_store.kill, "stopped": own_store.pause}[how]()
    acked = load.sessions()
    time.sleep(6)
    assert load.sessions() > acked, "acks stopped with the store"
    assert server.get("/health/ready").status == 200
    {"killed": own_store.start_again, "stopped": own_store.resume}[how]()
    time.sleep(2)
    load.stop()
    wait_until(lambda: len(lake.session_ids()) >= load.sessions(), 90, "all is visible", 1)
    server.drain(timeout_s=200)
    assert set(load.statuses) == {200} and load.broken == 0, load.statuses
    lake.check_visible([load], f"store {how}")
    verify(lake, command)


def test_what_landed_before_a_kill_is_visible_after_it(make_server, delta_lake):
    """A roll may have landed and be in no table: the next start sees to it, with nothing new to land."""
    server = make_server(delta_lake, *FORMAT, "--roll-age", "1s").start()
    sent = []
    for n in range(8):
        ids = [f"n{n}-{m}" for m in range(20)]
        assert server.put(body(*ids)).status == 200
        sent += ids
        wait_until(lambda: delta_lake.landed() >= len(sent), 30, "landed", 0.002)
        server.kill()
        server.start()
    wait_until(lambda: len(delta_lake.session_ids()) >= len(sent), 30, "visible")
    server.drain()
    assert sorted(delta_lake.session_ids()) == sorted(sent)
    delta_lake.check_table()
