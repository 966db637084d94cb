"""Few bytes that cost much: several senders with such bodies, beside a good one, in 512 MiB.

Settings are those that come with the program, but for two endpoints and rolls of ten seconds.
"""

import http.client
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import brotli
import pytest
from harness import memory_limit
from harness.documents import document
from harness.process import wait_until

# It measures how soon others are answered.
pytestmark = pytest.mark.alone

ROLL_AGE_S = 10
MEMORY_BYTES = 512 << 20
ATTACKERS = [f"127.0.1.{number}" for number in range(1, 5)]
DAY_MS = 86_400_000
# How many lines the attacks have, those of an attacker together.
OPEN_LINES = 32 << 20
LINE_BYTES = 250 << 20
DAYS = 10_050


class Good(threading.Thread):
    """A small session every 50 ms on an endpoint of its own; keeps when each was acknowledged."""

    def __init__(self, server, tag):
        super().__init__(daemon=True)
        self.server, self.tag = server, tag
        self.stopping = threading.Event()
        self.sent, self.wrong, self.slowest_s = {}, [], 0.0

    def run(self):
        with self.server.client() as client:
            while not self.stopping.is_set():
                name = f"good-{self.tag}{len(self.sent):06}"
                began = time.monotonic()
                try:
                    reply = client.send(document(name, int(time.time() * 1000)) + b"\n", path="/good")
                    if reply.status != 200:
                        self.wrong.append(str(reply))
                except (OSError, http.client.HTTPException) as error:
                    self.wrong.append(repr(error))
                took = time.monotonic() - began
                self.slowest_s = max(self.slowest_s, took)
                self.sent[name] = time.monotonic()
                time.sleep(0.05)

    def stop(self, most_s):
        self.stopping.set()
        self.join(30)
        assert not self.is_alive(), "the good sender waits for an answer"
        assert not self.wrong, (len(self.wrong), self.wrong[:3])
        assert self.slowest_s < most_s, f"an answer took {self.slowest_s:.2f} s of {most_s:.2f}"


def time_of_a_large_write(folder):
    """The seconds in which this disk takes the longest body, which is written and synced in one piece."""
    path, block = folder / "large", os.urandom(1 << 20)
    began = time.monotonic()
    with path.open("wb") as file:
        for _ in range(LINE_BYTES >> 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    return time.monotonic() - began


def bodies(number):
    """Some hundred bytes each: unclosed documents, one line of 250 MiB, a day for each line. No two are
    equal, which would be a retry."""
    own = b'{"userId":"%d"}\n' % number
    now = int(time.time() * 1000)
    days = b"".join(b'{"startTime":%d}\n' % (now + n * DAY_MS) for n in range(DAYS))
    compressed = [brotli.compress(text, quality=5) for text in (own + b"{\n" * OPEN_LINES, own + b"x" * LINE_BYTES)]
    assert all(len(body) < 2_000 for body in compressed)
    return [*compressed, brotli.compress(own + days, quality=9)]


def attack(port, source, given):
    """Sends bodies from an address. Returns the statuses."""
    statuses = []
    for body in given:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(source, 0))
        try:
            client.request("PUT", "/attacked", body, {"Content-Encoding": "br", "Content-Type": "application/json"})
            statuses.append(client.getresponse().status)
        except (OSError, http.client.HTTPException) as error:
            statuses.append(type(error).__name__)
        finally:
            client.close()
    return statuses


def landed_good(lake):
    """The good sessions that are in partitions of their own days."""
    if not lake.data_files():
        return set()
    sql = """SELECT "userSessionId" FROM {t} WHERE "userSessionId" LIKE 'good-%' AND date = "startTime"::date::varchar"""
    return {name for (name,) in lake.query(sql.replace("date =", "date::varchar ="))}


def wait_for(lake, sent, since):
    """Waits until the good rows have landed: each within three times the age of a roll."""
    left = max(since, *sent.values()) + 3 * ROLL_AGE_S - time.monotonic()
    wait_until(lambda: set(sent) <= landed_good(lake), max(left, 0.1), "the good rows have landed", 0.5)


def settings(folder):
    path = folder / "sessionlake.toml"
    sections = [f'[[endpoint]]\nname = "{name}"\npath = "/{name}"\n' for name in ("good", "attacked")]
    path.write_text("".join(sections))
    return path


def run_server(make_server, lake, folder, group):
    server = make_server(lake, "--roll-age", f"{ROLL_AGE_S}s", "--config", settings(folder))
    command = server.command
    if group is not None:
        server.command = lambda: group.command(command())
    return server


def test_several_attackers_with_few_bytes_beside_a_good_sender(make_server, local_lake, folder, command):
    """Before and after a restart with all of it in the journal: no error and no answer above a second
    for the good sender, its rows land in their partitions in time, and 512 MiB are enough."""
    with memory_limit.limited(MEMORY_BYTES) as (group, how):
        # A second, on a disk that takes such a body in less; on others, the time of two.
        most_s = max(1.0, 2 * time_of_a_large_write(folder))
        print(f"{how}; an answer may take {most_s:.2f} s")
        server = run_server(make_server, local_lake, folder, group).start()
        given = [bodies(number) for number in range(len(ATTACKERS))]
        good = Good(server, "a")
        good.start()
        time.sleep(1)
        with ThreadPoolExecutor(len(ATTACKERS)) as pool:
            # Each begins with another one.
            turned = [body[n % 3 :] + body[: n % 3] for n, body in enumerate(given)]
            statuses = list(pool.map(lambda pair: attack(server.port, *pair), zip(ATTACKERS, turned, strict=True)))
        print("answers to the attackers:", statuses)
        good.stop(most_s)
        peaks = [server.peak_memory_bytes()]
        server.kill()
        began = time.monotonic()
        server.start()
        after = Good(server, "b")
        after.start()
        # Some more of it meanwhile, as an attacker would.
        more = bodies(len(ATTACKERS))
        print("and after the restart:", attack(server.port, ATTACKERS[0], more[2:]))
        time.sleep(5)
        after.stop(most_s)
        wait_for(local_lake, good.sent, began)
        wait_for(local_lake, after.sent, began)
        peaks.append(server.peak_memory_bytes())
        print(f"slowest answers {good.slowest_s:.2f} and {after.slowest_s:.2f} s, peaks {[p >> 20 for p in peaks]} MiB")
        assert max(peaks) < MEMORY_BYTES
        server.drain(timeout_s=240)
        assert "panicked" not in server.log.read_text()
        if group is not None:
            assert not group.killed(), "it was killed for want of memory"
    local_lake.check_receipts()
    command("verify", local_lake.at.uri)
    taken = sum(local_lake.size(path) for path in local_lake.files())
    inflated = len(ATTACKERS) * (2 * OPEN_LINES + LINE_BYTES)
    print(f"{taken >> 20} MiB in the lake of {inflated >> 20} MiB sent, {len(local_lake.quarantine())} quarantine entries")
    assert taken < inflated, "the lake takes more than what was sent"
