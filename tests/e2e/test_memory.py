"""Memory while large bodies that were small on the wire land, before and after a restart."""

import base64
import json
import threading
import time

import brotli
import zstandard
import pytest
from harness import access
from harness.documents import body, document
from harness.process import wait_until

# It measures how soon others are answered.
pytestmark = pytest.mark.alone

LINE_BYTES = 250 << 20
MOST_BYTES = 512 << 20
ROLL_AGE_S = 2
# All land within three of these in a release build; a debug build has to read a gigabyte first.
LANDED_S = 240

SHAPES = {
    "one line": (b"", b"x"),
    "one document": (b'{"userSessionId":"', b"y"),
    "one array": (b'[{"userSessionId":"in-array"},"', b"z"),
}


def bomb(begin, filling):
    packer = brotli.Compressor(quality=5)
    packed = packer.process(begin)
    for _ in range(LINE_BYTES >> 20):
        packed += packer.process(filling * (1 << 20))
    return packed + packer.finish()


class Good(threading.Thread):
    """Sends small bodies to an endpoint of its own, and goes on over a restart."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.stopping, self.away = server, threading.Event(), threading.Event()
        self.sent, self.wrong, self.slowest_s = [], [], 0

    def run(self):
        while not self.stopping.is_set():
            name = f"good{len(self.sent):05}"
            started = time.monotonic()
            try:
                with self.server.client() as client:
                    status = client.send(body(name), path="/good").status
            except OSError as error:
                status = repr(error)
            took_s = time.monotonic() - started
            if status == 200:
                self.sent.append(name)
            if not self.away.is_set():
                self.slowest_s = max(self.slowest_s, took_s)
                if status != 200:
                    self.wrong.append((name, status, took_s))
            time.sleep(0.05)


def quarantined(lake):
    """Entries of the quarantine, each with its bytes."""
    entries = []
    for path in lake.files("_quarantine"):
        for line in lake.read(path).splitlines():
            entry = json.loads(line)
            raw = entry.pop("raw")
            if isinstance(raw, str):
                entry["text"] = raw.encode()
            elif "zstd" in raw:
                reader = zstandard.ZstdDecompressor().stream_reader(base64.b64decode(raw["zstd"]))
                entry["text"] = reader.read()
            else:
                entry["text"] = base64.b64decode(raw["base64"])
            entries.append(entry)
    return entries


def test_lines_of_250_mib_land_in_bounded_memory(make_server, local_lake, folder):
    """Bodies of some hundred bytes that are one line of 250 MiB: they are quarantined whole, before and after
    a restart with all of them in the journal, and memory stays below 512 MiB."""
    config = folder / "sessionlake.toml"
    config.write_text(
        'body_timeout = "2min"\n'
        + access.toml(
            [
                ("endpoint", {"name": "main", "path": "/export/events", "auth": "none"}),
                ("endpoint", {"name": "good", "path": "/good", "auth": "none"}),
            ]
        )
    )
    server = make_server(local_lake, "--roll-age", f"{ROLL_AGE_S}s", "--config", config).start()
    good = Good(server)
    good.start()
    for begin, filling in SHAPES.values():
        packed = bomb(begin, filling)
        assert len(packed) < 4096, len(packed)
        reply = server.put(packed, Content_Encoding="br")
        assert reply.status == 200, reply
    first_life = server.peak_memory_bytes()
    good.away.set()
    server.kill()
    server.start()
    good.away.clear()
    landed = lambda: sum(receipt["rejects"] for receipt in local_lake.receipts()) >= len(SHAPES) + 1
    wait_until(landed, LANDED_S, "the lines did not land")
    again = server.peak_memory_bytes()
    good.stopping.set()
    good.join(30)
    peak = max(again, server.peak_memory_bytes())
    print(f"peak {first_life >> 20} MiB receiving, {peak >> 20} MiB landing, {len(good.sent)} good, the slowest {good.slowest_s:.2f} s")
    server.drain()
    assert first_life <= MOST_BYTES and peak <= MOST_BYTES, (first_life >> 20, peak >> 20)
    assert not good.wrong, good.wrong[:3]
    ids = local_lake.session_ids()
    assert [name for name in ids if name.startswith("good")].count("good00000") == 1
    assert sorted(set(good.sent) - set(ids)) == []
    assert "in-array" in ids
    entries = [entry for entry in quarantined(local_lake) if entry["code"] == "too_long"]
    assert len(entries) == len(SHAPES), [entry["code"] for entry in entries]
    lengths = sorted(len(entry["text"]) for entry in entries)
    assert lengths == [LINE_BYTES, LINE_BYTES + 1, LINE_BYTES + 18], lengths
    assert all(entry["reason"] == "longer than line_limit, which is 8388608 bytes" for entry in entries)


def test_a_line_beyond_the_limit_is_imported_as_it_is_received(command, local_lake, folder):
    """The same words for a file; of documents in a row, each has the limit."""
    long = document("long", applicationVersion="x" * (2 << 20))
    row = b"".join(document(f"row{n:05}") for n in range(20_000))
    assert len(row) > 1 << 20
    (folder / "given").write_bytes(body("a") + long + b"\n" + row + b"\n" + body("b"))
    command("import", "given", "--lake", local_lake.at.uri, "--line-limit", "1MiB")
    assert len(local_lake.session_ids()) == 20_002
    (entry,) = quarantined(local_lake)
    assert (entry["code"], entry["line"], entry["text"]) == ("too_long", 2, long)
    assert entry["reason"] == "longer than line_limit, which is 1048576 bytes"
    # Whoever wants it after all.
    command("quarantine", "replay", "--lake", local_lake.at.uri, "--line-limit", "4MiB")
    assert "long" in local_lake.session_ids()
