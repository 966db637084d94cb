"""Bodies of a few bytes that become gigabytes of broken lines: what they cost, and that nobody else is harmed."""

import json
import threading
from pathlib import Path

import brotli
from harness import access
from harness.client import Client
from harness.documents import body, document
from harness.process import wait_until

MIB = 1 << 20
KEPT_LINES = 100


class Largest(threading.Thread):
    """Watches the bytes of the files below a directory, and keeps the most."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.directory, self.bytes, self.stopping = Path(directory), 0, threading.Event()
        self.start()

    def run(self):
        while not self.stopping.wait(0.02):
            self.bytes = max(self.bytes, sum(map(size_of, self.directory.rglob("*"))))

    def stop(self):
        self.stopping.set()
        self.join(10)
        return self.bytes


def size_of(path):
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def settings(folder):
    path = folder / "sessionlake.toml"
    endpoints = [{"name": "main", "path": "/export/events"}, {"name": "other", "path": "/other"}]
    path.write_text(access.toml([("endpoint", endpoint) for endpoint in endpoints]))
    return path


def quarantined(lake):
    """Lines in quarantine, by what the entries say."""
    return sum(entry.get("lines", 1) for entry in lake.quarantine())


def test_a_bomb_of_broken_lines_harms_nobody_and_neither_after_a_restart(make_server, local_lake, folder, command):
    bombs = [brotli.compress(line * (32 * MIB), quality=5) for line in (b"{\n", b"x\n")]
    assert max(map(len, bombs)) < 500, bombs
    server = make_server(local_lake, "--roll-age", "2s", "--config", settings(folder)).start()
    largest = Largest(server.state / ".sessionlake-staging")
    sent = []

    def good():
        sent.append(f"good{len(sent):03}")
        assert server.put(body(sent[-1])).status == 200

    def attack(bomb):
        with Client(server.port, "/other") as client:
            assert client.send(bomb, **{"Content-Encoding": "br"}).status == 200

    good()
    attack(bombs[0])
    good()
    wait_until(lambda: sorted(local_lake.session_ids()) == sent, 60, "the good rows do not land")
    wait_until(lambda: quarantined(local_lake) == 32 * MIB, 60, "the bomb does not land")
    peaks = [server.peak_memory_bytes()]

    # Killed with another one in its journal.
    attack(bombs[1])
    good()
    server.kill()
    server.start()
    good()
    wait_until(lambda: sorted(local_lake.session_ids()) == sent, 60, "the good rows do not land after a restart")
    wait_until(lambda: quarantined(local_lake) == 64 * MIB, 60, "the bomb does not land after a restart")
    peaks.append(server.peak_memory_bytes())
    server.drain()
    staging = largest.stop()
    print(f"peaks {[peak // MIB for peak in peaks]} MiB, staging {staging} bytes")
    assert max(peaks) < 512 * MIB and staging < 8 * MIB
    assert sum(local_lake.size(path) for path in local_lake.files("_quarantine")) < MIB
    assert local_lake.check_receipts()["rejects"] == 64 * MIB
    assert json.loads(command("verify", local_lake.at.uri, "--json", "--footers"))["problems"] == []


def test_entries_of_many_lines_give_every_line_back_once(make_server, local_lake, folder, command):
    """Joined lines and text that was not read: shown, counted, verified, and landed again once."""
    server = make_server(local_lake, "--roll-age", "1h").start()
    # Documents that are in the rest of a body of noise, and a line that a later version could read.
    noise = b"x\n" * 5000
    lost = [document(f"lost{n:03}") for n in range(50)]
    assert server.put(noise + b"\n".join(lost) + b"\n" + noise).status == 200
    # Lines that are short and broken among documents.
    kept = [document(f"kept{n:03}", n=n) + b"\n" + b"no document %d\n" % n for n in range(3 * KEPT_LINES)]
    assert server.put(b"".join(kept)).status == 200
    server.drain()
    uri = local_lake.at.uri
    assert local_lake.check_receipts() == {"lines": 10_050 + 6 * KEPT_LINES, "rows": 3 * KEPT_LINES, "rejects": 10_050 + 3 * KEPT_LINES}
    entries = local_lake.quarantine()
    assert len(entries) < 3 * KEPT_LINES, len(entries)
    listed = json.loads(command("quarantine", "list", uri, "--json"))
    assert listed[0]["entries"] == 10_050 + 3 * KEPT_LINES
    [joined] = [entry for entry in entries if isinstance(entry["raw"], list) and entry["seq"] == 2]
    assert joined["raw"] == [f"no document {n}" for n in range(KEPT_LINES, 3 * KEPT_LINES)]
    assert (joined["lines"], joined["line"], joined["last_line"]) == (2 * KEPT_LINES, 2 * KEPT_LINES + 2, 6 * KEPT_LINES)
    shown = [json.loads(line) for line in command("quarantine", "show", uri, "--code", "not_read").splitlines()]
    [rest] = shown
    assert (b"x\n" * rest["lines"])[:1000] == rest["raw"].encode()[:1000] and lost[7].decode() in rest["raw"]
    assert json.loads(command("verify", uri, "--json", "--footers"))["problems"] == []

    said = command("quarantine", "replay", "--lake", uri)
    assert "50 lines of the quarantine landed again" in said, said
    said = command("quarantine", "replay", "--lake", uri)
    assert "0 lines of the quarantine landed again; 50 landed again before" in said, said
    found = local_lake.session_ids()
    assert sorted(found) == sorted([f"lost{n:03}" for n in range(50)] + [f"kept{n:03}" for n in range(3 * KEPT_LINES)])

    # As if a later version could read some of the joined lines: those land, and no other twice.
    (name,) = local_lake.files("_quarantine")
    entries = [json.loads(line) for line in local_lake.read(name).splitlines()]
    for entry in entries:
        if isinstance(entry["raw"], list) and entry["seq"] == 2:
            entry["raw"][5], entry["raw"][150] = document("five").decode(), document("later").decode()
    with local_lake.at.files.open_output_stream(f"{local_lake.at.base}/{name}") as out:
        out.write(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))
    for landed in ("2 lines of the quarantine landed again; 50", "0 lines of the quarantine landed again; 52"):
        said = command("quarantine", "replay", "--lake", uri)
        assert landed in said, said
    assert sorted(set(local_lake.session_ids()) - set(found)) == ["five", "later"]
    assert len(local_lake.session_ids()) == len(found) + 2


def test_sealed_quarantine_has_the_same_bound_and_is_opened_line_by_line(make_server, local_lake, folder, command):
    key, config = folder / "privacy.key", folder / "private.toml"
    key.write_text("a secret of at least thirty-two bytes\n")
    key.chmod(0o600)
    config.write_text(f"privacy_key = {json.dumps(str(key))}\n" + '[privacy]\nuserId = "hash"\n')
    server = make_server(local_lake, "--roll-age", "1h", "--config", config).start()
    bomb = brotli.compress(b"{\n" * (8 * MIB), quality=5)
    assert server.put(bomb, **{"Content-Encoding": "br"}).status == 200
    lines = [document(f"kept{n:03}") + b"\n" + b"secret %d\n" % n for n in range(3 * KEPT_LINES)]
    assert server.put(b"".join(lines)).status == 200
    assert server.put(b"x\n" * 1000 + document("lost")).status == 200
    server.drain()
    files = local_lake.files("_quarantine")
    text = b"".join(map(local_lake.read, files))
    assert len(text) < MIB and b"secret" not in text, len(text)
    assert quarantined(local_lake) == 8 * MIB + 3 * KEPT_LINES + 1001
    sealed = folder / "sealed.ndjson"
    sealed.write_bytes(text)
    opened = [json.loads(line) for line in command("unseal", "--privacy-key", key, stdin=sealed).splitlines()]
    alone = [entry["raw"] for entry in opened if isinstance(entry["raw"], str) and entry["raw"].startswith("secret")]
    joined = [raw for entry in opened if isinstance(entry["raw"], list) for raw in entry["raw"]]
    assert sorted(alone + [raw for raw in joined if raw.startswith("secret")]) == sorted(f"secret {n}" for n in range(3 * KEPT_LINES))
    assert sum(len(entry["raw"]) + 1 for entry in opened if entry["code"] == "not_read" and "{" in entry["raw"][:2]) > 15 * MIB
    replay = ["quarantine", "replay", "--lake", local_lake.at.uri, "--config", config]
    said = command(*replay)
    assert "1 lines of the quarantine landed again" in said and "sealed" not in said, said
    assert "lost" in local_lake.session_ids()
    assert "0 lines of the quarantine landed again; 1 landed again before" in command(*replay)
