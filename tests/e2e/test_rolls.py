"""When files are written: by age, by rows, by bytes, at the end. One file a partition and roll."""

import time

from harness.documents import FIRST_MS, body, document
from sessions import DAY_MS, Sessions


def test_by_age(make_server, lake):
    server = make_server(lake, "--roll-age", "1s").start()
    for name in ("a", "b"):
        server.put(body(name))
        lake.wait_landed(1 if name == "a" else 2, timeout_s=15)
    assert len(lake.receipts()) == 2
    assert sorted(lake.session_ids()) == ["a", "b"]
    time.sleep(2.5)
    assert len(lake.receipts()) == 2, "nothing came, and yet it rolled"
    server.drain()
    assert len(lake.receipts()) == 2
    lake.check_receipts()


def test_by_rows(make_server, lake):
    server = make_server(lake, "--roll-age", "1h", "--roll-rows", "100").start()
    for number in range(10):
        server.put(body(*(f"s{number}-{n}" for n in range(50))))
    lake.wait_landed(400, timeout_s=30)
    server.drain()
    assert lake.rows() == 500
    receipts = lake.receipts()
    assert 4 <= len(receipts) <= 6, receipts
    assert all(receipt["rows"] <= 150 for receipt in receipts), receipts
    lake.check_receipts()


def test_by_bytes(make_server, local_lake):
    """Files come out near the size that was asked for, before the server is stopped."""
    server = make_server(local_lake, "--roll-age", "1h", "--roll-bytes", "1MiB").start()
    source = Sessions("bytes")
    with server.client() as client:
        for _ in range(60):
            client.send(source.bulk(85)[1])
    local_lake.wait_landed(1000, timeout_s=60)
    server.drain()
    assert local_lake.rows() == 60 * 85
    sizes = [local_lake.size(path) for path in local_lake.data_files()]
    assert len(sizes) >= 3, sizes
    assert max(sizes) < 4 << 20, sizes


def test_one_file_a_partition_and_roll(server, local_lake):
    days = 7
    lines = [document(f"s{n:03}", FIRST_MS + n % days * DAY_MS) for n in range(210)]
    server.put(b"\n".join(lines))
    server.drain()
    (receipt,) = local_lake.receipts()
    names = local_lake.data_files()
    assert len(names) == days
    assert all(name.endswith(f"/{receipt['node']}-{receipt['roll']:08}.parquet") for name in names), names
    assert local_lake.query("SELECT count(*) FROM {t} GROUP BY date") == [(30,)] * days
    local_lake.check_receipts()


def test_partitions_by_a_template(make_server, local_lake):
    """Names are encoded as Hive does, and a reader gets the values back."""
    server = make_server(
        local_lake, "--partition", "tenant={tenantId}/date={startTime:%Y-%m-%d}/hour={startTime:%H}"
    ).start()
    tenants = ["plain", "with space", "a/b=c%", "ünïcode", ""]
    server.put(
        b"\n".join(document(f"s{n}", tenantId=name) for n, name in enumerate(tenants))
        + b"\n"
        + document("none")
    )
    server.drain()
    found = local_lake.connection.execute(
        'SELECT "userSessionId", tenant, CAST(date AS VARCHAR), CAST(hour AS VARCHAR) FROM'
        f" read_parquet('{local_lake.uri('user_sessions')}/*/*/*/*.parquet', hive_partitioning=true,"
        " hive_types={'tenant': VARCHAR, 'date': VARCHAR, 'hour': VARCHAR}) ORDER BY 1"
    ).fetchall()
    assert {row[2:] for row in found} == {("2026-11-01", "12")}
    by_id = {row[0]: row[1] for row in found}
    assert [by_id[f"s{n}"] for n in range(4)] == tenants[:4]
    null = (None, "__HIVE_DEFAULT_PARTITION__")
    assert by_id["none"] in null and by_id["s4"] in (*null, "")


def test_what_readers_use_is_in_the_files(server, local_lake):
    """zstd, dictionaries, Bloom filters on ids, times as instants in µs; no index of the one page."""
    import pyarrow.parquet as pq

    server.put(Sessions("files").bulk(200)[1])
    server.drain()
    (path,) = local_lake.data_files()
    info = local_lake.connection.execute(
        "SELECT path_in_schema, compression, encodings, bloom_filter_offset IS NOT NULL"
        f" FROM parquet_metadata('{local_lake.uri(path)}')"
    ).fetchall()
    columns = {row[0]: row for row in info}
    # What has next to nothing in it is not worth a codec.
    assert columns["country"][1] == columns["userSessionId"][1] == "ZSTD"
    assert {row[1] for row in info} == {"ZSTD", "UNCOMPRESSED"}
    assert "DICTIONARY" in columns["country"][2]
    blooms = {name for name, row in columns.items() if row[3]}
    assert blooms == {"userSessionId", "userId", "internalUserId"}
    with local_lake.at.files.open_input_file(f"{local_lake.at.base}/{path}") as file:
        parquet = pq.ParquetFile(file)
        column = parquet.metadata.row_group(0).column(0)
        assert not column.has_offset_index and not column.has_column_index
        schema = parquet.schema_arrow
    assert str(schema.field("startTime").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("_ingest_time").type) == "timestamp[us, tz=UTC]"
    assert not schema.field("_ingest_id").nullable
