"""Starting, stopping, and a store that goes away."""

import contextlib
import os
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
from harness import stores
from harness.documents import body
from harness.lake import Lake
from harness.load import Load
from harness.process import Process, wait_until
from harness.senders import Senders
from test_crash import check_exactly_once


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain_under_load(make_server, lake, number):
    """No new requests, everything acknowledged lands, exit 0."""
    server = make_server(lake, "--roll-age", "1h").start()
    senders = Senders(server, patient=0, hasty=4).start()
    time.sleep(2)
    server.process.signal(number)
    senders.stop()
    assert server.process.wait(60) == 0, server.process.tail()
    check_exactly_once(lake, senders)
    lake.check_receipts()


def test_a_second_signal_stops_at_once(make_server, seaweedfs, request):
    """With the store away a drain cannot end; a second signal ends it, and the journal keeps all."""
    lake = Lake(seaweedfs.lake("second-signal"))
    server = make_server(lake, "--roll-age", "1h").start()
    server.put(body("a", "b"))
    request.addfinalizer(seaweedfs.resume)
    seaweedfs.pause()
    server.process.signal(signal.SIGTERM)
    time.sleep(2)
    assert server.process.running(), "it drained into a store that is away"
    server.process.signal(signal.SIGTERM)
    server.process.wait(10)
    seaweedfs.resume()
    server.start().drain()
    assert sorted(lake.session_ids()) == ["a", "b"]


def test_acks_go_on_while_the_store_is_away(make_server, seaweedfs, request):
    lake = Lake(seaweedfs.lake("away"))
    server = make_server(lake, "--roll-age", "1s", "--store-timeout", "2s").start()
    request.addfinalizer(seaweedfs.resume)
    server.put(body("before"))
    lake.wait_landed(1)
    seaweedfs.pause()
    sent = ["before"]
    for number in range(40):
        sent.append(f"away-{number:02}")
        started = time.monotonic()
        assert server.put(body(sent[-1])).status == 200
        assert time.monotonic() - started < 5, "an ack waited for the store"
        time.sleep(0.1)
    assert server.get("/health/live").status == 200

    def trouble():
        ready = server.get("/health/ready")
        assert ready.status == 200, "a load balancer would send nothing here, and all is taken"
        return [part["part"] for part in ready.json.get("trouble", [])]

    wait_until(lambda: trouble() == ["lake"], 60, "it says that the lake is away")
    metrics = server.metrics()
    assert metrics["sessionlake_lake_up"] == 0
    assert metrics['sessionlake_trouble{part="lake"}'] == 1
    assert time.time() - 90 < metrics["sessionlake_lake_trouble_since_timestamp_seconds"] < time.time()
    seaweedfs.resume()
    lake.wait_landed(len(sent), timeout_s=90)
    # Rows are there before the journal knows that they are.
    wait_until(lambda: server.get("/health/ready").json == {"status": "ready"}, 10, "all has landed")
    log = server.log.read_text()
    assert "the lake answers again" in log
    assert log.count("cannot upload the files") <= 2, "a failure that repeats is logged once a minute"
    server.drain()
    assert sorted(lake.session_ids()) == sorted(sent)
    lake.check_receipts()


def test_a_journal_that_cannot_be_written_ends_the_process(make_server, local_lake):
    """A failed write is final: nothing of it is acked, the process leaves with 1, a start has the rest."""
    server = make_server(local_lake, "--roll-age", "1h", "--journal-compression=false")
    plain = server.command
    server.command = lambda: ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh", *plain()]
    server.start()
    assert server.put(body("a")).status == 200
    # From now on no file can grow beyond 1 MiB.
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    large = body("large").replace(b"}", b',"city":"' + b"x" * 2_000_000 + b'"}')
    assert server.put(large).status == 503
    assert server.process.wait(30) == 1, server.process.tail()
    assert "the journal stopped after a failed write" in server.process.tail()
    server.start()
    assert server.put(body("b")).status == 200
    server.drain()
    assert sorted(local_lake.session_ids()) == ["a", "b"]


@pytest.mark.parametrize("how", ["deleted", "moved away"])
def test_a_state_directory_that_is_gone_under_load(make_server, local_lake, folder, how):
    """Nothing is acknowledged into files without a name; the process leaves with 1."""
    # The largest age: what is acknowledged is in the journal alone.
    server = make_server(local_lake, "--roll-age", "1h").start()
    load = Load(server, 20).start()
    wait_until(lambda: load.sessions() > 500, 30, "sessions are taken")
    away = folder / "away"
    server.state.rename(away)
    at = load.sessions()
    if how == "deleted":
        shutil.rmtree(away)
    assert server.process.wait(30) == 1, server.process.tail()
    load.stopping.set()
    assert "was deleted, unmounted or replaced under it" in server.process.tail()
    # Answers that were on their way, a bulk a sender.
    assert load.sessions() <= at + 2 * 85 * 3, (load.sessions(), at)
    if how == "moved away":
        # All that was acknowledged is in what was moved, and lands from there.
        server.state = away
        server.start()
        load.stop()
        server.drain()
        load.check(local_lake)


def test_a_second_server_does_not_acknowledge_beside_one_whose_directory_is_gone(
    make_server, local_lake, folder
):
    server = make_server(local_lake, "--roll-age", "1h").start()
    assert server.put(body("old")).status == 200
    shutil.rmtree(server.state)
    second = make_server(Lake(stores.LocalStore(folder).lake("other")), "--roll-age", "1h", name="second")
    second.state = server.state
    second.start()
    refused = None
    with contextlib.suppress(OSError):
        refused = server.put(body("into nowhere"))
    assert refused is None or refused.status == 503, refused
    assert server.process.wait(30) == 1, server.process.tail()
    assert second.put(body("new")).status == 200
    second.drain()
    assert second_ids(folder) == ["new"]


def second_ids(folder):
    return Lake(stores.LocalStore(folder).lake("other")).session_ids()


def test_a_segment_that_cannot_be_made_is_503_and_tried_again(make_server, local_lake):
    """Without a file descriptor left: 503 with the reason, the process stays, and it goes on by itself."""
    server = make_server(
        local_lake, "--roll-age", "1h", "--journal-segment", "64KiB", "--journal-compression=false"
    ).start()
    large = body("a").replace(b"}", b',"city":"' + b"x" * 40_000 + b'"}')
    assert server.put(large).status == 200
    with server.client() as client:
        # The connection is there before descriptors are gone.
        assert client.send(None, method="GET", path="/health/ready").status == 200
        # A process without core dumps shows its files to root alone.
        root = os.geteuid() == 0
        open_now = len(list(Path(f"/proc/{server.pid}/fd").iterdir())) if root else 4
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        assert open_now > 3
        reply = client.send(large.replace(b'"a"', b'"b"'))
        assert reply.status == 503 and int(reply.headers["retry-after"]) > 0, reply
        ready = client.send(None, method="GET", path="/health/ready")
        assert ready.status == 503 and "no further segment" in ready.text, ready
        assert server.process.running()
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        is_ready = lambda: client.send(None, method="GET", path="/health/ready").status == 200  # noqa: E731
        wait_until(is_ready, 10, "a segment is made again")
        assert client.send(large.replace(b'"a"', b'"b"')).status == 200
    server.drain()
    assert sorted(local_lake.session_ids()) == ["a", "b"]


def test_one_process_a_state_directory(server, make_server, local_lake, folder):
    """A second start on the same journal is refused, and the first one goes on."""
    second = make_server(local_lake, "--roll-age", "1h")
    process = Process(second.command(), folder / "second.log", second.environment())
    try:
        assert process.wait(20) == 1, process.tail()
        assert str(server.state) in process.tail()
    finally:
        process.kill()
    assert server.put(body("a")).status == 200
    server.drain()
    assert local_lake.session_ids() == ["a"]


def test_a_port_that_is_taken(server, make_server, folder):
    """Says which address, and leaves with 1."""
    lake = Lake(stores.LocalStore(folder).lake("other"))
    second = make_server(lake, name="second")
    second.port = server.port
    process = Process(second.command(), folder / "taken.log", second.environment())
    assert process.wait(20) == 1, process.tail()
    assert str(server.port) in process.tail()


def test_beyond_loopback_needs_a_word(command):
    printed = command("serve", "--listen", "0.0.0.0:0", expect=2)
    assert "insecure" in printed


def test_a_full_journal_answers_503(make_server, seaweedfs, request):
    """Past the quota: 503 with Retry-After, nothing breaks, and it goes on when there is room."""
    lake = Lake(seaweedfs.lake("quota"))
    server = make_server(
        lake,
        "--roll-age",
        "1s",
        "--store-timeout",
        "2s",
        "--journal-quota",
        "8MiB",
        "--journal-segment",
        "1MiB",
        "--journal-compression=false",
        "--inflated-limit",
        "4MiB",
        "--body-limit",
        "1MiB",
    ).start()
    request.addfinalizer(seaweedfs.resume)
    seaweedfs.pause()
    acked, refused = [], None
    for number in range(40):
        name = f"s{number:03}"
        reply = server.put(body(name).replace(b"}", b',"city":"' + b"x" * 500_000 + b'"}'))
        if reply.status == 200:
            acked.append(name)
        else:
            refused = reply
            break
    assert refused is not None and refused.status == 503, refused
    assert int(refused.headers["retry-after"]) > 0
    assert 8 <= len(acked) <= 20, len(acked)
    seaweedfs.resume()
    wait_until(lambda: server.put(body("after")).status == 200, 60, "room in the journal", 0.5)
    server.drain()
    assert sorted(lake.session_ids()) == ["after", *acked]
