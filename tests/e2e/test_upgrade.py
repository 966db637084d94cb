"""What the build of 0.1.0 left (tests/data/build-0.1.0) is read, verified and gone on with.

Its README line says how it was made. No later build writes into the fixture: each test works on a
copy, from a folder in which the settings' relative paths hold.
"""

import json
import shutil

import pytest
from harness import place, stores
from harness.lake import Lake

FIXTURE = place.ROOT / "tests/data/build-0.1.0"
NODE = "fixture-ta3bv6tk"
LANDED = {"s1", "s2", "s3", "s4", "s5", "s6"}
SEALED = {"s7", "s8", "s9", "s10"}
WAITING = {"s11", "s12"}
IMPORTED = {"i1", "i2"}
INTERRUPTED = {"a1", "a2", "a3", "b1", "b2", "b3"}


@pytest.fixture
def before(folder):
    """A copy of what the earlier build left, as the working directory."""
    copy = folder / "before"
    shutil.copytree(FIXTURE, copy)
    return copy


def lake_of(folder, name="lake"):
    return Lake(stores.LocalStore(folder).lake(name))


def objects(lake):
    return {path: lake.read(path) for path in lake.files()}


def test_an_earlier_lake_is_read_and_verified(command, before):
    lake = lake_of(before)
    printed = command("verify", "lake", "--rows", cwd=before)
    assert "Every received line is accounted for" in printed
    assert f"on its way: roll {NODE}-00000003" in printed
    report = json.loads(command("inspect", "lake", "--json", cwd=before))
    assert {table["table"]: table["totals"]["rows"] if "totals" in table else table["rows"]
            for table in report["tables"]} == {"orders": 2, "user_sessions": 12}
    listed = json.loads(command("quarantine", "list", "lake", "--json", cwd=before))
    assert sum(file["entries"] for file in listed) == 3
    assert len(command("quarantine", "show", "lake", cwd=before).splitlines()) == 3
    assert set(lake.session_ids()) >= LANDED | IMPORTED


def test_an_earlier_journal_is_gone_on_with(make_server, before):
    """The sealed roll keeps the objects it has, and gets those it lacks; what waits lands after it."""
    lake = lake_of(before)
    put = objects(lake)
    server = make_server(lake, "--config", "sessionlake.toml", cwd=before)
    server.state = before / "state"
    server.start()
    lake.wait_landed(8 + 2 + 4)
    server.put(b'{"userSessionId":"new","startTime":1767268800000}\n')
    server.drain()
    own = [r for r in lake.receipts() if r["node"] == NODE]
    assert [receipt["roll"] for receipt in own] == list(range(1, len(own) + 1))
    assert (own[2]["first_seq"], own[2]["last_seq"]) == (4, 4)
    assert (own[2]["rows"], own[2]["rejects"]) == (4, 1)
    for path, content in put.items():
        assert lake.read(path) == content, f"{path} was put again"
    ids = lake.session_ids()
    for one in LANDED | SEALED | WAITING | {"new"}:
        assert ids.count(one) == 1, one
    assert lake.query('SELECT "orderId" FROM {t} ORDER BY 1', "orders") == [("o1",), ("o2",), ("o3",)]
    assert lake.query('SELECT count("customer") FROM {t}', "orders") == [(0,)]
    hashes = lake.query("""SELECT count(*) FROM {t} WHERE "userId" LIKE 'user-%'""")
    assert hashes == [(0,)], "hashed by the rules of then"


def test_an_earlier_encrypted_journal_is_read(make_server, before):
    lake = lake_of(before, "lake-encrypted")
    flags = ["--config", "sessionlake.toml", "--encrypt-journal"]
    server = make_server(lake, *flags, cwd=before)
    server.state = before / "state-encrypted"
    server.start()
    server.drain()
    assert sorted(lake.session_ids()) == ["x1", "x2"]
    assert lake.query('SELECT "orderId" FROM {t}', "orders") == [("x3",)]
    lake.check_receipts()


def test_earlier_imports_are_known_and_gone_on_with(command, before):
    lake = lake_of(before)
    put = objects(lake)
    settings = ["--config", "import.toml", "--roll-rows", "2"]
    printed = command("import", *settings, "files/done.ndjson", cwd=before, expect=1)
    assert "imported before, and left out: files/done.ndjson" in printed
    printed = command("import", *settings, "files/open-a.ndjson", cwd=before, expect=1)
    assert "files/open-b.ndjson" in printed, "an interrupted import wants all its files"
    command("import", *settings, "files/open-a.ndjson", "files/open-b.ndjson", cwd=before)
    ids = lake.session_ids()
    for one in IMPORTED | INTERRUPTED:
        assert ids.count(one) == 1, one
    for path, content in put.items():
        if not path.startswith("_imports/"):
            assert lake.read(path) == content, f"{path} was put again"
    printed = command("import", *settings, "files/open-b.ndjson", cwd=before, expect=1)
    assert "imported before" in printed
    assert "Every received line" in command("verify", "lake", "--rows", cwd=before)
