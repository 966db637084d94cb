"""A receiver made for trying a sender: keeps what it gets, and answers as a test wants."""

import json
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """One request as it came. Header names are in lower case."""

    method: str
    path: str
    headers: dict
    body: bytes
    at: float

    @property
    def lines(self):
        return self.body.splitlines()

    @property
    def documents(self):
        return [json.loads(line) for line in self.lines]


class Receiver:
    """Listens on a free port of loopback. `answer(request)` gives a status, or (status, body), or
    None to close the connection without an answer; without it every request is answered 200."""

    def __init__(self, answer=None, context=None):
        self.requests = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                length = int(self.headers.get("Content-Length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(length)
                request = Request(self.command, self.path, headers, body, time.monotonic())
                with receiver.lock:
                    receiver.requests.append(request)
                answer = receiver.answer(request)
                if answer is None:
                    self.close_connection = True
                    return
                status, said = answer if isinstance(answer, tuple) else (answer, b"")
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_PUT = do_POST = do_GET = handle_one

            def log_message(self, *_):
                pass

        self.lock = threading.Lock()
        self.answer = answer or (lambda request: 200)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        self.scheme = "http"
        if context is not None:
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
            self.scheme = "https"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.port}/export/events"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Authority:
    """Certificates for one test, made by the `openssl` program."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._run(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
            " -subj /CN=sessionlake-tests -keyout ca.key -out ca.pem"
        )
        self.root = folder / "ca.pem"

    def _run(self, arguments):
        command = ["openssl", *arguments.split()]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def context(self, name, days=30):
        """What a server needs to be `name`."""
        (self.folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{name}\n")
        self._run(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            f" -subj /CN={name} -keyout {name}.key -out {name}.csr"
        )
        self._run(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days}"
            f" -extfile {name}.ext -out {name}.pem"
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context
