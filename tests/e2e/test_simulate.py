"""simulate, sample and verify --ledger: the sender in the box, against receivers that note what it
does, and against serve."""

import base64
import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import time
import urllib.parse

import pytest
from harness import place
from harness.process import Process, clean_environment
from harness.receiver import Authority, Receiver

SOON = ("--pause", "10ms")


@pytest.fixture
def receiver():
    """Makes receivers that are closed with the test."""
    made = []

    def make(answer=None, context=None):
        made.append(Receiver(answer, context))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def simulate(command):
    """Runs simulate with a seed."""

    def run(*arguments, **more):
        return command("simulate", "--seed", "5", *arguments, **more)

    return run


def ledger(path):
    """Acknowledged and uncertain ids."""
    lines = path.read_text().splitlines()
    assert lines[0] == "# sessionlake ledger 1"
    acked = [line for line in lines[1:] if not line.startswith("?")]
    return acked, [line[1:] for line in lines[1:] if line.startswith("?")]


def identity(document):
    session = document.get("userSessionId") or document.get("visitId") or ""
    return f"{document.get('tenantId') or ''}-{session}-{document['startTime']}"


def same(went, came):
    """Equal by the design's rules: null against missing, key order and number spelling aside."""
    if isinstance(went, dict) and isinstance(came, dict):
        went = {key: value for key, value in went.items() if value is not None}
        came = {key: value for key, value in came.items() if value is not None}
        return went.keys() == came.keys() and all(same(went[key], came[key]) for key in went)
    if isinstance(went, list) and isinstance(came, list):
        return len(went) == len(came) and all(map(same, went, came))
    if isinstance(went, bool) or isinstance(came, bool):
        return went is came
    return went == came


RENAMED = {
    "visitId": "userSessionId",
    "visitorId": "internalUserId",
    "visitType": "userType",
    "geolocationContinentName": "continent",
    "geolocationCountryName": "country",
    "geolocationRegionName": "region",
    "geolocationCityName": "city",
    "osFamilyName": "osFamily",
    "osVersionName": "osVersion",
}


# ---- what is generated


def test_a_seed_gives_the_same_file(simulate, folder):
    for name in ("a", "b"):
        simulate("--sessions", "300", "--format", "mixed", "--out", name)
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
    assert len((folder / "a").read_bytes().splitlines()) == 300


def test_standard_output_can_be_cut(folder):
    command = [place.binary(), "simulate", "--seed", "1", "--bytes", "50MB", "--out", "-"]
    shell = f"{' '.join(map(str, command))} | head -n 2 > two; exit ${{PIPESTATUS[0]}}"
    process = Process(["bash", "-c", shell], folder / "pipe.log", clean_environment(), folder)
    assert process.wait(60) == 0, process.tail()
    assert len([json.loads(line) for line in (folder / "two").read_text().splitlines()]) == 2


def test_the_current_format_leaves_nothing_in_extra_and_drift_does(simulate, command, local_lake):
    simulate("--sessions", "1000", "--out", "a.ndjson")
    command("import", "a.ndjson", "--lake", local_lake.at.uri)
    assert local_lake.query('SELECT count(*) FROM {t} WHERE "_extra" IS NOT NULL') == [(0,)]
    simulate("--sessions", "1000", "--drift", "20%", "--days", "2", "--out", "b.ndjson")
    command("import", "b.ndjson", "--lake", local_lake.at.uri)
    ((odd,),) = local_lake.query('SELECT count(*) FROM {t} WHERE "_extra" IS NOT NULL')
    assert 130 < odd < 270
    assert local_lake.quarantine() == []


# ---- how it sends


def test_bulks_are_the_exporters(simulate, receiver):
    one = receiver()
    simulate("--to", one.url, "--sessions", "500", "--connections", "1")
    assert sum(len(request.lines) for request in one.requests) == 500
    for request in one.requests:
        assert (request.method, request.path) == ("PUT", "/export/events")
        assert request.headers["content-type"] == "application/json"
        assert "authorization" not in request.headers
    for request in one.requests[:-1]:
        last = len(request.lines[-1]) + 1
        assert len(request.body) > 896_000 >= len(request.body) - last
    two = receiver()
    simulate("--to", two.url, "--sessions", "2500", "--format", "oldest", "--method", "post")
    assert sorted(len(request.lines) for request in two.requests) == [500, 1000, 1000]
    assert {request.method for request in two.requests} == {"POST"}
    assert set(two.requests[0].documents[0]) == {
        "visitorId", "visitId", "visitType", "startTime", "endTime",
    }  # fmt: skip


def test_a_bulk_goes_when_nothing_finishes(simulate, receiver):
    one = receiver()
    simulate("--to", one.url, "--sessions", "4", "--rate", "2/s", "--flush", "100ms")
    assert [len(request.lines) for request in one.requests] == [1, 1, 1, 1]
    gaps = [b.at - a.at for a, b in zip(one.requests, one.requests[1:], strict=False)]
    assert all(gap > 0.25 for gap in gaps), gaps


def test_the_elasticsearch_form(simulate, receiver):
    one = receiver()
    simulate("--to", one.url, "--sessions", "20", "--elasticsearch", 'my "index"')
    (request,) = one.requests
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/x-ndjson"
    assert len(request.lines) == 40
    for action, document in zip(request.documents[::2], request.documents[1::2], strict=True):
        assert action == {
            "index": {"_index": 'my "index"', "_type": "_doc", "_id": identity(document)}
        }


def test_three_endpoints_get_the_same(simulate, receiver, folder):
    three = [receiver() for _ in range(3)]
    to = [word for one in three for word in ("--to", one.url)]
    simulate(*to, "--sessions", "300", "--ledger", "ledger")
    bodies = [sorted(request.body for request in one.requests) for one in three]
    assert bodies[0] == bodies[1] == bodies[2]
    assert len(ledger(folder / "ledger")[0]) == 300
    for name in ("ledger.2", "ledger.3"):
        assert sorted(ledger(folder / name)[0]) == sorted(ledger(folder / "ledger")[0])
    four = [*to, "--to", three[0].url]
    assert "at most three" in simulate(*four, expect=2)


def test_rates_are_kept(simulate, receiver):
    one = receiver()
    began = time.monotonic()
    simulate("--to", one.url, "--duration", "3s", "--rate", "2MB/s")
    seconds = time.monotonic() - began
    megabytes = sum(len(request.body) for request in one.requests) / 1e6
    assert 4 < megabytes < 8, megabytes
    assert 2.9 < seconds < 10


def test_http_2_in_plain_text(simulate, server, local_lake, folder):
    simulate("--to", server.url, "--sessions", "300", "--http", "2", "--ledger", "ledger")
    server.drain()
    assert local_lake.rows() == 300 == len(ledger(folder / "ledger")[0])


# ---- who it says it is


def test_basic_and_bearer(simulate, receiver):
    one = receiver()
    simulate("--to", one.url, "--sessions", "1", "--user", "exporter:se:cret")
    simulate("--to", one.url, "--sessions", "1", "--bearer", "t0ken")
    simulate("--to", one.url, "--sessions", "1", env={"SIMULATE_BEARER": "other"})
    basic = base64.b64encode(b"exporter:se:cret").decode()
    said = [request.headers["authorization"] for request in one.requests]
    assert said == [f"Basic {basic}", "Bearer t0ken", "Bearer other"]
    assert "colon" in simulate("--to", one.url, "--user", "exporter", expect=2)


def test_oauth_tokens_are_fetched_and_renewed(simulate, receiver):
    tokens = []

    def give(request):
        form = urllib.parse.parse_qs(request.body.decode(), strict_parsing=True)
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert form == {
            "grant_type": ["client_credentials"],
            "client_id": ["me"],
            "client_secret": ["a&b=c"],
            "scope": ["sessions write"],
        }
        tokens.append(f"token-{len(tokens)}")
        answer = {"access_token": tokens[-1], "token_type": "Bearer", "expires_in": 1}
        return 200, json.dumps(answer).encode()

    def take(request):
        return 200 if request.headers["authorization"] == f"Bearer {tokens[-1]}" else 401

    who, one = receiver(give), receiver(take)
    oauth = ["--oauth-url", who.url, "--client-id", "me", "--client-secret", "a&b=c"]
    rate = ["--rate", "4/s", "--flush", "50ms", "--sessions", "12"]
    simulate("--to", one.url, *oauth, "--scope", "sessions write", *rate, *SOON)
    assert sum(len(request.lines) for request in one.requests) == 12
    assert 2 <= len(tokens) <= 6, "one a second, not one a bulk"


def test_a_token_that_is_refused_is_fetched_again(simulate, receiver):
    tokens = []

    def give(_):
        tokens.append(f"token-{len(tokens)}")
        return 200, json.dumps({"access_token": tokens[-1], "expires_in": 300}).encode()

    who = receiver(give)
    one = receiver(lambda r: 200 if r.headers["authorization"] == "Bearer token-1" else 401)
    oauth = ["--oauth-url", who.url, "--client-id", "me", "--client-secret", "s"]
    simulate("--to", one.url, "--sessions", "5", *oauth, *SOON)
    assert tokens == ["token-0", "token-1"]


# ---- what goes wrong, and what it says


def test_a_bulk_is_tried_four_times_and_discarded(simulate, receiver, folder):
    one = receiver(lambda request: 503)
    said = simulate(
        "--to", one.url, "--sessions", "10", "--pause", "100ms", "--ledger", "l", expect=1
    )
    assert len(one.requests) == 4
    assert len({request.body for request in one.requests}) == 1
    assert "10 sessions" in said and "discarded" in said and "busy" in said
    acked, uncertain = ledger(folder / "l")
    assert acked == []
    assert uncertain == [identity(document) for document in one.requests[0].documents]
    waits = [b.at - a.at for a, b in zip(one.requests, one.requests[1:], strict=False)]
    assert waits[0] > 0.09 and waits[1] > 0.19 and waits[2] > 0.39, waits


def test_a_retry_after_trouble_is_acknowledged(simulate, receiver, folder):
    answers = iter([None, 500, 429, 200])
    one = receiver(lambda request: next(answers))
    said = simulate("--to", one.url, "--sessions", "10", "--ledger", "l", *SOON)
    assert "3 retried, 0 discarded" in said
    assert len(ledger(folder / "l")[0]) == 10


@pytest.mark.parametrize("status", [201, 202, 204])
def test_only_200_is_an_acknowledgement(simulate, receiver, status):
    one = receiver(lambda request: status)
    said = simulate("--to", one.url, "--sessions", "10", *SOON, expect=1)
    assert len(one.requests) == 4
    assert f"answered {status}" in said and "nothing but 200" in said


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "--bearer"), (403, "does not let it in"), (404, "ends in /export/events"), (405, "--method"), (302, "redirects")],
)
def test_statuses_come_with_advice(simulate, receiver, status, advice):
    one = receiver(lambda request: (status, b"go away"))
    said = simulate("--to", one.url, "--sessions", "10", *SOON, expect=1)
    assert f"answered {status}; it said: go away" in said and advice in said
    assert "given up" in said


def test_a_receiver_that_hangs(simulate, receiver):
    one = receiver(lambda request: time.sleep(5) or 200)
    flags = ["--timeout", "300ms", "--tries", "2", *SOON]
    said = simulate("--to", one.url, "--sessions", "10", *flags, expect=1)
    assert "no answer within 300ms" in said and "The receiver hangs" in said
    assert len(one.requests) == 2


def test_nobody_there(simulate):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = simulate("--to", f"http://localhost:{port}/x", "--sessions", "10", *SOON, expect=1)
    assert f"nobody listens at localhost, port {port}" in said and "sessionlake serve" in said
    said = simulate("--to", "http://no-such-host.invalid/", "--sessions", "1", *SOON, expect=1)
    assert "there is no host no-such-host.invalid" in said


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://localhost/x", "http://", "nonsense"])
def test_what_is_no_url(simulate, url):
    said = simulate("--to", url, expect=2)
    assert "http://localhost:3000/export/events" in said


def test_certificates(simulate, receiver, folder):
    authority = Authority(folder / "tls")
    good = receiver(context=authority.context("localhost"))
    ca = ["--ca", authority.root]
    simulate("--to", good.url, "--sessions", "5", *ca)
    assert len(good.requests) == 1
    said = simulate("--to", good.url, "--sessions", "5", *SOON, expect=1)
    assert "no TLS with localhost" in said and "--ca FILE" in said
    other = receiver(context=authority.context("elsewhere.example"))
    said = simulate("--to", other.url, "--sessions", "5", *ca, *SOON, expect=1)
    assert "for another name than localhost" in said
    plain = receiver()
    said = simulate("--to", plain.url.replace("http:", "https:"), "--sessions", "5", *SOON, expect=1)
    assert "speaks no TLS" in said
    said = simulate("--to", good.url.replace("https:", "http:"), "--sessions", "5", *SOON, expect=1)
    assert "begin with https://" in said and "given up" in said
    (folder / "empty.pem").write_text("")
    assert "no certificate" in simulate("--to", good.url, "--ca", "empty.pem", expect=1)


def test_test_export(simulate, receiver):
    one = receiver()
    said = simulate("--to", one.url, "--test-export")
    assert f"Test export succeeded: {one.url} answered 200 to 50 sessions." in said
    assert len(one.requests) == 1 and len(one.requests[0].lines) == 50
    two = receiver(lambda request: 204)
    said = simulate("--to", two.url, "--test-export", "--sessions", "3", expect=1)
    assert "Test export failed" in said and "answered 204" in said
    assert len(two.requests) == 1 and len(two.requests[0].lines) == 3, "one try"


def test_a_receiver_without_http_2(simulate, receiver):
    said = simulate("--to", receiver().url, "--sessions", "5", "--http", "2", *SOON, expect=1)
    assert "does the receiver speak HTTP/2?" in said and "given up" in said


# ---- faults on request


def test_a_dropped_connection_is_a_retry_after_a_success(simulate, receiver, folder):
    one = receiver()
    simulate("--to", one.url, "--sessions", "5", "--faults", "drop=100%", "--ledger", "l")
    assert [request.body for request in one.requests] == [one.requests[0].body] * 2
    assert len(ledger(folder / "l")[0]) == 5


def test_repeated_slow_and_broken_bulks(simulate, receiver, folder):
    one = receiver()
    faults = "repeat=100%,broken=100%,slow=100%"
    began = time.monotonic()
    simulate("--to", one.url, "--sessions", "20", "--faults", faults, "--ledger", "l")
    assert time.monotonic() - began > 1.5
    assert len(one.requests) == 2 and one.requests[0].body == one.requests[1].body
    assert len(one.requests[0].lines) == 21
    with pytest.raises(ValueError):
        json.loads(one.requests[0].lines[-1])
    assert len(ledger(folder / "l")[0]) == 20


# ---- the ledger against the lake


def test_faults_leave_no_session_out_and_none_twice(simulate, command, make_server, lake, folder):
    server = make_server(lake, "--roll-age", "2s").start()
    simulate(
        "--to", server.url, "--sessions", "5000", "--faults", "drop=20%,repeat=20%,broken=20%",
        "--ledger", "l", timeout_s=300,
    )  # fmt: skip
    server.drain()
    said = command("verify", "--ledger", "l", lake.at.uri, env=lake.at.env)
    assert "5000 acknowledged sessions, 5000 rows in the lake" in said
    assert lake.rows() == 5000
    assert len(lake.quarantine()) > 0


def test_a_kill_in_the_middle(simulate, command, make_server, local_lake, folder):
    server = make_server(local_lake, "--roll-age", "1s").start()
    arguments = ["simulate", "--seed", "5", "--to", server.url, "--duration", "8s", "--rate", "20MB/s"]
    arguments += ["--ledger", "l", "--faults", "drop=10%", "--pause", "500ms"]
    sender = Process([place.binary(), *arguments], folder / "sender.log", clean_environment(), folder)
    kill_and_start(server, sender, 2, 2)
    assert sender.wait(120) in (0, 1), sender.tail()
    server.drain()
    said = command("verify", "--ledger", "l", local_lake.at.uri)
    assert "0 missing\n0 doubled\n0 unexpected" in said
    acked, _ = ledger(folder / "l")
    assert len(acked) > 1000


def kill_and_start(server, sender, times, every_s):
    """Kills the receiver and starts it again while the sender is at it."""
    for _ in range(times):
        deadline = time.monotonic() + every_s
        while time.monotonic() < deadline and sender.running():
            time.sleep(0.05)
        if sender.running():
            server.kill()
            server.start()


@pytest.mark.perf
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("how", ["plain", "faults", "faults and kills"])
def test_gigabytes_at_full_rate(make_server, local_lake, command, folder, how):
    """SIMULATE_GB (10) gigabytes as fast as it goes: nothing is missing, nothing is doubled."""
    size = os.environ.get("SIMULATE_GB", "10")
    server = make_server(local_lake).start()
    arguments = ["simulate", "--seed", "9", "--bytes", f"{size}GB", "--ledger", "l", "--days", "3"]
    if how != "plain":
        arguments += ["--faults", "drop=2%,slow=1%,broken=2%,repeat=2%"]
    began = time.monotonic()
    sender = Process(
        [place.binary(), *arguments, "--to", server.url],
        folder / "sender.log",
        clean_environment(),
        folder,
    )
    if how == "faults and kills":
        kill_and_start(server, sender, 3, float(size))
    code = sender.wait(7000)
    seconds = time.monotonic() - began
    server.drain(timeout_s=600)
    said = command("verify", "--ledger", "l", local_lake.at.uri, timeout_s=1200)
    print(f"\n{how}: sent in {seconds:.0f} s\n{sender.tail(900)}\n{said}")
    assert "0 missing\n0 doubled\n0 unexpected" in said
    acked, uncertain = ledger(folder / "l")
    assert len(acked) > 50_000 * float(size)
    if how != "faults and kills":
        assert code == 0 and uncertain == []


def test_what_is_missing_doubled_or_unexpected_is_listed(simulate, command, local_lake, folder):
    simulate("--sessions", "30", "--out", "all")
    lines = (folder / "all").read_bytes().splitlines()
    ids = [identity(json.loads(line)) for line in lines]
    # In the lake: all but the first, and the second twice; in the ledger: all but the last.
    (folder / "some").write_bytes(b"\n".join([*lines[1:], lines[1]]) + b"\n")
    (folder / "l").write_text("\n".join(["# sessionlake ledger 1", *ids[:-1]]) + "\n")
    command("import", "some", "--lake", local_lake.at.uri)
    said = command("verify", "--ledger", "l", local_lake.at.uri, expect=1)
    assert f"1 missing\n  {ids[0]}\n" in said
    assert f"1 doubled\n  {ids[1]}\n" in said
    assert f"1 unexpected\n  {ids[-1]}\n" in said
    (folder / "l").write_text("\n".join(ids))
    assert "no ledger" in command("verify", "--ledger", "l", local_lake.at.uri, expect=1)


# ---- and back


@pytest.mark.parametrize("format", ["current", "mixed"])
def test_ten_thousand_documents_come_back(simulate, command, local_lake, folder, format):
    flags = ["--sessions", "10000", "--days", "5", "--format", format, "--drift", "5%"]
    simulate(*flags, "--out", "a.ndjson")
    command("import", "a.ndjson", "--lake", local_lake.at.uri, timeout_s=300)
    went = {}
    for line in (folder / "a.ndjson").read_text().splitlines():
        document = {RENAMED.get(k, k): v for k, v in json.loads(line).items()}
        went[identity(document)] = document
    sampled = command("sample", local_lake.at.uri, "--sessions", "20000", timeout_s=300)
    came = [json.loads(line) for line in sampled.splitlines()]
    assert len(came) == len(went) == 10000
    for document in came:
        assert same(went[identity(document)], document), document
    starts = [document["startTime"] for document in came]
    assert starts == sorted(starts)


def test_a_sample_is_of_the_newest_and_both_forms(simulate, command, lake, folder):
    simulate("--sessions", "2000", "--days", "10", "--out", "a.ndjson")
    command("import", "a.ndjson", "--lake", lake.at.uri, env=lake.at.env, timeout_s=300)
    lines = (folder / "a.ndjson").read_text().splitlines()
    starts = sorted(json.loads(line)["startTime"] for line in lines)
    sampled = command("sample", lake.at.uri, env=lake.at.env).splitlines()
    assert [json.loads(line)["startTime"] for line in sampled] == starts[-50:]
    day = 86_400_000
    sampled = command("sample", lake.at.uri, "--sessions", "5000", "--days", "2", env=lake.at.env)
    inside = [start for start in starts if start >= starts[-1] - 2 * day]
    assert [json.loads(line)["startTime"] for line in sampled.splitlines()] == inside
    sampled = command("sample", lake.at.uri, "--elasticsearch", "x", "--sessions", "3", env=lake.at.env)
    lines = [json.loads(line) for line in sampled.splitlines()]
    assert [line["index"]["_id"] for line in lines[::2]] == [identity(d) for d in lines[1::2]]


def test_a_sample_of_nothing(command, folder):
    (folder / "lake").mkdir()
    assert "no sessions" in command("sample", folder / "lake")
    command("sample", folder / "nowhere", expect=1)


def test_the_tables_in_the_docs_are_those_of_the_generator(command):
    docs = (place.ROOT / "docs" / "simulate.md").read_text()
    told = docs.split("<!-- profile:begin -->\n")[1].split("<!-- profile:end -->")[0]
    made = command("simulate", "--seed", "1", "--sessions", "20000", "--profile")
    assert told == made


# ---- speed, terminals, Ctrl-C


def test_sessions_are_made_at_200_megabytes_a_second_and_more(folder):
    """By the processor's time, so that other work on the machine does not count."""
    command = [place.binary(), "simulate", "--seed", "2", "--bytes", "500MB", "--out", "/dev/null"]
    child = subprocess.Popen([str(word) for word in command], env=clean_environment(), cwd=folder)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    rate = 500 / (used.ru_utime + used.ru_stime)
    print(f"\n{rate:.0f} MB a second of one core")
    assert rate >= 200


def test_a_terminal_shows_progress(receiver, folder):
    one = receiver()
    ours, theirs = pty.openpty()
    command = [place.binary(), "simulate", "--to", one.url, "--sessions", "200", "--rate", "100/s"]
    child = subprocess.Popen(
        [str(word) for word in command], stdout=theirs, stderr=theirs, env=clean_environment(TERM="xterm")
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # The end of a terminal is an error.
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert child.wait(30) == 0
    text = shown.decode()
    assert "100%" in text or "acked" in text
    assert "200 sessions," in text and "2 bulks sent, 2 acked" in text or "acked (200 sessions)" in text
    assert text.count("\r") > 5 or "\x1b[" in text, "a line that changes"


def test_ctrl_c_sends_what_there_is_and_ends(receiver, folder):
    one = receiver()
    arguments = ["simulate", "--to", one.url, "--duration", "1h", "--rate", "50/s", "--ledger", "l"]
    sender = Process([place.binary(), *arguments], folder / "log", clean_environment(), folder)
    time.sleep(1.5)
    sender.signal(signal.SIGINT)
    assert sender.wait(30) == 0, sender.tail()
    acked, uncertain = ledger(folder / "l")
    assert acked == [identity(d) for request in one.requests for d in request.documents]
    assert len(acked) > 20 and uncertain == []
