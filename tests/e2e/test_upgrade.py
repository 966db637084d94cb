"""What the build of 0.1.0 left (tests/data/build-0.1.0) is read, verified and gone on with.

Its README line says how it was made. No later build writes into the fixture: each test works on a
copy, from a folder in which the settings' relative paths hold.

And the ways of docs/upgrade.md, there and back, under load: with the program of an earlier version where
`tests/run upgrade` names one, else with the same program for both.
"""

import json
import shutil
import time

import pytest
from harness import place, stores
from harness.lake import Lake
from harness.load import Load, check_all
from harness.process import Process, clean_environment, free_port

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


def verified(binary, lake, folder):
    """What `verify` of one of the programs says of the lake."""
    process = Process([binary, "verify", lake.at.uri, "--json"], folder / "verify.log", clean_environment())
    code = process.wait(60)
    report = json.loads(process.output())
    assert code == 0 and not report["problems"], report
    return report


def test_upgrade_and_downgrade_lose_nothing_under_load(make_server, local_lake, command, folder):
    """Docs/upgrade.md step by step, senders trying again meanwhile as the exporter does: a stop in order, and a kill
    with a full journal, to the later program; back to the earlier one with an empty state directory; there again."""
    earlier, later = place.earlier_binary(), place.binary()
    flags = ("--roll-age", "1s")
    server = make_server(local_lake, *flags, binary=earlier)
    server.port = free_port()
    server.start()
    load = Load(server, 2, threads=2, tag="u").start()
    time.sleep(2)
    trial = ("--listen", "127.0.0.1:0", "--state", folder / "trial", "--lake", local_lake.at.uri)
    command("check", *trial, *flags)
    # In order.
    server.drain()
    server.binary = later
    server.start()
    assert server.get("/health/ready").status == 200
    verified(later, local_lake, folder)
    time.sleep(2)
    # Back: a new node of the same lake.
    server.drain()
    report = verified(later, local_lake, folder)
    assert not report["pending_rolls"], report
    server.binary, upgraded = earlier, server.state
    server.state = folder / "downgraded"
    server.start()
    time.sleep(2)
    # There again, with what waits in its journal.
    server.flags[1] = "1h"
    server.drain()
    server.start()
    time.sleep(1.5)
    server.kill()
    server.flags[1] = "1s"
    server.binary = later
    server.start()
    time.sleep(1)
    load.stop()
    server.drain()
    report = verified(later, local_lake, folder)
    assert len(report["nodes"]) == 2 and not report["pending_rolls"], report
    # The state directory of before is empty of data, and its node is gone on with as any other.
    before = make_server(local_lake, *flags, name="before", binary=later)
    before.state = upgraded
    before.start()
    other = Load(before, 2, threads=1, tag="v").start()
    time.sleep(1)
    other.stop()
    before.drain()
    verified(later, local_lake, folder)
    assert load.sessions() > 0 and other.sessions() > 0
    rows = check_all([load, other], local_lake.session_ids())
    local_lake.check_receipts()
    print(f"{rows} sessions, each once; from {earlier} to {later} and back", end=" ")
