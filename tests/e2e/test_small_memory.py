"""A control group below the memory that the program is made for."""

import http.client
import threading
import time

import pytest
from harness import memory_limit
from harness.documents import document

LIMIT_BYTES = 300 << 20
SENDERS, BODY_BYTES = 16, 31_000_000

# It needs its share of a machine's memory and cores to itself.
pytestmark = pytest.mark.alone


def test_sixteen_large_bodies_at_a_time_in_300_mib(make_server, local_lake):
    """Budgets that nobody has set fit in the limit: bodies wait or are told to come again, and nobody is killed."""
    line = document("big", city="x" * 2_000) + b"\n"
    given = [line.replace(b"big", b"big-%02d" % number) for number in range(SENDERS)]
    given = [one * (BODY_BYTES // len(one)) for one in given]
    with memory_limit.limited(LIMIT_BYTES) as (group, how):
        if group is None:
            pytest.skip(how)
        server = make_server(local_lake, "--roll-age", "5s")
        command = server.command
        server.command = lambda: group.command(command())
        server.start()
        assert "it makes do with 75MiB for rows" in server.process.output(), server.process.output()
        acked, refused = [], []

        def send(number):
            for _ in range(60):
                try:
                    status = server.put(given[number]).status
                except (OSError, http.client.HTTPException):
                    # It was answered before all was sent, and the answer was not read.
                    status = None
                if status == 200:
                    acked.append(number)
                    return
                refused.append(status)
                time.sleep(0.5)

        senders = [threading.Thread(target=send, args=(number,)) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(300)
        peak = server.peak_memory_bytes()
        server.drain(timeout_s=240)
        print(f"{how}: {len(acked)} bodies, {len(refused)} told to come again, peak {peak >> 20} MiB")
        assert not group.killed(), "it was killed for want of memory"
    assert sorted(acked) == list(range(SENDERS))
    assert set(refused) <= {408, 503, None}, refused
    assert local_lake.rows() == sum(one.count(b"\n") for one in given)
