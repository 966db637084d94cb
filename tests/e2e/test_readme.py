"""The README's commands, and the queries of docs/delta.md, docs/views.md and docs/flat-tables.md, run as they
stand there.

A fenced block is run when the line before it is `<!-- test: … -->`. In the README: `first look` alone in an
empty folder, with commands `sessionlake`, `duckdb` (the Python module) and `cargo` (which does nothing);
`demo` with a server on port 3000; `queries` once everything has landed, in the same folder.
"""

import os
import re
import signal
import subprocess
import sys

import pytest
from harness import place, stores
from harness.delta import DeltaLake
from harness.lake import Lake, connect
from harness.server import Server
from test_first_look import port_3000  # noqa: F401

# Like the command: runs what comes by -c or standard input, prints what it gives.
DUCKDB = """import sys, duckdb
text = sys.argv[sys.argv.index("-c") + 1] if "-c" in sys.argv else sys.stdin.read()
print(duckdb.connect().execute(text).fetchall())
"""
BLOCK = re.compile(r"^<!-- test: ([\w ]+) -->\n+```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(of="README.md"):
    text = place.ROOT / of
    return BLOCK.findall(text.read_text()) if text.exists() else []


@pytest.fixture
def shell(folder):
    """Runs the text of a block in bash as the reader would, and returns what it prints."""
    (folder / "tests").symlink_to(place.TESTS)
    (folder / "examples").symlink_to(place.ROOT / "examples")
    commands = folder / "bin"
    commands.mkdir()
    for name, text in {"duckdb": f"#!{sys.executable}\n{DUCKDB}", "cargo": "#!/bin/sh\n"}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    (commands / "sessionlake").symlink_to(place.binary().resolve())
    env = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"}

    def run(text):
        bash = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=env, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            told = bash.communicate(timeout=90)[0]
        finally:
            # What the block left in the background.
            try:
                os.killpg(bash.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        assert bash.returncode == 0, told
        return told

    return run


def only(kind, of="README.md"):
    (text,) = (text for found, text in blocks(of) if found == kind)
    return text


def test_the_first_look_of_the_readme(folder, shell, port_3000):  # noqa: F811
    told = shell(only("first look"))
    assert "United States" in told and '"duplicate":false' in told, told
    assert '{"status":"OK","lines":1,"bytes":156,"duplicate":false}' in told
    assert not (folder / "data").exists()


def test_the_demo_of_the_readme(folder, shell, port_3000):  # noqa: F811
    server = Server(folder, Lake(stores.LocalStore(folder / "data").lake("lake")).at, cwd=folder)
    server.command = lambda: [place.binary(), "serve", "--roll-age", "1s"]
    server.start()
    try:
        shell(only("demo"))
        server.drain()
    finally:
        server.close()
    told = shell(only("queries"))
    assert "United States" in told, told


def test_the_queries_of_the_pages_on_views_and_flat_tables(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    command("simulate", "--seed", "3", "--sessions", "100", "--out", "made.ndjson")
    command("import", "made.ndjson", "--flat-tables", "user_actions,user_properties")
    connection = connect()
    connection.execute(command("schema", "--format", "views-duckdb"))
    for page in ("docs/views.md", "docs/flat-tables.md"):
        found = [text for kind, text in blocks(page) if kind == "duckdb"]
        assert found, page
        for statement in (one for text in found for one in connection.extract_statements(text)):
            rows = connection.execute(statement).fetchall()
    # The last one has the rows of a flat table.
    landed = connection.execute("SELECT count(*) FROM 'data/lake/user_actions/*/*.parquet'").fetchall()
    assert rows and landed == [(len(rows),)]


@pytest.fixture
def delta_docs(folder, make_server, monkeypatch):
    """The blocks of docs/delta.md by kind, in a folder with the lake that they name; sessions in it."""
    lake = DeltaLake(stores.LocalStore(folder / "data").lake("lake"))
    server = make_server(lake, "--table-format", "delta").start()
    assert "SELECT * FROM delta_scan('" in server.process.output(), "it says how to look at the table"
    assert server.put(place.CURL_CHECK.read_bytes()).status == 200
    assert server.put(place.CLASSIC.read_bytes()).status == 200
    server.drain()
    monkeypatch.chdir(folder)
    return dict(blocks("docs/delta.md"))


def test_the_queries_of_the_page_on_delta_tables(delta_docs):
    connection = connect()
    # The tests' extension is installed.
    assert connection.execute(delta_docs["duckdb"].replace("INSTALL delta;", "")).fetchall() == [(4,)]
    found = {}
    exec(delta_docs["python"], found)  # noqa: S102
    assert found["table"].num_rows == len(found["frame"]) == 4


@pytest.mark.spark
def test_the_query_of_the_page_on_delta_tables_by_spark(spark, delta_docs, folder):
    # A relative path is below where Java was started.
    query = delta_docs["spark"].replace("data/lake", f"{folder}/data/lake").strip().rstrip(";")
    assert [tuple(row) for row in spark.sql(query).collect()] == [(4,)]
