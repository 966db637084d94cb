"""`dedup`: one of equal sessions lands, over bodies, rolls, kills and restarts, and the others are counted."""

import json
import random

import pytest

from harness.documents import FIRST_MS, document
from harness.process import wait_until

DAY = ["--dedup", "24h", "--retry-window", "0s"]
FLAT = ["user_actions", "user_properties"]


def session(name, **more):
    return document(name, tenantId="t", **more)


def lines(*documents):
    return b"".join(one + b"\n" for one in documents)


def doubled(lake):
    return sum(receipt.get("doubled", 0) for receipt in lake.receipts())


def verified(lake, command):
    report = json.loads(command("verify", lake.at.uri, "--json", "--rows", env=lake.at.env, timeout_s=600))
    assert report["problems"] == [], report
    return report


def test_doubles_in_one_body_over_bodies_rolls_and_restarts(make_server, lake, command):
    server = make_server(lake, "--roll-age", "1s", *DAY).start()
    server.put(lines(session("a"), session("b"), session("a")))
    server.put(lines(session("b"), session("c"), b"no document"))
    lake.wait_landed(3, timeout_s=15)
    server.put(lines(session("a"), session("d")))
    lake.wait_landed(4, timeout_s=15)
    spread = json.loads(session("d"))
    spread = json.dumps(dict(reversed(spread.items())), indent=1).encode()
    server.drain()
    server.start()
    server.put(lines(spread, session("e"), session("e", partNumber=1), session("e", partNumber=1)))
    server.drain()
    assert sorted(lake.session_ids()) == ["a", "b", "c", "d", "e", "e"]
    assert doubled(lake) == 5
    lake.check_receipts()
    (node,) = verified(lake, command)["nodes"]
    assert node["lines"] == node["rows"] + node["rejects"] + node["doubled"]
    assert (node["lines"], node["rows"], node["rejects"], node["doubled"]) == (12, 6, 1, 5)
    assert "equal rows that have landed: 5" in command("verify", lake.at.uri, env=lake.at.env)


def test_a_sender_that_repeats_itself_over_kills(make_server, local_lake, command):
    """Bodies of sessions that others have too, in any order, while the server is killed again and again."""
    dice = random.Random(7)
    server = make_server(local_lake, "--roll-age", "1s", *DAY).start()
    sent, lines_sent = set(), 0
    for _ in range(6):
        for _ in range(12):
            names = [f"s{dice.randrange(300)}" for _ in range(dice.randrange(1, 20))]
            reply = server.put(lines(*(session(name) for name in names)))
            assert reply.status == 200
            sent.update(names)
            lines_sent += len(names)
        if dice.random() < 0.5:
            local_lake.wait_landed(local_lake.landed() + 1, timeout_s=20)
        server.kill()
        server.start()
    server.drain()
    assert sorted(local_lake.session_ids()) == sorted(sent)
    assert sum(receipt["lines"] for receipt in local_lake.receipts()) == lines_sent
    assert doubled(local_lake) == lines_sent - len(sent)
    local_lake.check_receipts()
    verified(local_lake, command)


def test_an_index_that_is_gone_lets_doubles_land_once_more(make_server, local_lake, command):
    server = make_server(local_lake, *DAY).start()
    server.put(lines(session("a"), session("b")))
    server.drain()
    index = server.state / "dedup.redb"
    assert index.stat().st_mode & 0o777 == 0o600
    index.unlink()
    server.start()
    server.put(lines(session("a")))
    server.drain()
    server.start()
    server.put(lines(session("a")))
    server.drain()
    assert sorted(local_lake.session_ids()) == ["a", "a", "b"]
    index.write_bytes(b"\x00" * 5000)
    server.start()
    assert "the index of dedup cannot be used" in server.process.output()
    server.put(lines(session("b"), session("b")))
    server.drain()
    assert sorted(local_lake.session_ids()) == ["a", "a", "b", "b"]
    verified(local_lake, command)


def test_a_start_without_the_setting_deletes_the_index(make_server, local_lake):
    server = make_server(local_lake, *DAY).start()
    server.put(lines(session("a")))
    server.drain()
    assert (server.state / "dedup.redb").exists()
    server.flags = ["--retry-window", "0s"]
    server.start()
    server.put(lines(session("a")))
    server.drain()
    assert not (server.state / "dedup.redb").exists()
    assert local_lake.session_ids() == ["a", "a"]


def test_metrics(make_server, local_lake):
    server = make_server(local_lake, "--roll-age", "1s", *DAY).start()
    server.put(lines(session("a"), session("a"), session("b")))
    local_lake.wait_landed(2, timeout_s=15)
    server.put(lines(session("c")))
    local_lake.wait_landed(3, timeout_s=15)
    metrics = server.metrics()
    assert metrics['sessionlake_doubled_rows_total{table="user_sessions"}'] == 1
    assert metrics["sessionlake_dedup_index_rows"] == 3
    assert metrics["sessionlake_dedup_index_failures_total"] == 0
    server.drain()
    server.start()
    known = lambda: server.metrics()["sessionlake_dedup_index_rows"] == 3  # noqa: E731
    wait_until(known, 10, "the size of the index is known after a restart")


def test_a_schema_without_the_columns_is_refused(folder, command):
    schema = folder / "orders.avsc"
    fields = [{"name": "at", "type": "long"}, {"name": "tenantId", "type": "string"}]
    schema.write_text(json.dumps({"type": "record", "name": "orders", "fields": fields}))
    flags = ["--table", "orders", "--schema", str(schema), "--partition", "", "--dedup", "1h"]
    text = command("check", *flags, "--lake", str(folder / "lake"), "--state", str(folder / "state"), expect=2)
    assert "no column userSessionId" in text, text


@pytest.mark.parametrize("tables", [FLAT])
def test_rows_of_flat_tables_go_with_their_session(make_server, local_lake, command, tables):
    actions = [{"name": "one", "startTime": FIRST_MS}, {"name": "two", "startTime": FIRST_MS}]
    properties = [{"key": "k", "value": "v"}]

    def full(name):
        return session(name, userActions=actions, stringProperties=properties)

    if "--flat-tables" not in command("serve", "--help"):
        pytest.skip("this build has no flat tables")
    server = make_server(local_lake, "--flat-tables", ",".join(tables), *DAY).start()
    server.put(lines(full("a"), full("b"), full("a")))
    server.put(lines(full("b"), full("c")))
    server.drain()
    server.start()
    server.put(lines(full("d"), full("a")))
    server.drain()
    assert sorted(local_lake.session_ids()) == ["a", "b", "c", "d"]
    for table, each in zip(tables, (2, 1)):
        found = local_lake.query("SELECT userSessionId, count(*) FROM {t} GROUP BY ALL ORDER BY ALL", table)
        assert found == [(name, each) for name in "abcd"], table
    assert doubled(local_lake) == 3
    verified(local_lake, command)
