"""The README's commands, and the queries of docs/delta.md, docs/views.md and docs/flat-tables.md, run as they
stand there.

A fenced block in the README is run when the line before it is `<!-- test: shell -->` (with a
server on port 3000 and data in ./data, as the README's reader has them), `<!-- test: sql -->` (by
DuckDB, in the same folder) or `<!-- test: queries -->` (a shell again, with `sessionlake`, and a
`duckdb` command that is the Python module, once everything has landed). Blocks run in their order, in one folder.
"""

import os
import re
import subprocess
import sys

import pytest
from harness import place, stores
from harness.delta import DeltaLake
from harness.lake import Lake, connect
from harness.server import Server
from test_first_look import port_is_free

# Like the command: runs what comes by standard input, prints what it gives.
DUCKDB = """import sys, duckdb
print(duckdb.connect().execute(sys.stdin.read()).fetchall())
"""
BLOCK = re.compile(r"^<!-- test: (\w+) -->\n+```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(of="README.md"):
    text = place.ROOT / of
    return BLOCK.findall(text.read_text()) if text.exists() else []


def test_the_commands_of_the_readme(folder, monkeypatch):
    found = blocks()
    if not found:
        pytest.skip("README.md marks no block with <!-- test: … -->")
    if not port_is_free(3000):
        pytest.skip("port 3000 is taken on this machine")
    assert {kind for kind, _ in found} <= {"shell", "sql", "queries"}, found
    monkeypatch.chdir(folder)
    (folder / "tests").symlink_to(place.TESTS)
    (folder / "examples").symlink_to(place.ROOT / "examples")
    server = Server(folder, Lake(stores.LocalStore(folder / "data").lake("lake")).at, cwd=folder)
    server.command = lambda: [place.binary(), "serve", "--roll-age", "1s"]
    server.start()
    try:
        for text in (text for kind, text in found if kind == "shell"):
            subprocess.run(
                ["bash", "-euc", text], cwd=folder, check=True, timeout=60, stdin=subprocess.DEVNULL
            )
        server.drain()
    finally:
        server.close()
    connection = connect()
    for text in (text for kind, text in found if kind == "sql"):
        assert connection.execute(text).fetchall(), text
    duckdb = folder / "bin" / "duckdb"
    duckdb.parent.mkdir()
    duckdb.write_text(f"#!{sys.executable}\n{DUCKDB}")
    duckdb.chmod(0o755)
    (duckdb.parent / "sessionlake").symlink_to(place.binary().resolve())
    env = {**os.environ, "PATH": f"{duckdb.parent}:{os.environ['PATH']}"}
    for text in (text for kind, text in found if kind == "queries"):
        told = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=folder, env=env, check=True, timeout=60, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip
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
