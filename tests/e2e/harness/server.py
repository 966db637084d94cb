"""`sessionlake serve`, started on a port of its own choice."""

import re
import signal
from pathlib import Path

from . import place
from .client import Client
from .process import Process, clean_environment, peak_memory_bytes, wait_until

# What it says of a store may come before.
LISTENING = re.compile(r"^listening on (https?)://127\.0\.0\.1:(\d+)(/[^\s\"'\x1b]*)?", re.MULTILINE)
STARTED_S = 30
DRAINED_S = 90


class Server:
    """One journal, one lake; started, stopped, killed and started again.

    The port is the program's choice at the first start and is asked for again later, so that
    senders find it after a restart.
    """

    def __init__(self, folder, lake, flags=(), env=None, cwd=None, binary=None):
        self.folder = Path(folder)
        self.lake = lake
        self.state = self.folder / "state"
        self.log = self.folder / "serve.log"
        self.flags = [str(flag) for flag in flags]
        self.env = env or {}
        self.cwd = cwd
        self.port = 0
        self.scheme = "http"
        self.path = "/export/events"
        self.process = None
        self.binary = binary or place.binary()

    def command(self):
        return [
            self.binary,
            "serve",
            "--listen",
            f"127.0.0.1:{self.port}",
            "--lake",
            self.lake.uri,
            "--state",
            self.state,
            *self.flags,
        ]

    def environment(self):
        return clean_environment(**{**self.lake.env, **self.env})

    def start(self):
        assert self.process is None or not self.process.running(), "it runs already"
        self.process = Process(self.command(), self.log, self.environment(), self.cwd)
        found = wait_until(self._listening, STARTED_S, "serve did not say where it listens")
        self.scheme = found.group(1)
        self.port = int(found.group(2))
        self.path = found.group(3) or self.path
        return self

    def _listening(self):
        found = LISTENING.search(self.process.output())
        if found is None and not self.process.running():
            raise AssertionError(f"serve ended with {self.process.child.returncode}:\n{self.process.tail()}")
        return found

    @property
    def pid(self):
        return self.process.pid

    @property
    def origin(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def url(self):
        return self.origin + self.path

    def client(self):
        return Client(self.port, self.path)

    def put(self, body, **more):
        """One request on a connection of its own. Returns the reply."""
        with self.client() as client:
            return client.send(body, **more)

    def get(self, path):
        with self.client() as client:
            return client.send(None, method="GET", path=path)

    def stop(self, number=signal.SIGTERM, timeout_s=DRAINED_S):
        """Asks it to drain and returns the exit code."""
        self.process.signal(number)
        return self.process.wait(timeout_s)

    def drain(self, number=signal.SIGTERM, timeout_s=DRAINED_S):
        """Stops it; anything but a clean exit is a failure."""
        code = self.stop(number, timeout_s)
        assert code == 0, f"drained with exit code {code}:\n{self.process.tail()}"

    def kill(self):
        self.process.kill()

    def peak_memory_bytes(self):
        return peak_memory_bytes(self.pid)

    def metrics(self):
        """`/metrics` as {name{labels}: value}."""
        reply = self.get("/metrics")
        assert reply.status == 200, reply
        values = {}
        for line in reply.text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def close(self):
        if self.process is not None:
            self.process.end(5)


def land(folder, at, flags, bodies):
    """Has a server of its own land all of the bodies in a lake."""
    server = Server(folder, at, flags)
    server.start()
    try:
        for body in bodies:
            assert server.put(body).status == 200
        server.drain()
    finally:
        server.close()
