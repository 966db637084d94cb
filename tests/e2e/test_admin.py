"""Administration: what operators have a running server do."""

import json
import subprocess
import threading
import time
from pathlib import Path

from harness import access, place
from harness.documents import body
from harness.process import wait_until
from test_status import get, status_of


def operators(folder):
    """A file with an operator, and the header that he sends."""
    token, digest = access.token()
    path = folder / "operators.toml"
    path.write_text(access.toml([("token", {"name": "ada", "token_hash": digest})]))
    return path, token


def post(url, token, **headers):
    code, _, text = get(url, method="POST", authorization=f"Bearer {token}", **headers)
    return code, json.loads(text)


def test_operators_roll_reload_and_drain_and_nobody_else_does(make_server, local_lake, folder):
    path, token = operators(folder)
    config = folder / "reload.toml"
    config.write_text('log = "info"\n')
    flags = ["--roll-age", "1h", "--status-listen", "127.0.0.1:0", "--status-credentials", path, "--config", config]
    server = make_server(local_lake, *map(str, flags)).start()
    origin = status_of(server)
    roll, reload, drain = (f"{origin}/admin/{action}" for action in ("roll", "reload", "drain"))

    # Nobody else: without credentials, with others', by another method, from a page.
    assert get(roll, method="POST")[0] == 401
    assert get(roll, method="POST", authorization="Bearer other")[0] == 401
    code, headers, _ = get(roll, authorization=f"Bearer {token}")
    assert code == 405 and headers["allow"] == "POST"
    for site in ("cross-site", "same-origin"):
        assert post(drain, token, sec_fetch_site=site)[0] == 403
    assert post(drain, token, origin="http://evil.test")[0] == 403
    assert post(f"{origin}/admin/restart", token)[0] == 404
    assert post(f"{roll}?wait=1h", token)[0] == 400

    # A roll lands what is open, which would wait for an hour.
    assert post(roll, token) == (200, {"status": "landed", "rolls": [], "bodies_waiting": 0})
    assert server.put(body("a", "b") + b"no document\n").status == 200
    code, said = post(roll, token)
    assert code == 200 and said["status"] == "landed" and said["bodies_waiting"] == 0, said
    [one] = said["rolls"]
    assert (one["rows"], one["rejects"]) == (2, 1)
    assert sorted(local_lake.session_ids()) == ["a", "b"]
    # Two at once share one.
    assert server.put(body("c")).status == 200
    answers = []
    askers = [threading.Thread(target=lambda: answers.append(post(roll, token))) for _ in range(2)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert answers[0] == answers[1] and [one["rows"] for one in answers[0][1]["rolls"]] == [1], answers

    # A reload says what has changed, what needs a restart, and every problem.
    config.write_text('log = "info,sessionlake::http=debug"\nroll_age = "2h"\nroll_bytes = "9MiB"\n')
    code, said = post(reload, token)
    assert code == 200 and said["reloaded"] == ['log = "info,sessionlake::http=debug"'], said
    assert said["needs_restart"] == ["roll_bytes"], said
    config.write_text('roll_bytes = "x"\nretry_window = "y"\nlogg = "z"\n')
    code, said = post(reload, token)
    assert code == 422 and len(said["problems"]) == 3, said
    config.write_text("")

    # The command line does the same.
    def admin(*arguments):
        command = [place.binary(), "admin", *arguments, origin]
        done = subprocess.run(command, capture_output=True, timeout=60, env={"SESSIONLAKE_OPERATOR_TOKEN": token})
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    assert server.put(body("d")).status == 200
    code, said, _ = admin("roll")
    assert code == 0 and said.startswith("landed\nroll ") and ": 1 rows" in said, said
    code, said, _ = admin("reload")
    assert code == 0 and "reloaded log" in said, said

    assert server.put(body("e")).status == 200
    code, said = post(drain, token)
    assert (code, said["status"]) == (202, "draining")
    assert server.process.wait(60) == 0
    log = server.process.output()
    for action in ("roll", "reload", "drain"):
        assert f"an operator asks: {action}" in log and "operator=ada" in log, log
    assert sorted(local_lake.session_ids()) == ["a", "b", "c", "d", "e"]


def test_without_operators_there_is_no_administration(make_server, local_lake):
    server = make_server(local_lake, "--status-listen", "127.0.0.1:0").start()
    origin = status_of(server)
    for action in ("roll", "reload", "drain"):
        code, _, text = get(f"{origin}/admin/{action}", method="POST")
        assert code == 403 and "status_credentials" in text, (code, text)
    assert server.put(body("a")).status == 200


def test_a_roll_that_waits_for_the_lake_is_answered_in_time(make_server, local_lake, folder):
    path, token = operators(folder)
    flags = ["--roll-age", "1h", "--status-listen", "127.0.0.1:0", "--status-credentials", path]
    server = make_server(local_lake, *map(str, flags)).start()
    origin = status_of(server)
    assert server.put(body("a")).status == 200
    away = Path(local_lake.at.base).with_name("away")
    Path(local_lake.at.base).rename(away)
    began = time.monotonic()
    code, said = post(f"{origin}/admin/roll?wait=1", token)
    assert (code, said["status"], said["rolls"], said["bodies_waiting"]) == (202, "landing", [], 1), said
    assert 0.9 < time.monotonic() - began < 5
    away.rename(local_lake.at.base)
    wait_until(lambda: local_lake.session_ids() == ["a"], 30, "it lands")


def test_a_roll_is_landed_once_readers_of_a_delta_table_see_it(make_server, local_lake, folder):
    path, token = operators(folder)
    flags = ["--roll-age", "1h", "--table-format", "delta", "--status-listen", "127.0.0.1:0", "--status-credentials", path]
    server = make_server(local_lake, *map(str, flags)).start()
    roll = f"{status_of(server)}/admin/roll"

    def commits():
        log = Path(local_lake.at.base).glob("*/_delta_log/*.json")
        return [commit for commit in log if '"add"' in commit.read_text()]

    assert server.put(body("a")).status == 200
    code, said = post(roll, token)
    assert (code, said["status"], len(commits())) == (200, "landed", 1), (said, commits())
    # The log is away: the roll is in the lake, and no reader sees it.
    [log] = Path(local_lake.at.base).glob("*/_delta_log")
    away = Path(local_lake.at.base).with_name("log")
    log.rename(away)
    log.write_text("")
    assert server.put(body("b")).status == 200
    code, said = post(f"{roll}?wait=2", token)
    assert (code, said["status"], said["bodies_waiting"]) == (202, "landing", 0), said
    assert said["rolls_waiting_for_tables"] == 1 and len(said["rolls"]) == 1, said
    log.unlink()
    away.rename(log)
    code, said = post(roll, token)
    assert (code, len(commits())) == (200, 2) and "rolls_waiting_for_tables" not in said, said
