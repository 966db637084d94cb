"""Nothing lost, nothing doubled: under load, with the process, its store and its disk taken away.

Short forms run every time; `tests/run soak` runs the long ones: 200 kills a store, minutes without
the store. What is compared is the set of acknowledged session ids with what DuckDB reads.
"""

import contextlib
import dataclasses
import json
import os
import random
import subprocess
import time

import pytest
from harness import stores
from harness.documents import document
from harness.lake import Lake
from harness.load import Load
from harness.process import wait_until
from harness.relay import Relay

SHORT = {"kills": 6, "away_s": 8, "rate": 35, "away_rate": 35, "least_rate": None}
LONG = {"kills": 200, "away_s": 300, "rate": 50, "away_rate": 32, "least_rate": 30}
FORMS = [
    pytest.param(SHORT, id="short"),
    pytest.param(LONG, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
]
# Small enough that most lives between two kills land something.
ROLLS = ("--roll-age", "1s", "--roll-rows", "2500", "--decode-threads", "2")


def verify(lake, command):
    """The program's own judgement of the lake, rows included."""
    printed = command("verify", lake.at.uri, "--json", "--rows", env=lake.at.env, timeout_s=600)
    report = json.loads(printed)
    assert report["problems"] == [], report["problems"][:10]
    return report


def in_trouble(server):
    """Whether nothing can be landed. It is ready all the same, since bodies are taken."""
    ready = server.get("/health/ready")
    assert ready.status == 200, ready
    return "trouble" in ready.json


def settled(lake, load, command, what):
    """After the last drain: ids, receipts, and the program's own view agree."""
    total = load.check(lake)
    sums = lake.check_receipts()
    report = verify(lake, command)
    assert report["rows_read"] == total == sums["rows"]
    print(
        f"\n{what}: {load.sessions()} sessions acked at {load.megabytes_per_s():.1f} MB/s over"
        f" {load.seconds:.0f} s, {load.duplicates} bulks recognised as retries, {load.broken} connections"
        f" broken, answers {dict(load.statuses)}, slowest {load.slowest_s:.2f} s;"
        f" {total} in the lake: 0 missing, 0 doubled"
    )


@pytest.fixture(scope="module", params=["local", "seaweedfs"])
def place(request, tmp_path_factory):
    if request.param == "local":
        return stores.LocalStore(tmp_path_factory.mktemp("soak"))
    return request.getfixturevalue("seaweedfs")


@pytest.mark.parametrize("form", FORMS)
def test_kills_under_load(make_server, place, command, form):
    lake = Lake(place.lake(f"kills-{form['kills']}"))
    server = make_server(lake, *ROLLS).start()
    chance = random.Random(form["kills"])
    load = Load(server, form["rate"]).start()
    down_s = 0
    for _ in range(form["kills"]):
        time.sleep(0.3 + 1.5 * chance.random())
        at = time.monotonic()
        server.kill()
        server.start()
        down_s += time.monotonic() - at
    time.sleep(1)
    load.stop()
    server.drain(timeout_s=250)
    rate = load.bytes / 1e6 / (load.seconds - down_s)
    what = f"{form['kills']} kills, {place.name}, {rate:.1f} MB/s while it was up, down for {down_s:.0f} s"
    settled(lake, load, command, what)
    assert set(load.statuses) <= {200, 503}, load.statuses
    if form["least_rate"]:
        assert load.megabytes_per_s() >= form["least_rate"], what


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["killed", "stopped", "cut off"])
def test_store_away_under_load(make_server, own_store, command, form, how):
    """No answer but 200 while the store is away, and all lands when it is back."""
    at = own_store.lake(f"away-{how.replace(' ', '-')}")
    relay = Relay(own_store.port)
    env = {**at.env, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{relay.port}"}
    lake, through = Lake(at), Lake(dataclasses.replace(at, env=env))
    flags = ("--store-timeout", "2s", "--journal-quota", "40GiB", "--disk-reserve", "1GiB")
    server = make_server(through, *ROLLS, *flags).start()
    load = Load(server, form["away_rate"]).start()
    time.sleep(3)
    away = {"killed": own_store.kill, "stopped": own_store.pause, "cut off": relay.cut}
    back = {"killed": own_store.start_again, "stopped": own_store.resume, "cut off": relay.mend}
    away[how]()
    acked = load.sessions()
    time.sleep(form["away_s"])
    wait_until(lambda: in_trouble(server), 30, "it says that nothing is landed")
    peak = server.peak_memory_bytes() / (1 << 20)
    assert load.sessions() > acked, "acks stopped with the store"
    back[how]()
    time.sleep(3)
    load.stop()
    wait_until(lambda: not in_trouble(server), 120, "it lands again", 0.5)
    server.drain(timeout_s=900)
    relay.close()
    assert set(load.statuses) == {200}, load.statuses
    assert load.broken == 0
    settled(lake, load, command, f"store {how} for {form['away_s']} s, peak memory {peak:.0f} MiB")


@pytest.mark.parametrize(
    "megabytes",
    [pytest.param(300, id="short"), pytest.param(2000, id="long", marks=pytest.mark.soak)],
)
def test_recovery_of_a_large_journal(make_server, local_lake, command, megabytes):
    """A start reads and checks the whole journal, from disk and not from the page cache."""
    flags = ("--roll-age", "1h", "--roll-bytes", "4GiB", "--journal-quota", "40GiB", "--journal-compression=false")
    server = make_server(local_lake, *flags).start()
    load = Load(server, 200, threads=4).start()
    wait_until(lambda: load.bytes > megabytes * 1_000_000, 250, "the journal is large")
    load.stop()
    server.kill()
    segments = sorted(server.state.rglob("*.seg"))
    size = sum(path.stat().st_size for path in segments)
    for path in segments:
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.monotonic()
    server.start()
    took = time.monotonic() - began
    peak = server.peak_memory_bytes() / (1 << 20)
    rate = size / 1e6 / took
    print(f"\nrecovery: {size / 1e6:.0f} MB in {took:.2f} s, {rate:.0f} MB/s, memory {peak:.0f} MiB")
    server.drain(timeout_s=250)
    settled(local_lake, load, command, "killed with a large journal")
    assert rate >= 150, rate
    assert peak < 512


@pytest.fixture
def small_disk(folder):
    """A file system of 128 MiB of its own."""
    at = folder / "small"
    at.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128m", "lake-tests", at], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    yield at
    subprocess.run(["umount", "-l", at], check=True)


def fill(path, leave_bytes):
    """Fills the file system of `path` with a file until so much is free."""
    with path.open("wb") as file:
        while True:
            free = os.statvfs(path.parent)
            # The program may be quicker, and take what was free.
            with contextlib.suppress(OSError):
                return os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - leave_bytes)


def refill(path, leave_bytes):
    """Takes again what has become free since: what lands makes room in the journal."""
    free = os.statvfs(path.parent)
    more = free.f_bavail * free.f_frsize - leave_bytes
    if more > 0:
        with path.open("ab") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), path.stat().st_size, more)


def test_disk_full_down_to_the_reserve(make_server, local_lake, small_disk, command):
    """Below the reserve: 503 before anything fails; with room again it goes on by itself."""
    server = make_server(local_lake, *ROLLS, "--disk-reserve", "24MiB", "--journal-segment", "1MiB")
    server.state = small_disk / "state"
    server.start()
    load = Load(server, 30).start()
    wait_until(lambda: load.sessions() > 500, 30, "sessions are taken")
    filler = small_disk / "filler"

    def full_and(condition):
        refill(filler, 20 << 20)
        return condition()

    for _ in range(2):
        fill(filler, 20 << 20)
        wait_until(lambda: full_and(lambda: load.statuses[503] > 5), 30, "the answer is 503")
        wait_until(lambda: full_and(lambda: server.get("/health/ready").status == 503), 10, "it says so")
        filler.unlink()
        acked = load.sessions()
        wait_until(lambda: load.sessions() > acked + 500, 30, "it goes on, with room again")
        assert server.process.running()
        load.statuses[503] = 0
    load.stop()
    assert set(load.statuses) <= {200, 503}, load.statuses
    server.drain()
    settled(local_lake, load, command, "disk full twice down to the reserve")


def test_a_small_disk_does_not_stay_full_of_what_has_landed(make_server, local_lake, small_disk):
    """The last segment is all landed, and what is short of the reserve: it is ended, so there is room."""
    flags = ("--roll-age", "1s", "--disk-reserve", "32MiB", "--journal-compression=false")
    server = make_server(local_lake, *flags)
    server.state = small_disk / "state"
    server.start()
    # Less than a quarter of a segment: it is not ended for its size.
    sent = []
    for number in range(10):
        sent.append(f"s{number}")
        reply = server.put(document(sent[-1]).replace(b"}", b',"city":"' + b"x" * 1_000_000 + b'"}'))
        assert reply.status == 200, reply
    local_lake.wait_landed(len(sent))
    # 3 MiB less than the reserve, and 10 MB are in the segment.
    fill(small_disk / "filler", 29 << 20)
    # Nobody sends anything: it is ready again by itself.
    wait_until(lambda: server.get("/health/ready").status == 200, 20, "there is room")
    assert server.put(document("after")).status == 200
    server.drain()
    assert sorted(local_lake.session_ids()) == sorted([*sent, "after"])


def test_disk_full_to_the_last_byte(make_server, local_lake, small_disk, command):
    """With no reserve a write fails: nothing of it is acked, and a restart with room has the rest."""
    flags = ("--disk-reserve", "0", "--journal-segment", "1MiB")
    server = make_server(local_lake, *ROLLS, *flags)
    server.state = small_disk / "state"
    server.start()
    load = Load(server, 30).start()
    wait_until(lambda: load.sessions() > 500, 30, "sessions are taken")
    fill(small_disk / "filler", 300_000)
    refused = lambda: load.statuses[503] > 5 or not server.process.running()  # noqa: E731
    wait_until(refused, 60, "the answer is 503")
    (small_disk / "filler").unlink()
    time.sleep(2)
    if not server.process.running():
        # A failed write is final: the process has left, to be started again.
        assert server.process.wait(1) == 1, server.process.tail()
        assert "the journal stopped after a failed write" in server.process.tail()
        server.start()
    acked = load.sessions()
    wait_until(lambda: load.sessions() > acked + 500, 60, "it goes on, after a restart or without")
    load.stop()
    assert set(load.statuses) <= {200, 503}, load.statuses
    server.drain()
    settled(local_lake, load, command, "disk full to the last byte")


def test_lake_full(make_server, folder, small_disk, command):
    """A lake without room is a store that is away: acks go on, and all lands when there is room."""
    lake = Lake(stores.LocalStore(small_disk).lake("lake"))
    server = make_server(lake, *ROLLS).start()
    load = Load(server, 20).start()
    lake.wait_landed(200)
    fill(small_disk / "filler", 200_000)
    wait_until(lambda: in_trouble(server), 30, "it says that nothing is landed")
    acked = load.sessions()
    wait_until(lambda: load.sessions() > acked + 500, 30, "acks go on")
    (small_disk / "filler").unlink()
    wait_until(lambda: not in_trouble(server), 60, "it lands again")
    load.stop()
    assert set(load.statuses) == {200}, load.statuses
    server.drain()
    lake.no_leftovers()
    settled(lake, load, command, "lake full")
