"""An orchestrator's probes from outside, every few milliseconds, for a whole life of a server."""

import http.client
import threading
import time

from .client import Client
from .documents import body


class Probes:
    """Asks for liveness, readiness, a body and readiness again, on connections of their own."""

    def __init__(self, port, path="/export/events", every_s=0.05):
        self.port, self.path, self.every_s = port, path, every_s
        self.rounds = []  # (when, live, ready before, body, ready after); None is no answer.
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
            live, before = self._ask(path="/health/live"), self._ready()
            name = f"probe-{len(self.rounds):05}"
            sent = self._ask(body(name))
            if sent is not None and sent.status == 200:
                self.acked.append(name)
            if sent is not None and sent.status == 503:
                assert int(sent.headers["retry-after"]) > 0
            self.rounds.append((at, live and live.status, before, sent and sent.status, self._ready()))
            time.sleep(self.every_s)

    def check(self, ended_at):
        """From the first answer to the end of the process every one came, and ready was true."""
        answered = [row for row in self.rounds if row[1] is not None]
        assert answered, "nothing was answered"
        first = answered[0][0]
        # A round that the end of the process has met may be cut.
        within = [row for row in self.rounds if first <= row[0] < ended_at - 0.5]
        silent = [row for row in within if row[1] != 200 or None in row[2:]]
        assert not silent, silent
        lies = [row for row in within if row[2] == row[4] == 200 and row[3] != 200]
        assert not lies, lies
        return within
