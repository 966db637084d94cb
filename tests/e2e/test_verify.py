"""`verify` and `quarantine`: whether all is accounted for, what was rejected, and landing it again."""

import json
import re
import time
from pathlib import Path

from harness.documents import body, document
from harness.load import Load, check_all
from harness.process import Process, free_port, wait_until
from test_metrics import parse

VERDICTS = ("ok", "damaged", "failed")


def report_of(command, lake, *flags, expect=0):
    printed = command("verify", lake.at.uri, "--json", *flags, env=lake.at.env, expect=expect)
    return json.loads(printed)


def off(report):
    return sorted(problem["what"] for problem in report["problems"])


def test_a_lake_that_is_well(make_server, lake, command):
    server = make_server(lake, "--roll-age", "1h", "--roll-rows", "50").start()
    for number in range(10):
        server.put(body(*(f"s{number}-{n}" for n in range(30))) + b"{broken\n")
    server.drain()
    report = report_of(command, lake, "--rows")
    assert off(report) == [] and report["rows_read"] == 300
    (node,) = report["nodes"]
    assert (node["lines"], node["rows"], node["rejects"], node["last_seq"]) == (310, 300, 10, 10)
    assert node["rolls"] == len(lake.receipts()) >= 3
    printed = command("verify", lake.at.uri, env=lake.at.env)
    assert "Every received line is accounted for." in printed


def test_a_lake_with_something_off(make_server, local_lake, command):
    server = make_server(local_lake, "--roll-age", "1h", "--roll-rows", "20").start()
    for number in range(6):
        server.put(body(*(f"s{number}-{n}" for n in range(20))))
    server.drain()
    base = local_lake.at.base
    first, second, third = local_lake.data_files()[:3]
    with open(f"{base}/{first}", "r+b") as file:
        file.truncate(100)
    whole = local_lake.read(second)
    with open(f"{base}/{third}", "wb") as file:
        file.write(whole)
    receipt = sorted(local_lake.files("_receipts"))[-1]
    local_lake.at.files.delete_file(f"{base}/{receipt}")
    local_lake.at.files.delete_file(f"{base}/{second}")
    report = report_of(command, local_lake, expect=1)
    # The last roll's receipt is gone: its files are those of a roll that is on its way.
    assert off(report) == ["file", "no_file"], report
    assert len(report["pending_rolls"]) == 1
    report = report_of(command, local_lake, "--rows", expect=1)
    assert off(report) == ["file", "file", "no_file"], report
    receipt = sorted(local_lake.files("_receipts"))[1]
    local_lake.at.files.delete_file(f"{base}/{receipt}")
    assert "gap" in off(report_of(command, local_lake, expect=1))


def test_damage_is_found_by_the_running_server(make_server, local_lake, command, folder):
    """Two nodes of one lake: what is gone is trouble of both, in metrics, health, status and log, until it is mended; the command
    writes the same metrics to a file."""
    flags = ("--roll-age", "1s", "--verify-every", "1s", "--verify-window", "1h")
    one = make_server(local_lake, *flags, "--status-listen", f"127.0.0.1:{free_port()}", name="one").start()
    two = make_server(local_lake, *flags, name="two").start()
    for number, server in enumerate((one, two)):
        assert server.put(body(*(f"s{number}-{n}" for n in range(9)))).status == 200
    local_lake.wait_landed(18)

    def verdict(server, word):
        return server.metrics()[f'sessionlake_verify_verdict{{verdict="{word}"}}'] == 1

    for server in (one, two):
        wait_until(lambda: server.metrics()["sessionlake_verify_lines"] == 18, 20, "both rolls are looked at")
        assert verdict(server, "ok")
    file = Path(local_lake.at.base) / local_lake.data_files()[0]
    bytes_of = file.read_bytes()
    file.unlink()
    for server in (one, two):
        wait_until(lambda: verdict(server, "damaged"), 20, "it is found")
        metrics = server.metrics()
        assert metrics['sessionlake_verify_problems{kind="no_file"}'] == 1
        assert metrics['sessionlake_trouble{part="verify"}'] == 1
        assert metrics["sessionlake_verify_last_success_timestamp_seconds"] > 0
        ready = server.get("/health/ready")
        assert ready.status == 200 and file.name in ready.text, ready.text
    (said,) = re.findall(r"ERROR .*verification: .*", one.process.output())
    assert "1 thing is off" in said and file.name in said and "names it, and it is not there" in said, said
    advised = re.search(r"`sessionlake (verify .*?)`", said).group(1).split()
    assert "1 thing is off." in command(*advised, "--metrics-file", folder / "verify.prom", expect=1)
    written, kinds = parse((folder / "verify.prom").read_text())
    assert written["sessionlake_verify_verdict"][(("verdict", "damaged"),)] == 1
    assert set(kinds) < set(parse(one.get("/metrics").text)[1])
    file.write_bytes(bytes_of)
    for server in (one, two):
        wait_until(lambda: verdict(server, "ok"), 20, "it is mended")
        assert server.metrics()['sessionlake_trouble{part="verify"}'] == 0
    well = one.metrics()["sessionlake_verify_last_success_timestamp_seconds"]
    for server in (one, two):
        server.drain()
    one.start()
    assert one.metrics()["sessionlake_verify_last_success_timestamp_seconds"] >= well
    one.drain()


def test_a_lake_that_is_worked_on_is_never_called_damaged(make_server, delta_lake, command):
    """Two nodes under load on Delta tables, flat ones too, with promotion; conversion and upgrades of tables beside them."""
    tables = ("--table-format", "delta", "--flat-tables", "user_actions,user_events")
    flags = (*tables, "--roll-age", "1s", "--promote", "auto", "--promote-after", "1", "--verify-every", "1s")
    servers = [make_server(delta_lake, *flags, name=name).start() for name in ("one", "two")]
    loads = [Load(server, 1, threads=1, tag=tag).start() for server, tag in zip(servers, "ab", strict=True)]
    for number in range(4):
        unknown = body(f"p{number}").replace(b"}", b',"unknown%d":"x"}' % number)
        assert servers[number % 2].put(unknown).status == 200
        command("convert", "--to", "delta", "--lake", delta_lake.at.uri, env=delta_lake.at.env)
        time.sleep(1)
    for server in servers:
        wait_until(lambda: server.metrics()["sessionlake_verify_rolls"] >= 2, 120, "rolls of both are looked at")
    for load in loads:
        load.stop()
    for server in servers:
        metrics = server.metrics()
        runs = {word: metrics[f'sessionlake_verify_runs_total{{verdict="{word}"}}'] for word in VERDICTS}
        assert runs["ok"] >= 1 and runs["damaged"] == runs["failed"] == 0, (runs, server.process.output())
    for server in servers:
        server.drain()
    check_all(loads, [name for name in delta_lake.session_ids() if not name.startswith("p")])


def test_damage_in_the_middle_is_refused_skipped_and_told(make_server, local_lake, command, folder):
    flags = ["--roll-age", "1h", "--journal-segment", "64KiB", "--journal-compression=false"]
    server = make_server(local_lake, *flags).start()
    for number in range(12):
        server.put(body(f"s{number:02}").replace(b"}", b',"city":"' + b"x" * 20_000 + b'"}'))
    server.kill()
    segments = sorted(server.state.rglob("*.seg"))
    assert len(segments) >= 4
    victim = segments[1]
    first = int(victim.name.split(".")[0])
    last = int(segments[2].name.split(".")[0]) - 1
    with victim.open("r+b") as file:
        file.seek(-1000, 2)
        byte = file.read(1)
        file.seek(-1000, 2)
        file.write(bytes([byte[0] ^ 1]))
    process = Process(server.command(), folder / "refused.log", server.environment())
    assert process.wait(20) == 1
    said = process.output()
    assert victim.name in said and "offset" in said and "--skip-damaged" in said, said
    server.flags.append("--skip-damaged")
    server.start()
    # The byte is in the last body of its segment; the others of it are kept.
    assert last > first
    said = server.process.output()
    assert f"bodies {last} to {last} are lost" in said and f"{last - first} bodies" in said, said
    assert (server.state / f"{victim.name}.damaged").exists()
    wait_until(lambda: server.put(body("after")).status == 200, 10, "it goes on")
    server.drain()
    lost = {f"s{last - 1:02}"}
    every = {f"s{number:02}" for number in range(12)} | {"after"}
    assert sorted(local_lake.session_ids()) == sorted(every - lost)
    report = report_of(command, local_lake, "--rows")
    assert report["nodes"][0]["lost_bodies"] == len(lost)
    (receipt,) = local_lake.receipts()
    assert receipt["lost"] == [{"first_seq": last, "last_seq": last}]
    assert f"bodies {last} to {last}" in command("verify", local_lake.at.uri)


def test_quarantine_is_listed_shown_and_landed_again(make_server, lake, command):
    server = make_server(lake, "--roll-age", "1h").start()
    server.put(b"{broken\n" + document("good") + b'\n"a text"\n\xff\xfe\n')
    server.drain()
    env, uri = lake.at.env, lake.at.uri
    listed = json.loads(command("quarantine", "list", uri, "--json", env=env))
    assert [file["entries"] for file in listed] == [3]
    assert sum(listed[0]["reasons"].values()) == 3
    assert listed[0]["path"] in command("quarantine", "list", uri, env=env)
    shown = [json.loads(line) for line in command("quarantine", "show", uri, env=env).splitlines()]
    assert [entry["line"] for entry in shown] == [1, 3, 4]
    assert [entry["code"] for entry in shown[:2]] == ["not_json", "not_object"]
    assert sum(listed[0]["codes"].values()) == 3
    of_code = command("quarantine", "show", uri, "--code", "not_json", env=env).splitlines()
    assert [json.loads(line)["raw"] for line in of_code] == ["{broken"]
    listed = json.loads(command("quarantine", "list", uri, "--json", "--code", "not_json", env=env))
    assert [file["entries"] for file in listed] == [1]
    assert json.loads(command("quarantine", "list", uri, "--json", "--code", "too_deep", env=env)) == []
    assert shown[0]["raw"] == "{broken" and shown[2]["raw"] == {"base64": "//4="}
    assert len(command("quarantine", "show", uri, "--limit", "1", env=env).splitlines()) == 1

    # As if a later version could read one of them. Before it, a replay changes nothing.
    (name,) = lake.files("_quarantine")
    said = command("quarantine", "replay", "--lake", uri, env=env)
    assert "0 lines of the quarantine landed again; 3 are still no documents" in said
    assert len(lake.quarantine()) == 3
    mend(lake, name, {0: document("mended").decode()})
    said = command("quarantine", "replay", "--lake", uri, env=env)
    assert "1 lines of the quarantine landed again; 2 are still no documents" in said
    assert sorted(lake.session_ids()) == ["good", "mended"]
    # Again, and with another choice of lines: what was landed is left out.
    reason = lake.quarantine()[0]["reason"]
    command("quarantine", "replay", "--lake", uri, "--reason", reason, env=env)
    said = command("quarantine", "replay", "--lake", uri, env=env)
    assert "0 lines of the quarantine landed again; 1 landed again before; 2 are" in said, said
    # And after the next upgrade, the rest.
    mend(lake, name, {1: document("second").decode()})
    command("quarantine", "replay", "--lake", uri, env=env)
    assert sorted(lake.session_ids()) == ["good", "mended", "second"]
    assert len(lake.quarantine()) == 3
    assert off(report_of(command, lake, "--rows")) == []


def mend(lake, name, lines):
    """Puts other lines in the place of those that were rejected."""
    entries = [json.loads(line) for line in lake.read(name).splitlines()]
    for at, raw in lines.items():
        entries[at]["raw"] = raw
    with lake.at.files.open_output_stream(f"{lake.at.base}/{name}") as out:
        out.write(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))


def test_equal_lines_of_two_days_land_each(make_server, local_lake, command):
    """What an entry is known by is its place, not what it says."""
    for name in ("monday", "tuesday"):
        server = make_server(local_lake, "--roll-age", "1h", name=name).start()
        server.put(b"{broken\n")
        server.drain()
    for name in local_lake.files("_quarantine"):
        mend(local_lake, name, {0: document("mended").decode()})
    said = command("quarantine", "replay", "--lake", local_lake.at.uri)
    assert "2 lines of the quarantine landed again" in said
    assert local_lake.session_ids() == ["mended", "mended"]
    assert off(report_of(command, local_lake, "--rows")) == []


def test_nothing_is_not_well(make_server, lake, command):
    """A mistyped prefix, and a folder above or below the lake."""
    server = make_server(lake, "--roll-age", "1h").start()
    server.put(body("a"))
    server.drain()
    env = lake.at.env
    below = f"{lake.at.uri}/user_sessions"
    printed = command("verify", below, env=env, expect=1)
    assert "Nothing was found here" in printed and "prefix" in printed, printed
    report = json.loads(command("verify", below, "--json", env=env, expect=1))
    assert report["nodes"] == [] and report["problems"] == []


def test_since_and_checkpoints(make_server, lake, command):
    server = make_server(lake, "--roll-age", "1h", "--roll-rows", "20").start()
    for number in range(4):
        server.put(body(*(f"s{number}-{n}" for n in range(20))))
    server.drain()
    env, uri = lake.at.env, lake.at.uri
    (whole,) = report_of(command, lake)["nodes"]
    (since,) = report_of(command, lake, "--since", "1h")["nodes"]
    assert since == whole
    later = report_of(command, lake, "--since", "2999-01-01")
    assert (later["nodes"], later["idle_nodes"]) == ([], 1)
    assert "give a day" in command("verify", uri, "--since", "yesterday", env=env, expect=2)
    assert "leave out --since" in command("verify", uri, "--since", "1h", "--checkpoint", env=env, expect=2)
    assert lake.files("_verified") == []
    assert "1 checkpoints written" in command("verify", uri, "--checkpoint", env=env)
    assert lake.files("_verified") == [f"_verified/{whole['node']}.json"]
    # A node of its own has landed since; the first's rolls are not looked at again.
    other = make_server(lake, "--roll-age", "1h", name="other").start()
    other.put(body("late"))
    other.drain()
    report = report_of(command, lake, "--since", "checkpoint", "--rows")
    assert report["rows_read"] == 1 and report["idle_nodes"] == 0, report
    assert sum(node["rows"] for node in report["nodes"]) == 81
    command("verify", uri, "--since", "checkpoint", "--checkpoint", env=env)
    assert len(lake.files("_verified")) == 2
    assert off(report_of(command, lake, "--rows")) == []
