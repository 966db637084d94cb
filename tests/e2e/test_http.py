"""The listener: every way to send that the issue names, and every answer that is not 200."""

import gzip
import http.client
import json
import socket
import subprocess
import time
import zlib

import brotli
import pytest
import zstandard
from harness.documents import body, document

ENCODINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "br": brotli.compress,
}


def landed(server, lake):
    """Drains and returns the sorted ids."""
    server.drain()
    return sorted(lake.session_ids())


def test_reply_for_people(server):
    data = body("a", "b", "c")
    reply = server.put(data)
    assert reply.status == 200
    assert reply.json == {"status": "OK", "lines": 3, "bytes": len(data), "duplicate": False}
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["server"].startswith("sessionlake/")


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/x-ndjson",
        "application/json; charset=utf-8",
        None,
        "application/x-www-form-urlencoded",
    ],
)
def test_methods_and_types(server, local_lake, method, content_type):
    reply = server.put(body("a", "b"), method=method, content_type=content_type)
    assert reply.status == 200, reply
    assert landed(server, local_lake) == ["a", "b"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings(server, local_lake, encoding):
    data = body(*(f"s{n:03}" for n in range(200)))
    packed = ENCODINGS[encoding](data)
    reply = server.put(packed, Content_Encoding=encoding)
    assert reply.status == 200, reply
    assert reply.json["lines"] == 200
    assert landed(server, local_lake) == [f"s{n:03}" for n in range(200)]


SHAPES = {
    "no final newline": (document("a") + b"\n" + document("b"), ["a", "b"]),
    "carriage returns": (document("a") + b"\r\n" + document("b") + b"\r\n", ["a", "b"]),
    "blank lines": (b"\n\n" + document("a") + b"\n  \n\r\n" + document("b") + b"\n\n\n", ["a", "b"]),
    "byte order mark": (b"\xef\xbb\xbf" + body("a", "b"), ["a", "b"]),
    "one document": (document("a"), ["a"]),
    "an array": (b"[" + document("a") + b"," + document("b") + b"]", ["a", "b"]),
    "an array over lines": (b"[\n  " + document("a") + b",\n  " + document("b") + b"\n]\n", ["a", "b"]),
    "a document over lines": (json.dumps(json.loads(document("a")), indent=2).encode(), ["a"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(server, local_lake, shape):
    data, ids = SHAPES[shape]
    assert server.put(data).status == 200
    assert landed(server, local_lake) == ids
    assert local_lake.quarantine() == []


def test_chunked(server, local_lake):
    data = body(*(f"s{n:03}" for n in range(100)))
    pieces = (data[at : at + 37] for at in range(0, len(data), 37))
    reply = server.put(pieces)
    assert reply.status == 200, reply
    assert reply.json["lines"] == 100
    assert len(landed(server, local_lake)) == 100


def test_keep_alive(server, local_lake):
    sockets = set()
    with server.client() as client:
        for number in range(20):
            assert client.send(body(f"s{number:02}")).status == 200
            sockets.add(client.connection.sock)
    assert len(sockets) == 1 and None not in sockets
    assert len(landed(server, local_lake)) == 20


def curl(*arguments, data=None):
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "30", "-w", "\n%{http_code} %{http_version}", *arguments],
        input=data,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return done.stdout.decode().rsplit("\n", 1)[1]


def test_http2_by_prior_knowledge(server, local_lake):
    data = body(*(f"s{n:03}" for n in range(500)))
    assert (
        curl("--http2-prior-knowledge", "-X", "PUT", "--data-binary", "@-", server.url, data=data) == "200 2"
    )
    assert curl("--http1.1", "-X", "POST", "--data-binary", "@-", server.url, data=body("one")) == "200 1.1"
    assert len(landed(server, local_lake)) == 501


def test_expect_100_continue(server, local_lake):
    """curl asks before it sends a large body."""
    data = body(*(f"s{n:05}" for n in range(30_000)))
    assert len(data) > 1 << 20
    assert curl("-T", "-", "-H", "Expect: 100-continue", server.url, data=data) == "200 1.1"
    assert len(landed(server, local_lake)) == 30_000


def test_empty_body(server, local_lake):
    for data in (b"", b"\n\n", b"   "):
        reply = server.put(data)
        assert (reply.status, reply.json["lines"]) == (200, 0), reply
    server.drain()
    assert local_lake.rows() == 0 and local_lake.quarantine() == []


def test_unknown_path(server):
    reply = server.put(body("a"), path="/other")
    assert reply.status == 404


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_wrong_method(server, method):
    reply = server.put(None, method=method)
    assert reply.status == 405
    assert {word.strip() for word in reply.headers["allow"].split(",")} >= {"PUT", "POST"}


def test_unsupported_encoding(server):
    reply = server.put(body("a"), Content_Encoding="snappy")
    assert reply.status == 415, reply


def test_unsupported_type(server):
    reply = server.put(b"<a/>", content_type="image/png")
    assert reply.status == 415, reply


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_broken_encoding(server, local_lake, encoding):
    packed = ENCODINGS[encoding](body(*(f"s{n}" for n in range(500))))
    for broken in (packed[: len(packed) // 2], b"this is not compressed at all, not a bit"):
        reply = server.put(broken, Content_Encoding=encoding)
        assert reply.status == 400, (broken[:20], str(reply))
    assert landed(server, local_lake) == []


def test_body_too_large(server):
    with server.client() as client:
        try:
            reply = client.send(b"x" * ((32 << 20) + 1))
        except (ConnectionError, http.client.HTTPException):
            # It may hang up once it has answered: the answer is then lost on some stacks.
            pytest.fail("no answer was read for a body that is too large")
    assert reply.status == 413, reply


def test_chunked_body_too_large(server):
    """Nobody said how long it would be: it is counted as it comes."""
    status = curl(
        "-X",
        "PUT",
        "-H",
        "Transfer-Encoding: chunked",
        "-H",
        "Expect:",
        "--data-binary",
        "@-",
        server.url,
        data=b"x" * (33 << 20),
    )
    assert status.startswith("413")


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br"])
def test_bomb(server, encoding):
    """A small body that inflates beyond the limit is refused, within bounded memory."""
    zeros = b" " * (257 << 20)
    packed = brotli.compress(zeros, quality=1) if encoding == "br" else ENCODINGS[encoding](zeros)
    assert len(packed) < 4 << 20
    reply = server.put(packed, Content_Encoding=encoding)
    assert reply.status == 413, reply
    assert server.put(body("after")).status == 200


def test_slow_header(make_server, local_lake):
    """A client that does not finish its header is let go."""
    server = make_server(local_lake, "--header-timeout", "1s").start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(b"PUT /export/events HTTP/1.1\r\nHost: localhost\r\n")
        started = time.monotonic()
        sock.recv(1000)
        assert 0.5 < time.monotonic() - started < 15


def test_slow_body(make_server, local_lake):
    """A client that does not finish its body gets a 408, and nothing of it is kept."""
    server = make_server(local_lake, "--body-timeout", "1s").start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(
            b"PUT /export/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + document("a")
        )
        assert sock.recv(1000).startswith(b"HTTP/1.1 408")
    assert landed(server, local_lake) == []


def test_a_web_page_can_neither_write_nor_read(server, local_lake):
    """The default installation, and what a browser on the same machine sends for any page."""
    page = {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}
    for method in ("POST", "PUT", "OPTIONS"):
        reply = server.put(body("page"), method=method, content_type="text/plain", **page)
        assert reply.status == 403 and "web page" in reply.json["error"], reply
    rebound = {"Host": f"evil.example:{server.port}"}
    assert server.put(body("rebound"), content_type="text/plain", **rebound).status == 403
    with server.client() as client:
        assert client.send(None, method="GET", path="/metrics", **rebound).status == 403
        # A page of the receiver's own reads metrics, and a rebound page that says it is one does not.
        own = {"Sec_Fetch_Site": "same-origin", "Host": f"localhost:{server.port}"}
        assert client.send(None, method="GET", path="/metrics", **own).status == 200
        own["Origin"] = f"http://localhost:{server.port}"
        assert client.send(None, method="GET", path="/metrics", **own).status == 200
        assert client.send(None, method="GET", path="/metrics", **{**own, **rebound}).status == 403
    assert server.put(body("own page"), **own).status == 403
    assert server.put(body("sent"), Host=f"localhost:{server.port}").status == 200
    assert landed(server, local_lake) == ["sent"]


def test_health(server):
    for path in ("/health/live", "/health/ready"):
        reply = server.get(path)
        assert reply.status == 200, (path, str(reply))


def test_metrics(server):
    data = body("a", "b", "c") + b"not json\n"
    server.put(data)
    text = server.get("/metrics")
    assert text.status == 200
    assert text.headers["content-type"].startswith("text/plain")
    names = {name.split("{")[0] for name in server.metrics()}
    assert all(name.startswith(("sessionlake_", "process_")) for name in names), names
    for word in ("request", "line", "bytes", "ack", "pending"):
        assert any(word in name for name in names), (word, sorted(names))
