"""What it costs to watch a server: scrapes under full load and the open status page.

    tests/run watching [--rounds 5] [--seconds 20] [--every 1] [--polls 200]

`simulate` is the client, over 8 connections as fast as it goes, on the same machine; rounds without scrapes
and with one each second (`--every`) in turn. CPU seconds are of the server alone, from its start until all has landed, by GB
received: unlike MB/s they hardly depend on what else the machine does. Then, on a server that gets 5 MB/s, CPU
seconds of a scrape and of a poll of the status page, by many of them, one after the other, and those that the
server takes in the same time without them.
"""

import argparse
import http.client
import os
import re
import signal
import statistics
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from common import ROOT, children_cpu_s, scratch

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid):
    """CPU seconds of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Get:
    """GETs on one connection: bytes of the answer, seconds that it took."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __call__(self, path):
        began = time.monotonic()
        self.connection.request("GET", path)
        reply = self.connection.getresponse()
        text = reply.read()
        assert reply.status == 200, (path, reply.status, text[:200])
        return text, time.monotonic() - began


def start(folder, flags=()):
    from harness.server import Server

    folder.mkdir()
    return Server(folder, SimpleNamespace(uri=str(folder / "lake"), env={}), flags).start()


def simulate(server, *words):
    from harness import place
    from harness.process import Process, clean_environment

    # Senders are on other machines: the server goes before.
    words = ["nice", "-n", "10", place.binary(), "simulate", "--seed", "5", "--to", server.url, *words]
    return Process(words, server.folder / "simulate.log", clean_environment())


def sent_mb(client):
    code = client.wait(600)
    found = re.search(r"sessions, ([\d.]+) MB", client.output())
    assert code == 0 and found, client.output()
    return float(found[1])


def round_of(folder, seconds, scraped, every=1):
    """CPU seconds for a GB, MB/s, and the seconds of each scrape and of a question about health after it."""
    server = start(folder)
    ending, took = threading.Event(), []

    def scrape():
        get = Get(server.port)
        while not ending.wait(every):
            took.append((get("/metrics")[1], get("/health/live")[1]))

    thread = threading.Thread(target=scrape, daemon=True)
    if scraped:
        thread.start()
    megabytes = sent_mb(simulate(server, "--connections", "8", "--duration", f"{seconds}s"))
    ending.set()
    if scraped:
        thread.join(60)
    before = children_cpu_s()
    server.drain(signal.SIGTERM)
    return (children_cpu_s() - before) / megabytes * 1000, megabytes / seconds, took


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def figures(values, form):
    middle = statistics.median(values)
    return f"{middle:{form}} ({min(values):{form}} to {max(values):{form}})"


def many(server, polls, one):
    """CPU milliseconds of each of so many calls beyond what the server takes without them, and their milliseconds."""
    began, before = time.monotonic(), cpu_s(server.pid)
    took = [one(number) for number in range(polls)]
    wall, cpu = time.monotonic() - began, cpu_s(server.pid) - before
    before = cpu_s(server.pid)
    time.sleep(max(5, wall))
    without = (cpu_s(server.pid) - before) * wall / max(5, wall)
    return (cpu - without) / polls * 1e3, [seconds * 1e3 for seconds in took]


def main():
    parser = argparse.ArgumentParser(prog="tests/run watching")
    parser.add_argument("--binary", default=ROOT / "target/release/sessionlake")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--every", type=float, default=1, help="seconds between scrapes")
    parser.add_argument("--polls", type=int, default=200)
    options = parser.parse_args()
    os.environ.setdefault("SESSIONLAKE_TEST_BIN", str(options.binary))
    with scratch() as name:
        folder = Path(name)
        costs, rates, took = {False: [], True: []}, {False: [], True: []}, []
        for number in range(options.rounds):
            for scraped in (False, True) if number % 2 == 0 else (True, False):
                cost, rate, scrapes = round_of(folder / f"{number}-{scraped}", options.seconds, scraped, options.every)
                costs[scraped].append(cost)
                rates[scraped].append(rate)
                took += scrapes
        for scraped in (False, True):
            print("with scrapes" if scraped else "without scrapes")
            print(f"  MB/s {figures(rates[scraped], '.0f')}, CPU s/GB {figures(costs[scraped], '.3f')}", flush=True)
        ratios = [with_ / without for with_, without in zip(costs[True], costs[False], strict=True)]
        print(f"CPU with scrapes, by that without, round by round: {figures(ratios, '.3f')}")
        if took:
            for what, values in zip(("scrapes", "/health/live"), zip(*took, strict=True), strict=True):
                ms = [one * 1e3 for one in values]
                middle, high = statistics.median(ms), quantile(ms, 0.99)
                print(f"{len(ms)} {what}: median {middle:.1f} ms, p99 {high:.1f} ms, most {max(ms):.1f} ms")

        from harness.process import wait_until

        server = start(folder / "steady", ["--status-listen", "127.0.0.1:0"])
        shown = re.compile(r"status page  http://127\.0\.0\.1:(\d+)/")
        port = int(wait_until(lambda: shown.search(server.process.output()), 20, "the page").group(1))
        client = simulate(server, "--connections", "2", "--rate", "5MB/s", "--duration", "10min")
        time.sleep(70)
        get = Get(port)
        size = len(get("/metrics")[0])
        each, ms = many(server, options.polls, lambda _: get("/metrics")[1])
        print(f"a scrape: {size} bytes, {each:.2f} ms of CPU, {statistics.median(ms):.1f} ms")
        whole, seconds = get("/status.json")
        print(f"the first poll of the page: {len(whole)} bytes, {seconds * 1e3:.1f} ms")

        def poll(_):
            # As the page asks every two seconds.
            return get(f"/status.json?after={time.time() - 2:.0f}")[1]

        each, ms = many(server, options.polls, poll)
        size = len(get(f"/status.json?after={time.time() - 2:.0f}")[0])
        print(f"a poll: {size} bytes, {each:.2f} ms of CPU, {statistics.median(ms):.1f} ms; each two seconds: {each / 2000:.3%} of a core")
        client.kill()
        server.drain(signal.SIGTERM)
        for flags in ([], ["--status-listen", "127.0.0.1:0"]):
            server = start(folder / f"idle-{len(flags)}", flags)
            time.sleep(2)
            before = cpu_s(server.pid)
            time.sleep(30)
            print(f"idle, {flags or 'without status_listen'}: {(cpu_s(server.pid) - before) / 30:.3%} of a core", flush=True)
            server.drain(signal.SIGTERM)


if __name__ == "__main__":
    main()
