"""kill -9 in the middle of a stream: what was acknowledged is there, and once."""

import collections
import dataclasses
import random
import time

import pytest
from harness.lake import Lake
from harness.process import wait_until
from harness.relay import Relay
from harness.senders import Senders


def check_exactly_once(lake, senders):
    """Every acknowledged session once; every other one that was sent at most once; no third kind."""
    there = collections.Counter(lake.session_ids())
    acked = senders.total("acked")
    unsure = senders.total("unsure")
    assert len(acked) == len(set(acked))
    lost = [session for session in acked if there[session] == 0]
    doubled = {session: n for session, n in there.items() if n > 1}
    assert not lost, f"{len(lost)} acknowledged sessions are lost, such as {lost[:5]}"
    assert not doubled, f"{len(doubled)} sessions are there twice, such as {list(doubled.items())[:5]}"
    assert set(there) <= set(acked) | set(unsure)
    assert len(acked) > 200, "too little was sent for this to mean anything"


@pytest.mark.parametrize(("roll_age", "compression"), [("1s", "true"), ("1h", "false")])
def test_kill_while_bulks_stream_in(make_server, lake, roll_age, compression):
    flags = ("--roll-age", roll_age, "--roll-rows", "400", f"--journal-compression={compression}")
    server = make_server(lake, *flags).start()
    senders = Senders(server).start()
    chance = random.Random(lake.at.uri)
    for _ in range(5):
        time.sleep(0.4 + chance.random() * 1.4)
        server.kill()
        server.start()
    time.sleep(0.5)
    senders.stop()
    server.drain()
    check_exactly_once(lake, senders)
    lake.check_receipts()
    lake.no_leftovers()


def test_kill_before_anything_landed(make_server, local_lake):
    """Nothing but the journal has the sessions; a start that is stopped at once lands them."""
    server = make_server(local_lake, "--roll-age", "1h").start()
    senders = Senders(server, patient=2, hasty=0).start()
    time.sleep(1.5)
    senders.stop()
    server.kill()
    assert local_lake.rows() == 0
    server.start().drain()
    check_exactly_once(local_lake, senders)


def test_kill_while_it_drains(make_server, local_lake):
    """Killed at different moments of a drain, again and again; the last one is let finish."""
    server = make_server(local_lake, "--roll-age", "1h", "--roll-rows", "300").start()
    senders = Senders(server, patient=3, hasty=0, days=10).start()
    time.sleep(2)
    senders.stop()
    for wait in (0.0, 0.02, 0.05, 0.1, 0.2):
        server.process.signal(15)
        time.sleep(wait)
        server.kill()
        server.start()
    server.drain()
    check_exactly_once(local_lake, senders)
    local_lake.check_receipts()
    local_lake.no_leftovers()


@pytest.mark.parametrize("name", ["seaweedfs", "minio"])
def test_unfinished_uploads_of_a_killed_process_are_aborted(make_server, request, name):
    """Killed within an upload in parts; after the next start nothing is left that would be billed."""
    store = request.getfixturevalue(name)
    at = store.lake("unfinished")
    # One part of 16 MiB is there, and the file is not.
    relay = Relay(store.port, most=18 << 20)
    through = dataclasses.replace(at, env={**at.env, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{relay.port}"})
    lake = Lake(at)
    flags = ("--roll-age", "5s", "--compression", "none", "--store-timeout", "5s")
    chance = random.Random(7)
    line = '{"userSessionId":"%d","startTime":1764000000000,"city":"%s"}\n'
    lines = [line % (number, chance.randbytes(4096).hex()) for number in range(3600)]
    server = make_server(Lake(through), *flags).start()
    for first in (0, 1200, 2400):
        assert server.put("".join(lines[first : first + 1200]).encode()).status == 200
    wait_until(lambda: relay.cut_off, 60, "the upload was not cut")
    server.kill()
    if name == "seaweedfs":  # MinIO lists those of a whole name only.
        assert len(store.unfinished_uploads()) == 1
    relay.mend()
    server.start().drain()
    relay.close()
    for prefix in ["", *(f"unfinished/{path}" for path in lake.files())]:
        assert store.unfinished_uploads(prefix) == []
    assert server.log.read_text().count("aborted an unfinished upload") == 1
    assert lake.rows() == 3600
    lake.check_receipts()
