"""The alert rules of examples/prometheus: a real Prometheus scrapes real programs, in each of which one condition is
brought about. Its alert fires there, and no other. Lengths of time in the rules are sixty times shorter."""

import contextlib
import http.client
import math
import os
import re
import resource
import secrets
import shutil
import signal
import socket
import threading
import time

import pytest
from conftest import need
from harness import dashboard, prometheus, stores
from harness.documents import body, document
from harness.lake import Lake
from harness.process import Process, wait_until
from harness.prometheus import ALERT, FACTOR, RULES, Prometheus, promtool
from harness.receiver import Authority
from harness.server import Server
from harness.slow_disk import forget, slow_reads

# Alerts whose condition takes a defect of the program, or a million bodies in ten minutes. promtool shows them firing.
NOT_BROUGHT_ABOUT = {"SessionlakeBodySetAside", "SessionlakeRetriesForgotten"}
SHOWN = re.compile(r"status page  http://127\.0\.0\.1:(\d+)/")
FAR_MS = 4_000_000_000_000


class Scene:
    """Servers by name, each with the alerts that are to fire there, and what is done to them once they are watched."""

    def __init__(self, folder):
        self.folder = folder
        self.servers, self.expected, self.acts = {}, {}, []
        self.ending, self.sockets = threading.Event(), []

    def server(self, name, *flags, expect=(), act=None, lake=None, start=True):
        lake = lake or Lake(stores.LocalStore(self.folder).lake(f"lake-{name}"))
        server = Server(self.folder / name, lake.at, flags)
        self.servers[name], self.expected[name] = server, {f"Sessionlake{alert}" for alert in expect}
        if start:
            server.start()
        if act:
            self.acts.append(threading.Thread(target=act, args=(server,), daemon=True))
        return server

    def targets(self):
        """Where to scrape: the listener of operators, if there is one, which a crowd of senders leaves alone."""
        found = []
        for name, server in self.servers.items():
            shown = SHOWN.search(server.process.output())
            found.append((name, server.scheme, int(shown[1]) if shown else server.port))
        return found

    def act(self):
        for thread in self.acts:
            thread.start()

    def each(self, seconds):
        """A number each so many seconds, until the end."""
        number = 0
        while not self.ending.is_set():
            yield number
            number += 1
            self.ending.wait(seconds)

    def end(self):
        self.ending.set()
        for thread in self.acts:
            thread.join(30) if thread.ident else None
        for one in self.sockets:
            one.close()
        for server in self.servers.values():
            server.kill()


def sends(scene, make_body, seconds=0.3, expect=200, **more):
    """An act: sends bodies, one after the other."""

    def act(server):
        for number in scene.each(seconds):
            with contextlib.suppress(OSError):
                status = server.put(make_body(number), **more).status
                assert status in (expect, 503), status

    return act


def half_a_head(scene, server, length):
    one = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    if scene is not None:
        scene.sockets.append(one)
    one.sendall(b"PUT %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                % (server.path.encode(), length))  # fmt: skip
    return one


def build(scene, store, slowly):
    """All scenes. What is sent begins once they are watched: Prometheus sees growth from its first scrape on."""
    quick = ("--roll-age", "1s")
    good = sends(scene, lambda n: body(f"s{n}", f"t{n}"))
    scene.server("idle", *quick)

    def restarted(server):
        thread = threading.Thread(target=good, args=(server,), daemon=True)
        thread.start()
        time.sleep(4)
        server.kill()
        server.start()
        time.sleep(8)
        server.drain()
        server.start()
        thread.join()

    scene.server("healthy", *quick, act=restarted)
    scene.server("down", expect=["Down"], act=lambda server: server.kill())

    def loops(server):
        for _ in range(4):
            time.sleep(2)
            server.kill()
            server.start()

    scene.server("restarts", *quick, expect=["Restarts"], act=loops)
    scene.server("stop", "--drain-delay", "10min", expect=["StopSlow"], act=lambda server: server.process.signal(signal.SIGTERM))
    config = scene.folder / "reload.toml"
    config.write_text('roll_age = "1h"\n')

    def reload(server):
        config.write_text("roll_age = nonsense\n")
        server.process.signal(signal.SIGHUP)

    scene.server("reload", "--config", config, expect=["ReloadFailed"], act=reload)

    def crowded(server):
        """Bodies that come byte by byte hold all connections, and others wait for one for 5 s."""
        slow = [half_a_head(scene, server, 100_000) for _ in range(16)]

        def one(name):
            with contextlib.suppress(OSError, http.client.HTTPException):
                server.put(body(name))

        for number in scene.each(0.5):
            threading.Thread(target=one, args=(f"s{number}",), daemon=True).start()
            for connection in slow:
                connection.sendall(b"x")

    crowd = (*quick, "--max-connections", "16", "--body-timeout", "10min", "--status-listen", "127.0.0.1:0")
    scene.server("crowd", *crowd, expect=["RefusesBodies"], act=crowded)

    def slow_sender(server):
        def one(name):
            data = document(name)
            connection = half_a_head(None, server, len(data))
            with connection:
                for byte in (data[:1], data[1:2], data[2:3], data[3:4], data[4:]):
                    scene.ending.wait(2.5)
                    connection.sendall(byte)
                connection.recv(1000)

        for number in scene.each(0.5):
            threading.Thread(target=one, args=(f"s{number}",), daemon=True).start()

    scene.server("slow", *quick, expect=["AckSlow"], act=slow_sender)
    wrong = sends(scene, lambda n: body(f"s{n}"), expect=415, content_type="text/html")
    scene.server("wrong", expect=["SendersRefused"], act=wrong)
    authority = Authority(scene.folder / "certificates")
    for days, alert in ((5, "CertificateExpiresSoon"), (1, "CertificateExpires")):
        authority.context(f"days{days}", days)
        certificate = (authority.folder / f"days{days}.pem", authority.folder / f"days{days}.key")
        scene.server(f"days{days}", "--tls-cert", certificate[0], "--tls-key", certificate[1], expect=[alert])

    def few_files(server):
        most = len(os.listdir(f"/proc/{server.pid}/fd")) + 3
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))

    scene.server("files", expect=["FilesShort"], act=few_files)
    reserve = int(shutil.disk_usage(scene.folder).free / 1.25)
    scene.server("disk", "--disk-reserve", str(reserve), expect=["JournalDiskLow"])
    small = ("--inflated-limit", "1MiB", "--body-limit", "1MiB", "--journal-segment", "1MiB", "--journal-compression=false")
    big = lambda n: document(f"s{n}", padding=secrets.token_hex(200_000)) + b"\n"

    def fill(share):
        def act(server):
            for number in scene.each(0.2):
                if server.metrics()["sessionlake_journal_size_bytes"] < share * server.quota:
                    server.put(big(number))

        return act

    # A store that is stopped where it stands, so that requests to it hang.
    if store is not None:
        for name, megabytes, share, alert in (("fills", 48, 0.9, "JournalFullSoon"), ("full", 4, 2, "JournalClosed")):
            lake = Lake(store.lake(f"alerts-{name}"))
            flags = (*quick, *small, "--journal-quota", f"{megabytes}MiB")
            scene.server(name, *flags, expect=[alert], act=fill(share), lake=lake).quota = megabytes << 20
        lake = Lake(store.lake("alerts-overdue"))
        flags = (*quick, "--overdue-after", "2s")
        scene.server("overdue", *flags, expect=["Overdue"], act=lambda server: server.put(body("a")), lake=lake)

    def replaced(path):
        with contextlib.suppress(OSError):
            path.rename(path.with_name(f"aside-{time.monotonic_ns()}"))
            path.write_text("not a directory")
            return True
        return False

    def in_the_way(path):
        def act(server):
            server.put(body("first"))
            wait_until(path(server).is_dir, 20, f"{path(server)} is there")
            wait_until(lambda: replaced(path(server)), 10, "a file is in the way", 0)
            sends(scene, lambda n: body(f"s{n}"))(server)

        return act

    lake_of = lambda server: scene.folder / f"lake-{server.folder.name}"
    scene.server("lake", *quick, expect=["LakeDown"], act=in_the_way(lake_of))
    scene.server("landing", *quick, expect=["LandingFailed"], act=in_the_way(lambda server: server.state / ".sessionlake-staging"))
    log = lambda server: lake_of(server) / "user_sessions/_delta_log"
    scene.server("tables", *quick, "--table-format", "delta", expect=["TablesBehind"], act=in_the_way(log))
    verified = (*quick, "--verify-every", "1s")

    def deleted(server):
        server.put(body("first"))
        lake = Lake(server.lake)
        (file,) = wait_until(lambda: lake.data_files(), 20, "a file")
        (lake_of(server) / file).unlink()

    scene.server("damaged", *verified, expect=["LakeDamaged"], act=deleted)

    def another(server):
        """As if another lake were mounted, while nothing lands."""
        wait_until(lambda: server.metrics()['sessionlake_verify_runs_total{verdict="ok"}'] > 0, 30, "a verification")
        (lake_of(server) / "_lake.json").write_text('{"version":1,"id":"ff"}')

    scene.server("another", *verified, expect=["LakeNotVerified"], act=another)
    late = scene.server("late", "--verify-every", "30days", expect=["VerifyOutdated"])
    late.drain()
    before = (time.time() - 5 * 3600) * 1e6
    (late.state / "last-verify").write_text(f"{before:.0f} {before:.0f}")
    late.start()
    half = lambda n: body(*(f"s{n}-{i}" for i in range(5))) + b"no document\n" * 5
    scene.server("rejects", *quick, expect=["Rejects"], act=sends(scene, half))
    scene.server("empty", *quick, expect=["RowsEmpty"], act=sends(scene, lambda n: b'{"another":%d}\n' % n))
    far = lambda n: b"".join(document(f"s{n}-{i}", FAR_MS + 86_400_000 * (50 * n + i)) + b"\n" for i in range(50))
    scene.server("overflow", *quick, expect=["Overflow"], act=sends(scene, far))
    many = lambda n: b"".join(document(f"s{n}-{i}", tenantId="t") + b"\n" for i in range(400))
    dedup = (*quick, "--dedup", "1h", "--dedup-max-rows", "1000")
    scene.server("dedup", *dedup, expect=["DoublesLand"], act=sends(scene, many))
    if slowly is not None:
        flags = ("--roll-age", "1h", "--journal-compression=false", "--journal-segment", "2MiB")
        server = scene.server("start", *flags, expect=["StartSlow"])
        for number in range(20):
            assert server.put(document(f"s{number}", city="x" * 600_000)).status == 200
        server.kill()
        forget(server.state.rglob("*.seg"))
        server.process = Process(slowly(server.command()), scene.folder / "start.log", server.environment())


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """The Prometheus and the scenes, once every alert has fired that is to, and a little after."""
    need("prometheus")
    folder = tmp_path_factory.mktemp("alerts")
    rules = prometheus.hastened(RULES.read_text(), FACTOR)
    with contextlib.ExitStack() as stack:
        watcher, scene = Prometheus(folder / "prometheus", rules), Scene(folder)
        stack.callback(watcher.close)
        store = stores.start_seaweedfs(folder / "weed")
        stack.callback(store.close)
        stack.callback(scene.end)
        slowly = stack.enter_context(slow_reads(folder, 400_000))
        build(scene, store, slowly)
        # Nothing is scraped yet.
        wait_until(lambda: watcher.fired() == {None: {"SessionlakeAbsent"}}, 30, "the alert of no target", 0.3)
        watcher.target(scene.targets())
        wait_until(lambda: len(watcher.query("up == 1")) == len(scene.servers), 20, "all are scraped", 0.2)
        store.pause()
        stack.callback(store.resume)
        scene.act()
        missing, began = scene.expected, time.monotonic()
        deadline = began + 90
        while missing and time.monotonic() < deadline:
            time.sleep(0.5)
            fired, before = watcher.fired(), missing
            missing = {name: alerts - fired.get(name, set()) for name, alerts in scene.expected.items()}
            missing = {name: alerts for name, alerts in missing.items() if alerts}
            for name in before.keys() - missing.keys():
                print(f"{time.monotonic() - began:.1f} s: {name} has fired")
        time.sleep(3)
        yield watcher, scene


@pytest.mark.alone
def test_each_alert_fires_by_its_condition_and_no_other_with_it(watched):
    watcher, scene = watched
    fired = watcher.fired()
    assert fired.pop(None) == {"SessionlakeAbsent"}
    # A machine that is so busy that scrapes are given up has targets that are down for Prometheus.
    for labels, _ in watcher.query("max_over_time(scrape_duration_seconds[5m]) >= 1"):
        print(f"scrapes of {labels['instance']} took longer than they may")
        fired.get(labels["instance"], set()).difference_update({"SessionlakeDown"} - scene.expected[labels["instance"]])
    fired = {name: alerts for name, alerts in fired.items() if alerts}
    for name, server in scene.servers.items():
        if fired.get(name, set()) != scene.expected[name]:
            print(name, fired.get(name), server.process.tail(1000))
    assert fired == {name: alerts for name, alerts in scene.expected.items() if alerts}
    all_alerts, shown = set(ALERT.findall(RULES.read_text())), set().union(*scene.expected.values(), {"SessionlakeAbsent"})
    left_out = {"SessionlakeStartSlow"} - shown
    assert all_alerts - shown == NOT_BROUGHT_ABOUT | left_out
    # What people read is whole.
    for alert in watcher.api("alerts")["alerts"]:
        texts = alert["annotations"]
        assert set(texts) == {"summary", "description", "runbook_url"}
        assert not any("error" in text and "template" in text or "no value" in text for text in texts.values()), texts
        assert alert["labels"]["severity"] in ("critical", "warning")


@pytest.mark.alone
def test_every_query_of_the_dashboard_has_an_answer(watched):
    """Each is parsed, and has figures: of all that it shows there was some."""
    watcher, _ = watched
    board, now, without = dashboard.load(), time.time(), []
    for title, query in dashboard.queries(board):
        text = dashboard.filled(query)
        data = watcher.api("query_range", query=text, start=now - 60, end=now, step=10)
        values = [float(value) for series in data["result"] for _, value in series["values"]]
        if not any(math.isfinite(value) for value in values):
            without.append((title, text))
    for name, series, label in dashboard.variables(board):
        if not watcher.query(f"count by ({label}) ({dashboard.filled(series)})"):
            without.append((name, series))
    assert not without


@pytest.mark.alone
def test_a_night_without_traffic_fires_nothing(watched, folder):
    """All series of a real receiver that has had traffic, and wrong lines, for 12 hours as they are."""
    _, scene = watched
    values = scene.servers["rejects"].metrics()
    assert sum(value for name, value in values.items() if name.startswith("sessionlake_rejects_total")) > 0
    lines = ["rule_files: [rules.yml]", "evaluation_interval: 2m", "tests:", "  - interval: 2m", "    input_series:"]
    lines.append("      - {series: 'up{job=\"sessionlake\",instance=\"a\"}', values: '1x360'}")
    for name, value in values.items():
        name, _, labels = name.rstrip("}").partition("{")
        series = f'{name}{{job="sessionlake",instance="a"{"," if labels else ""}{labels}}}'
        lines.append(f"      - {{series: '{series}', values: '{value:.6f}x360'}}")
    lines.append("    promql_expr_test:")
    for at in ("20m", "2h", "12h"):
        query = 'count by (alertname) (ALERTS{alertstate="firing"})'
        lines.append(f"      - {{expr: '{query}', eval_time: {at}, exp_samples: []}}")
    shutil.copy(RULES, folder / "rules.yml")
    (folder / "test.yml").write_text("\n".join(lines))
    code, said = promtool("test", "rules", folder / "test.yml")
    assert code == 0, said
