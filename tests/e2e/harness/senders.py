"""Senders that know what was acknowledged.

A sender either gives a bulk up when it gets no 200 (it may have landed or not), or sends the same
bytes again until it gets one, as the exporter does: then every session must be there once.
"""

import http.client
import threading
import time
from dataclasses import dataclass, field

from sessions import Sessions

from .client import Client


@dataclass
class Sent:
    """What one sender knows in the end."""

    acked: list = field(default_factory=list)
    unsure: list = field(default_factory=list)
    duplicates: int = 0
    refusals: int = 0
    unexpected: list = field(default_factory=list)


class Senders:
    """`patient` senders that send a bulk again, `hasty` ones that do not."""

    def __init__(self, server, patient=2, hasty=2, sessions_per_bulk=20, days=3, tag="x"):
        self.server = server
        self.sessions_per_bulk = sessions_per_bulk
        self.days = days
        self.stopping = threading.Event()
        self.results = []
        self.threads = []
        for number in range(patient + hasty):
            sent = Sent()
            self.results.append(sent)
            self.threads.append(
                threading.Thread(
                    target=self._run, args=(f"{tag}{number}", number < patient, sent), daemon=True
                )
            )

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self, timeout_s=60):
        """No new bulks; patient senders finish the one they have."""
        self.stopping.set()
        deadline = time.monotonic() + timeout_s
        for thread in self.threads:
            thread.join(max(0.1, deadline - time.monotonic()))
            assert not thread.is_alive(), "a sender did not come to an end"
        assert not any(sent.unexpected for sent in self.results), self.results
        return self

    def _run(self, tag, patient, sent):
        source = Sessions(tag, days=self.days)
        client = None
        while not self.stopping.is_set():
            ids, body = source.bulk(self.sessions_per_bulk)
            gives_up = time.monotonic() + 50
            while True:
                try:
                    client = client or Client(self.server.port, self.server.path, timeout_s=15)
                    reply = client.send(body)
                except (OSError, http.client.HTTPException):
                    client = None
                    reply = None
                if reply is not None and reply.status == 200:
                    sent.acked += ids
                    sent.duplicates += bool(reply.json["duplicate"])
                    break
                if reply is not None:
                    sent.refusals += 1
                    if reply.status != 503:
                        sent.unexpected.append(str(reply))
                if not patient or time.monotonic() > gives_up:
                    sent.unsure += ids
                    break
                time.sleep(0.05)
            if reply is None:
                time.sleep(0.05)
        if client is not None:
            client.close()

    def total(self, name):
        values = [getattr(sent, name) for sent in self.results]
        return [one for value in values for one in value] if isinstance(values[0], list) else sum(values)


class Stream:
    """A steady stream of so many MB (10^6 bytes) a second, each body different.

    Bodies are made beforehand; only the ids in them are new each time, which is cheap enough for a
    sender in Python to keep up.
    """

    def __init__(self, server, megabytes_per_s, seconds, days, threads=3, tag="m"):
        self.server, self.seconds = server, seconds
        self.rate = megabytes_per_s * 1_000_000 / threads
        source = Sessions(tag, 0, days)
        self.bulks = [self._cut(source.bulk(85)) for _ in range(6)]
        self.count = threads
        self.lock = threading.Lock()
        self.bytes = self.sessions = 0
        self.latencies_s, self.refusals = [], []

    @staticmethod
    def _cut(bulk):
        ids, body = bulk
        parts = []
        for session in ids:
            before, body = body.split(session.encode(), 1)
            parts.append(before)
        return parts, body

    def run(self):
        """Sends for as long as asked. Returns the MB a second that were acknowledged."""
        started = time.monotonic()
        threads = [threading.Thread(target=self._send, args=(n, started)) for n in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.seconds + 90)
            assert not thread.is_alive(), "a sender did not come to an end"
        return self.bytes / 1e6 / (time.monotonic() - started)

    def _send(self, thread, started):
        number, due = 0, 0.0
        with Client(self.server.port, self.server.path) as client:
            while time.monotonic() - started < self.seconds:
                parts, last = self.bulks[number % len(self.bulks)]
                pieces = []
                for part in parts:
                    pieces.append(part)
                    pieces.append(b"%d-%010d" % (thread, number))
                    number += 1
                body = b"".join([*pieces, last])
                wait = started + due - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                at = time.monotonic()
                reply = client.send(body)
                with self.lock:
                    self.latencies_s.append(time.monotonic() - at)
                    if reply.status == 200:
                        self.bytes += len(body)
                        self.sessions += len(parts)
                    else:
                        self.refusals.append(reply.status)
                due += len(body) / self.rate

    def latency_s(self, quantile):
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * quantile))]
