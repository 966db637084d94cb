"""Connections that ask for nothing, few descriptors, and what the log says of refusals."""

import re
import secrets
import socket
import subprocess
import time

import pytest
from harness import place
from harness.client import Client
from harness.documents import body, document
from harness.process import wait_until

# It measures how soon others are answered.
pytestmark = pytest.mark.alone


def idle_connections(port, number, said=b""):
    """So many connections on which at most `said` was sent. Those that are refused are left out."""
    opened = []
    for _ in range(number):
        try:
            one = socket.create_connection(("127.0.0.1", port), timeout=5)
            one.sendall(said)
            opened.append(one)
        except OSError:
            pass
    return opened


def limited(server, soft, hard):
    """Makes the server start with these limits of descriptors."""
    command = server.command
    server.command = lambda: ["prlimit", f"--nofile={soft}:{hard}", *command()]
    return server


@pytest.mark.parametrize("said", [b"", b"PUT /export/events HTTP/1.1\r\nhost: loc"], ids=["silent", "half a head"])
def test_many_idle_connections_and_few_descriptors(make_server, local_lake, said):
    """256 descriptors, hundreds of connections of one address that send nothing, segments that are
    made meanwhile: good requests and health are answered soon, and everything lands."""
    flags = ["--roll-age", "1s", "--journal-segment", "64KiB", "--max-connections-per-peer", "1000"]
    server = limited(make_server(local_lake, *flags), 256, 256).start()
    assert "96 connections are taken at a time and not 1024" in server.process.output()
    crowd, sent = [], []
    for number in range(12):
        crowd += idle_connections(server.port, 100, said)
        sent.append(f"s{number}")
        began = time.monotonic()
        assert server.put(document(sent[-1], padding=secrets.token_hex(20_000))).status == 200
        assert server.get("/health/live").status == 200
        assert server.get("/health/ready").status == 200
        assert time.monotonic() - began < 3, "held up by connections that ask for nothing"
    values = server.metrics()
    assert values["sessionlake_connections_evicted_total"] > 500
    assert values["sessionlake_http_connections"] <= 96 + 32
    output = server.process.output()
    assert output.count("all connections are in use") < 12, "a line for each"
    assert "poisoned" not in output and "open files" not in output.replace("files and sockets open", "")
    local_lake.wait_landed(len(sent))
    for one in crowd:
        one.close()
    server.drain()
    assert sorted(local_lake.session_ids()) == sorted(sent)


def test_health_is_answered_when_every_connection_has_a_request(make_server, local_lake):
    """All places are held by bodies that come slowly; who asks for health gets one of its own, and
    who sends is told to come back."""
    flags = ["--max-connections", "16", "--body-timeout", "60s"]
    server = make_server(local_lake, *flags).start()
    head = b"PUT /export/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n"
    slow = idle_connections(server.port, 16, head)
    wait_until(lambda: server.metrics()["sessionlake_http_requests_in_flight"] >= 17, 10, "they are in flight")
    for _ in range(40):
        began = time.monotonic()
        assert server.get("/health/live").status == 200
        assert server.get("/health/ready").status == 200
        assert time.monotonic() - began < 1
    for one in slow:
        one.sendall(b"{")
    reply = server.put(body("late"))
    assert reply.status in (200, 503), reply
    if reply.status == 503:
        assert "too many connections" in reply.text and reply.headers["retry-after"]
    for one in slow:
        one.close()
    assert server.put(body("after")).status == 200
    server.drain()


def test_the_soft_limit_of_descriptors_is_raised(make_server, local_lake):
    server = limited(make_server(local_lake), 64, 4096).start()
    limits = subprocess.run(["prlimit", "--nofile", "--noheadings", "-o", "SOFT", "--pid", str(server.pid)],
                            capture_output=True, text=True, check=True)
    assert limits.stdout.split() == ["4096"]
    assert "connections are taken" not in server.process.output()
    server.drain()


def warnings(server):
    plain = re.sub(r"\x1b\[[0-9;]*m", "", server.process.output())
    return [line for line in plain.splitlines() if " WARN " in line and "refused" in line]


def test_refusals_are_in_the_log_with_their_text(make_server, local_lake):
    """Eleven of a kind in a burst are one line at once, and one for the ten that followed; each
    reason has a line of its own; nothing that was sent can forge another."""
    server = make_server(local_lake, "--body-limit", "64KiB").start()
    with Client(server.port, server.path) as client:
        for _ in range(11):
            reply = client.send(b"{}", content_type="text/html")
            assert reply.status == 415
    assert server.put(b"x" * 100_000).status == 413
    assert server.get("/nowhere").status == 404
    assert server.put(b"\x1f\x8bno gzip", content_encoding="gzip").status == 400
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"PUT / HTTP/1.1\r\nbad\x01header\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    # The answer to a head is the library's; the line follows when the connection ends.
    wait_until(lambda: any('reason="head"' in line for line in warnings(server)), 10, "the head is told")
    said = warnings(server)
    for reason, status, word in [
        ("media_type", 415, 'Content-Type "text/html" is not taken'),
        ("too_large", 413, "longer than 65536 bytes as sent"),
        ("not_found", 404, "nothing is at /nowhere"),
        ("encoding", 400, "is not whole gzip"),
        ("head", 400, "the head of the request cannot be read"),
    ]:
        lines = [line for line in said if f'reason="{reason}"' in line]
        assert len(lines) == 1, (reason, said)
        assert word in lines[0] and f"status={status}" in lines[0] and "peer=127.0.0.1" in lines[0], lines
    wait_until(lambda: any("refused 10 more" in line for line in warnings(server)), 10, "the rest is told")
    assert len(warnings(server)) == len(said) + 1, warnings(server)
    assert server.metrics()['sessionlake_requests_refused_total{endpoint="default",reason="media_type"}'] == 11
    # What is counted when it ends is told too.
    for _ in range(3):
        server.get("/nowhere")
    server.drain()
    assert any("refused 3 more" in line and "not_found" in line for line in warnings(server)), warnings(server)


def test_check_says_how_many_connections_fit(folder):
    small, plain = (
        subprocess.run([*start, str(place.binary().absolute()), "check", "--listen", "127.0.0.1:0"],
                       cwd=folder, capture_output=True, text=True)
        for start in (["prlimit", "--nofile=256:256"], ["prlimit", "--nofile=512:8192"])
    )
    assert "96 connections at a time and not 1024; 256 files" in small.stdout, small
    assert "1024 connections at a time; 8192 files" in plain.stdout, plain
