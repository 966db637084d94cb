"""Starts that are refused: what is said, and that nothing is left behind."""

import os
import socket

import pytest
from harness.documents import body
from harness.process import wait_until


def left(folder):
    """Everything below a folder but the logs of the test."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix != ".log"
    )


OWN = '{"type":"record","name":"own","fields":[{"name":"id","type":["null","string"],"default":null}]}'


@pytest.mark.parametrize(
    "flags, code, words",
    [
        (["--lake", "afile"], 1, ["afile"]),
        (["--lake", "afile/lake"], 1, ["afile"]),
        (["--state", "afile"], 1, ["the state directory afile is a file"]),
        (["--state", "afile/state"], 1, ["afile/state"]),
        (["--lake", "/proc"], 1, ["/proc"]),
        (["--lake", "/proc/lake"], 1, ["/proc/lake"]),
        (["--lake", "s3:/bucket/prefix"], 2, ["is no address", "--lake s3://bucket/prefix"]),
        (["--lake", "gs:bucket"], 2, ["is no address"]),
        (["--state", "s3://bucket/x"], 2, ["has to be a directory"]),
        (["--partition", "date={startTime:YYYY-MM-DD}"], 2, ["write `%Y-%m-%d`"]),
        (["--partition", "h={startTime:yyyyMMdd}/x={country}"], 2, ["write `%Y%m%d`"]),
        (["--credentials", "missing.toml"], 2, ["missing.toml"]),
        (["--tls-cert", "afile", "--tls-key", "afile"], 2, ["afile"]),
        (["--privacy-key", "missing.key"], 2, ["privacy_key"]),
        (["--port", "3000"], 2, ["--listen 127.0.0.1:3000"]),
        (["--bucket", "b"], 2, ["--lake s3://bucket/prefix"]),
        (["--config", "endpoints.toml"], 2, ["endpoints.toml:1", "did you mean [[endpoint]]?"]),
        (["--config", "userid.toml"], 2, ["userid.toml:3", "did you mean `userId`?"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_start_that_is_refused_says_why_and_leaves_nothing(command, folder, flags, code, words):
    (folder / "afile").write_text("not a directory\n")
    (folder / "endpoints.toml").write_text('[[endpoints]]\npath = "/a"\n')
    (folder / "userid.toml").write_text('privacy_key = "afile"\n[privacy]\nuserid = "hash"\n')
    before = left(folder)
    printed = command("serve", "--listen", "127.0.0.1:0", *flags, expect=code, timeout_s=30)
    for word in words:
        assert word in printed, printed
    assert left(folder) == before, printed


def test_a_port_in_use_leaves_nothing_and_says_what_to_do(command, folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        printed = command("serve", "--listen", address, expect=1)
        assert f"cannot listen on {address}, where another program listens" in printed
        assert "failed  listen" in command("check", "--listen", address, expect=1)
    assert left(folder) == []
    printed = command("serve", "--listen", "192.0.2.1:3000", "--insecure-listen", expect=1)
    assert "is no address of this machine" in printed and left(folder) == []


def test_a_refused_start_takes_nothing_from_one_that_runs(command, make_server, local_lake, folder):
    """The same directories, while a server uses them: the second start is refused, and all is there."""
    server = make_server(local_lake, "--roll-age", "1h").start()
    assert server.put(body("a")).status == 200
    flags = ["--listen", "127.0.0.1:0", "--lake", local_lake.uri, "--state", str(server.state)]
    printed = command("serve", *flags, expect=1)
    assert str(server.state) in printed
    assert server.put(body("b")).status == 200
    server.kill()
    # With a lake that cannot be written, bodies that wait stay where they are.
    command("serve", "--listen", "127.0.0.1:0", "--lake", "/proc", "--state", str(server.state), expect=1)
    server.start().drain()
    assert sorted(local_lake.session_ids()) == ["a", "b"]


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/usr/bin/setpriv"), reason="root may write all")
def test_a_lake_that_may_not_be_written_is_told_at_the_start():
    import shutil
    import subprocess
    import tempfile
    from pathlib import Path

    from harness import place

    # Another user may not reach the checkout: everything it needs is in a folder that it may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "lake").mkdir()
        (folder / "lake").chmod(0o555)
        (folder / "state").mkdir()
        (folder / "state").chmod(0o777)
        program, as_other = str(place.binary().absolute()), []
        if os.geteuid() == 0:
            program = shutil.copy(program, folder / "sessionlake")
            as_other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = subprocess.run(
            [*as_other, str(program), "serve", "--listen", "127.0.0.1:0", "--lake", "lake", "--state", "state"],
            cwd=folder, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1, done
    assert "cannot be written" in done.stderr and "ermission denied" in done.stderr, done
    assert "listening on" not in done.stdout


def test_a_store_that_is_away_at_the_start_is_told_at_once(make_server, seaweedfs, request):
    """It starts and takes bodies; log and readiness say that nothing can land, and when it can again."""
    from harness.lake import Lake

    lake = Lake(seaweedfs.lake("away-at-start"))
    request.addfinalizer(seaweedfs.resume)
    seaweedfs.pause()
    server = make_server(lake, "--roll-age", "1h", "--store-timeout", "1s").start()
    assert server.put(body("a")).status == 200
    wait_until(lambda: "kept in the journal until the lake can be written" in server.process.output(), 90,
               "it is told at the start")
    reply = server.get("/health/ready")
    assert reply.status == 200 and "lake_at_start" in reply.text, reply
    seaweedfs.resume()
    wait_until(lambda: "lake_at_start" not in server.get("/health/ready").text, 90, "it is over")
    assert "can be written" in server.process.output()
    server.drain()
    assert lake.session_ids() == ["a"]
