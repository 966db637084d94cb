"""Fields that become columns on several nodes of one lake: at different times, with values of different types, and
killed meanwhile. Each format's own readers see one table, and each value in one place."""

import json
import random
import time

import pytest
from harness import delta, iceberg
from harness.documents import document
from harness.lake import TABLE
from harness.process import wait_until

ACTIONS = "user_actions"
FLAGS = ("--promote", "auto", "--roll-age", "1h", "--flat-tables", ACTIONS)
ROLLS = ("--promote-after", "20", "--roll-rows", "20")


class Node:
    """A receiver, and what is in the fields of each session that it took."""

    def __init__(self, make_server, lake, name, flags, plan, step):
        self.name, self.plan, self.step = name, plan, step
        self.server, self.count = make_server(lake, *FLAGS, *ROLLS, *flags, name=name).start(), 0
        self.wanted = {}

    def send(self, count, fields=True):
        """So many more sessions, with the fields or without."""
        for number in range(self.count, self.count + count):
            session = f"{self.name}{number:04}"
            plan, step = (self.plan(number), self.step(number)) if fields else (None, None)
            more = {"plan": plan} if fields else {}
            actions = [{"name": "a"}, {"name": "b", "step": step} if fields else {"name": "b"}]
            self.wanted[session] = (plan, step)
            assert self.server.put(document(session, userActions=actions, **more) + b"\n").status == 200
        self.count += count

    def kill_once_promoted(self, columns):
        """Killed as soon as the columns are remembered, before or after the first roll that has them."""
        file = self.server.state / "promoted.json"
        told = lambda: file.exists() and len(json.loads(file.read_text())["columns"]) == columns  # noqa: E731
        wait_until(told, 60, f"{self.name} promotes", 0.02)
        self.server.kill()
        return {of["pointer"]: of["type"] for of in json.loads(file.read_text())["columns"]}


def land(make_server, lake, flags=()):
    """What two nodes land. Returns the fields of each session."""
    a = Node(make_server, lake, "a", flags, lambda n: f"p{n}", lambda n: n + 0.5)
    a.send(25, fields=False)
    a.send(45)
    assert a.kill_once_promoted(2) == {"/plan": "string", "/userActions/*/step": "double"}
    a.server.start()
    # Integers in both fields: one fits the column that the first node has made, the other does not.
    b = Node(make_server, lake, "b", flags, lambda n: n, lambda n: n)
    b.send(25)
    a.send(5)
    b.send(20)
    assert b.kill_once_promoted(2) == {"/plan": "string", "/userActions/*/step": "double"}
    b.server.start()
    b.send(5)
    b.plan = lambda n: f"q{n}"
    b.send(20)
    a.server.kill()
    a.server.start()
    a.send(20)
    for node in (a, b):
        node.server.drain()
    return {**a.wanted, **b.wanted}


def extra(row):
    return json.loads(row["_extra"]) if row["_extra"] else {}


def values(*found):
    return [value for value in found if value is not None]


def check_sessions(rows, wanted):
    """Each value is in one place: the column or `_extra`."""
    assert sorted(row["userSessionId"] for row in rows) == sorted(wanted)
    in_columns = 0
    for row in rows:
        plan, step = wanted[row["userSessionId"]]
        assert values(row["plan"], extra(row).get("/plan")) == values(plan), row
        actions = [action.get("step") for action in row["userActions"]]
        assert values(*actions, extra(row).get("/userActions/1/step")) == values(step), row
        in_columns += len(values(row["plan"], *actions))
    # 45 sessions of the first node had fields when its columns were made, and 45 of the second.
    assert in_columns > 2 * 20


def check_actions(rows, wanted):
    keys = [(session, position) for session in wanted for position in (0, 1)]
    assert sorted((row["userSessionId"], row["position"]) for row in rows) == sorted(keys)
    for row in rows:
        step = wanted[row["userSessionId"]][1] if row["position"] == 1 else None
        assert values(row["step"], extra(row).get("/step")) == values(step), row


def check(lake, wanted, readers):
    """Holds what each reader sees against what was sent, and so do the counts of the receipts."""
    for read in readers:
        sessions, actions = read(lake, TABLE).to_pylist(), read(lake, ACTIONS).to_pylist()
        check_sessions(sessions, wanted)
        check_actions(actions, wanted)
    assert lake.landed() == len(wanted)


def test_nodes_promote_in_a_plain_lake(make_server, local_lake, command, folder):
    lake = local_lake
    wanted = land(make_server, lake)
    lake.check_receipts()
    check(lake, wanted, [delta.by_files])
    # What is imported has the columns, too, and so has the table once it is converted.
    line = {"userSessionId": "i1", "startTime": 1_793_534_400_000, "plan": "gold", "userActions": [{"step": 1}]}
    (folder / "more.ndjson").write_text(json.dumps(line))
    command("import", "more.ndjson", "--lake", lake.at.uri)
    found = 'SELECT plan, "userActions"[1].step, _extra FROM {t} WHERE "userSessionId" = \'i1\''
    command("convert", "--to", "delta", "--lake", lake.at.uri)
    for source in (lake.files_source(), f"delta_scan('{lake.uri(TABLE)}')"):
        assert lake.connection.execute(found.format(t=source)).fetchall() == [("gold", 1.0, None)]


def test_nodes_promote_in_a_delta_table(make_server, delta_lake):
    wanted = land(make_server, delta_lake, ("--table-format", "delta"))
    delta_lake.check_table()
    check(delta_lake, wanted, [delta.by_duckdb, delta.by_deltalake])


def test_nodes_promote_in_an_iceberg_table(make_server, iceberg_lake):
    wanted = land(make_server, iceberg_lake, ("--table-format", "iceberg"))
    iceberg_lake.check_table()
    check(iceberg_lake, wanted, [iceberg.by_duckdb, iceberg.by_pyiceberg])


def stream(make_server, lake, flags, rounds=250):
    """Fields appear one after the other in the streams of two nodes, which are killed at any moment. Checks that each
    value is in one place."""
    chance, wanted = random.Random(rounds), {}
    flags = (*flags, "--roll-rows", "8", "--promote-after", "10")
    nodes = [make_server(lake, *FLAGS, *flags, name=name).start() for name in ("a", "b")]
    for number in range(rounds):
        which = chance.randrange(2)
        for _ in range(chance.randrange(1, 9)):
            session, known = f"s{len(wanted):05}", len(wanted) // 60
            # The nodes disagree on the types of every third field.
            fields = {f"f{n}": n if which and n % 3 == 0 else f"v{n}" for n in range(known)}
            wanted[session] = fields
            assert nodes[which].put(document(session, userActions=[fields], **fields) + b"\n").status == 200
        if chance.random() < 0.25:
            time.sleep(chance.random() * 0.3)
            nodes[which].kill()
            nodes[which].start()
    for node in nodes:
        node.drain()
    return wanted


def check_stream(lake, wanted, readers):
    for read in readers:
        rows = read(lake, TABLE).to_pylist()
        assert sorted(row["userSessionId"] for row in rows) == sorted(wanted)
        in_columns = set()
        for row in rows:
            fields, left = wanted[row["userSessionId"]], extra(row)
            for name, value in fields.items():
                assert values(row.get(name), left.pop(f"/{name}", None)) == [value], (name, row)
                inner = [action.get(name) for action in row["userActions"]]
                assert values(*inner, left.pop(f"/userActions/0/{name}", None)) == [value], (name, row)
                in_columns |= {name} if row.get(name) is not None else set()
            assert not left, row
        assert len(in_columns) >= len(set().union(*wanted.values())) - 2, in_columns
        actions = read(lake, ACTIONS).to_pylist()
        assert sorted(row["userSessionId"] for row in actions) == sorted(wanted)
        for row in actions:
            left = extra(row)
            for name, value in wanted[row["userSessionId"]].items():
                assert values(row.get(name), left.get(f"/{name}")) == [value], (name, row)
    assert lake.landed() == len(wanted)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_kills_around_boundaries_of_a_plain_lake(make_server, local_lake):
    wanted = stream(make_server, local_lake, ())
    check_stream(local_lake, wanted, [delta.by_files])


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_kills_around_boundaries_of_a_delta_table(make_server, delta_lake):
    wanted = stream(make_server, delta_lake, ("--table-format", "delta"))
    delta_lake.check_table()
    check_stream(delta_lake, wanted, [delta.by_duckdb, delta.by_deltalake])


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_kills_around_boundaries_of_an_iceberg_table(make_server, iceberg_lake):
    wanted = stream(make_server, iceberg_lake, ("--table-format", "iceberg"))
    iceberg_lake.check_table()
    check_stream(iceberg_lake, wanted, [iceberg.by_duckdb, iceberg.by_pyiceberg])
