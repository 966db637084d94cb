"""Partitions that bodies open: a few kilobytes that name ten thousand days, beside senders of today."""

import gzip
import http.client
import itertools
import json
import random
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from harness import access, place
from harness.documents import document
from harness.process import wait_until
from sessions import DAY_MS

ROLL_AGE_S = 5
OVERFLOW = "date=0001-01-01"
DAYS = 10_050
# A build without optimisation takes 50 times as long for a file.
LANDS_WITHIN_S = 3 * ROLL_AGE_S * (8 if "debug" in place.binary().parts else 1)


def now_ms():
    return int(time.time() * 1000)


def day_of(ms):
    return f"date={datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"


def attack(seed):
    """11.6 KB: a line for each of 10,050 days."""
    days = list(range(DAYS))
    random.Random(seed).shuffle(days)
    return gzip.compress(b"".join(b'{"startTime":%d}\n' % (day * DAY_MS + seed) for day in days))


def send(port, address, path, body, **headers):
    """One request from an address of its own. Returns the seconds that the answer took."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(address, 0))
    headers = {"Content-Type": "application/json", **headers}
    connection.request("PUT", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200, answer.status
    return time.monotonic() - began


class Attack(threading.Thread):
    """Senders of several addresses, one body of many days after the other."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stopping, self.sent = port, threading.Event(), 0

    def run(self):
        for number in itertools.count():
            if self.stopping.is_set():
                return
            address = f"127.0.{number % 4 + 10}.{number % 7 + 1}"
            send(self.port, address, "/export/events", attack(number), **{"Content-Encoding": "gzip"})
            self.sent += 1
            self.stopping.wait(1)


@pytest.fixture
def server(make_server, local_lake, folder):
    config = folder / "sessionlake.toml"
    schema = json.dumps(str(place.ROOT / "examples/orders.avsc"))
    config.write_text(
        access.toml(
            [
                ("endpoint", {"name": "main", "path": "/export/events"}),
                ("endpoint", {"name": "other", "path": "/orders", "table": "orders"}),
            ]
        )
        + f'[[tables]]\nname = "orders"\nschema = {schema}\npartition = "date={{at:%Y-%m-%d}}"\n'
    )
    return make_server(local_lake, "--roll-age", f"{ROLL_AGE_S}s", "--config", config).start()


def partitions(lake, table="user_sessions"):
    """Rows by partition, by the receipts, and those whose rows are of several."""
    rows, overflow = {}, set()
    for receipt in lake.receipts():
        for of in receipt["tables"]:
            for file in of["files"] if of["table"] == table else []:
                rows[file["partition"]] = rows.get(file["partition"], 0) + file["rows"]
                if file.get("overflow"):
                    overflow.add(file["partition"])
    return rows, overflow


def good_rows(lake):
    """The partition of each good row: (table, id) to its day."""
    found = {}
    for table, column in (("user_sessions", '"userSessionId"'), ("orders", "id")):
        if lake.data_files(table):
            sql = "SELECT " + column + ", CAST(date AS VARCHAR) FROM {t} WHERE " + column + " LIKE 'good%'"
            found |= {(table, name): f"date={date}" for name, date in lake.query(sql, table)}
    return found


def order(name, ms):
    return json.dumps({"id": name, "at": ms}).encode() + b"\n"


def test_row_3_days_of_one_sender_displace_nobody(server, local_lake, command):
    """Four addresses name ten thousand days in each body. Senders of today's rows, on the same endpoint
    and on another, and one of late data, see no error and are in their partitions within three roll
    ages; files are few, and queries of dates go on."""
    attackers = Attack(server.port)
    attackers.start()
    expected, overdue, took = {}, [], []
    for number in range(8):
        today, late = now_ms(), now_ms() - (number * 3 + 2) * DAY_MS
        wanted = {}
        for index, ms in enumerate((today, late)):
            name = f"good-{number}-{index}"
            took.append(send(server.port, "127.0.1.1", "/export/events", document(name, ms) + b"\n"))
            took.append(send(server.port, "127.0.1.2", "/orders", order(name, ms)))
            wanted |= {("user_sessions", name): day_of(ms), ("orders", name): day_of(ms)}
        overdue.append((time.monotonic() + LANDS_WITHIN_S, wanted))
        expected |= wanted
        time.sleep(1)
        for deadline, rows in [one for one in overdue if one[0] <= time.monotonic()]:
            assert rows.items() <= good_rows(local_lake).items(), "not there after three roll ages"
            overdue.remove((deadline, rows))
    for deadline, rows in overdue:
        left = max(0.1, deadline - time.monotonic())
        wait_until(lambda rows=rows: rows.items() <= good_rows(local_lake).items(), left, "good rows", 0.3)
    assert max(took) < 1, took
    attackers.stopping.set()
    attackers.join(60)
    wait_until(lambda: server.metrics()['sessionlake_overflow_rows_total{table="user_sessions"}'] > DAYS, 60, "the metric tells", 0.5)
    assert server.peak_memory_bytes() < 512 << 20
    server.drain()

    assert good_rows(local_lake) == expected
    rows, overflow = partitions(local_lake)
    assert overflow == {OVERFLOW}
    assert sum(rows.values()) == attackers.sent * DAYS + len(expected) // 2
    assert rows[OVERFLOW] > 0.9 * attackers.sent * DAYS
    assert "date=__HIVE_DEFAULT_PARTITION__" not in rows
    assert partitions(local_lake, "orders")[1] == set()
    for receipt in local_lake.receipts():
        files = sum(len(table["files"]) for table in receipt["tables"] if table["table"] == "user_sessions")
        # Those of the window, of far times, of the worth of a few bodies of 270 KB, and the overflow.
        assert files <= 32 + 32 + 5 * (attackers.sent + 1) + 1, files
    # A date is a date all the same.
    kinds = local_lake.query("SELECT DISTINCT typeof(date) FROM {t}")
    assert kinds == [("DATE",)]
    since = datetime.now(UTC) - timedelta(days=40)
    assert local_lake.query(f"SELECT count(*) FROM {{t}} WHERE date >= DATE '{since:%Y-%m-%d}'")[0][0] > 0
    assert "are in its overflow partition date=0001-01-01" in server.process.output()
    local_lake.check_receipts()
    command("verify", local_lake.at.uri, "--rows")
    shown = command("inspect", local_lake.at.uri)
    assert OVERFLOW in shown, shown


def test_row_3_in_the_journal_at_a_restart(make_server, local_lake):
    """The process is killed with attacks in the journal, and starts again: the same holds, and a roll
    that is made again by other settings has its files."""
    server = make_server(local_lake, "--roll-age", "1h").start()
    for number in range(4):
        send(server.port, f"127.0.{20 + number}.1", "/export/events", attack(number), **{"Content-Encoding": "gzip"})
    ms = now_ms()
    send(server.port, "127.0.1.1", "/export/events", document("good", ms) + b"\n")
    server.kill()
    server.flags = ["--roll-age", "1s", "--memory", "64MiB", "--row-group-bytes", "1MiB", "--decode-threads", "1"]
    server.start()
    local_lake.wait_landed(4 * DAYS + 1, timeout_s=60)
    assert server.peak_memory_bytes() < 512 << 20
    server.drain()
    assert good_rows(local_lake) == {("user_sessions", "good"): day_of(ms)}
    assert partitions(local_lake)[1] == {OVERFLOW}
    assert len(local_lake.data_files()) < 32 + 32 + 4 * 4 + 2
    local_lake.check_receipts()


def test_far_times_go_to_quarantine_by_setting_and_land_by_replay(make_server, local_lake, command):
    server = make_server(local_lake, "--roll-age", "1h", "--outside-window", "quarantine", "--time-window", "10days")
    server.start()
    ms = now_ms()
    days = [0, -1, 5, 9, 11, 400, -3]
    lines = [document(f"s{days}", ms - days * DAY_MS) for days in days]
    assert server.put(b"\n".join(lines)).status == 200
    server.drain()
    assert sorted(local_lake.session_ids()) == ["s-1", "s0", "s5", "s9"]
    entries = local_lake.quarantine()
    assert {entry["code"] for entry in entries} == {"far_time"}, entries
    assert "time_window" in entries[0]["reason"]
    command("quarantine", "replay", "--lake", local_lake.at.uri)
    rows, overflow = partitions(local_lake)
    assert overflow == set() and rows[day_of(ms - 400 * DAY_MS)] == 1
    assert len(local_lake.session_ids()) == len(days)


def test_an_import_opens_partitions_of_any_year(local_lake, command, folder):
    """Sixteen years of history, a few bytes a day: every row is in its own partition."""
    file = folder / "history.ndjson"
    file.write_bytes(b"".join(document(f"s{day}", day * DAY_MS) + b"\n" for day in range(0, 6000, 20)))
    command("import", file, "--lake", local_lake.at.uri)
    rows, overflow = partitions(local_lake)
    assert overflow == set()
    assert len(rows) == 300
