"""What nobody should send, against the real program, while a good client goes on."""

import base64
import gzip
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import access, place
from harness.attacks import ATTACKS, SLOW_ATTACKS, Attacker, rapid_reset, rebound, stalled_bodies
from harness.documents import body, document

# It measures how soon others are answered.
pytestmark = pytest.mark.alone


class Good(threading.Thread):
    """Sends small bodies with a password on one connection; keeps what it saw."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.stopping = threading.Event()
        self.took_s, self.failed, self.sent = [], [], []
        self.authorization = "Basic " + base64.b64encode(b"ann:s3cret").decode()

    def run(self):
        with self.server.client() as client:
            while not self.stopping.is_set():
                name = f"good{len(self.sent):06}"
                started = time.monotonic()
                try:
                    reply = client.send(body(name), Authorization=self.authorization)
                    if reply.status != 200:
                        self.failed.append(str(reply))
                except OSError as error:
                    self.failed.append(repr(error))
                self.took_s.append(time.monotonic() - started)
                self.sent.append(name)
                time.sleep(0.01)

    def p99_s(self, since=0):
        took = sorted(self.took_s[since:])
        return took[int(len(took) * 0.99)]


def test_attacks(make_server, local_lake, folder):
    credentials = folder / "credentials.toml"
    credentials.write_text(access.toml([("user", {"name": "ann", "password_hash": access.password_hash("s3cret")})]))
    config = folder / "sessionlake.toml"
    config.write_text(
        f"credentials = {json.dumps(str(credentials))}\n"
        'header_timeout = "2s"\nbody_timeout = "3s"\ninflated_limit = "64MiB"\nmax_connections_per_peer = 200\n'
        'memory = "64MiB"\nrow_group_bytes = "16MiB"\npartition = "tenant={tenantId}/date={startTime:%Y-%m-%d}"\n'
        + access.toml(
            [
                ("endpoint", {"name": "main", "path": "/export/events"}),
                ("endpoint", {"name": "open", "path": "/open", "auth": "none"}),
                ("endpoint", {"name": "limited", "path": "/limited", "auth": "none", "requests_per_second": 3}),
                ("endpoint", {"name": "elastic", "path": "/es", "form": "elasticsearch", "auth": "none"}),
            ]
        )
    )
    server = make_server(local_lake, "--roll-age", "1h", "--config", config).start()
    good = Good(server)
    good.start()
    time.sleep(4)
    quiet, quiet_s = len(good.took_s), good.p99_s()
    attacker = Attacker(server.port)
    wrong, seen = [], []
    pool = ThreadPoolExecutor(len(SLOW_ATTACKS))
    slow = {name: pool.submit(attack, attacker) for name, (attack, _) in SLOW_ATTACKS.items()}
    for name, (attack, allowed) in ATTACKS.items():
        before = time.monotonic()
        outcome = attack(attacker)
        peak = server.peak_memory_bytes() >> 20
        seen.append(f"{outcome:>8}  {time.monotonic() - before:5.2f} s  {peak:4} MiB  {name}")
        if outcome not in allowed:
            wrong.append((name, outcome, sorted(allowed)))
        assert server.process.running(), f"it went down with {name}"
    for name, outcome in slow.items():
        seen.append(f"{outcome.result(60):>8}                    {name}")
        if outcome.result() not in SLOW_ATTACKS[name][1]:
            wrong.append((name, outcome.result()))
    loud_s = good.p99_s(quiet)
    good.stopping.set()
    good.join(30)
    peak = server.peak_memory_bytes()
    print("\n".join(seen))
    print(f"quiet p99 {quiet_s * 1000:.1f} ms, under attack {loud_s * 1000:.1f} ms, peak {peak >> 20} MiB, {len(good.sent)} good requests")
    assert not wrong, wrong
    assert len(ATTACKS) >= 30
    assert not good.failed, good.failed[:3]
    assert peak <= 512 << 20, f"{peak >> 20} MiB"
    # The attacker's bodies are large, and its processor is the same: what is kept is that the good
    # client is not held up for longer than a person would notice.
    assert loud_s <= max(2 * quiet_s, 0.25), (quiet_s, loud_s)
    server.drain()
    assert "panicked" not in server.log.read_text()
    deep = local_lake.source().replace("/*/*.parquet", "/**/*.parquet")
    ids = local_lake.connection.execute(f"""SELECT "userSessionId" FROM {deep} WHERE "userSessionId" LIKE 'good%'""")
    assert sorted(name for (name,) in ids.fetchall()) == good.sent
    for path in local_lake.files():
        parts = path.split("/")
        assert ".." not in parts and "." not in parts and "" not in parts, path
    # Nothing is beside the lake but what was put there.
    beside = {path.name for path in folder.iterdir()}
    assert beside == {"credentials.toml", "sessionlake.toml", "server", Path(local_lake.at.base).name}, beside


def test_attacks_on_the_default_installation(make_server, local_lake):
    """No configuration, no credentials: what anybody on the machine can try."""
    server = make_server(local_lake, "--roll-age", "1h").start()
    good = Good(server)
    good.start()
    attacker = Attacker(server.port)
    assert rebound(attacker) == "403"
    page = [b"Origin: https://evil.example", b"Content-Type: text/plain"]
    assert attacker.put(b"{}", *page, path=b"/export/events", method=b"POST") == "403"
    zeros = gzip.compress(b" " * (257 << 20))
    assert attacker.put(zeros, b"Content-Encoding: gzip", path=b"/export/events") == "413"
    assert attacker.put(b"\n" * (32 << 20), path=b"/export/events") == "200"
    assert rapid_reset(attacker) == "closed"
    # Idle, and as many as it may have.
    sockets = [attacker.connect() for _ in range(256)]
    time.sleep(1)
    more = attacker.connect()
    more.settimeout(5)
    assert more.recv(1) == b"", "it has more than its connections"
    for sock in sockets:
        sock.close()
    time.sleep(0.2)
    assert stalled_bodies(attacker, b"/export/events") in ("408", "408,503", "503")
    good.stopping.set()
    good.join(30)
    assert not good.failed, good.failed[:3]
    assert max(good.took_s) < 4, "it had to wait for the memory that others held"
    assert server.peak_memory_bytes() <= 512 << 20
    server.drain()
    assert sorted(local_lake.session_ids()) == good.sent


def test_partition_values_stay_within_the_lake(make_server, lake):
    """On every store: a value from a document is one part of a path, whatever it is."""
    server = make_server(lake, "--roll-age", "1h", "--partition", "tenant={tenantId}").start()
    tenants = ["../../../tmp/x", "..", ".", "", "a/b", "a\\b", "a\0b", "x" * 5000, "_hidden", ".hidden", "%2e%2e", "é\n"]
    lines = [document(f"s{n:02}", tenantId=tenant) for n, tenant in enumerate(tenants)]
    assert server.put(b"\n".join(lines)).status == 200
    server.drain()
    paths = lake.data_files()
    for path in paths:
        inner = path.split("user_sessions/", 1)[1]
        assert re.fullmatch(r"tenant=[^/\\\0\n]+/[a-z0-9-]+\.parquet", inner), path
        assert len(inner.encode()) < 1024, path
    rows = lake.query('SELECT count(*) FROM {t}')[0][0] + len(lake.quarantine())
    assert rows == len(tenants)


def test_the_table_of_attacks_is_the_one_that_is_run():
    """docs/security.md names every shape and what becomes of it."""
    text = (place.ROOT / "docs/security.md").read_text()
    told = dict(re.findall(r"^\| ([a-z0-9]+: [^|]+?) \| ([^|]+?) \|$", text, re.MULTILINE))
    run = {name: " or ".join(sorted(allowed)) for name, (_, allowed) in {**ATTACKS, **SLOW_ATTACKS}.items()}
    assert told == {name: outcome.replace("401,429", "401, then 429") for name, outcome in run.items()}
