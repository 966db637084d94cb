"""Steady load that knows what was acknowledged, by numbers, so that millions of sessions fit."""

import collections
import http.client
import threading
import time

from .client import Client
from .senders import Stream

PER_BULK = 85


class Load:
    """`threads` exporters that together send so many MB (10^6 bytes) a second, if they are let.

    Each sends a bulk again until it gets a 200, as the exporter does within its tries; what it had
    not got when it was stopped is unsure. Session ids are `<tag><thread>-<number>`, numbers without
    a gap, so that what is missing or doubled can be told for any number of sessions.
    """

    def __init__(self, server, megabytes_per_s, threads=3, days=3, tag="k", timeout_s=20):
        self.server, self.tag, self.timeout_s = server, tag, timeout_s
        self.rate = megabytes_per_s * 1_000_000 / threads
        self.bulks = Stream(server, 1, 1, days, tag=tag).bulks
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.acked = [0] * threads  # Sessions 0 to n - 1 of each thread.
        self.unsure = [0] * threads  # How many after these.
        self.bytes = 0
        self.statuses = collections.Counter()
        self.broken = 0  # Connections that ended without an answer.
        self.duplicates = 0
        self.slowest_s = 0.0
        self.answers = []  # (when, seconds) of each.
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]

    def start(self):
        self.started = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def stop(self, timeout_s=90):
        """No new bulks; each sender gets an answer to its last one, or gives it up."""
        self.seconds = time.monotonic() - self.started
        self.stopping.set()
        for thread in self.threads:
            thread.join(timeout_s)
            assert not thread.is_alive(), "a sender did not come to an end"
        return self

    def megabytes_per_s(self):
        return self.bytes / 1e6 / self.seconds

    def sessions(self):
        return sum(self.acked)

    def latency_s(self, share, begin, end):
        """The time that such a share of the answers took at most, of those asked for from begin to end."""
        took = sorted(took for at, took in self.answers if begin <= at < end)
        return took[min(len(took) - 1, int(share * len(took)))]

    def _bulk(self, thread, number):
        parts, last = self.bulks[number // PER_BULK % len(self.bulks)]
        tag = self.tag.encode()
        pieces = []
        for at, part in enumerate(parts):
            pieces += [part, b"%s%d-%010d" % (tag, thread, number + at)]
        return b"".join([*pieces, last]), len(parts)

    def _run(self, thread):
        due, client = time.monotonic(), None
        while not self.stopping.is_set():
            body, count = self._bulk(thread, self.acked[thread])
            due += len(body) / self.rate
            # What a restart held up is not caught up with: the rate is what is sent at most.
            due = max(due, time.monotonic() - 2)
            time.sleep(max(0, due - time.monotonic()))
            gives_up = None
            while True:
                client, reply = self._send(client, body)
                if reply is not None and reply.status == 200:
                    self.acked[thread] += count
                    with self.lock:
                        self.bytes += len(body)
                        self.duplicates += bool(reply.json["duplicate"])
                    break
                if self.stopping.is_set():
                    gives_up = gives_up or time.monotonic() + 30
                    if time.monotonic() > gives_up:
                        self.unsure[thread] = count
                        return
                time.sleep(0.05 if reply is None else 0.3)

    def _send(self, client, body):
        at = time.monotonic()
        try:
            client = client or Client(self.server.port, self.server.path, timeout_s=self.timeout_s)
            reply = client.send(body)
        except (OSError, http.client.HTTPException):
            if client is not None:
                client.close()
            with self.lock:
                self.broken += 1
            return None, None
        with self.lock:
            self.statuses[reply.status] += 1
            took = time.monotonic() - at
            self.slowest_s = max(self.slowest_s, took)
            self.answers.append((at, took))
        return client, reply

    def check(self, lake):
        """Every acked session is in the lake once, unsure ones at most once, and no other."""
        return check_all([self], lake.session_ids())


def check_all(loads, session_ids):
    """What `Load.check` says of one, of several with tags of their own. Returns the rows."""
    ids = collections.Counter(session_ids)
    missing = doubled = known = 0
    for load in loads:
        for thread, (acked, unsure) in enumerate(zip(load.acked, load.unsure, strict=True)):
            for number in range(acked + unsure):
                there = ids[f"{load.tag}{thread}-{number:010d}"]
                missing += there == 0 and number < acked
                doubled += there > 1
                known += there
    total = sum(ids.values())
    assert (missing, doubled) == (0, 0), f"{missing} acked sessions are missing, {doubled} doubled"
    assert known == total, f"{total - known} sessions were never sent"
    return total
