"""What a newcomer does: start it, send the documented samples with curl, stop it, look."""

import datetime
import fcntl
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

import pytest
from harness import place, stores
from harness.lake import Lake
from harness.server import Server

CURL_CHECK_DATE = datetime.date(2016, 11, 29)
CLASSIC_DATE = datetime.date(2017, 11, 23)


def curl(*arguments):
    """Runs the real curl; returns (status, body)."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "30", "-w", "\n%{http_code}", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    body, status = done.stdout.rsplit("\n", 1)
    return int(status), body


def send_samples(url):
    """The documented check as it is documented, then the three lines in bulk."""
    status, _ = curl(
        "-X", "PUT", "-H", "Content-Type: application/json", "-d", place.CURL_CHECK.read_text().strip(), url
    )
    assert status == 200
    status, body = curl("-T", place.CLASSIC, url)
    assert status == 200
    assert '"lines":3' in body and '"duplicate":false' in body, body


def check_samples(lake):
    """4 rows, the three equal lines as three rows, each under the date of its startTime."""
    assert lake.query("SELECT date, count(*) FROM {t} GROUP BY date ORDER BY date") == [
        (CURL_CHECK_DATE, 1),
        (CLASSIC_DATE, 3),
    ]
    classic = lake.query(
        'SELECT country, city, "userSessionId", epoch_ms("startTime"), _ingest_id'
        " FROM {t} WHERE \"userSessionId\" = '1394_1008'"
    )
    assert {row[:4] for row in classic} == {("United States", "Delray Beach", "1394_1008", 1511441593539)}
    assert len({row[4] for row in classic}) == 3
    assert lake.query('SELECT DISTINCT date = CAST("startTime" AS DATE) FROM {t}') == [(True,)]
    names = lake.query('SELECT action.name FROM (SELECT unnest("userActions") AS action FROM {t})')
    assert names == [("Checkout",)] * 3


def port_is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def port_3000():
    """The default port. Tests that run side by side have it one after the other."""
    with open(pathlib.Path(tempfile.gettempdir(), "sessionlake-tests-port-3000"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not port_is_free(3000):
            pytest.skip("port 3000 is taken on this machine")
        yield


def test_with_no_argument_at_all(folder, port_3000):
    """`sessionlake serve` in an empty folder; Ctrl-C; DuckDB."""
    lake = Lake(stores.LocalStore(folder / "data").lake("lake"))
    server = Server(folder, lake.at, cwd=folder)
    server.command = lambda: [place.binary(), "serve"]
    server.start()
    try:
        assert server.url == "http://127.0.0.1:3000/export/events"
        send_samples("http://localhost:3000/export/events")
        server.drain(signal.SIGINT)
    finally:
        server.close()
    check_samples(lake)
    assert (folder / "data/state").is_dir()


def test_says_where_data_goes_and_how_to_look(server, local_lake):
    """The SQL that it prints at the start works on what then lands."""
    server.put(place.CLASSIC.read_bytes())
    printed = server.process.output()
    assert str(local_lake.at.uri) in printed
    server.drain(signal.SIGINT)
    sql = re.search(r"SELECT[^\n]*read_parquet\([^\n]*", printed, re.IGNORECASE)
    assert sql, printed
    assert local_lake.connection.execute(sql.group(0).strip().strip('"')).fetchall()


def test_samples_land_in_every_store(make_server, lake):
    server = make_server(lake, "--roll-age", "1h").start()
    send_samples(server.url)
    server.drain(signal.SIGINT)
    check_samples(lake)
    assert lake.check_receipts() == {"lines": 4, "rows": 4, "rejects": 0}
    lake.no_leftovers()


def test_ids_name_node_sequence_and_line(make_server, lake):
    server = make_server(lake).start()
    server.put(place.CLASSIC.read_bytes())
    server.drain()
    (receipt,) = lake.receipts()
    ids = sorted(value for (value,) in lake.query("SELECT _ingest_id FROM {t}"))
    first = receipt["first_seq"]
    assert len(ids) == 3 and len(set(ids)) == 3
    assert all(value.startswith(f"{receipt['node']}-{first}-") for value in ids), ids
