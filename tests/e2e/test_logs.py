"""The log: its forms, its events, and what is never in it."""

import json
import os
import subprocess
import tempfile

from harness import place
from harness.documents import body, document
from harness.process import wait_until

# Values of documents: none of them may be in a log, whatever its level.
CANARY = "canary-4711-value"


def events(text):
    """The lines of a log that are JSON; those of standard output are not."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            one = json.loads(line)
            assert list(one)[:4] == ["timestamp", "level", "target", "message"], line
            assert all(not isinstance(value, (dict, list)) for value in one.values()), line
            found.append(one)
    return found


def test_json_is_an_object_a_line_from_the_start_to_the_end(make_server, local_lake):
    flags = ("--roll-age", "1s", "--log-format", "json", "--encrypt-journal=false", "--drain-delay", "0s")
    server = make_server(local_lake, *flags).start()
    assert server.put(body("a", "b")).status == 200
    local_lake.wait_landed(2, timeout_s=60)
    server.drain()
    log = server.process.output()
    assert all(line.startswith(("{", "listening on", "landing in", "look at it")) for line in log.splitlines()), log
    found = events(log)
    [start] = [one for one in found if one["message"] == "takes bodies"]
    assert start["tables"] == "user_sessions" and start["lake"] == local_lake.at.base and start["version"] and start["node"]
    assert start["max_connections"] == 1024 and start["memory_bytes"] == 256 << 20
    # One event a roll, and none for each request.
    landed = [one for one in found if one["message"] == "landed"]
    assert [(one["roll"], one["rows"], one["rejects"]) for one in landed] == [(1, 2, 0)], landed


def test_a_start_that_fails_says_so_in_json_too(command, folder):
    for flags in (["--roll-age", "x"], ["--listen", "127.0.0.1:1", "--credentials", folder / "none.toml"]):
        said = command("serve", "--log-format", "json", *flags, "--lake", folder / "l", "--state", folder / "s", expect=2)
        [error] = events(said)
        assert error["level"] == "ERROR" and error["message"], said
        assert len(said.splitlines()) == 1, said
    said = command("serve", "--log-format", "xml", expect=2)
    assert "is neither text nor json" in said


def test_under_the_journal_of_systemd_lines_have_a_priority_and_no_time(folder):
    with tempfile.TemporaryFile() as err:
        found = os.fstat(err.fileno())
        state = ["--state", str(folder / "s"), "--lake", str(folder / "l"), "--listen", "127.0.0.1:0", "--roll-age", "1h"]
        env = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}", "HOME": str(folder)}
        started = subprocess.Popen([place.binary(), "serve", *state], stderr=err, stdout=subprocess.PIPE, env=env)
        try:
            assert started.stdout.readline().startswith(b"listening on")
            started.terminate()
            assert started.wait(30) == 0
        finally:
            started.kill()
        err.seek(0)
        lines = err.read().decode().splitlines()
    assert lines and all(line.startswith("<6> INFO sessionlake::") for line in lines), lines


def test_no_value_of_a_document_is_in_the_log_at_any_level(make_server, local_lake, folder):
    flags = ["--log", "debug", "--roll-age", "1s", "--line-limit", "64KiB", "--log-format", "json"]
    server = make_server(local_lake, *flags).start()
    c = CANARY.encode()
    lines = [
        document("good"),
        b'{"userSessionId":"' + c + b'","startTime":17',  # Not whole.
        b'"' + c + b'"', b'["' + c + b'"]', b"{'" + c + b"':1}", c, b'{"a":"' + c + b'\xff"}',
        b'{"a":"' + c + b'\\ud800x"}', b'{"a":1}' + c, b'{"a":"' + c + b"x" * 70_000 + b'"}',
        b'{"userSessionId":"' + c + b'","userSessionId":"' + c + b'","startTime":1,"startTime":"' + c + b'"}',
        b"[" * 300 + b'"' + c + b'"' + b"]" * 300,
        # Values that do not fit their column, and of fields that have none.
        b'{"userSessionId":"x","startTime":"' + c + b'","duration":"' + c + b'","newField":"' + c + b'","ip":{"a":"' + c + b'"}}',
    ]
    assert server.put(b"\n".join(lines)).status == 200
    assert server.put(b"\x1f\x8b" + c, content_encoding="gzip").status in (400, 415)
    assert server.put(c, content_type="text/html").status == 415
    bulk = b'{"index":{"_index":"' + c + b'"}}\n' + b'{"a":"' + c + b'"}\n'
    server.put(bulk)
    wait_until(lambda: len(local_lake.quarantine()) >= 8, 60, "rejects")
    server.drain()
    log = server.process.output()
    assert any(one["level"] == "DEBUG" for one in events(log)), "it is not at debug"
    assert CANARY not in log, [line for line in log.splitlines() if CANARY in line]
