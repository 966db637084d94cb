"""Trino reads what DuckDB reads: plain tables by its Hive connector, Delta and Iceberg tables, in a bucket.

Trino is large and slow to start: only `tests/run trino` runs this.
"""

import copy
import datetime
import json
import subprocess

import pytest
from conftest import need
from harness import place
from harness import trino as trino_harness
from harness import views as model
from harness.delta import DeltaLake, differences, plain, rows
from harness.iceberg import IcebergLake
from harness.lake import TABLE, Lake
from harness.server import land
from sessions import Sessions
from test_readers import SCHEMA, made, settings
from test_views import FLAT as FLAT_TABLES
from test_views import MANY, PARTS, land_many, land_promoted, land_words, odd, run, shows_promoted, words_agree

pytestmark = [pytest.mark.trino, pytest.mark.timeout(900)]

FORMATS = ["plain", "delta", "iceberg_java", "iceberg_seaweedfs"]


@pytest.fixture(scope="module")
def catalogs(seaweedfs_catalog, java_catalog):
    """The Java catalog for lakes in the bucket, and SeaweedFS' own."""
    java = copy.copy(java_catalog)
    java.store = java.s3
    return {"iceberg_java": java, "iceberg_seaweedfs": seaweedfs_catalog}


@pytest.fixture(scope="module")
def lakes(seaweedfs_catalog, catalogs, tmp_path_factory):
    """The same bodies in a table of each format."""
    made = {}
    samples = place.CURL_CHECK.read_bytes(), place.CLASSIC.read_bytes()
    others = Sessions("trino", days=3).bulk(300)[1], b'{"userSessionId":"no time","stringTags":{"a":"b"}}\n'
    parts = "".join(json.dumps(document) + "\n" for document in odd()).encode(), PARTS.read_bytes()
    sent = (*samples, *others, *parts)
    for form in FORMATS:
        at = seaweedfs_catalog.store.lake(f"trino-{form.replace('_', '-')}")
        if form in catalogs:
            lake = IcebergLake(at, catalogs[form], f"of_{form}")
        else:
            lake = DeltaLake(at) if form == "delta" else Lake(at)
        flags = ["--table-format", form.split("_")[0], "--roll-age", "1h"]
        land(tmp_path_factory.mktemp("trino-server"), lake.at, flags, sent)
        made[form] = lake
    return made


@pytest.fixture(scope="module")
def trino(seaweedfs_catalog, catalogs, tmp_path_factory):
    need("trino")
    if trino_harness.java() is None:
        pytest.skip("trino: it wants Java 24 or newer, in JAVA_HOME or /usr/lib/jvm")
    properties = {name: catalog.for_trino() for name, catalog in catalogs.items()}
    folder = tmp_path_factory.mktemp("trino")
    server = trino_harness.Trino(folder, seaweedfs_catalog.store.port, properties)
    yield server
    server.close()


@pytest.fixture(scope="module")
def tables(trino, lakes):
    """What Trino calls the table of each lake."""
    printed = subprocess.run([place.binary(), "schema", TABLE, "--format", "trino"], capture_output=True, check=True)
    ddl = printed.stdout.decode()
    assert f"'s3://data/lake/{TABLE}'" in ddl
    trino.query("CREATE SCHEMA plain.by_ddl")
    uri = lakes["plain"].uri(TABLE)
    trino.query(ddl.replace(f"s3://data/lake/{TABLE}", uri), schema="plain.by_ddl")
    # The call that the DDL's comment has.
    [call] = [line[3:] for line in ddl.splitlines() if line.startswith("-- CALL")]
    trino.query(call.replace("'default'", "'by_ddl'"), schema="plain.by_ddl")
    trino.query("CREATE SCHEMA delta.registered")
    trino.query(f"CALL delta.system.register_table('registered', '{TABLE}', '{lakes['delta'].uri(TABLE)}')")
    named = {"plain": f"plain.by_ddl.{TABLE}", "delta": f"delta.registered.{TABLE}"}
    return named | {form: f"{form}.{lakes[form].namespace}.{TABLE}" for form in FORMATS if form not in named}


@pytest.mark.parametrize("form", FORMATS)
def test_all_values_of_all_columns(trino, lakes, tables, form):
    wanted = rows(lakes[form].connection.execute(f"SELECT * FROM {lakes[form].source()}").to_arrow_table())
    assert len(wanted) == 305 + 15 + 4
    found = trino.rows(f"SELECT * FROM {tables[form]}")
    by_id = lambda row: row["_ingest_id"]  # noqa: E731
    found = sorted((folded(plain(row)) for row in found), key=by_id)
    wanted = sorted((folded(row) for row in wanted), key=by_id)
    if not form.startswith("iceberg"):
        # Trino has the times of Hive and Delta tables in ms, rounded.
        wanted = [{**row, "_ingest_time": in_millis(row["_ingest_time"])} for row in wanted]
    assert not differences(found, wanted)


@pytest.mark.parametrize("form", FORMATS)
def test_filters_and_lists(trino, lakes, tables, form):
    """What is filtered by time, by partition and within lists is counted as DuckDB counts it."""
    day = "TIMESTAMP '2017-11-23 00:00:00 UTC'" if form != "plain" else "TIMESTAMP '2017-11-23 00:00:00'"
    for sql, other in (
        ("SELECT count(*) FROM {t}", None),
        (f'SELECT count(*) FROM {{t}} WHERE "startTime" >= {day}', None),
        (f'SELECT count(*) FROM {{t}} WHERE "startTime" < {day}', None),
        ("SELECT count(*) FROM {t} WHERE country IS NULL", None),
        ("SELECT country, count(*) FROM {t} GROUP BY 1 ORDER BY 1 NULLS FIRST", None),
        (
            "SELECT count(*), count(DISTINCT a.name) FROM {t} CROSS JOIN UNNEST(userActions) AS a",
            'SELECT count(*), count(DISTINCT a.name) FROM (SELECT unnest("userActions") AS a FROM {t})',
        ),
    ):
        by_duckdb = (other or sql).format(t=lakes[form].source())
        expected = [list(row) for row in lakes[form].connection.execute(by_duckdb).fetchall()]
        assert trino.query(sql.format(t=tables[form])) == expected, sql


@pytest.mark.parametrize("form", FORMATS)
def test_views(trino, lakes, tables, form):
    """The views that the program prints show what the model makes of the table's rows."""
    lake, schema = lakes[form], tables[form].rsplit(".", 1)[0]
    flags = ["--lake", lake.at.uri, "--table-format", form.split("_")[0]]
    printed = subprocess.run(
        [place.binary(), "schema", "--format", "views-trino", *flags], capture_output=True, check=True
    ).stdout.decode()
    for statement in printed.split(";\n"):
        if statement.strip():
            trino.query(statement, schema=schema)
    kept = lake.connection.execute(f"SELECT * FROM {lake.source()}").to_arrow_table().to_pylist()
    if not form.startswith("iceberg"):
        kept = [row | {"_ingest_time": in_millis(row["_ingest_time"])} for row in kept]
    for view, rows_of_view in model.expected(kept).items():
        found = [model.shape(row) for row in trino.rows(f"SELECT * FROM {schema}.{view}")]
        found = [folded(row) for row in model.in_order(found)]
        assert found and not differences(found, [folded(row) for row in rows_of_view]), view


def test_views_show_values_of_before_and_names_of_any_text(trino, seaweedfs_catalog, tmp_path):
    lake = DeltaLake(seaweedfs_catalog.store.lake("trino-before"))
    of_words = ["--lake", lake.at.uri, "--table-format", "delta"]
    flags = {
        TABLE: land_promoted(tmp_path, lake, "both", "delta"),
        "words": land_words(tmp_path, *of_words, env=lake.at.env),
    }
    for table, of in flags.items():
        schema = f"delta.before_{table}"
        trino.query(f"CREATE SCHEMA {schema}")
        trino.query(f"CALL delta.system.register_table('before_{table}', '{table}', '{lake.uri(table)}')")
        of = [flag for flag in of if not flag.startswith("words_")]
        of = [flag for flag in of if flag != "--flat-tables"]
        for statement in run(tmp_path, "schema", "--format", "views-trino", *of, env=lake.at.env).split(";\n"):
            if statement.strip():
                trino.query(statement, schema=schema)
        query = lambda sql: trino.query(sql, schema=schema)  # noqa: B023, E731
        if table == TABLE:
            shows_promoted(query, "CAST(to_unixtime(seen) * 1000 AS BIGINT)")
        else:
            words_agree(query, '"')


@pytest.mark.timeout(7200)
def test_views_agree_with_flat_tables(trino, seaweedfs_catalog, tmp_path):
    """Row by row and value by value, by Trino itself, but for rows of doubles, which views leave out."""
    at = seaweedfs_catalog.store.lake("trino-flat")
    land_many(tmp_path, MANY // 10, at, "--table-format", "delta")
    for schema, tables in (("views", [TABLE]), ("flat", FLAT_TABLES)):
        trino.query(f"CREATE SCHEMA delta.{schema}_of_many")
        for table in tables:
            of = f"'{schema}_of_many', '{table}', '{at.uri}/{table}'"
            trino.query(f"CALL delta.system.register_table({of})")
    flags = ["--lake", at.uri, "--table-format", "delta"]
    for statement in run(tmp_path, "schema", "--format", "views-trino", *flags, env=at.env).split(";\n"):
        if statement.strip():
            trino.query(statement, schema="delta.views_of_many")
    for table in FLAT_TABLES:
        flat, view = f"delta.flat_of_many.{table}", f"delta.views_of_many.{table}"
        described = [(name, kind) for name, kind, *_ in trino.query(f"DESCRIBE {flat}") if name != "date"]
        # Trino does not compare lists of rows that have nulls.
        names = ", ".join(
            "json_format(json_parse(_extra))" if name == "_extra"
            else f'json_format(CAST("{name}" AS JSON))' if kind.startswith("array")
            else f'"{name}"'
            for name, kind in described
        )  # fmt: skip
        latest = "SELECT _ingest_id FROM delta.views_of_many.user_sessions_latest"
        kept = f"SELECT {names} FROM {flat} WHERE _ingest_id IN ({latest})"
        shown = f"SELECT {names} FROM {view}"
        counts = [trino.query(f"SELECT count(*) FROM ({query})") for query in (kept, shown)]
        assert counts[0] == counts[1] and counts[0][0][0] > 100, table
        assert trino.query(f"({kept}) EXCEPT ALL ({shown}) LIMIT 3") == [], table


# The fourth is compressed with LZ4, which Trino 476 does not read.
@pytest.mark.parametrize("seed", [1, 2, 3, 5])
def test_generated_documents(trino, seaweedfs_catalog, tmp_path, seed):
    """Files of every type and depth, of each setting of encodings but `split`: the rows are the documents."""
    found = [one for one in settings("encodings") if one != "split"]
    case = made(tmp_path, seed, found[seed % len(found)], seaweedfs_catalog.store.lake(f"trino-nasty-{seed}"))
    command = [place.binary(), "schema", "--schema", SCHEMA, "--format", "trino"]
    ddl = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    trino.query(f"CREATE SCHEMA plain.nasty_{seed}")
    ddl = ddl.replace("s3://data/lake/nasty", case.lake.uri("nasty"))
    trino.query(ddl, schema=f"plain.nasty_{seed}")
    names = ", ".join(f'"{name}"' for name in case.wanted.column_names)
    found = trino.rows(f'SELECT {names} FROM plain.nasty_{seed}.nasty ORDER BY "row"')
    wanted = [folded(plain(row)) for row in case.wanted.to_pylist()]
    assert not differences([folded(plain(row)) for row in found], wanted), case
    for name in ("id", "key", "at", "price", "text2", "n2", "time"):
        values = sorted({value for value in case.wanted[name].to_pylist() if value is not None})
        for value in values[:1] + values[-1:] + values[len(values) // 2 :][:1]:
            if isinstance(value, str) and len(value) > 400:
                continue
            compared = literal(value)
            told = trino.query(f'SELECT "row" FROM plain.nasty_{seed}.nasty WHERE "{name}" = {compared} ORDER BY 1')
            has = [at for at, found in enumerate(case.wanted[name].to_pylist()) if found == value]
            assert [row for (row,) in told] == has, (name, compared, str(case))


def literal(value):
    """A value in Trino's SQL."""
    if isinstance(value, str):
        marked = "".join(f"\\+{ord(sign):06x}" for sign in value)
        return f"U&'{marked}'"
    if isinstance(value, datetime.datetime):
        return f"TIMESTAMP '{value.replace(tzinfo=None).isoformat(sep=' ')}'"
    return f"DOUBLE '{value!r}'" if isinstance(value, float) else f"BIGINT '{value}'"


def in_millis(time):
    return time.replace(microsecond=0) + datetime.timedelta(milliseconds=(time.microsecond + 500) // 1000)


def folded(value):
    """A value as Trino can tell it: names in small letters, maps without an order."""
    if isinstance(value, dict):
        return {name.lower(): folded(inner) for name, inner in sorted(value.items(), key=lambda i: i[0].lower())}
    if isinstance(value, list):
        inner = [folded(item) for item in value]
        pairs = all(isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) for item in inner)
        return sorted(inner, key=repr) if pairs else inner
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None)
    return value
