"""A sender: keeps its connection, sends a body, reads the reply."""

import http.client
import json
from dataclasses import dataclass


@dataclass
class Reply:
    """What came back. Header names are in lower case."""

    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.headers} {self.body[:500]!r}"


class Client:
    """One connection, kept alive. Errors of the connection come out as OSError or HTTPException."""

    def __init__(self, port, path, timeout_s=60):
        self.path = path
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def send(self, body, method="PUT", path=None, content_type="application/json", **headers):
        """Sends one request; an iterable body goes chunked. `content_type=None` sends none."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type is not None and body is not None:
            names["Content-Type"] = content_type
        chunked = body is not None and not isinstance(body, (bytes, bytearray, str))
        self.connection.request(method, path or self.path, body, names, encode_chunked=chunked)
        answer = self.connection.getresponse()
        body = answer.read()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, body)

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
