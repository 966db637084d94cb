"""Crowds: many connections of several addresses that hold what they get, for as long as they may.

A `Crowd` has one thread an address. Each keeps its connections open, opens those that are closed again,
and gives the server what its shape says. The addresses are all on loopback, in networks of their own:
127.0.1.1, 127.0.2.1 and so on.
"""

import base64
import os
import selectors
import socket
import struct
import threading
import time

from .attacks import PREFACE, frame, literal
from .client import Client

BODY_TRICKLE_S = 2.0
# An address opens so many connections, twenty times a second at most: it holds what it gets, and does not
# flood the processor, which it shares with the server.
OPENS_AT_ONCE = 8
# A build without optimisation on a busy machine takes longer.
AT_MOST_S = float(os.environ.get("SESSIONLAKE_TEST_AT_MOST_S", "1"))


def addresses(networks, of_each=1):
    return [f"127.0.{network}.{host}" for network in range(1, networks + 1) for host in range(1, of_each + 1)]


def h2_head(method, path, *more):
    pairs = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost"), *more]
    return b"".join(literal(name, value) for name, value in pairs)


def no_window(path=b"/nothing", method=b"GET", streams=256):
    """HTTP/2: asks on every stream and has no window for what is answered."""
    settings = frame(4, 0, 0, struct.pack(">HI", 4, 0))
    head = h2_head(method, path)
    return PREFACE + settings + b"".join(frame(1, 5, 2 * n + 1, head) for n in range(streams))


def h2_slow_bodies(path=b"/open", streams=256):
    """HTTP/2: bodies of which one byte comes."""
    head = h2_head(b"PUT", path)
    return PREFACE + b"".join(frame(1, 4, 2 * n + 1, head) + frame(0, 0, 2 * n + 1, b"{") for n in range(streams))


def slow_body(path=b"/open"):
    return b"PUT %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{" % path


def unread(path=b"/nothing-" + b"x" * 150):
    """HTTP/1.1: one request after the other, and no answer is read."""
    return b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path * 1000


class Crowd:
    """`connections` of each address, which say `said` when they are opened and `trickle` now and then. It
    reads what it is answered, unless `reads` is false."""

    def __init__(self, port, addresses, connections, said, trickle=b"", reads=True):
        self.port = port
        self.connections, self.said, self.trickle, self.reads = connections, said, trickle, reads
        self.stopping = threading.Event()
        self.opened = 0
        self.threads = [threading.Thread(target=self.run, args=(one,), daemon=True) for one in addresses]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(20)

    def run(self, address):
        selector = selectors.DefaultSelector()
        open_now, trickled_at = set(), time.monotonic()
        while not self.stopping.is_set():
            for _ in range(min(OPENS_AT_ONCE, self.connections - len(open_now))):
                self.open(address, selector, open_now)
            if self.reads and open_now:
                for key, _ in selector.select(0):
                    self.read(key.fileobj, selector, open_now)
                self.stopping.wait(0.05)
            else:
                self.stopping.wait(0.05)
                if not self.reads:
                    for sock in list(open_now):
                        self.send(sock, b"", selector, open_now)
            if self.trickle and time.monotonic() - trickled_at > BODY_TRICKLE_S:
                trickled_at = time.monotonic()
                for sock in list(open_now):
                    self.send(sock, self.trickle, selector, open_now)
        for sock in open_now:
            sock.close()

    def open(self, address, selector, open_now):
        try:
            sock = socket.create_connection(("127.0.0.1", self.port), timeout=1, source_address=(address, 0))
        except OSError:
            return
        self.opened += 1
        sock.setblocking(False)
        open_now.add(sock)
        if self.reads:
            selector.register(sock, selectors.EVENT_READ)
        if self.said:
            self.send(sock, self.said, selector, open_now)

    def send(self, sock, data, selector, open_now):
        try:
            if data:
                sock.send(data)
            elif sock.recv(1, socket.MSG_PEEK) == b"":
                self.close(sock, selector, open_now)
        except BlockingIOError:
            pass
        except OSError:
            self.close(sock, selector, open_now)

    def read(self, sock, selector, open_now):
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close(sock, selector, open_now)
            return
        # A ping that is not answered would end the connection before its time.
        while len(data) >= 9:
            length = int.from_bytes(data[:3], "big")
            if data[3] == 6 and not data[4] & 1:
                self.send(sock, frame(6, 1, 0, data[9 : 9 + length]), selector, open_now)
            data = data[9 + length :]

    def close(self, sock, selector, open_now):
        if self.reads and sock in open_now:
            selector.unregister(sock)
        open_now.discard(sock)
        sock.close()


class Asking(threading.Thread):
    """Asks again and again until it is stopped; keeps how long it took and what went wrong."""

    def __init__(self, ask, pause_s=0.02):
        super().__init__(daemon=True)
        self.ask, self.pause_s = ask, pause_s
        self.stopping = threading.Event()
        self.took_s, self.failed = [], []

    def run(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                wrong = self.ask(len(self.took_s))
                if wrong:
                    self.failed.append((len(self.took_s), wrong))
            except Exception as error:  # noqa: BLE001: whatever it is, it is the answer
                self.failed.append((len(self.took_s), repr(error)))
            self.took_s.append(time.monotonic() - began)
            time.sleep(self.pause_s)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(90)

    def assert_well(self, what, at_most_s=AT_MOST_S):
        assert len(self.took_s) > 5, f"{what}: asked {len(self.took_s)} times"
        assert not self.failed, f"{what}: {len(self.failed)} of {len(self.took_s)} failed: {self.failed[:3]}"
        assert max(self.took_s) < at_most_s, f"{what}: {sorted(self.took_s)[-3:]} s"


def sender(port, path, body, connection_of_its_own=True, **headers):
    """A good sender: `body(number)` on a new connection each time, or on one that it keeps."""
    kept = Client(port, path)

    def ask(number):
        client = Client(port, path) if connection_of_its_own else kept
        reply = client.send(body(number), **headers)
        if connection_of_its_own:
            client.close()
        return None if reply.status == 200 else str(reply)

    return Asking(ask)


def prober(port, paths=("/health/live", "/health/ready", "/metrics"), source="127.0.99.1"):
    """Asks for health and metrics from an address of its own, on a new connection each time."""

    def ask(number):
        path = paths[number % len(paths)]
        with socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0)) as sock:
            sock.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode())
            data = b""
            while more := sock.recv(65536):
                data += more
        return None if data.startswith(b"HTTP/1.1 200") else f"{path}: {data[:200]!r}"

    return Asking(ask)


def basic(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
