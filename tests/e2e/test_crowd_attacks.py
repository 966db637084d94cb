"""Crowds of several addresses that hold what they get, while a good sender and a probe go on."""

import contextlib
import json
import os
import socket
import threading
import time

import pytest
from harness import access, crowd
from harness.client import Client
from harness.crowd import Crowd
from harness.documents import body
from harness.process import resident_memory_bytes

# It measures how soon others are answered.
pytestmark = pytest.mark.alone

LASTS_S = 8
MEMORY_BYTES = 512 << 20


def configured(folder, make_server, lake, *flags, credentials=(), endpoints=()):
    config = folder / "sessionlake.toml"
    text = ""
    if credentials:
        (folder / "credentials.toml").write_text(access.toml(credentials))
        text = f"credentials = {json.dumps(str(folder / 'credentials.toml'))}\n"
    sections = [("endpoint", one) for one in endpoints]
    config.write_text(text + access.toml(sections))
    return make_server(lake, "--roll-age", "1s", "--config", config, *flags)


def plain_server(folder, make_server, lake, *flags):
    endpoints = [{"name": "main", "path": "/export/events"}, {"name": "open", "path": "/open"}]
    return configured(folder, make_server, lake, *flags, endpoints=endpoints).start()


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def assert_nobody_is_held_up(server, lake, *crowds, lasts_s=LASTS_S):
    """Two good senders and a probe see no error and wait for nothing while the crowds are there, all
    that was sent lands, and memory stays within its bound."""
    path = "/export/events"
    names = ([], [])

    def bodies(of):
        def made(number):
            names[of].append(f"{'ab'[of]}{number:05}")
            return body(names[of][-1])

        return made

    kept = crowd.sender(server.port, path, bodies(0), connection_of_its_own=False)
    new = crowd.sender(server.port, path, bodies(1))
    probe = crowd.prober(server.port)
    with kept, new, probe:
        time.sleep(0.5)
        with contextlib.ExitStack() as stack:
            for one in crowds:
                stack.enter_context(one)
            time.sleep(lasts_s)
            peak = server.peak_memory_bytes()
        time.sleep(0.3)
    longest = [f"{max(one.took_s, default=0) * 1000:.0f} ms" for one in (kept, new, probe)]
    opened = sum(one.opened for one in crowds)
    print(f"peak {peak >> 20} MiB; {opened} connections of the crowd; longest: sender {longest[0]} and "
          f"{longest[1]}, probe {longest[2]}; processor {cpu_s(server.pid):.1f} s in {lasts_s} s")
    kept.assert_well("a sender on one connection")
    new.assert_well("a sender on new connections")
    probe.assert_well("health and metrics")
    assert all(one.opened for one in crowds)
    assert peak <= MEMORY_BYTES, f"{peak >> 20} MiB"
    lake.wait_landed(len(names[0]) + len(names[1]), timeout_s=60)
    server.drain()
    assert "panicked" not in server.log.read_text()
    ids = [name for name in lake.session_ids() if name[0] in "ab"]
    assert sorted(ids) == sorted(names[0] + names[1])


@pytest.mark.parametrize("path", [b"/nothing", b"/export/events", b"/health/live"], ids=["nothing", "endpoint", "health"])
def test_answers_for_which_there_is_no_window(make_server, local_lake, folder, path):
    """Four addresses, two HTTP/2 connections each, 256 streams: as many as there are places."""
    server = plain_server(folder, make_server, local_lake)
    no_window = Crowd(server.port, crowd.addresses(4), 2, crowd.no_window(path))
    assert_nobody_is_held_up(server, local_lake, no_window)


def test_many_connections_without_a_window(make_server, local_lake, folder):
    """Four times as many streams as there are places."""
    server = plain_server(folder, make_server, local_lake)
    no_window = Crowd(server.port, crowd.addresses(4), 8, crowd.no_window())
    assert_nobody_is_held_up(server, local_lake, no_window)


def test_answers_that_are_not_read(make_server, local_lake, folder):
    server = plain_server(folder, make_server, local_lake)
    deaf = Crowd(server.port, crowd.addresses(4), 16, crowd.unread(), reads=False)
    assert_nobody_is_held_up(server, local_lake, deaf)


@pytest.mark.parametrize("said", [b"", b"PUT /open HTTP/1.1\r\nhost: loc"], ids=["silent", "half a head"])
def test_connections_that_ask_for_nothing(make_server, local_lake, folder, said):
    """All connections are held by several addresses in several networks, some of them a trickle of a
    head, and those that are closed are opened again."""
    server = plain_server(folder, make_server, local_lake)
    trickle = b"a" if said else b""
    idle = Crowd(server.port, crowd.addresses(4), 256, said, trickle)
    more = Crowd(server.port, crowd.addresses(2, 8)[1:], 32, said, trickle)
    assert_nobody_is_held_up(server, local_lake, idle, more)


def test_bodies_that_trickle_on_every_connection(make_server, local_lake, folder):
    server = plain_server(folder, make_server, local_lake)
    slow = Crowd(server.port, crowd.addresses(8), 200, crowd.slow_body(), b" ")
    assert_nobody_is_held_up(server, local_lake, slow)


def test_bodies_that_trickle_on_every_stream(make_server, local_lake, folder):
    server = plain_server(folder, make_server, local_lake)
    slow = Crowd(server.port, crowd.addresses(4), 4, crowd.h2_slow_bodies())
    assert_nobody_is_held_up(server, local_lake, slow)


def test_heads_that_unpack_to_much(make_server, local_lake, folder):
    """HPACK: one large header into the table, and then each byte is one of them. More headers than are
    taken cost next to nothing, and the crowd comes again."""
    server = plain_server(folder, make_server, local_lake)
    large = b"\x40\x01x" + b"\x7f\x80\x1e" + b"y" * 3967
    first = crowd.h2_head(b"GET", b"/nothing") + large
    bomb = crowd.PREFACE + crowd.frame(1, 5, 1, first)
    bomb += b"".join(
        crowd.frame(1, 5, 2 * n + 1, crowd.h2_head(b"GET", b"/nothing") + b"\xbe" * 16_000) for n in range(1, 60)
    )
    assert_nobody_is_held_up(server, local_lake, Crowd(server.port, crowd.addresses(4), 16, bomb))


def test_resets_and_endless_heads_of_a_crowd(make_server, local_lake, folder):
    server = plain_server(folder, make_server, local_lake)
    head = crowd.h2_head(b"PUT", b"/open")
    reset = crowd.PREFACE + b"".join(
        crowd.frame(1, 4, 2 * n + 1, head) + crowd.frame(3, 0, 2 * n + 1, b"\0\0\0\x08") for n in range(500)
    )
    endless = crowd.PREFACE + crowd.frame(1, 0, 1, head)
    endless += crowd.frame(9, 0, 1, (crowd.literal(b"x", b"y" * 100) * 100)[:10_000]) * 50
    resets = Crowd(server.port, crowd.addresses(4), 8, reset)
    heads = Crowd(server.port, crowd.addresses(6)[4:], 8, endless)
    assert_nobody_is_held_up(server, local_lake, resets, heads)


def put_from(server, address, authorization, name, seen):
    """One request of an address; its status and how long it took."""
    head = f"PUT /export/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\nContent-Length: "
    data = body(name)
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30, source_address=(address, 0)) as sock:
            sock.sendall(f"{head}{len(data)}\r\n\r\n".encode() + data)
            status = sock.recv(65536).split(b" ")[1].decode()
    except (OSError, IndexError) as error:
        status = repr(error)
    seen.append((status, time.monotonic() - began))


def test_wrong_passwords_of_a_crowd(make_server, local_lake, folder):
    """600 addresses guess at once, and go on. Who sends with the right password waits for nothing: a
    sender that is remembered, one whose address has sent a right one before, and one that comes for the
    first time. The guesses are few, and the memory that they cost is that of one."""
    users = [("user", {"name": n, "password_hash": access.password_hash(f"right-{n}")}) for n in ("ann", "bob", "cid")]
    endpoints = [{"name": "main", "path": "/export/events"}]
    server = configured(folder, make_server, local_lake, credentials=users, endpoints=endpoints).start()
    ann, bob, cid = (crowd.basic(name, f"right-{name}") for name in ("ann", "bob", "cid"))
    with Client(server.port, server.path) as client:
        assert client.send(body("first"), Authorization=ann).status == 200
    before = resident_memory_bytes(server.pid)
    seen, stopping = [], threading.Event()
    sources = crowd.addresses(3, 200)

    def guess(at):
        number = 0
        while not stopping.is_set():
            wrong = crowd.basic(("ann", "bob", "nobody")[number % 3], f"wrong-{at}-{number}")
            put_from(server, sources[at], wrong, "never", seen)
            number += 1
            stopping.wait(0.5)

    began = time.monotonic()
    threads = [threading.Thread(target=guess, args=(at,), daemon=True) for at in range(len(sources))]
    remembered = crowd.sender(server.port, server.path, lambda n: body(f"ann{n:05}"), Authorization=ann)
    with remembered:
        for thread in threads:
            thread.start()
        time.sleep(3)
        first_times = []
        put_from(server, "127.0.0.1", bob, "bob", first_times)
        time.sleep(1)
        put_from(server, "127.0.50.1", cid, "cid", first_times)
        time.sleep(2)
        stopping.set()
        for thread in threads:
            thread.join(30)
    lasted_s = time.monotonic() - began
    peak = server.peak_memory_bytes()
    print(f"{(peak - before) >> 20} MiB for {len(seen)} attempts in {lasted_s:.1f} s, {[s for s, _ in seen].count('401')} "
          f"of them guesses; first times: {first_times}")
    remembered.assert_well("a sender that is remembered")
    assert [status for status, _ in first_times] == ["200", "200"], first_times
    assert max(took for _, took in first_times) < crowd.AT_MOST_S, first_times
    statuses = [status for status, _ in seen]
    tried = statuses.count("401")
    assert set(statuses) <= {"401", "429", "503"}, set(statuses)
    assert 10 <= tried <= 30 + 11 * lasted_s, f"{tried} guesses in {lasted_s:.1f} s"
    assert peak - before < 120 << 20, f"{(peak - before) >> 20} MiB for guesses"
    assert server.get("/health/live").status == 200
    server.drain()
