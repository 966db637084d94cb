"""Tables with a log, Delta and Iceberg alike: what their tests hold against receipts and senders, and what
is done to them."""

import json
import random
import shutil
import time

import pytest
from sessions import Sessions

from . import place
from .documents import document
from .lake import TABLE, Lake
from .load import Load, check_all
from .process import kill_until_done, wait_until

EARLIER_BUILD = place.ROOT / "tests/data/build-0.1.0"

ODD = b"""{"userSessionId":"no time"}
{"userSessionId":"too late","startTime":9223372036854775807}
{"userSessionId":"long ago","startTime":-1,"city":"","isp":null,"bounce":false,"notAColumn":{"a":[1]}}
{"userSessionId":"tags","startTime":1793534400001,"stringTags":{"a":"b","":"\\u0000"},"numTags":{"x":-0.0}}
"""

LANDS = ["Trinidad & Tobago", "a+b c%20d", "a=b", "a/b?c#d", "Côte d'Ivoire", '"x"', "日本", "..", "%47ermany", None]


class LoggedLake(Lake):
    """A lake whose table has a log: rows are what the log says. Each format tells of its table
    - `paths(table)`: the files that are live, from the lake's root,
    - `marks(table)`: the last roll of each node that the table has,
    - `history()`: how far its log is, in words,
    - `ids_by_python()`, `ids_by_spark(spark)`: every userSessionId by a reader besides DuckDB."""

    def check_table(self, table=TABLE):
        """The table has the files of all receipts, each once, and every mark is at its node's last roll.
        Returns the number of files."""
        told = [file["path"] for receipt in self.receipts() for t in receipt["tables"] for file in t["files"]]
        paths = self.paths(table)
        assert len(paths) == len(set(paths)), "a file is in the table twice"
        assert sorted(paths) == sorted(path for path in told if path.startswith(f"{table}/"))
        assert self.marks(table) == self.last_rolls()
        return len(paths)

    def check_visible(self, loads, what, spark=None):
        """After the last drain: DuckDB and a reader in Python, and Spark if there is one, see each acked session
        once; the table has each file once."""
        total = check_all(loads, self.session_ids())
        assert check_all(loads, self.ids_by_python()) == total
        if spark is not None:
            assert check_all(loads, self.ids_by_spark(spark)) == total
        files, acked = self.check_table(), sum(load.sessions() for load in loads)
        told = f"{acked} sessions acked, {total} in the table, {files} files, {self.history()}"
        print(f"\n{what}: {told}: 0 missing, 0 doubled")
        assert acked > 500, "too little was sent for this to mean anything"


def bodies(tag):
    """Documented samples, three days of sessions, and lines at the edges: 208 rows."""
    yield place.CURL_CHECK.read_bytes()
    yield place.CLASSIC.read_bytes()
    yield Sessions(tag, days=3).bulk(200)[1]
    yield ODD


def write_lands(path, lands):
    """Writes a session for each country."""
    lines = [{"userSessionId": f"s{n}", "startTime": 1793534400000, "country": v} for n, v in enumerate(lands)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def verify(lake, command):
    report = json.loads(command("verify", lake.at.uri, "--json", "--rows", env=lake.at.env, timeout_s=600))
    assert report["problems"] == [], report["problems"][:10]


# Receivers of one table that are killed: the long form reads it with Spark, too.
KILLS = pytest.mark.parametrize(
    "form",
    [
        pytest.param({"receivers": 3, "kills": 7, "rate": 6, "spark": False}, id="short"),
        pytest.param(
            {"receivers": 4, "kills": 40, "rate": 8, "spark": True},
            id="long",
            marks=[pytest.mark.soak, pytest.mark.timeout(3600)],
        ),
    ],
)


def check_kills(request, make_server, lake, flags, form, where):
    """Several nodes commit to one table side by side, each killed at any moment."""
    servers = [make_server(lake, *flags, name=f"r{n}").start() for n in range(form["receivers"])]
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
    spark = request.getfixturevalue("spark") if form["spark"] and not place.left_out("spark") else None
    lake.check_visible(loads, f"{form['receivers']} receivers, {form['kills']} kills, {where}", spark)


def check_killed_import(command, lake, folder, form, count, roll_rows):
    """An import of two files of so many sessions, killed over and over at growing times: with the same command,
    every row is in the table once."""
    source, ids = Sessions("killed", days=3), []
    for name in ("a", "b"):
        some, data = source.bulk(count)
        ids += some
        (folder / name).write_bytes(data)
    arguments = ["import", "a", "b", *form, "--roll-rows", str(roll_rows), "--lake", lake.at.uri]
    kill_until_done([place.binary(), *arguments], folder, 1.35, b"left out: a, b.", lake.at.env)
    assert sorted(lake.session_ids()) == sorted(ids)
    lake.check_table()
    verify(lake, command)
    assert "--again" in command(*arguments, expect=1, env=lake.at.env)
    assert sorted(lake.session_ids()) == sorted(ids)


def land_plain(make_server, command, plain, folder, bulks):
    """Plain files of an import and, bulk by bulk, of a receiver. Returns the ids, and the receiver, which runs."""
    ids, data = Sessions("imported", days=3).bulk(150)
    (folder / "a.ndjson").write_bytes(data)
    command("import", "a.ndjson", "--lake", plain.at.uri, env=plain.at.env)
    server = make_server(plain, "--roll-age", "1s").start()
    for n in range(bulks):
        some, data = Sessions(f"served{n}", days=2).bulk(40)
        assert server.put(data).status == 200
        ids += some
        plain.wait_landed(len(ids))
    return ids, server


def become_a_table(make_server, command, plain, lake, folder, form):
    """Rolls of a server and of an import land as plain files, and one waits: a start with the format has them
    all in the table."""
    ids, server = land_plain(make_server, command, plain, folder, 3)
    waiting, data = Sessions("waiting").bulk(10)
    assert server.put(data).status == 200
    server.kill()
    before = plain.data_files()
    server.flags += form
    server.lake = lake.at
    server.start()
    wait_until(lambda: set(lake.session_ids()) >= {*ids, *waiting}, 60, "all is in the table")
    server.drain()
    assert sorted(lake.session_ids()) == sorted([*ids, *waiting])
    assert set(before) <= set(lake.data_files())
    lake.check_table()
    verify(lake, command)


def copy_of_earlier_build(folder):
    """A lake and a journal of the build 0.1.0, whose receipts have no statistics and no partition values."""
    shutil.copytree(EARLIER_BUILD, folder)
    return folder


def become_a_table_of_today(make_server, lake, before, form):
    """A start with the format has the rows of an earlier build's lake in the table. Returns their ids."""
    server = make_server(lake, "--config", "sessionlake.toml", *form, cwd=before)
    server.state = before / "state"
    server.start()
    server.put(b'{"userSessionId":"new","startTime":1767268800000}\n')
    # A server that ends does not begin with the rolls of others.
    wait_until(lambda: {"s1", "i1"} <= set(lake.session_ids()), 30, "rolls of before are in the table", 0.3)
    server.drain()
    # What an interrupted import left has no receipt: it is in the folder, and not in the table.
    ids = lake.session_ids()
    assert {"s1", "s6", "s7", "s12", "i1", "i2", "new"} <= set(ids) and len(ids) == len(set(ids))
    assert not {"a1", "a2", "a3", "b1", "b2", "b3"} & set(ids)
    lake.check_table()
    return ids


class Maintained:
    """A table that others maintain between restarts of its server, and what must be in it."""

    COUNTRIES = ["Austria", "Peru", "Kenya"]

    def __init__(self, make_server, lake, form):
        self.make_server, self.lake, self.flags = make_server, lake, (*form, "--roll-age", "1s")
        self.wanted = {}  # country by session
        self.server = make_server(lake, *self.flags).start()

    def send(self, name, count=30):
        """So many more sessions, visible."""
        lines = []
        for n in range(count):
            session = f"{name}-{n}"
            self.wanted[session] = self.COUNTRIES[n % len(self.COUNTRIES)]
            lines.append(document(session, country=self.wanted[session]))
        assert self.server.put(b"\n".join(lines)).status == 200
        wait_until(lambda: f"{name}-0" in self.lake.session_ids(), 30, f"{name} is visible", 0.2)

    def erase(self, country):
        self.wanted = {session: land for session, land in self.wanted.items() if land != country}

    def check(self):
        found = self.lake.query('SELECT "userSessionId", country FROM {t} ORDER BY 1')
        assert found == sorted(self.wanted.items())
        assert self.lake.marks() == self.lake.last_rolls()

    def check_by_spark(self, spark, name):
        found = spark.sql(f"SELECT userSessionId, country FROM {name} ORDER BY 1").collect()
        assert [tuple(row) for row in found] == sorted(self.wanted.items())

    def restart(self, how):
        """The server ends one way or the other and starts again: with its journal, or as a new node."""
        self.server.drain() if how == "drained" else self.server.kill()
        if how == "new node":
            self.server = self.make_server(self.lake, *self.flags, name=f"node{len(self.wanted)}")
        self.server.start()

    def finish(self):
        self.server.drain()
        self.check()
