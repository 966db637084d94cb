"""How cost grows: with the size of a document, the shape of sessions, open partitions, unknown fields, the length of a run
and connections.

    tests/run growth [--megabytes 100] [--runs 3] [--svg docs/growth.svg]

Prints a table for each and draws them. Import is measured in MB of JSON a CPU second, serve in MB
a second of acknowledged bulks and CPU seconds a GB.
"""

import argparse
import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import shapes
from common import ROOT, children_cpu_s, measure, median, scratch

DAY_MS = 86_400_000
FIRST_MS = 1_700_006_400_000


def document(rng, number, size, days=1, unknown=0.0):
    """A session of about `size` bytes; of its actions' fields, the part `unknown` has no column."""
    start = FIRST_MS + rng.randrange(days) * DAY_MS + rng.randrange(DAY_MS)
    session = {
        "tenantId": "growth",
        "userSessionId": f"growth-{number:08}",
        "startTime": start,
        "endTime": start + rng.randrange(600_000),
        "duration": rng.randrange(600_000),
        "browserFamily": rng.choice(["Chrome", "Firefox", "Safari"]),
        "country": rng.choice(["Poland", "Japan", "Austria"]),
        "userActions": [],
    }
    names = ["networkTime", "serverTime", "frontendTime", "responseStart", "responseEnd", "requestStart"]
    names += ["cdnBusyTime", "firstPartyBusyTime", "thirdPartyBusyTime", "visuallyCompleteTime"]
    new = round(len(names) * unknown)
    names = [f"new{name}" if at < new else name for at, name in enumerate(names)]
    used = len(json.dumps(session, separators=(",", ":")))
    while used < size:
        action = {"name": f"click on page {rng.randrange(100)}", "type": "Xhr", "startTime": start}
        action |= {name: rng.randrange(5000) for name in names}
        used += len(json.dumps(action, separators=(",", ":"))) + 1
        session["userActions"].append(action)
    return json.dumps(session, separators=(",", ":")).encode() + b"\n"


def write(path, megabytes, **more):
    rng = random.Random(1)
    # Drawn from a pool: making documents must not take longer than what is measured.
    left, number = megabytes * 1_000_000, 0
    days = more.pop("days", 1)
    pool = [document(rng, 0, **more) for _ in range(min(3000, left // more["size"] + 1))]
    with open(path, "wb") as out:
        while left > 0:
            start = FIRST_MS + (number % days) * DAY_MS + rng.randrange(DAY_MS)
            line = pool[number % len(pool)].replace(b"growth-00000000", b"growth-%08d" % number, 1)
            at = line.index(b'"startTime":') + 12
            line = line[:at] + b"%d" % start + line[at + 13 :]
            out.write(line)
            left -= len(line)
            number += 1


# What is imported of the sessions of `shapes`, by their name there.
SHAPES = {"of 1 KB, mobile": "small", "of 10 KB": "other", "of 100 KB": "large", "records of Grail": "grail"}


def imports(options, folder, title, values, arguments):
    """`arguments` says of a value what is written, and how much of it when not the usual; `shape` is one of SHAPES."""
    rows = []
    for value in values:
        source = folder / "in.ndjson"
        more = {"megabytes": options.megabytes, **arguments(value)}
        megabytes, flags = more["megabytes"], []
        if "shape" in more:
            kind = SHAPES[more["shape"]]
            flags = shapes.FLAGS.get(kind, [])
            shapes.Shapes().write(source, megabytes, kind)
        else:
            write(source, **more)
        costs = []
        # What takes long is measured once. Lakes stay until the end: a file system that has just deleted
        # thousands of files is slow to make others.
        for _ in range(options.runs if megabytes < 10_000 else 1):
            lake = folder / f"lake-{len(os.listdir(folder))}"
            command = [options.binary, "import", source, "--lake", lake, "--quiet", *flags]
            costs.append(measure(command, folder / "log"))
        source.unlink()
        cost = median(costs)
        rows.append((value, megabytes / cost.cpu_s, cost.peak_mib, megabytes / cost.wall_s))
    show(title, "MB/CPU s", rows, "MB/s")
    return title, "MB/CPU s", rows


def show(title, unit, rows, more_unit):
    print(f"\n{title:32}{unit:>10}{'peak MiB':>10}{'of the first':>14}")
    for value, speed, peak, more in rows:
        part = speed / rows[0][1]
        print(f"{value:>32}{speed:10.0f}{peak:10.0f}{part:14.2f}   {more:8.2f} {more_unit}", flush=True)


def serving(options, folder, values):
    """Bulks of 896,000 bytes over so many connections at once, each durable before the answer."""
    os.environ.setdefault("SESSIONLAKE_TEST_BIN", str(options.binary))
    from harness.client import Client
    from harness.server import Server

    rows = []
    for connections in values:
        place = folder / f"serve-{connections}"
        place.mkdir()
        source = place / "in.ndjson"
        write(source, options.megabytes, size=10_000)
        bulks, bulk, size = [], [], 0
        for line in source.open("rb"):
            bulk.append(line)
            size += len(line)
            if size >= 896_000:
                bulks.append(b"".join(bulk))
                bulk, size = [], 0
        server = Server(place, SimpleNamespace(uri=str(place / "lake"), env={})).start()
        lock, waiting = threading.Lock(), list(bulks)

        def send(waiting=waiting, lock=lock, server=server):
            with Client(server.port, server.path) as client:
                while True:
                    with lock:
                        if not waiting:
                            return
                        body = waiting.pop()
                    reply = client.send(body)
                    assert reply.status == 200, reply

        started = time.monotonic()
        threads = [threading.Thread(target=send) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - started
        peak = server.peak_memory_bytes() / (1 << 20)
        before = children_cpu_s()
        server.stop(signal.SIGTERM)
        megabytes = sum(map(len, bulks)) / 1e6
        # All that the server ever took: it has landed everything and been waited for.
        per_gb = (children_cpu_s() - before) / megabytes * 1000
        rows.append((connections, megabytes / took, peak, per_gb))
    show("connections", "MB/s", rows, "CPU s/GB")
    return "connections", "MB/s", rows


WIDTH, HEIGHT, LEFT, TOP = 380, 230, 52, 34


def svg(charts, path):
    """One small chart a table: speed as a line, memory as a broken one, both from zero."""
    parts = []
    for number, (title, unit, rows) in enumerate(charts):
        x0, y0 = number % 2 * (WIDTH + 30) + LEFT, number // 2 * (HEIGHT + 20) + TOP
        wide, high = WIDTH - LEFT - 40, HEIGHT - TOP - 40
        step = wide / max(1, len(rows) - 1)
        parts.append(f'<text x="{x0}" y="{y0 - 14}" font-weight="bold">{title}</text>')
        parts.append(f'<path d="M{x0} {y0}v{high}h{wide}" fill="none" stroke="#888"/>')
        for column, style, side in [(1, 'stroke="#0a6"', "start"), (2, 'stroke="#c60" stroke-dasharray="5 4"', "end")]:
            top = max(row[column] for row in rows) * 1.1
            points = " ".join(
                f"{x0 + at * step:.1f},{y0 + high - row[column] / top * high:.1f}" for at, row in enumerate(rows)
            )
            parts.append(f'<polyline points="{points}" fill="none" stroke-width="2" {style}/>')
            name = f"{top:.0f} {unit}" if column == 1 else f"{top:.0f} MiB"
            at = x0 + 4 if side == "start" else x0 + wide
            parts.append(f'<text x="{at}" y="{y0 + 6}" text-anchor="{side}" fill="#555">{name}</text>')
        for at, row in enumerate(rows):
            parts.append(f'<text x="{x0 + at * step:.1f}" y="{y0 + high + 16}" text-anchor="middle">{row[0]}</text>')
    tall = (len(charts) + 1) // 2 * (HEIGHT + 20) + 10
    Path(path).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH + 40} {tall}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def main():
    parser = argparse.ArgumentParser(prog="tests/run growth")
    parser.add_argument("--binary", default=ROOT / "target/release/sessionlake")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--svg", default=ROOT / "docs/growth.svg")
    options = parser.parse_args()
    with scratch() as name:
        folder = Path(name)
        # No line through these.
        imports(options, folder, "sessions", list(SHAPES), lambda name: {"shape": name})
        charts = [
            imports(options, folder, "bytes a document", [1000, 10_000, 100_000, 1_000_000], lambda n: {"size": n}),
            imports(
                options,
                folder,
                "partitions, with ten times the data",
                [1, 10, 100, 1000],
                lambda n: {"size": 10_000, "days": n, "megabytes": 10 * options.megabytes},
            ),
            imports(
                options,
                folder,
                "partitions, with eighty times the data",
                [1, 1000],
                lambda n: {"size": 10_000, "days": n, "megabytes": 80 * options.megabytes},
            ),
            imports(
                options,
                folder,
                "unknown fields of an action, %",
                [0, 10, 20, 50],
                lambda n: {"size": 10_000, "unknown": n / 100},
            ),
            imports(
                options,
                folder,
                "megabytes of a run",
                [options.megabytes * times for times in (1, 10, 100)],
                lambda n: {"size": 10_000, "days": 5, "megabytes": n},
            ),
            serving(options, folder, [1, 8, 64, 512]),
        ]
    svg(charts, options.svg)
    print(f"\ndrawn in {options.svg}")


if __name__ == "__main__":
    main()
