"""What stores and lakes say and hold, as it is shown; and what others on the machine can see or touch."""

import http.server
import json
import os
import stat
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import place
from harness.documents import body
from harness.process import Process, clean_environment, free_port, wait_until
from harness.stores import LakeAt

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n2026-11-28T00:00:00Z ERROR forged \u202egnorw\u2028\x9b31m "


class Store:
    """Answers every request in the same way, and counts them."""

    def __init__(self, status, said=b"", **headers):
        self.asked = 0
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                store.asked += 1
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def stores(request):
    def make(*arguments, **more):
        store = Store(*arguments, **more)
        request.addfinalizer(store.close)
        return store

    return make


def environment(host, userinfo=""):
    return {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": f"http://{userinfo}{host}",
        "AWS_ALLOW_HTTP": "true",
    }


def bucket(host, userinfo=""):
    return SimpleNamespace(at=LakeAt("s3://b/p", None, "", environment(host, userinfo)))


def assert_tame(printed, most, what):
    """Text of others in it is bounded, in lines of our own, and steers no terminal."""
    assert len(printed) < most, (what, len(printed), printed[:2000])
    for character in "\x1b\x07\r\x9b\u202e\u2028":
        assert character not in printed, (what, hex(ord(character)), printed[:2000])
    forged = [line for line in printed.splitlines() if line.startswith("2026-11-28T00:00:00Z ERROR forged")]
    assert not forged, (what, forged)
    assert "SECRET" not in printed, (what, printed[:2000])


def test_a_store_that_refuses_with_megabytes_costs_kilobytes_of_log(make_server, command, stores):
    said = (HOSTILE + "x" * (3 << 20)).encode()
    for status in (403, 500, 404):
        store = stores(status, said)
        server = make_server(
            bucket(store.host, "user:SECRET@"), "--roll-age", "1s", name=f"server-{status}"
        ).start()
        assert server.put(body("a")).status == 200
        time.sleep(8)
        ready = server.get("/health/ready").text
        server.kill()
        assert store.asked > 0
        assert_tame(server.process.output(), 64 << 10, f"the log at {status}")
        assert_tame(ready, 8 << 10, f"readiness at {status}")
        for name in ("inspect", "verify", "check"):
            arguments = [name, "s3://b/p"] if name != "check" else [name, "--lake", "s3://b/p", "--listen", "127.0.0.1:0"]
            printed = command(*arguments, expect=None, env=environment(store.host, "user:SECRET@"), timeout_s=180)
            assert_tame(printed, 16 << 10, f"{name} at {status}")


@pytest.mark.parametrize("status", [301, 302, 307])
def test_no_redirect_takes_rows_to_another_host(make_server, stores, status):
    other = stores(200)
    store = stores(status, location=f"http://{other.host}/elsewhere")
    server = make_server(bucket(store.host), "--roll-age", "1s").start()
    assert server.put(body("a")).status == 200
    wait_until(lambda: store.asked > 2, 30, "the store is asked")
    wait_until(lambda: "no redirect is followed" in server.process.output(), 30, "it is told")
    server.kill()
    assert other.asked == 0


def rows(server, count):
    for number in range(count):
        assert server.put(body(f"s{number}")).status == 200
    server.drain()


def test_a_lake_that_holds_anything_is_told_apart_and_looked_at_to_its_end(make_server, local_lake, command):
    rows(make_server(local_lake, "--roll-age", "1h").start(), 3)
    lake = Path(local_lake.at.uri)
    # Links: out of the lake, above it, in a circle, and to nowhere.
    (lake / "everything").symlink_to("/")
    (lake / "itself").symlink_to(lake)
    (lake / "user_sessions" / "loop").symlink_to(lake / "user_sessions")
    (lake / "user_sessions" / "etc").symlink_to("/etc")
    (lake / "user_sessions" / "gone.parquet").symlink_to("/nowhere")
    # Names.
    folder = lake / "user_sessions" / ("date=" + HOSTILE.replace("/", "_"))
    folder.mkdir()
    (folder / "x.parquet").write_bytes(b"no Parquet")
    (lake / ("\x1b[2J" + "\u202e")).mkdir()
    (lake / ("\x1b[2J" + "\u202e") / "file").write_text("x")

    printed = command("inspect", local_lake.at.uri, expect=1)
    assert_tame(printed, 32 << 10, "inspect")
    assert "Not looked into" in printed and "everything" in printed and "loop" in printed, printed
    assert "Broken: 1 file" in printed and "3" in printed, printed
    printed = command("verify", local_lake.at.uri)
    assert_tame(printed, 32 << 10, "verify")
    assert "not looked into: everything" in printed, printed
    assert "Every received line is accounted for" in printed, printed
    for name, code in [("inspect", 1), ("verify", 0)]:
        printed = command(name, local_lake.at.uri, "--json", expect=code)
        assert_tame(printed, 64 << 10, name)
        assert "everything" in json.dumps(json.loads(printed)), printed
    # A table on another disk is a link, and is looked at.
    aside = lake.parent / "another-disk"
    (lake / "user_sessions").rename(aside)
    (lake / "user_sessions").symlink_to(aside)
    printed = command("inspect", local_lake.at.uri, expect=1)
    assert "Table user_sessions" in printed, printed
    assert "Every received line" in command("verify", local_lake.at.uri)


@pytest.mark.parametrize("field", ["last_seq", "first_seq", "lines", "rows", "roll"])
def test_numbers_that_cannot_be_counted_with_are_no_receipt(make_server, local_lake, command, field):
    rows(make_server(local_lake, "--roll-age", "1h").start(), 2)
    (path,) = Path(local_lake.at.uri).glob("_receipts/*/*.json")
    receipt = json.loads(path.read_text())
    receipt[field] = 2**64 - 1
    path.write_text(json.dumps(receipt))
    for more in ([], ["--footers"], ["--rows"]):
        printed = command("verify", local_lake.at.uri, *more, expect=1)
        assert "accounted for" not in printed and "is above" in printed, printed
    # One by its name.
    receipt[field] = 1
    far = path.with_name(f"{2**64 - 1}.json")
    path.rename(far)
    printed = command("verify", local_lake.at.uri, expect=1)
    assert "panicked" not in printed and "accounted for" not in printed, printed


def test_samples_of_the_quarantine_are_shown_whole_and_steer_no_terminal(make_server, local_lake, command):
    server = make_server(local_lake, "--roll-age", "1h").start()
    bad = "{not json \x7f\u202e\u009b2J}"
    assert server.put((bad + "\n").encode()).status == 200
    server.drain()
    printed = command("quarantine", "show", local_lake.at.uri)
    assert_tame(printed, 8 << 10, "quarantine show")
    assert "\x7f" not in printed and json.loads(printed)["raw"] == bad, printed
    assert_tame(command("quarantine", "list", local_lake.at.uri), 8 << 10, "quarantine list")


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture
def reachable():
    """A folder that every user of the machine may enter."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_secrets_that_others_may_write_are_refused_and_those_they_may_read_are_taken_from_them(
    make_server, local_lake, command, reachable
):
    from harness import access

    cert, key = access.certificate(reachable)
    privacy = reachable / "privacy.key"
    privacy.write_text("k" * 48)
    token, digest = access.token()
    credentials = reachable / "credentials.toml"
    credentials.write_text(access.toml([("token", {"name": "t", "token_hash": digest})]))
    flags = ["--privacy-key", privacy, "--credentials", credentials, "--tls-cert", cert, "--tls-key", key]
    for file in (privacy, credentials, Path(key)):
        for each in (privacy, credentials, Path(key)):
            each.chmod(0o600)
        file.chmod(0o666)
        printed = command("serve", "--listen", "127.0.0.1:0", "--lake", local_lake.at.uri, *map(str, flags), expect=None)
        assert str(file) in printed and "every user of this machine may write it" in printed, printed
        assert mode(file) == 0o666
    for file in (privacy, credentials, Path(key)):
        file.chmod(0o644)
    server = make_server(local_lake, "--roll-age", "1h", *flags).start()
    assert [mode(file) & 0o007 for file in (privacy, credentials, Path(key))] == [0, 0, 0]
    assert server.process.output().count("taken from them") == 3, server.process.output()


def test_the_state_directory_is_its_owners_and_no_memory_gets_onto_disk(make_server, local_lake):
    server = make_server(local_lake, "--roll-age", "1h").start()
    assert server.put(body("a")).status == 200
    limits = Path(f"/proc/{server.pid}/limits").read_text()
    (core,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4] == "0", core
    assert mode(server.state) == 0o700
    segments = list(server.state.glob("*.seg"))
    assert segments and all(mode(path) == 0o600 for path in segments)
    server.kill()
    # As an earlier build left it.
    server.state.chmod(0o755)
    for path in segments:
        path.chmod(0o644)
    server.start()
    assert mode(server.state) & 7 == 0 and all(mode(path) & 7 == 0 for path in segments)
    server.drain()
    assert local_lake.session_ids() == ["a"]


def test_an_import_into_a_bucket_follows_no_link_in_the_temporary_directory(stores, folder):
    store = stores(403)
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o777)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (folder / "tmp" / f"sessionlake-{os.geteuid()}").symlink_to(elsewhere)
    (folder / "in.ndjson").write_bytes(body("a"))
    env = clean_environment(TMPDIR=folder / "tmp", **environment(store.host))
    command = [place.binary(), "import", "--lake", "s3://b/p", folder / "in.ndjson"]
    process = Process(command, folder / "import.log", env, cwd=folder)
    assert process.wait(120) == 1, process.tail()
    assert list(elsewhere.iterdir()) == []
    assert_tame(process.output(), 16 << 10, "import")


def test_a_request_for_a_token_is_one_client(make_server, local_lake, folder):
    from harness import access
    from test_access import curl

    credentials = folder / "credentials.toml"
    client = {"id": "exporter", "secret_hash": access.password_hash("s3cret"), "scopes": ["w"]}
    credentials.write_text(access.toml([("client", client)]))
    server = make_server(local_lake, "--roll-age", "1h", "--credentials", credentials).start()
    grant, form = ["-d", "grant_type=client_credentials"], ["-d", "client_id=exporter", "-d", "client_secret=s3cret"]
    header = ["-u", "exporter:s3cret"]
    for expected, arguments in [
        ("200", [*grant, *form]),
        ("200", [*grant, *header]),
        ("200", [*grant, *header, "-d", "client_id=exporter"]),
        ("400", [*grant, *form, "-d", "client_id=exporter"]),
        ("400", [*grant, *grant, *form]),
        ("400", [*grant, *form, "-d", "scope=w", "-d", "scope=w"]),
        ("400", [*grant, *form, *header]),
        ("400", [*grant, *header, "-d", "client_id=other"]),
        ("400", [*grant, "-H", "Authorization: Bearer x", "-H", "Authorization: Bearer y"]),
        ("400", form),
    ]:
        told, text = curl(*arguments, f"{server.origin}/oauth2/token")
        assert told.startswith(expected), (arguments, told, text)
        assert expected == "200" or "invalid_request" in text, (arguments, text)


def test_a_log_that_nobody_reads_stops_no_request_and_is_no_failure(folder):
    """As of a service whose journal was restarted, or that was started with `| head`."""
    port = free_port()
    arguments = ["serve", "--listen", f"127.0.0.1:{port}", "--lake", folder / "lake", "--state", folder / "state"]
    process = subprocess.Popen([place.binary(), *arguments], stderr=subprocess.PIPE, env=clean_environment(), cwd=folder)
    try:
        answers = f"http://127.0.0.1:{port}"
        wait_until(lambda: status(f"{answers}/health/live") == 200, 60, "an answer")
        process.stderr.close()
        # Each is a warning of the log.
        assert [status(f"{answers}/none", b"{}") for _ in range(3)] == [404] * 3
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def status(url, sent=None):
    try:
        return urllib.request.urlopen(url, sent, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return error
