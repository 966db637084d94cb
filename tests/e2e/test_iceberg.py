"""Iceberg tables in real catalogs, by their readers: each acknowledged session once, with all its values.

Kills, the catalog away, answers of it that are lost, and several receivers on one table: short forms run
every time, `tests/run soak` runs the long ones. Maintenance by Spark is in test_iceberg_maintenance.py.
"""

import datetime
import functools
import json
import os
import time

import pytest
from conftest import need
from harness import catalogs, place, stores
from harness.delta import by_files, differences, rows
from harness.documents import body, document
from harness.iceberg import MARK, IcebergLake, by_duckdb, by_pyiceberg, by_spark, without_empty_lists
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
from harness.unsure import UnsureCatalog
from pyiceberg.catalog import load_catalog
from pyiceberg.transforms import DayTransform, IdentityTransform

FORMAT = ("--table-format", "iceberg")
ROLLS = (*FORMAT, "--roll-age", "1s", "--roll-rows", "2500", "--decode-threads", "2")
READERS = {"duckdb": by_duckdb, "pyiceberg": by_pyiceberg}
# The day of a session is a hidden partition of an Iceberg table, and a column of a plain one.
HIDDEN = ("date",)
DAY = datetime.timedelta(days=1)


def seen_by(reader, lake, without=HIDDEN):
    """The table's rows by a reader, for `differences`."""
    found = rows(READERS[reader](lake), without=without)
    return without_empty_lists(found) if reader == "pyiceberg" else found


def there(lake, reader="duckdb", without=HIDDEN):
    """The rows of all files, as that reader can tell them."""
    found = rows(by_files(lake), without=without)
    return without_empty_lists(found) if reader == "pyiceberg" else found


@pytest.fixture(scope="module")
def landed(catalog_and_place, tmp_path_factory):
    """The same bodies in an Iceberg table and, by another server, in a plain lake: (table, plain lake)."""
    catalog = catalog_and_place
    name = f"landed-{catalog.name}"
    lake = IcebergLake(catalog.lake(name), catalog, name.replace("-", "_"))
    plain = Lake(catalog.lake(f"{name}-plain"))
    for one, flags in ((lake, FORMAT), (plain, ())):
        land(tmp_path_factory.mktemp("iceberg-server"), one.at, ["--roll-age", "1h", *flags], bodies("iceberg"))
    return lake, plain


@pytest.mark.parametrize("reader", READERS)
def test_readers_see_what_is_in_the_files(landed, reader):
    """All columns of all rows, lists and maps and nulls included, as read_parquet has them."""
    lake, plain = landed
    files = there(lake, reader)
    assert len(files) == 208
    assert not differences(seen_by(reader, lake), files)
    # A plain lake of the same bodies: all but when, and by which node, they were received.
    lineage = (*HIDDEN, "_ingest_time", "_ingest_id")
    by_content = lambda found: sorted(found, key=repr)  # noqa: E731
    other = by_content(there(plain, reader, lineage))
    assert not differences(by_content(seen_by(reader, lake, lineage)), other)


@pytest.mark.spark
def test_spark_sees_what_is_in_the_files(spark, landed):
    lake, _ = landed
    assert not differences(rows(by_spark(spark, lake)), there(lake))


def test_the_table_says_what_its_columns_are(landed):
    lake, _ = landed
    table = lake.table()
    assert table.format_version == 2
    fields = {field.name: field for field in table.schema().fields}
    documented = {name for name, field in fields.items() if field.doc}
    assert {"userSessionId", "startTime", "userActions"} <= documented
    assert not any(field.required for field in fields.values())
    [day] = table.spec().fields
    assert day.source_id == fields["startTime"].field_id and day.transform == DayTransform()
    mapped = {field.field_id for field in table.name_mapping().root}
    assert mapped == {field.field_id for field in fields.values()}
    assert lake.check_table() == len(lake.data_files())


def test_the_queries_of_the_document(landed):
    """Those of docs/iceberg.md, with the addresses and names of the catalog at hand."""
    lake, _ = landed
    if lake.catalog.credential is None:
        pytest.skip("they are for a catalog with credentials")
    key, secret = lake.catalog.credential.split(":")
    text = (place.ROOT / "docs/iceberg.md").read_text()
    for a, b in {
        "https://catalog.example.com/api/catalog": lake.catalog.uri,
        "'id'": f"'{key}'",
        "'secret'": f"'{secret}'",
        "id:secret": lake.catalog.credential,
        "ATTACH 'lake'": f"ATTACH '{lake.catalog.warehouse}'",
        'warehouse="lake"': f'warehouse="{lake.catalog.warehouse}"',
        "sessionlake.user_sessions": f"{lake.namespace}.user_sessions",
    }.items():
        text = text.replace(a, b)
    by_duckdb, by_python = (text.split(start)[1].split("```")[0] for start in ("-- DuckDB\n", "# pyiceberg\n"))
    lake.forget()
    sql = by_duckdb.replace("INSTALL iceberg; LOAD iceberg;", "")
    assert lake.connection.execute(sql).fetchall() == [(208,)]
    *_, query = by_python.strip().splitlines()
    names = {"load_catalog": functools.partial(load_catalog, **lake.catalog.s3_of(lake.at))}
    exec(by_python.replace(query, f"found = {query}"), names)
    assert len(names["found"]) == 208


def test_nothing_but_metadata_is_new_in_the_lake(landed):
    """Files are named, and made, as in a plain lake."""
    lake, plain = landed
    shape = lambda files: sorted(path.rsplit("/", 1)[0] for path in files)  # noqa: E731
    assert shape(lake.data_files()) == shape(plain.data_files())
    of_table = {path.split("/")[1] for path in lake.files("user_sessions") if path not in lake.data_files()}
    assert of_table == {"metadata"}
    lake.no_leftovers()


def test_days_are_pruned_and_nothing_is_lost(landed):
    """Each day's rows by a condition on the time; a day's files alone are read for it."""
    lake, _ = landed
    days = lake.connection.execute(
        f'SELECT date_trunc(\'day\', "startTime") AS day, count(*) FROM {lake.files_source()} GROUP BY 1'
    ).fetchall()
    assert len(days) == 7 and None in dict(days)
    for day, count in days:
        if day is None:
            sql, condition = '"startTime" IS NULL', "startTime is null"
        else:
            a, b = day.isoformat(), (day + DAY).isoformat()
            sql = f"\"startTime\" >= TIMESTAMPTZ '{a}' AND \"startTime\" < TIMESTAMPTZ '{b}'"
            condition = f"startTime >= '{a}' and startTime < '{b}'"
        assert lake.query(f"SELECT count(*) FROM {{t}} WHERE {sql}") == [(count,)]
        scan = lake.table().scan(row_filter=condition)
        assert len(scan.to_arrow()) == count
        # Files of the day, and those whose rows can be of any.
        planned = {task.file.file_path.split("/")[-2] for task in scan.plan_files()}
        assert len(planned) <= 2, planned


def test_each_snapshot_is_a_table_of_its_own(make_server, iceberg_lake):
    """Time travel: an earlier snapshot has what it had, by pyiceberg and DuckDB."""
    lake = iceberg_lake
    server = make_server(lake, *FORMAT, "--roll-age", "1s").start()
    snapshots, sent = {}, []
    for n in range(3):
        ids = [f"v{n}-{m}" for m in range(n + 1)]
        assert server.put(body(*ids)).status == 200
        sent += ids
        wait_until(lambda: len(lake.session_ids()) == len(sent), 30, "the roll is visible")
        snapshots[lake.table().current_snapshot().snapshot_id] = sorted(sent)
    server.drain()
    assert len(snapshots) == 3 == len(lake.snapshots())
    for snapshot, wanted in snapshots.items():
        scan = lake.table().scan(snapshot_id=snapshot, selected_fields=("userSessionId",))
        assert sorted(scan.to_arrow()["userSessionId"].to_pylist()) == wanted
        found = lake.query(f'SELECT "userSessionId" FROM {{t}} AT (VERSION => {snapshot})')
        assert sorted(value for (value,) in found) == wanted


def test_partitions_of_any_text_are_read(command, iceberg_lake, folder):
    """Names of files are escaped; the catalog has them as they are. An empty text is not null."""
    lake = iceberg_lake
    lands = ["", *LANDS]
    write_lands(folder / "a.ndjson", lands)
    partition = ("--partition", "land={country}/date={startTime:%Y-%m-%d}")
    command("import", "a.ndjson", *FORMAT, *partition, "--lake", lake.at.uri, env=lake.at.env)
    for reader in READERS:
        found = [row["country"] for row in seen_by(reader, lake)]
        assert sorted(found, key=str) == sorted(lands, key=str), reader
    for value in lands:
        sql = f"SELECT count(*) FROM {lake.source()} WHERE country IS NOT DISTINCT FROM ?"
        assert lake.connection.execute(sql, [value]).fetchall() == [(1,)], value
    assert [field.transform for field in lake.table().spec().fields] == [IdentityTransform(), DayTransform()]
    lake.check_table()


def test_rows_of_the_overflow_are_found_by_their_days(make_server, iceberg_lake):
    """They are of days that are too far from now: in files of no day, that every reader looks into."""
    lake = iceberg_lake
    server = make_server(lake, *FORMAT, "--roll-age", "1h").start()
    first = 1_793_534_400_000  # 2026-11-01
    lines = [document(f"s{n}", first + n * 86_400_000) + b"\n" for n in range(40)]
    assert server.put(b"".join(lines)).status == 200
    server.drain()
    assert any("/date=0001-01-01/" in path for path in lake.data_files())
    assert sorted(lake.session_ids()) == sorted(f"s{n}" for n in range(40))
    for n in (0, 1, 17, 39):
        at = first + n * 86_400_000
        time = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).isoformat()
        found = lake.query(f'SELECT "userSessionId" FROM {{t}} WHERE "startTime" = TIMESTAMPTZ \'{time}\'')
        assert found == [(f"s{n}",)]
        by_python = by_pyiceberg(lake, row_filter=f"startTime == '{time}'")
        assert by_python["userSessionId"].to_pylist() == [f"s{n}"]
    lake.check_table()


SCHEMA = {
    "type": "record",
    "name": "orders",
    "fields": [
        {"name": "id", "type": ["null", "string"], "default": None},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": None},
        {
            "name": "parts",
            "default": None,
            "type": ["null", {"type": "array", "items": {
                "type": "record",
                "name": "part",
                "fields": [{"name": "name", "type": ["null", "string"], "default": None}],
            }}],
        },
    ],
}  # fmt: skip


def test_a_new_column_is_null_in_older_rows(make_server, iceberg_lake, folder):
    """Added at the top and within a list of structs, by a restart with another schema."""
    lake = iceberg_lake
    schema = json.loads(json.dumps(SCHEMA))
    (folder / "orders.avsc").write_text(json.dumps(schema))
    flags = ["--table", "orders", "--schema", folder / "orders.avsc", "--partition", "date={at:%Y-%m-%d}"]
    server = make_server(lake, *FORMAT, *flags).start()
    assert server.put(b'{"id":"a","at":1793534400000,"parts":[{"name":"x"}]}\n').status == 200
    server.drain()
    schema["fields"].insert(1, {"name": "price", "type": ["null", "double"], "default": None})
    schema["fields"][-1]["type"][1]["items"]["fields"].append({"name": "count", "type": ["null", "long"], "default": None})
    (folder / "orders.avsc").write_text(json.dumps(schema))
    server.start()
    line = b'{"id":"b","at":1793534400000,"price":1.5,"parts":[{"name":"y","count":7},{"count":8}]}\n'
    assert server.put(line).status == 200
    server.drain()
    wanted = [
        {"id": "a", "price": None, "parts": [{"name": "x", "count": None}]},
        {"id": "b", "price": 1.5, "parts": [{"name": "y", "count": 7}, {"name": None, "count": 8}]},
    ]
    for name, reader in READERS.items():
        found = reader(lake, "orders").select(["id", "price", "parts"]).to_pylist()
        assert sorted(found, key=lambda row: row["id"]) == wanted, name
    assert len(lake.table("orders").schemas()) == 2


@KILLS
def test_receivers_of_one_table_are_killed(request, make_server, iceberg_lake, command, form):
    """Several nodes commit to one table side by side, each killed at any moment."""
    check_kills(request, make_server, iceberg_lake, ROLLS, form, iceberg_lake.catalog.name)
    verify(iceberg_lake, command)
    iceberg_lake.no_leftovers()


@pytest.mark.parametrize(
    "form",
    [
        pytest.param({"receivers": 2, "seconds": 12}, id="short"),
        pytest.param({"receivers": 4, "seconds": 300}, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
def test_answers_of_the_catalog_are_lost(make_server, catalog, form):
    """Of changes, half end in an unsure outcome: lost, done twice, done late, done and failed. The first
    one, which creates the table, among them."""
    proxy = UnsureCatalog(catalog.own_port, share=0.5)
    before, catalog.port = catalog.port, proxy.port
    try:
        name = f"unsure-{catalog.name}-{form['seconds']}"
        lake = IcebergLake(catalog.lake(name), catalog, name.replace("-", "_"))
        servers = [make_server(lake, *ROLLS, name=f"r{n}") for n in range(form["receivers"])]
        for server in servers:
            server.start()
        loads = [Load(server, 4, threads=1, tag=f"r{n}-").start() for n, server in enumerate(servers)]
        time.sleep(form["seconds"])
        for load in loads:
            load.stop()
        for server in servers:
            server.drain(timeout_s=250)
        assert all(set(load.statuses) == {200} for load in loads)
        print(dict(proxy.met))
        assert len(proxy.met) >= 4, proxy.met
        # What came late is carried out by now.
        time.sleep(1)
        lake.check_visible(loads, f"unsure answers of {catalog.name}")
    finally:
        catalog.port = before
        proxy.close()


AWAY_SHORT = {"before_s": 2, "away_s": 8, "rate": 3}
AWAY_LONG = {"before_s": 60, "away_s": 300, "rate": float(os.environ.get("SESSIONLAKE_AWAY_RATE", "32"))}


@pytest.mark.parametrize(
    ("how", "form"),
    [
        pytest.param("killed", AWAY_SHORT, id="killed"),
        pytest.param("stopped", AWAY_SHORT, id="stopped"),
        pytest.param("killed", AWAY_LONG, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
def test_the_catalog_is_away(make_server, own_catalog, command, how, form):
    """Answers stay 200, rolls land and wait; when it is back, one commit takes all that wait."""
    lake = IcebergLake(own_catalog.lake("away"), own_catalog)
    flags = ("--store-timeout", "2s", "--disk-reserve", "1GiB")
    server = make_server(lake, *ROLLS, *flags).start()
    load = Load(server, form["rate"]).start()
    wait_until(lake.session_ids, 60, "something is visible", 0.3)
    begin = time.monotonic()
    time.sleep(form["before_s"])
    {"killed": own_catalog.kill, "stopped": own_catalog.pause}[how]()
    left, acked = time.monotonic(), load.sessions()
    time.sleep(form["away_s"])
    assert load.sessions() > acked, "acks stopped with the catalog"
    assert server.get("/health/ready").status == 200
    back, back_ms = time.monotonic(), time.time() * 1000
    # SeaweedFS' is the store as well: nothing lands without it.
    landed = max(lake.last_rolls().values()) if own_catalog.name == "java" else None
    {"killed": own_catalog.start_again, "stopped": own_catalog.resume}[how]()
    lake.forget()
    time.sleep(2)
    load.stop()
    wait_until(lambda: len(lake.session_ids()) >= load.sessions(), 200, "all is visible", 1)
    server.drain(timeout_s=200)
    assert set(load.statuses) == {200} and load.broken == 0, load.statuses
    lake.check_visible([load], f"{own_catalog.name} {how}")
    before, away = load.latency_s(0.99, begin, left), load.latency_s(0.99, left, back)
    print(f"99 % of answers within {before * 1000:.0f} ms before, {away * 1000:.0f} ms without the catalog")
    if how == "killed" and landed is not None:
        taken = [mark for at_ms, mark in marks_of_snapshots(lake) if at_ms > back_ms]
        assert taken[0] >= landed, f"{landed} rolls had landed, and commits took them until {taken}"
    verify(lake, command)


def marks_of_snapshots(lake):
    """The marks of the only node, by the summaries of snapshots in their order: (when, mark)."""
    [node] = lake.marks()
    found = sorted(lake.snapshots(), key=lambda snapshot: snapshot.sequence_number)
    return [(snapshot.timestamp_ms, int(snapshot.summary[MARK + node])) for snapshot in found]


def test_a_killed_import_goes_on(folder, command, iceberg_lake):
    """Killed over and over at growing times: with the same command, every row is in the table once."""
    check_killed_import(command, iceberg_lake, folder, FORMAT, 1500, 300)


def test_a_plain_lake_becomes_a_table_whole(make_server, command, iceberg_lake, folder):
    """Rolls of a server and of an import that landed before are in the table with the first start."""
    lake = iceberg_lake
    become_a_table(make_server, command, lake.plain(), lake, folder, FORMAT)
    for reader in READERS:
        assert not differences(seen_by(reader, lake), there(lake, reader)), reader


def test_a_lake_of_the_earlier_build_becomes_a_table(make_server, folder):
    """Its receipts have no statistics and no partition values: its rows are in the table all the same."""
    need("catalog")
    before = copy_of_earlier_build(folder / "before")
    catalog = catalogs.JavaCatalog(folder / "catalog")
    lake = IcebergLake(stores.LocalStore(before).lake("lake"), catalog)
    try:
        ids = become_a_table_of_today(make_server, lake, before, FORMAT)
        for reader in READERS:
            landed = [row for row in there(lake, reader) if row["userSessionId"] in ids]
            assert not differences(seen_by(reader, lake), landed), reader
    finally:
        catalog.close()
