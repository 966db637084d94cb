"""Reloads of endpoints and limits under load, seen from outside."""

import collections
import signal
import threading
import time

from harness.documents import body
from harness.load import Load
from harness.probes import Probes
from harness.process import free_port, wait_until

DEFAULT = '[[endpoint]]\nname = "default"\npath = "/export/events"\n'
# A POST of 4 KiB to /x is too long by the one and not taken by the other: 200 would be half of each.
SMALL = '[[endpoint]]\nname = "x"\npath = "/x"\nmethods = ["POST"]\nbody_limit = "1KiB"\ninflated_limit = "1KiB"\n'
LARGE = '[[endpoint]]\nname = "x"\npath = "/x"\nmethods = ["PUT"]\n[[endpoint]]\nname = "y"\npath = "/y"\n'


def test_endpoints_and_limits_change_under_load_and_every_request_has_one_set(make_server, local_lake, folder):
    config = folder / "s.toml"
    config.write_text(DEFAULT + SMALL)
    server = make_server(local_lake, "--config", config, "--roll-age", "1s")
    server.port = free_port()
    server.start()
    probes, load = Probes(server.port).start(), Load(server, 2, threads=2).start()
    codes, acked, stop = collections.defaultdict(collections.Counter), [], threading.Event()

    def ask():
        number = 0
        with server.client() as client:
            while not stop.is_set():
                number += 1
                codes["x"][client.send(b"{}\n" + b" " * 4093, method="POST", path="/x").status] += 1
                code = client.send(body(f"y-{number}"), path="/y").status
                codes["y"][code] += 1
                if code == 200:
                    acked.append(f"y-{number}")

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(30):
        new = folder / "new.toml"
        quota = f'journal_quota = "{2 + number % 2}GiB"\n'
        new.write_text(quota + DEFAULT + (LARGE if number % 2 == 0 else SMALL))
        new.rename(config)
        server.process.signal(signal.SIGHUP)
        time.sleep(0.1)
    log = wait_until(lambda: (log := server.process.output()).count("y is new") >= 5 and log, 20, "reloads")
    assert "y is gone" in log and "x changed" in log and 'journal_quota = "3GiB"' in log, log
    # One that is wrong changes nothing: neither the quota nor the endpoint.
    before = server.get("/metrics").text
    config.write_text('journal_quota = "5GiB"\n' + DEFAULT + '[[endpoint]]\nname = "z"\npath = "/z"\ntable = "none"\n')
    server.process.signal(signal.SIGHUP)
    wait_until(lambda: "reload failed" in server.process.output(), 20, "it is refused")
    quota = [line for line in before.splitlines() if line.startswith("sessionlake_journal_quota_bytes")]
    assert server.get("/metrics").text.count(quota[0]) == 1
    stop.set()
    asking.join()
    load.stop()
    ended = time.monotonic()
    probes.stop()
    within = probes.check(ended)
    server.drain()
    assert set(codes["x"]) == {405, 413}, codes
    assert set(codes["y"]) == {200, 404}, codes
    assert set(load.statuses) == {200}, load.statuses
    assert {row[1] for row in within} == {200} and {row[2] for row in within} == {200}
    found = local_lake.session_ids()
    assert sorted(name for name in found if name.startswith("y-")) == sorted(acked)
    kept = [name for name in found if not name.startswith(("y-", "probe-"))]
    assert len(kept) == len(set(kept)) >= load.sessions()
