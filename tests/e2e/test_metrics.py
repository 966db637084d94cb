"""`/metrics` under load: the exposition format to the letter, every documented series, and counts that agree."""

import re
import threading
import time
from pathlib import Path

from harness import place
from harness.documents import document
from harness.process import wait_until
from harness.prometheus import promtool

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
SAMPLE = re.compile(r'(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|$)')
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def parse(text):
    """Parses the text format 0.0.4 as strictly as Prometheus and promtool do. Returns {family: {labels: value}}
    by sample name, and the kinds of families."""
    assert text.endswith("\n")
    kinds, helps, samples, current = {}, set(), {}, None
    for line in text.split("\n"):
        if not line:
            continue
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert NAME.fullmatch(name) and name not in helps, line
            helps.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds and kind in SUFFIXES, line
            assert name in helps, f"{name} has no help"
            assert name.endswith("_total") == (kind == "counter"), line
            kinds[name], current = kind, name
        else:
            assert not line.startswith("#"), line
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            name, labels = sample["name"], sample["labels"] or ""
            assert name in [current + suffix for suffix in SUFFIXES[kinds[current]]], f"{line} is not of {current}"
            pairs = LABEL.findall(labels)
            assert "".join(f'{key}="{value}",' for key, value in pairs).rstrip(",") == labels.rstrip(","), line
            keys = [key for key, _ in pairs]
            assert len(set(keys)) == len(keys), line
            series = samples.setdefault(name, {})
            key = tuple(sorted(pairs))
            assert key not in series, f"twice: {line}"
            series[key] = float(sample["value"])
            if kinds[current] != "gauge":
                assert series[key] >= 0, line
    for name, kind in kinds.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return samples, kinds


def check_histogram(name, samples):
    groups = {}
    for key, value in samples.get(f"{name}_bucket", {}).items():
        labels = dict(key)
        bound = float(labels.pop("le").replace("+Inf", "inf"))
        groups.setdefault(tuple(sorted(labels.items())), []).append((bound, value))
    assert groups, f"{name} has no series"
    for labels, buckets in groups.items():
        buckets.sort()
        counts = [count for _, count in buckets]
        assert buckets[-1][0] == float("inf") and counts == sorted(counts), (name, buckets)
        assert samples[f"{name}_count"][labels] == counts[-1], (name, labels)
        assert labels in samples[f"{name}_sum"], (name, labels)


def documented():
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    return set(re.findall(r"^\| `((?:sessionlake|process)_\w+)` \|", text, re.MULTILINE))


def documented_values():
    """The values of labels that docs/metrics.md lists, with `*` for those of the configuration: {label: values}."""
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    section = text.split("## Values of labels", 1)[1].split("\n## ", 1)[0]
    found = {}
    for label, values in re.findall(r"^\| (`[^|]*) \|[^|]*\| (.*) \|$", section, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", label):
            found.setdefault(name, set()).update(re.findall(r"`(\w+)`", values))
    return found


def test_a_scrape_under_load_is_well_formed_and_has_every_series(make_server, local_lake):
    server = make_server(local_lake, "--roll-age", "1s").start()
    text = server.get("/metrics").text
    if not place.left_out("prometheus"):
        assert promtool("check", "metrics", stdin=text) == (0, "")
    first, kinds = parse(text)
    assert set(kinds) == documented(), set(kinds) ^ documented()
    listed = documented_values()
    for name, series in first.items():
        for key, value in (pair for labels in series for pair in labels):
            if name != "sessionlake_rejects_total" and key in listed and key not in ("table", "field"):
                assert value in listed[key], f"{name}: {key}={value} is not in docs/metrics.md"
    for name in ("rejects_total", "requests_refused_total", "rolls_total", "store_requests_total"):
        values = first[f"sessionlake_{name}"]
        assert len(values) > 5, (name, values)

    stop, sent = threading.Event(), []

    def send():
        with server.client() as client:
            while not stop.is_set():
                number = len(sent)
                sent.append(number)
                data = b"\n".join([document(f"s{number}"), b"no document", b"\xff"])
                assert client.send(data, method="PUT", path="/export/events").status == 200

    sender = threading.Thread(target=send)
    sender.start()
    try:
        slowest, before = 0.0, first
        for _ in range(20):
            began = time.monotonic()
            text = server.get("/metrics").text
            slowest = max(slowest, time.monotonic() - began)
            values, _ = parse(text)
            assert set(before) <= set(values)
            for name, series in before.items():
                if name.endswith("_total") or name.endswith("_count"):
                    for key, value in series.items():
                        assert values[name][key] >= value, f"{name}{key} went down"
            before = values
            time.sleep(0.05)
    finally:
        stop.set()
        sender.join()
    assert slowest < 5, slowest
    assert server.put(document("wrong"), content_type="text/html").status == 415
    local_lake.wait_landed(len(sent), timeout_s=60)

    def value(name, **labels):
        return server_values()[f"sessionlake_{name}"][tuple(sorted(labels.items()))]

    def server_values():
        return parse(server.get("/metrics").text)[0]

    wait_until(lambda: value("journal_pending_bodies") == 0, 20, "nothing waits", 0.2)
    table = {"table": "user_sessions"}
    assert value("journal_pending_bytes") == 0 < value("journal_size_bytes") < value("journal_quota_bytes")
    assert value("landed_rows_total", **table) == len(sent)
    assert value("rejects_total", reason="not_object", **table) + value("rejects_total", reason="not_json", **table) == len(sent)
    assert value("rejects_total", reason="not_utf8", **table) == len(sent)
    assert value("received_lines_total", endpoint="default") == 3 * len(sent)
    assert value("ack_duration_seconds_count", endpoint="default") == len(sent)
    assert value("requests_refused_total", endpoint="default", reason="media_type") == 1
    assert value("http_requests_total", route="ingest", code="415") == 1
    assert value("rolls_total", cause="age") >= 1
    assert value("roll_duration_seconds_count", stage="upload") >= 1
    assert value("store_requests_total", op="put", result="ok") >= 3
    assert value("lake_up") == 1 and value("buffered_limit_bytes") > 0
    assert abs(value("start_time_seconds") - time.time()) < 600
    last = value("last_roll_timestamp_seconds")
    assert abs(last - time.time()) < 600

    # A restart of an idle receiver does not forget when the last roll was.
    server.drain()
    server.start()
    again = value("last_roll_timestamp_seconds")
    assert 0 <= again - last < 60, "kept over a restart"
