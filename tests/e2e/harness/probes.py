"""An orchestrator's probes from outside, every few milliseconds, for a whole life of a server."""

import http.client
import threading
import time

from .client import Client
from .documents import body


class Probes:
    """Asks for liveness, readiness, a body, readiness again and metrics, on connections of their own."""

    def __init__(self, port, path="/export/events", every_s=0.05):
        self.port, self.path, self.every_s = port, path, every_s
        self.rounds = []  # (when, live, ready before, body, ready after, metrics); None is no answer.
        self.took = []  # Seconds until the answer about liveness, of each round.
        self.unsure = set()  # Bodies without an answer: they may be kept.
        self.texts = []  # What readiness said when it was not 200.
        self.acked = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.stopping.set()
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self

    def _ask(self, sent=None, path=None):
        try:
            with Client(self.port, self.path, timeout_s=5) as client:
                return client.send(sent, method="PUT" if sent else "GET", path=path)
        except (OSError, http.client.HTTPException):
            return None

    def _ready(self):
        reply = self._ask(path="/health/ready")
        if reply is not None and reply.status == 503:
            self.texts.append(reply.text)
        return reply and reply.status

    def _run(self):
        while not self.stopping.is_set():
            at = time.monotonic()
            live = self._ask(path="/health/live")
            self.took.append(time.monotonic() - at)
            before = self._ready()
            name = f"probe-{len(self.rounds):05}"
            sent = self._ask(body(name))
            if sent is not None and sent.status == 200:
                self.acked.append(name)
            if sent is not None and sent.status == 503:
                assert int(sent.headers["retry-after"]) > 0
            if sent is None:
                self.unsure.add(name)
            after, metrics = self._ready(), self._ask(path="/metrics")
            answers = (live, sent, metrics)
            live, sent, metrics = (answer and answer.status for answer in answers)
            self.rounds.append((at, live, before, sent, after, metrics))
            time.sleep(self.every_s)

    def check(self, ended_at, since=0.0, within_s=5.0):
        """From the first answer since a time to the end of the process every one came, that about liveness in time, and
        ready was true. Returns these rounds."""
        answered = [row for row in self.rounds if row[1] is not None and row[0] >= since]
        assert answered, "nothing was answered"
        first = answered[0][0]
        # A round that the end of the process has met may be cut.
        rounds = zip(self.rounds, self.took, strict=False)
        rounds = [(row, took) for row, took in rounds if first <= row[0] < ended_at - 0.5]
        within = [row for row, _ in rounds]
        silent = [row for row in within if row[1] != 200 or row[5] != 200 or None in row[2:]]
        assert not silent, silent
        late = [(row, took) for row, took in rounds if took > within_s]
        assert not late, late
        lies = [row for row in within if row[2] == row[4] == 200 and row[3] != 200]
        assert not lies, lies
        return within
