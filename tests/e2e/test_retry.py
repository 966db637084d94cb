"""A body sent again is answered like the first one and stored once."""

import threading
import time

from harness import place
from harness.documents import body, document


def test_a_retried_body_lands_once(make_server, lake):
    server = make_server(lake, "--roll-age", "1h").start()
    first = server.put(body("a", "b"))
    again = server.put(body("a", "b"))
    assert (first.json["duplicate"], again.json["duplicate"]) == (False, True)
    assert again.json["lines"] == 2
    server.drain()
    assert sorted(lake.session_ids()) == ["a", "b"]


def test_also_after_a_restart(server, local_lake):
    assert server.put(body("a")).json["duplicate"] is False
    server.drain()
    server.start()
    assert server.put(body("a")).json["duplicate"] is True
    server.kill()
    server.start()
    assert server.put(body("a")).json["duplicate"] is True
    assert server.put(body("b")).json["duplicate"] is False
    server.drain()
    assert sorted(local_lake.session_ids()) == ["a", "b"]


def test_equal_bodies_in_flight_share_one_landing(server, local_lake):
    data = body(*(f"s{n:05}" for n in range(5000)))
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(server.put(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [reply.status for reply in replies] == [200] * 8
    assert sorted(reply.json["duplicate"] for reply in replies) == [False] + [True] * 7
    server.drain()
    assert local_lake.rows() == 5000


def test_equal_lines_of_a_body_are_all_kept(server, local_lake):
    server.put((document("same") + b"\n") * 50)
    server.put(place.CLASSIC.read_bytes())
    server.drain()
    assert local_lake.rows() == 53
    assert local_lake.query("SELECT count(DISTINCT _ingest_id) FROM {t}") == [(53,)]


def test_the_window_can_be_turned_off(make_server, local_lake):
    server = make_server(local_lake, "--retry-window", "0s").start()
    assert [server.put(body("a")).json["duplicate"] for _ in range(3)] == [False] * 3
    server.drain()
    assert local_lake.session_ids() == ["a"] * 3


def test_the_window_closes(make_server, local_lake):
    server = make_server(local_lake, "--retry-window", "1s").start()
    assert server.put(body("a")).json["duplicate"] is False
    time.sleep(2.5)
    assert server.put(body("a")).json["duplicate"] is False
    server.drain()
    assert local_lake.session_ids() == ["a", "a"]
