"""A network that can be cut: a relay on loopback between the program and a server."""

import contextlib
import socket
import threading


class Relay:
    """Passes connections on to `port`. Cut, it ends those there are and refuses new ones. After `most`
    bytes in both directions it cuts by itself, once."""

    def __init__(self, port, most=None):
        self.left = most
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.cut_off = False
        self.open = set()
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        with self.lock:
            self.cut_off = True
            sockets = list(self.open)
        for one in sockets:
            self._end(one)

    def mend(self):
        self.cut_off = False

    def close(self):
        self.cut()
        self.listener.close()

    def _end(self, one):
        with self.lock:
            self.open.discard(one)
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()

    def _accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            if self.cut_off:
                here.close()
                continue
            try:
                there = socket.create_connection(("127.0.0.1", self.target), timeout=10)
                there.settimeout(None)
            except OSError:
                here.close()
                continue
            with self.lock:
                self.open |= {here, there}
            for a, b in ((here, there), (there, here)):
                threading.Thread(target=self._pass, args=(a, b), daemon=True).start()

    def _count(self, passed):
        with self.lock:
            if self.left is None:
                return
            self.left -= passed
            if self.left > 0:
                return
            self.left = None
        self.cut()

    def _pass(self, a, b):
        with contextlib.suppress(OSError):
            while piece := a.recv(1 << 16):
                b.sendall(piece)
                self._count(len(piece))
        self._end(a)
        self._end(b)
