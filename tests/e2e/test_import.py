"""`sessionlake import`: files and standard input, packed or not, once."""

import contextlib
import gzip
import json
import os
import pty
import subprocess

import pytest
import zstandard
from harness import place
from harness.documents import body
from harness.lake import Lake
from harness.process import Process, clean_environment, kill_until_done
from sessions import Sessions

PACKED = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "two gzip members": lambda data: gzip.compress(data[:5000]) + gzip.compress(data[5000:]),
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("form", PACKED)
def test_by_content_and_not_by_name(command, local_lake, folder, form):
    ids, data = Sessions("import", days=3).bulk(250)
    (folder / "download").write_bytes(PACKED[form](data))
    command("import", "download", "--lake", local_lake.at.uri)
    assert sorted(local_lake.session_ids()) == sorted(ids)
    assert local_lake.check_receipts() == {"lines": 250, "rows": 250, "rejects": 0}
    local_lake.no_leftovers()


@pytest.mark.parametrize("form", PACKED)
def test_standard_input(command, local_lake, folder, form):
    ids, data = Sessions("stdin").bulk(100)
    (folder / "given").write_bytes(PACKED[form](data))
    command("import", "-", "--lake", local_lake.at.uri, stdin=folder / "given")
    assert sorted(local_lake.session_ids()) == sorted(ids)


def test_a_pipe_is_no_file(command, local_lake, folder):
    """What can be read only once lands, and is not taken for a file that was imported."""
    (ids, data), named = Sessions("pipe").bulk(100), folder / "fifo"
    (folder / "given.gz").write_bytes(gzip.compress(data))
    os.mkfifo(named)
    with subprocess.Popen(["sh", "-c", "zcat given.gz > fifo"], cwd=folder):
        command("import", "fifo", "--lake", local_lake.at.uri)
    assert sorted(local_lake.session_ids()) == sorted(ids)
    script = f"{place.binary()} import <(zcat given.gz) --lake {local_lake.at.uri}"
    subprocess.run(["bash", "-c", script], cwd=folder, check=True)
    assert sorted(local_lake.session_ids()) == sorted(2 * ids)
    command("import", "/dev/stdin", "--lake", local_lake.at.uri, stdin=folder / "given.gz")
    assert sorted(local_lake.session_ids()) == sorted(3 * ids)
    # That was a regular file after all.
    command("import", "given.gz", "--lake", local_lake.at.uri, expect=1)
    local_lake.no_leftovers()


def test_into_every_store(command, lake, folder):
    ids, data = Sessions("stores", days=4).bulk(300)
    (folder / "sessions.ndjson").write_bytes(data)
    command("import", "sessions.ndjson", "--lake", lake.at.uri, env=lake.at.env)
    assert sorted(lake.session_ids()) == sorted(ids)
    assert lake.query("SELECT count(DISTINCT date) FROM {t}") == [(4,)]
    lake.check_receipts()
    lake.no_leftovers()


def test_both_forms_of_the_sample_download(command, local_lake):
    """Action lines of the Elasticsearch form are no sessions, and no rejects either."""
    command("import", place.ELASTICSEARCH, place.CLASSIC, "--lake", local_lake.at.uri)
    assert local_lake.query('SELECT "userSessionId", count(*) FROM {t} GROUP BY 1 ORDER BY 1') == [
        ("1394_1008", 3),
        ("744377345", 1),
    ]
    sums = local_lake.check_receipts()
    assert (sums["rows"], sums["rejects"]) == (4, 0)
    assert sum(receipt["actions"] for receipt in local_lake.receipts()) == 1


def test_the_same_file_twice(command, local_lake, folder):
    """Told apart by content: another name or packing of the same bytes is the same file."""
    (folder / "a.ndjson").write_bytes(body("a", "b"))
    command("import", "a.ndjson", "--lake", local_lake.at.uri)
    printed = command("import", "a.ndjson", "--lake", local_lake.at.uri, expect=None)
    assert "--again" in printed
    assert local_lake.rows() == 2
    (folder / "renamed.ndjson").write_bytes(body("a", "b"))
    assert "--again" in command("import", "renamed.ndjson", "--lake", local_lake.at.uri, expect=None)
    (folder / "packed").write_bytes(gzip.compress(body("a", "b")))
    assert "--again" in command("import", "packed", "--lake", local_lake.at.uri, expect=None)
    assert local_lake.rows() == 2
    command("import", "--again", "a.ndjson", "--lake", local_lake.at.uri)
    assert sorted(local_lake.session_ids()) == ["a", "a", "b", "b"]
    local_lake.check_receipts()


def test_many_small_files_share_their_rolls(command, local_lake, folder):
    """A file a partition, not a file a file; positions are still those of each file."""
    source = Sessions("many", days=2)
    ids, names = [], []
    for number in range(40):
        some, data = source.bulk(25)
        ids += some
        names.append(f"{number:02}.ndjson")
        (folder / names[-1]).write_bytes(data + (b"{broken\n" if number == 30 else b""))
    printed = command("import", *names, "--lake", local_lake.at.uri)
    assert "40 files: 1,000 rows in 2 Parquet files" in printed
    assert sorted(local_lake.session_ids()) == sorted(ids)
    assert len(local_lake.data_files()) == 2
    (entry,) = local_lake.quarantine()
    assert entry["line"] == 26
    (mark,) = imports(local_lake)
    files = json.loads(local_lake.read(mark))["files"]
    assert [file["name"] for file in files if file["first_seq"] == entry["seq"]] == ["30.ndjson"]
    assert local_lake.query("SELECT count(DISTINCT _ingest_id) FROM {t}") == [(1000,)]
    # One more file with those that are there: only that one.
    some, data = source.bulk(5)
    (folder / "new").write_bytes(data)
    printed = command("import", *names, "new", "--lake", local_lake.at.uri, expect=1)
    assert "new: 5 rows" in printed and "00.ndjson" in printed
    assert sorted(local_lake.session_ids()) == sorted(ids + some)


def test_a_killed_import_goes_on(folder, command, local_lake):
    """Killed over and over at growing times: with the same command, every row is there once."""
    source = Sessions("killed", days=3)
    ids = []
    for name in ("a", "b", "c"):
        some, data = source.bulk(3000)
        ids += some
        (folder / name).write_bytes(data)
    arguments = ["import", "a", "b", "c", "--roll-rows", "700", "--lake", local_lake.at.uri]
    kill_until_done([place.binary(), *arguments], folder, 1.3, b"left out: a, b, c.")
    assert sorted(local_lake.session_ids()) == sorted(ids)
    assert local_lake.check_receipts() == {"lines": 9000, "rows": 9000, "rejects": 0}
    local_lake.no_leftovers()
    assert "--again" in command(*arguments, expect=1)


def test_an_interrupted_import_wants_all_its_files(folder, command, local_lake):
    ids, data = Sessions("rest").bulk(100)
    (folder / "whole").write_bytes(data)
    (folder / "cut.gz").write_bytes(gzip.compress(data))
    (folder / "other").write_bytes(body("other"))
    command("import", "whole", "other", "--lake", local_lake.at.uri)
    interrupt(local_lake)
    printed = command("import", "other", "--lake", local_lake.at.uri, expect=1)
    assert "interrupted" in printed and "whole" in printed and "--give-up import-" in printed
    # Given in another order and another packing: it is the same run.
    command("import", "other", "cut.gz", "--lake", local_lake.at.uri)
    assert sorted(local_lake.session_ids()) == sorted([*ids, "other"])


def interrupt(lake):
    """Leaves the lake as an import does that is killed right after it has begun."""
    (mark,) = imports(lake)
    run = json.loads(lake.read(mark))
    run["done"] = False
    with open(lake.at.uri + "/" + mark, "w") as file:
        json.dump(run, file)
    node = os.path.basename(mark).removesuffix(".json")
    for name in lake.files():
        if name.startswith((f"_receipts/{node}/", f"_imports/{node}/")) or (
            name.endswith(".parquet") and node in name
        ):
            os.remove(lake.at.uri + "/" + name)


def imports(lake):
    """The names of the manifests in the lake."""
    names = (name for name in lake.files("_imports") if name.count("/") == 1)
    return [name for name in names if name != "_imports/index.json"]


def test_a_broken_line_is_quarantined(command, local_lake, folder):
    lines = body(*(f"s{n}" for n in range(9))).splitlines()
    lines.insert(4, b"{broken")
    (folder / "a.ndjson").write_bytes(b"\n".join(lines))
    printed = command("import", "a.ndjson", "--lake", local_lake.at.uri)
    assert local_lake.rows() == 9
    (entry,) = local_lake.quarantine()
    assert entry["line"] == 5
    assert "1" in printed


def test_line_numbers_go_through_the_whole_file(command, local_lake, folder):
    """However the file is cut for the work, an entry has its line number in the file."""
    source = Sessions("lines")
    lines = [source.next()[1] for _ in range(3000)]
    for at in (10, 1500, 2999):
        lines[at] = b"{broken"
    (folder / "a.ndjson").write_bytes(b"\n".join(lines))
    command("import", "a.ndjson", "--lake", local_lake.at.uri)
    assert local_lake.rows() == 2997
    assert [entry["line"] for entry in local_lake.quarantine()] == [11, 1501, 3000]
    assert local_lake.query("SELECT count(DISTINCT _ingest_id) FROM {t}") == [(2997,)]


def test_a_terminal_shows_a_bar_that_goes_away(command, folder):
    command("simulate", "--seed", "6", "--bytes", "60MB", "--out", "a.ndjson")
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [str(place.binary()), "import", "a.ndjson", "--lake", "bar"],
        stdout=subprocess.PIPE, stderr=theirs, env=clean_environment(TERM="xterm"), cwd=folder,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # The end of a terminal is an error.
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    told = child.stdout.read().decode()
    child.stdout.close()
    assert child.wait(120) == 0
    text = shown.decode()
    for part in (" of 60.", "MB", " rows, ", "/s, ", " left"):
        assert part in text, text[-2000:]
    assert text.count("\r") > 2 or "\x1b[" in text, "a line that changes"
    assert "a.ndjson: " in told and " rows in " in told, told


def test_a_file_that_is_not_there(command, local_lake):
    printed = command("import", "nowhere.ndjson", "--lake", local_lake.at.uri, expect=1)
    assert "nowhere.ndjson" in printed


def test_a_file_that_breaks_off(command, local_lake, folder):
    """A packed file that is cut: an error that names it."""
    packed = gzip.compress(Sessions("cut").bulk(300)[1])
    (folder / "cut.ndjson.gz").write_bytes(packed[: len(packed) // 2])
    printed = command("import", "cut.ndjson.gz", "--lake", local_lake.at.uri, expect=1)
    assert "cut.ndjson.gz" in printed


def test_beside_a_running_server(server, local_lake, command, folder):
    """Import has a node name of its own: names never collide."""
    server.put(body("served"))
    (folder / "a.ndjson").write_bytes(body("imported"))
    command("import", "a.ndjson", "--lake", local_lake.at.uri)
    server.drain()
    assert sorted(Lake(local_lake.at).session_ids()) == ["imported", "served"]
    assert len({receipt["node"] for receipt in local_lake.receipts()}) == 2


def schema_file(folder, name, **columns):
    """An Avro schema of columns, each a type or None for one that is left out."""
    fields = [
        {"name": column, "type": ["null", kind], "default": None} for column, kind in columns.items()
    ]
    path = folder / f"{name}.avsc"
    path.write_text(json.dumps({"type": "record", "name": "ev", "fields": fields}))
    return str(path)


def land(command, folder, lake, schema, document, expect=0):
    source = folder / f"{len(list(folder.glob('*.ndjson')))}.ndjson"
    source.write_text(json.dumps(document) + "\n")
    flags = ["--table", "ev", "--partition", "", "--schema", schema, "--lake", lake.at.uri]
    return command("import", str(source), *flags, env=lake.at.env, expect=expect)


def test_a_column_that_came_later_is_seen_and_one_of_another_type_is_refused(lake, folder, command):
    v1 = schema_file(folder, "v1", id="string", n="long")
    v2 = schema_file(folder, "v2", id="string", n="long", extra="string")
    v3 = schema_file(folder, "v3", id="string", n="string")
    land(command, folder, lake, v1, {"id": "1", "n": 5})
    land(command, folder, lake, v2, {"id": "2", "n": 6, "extra": "new"})
    said = land(command, folder, lake, v3, {"id": "3", "n": "seven"}, expect=1)
    assert "column n of table ev is int64" in said and "string in this configuration" in said, said
    # A value that does not fit is kept under the type that stands.
    land(command, folder, lake, v1, {"id": "3", "n": "seven"})
    read = f"read_parquet('{lake.uri('ev')}/**/*.parquet', hive_partitioning=true, union_by_name=true)"
    found = lake.query(f"SELECT id, n, extra, _extra FROM {read} ORDER BY id", "ev")
    assert [tuple(row)[:3] for row in found] == [("1", 5, None), ("2", 6, "new"), ("3", None, None)]
    assert json.loads(found[2][3]) == {"/n": "seven"}
    assert "accounted for" in command("verify", lake.at.uri, env=lake.at.env)


def test_a_number_that_becomes_a_double_or_a_list_is_refused_by_serve_and_check_too(
    make_server, local_lake, folder, command
):
    v1 = schema_file(folder, "v1", id="string", n="long")
    land(command, folder, local_lake, v1, {"id": "1", "n": 5})
    for kind in ("double", {"type": "array", "items": "long"}):
        other = schema_file(folder, "other", id="string", n=kind)
        flags = ["--table", "ev", "--partition", "", "--schema", other]
        server = make_server(local_lake, *flags)
        process = Process(server.command(), folder / "refused.log", server.environment())
        assert process.wait(20) == 1
        assert "column n of table ev is int64" in process.output(), process.output()
        checked = command("check", *flags, "--lake", local_lake.at.uri, "--state", str(folder / "s"), expect=1)
        assert "column n of table ev is int64" in checked, checked
    # A column that was left out and comes back with its type is none of another type.
    land(command, folder, local_lake, schema_file(folder, "less", id="string"), {"id": "2"})
    land(command, folder, local_lake, v1, {"id": "3", "n": 7})
