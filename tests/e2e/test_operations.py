"""Starts, stops and reloads as an orchestrator sees them."""

import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from harness.documents import body
from harness.lake import Lake
from harness.load import Load, check_all
from harness.probes import Probes
from harness.process import Process, free_port, wait_until
from harness.slow_disk import forget, slow_reads
from test_status import get

# It measures how soon others are answered.
pytestmark = pytest.mark.alone


def test_a_replay_is_watched_from_outside_and_stopped_at_once(make_server, local_lake, folder):
    """Live at once, not ready and why, bodies 503, metrics; SIGTERM ends it, and nothing is lost."""
    flags = ("--roll-age", "1h", "--journal-compression=false", "--journal-segment", "2MiB")
    server = make_server(local_lake, *flags).start()
    sent = [f"s{number:02}" for number in range(20)]
    for name in sent:
        assert server.put(body(name).replace(b"}", b',"city":"' + b"x" * 600_000 + b'"}')).status == 200
    server.kill()
    with slow_reads(folder, 3_000_000) as slowly:
        if slowly is None:
            pytest.skip("reads cannot be made slow here")
        forget(server.state.rglob("*.seg"))
        probes = Probes(server.port).start()
        status_port = free_port()
        command = [*server.command(), "--status-listen", f"127.0.0.1:{status_port}"]
        process = Process(slowly(command), folder / "slow.log", server.environment())
        try:
            wait_until(lambda: any("replaying the journal" in text for text in probes.texts), 30, "a replay")
            assert "sessionlake_replay_total_bytes" in server.get("/metrics").text
            # The listener of operators answers as well.
            watching = f"http://127.0.0.1:{status_port}"
            assert get(f"{watching}/health/live")[0] == 200
            code, _, text = get(f"{watching}/health/ready")
            assert code == 503 and "replaying the journal" in text, text
            code, _, text = get(f"{watching}/status.json")
            assert code == 200 and '"ready":false' in text.replace(" ", ""), text
            time.sleep(1.5)
            asked = time.monotonic()
            process.signal(signal.SIGTERM)
            assert process.wait(20) == 0, process.tail()
            took = time.monotonic() - asked
        finally:
            process.kill()
        probes.stop()
    assert took < 3, f"the stop took {took} s"
    said = [text for text in probes.texts if "replaying the journal: " in text]
    assert len(set(said)) >= 3, f"the share does not grow: {said}"
    assert "stopped while the journal was being opened" in process.output()
    within = probes.check(asked)
    assert within and {row[2] for row in within} == {503} and not probes.acked
    server.start().drain()
    assert sorted(local_lake.session_ids()) == sent


def ready_without_a_gap(within, asked, began):
    """Ready from soon after the start on, without a gap, until the stop was asked for. Returns the rounds after."""
    ready = [row[2] for row in within]
    first, last = ready.index(200), len(ready) - 1 - ready[::-1].index(200)
    assert set(ready[first : last + 1]) == {200}, "ready came and went"
    assert within[first][0] < began + 10, f"ready {within[first][0] - began} s after the start"
    assert within[last][0] < asked + 0.3, "ready after the stop"
    refused = [row for row in within[first:last] if row[3] != 200]
    assert not refused, f"not taken while ready: {refused}"
    return within[last + 1 :]


@pytest.mark.parametrize("lives", [1, pytest.param(4, marks=pytest.mark.soak)])
def test_no_moment_without_an_answer(make_server, local_lake, folder, lives):
    """Under load, probed from outside every 50 ms: a start, signals that are ignored, reloads, the lake away, kill -9
    with a replay, drain_delay and drain, and the same again. The lake is verified meanwhile, and never called damaged."""
    flags = ("--roll-age", "1s", "--drain-delay", "1s", "--verify-every", "1s")
    server = make_server(local_lake, *flags)
    server.port = free_port()
    probes = Probes(server.port).start()
    load = Load(server, 2, threads=2).start()
    lake, away = Path(local_lake.at.base), folder / "away"
    late = set()
    for life in range(lives):
        began = time.monotonic()
        server.start()
        for _ in range(5):
            for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2):
                server.process.signal(number)
            time.sleep(0.2)
        wait_until(lambda: verdicts(server)["ok"] >= 1, 30, "a verification")
        # Bodies are taken while the lake is away, and trouble is said of it alone.
        lake.rename(away)
        failed = verdicts(server)["failed"]
        wait_until(lambda: server.metrics()['sessionlake_trouble{part="lake"}'] == 1, 20, "trouble")
        wait_until(lambda: verdicts(server)["failed"] > failed, 20, "a verification that could not look")
        assert server.get("/health/ready").status == 200
        away.rename(lake)
        well = verdicts(server)["ok"]
        wait_until(lambda: verdicts(server)["ok"] > well, 40, "a verification after it")
        assert verdicts(server)["damaged"] == 0, server.process.output()
        log = server.process.output()
        assert log.count("reloaded: nothing that can be reloaded has changed") >= 1, log
        killed = time.monotonic()
        server.kill()
        # Until then ready is not over.
        after = ready_without_a_gap(probes.check(killed, began, within_s=1), killed, began)
        assert not after, after
        began = time.monotonic()
        server.start()
        time.sleep(1)
        asked = time.monotonic()
        server.process.signal(signal.SIGTERM)
        time.sleep(0.6)
        # It takes bodies for load balancers that have not noticed yet.
        assert server.get("/health/ready").status == 503
        assert server.put(body(f"late{life}")).status == 200
        late.add(f"late{life}")
        code = server.process.wait(60)
        ended = time.monotonic()
        log = server.process.output()
        assert code == 0, log
        assert "panicked" not in log, log
        after = ready_without_a_gap(probes.check(ended, began, within_s=1), asked, began)
        assert {row[2] for row in after} <= {503}, after
    server.start()
    load.stop()
    probes.stop()
    server.drain()
    assert set(load.statuses) <= {200, 503}, load.statuses
    found = local_lake.session_ids()
    own = [name for name in found if name.startswith("probe-")]
    assert len(own) == len(set(own)), "a probe's body is there twice"
    assert set(probes.acked) <= set(own) <= set(probes.acked) | probes.unsure
    assert late <= set(found)
    check_all([load], [name for name in found if not name.startswith(("probe-", "late"))])


def verdicts(server):
    """How often the running server has verified the lake with which verdict."""
    name = "sessionlake_verify_runs_total"
    found = server.metrics()
    return {word: found[f'{name}{{verdict="{word}"}}'] for word in ("ok", "damaged", "failed")}


def test_a_stop_with_the_store_away(make_server, seaweedfs, request):
    """Answers to the end, the log says what waits for which store, drain_limit ends it with 3."""
    lake = Lake(seaweedfs.lake("stop-away"))
    server = make_server(lake, "--roll-age", "1h", "--drain-limit", "7s", "--store-timeout", "1s").start()
    assert server.put(body("a", "b")).status == 200
    request.addfinalizer(seaweedfs.resume)
    seaweedfs.pause()
    probes = Probes(server.port).start()
    server.process.signal(signal.SIGTERM)
    code = server.process.wait(20)
    ended = time.monotonic()
    probes.stop()
    log = server.process.output()
    assert code == 3, log
    assert "panicked" not in log, log
    waits = r"(1 body waits|\d+ bodies wait) for s3://"
    assert re.search(f"stopping: {waits}", log), log
    assert re.search(rf"drain_limit \(7s\): {waits}", log), log
    probes.check(ended)
    assert any(re.search(waits, text) for text in probes.texts), probes.texts
    seaweedfs.resume()
    server.start().drain()
    assert sorted(lake.session_ids()) == sorted(["a", "b", *probes.acked])


def test_a_reload_is_all_or_nothing(make_server, local_lake, folder):
    """SIGHUP reads credentials and the level of the log again; a wrong file changes nothing and says so."""
    config, credentials = folder / "s.toml", folder / "c.toml"
    rest = f'credentials = "{credentials}"\n'

    def token(word):
        path = folder / "token"
        path.write_text(word * 8)
        credentials.write_text('[[token]]\nname = "probe"\ntoken_file = "token"\n')

    def asks(word):
        with server.client() as client:
            return client.send(body(word), Authorization=f"Bearer {word * 8}").status

    def metrics(word):
        with server.client() as client:
            path = "/metrics"
            text = client.send(None, method="GET", path=path, Authorization=f"Bearer {word * 8}").text
        lines = [line for line in text.splitlines() if line.startswith("sessionlake_reload_last_success ")]
        return lines[0].split()[1]

    config.write_text(rest)
    token("first")
    server = make_server(local_lake, "--config", config, "--roll-age", "1h").start()
    assert (asks("first"), asks("other"), metrics("first")) == (200, 401, "1")
    config.write_text("roll_age = nonsense\n")
    server.process.signal(signal.SIGHUP)
    wait_until(lambda: "reload failed, and everything stays as it was" in server.process.output(), 10, "it fails")
    assert asks("first") == 200 and metrics("first") == "0"
    config.write_text(rest + 'log = "debug"\ndrain_delay = "3s"\n')
    token("other")
    server.process.signal(signal.SIGHUP)
    wait_until(lambda: 'log = "debug"' in server.process.output(), 10, "it is reloaded")
    log = server.process.output()
    assert "these have changed and need a restart: drain_delay" in log, log
    assert (asks("first"), asks("other"), metrics("other")) == (401, 200, "1")
    wait_until(lambda: " DEBUG " in server.process.output(), 10, "the level of the log is another")
    server.drain()
    assert sorted(local_lake.session_ids()) == ["first", "other"]


def test_a_service_manager_is_told(make_server, local_lake, folder):
    """sd_notify: READY=1 once, the state, the watchdog, and STOPPING=1."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"sessionlake-e2e-{os.getpid()}"
        manager.bind(f"\0{name}")
        manager.settimeout(0.1)
        said, ended = [], threading.Event()

        def listen():
            # The system keeps ten messages, and drops the others.
            while True:
                try:
                    said.append(manager.recv(4096).decode())
                except TimeoutError:
                    if ended.is_set():
                        return

        listening = threading.Thread(target=listen)
        listening.start()
        env = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "1000000"}
        server = make_server(local_lake, "--roll-age", "1h", env=env).start()
        assert server.put(body("a")).status == 200
        time.sleep(2)
        server.drain()
        ended.set()
        listening.join()
    assert [word for word in said if word in ("READY=1", "STOPPING=1")] == ["READY=1", "STOPPING=1"], said
    assert 3 <= said.count("WATCHDOG=1") <= 20, said
    ready = said.index("READY=1")
    assert "STATUS=takes bodies" in said[ready:], said
    assert any(word.startswith("EXTEND_TIMEOUT_USEC=") for word in said[:ready]), said
    assert any(word.startswith("STATUS=stopping: ") for word in said), said
