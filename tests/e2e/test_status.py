"""The listener of operators: the status page, its JSON, metrics and health, apart from senders."""

import base64
import hashlib
import http.client
import json
import re
import subprocess
import time
import urllib.error
import urllib.request

from harness import access, place
from harness.documents import body
from harness.process import wait_until
from test_metrics import parse

SHOWN = re.compile(r"status page  (http://127\.0\.0\.1:\d+)/")


def get(url, method="GET", **headers):
    """Status, headers and text of an answer."""
    request = urllib.request.Request(url, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def status_of(server):
    return wait_until(lambda: SHOWN.search(server.process.output()), 20, "it says where the page is").group(1)


def digest(text, tag):
    content = text.split(f"<{tag}>", 1)[1].split(f"</{tag}>", 1)[0]
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def test_operators_see_state_page_and_metrics_on_a_listener_of_their_own(make_server, local_lake):
    server = make_server(local_lake, "--roll-age", "1s", "--status-listen", "127.0.0.1:0").start()
    origin = status_of(server)
    assert server.put(body("a", "b", "c") + b"no document\n").status == 200
    assert server.put(body("a"), content_type="text/html").status == 415
    local_lake.wait_landed(3, timeout_s=60)

    def report():
        code, headers, text = get(f"{origin}/status.json")
        assert code == 200 and headers["content-type"] == "application/json", (code, text)
        return json.loads(text)

    told = wait_until(lambda: (r := report())["tables"] and r["tables"][0]["rows"] and r["rejects"] and r["history"]["seconds"] and r, 20, "figures", 0.3)
    assert told["version"] == 1 and told["state"]["ready"] is True and told["trouble"] == []
    assert told["tables"][0]["table"] == "user_sessions" and told["tables"][0]["rows"] == 3
    assert sum(one["lines"] for one in told["rejects"]) == 1
    assert {"endpoint": "default", "reason": "media_type", "requests": 1} in told["refused"]
    assert told["rolls"][0]["rows"] == 3
    assert [station["name"] for station in told["stations"]] == ["receive", "journal", "roll", "lake", "table"]
    settings = {one["key"]: one for one in told["settings"]}
    assert settings["roll_age"] == {"key": "roll_age", "value": "1s", "origin": "flag"}
    assert settings["memory"]["origin"] == "default"
    wait_until(lambda: "has landed" in report()["state"]["sentence"], 20, "the sentence", 0.3)
    last = told["history"]["seconds"][-1][0]
    assert all(point[0] > last for point in json.loads(get(f"{origin}/status.json?after={last}")[2])["history"]["seconds"])

    code, headers, page = get(f"{origin}/")
    policy = headers["content-security-policy"]
    assert code == 200 and headers["content-type"].startswith("text/html") and len(page) < 100_000
    assert policy.startswith("default-src 'none'"), policy
    assert digest(page, "script") in policy and digest(page, "style") in policy

    assert "sessionlake_http_requests_total" in parse(get(f"{origin}/metrics")[2])[0]
    assert get(f"{origin}/health/live")[0] == get(f"{origin}/health/ready")[0] == 200
    # Nothing of senders is here, and no page of another site reads it.
    assert get(f"{origin}/export/events")[0] == 404
    assert get(f"{origin}/status.json", method="PUT")[0] == 405
    assert get(f"{origin}/status.json", Sec_Fetch_Site="cross-site")[0] == 403
    assert get(f"{origin}/status.json", Host="evil.example")[0] == 403
    own = {"Sec_Fetch_Site": "same-origin"}
    assert get(f"{origin}/status.json", **own)[0] == 200
    # And the status is nothing for those who come to the senders' listener.
    assert server.get("/status.json").status == 404


def test_operators_have_credentials_of_their_own(make_server, local_lake, folder):
    (sender, sender_hash), (operator, operator_hash) = access.token(), access.token()
    senders, operators = folder / "senders.toml", folder / "operators.toml"
    senders.write_text(access.toml([("token", {"name": "sender", "token_hash": sender_hash})]))
    operators.write_text(access.toml([("token", {"name": "operator", "token_hash": operator_hash})]))
    server = make_server(
        local_lake, "--credentials", senders, "--status-listen", "127.0.0.1:0", "--status-credentials", operators
    ).start()
    origin = status_of(server)
    for path in ("/", "/status.json", "/metrics"):
        assert get(origin + path)[0] == 401
        assert get(origin + path, Authorization=f"Bearer {sender}")[0] == 401
        assert get(origin + path, Authorization=f"Bearer {operator}")[0] == 200
    assert json.loads(get(f"{origin}/health/ready")[2]) == {"status": "ready"}
    assert server.put(body("a"), authorization=f"Bearer {operator}").status == 401
    text = get(f"{origin}/status.json", Authorization=f"Bearer {operator}")[2]
    assert operator not in text and sender not in text


def test_an_open_or_taken_address_is_refused(make_server, local_lake):
    server = make_server(local_lake, "--status-listen", "127.0.0.1:0").start()
    taken = status_of(server).rsplit("/", 1)[1]
    for address, word in [("0.0.0.0:3001", "neither encryption nor authentication"), (taken, "--status-listen")]:
        done = subprocess.run(
            [place.binary(), "serve", "--listen", "127.0.0.1:0", "--status-listen", address, "--lake", "lake", "--state", "state"],
            capture_output=True, timeout=60, check=False, cwd=server.folder,
        )
        assert done.returncode != 0 and word in done.stderr.decode(), done.stderr.decode()


def events(origin, query="", **headers):
    """A stream of events that is open: the connection, and what was read of it."""
    host, port = origin.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", f"/events{query}", headers={k.replace("_", "-"): v for k, v in headers.items()})
    return connection, connection.getresponse()


def event(reply):
    """The next event: its name, its id and its data."""
    found = {}
    while (line := reply.readline().decode().rstrip("\n")) or "data" not in found:
        name, _, value = line.partition(":")
        found[name] = value
    return found["event"], int(found["id"]), json.loads(found["data"])


def test_events_tell_of_state_and_rejects_and_hold_up_no_stop(make_server, local_lake):
    server = make_server(local_lake, "--roll-age", "1h", "--status-listen", "127.0.0.1:0").start()
    origin = status_of(server)
    connection, reply = events(origin)
    assert reply.status == 200 and reply.headers["content-type"] == "text/event-stream", reply.headers
    name, last, state = event(reply)
    assert (name, last) == ("state", 0) and "settings" not in state
    assert event(reply)[2]["state"]["ready"] is True
    assert server.put(body("a") + b'{"userSessionId":"geheim","startTime" 17}\n').status == 200
    for _ in range(30):
        name, last, told = event(reply)
        if name == "rejects":
            break
    [reject] = told["rejects"]
    assert (last, reject["reason"], reject["table"], reject["line"]) == (1, "not_json", "user_sessions", 2)
    assert reject["masked"] == '{"userSessionId":"…","…" »0}' and "geheim" not in json.dumps(told)
    # Who comes again says what it knows.
    for query, headers in [("?after=0", {}), ("", {"Last_Event_ID": "0"})]:
        again, answer = events(origin, query, **headers)
        assert [event(answer)[0], event(answer)[0]] == ["state", "rejects"]
        again.close()
    held = []
    while len(held) < 20 and (not held or held[-1][1].status == 200):
        held.append(events(origin))
    assert held[-1][1].status == 503 and len(held) >= 13, len(held)
    assert get(f"{origin}/status.json")[0] == 200
    assert get(f"{origin}/events", method="HEAD")[0] == 404
    began = time.monotonic()
    server.drain()
    assert time.monotonic() - began < 10
    assert server.process.output().count("panicked") == 0
    connection.close()


def test_state_and_rejects_in_the_terminal(make_server, local_lake, folder, command):
    token, hashed = access.token()
    operators = folder / "operators.toml"
    operators.write_text(access.toml([("token", {"name": "operator", "token_hash": hashed})]))
    flags = ["--roll-age", "1h", "--status-listen", "127.0.0.1:0", "--status-credentials", operators]
    server = make_server(local_lake, *flags).start()
    origin, env = status_of(server), {"SESSIONLAKE_OPERATOR_TOKEN": token}
    assert server.put(body("a") + b'{"userSessionId":"geheim","startTime" 17}\n').status == 200
    line = command("top", origin, "--count", "3", env=env).splitlines()
    assert len(line) == 3 and all(" ready " in one and "trouble=none" in one for one in line[1:]), line
    state = json.loads(command("top", origin, "--count", "1", "--json", env=env))
    assert state["state"]["ready"] is True and state["settings"]
    said = command("tap", origin, "--last", "5", "--limit", "1", env=env)
    assert 'not_json body 1 line 2: expected' in said and '{"userSessionId":"…","…" »0}' in said
    told = json.loads(command("tap", origin, "--last", "1", "--limit", "1", "--json", env=env))
    assert told["reason"] == "not_json" and "geheim" not in json.dumps(told)
    assert "credentials of an operator" in command("top", origin, "--count", "1", expect=1)
    assert "--count" in command("top", origin, "--count", "0", env=env, expect=2)
    assert "no answer from http://127.0.0.1:1/" in command("tap", "127.0.0.1:1", expect=1)
    assert "without TLS" in command("top", "http://lake.example:3001", env=env, expect=2)
