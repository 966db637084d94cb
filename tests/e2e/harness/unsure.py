"""A proxy before a REST catalog that makes the outcomes of commits unsure, as networks and proxies do."""

import collections
import contextlib
import http.client
import random
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Each with what the program may think of it, and may not.
TROUBLES = (
    "lost",  # Carried out, and the connection ends without an answer.
    "echo",  # Carried out twice: the answer is the second's, a conflict with the own first one.
    "late",  # 504, and carried out a moment later, beside the next try.
    "failed",  # Carried out, and the answer is 500.
    "away",  # 503, and not carried out.
)


class UnsureCatalog:
    """Passes requests on to the catalog at `port`; of those that change something, `share` have one of
    `troubles`. `met` counts them."""

    def __init__(self, port, share=0.5, troubles=TROUBLES, seed=1):
        self.target = port
        self.share, self.troubles = share, troubles
        self.chance = random.Random(seed)
        self.met = collections.Counter()
        self.lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                self.answer(proxy.forward(self, None))

            do_HEAD = do_GET

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.change(self, body, proxy.trouble_of(self.path))

            def answer(self, answer):
                status, content, kind = answer
                self.send_response(status)
                if kind:
                    self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def hang_up(self):
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def trouble_of(self, path):
        """A trouble for a change of a table or namespace, if chance wants one."""
        with self.lock:
            if "/oauth/" in path or self.chance.random() >= self.share:
                return None
            trouble = self.chance.choice(self.troubles)
            self.met[trouble] += 1
            return trouble

    def forward(self, request, body):
        """Carries a request out. Returns (status, content, its type)."""
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("host", "connection", "content-length", "accept-encoding")
        }
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=30)
            with contextlib.closing(connection):
                connection.request(request.command, request.path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read(), answer.headers.get("Content-Type")
        except (OSError, http.client.HTTPException):
            return 502, b"", None

    def change(self, request, body, trouble):
        if trouble == "away":
            request.answer((503, b"", None))
            return
        if trouble == "late":
            request.answer((504, b"", None))
            time.sleep(self.chance.uniform(0.05, 0.7))
            self.forward(request, body)
            return
        answer = self.forward(request, body)
        if trouble == "lost":
            request.hang_up()
        elif trouble == "echo":
            request.answer(self.forward(request, body))
        elif trouble == "failed":
            request.answer((500, b"", None))
        else:
            request.answer(answer)
