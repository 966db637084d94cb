"""Lakes as people have them: file systems that fold names, shared directories, tables with a past."""

import json
import os
import shutil
import time

import duckdb
import pyarrow.parquet as parquet
import pytest
from harness import mounts, place, stores
from harness.lake import Lake, connect

DAY = 1764000000000
FIXTURE = place.ROOT / "tests/data/build-0.1.0"

# Each is a value of its own, and one file system or another takes some of their names for one.
LANDS = [
    "Germany", "GERMANY", "germany", "GerMany",
    "Österreich", "österreich", "O\u0308sterreich", "Straße", "STRASSE", "strasse",
    "Côte d'Ivoire", "Co.", "co.", "co", "__hive_default_partition__", "Trinidad & Tobago",
]  # fmt: skip


def sessions(lands, each=2, name="s"):
    rows = [
        {"userSessionId": f"{name}{n}-{copy}", "startTime": DAY, "country": land}
        for n, land in enumerate(lands)
        for copy in range(each)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def folding_lake(folder):
    with mounts.folding(folder) as (place_of_lake, kind):
        if place_of_lake is None:
            pytest.skip(f"no file system here folds names ({kind})")
        (place_of_lake / "try").touch()
        assert (place_of_lake / "TRY").exists(), f"{kind} does not fold"
        (place_of_lake / "try").unlink()
        yield Lake(stores.LocalStore(place_of_lake).lake("lake"))


def by_land(lake):
    """Rows by the value in the path and that in the file."""
    source = f"read_parquet('{lake.uri('user_sessions')}/*/*.parquet', hive_partitioning=true, hive_types={{land: VARCHAR}})"
    found = lake.connection.execute(f"SELECT land, country, count(*) FROM {source} GROUP BY ALL").fetchall()
    return {(land, country): rows for land, country, rows in found}


def test_partitions_that_differ_in_case_are_partitions_where_names_are_folded(
    command, make_server, folding_lake, folder
):
    (folder / "a.ndjson").write_bytes(sessions(LANDS))
    printed = command("import", "a.ndjson", "--partition", "land={country}", "--lake", folding_lake.at.uri)
    assert f"{2 * len(LANDS)} rows in {len(LANDS)} Parquet files" in printed
    assert by_land(folding_lake) == {(land, land): 2 for land in LANDS}
    server = make_server(folding_lake, "--partition", "land={country}").start()
    assert server.put(sessions(LANDS, 3, "h")).status == 200
    server.drain()
    assert by_land(folding_lake) == {(land, land): 5 for land in LANDS}
    assert folding_lake.check_receipts()["rows"] == 5 * len(LANDS)
    command("verify", folding_lake.at.uri, "--rows")
    folding_lake.no_leftovers()
    names = folding_lake.data_files()
    assert len({name.lower() for name in names}) == len(names)
    assert any("land=%47ermany/" in name for name in names)


def test_partitions_keep_their_letters_where_names_are_told_apart(command, local_lake, folder):
    (folder / "a.ndjson").write_bytes(sessions(["Germany", "germany"]))
    command("import", "a.ndjson", "--partition", "land={country}", "--lake", local_lake.at.uri)
    folders = {name.split("/")[1] for name in local_lake.data_files()}
    assert folders == {"land=Germany", "land=germany"}
    local_lake.no_leftovers()


def test_files_of_a_shared_lake_are_of_its_group(command, make_server, local_lake, folder):
    """The state directory is its owner's alone; the lake's directory hands its group on."""
    if os.geteuid() != 0:
        pytest.skip("only root gives a directory a group that it is not in")
    lake, group = folder / "lake", 4321
    lake.mkdir()
    os.chown(lake, -1, group)
    lake.chmod(0o2775)
    state = folder / "server" / "state"
    state.mkdir(parents=True)
    state.chmod(0o700)
    (folder / "a.ndjson").write_bytes(sessions(["Peru"]))
    command("import", "a.ndjson", "--lake", local_lake.at.uri)
    server = make_server(local_lake).start()
    assert server.put(sessions(["Chile"]) + b"{broken\n").status == 200
    server.drain()
    files = {name: (lake / name).stat() for name in local_lake.files()}
    assert sum(name.endswith(".parquet") for name in files) == 2
    assert any(name.startswith("_quarantine/") for name in files)
    assert {found.st_gid for found in files.values()} == {group}, files
    receipts = {found.st_mode for name, found in files.items() if name.startswith("_receipts/")}
    assert {found.st_mode for found in files.values()} == receipts and len(receipts) == 1


def test_hidden_files_of_a_killed_process_go_at_the_next_start(make_server, local_lake, folder):
    lake, killed, other = folder / "lake", ".00000000000000ab-2.n-1.parquet.tmp", ".mine.tmp"
    (lake / "user_sessions/date=x").mkdir(parents=True)
    for name in (killed, other):
        (lake / "user_sessions/date=x" / name).write_bytes(b"half")
    listed = f"user_sessions/date=x/{killed}\nuser_sessions/date=x/{other}\n../keep\n"
    (lake / ".00000000000000ab-1.writing.tmp").write_text(listed)
    (folder / "keep").touch()
    server = make_server(local_lake).start()
    assert local_lake.files("user_sessions") == [f"user_sessions/date=x/{other}"]
    assert not (lake / ".00000000000000ab-1.writing.tmp").exists() and (folder / "keep").exists()
    server.drain()


def test_a_kill_while_files_are_copied_leaves_nothing_for_good(make_server, local_lake):
    """Killed at many moments, with rolls all the time."""
    server = make_server(local_lake, "--roll-age", "1s", "--roll-rows", "50").start()
    for n in range(5):
        deadline = time.monotonic() + 0.3 + n * 0.1
        while time.monotonic() < deadline:
            server.put(sessions([f"land {n} {time.monotonic()}"], 50))
            time.sleep(0.1)
        server.kill()
        server.start()
    server.drain()
    local_lake.no_leftovers()
    # A start that is killed may leave what it tried the lake with, which is no file of a roll.
    assert local_lake.rows() == local_lake.landed() > 0


def refused(printed):
    assert "DuckDB" in printed and "another lake" in printed and "date" in printed, printed


def test_other_partition_columns_than_the_lake_has_are_refused(command, make_server, lake, folder):
    (folder / "a.ndjson").write_bytes(sessions(["Peru"]))
    (folder / "b.ndjson").write_bytes(sessions(["Chile"], name="b"))
    command("import", "a.ndjson", "--lake", lake.at.uri, env=lake.at.env)
    before = lake.files()
    other = ("--partition", "day={startTime:%Y-%m-%d}", "--lake", lake.at.uri)
    printed = command("import", "b.ndjson", *other, env=lake.at.env, expect=1)
    refused(printed)
    assert 'partition = "date={startTime:%Y-%m-%d}"' in " ".join(printed.split())
    refused(command("check", *other, "--listen", "127.0.0.1:0", env=lake.at.env, expect=1))
    server = make_server(lake, "--partition", "day={startTime:%Y-%m-%d}")
    try:
        server.start()
        assert server.process.wait(20) == 1, "it goes on"
    except AssertionError as ended:
        assert "serve ended with 1" in str(ended) or "it goes on" not in str(ended)
    refused(server.process.output())
    assert lake.files() == before, "a refusal left something behind"
    # The same column by other values, and another table, are taken.
    command("import", "b.ndjson", "--partition", "date={startTime:%Y-%m}", *other[2:], env=lake.at.env)
    assert lake.query("SELECT count(*), count(DISTINCT date) FROM {t}") == [(4, 2)]


def test_an_earlier_lake_tells_its_columns_by_its_files(command, folder):
    shutil.copytree(FIXTURE, folder / "before")
    lake = Lake(stores.LocalStore(folder / "before").lake("lake"))
    (folder / "a.ndjson").write_bytes(sessions(["Peru"]))

    def landed():
        # An earlier lake gets its identity and the index of its imports before it is asked anything.
        begun = ("_lake.json", "_imports/")
        return [name for name in lake.files() if not name.startswith(begun)]

    before = landed()
    refused(command("import", "a.ndjson", "--partition", "", "--lake", lake.at.uri, expect=1))
    assert landed() == before
    command("import", "a.ndjson", "--lake", lake.at.uri)
    assert "_tables/user_sessions.json" in lake.files()


def test_a_table_without_files_takes_any_columns(command, local_lake, folder):
    (folder / "a.ndjson").write_bytes(sessions(["Peru"]))
    command("import", "a.ndjson", "--lake", local_lake.at.uri)
    shutil.rmtree(folder / "lake/user_sessions")
    command("import", "--again", "a.ndjson", "--partition", "land={country}", "--lake", local_lake.at.uri)
    assert by_land(local_lake) == {("Peru", "Peru"): 2}


def times(*values):
    rows = [{"userSessionId": f"t{n}", "startTime": value} for n, value in enumerate(values)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


TIMES = {
    "case 01: one of four in microseconds": [DAY, DAY, DAY, DAY * 1000],
    "seconds before the year 1": [DAY, -62135596800001, -62135596800000],
    "the ends of the calendar": [DAY, 253402300799999, 253402300800000, 9223372036854775807],
}
OUTSIDE = [1, 1, 2]


@pytest.mark.parametrize(("values", "outside"), list(zip(TIMES.values(), OUTSIDE)), ids=list(TIMES))
def test_case_01_a_time_out_of_the_calendar_breaks_no_reader(command, local_lake, folder, values, outside):
    (folder / "a.ndjson").write_bytes(times(*values))
    command("import", "a.ndjson", "--lake", local_lake.at.uri)
    connection = connect()
    ddl = command("schema", "user_sessions", "--format", "duckdb")
    connection.execute(ddl.replace("'data/lake/", f"'{local_lake.at.uri}/"))
    found = connection.execute(
        'SELECT "userSessionId", date, "startTime", _extra FROM user_sessions ORDER BY 1'
    ).fetchall()
    assert [row[0] for row in found] == [f"t{n}" for n in range(len(values))]
    lost = [row for row in found if row[1] is None]
    assert len(lost) == outside
    for name, _, start, extra in lost:
        assert start is None and json.loads(extra)["/startTime"] == values[int(name[1:])]
    for name in local_lake.data_files():
        rows = parquet.ParquetFile(folder / "lake" / name).read().to_pylist()
        assert rows
    assert local_lake.query("SELECT count(*) FROM {t} WHERE date = DATE '2025-11-24'")[0][0] >= 1


COUNTRIES = {
    "case 03: an ampersand": ["Trinidad & Tobago", "Austria"],
    "what URLs are made of": ["a+b", "a b", "a%20b", "a=b", "a?b#c", "a/b", "a;b,c:d", "a@b$c!", "%26"],
    "other letters and quotes": ["Côte d'Ivoire", 'say "x"', "日本", "[x]*{y}", "(a)~b_c-d.e", "x\\y", "<a>|^`"],
}


@pytest.mark.parametrize("values", COUNTRIES.values(), ids=list(COUNTRIES))
def test_case_03_partitions_of_any_text_are_read_from_a_bucket(command, seaweedfs, folder, values, request):
    lake = Lake(seaweedfs.lake(f"case-03-{list(COUNTRIES.values()).index(values)}"))
    (folder / "a.ndjson").write_bytes(sessions(values, 1))
    command("import", "a.ndjson", "--partition", "c={country}", "--lake", lake.at.uri, env=lake.at.env)
    source = f"read_parquet('{lake.uri('user_sessions')}/*/*.parquet', hive_partitioning=true, hive_types={{c: VARCHAR}})"
    rows = lake.connection.execute(f"SELECT c, country FROM {source}").fetchall()
    assert sorted(rows) == sorted((value, value) for value in values)
    for value in values:
        found = lake.connection.execute(f"SELECT count(*) FROM {source} WHERE c = ?", [value]).fetchall()
        assert found == [(1,)], value
    command("verify", lake.at.uri, "--rows", env=lake.at.env)


def test_spark_reads_letters_of_ascii_that_are_escaped(spark, folder):
    for value in ("%47ermany", "germany", "%4eew%20%59ork"):
        (folder / "t" / f"land={value}").mkdir(parents=True)
        duckdb.sql("SELECT 1 AS x").write_parquet(str(folder / f"t/land={value}/a.parquet"))
    rows = spark.read.parquet((folder / "t").as_uri()).collect()
    assert sorted(row.land for row in rows) == ["Germany", "New York", "germany"]


def test_duckdb_refuses_a_table_of_two_kinds_of_partitions(folder):
    """The reason that other columns are refused: one file is enough."""
    for place_of_file in ("date=1", "day=1"):
        (folder / "t" / place_of_file).mkdir(parents=True)
        duckdb.sql("SELECT 1 AS x").write_parquet(str(folder / "t" / place_of_file / "a.parquet"))
    with pytest.raises(duckdb.Error, match="(?i)hive"):
        duckdb.sql(f"SELECT * FROM read_parquet('{folder}/t/*/*.parquet', hive_partitioning=true)").fetchall()
