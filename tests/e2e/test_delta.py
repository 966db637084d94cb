"""Delta tables by their readers: each acknowledged session once, with all its values.

Kills, the store away and several receivers on one table: short forms run every time, `tests/run soak`
runs the long ones. Maintenance by others (OPTIMIZE, DELETE, VACUUM) is in test_delta_maintenance.py.
"""

import json
import os
import random
import shutil
import time

import pytest
from harness import mounts, place, stores
from harness import spark as spark_harness
from harness.delta import DeltaLake, by_deltalake, by_duckdb, by_files, by_polars, by_spark, differences, rows
from harness.documents import body
from harness.lake import Lake
from harness.load import Load, check_all
from harness.process import kill_until_done, wait_until
from harness.server import Server
from sessions import Sessions

FORMAT = ("--table-format", "delta")
ROLLS = (*FORMAT, "--roll-age", "1s", "--roll-rows", "2500", "--decode-threads", "2")
READERS = {"duckdb": by_duckdb, "deltalake": by_deltalake, "polars": by_polars}
FIXTURE = place.ROOT / "tests/data/build-0.1.0"

ODD = b"""{"userSessionId":"no time"}
{"userSessionId":"too late","startTime":9223372036854775807}
{"userSessionId":"long ago","startTime":-1,"city":"","isp":null,"bounce":false,"notAColumn":{"a":[1]}}
{"userSessionId":"tags","startTime":1793534400001,"stringTags":{"a":"b","":"\\u0000"},"numTags":{"x":-0.0}}
"""


def bodies():
    yield place.CURL_CHECK.read_bytes()
    yield place.CLASSIC.read_bytes()
    yield Sessions("delta", days=3).bulk(200)[1]
    yield ODD


@pytest.fixture(scope="module")
def landed(request, store, tmp_path_factory):
    """The same bodies in a Delta table and, by another server, in a plain lake: (table, plain lake)."""
    delta_lake, plain = DeltaLake(store.lake("delta")), Lake(store.lake("delta-plain"))
    for lake, flags in ((delta_lake, FORMAT), (plain, ())):
        server = Server(tmp_path_factory.mktemp("delta-server"), lake.at, ["--roll-age", "1h", *flags])
        server.start()
        try:
            for one in bodies():
                assert server.put(one).status == 200
            server.drain()
        finally:
            server.close()
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
    assert lake.check_log() == len(lake.data_files())


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


LANDS = ["Trinidad & Tobago", "a+b c%20d", "a=b", "a/b?c#d", "Côte d'Ivoire", '"x"', "日本", "..", "%47ermany", None]


def test_partitions_of_any_text_are_read(command, lake, folder):
    """The log's paths are of files whose names are escaped themselves."""
    lake = DeltaLake(lake.at)
    lines = [{"userSessionId": f"s{n}", "startTime": 1793534400000, "country": v} for n, v in enumerate(LANDS)]
    (folder / "a.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
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
    lake.check_log()


def visible_once(lake, loads, what):
    """After the last drain: DuckDB and deltalake see each acked session once; the log has each file once."""
    total = check_all(loads, lake.session_ids())
    by_python = lake.table().to_pyarrow_table(columns=["userSessionId"])["userSessionId"].to_pylist()
    assert check_all(loads, by_python) == total
    files, version = lake.check_log(), lake.table().version()
    acked = sum(load.sessions() for load in loads)
    print(f"\n{what}: {acked} sessions acked, {total} in the table, {files} files, version {version}: 0 missing, 0 doubled")
    assert acked > 500, "too little was sent for this to mean anything"
    return total


def verify(lake, command):
    report = json.loads(command("verify", lake.at.uri, "--json", "--rows", env=lake.at.env, timeout_s=600))
    assert report["problems"] == [], report["problems"][:10]


SHORT = {"receivers": 3, "kills": 7, "rate": 6}
LONG = {"receivers": 4, "kills": 40, "rate": 8}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(LONG, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
def test_receivers_of_one_table_are_killed(make_server, request, store, command, form):
    """Several nodes commit to one table side by side, each killed at any moment. The long form reads the
    table with Spark, too."""
    lake = DeltaLake(store.lake(f"delta-kills-{form['kills']}"))
    servers = [make_server(lake, *ROLLS, name=f"r{n}").start() for n in range(form["receivers"])]
    loads = [Load(server, form["rate"], threads=1, tag=f"r{n}-").start() for n, server in enumerate(servers)]
    chance = random.Random(form["kills"])
    for number in range(form["kills"]):
        time.sleep(0.2 + chance.random())
        server = servers[number % len(servers)]
        server.kill()
        server.start()
    time.sleep(1)
    for load in loads:
        load.stop()
    for server in servers:
        server.drain(timeout_s=250)
    visible_once(lake, loads, f"{form['receivers']} receivers, {form['kills']} kills, {store.name}")
    if form is LONG and not place.left_out("spark"):
        spark = request.getfixturevalue("spark")
        at = spark_harness.reach(spark, lake.at)
        frame = spark.read.format("delta").load(at).select("userSessionId")
        ids = frame.toArrow()["userSessionId"].to_pylist()
        print(f"by Spark: {check_all(loads, ids)} sessions, 0 missing, 0 doubled")
    verify(lake, command)
    lake.no_leftovers()


def test_a_killed_import_goes_on(folder, command, delta_lake):
    """Killed over and over at growing times: with the same command, every row is in the table once."""
    source = Sessions("killed", days=3)
    ids = []
    for name in ("a", "b"):
        some, data = source.bulk(3000)
        ids += some
        (folder / name).write_bytes(data)
    arguments = ["import", "a", "b", *FORMAT, "--roll-rows", "500", "--lake", delta_lake.at.uri]
    kill_until_done([place.binary(), *arguments], folder, 1.35, b"left out: a, b.")
    assert sorted(delta_lake.session_ids()) == sorted(ids)
    delta_lake.check_log()
    verify(delta_lake, command)
    assert "--again" in command(*arguments, expect=1)
    assert sorted(delta_lake.session_ids()) == sorted(ids)


def test_a_plain_lake_becomes_a_table_whole(make_server, command, lake, folder):
    """Rolls of a server and of an import that landed before are in the table with the first start."""
    lake = DeltaLake(lake.at)
    ids, data = Sessions("earlier", days=3).bulk(150)
    (folder / "a.ndjson").write_bytes(data)
    command("import", "a.ndjson", "--lake", lake.at.uri, env=lake.at.env)
    server = make_server(lake, "--roll-age", "1s").start()
    for n in range(3):
        some, data = Sessions(f"served{n}", days=2).bulk(40)
        assert server.put(data).status == 200
        ids += some
        lake.wait_landed(len(ids))
    waiting, data = Sessions("waiting").bulk(10)
    assert server.put(data).status == 200
    server.kill()
    before = lake.data_files()
    server.flags += FORMAT
    server.start()
    wait_until(lambda: set(lake.session_ids()) >= {*ids, *waiting}, 60, "all is in the table")
    server.drain()
    assert sorted(lake.session_ids()) == sorted([*ids, *waiting])
    assert set(before) <= set(lake.data_files())
    assert not differences(rows(by_deltalake(lake)), rows(by_files(lake)))
    lake.check_log()
    verify(lake, command)


def test_a_lake_of_the_earlier_build_becomes_a_table(make_server, command, folder):
    """Its receipts have no statistics and no partition values: its rows are in the table all the same."""
    before = folder / "before"
    shutil.copytree(FIXTURE, before)
    lake = DeltaLake(stores.LocalStore(before).lake("lake"))
    server = make_server(lake, "--config", "sessionlake.toml", *FORMAT, cwd=before)
    server.state = before / "state"
    server.start()
    server.put(b'{"userSessionId":"new","startTime":1767268800000}\n')
    server.drain()
    # What an interrupted import left has no receipt: it is in the folder, and not in the table.
    ids = lake.session_ids()
    assert {"s1", "s6", "s7", "s12", "i1", "i2", "new"} <= set(ids) and len(ids) == len(set(ids))
    assert not {"a1", "a2", "a3", "b1", "b2", "b3"} & set(ids)
    landed = [row for row in rows(by_files(lake)) if row["userSessionId"] in ids]
    assert not differences(rows(by_deltalake(lake)), landed)
    lake.check_log()


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
    visible_once(delta_lake, [load], f"no log for {back - away:.0f} s, {waiting:.0f} rolls waited")
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
    visible_once(lake, [load], f"store {how}")
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
    delta_lake.check_log()
