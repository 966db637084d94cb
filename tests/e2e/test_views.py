"""The views that `schema --format views-…` prints, by DuckDB and Spark, over tables of each format: row by row and
value by value what the model in harness/views.py makes of the table's rows."""

import collections
import json
import os
import random
import re

import pytest
from harness import place
from harness import spark as spark_harness
from harness import views as model
from harness.delta import DeltaLake, differences
from harness.flat import same_rows
from harness.iceberg import IcebergLake
from harness.lake import TABLE, Lake, connect
from harness.process import Process, clean_environment
from harness.stores import LocalStore

VIEWS = ["user_sessions_latest", "sessions", "user_actions", "user_events", "user_errors", "user_properties"]
SESSIONS = 1500
# A soak of fewer sessions, where 100,000 take too long: SOAK_SESSIONS=5000.
MANY = int(os.environ.get("SOAK_SESSIONS", "100000"))
PARTS = place.ROOT / "tests/data/parts-and-doubles.ndjson"
DAY_MS = 86_400_000
NOON = 1_795_608_000_000


def run(folder, *arguments, env=None):
    process = Process([place.binary(), *arguments], folder / "log", clean_environment(**(env or {})), folder)
    assert process.wait(300) == 0, process.tail()
    return process.output()


def in_parts(document, rng):
    """A session as the exporter splits it: 2 to 4 parts with their actions, now and then over midnight."""
    actions = document.get("userActions") or []
    count = rng.randrange(2, 5)
    step = rng.choice([60_000, 3_600_000, DAY_MS // 2])
    for number in range(count):
        part = document | {"partNumber": number, "userActions": actions[number::count]}
        for name in ("startTime", "endTime"):
            if isinstance(part.get(name), int):
                part[name] += number * step
        if number < count - 1:
            part |= {"endReason": "USER_ACTION_LIMIT", "matchingConversionGoalsCount": 0, "bounce": False}
        if rng.random() < 0.3:
            part["country"] = None
        yield part


def drifted(folder, count, seed):
    """Generated and drifted sessions, some of them in parts, in any order, some twice, one in a later import:
    two lists of lines, and the number of sessions that they are of. Lines take a tenth of the memory that
    documents take."""
    arguments = ["--sessions", str(count), "--seed", str(seed), "--days", "4", "--drift", "5%", "--format", "mixed"]
    run(folder, "simulate", *arguments, "--out", "made.ndjson")
    rng, first, ids = random.Random(seed), [], set()
    with open(folder / "made.ndjson") as lines:
        for line in lines:
            document = json.loads(line)
            split = "partNumber" not in document and "userSessionId" in document and rng.random() < 0.1
            for part in in_parts(document, rng) if split else [document]:
                session = part.get("userSessionId", part.get("visitId"))
                ids.add((part.get("tenantId"), session) if session is not None else len(first))
                first.append(line_of(part))
    later = [line_of(changed(json.loads(line), rng)) for line in rng.sample(first, count // 10)]
    rng.shuffle(first)
    return first, later, len(ids)


def line_of(document):
    return json.dumps(document).encode()


def changed(document, rng):
    """A session that comes once more: as it was, or with what was not known before."""
    return document | ({"country": "Liechtenstein"} if rng.random() < 0.5 and "country" in document else {})


def odd():
    """Sessions with what generated ones do not have."""
    base = {"tenantId": "odd", "startTime": NOON, "endTime": NOON + 1000}
    action = {"name": "a", "startTime": NOON, "stringProperties": [{"key": "k", "value": "v"}, None, {"key": "n"}]}
    many = [action | {"newInAction": number} for number in range(12)]
    return [
        base | {"note": "no id of the session"},
        base | {"note": "no id of the session"},
        {"userSessionId": "no tenant and no time"},
        {"userSessionId": "no tenant and no time", "country": "Austria"},
        base | {"userSessionId": "null elements", "userActions": [None, action, None, 5, {}], "events": [None], "errors": []},
        base | {"userSessionId": "many", "userActions": many, "events": [{"x/y~\"'": {"deep": [1.5, "1.50", None]}}]},
        base | {"userSessionId": "tags", "partNumber": 1, "stringTags": {"a": "1", "b": "1"}, "numTags": {"x": 1.5}},
        base | {"userSessionId": "tags", "partNumber": 0, "stringTags": {"a": "0", "c": "'0\\"}, "dateTags": {"d": NOON}},
        base | {"userSessionId": "huge", "partNumber": 0, "userActionCount": 2**62},
        base | {"userSessionId": "huge", "partNumber": 1, "userActionCount": 2**60, "replayStart": NOON, "hasCrash": True},
        base | {"userSessionId": "bounce", "partNumber": 0, "bounce": False, "duration": 1},
        base | {"userSessionId": "bounce", "partNumber": 1, "bounce": True, "endTime": NOON + 5000, "duration": 1},
        base | {"userSessionId": "extras", "partNumber": 0, "more": {"a": 1}, "longProperties": [{"key": "k", "value": 5.5}]},
        base | {"userSessionId": "of an action", "userActions": [None, {"longProperties": [None, {"key": "k", "value": 5.5, "more": [1]}]}]},
        base | {"userSessionId": "extras", "partNumber": 1, "doubleProperties": [{"key": "k", "value": 0.5, "more": []}]},
    ]  # fmt: skip


def land(folder, documents, name, *flags, env=None):
    """Imports documents, or lines of them."""
    with open(folder / name, "wb") as file:
        for document in documents:
            file.write((document if isinstance(document, bytes) else line_of(document)) + b"\n")
    run(folder, "import", name, *flags, env=env)


def landed(folder, lake, form, count=SESSIONS, seed=1):
    """Has a lake of the format land the documents, in two imports. Returns the number of sessions."""
    first, later, sessions = drifted(folder, count, seed)
    flags = ["--lake", lake.at.uri, "--table-format", form]
    land(folder, first + odd(), "first.ndjson", *flags, env=lake.at.env)
    land(folder, later, "later.ndjson", *flags, env=lake.at.env)
    extra = {d.get("userSessionId") for d in odd()} - {None}
    return sessions + len(extra) + 2


def printed(folder, lake, engine, form):
    flags = ["--lake", lake.at.uri, "--table-format", form]
    return run(folder, "schema", "--format", f"views-{engine}", *flags, env=lake.at.env)


def shown(table):
    """The rows of an Arrow table in the model's shape."""
    return model.in_order(model.shape(row) for row in table.to_pylist())


def agree(found, wanted):
    """Every view has the rows and values of the model."""
    for view in VIEWS:
        assert wanted[view], view
        assert not differences(found(view), wanted[view]), view


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A plain lake, a DuckDB with its views, and the number of its sessions."""
    folder = tmp_path_factory.mktemp("views")
    lake = Lake(LocalStore(folder).lake("it's a lake"))
    sessions = landed(folder, lake, "plain")
    lake.connection.execute(printed(folder, lake, "duckdb", "plain"))
    return folder, lake, sessions


def rows_of(connection, source):
    return connection.execute(f"SELECT * FROM {source}").to_arrow_table().to_pylist()


def by_duckdb(connection):
    return lambda view: shown(connection.execute(f"SELECT * FROM {view}").to_arrow_table())


@pytest.fixture(scope="module")
def wanted(plain):
    return model.expected(rows_of(plain[1].connection, TABLE))


def test_duckdb_over_plain_files(plain, wanted):
    agree(by_duckdb(plain[1].connection), wanted)


def test_the_count_of_sessions_is_that_of_the_documents(plain):
    _, lake, sessions = plain
    count = lake.connection.execute("SELECT count(*), sum(parts) FROM sessions").fetchone()
    rows = lake.connection.execute("SELECT count(*) FROM user_sessions").fetchone()[0]
    assert count[0] == sessions and count[1] < rows, (count, rows)
    assert lake.connection.execute("SELECT max(parts) FROM sessions").fetchone() == (4,)


def test_equal_keys_without_a_column_and_equal_sessions_of_one_body(tmp_path):
    """A document may have a key twice, and a body more than nine sessions of one key: the last is the newest."""
    twice = '{"zz":1,"zz":[2],"yy":"\\""}'
    documents = ['{"userSessionId":"twice","userActions":[%s],"stringProperties":[{"key":"k",%s]}' % (twice, twice[1:])]
    documents += [json.dumps({"userSessionId": "equal", "startTime": NOON, "userType": f"v{n}"}) for n in range(12)]
    (tmp_path / "in.ndjson").write_text("".join(f"{document}\n" for document in documents))
    run(tmp_path, "import", "in.ndjson", "--lake", "lake")
    connection = connect()
    connection.execute(run(tmp_path, "schema", "--format", "views-duckdb", "--lake", str(tmp_path / "lake")))
    for view in ("user_actions", "user_properties"):
        (extra,) = connection.execute(f"SELECT _extra FROM {view}").fetchone()
        assert json.loads(extra, object_pairs_hook=tuple) == (("/zz", 1), ("/zz", [2]), ("/yy", "\"")), view
    found = connection.execute("SELECT userType FROM sessions WHERE userSessionId = 'equal'").fetchall()
    assert found == [("v11",)]


def test_columns_stand_in_the_documented_order(plain):
    connection = plain[1].connection
    columns = [row[0] for row in connection.execute("DESCRIBE user_actions").fetchall()]
    assert columns[:5] == ["tenantId", "userSessionId", "partNumber", "sessionStartTime", "sessionUserType"]
    assert columns[columns.index("position") :][:3] == ["position", "name", "domain"]
    assert columns[-4:] == ["_ingest_time", "_ingest_id", "_extra", "date"]
    columns = [row[0] for row in connection.execute("DESCRIBE sessions").fetchall()]
    assert columns[-5:] == ["parts", "_ingest_time", "_ingest_id", "_extras", "date"]


def plan(connection, sql):
    """The text of the plan of a query that was run, as JSON."""
    return connection.execute(f"EXPLAIN (ANALYZE, FORMAT json) {sql}").fetchall()[0][1]


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "sessions"])
def test_a_filter_on_the_day_reads_the_files_of_that_day(plain, view):
    connection = plain[1].connection
    days = connection.execute("SELECT count(DISTINCT date) FROM user_sessions").fetchone()[0]
    day = connection.execute("SELECT max(date) FROM user_sessions WHERE date < '2026-11-20'").fetchone()[0]
    files = connection.execute(
        f"SELECT count(*) FROM glob('{escaped(plain[1].uri(TABLE))}/date={day}/*.parquet')"
    ).fetchone()[0]
    told = plan(connection, f"SELECT count(*), count(tenantId) FROM {view} WHERE date = '{day}'")
    read = [int(number) for number in re.findall(r'"Total Files Read": "(\d+)"', told)]
    assert days > 3 and read and max(read) <= files, told


def test_a_query_reads_its_columns_and_the_keys(plain):
    told = plan(plain[1].connection, "SELECT country, count(*) FROM sessions GROUP BY country")
    assert "country" in told and "browserFamily" not in told and "userActions" not in told, told
    told = plan(plain[1].connection, "SELECT name, count(*) FROM user_actions GROUP BY name")
    assert "userActions" in told and "country" not in told and "events" not in told, told


def escaped(path):
    return path.replace("'", "''")


def test_a_sample_of_parts_and_doubles(tmp_path):
    """One session in three parts, the middle one twice."""
    lake = Lake(LocalStore(tmp_path).lake("lake"))
    run(tmp_path, "import", str(PARTS), "--lake", lake.at.uri)
    lake.connection.execute(printed(tmp_path, lake, "duckdb", "plain"))
    asked = "SELECT parts, userActionCount, matchingConversionGoalsCount, duration, len(userActions), endReason FROM {}"
    assert lake.connection.execute(asked.format("sessions")).fetchall() == [(3, 417, 1, 7000, 3, "TIMEOUT")]
    assert lake.connection.execute("SELECT count(*) FROM user_actions").fetchone() == (3,)


def test_a_table_of_another_name_and_partition(tmp_path):
    """Its views begin with its name, and a partition that is not of startTime stays a column."""
    lake = Lake(LocalStore(tmp_path).lake("lake"))
    texts = [{"userSessionId": text, "startTime": NOON, "country": text} for text in ("007", "08")]
    land(tmp_path, [document | {"country": None} for document in odd()] + texts, "odd.ndjson", "--lake", lake.at.uri, *OTHER)
    text = run(tmp_path, "schema", "--format", "views-duckdb", "--lake", lake.at.uri, *OTHER)
    lake.connection.execute(text)
    views = {row[0] for row in lake.connection.execute("SHOW TABLES").fetchall()}
    assert views == {"eu", "eu_latest", "eu_sessions", "eu_actions", "eu_events", "eu_errors", "eu_properties"}
    assert lake.connection.execute("SELECT count(*), count(land) FROM eu_sessions").fetchone() == (12, 2)
    # Texts that look like numbers stay texts.
    assert set(lake.connection.execute("SELECT land FROM eu").fetchall()) == {(None,), ("007",), ("08",)}


SCHEMA = place.ROOT / "schemas/user_sessions.avsc"
OTHER = ["--table", "eu", "--schema", str(SCHEMA), "--partition", "land={country}/month={startTime:%Y-%m}"]


def test_a_table_that_has_no_sessions_has_no_views(command):
    orders = ["--table", "orders", "--schema", str(place.ROOT / "examples/orders.avsc"), "--partition", ""]
    told = command("schema", "--format", "views-trino", *orders, expect=2)
    assert "orders has no column userSessionId" in told
    assert "--lake is for views only" in command("schema", "--format", "avro", "--lake", "x", expect=2)


PROMOTED = [
    ("/plan", "string"),
    ("/a~1b", "long"),
    ("/seen", "timestamp-millis"),
    ("/userActions/*/heap", "double"),
    ("/events/*/kept", "boolean"),
    ("/marks", "string[]"),
    ("/userActions/*/sizes", "double[]"),
]


def promote(folder):
    """Writes a schema with columns for these fields; returns it as flags."""
    schema = SCHEMA
    for number, (pointer, kind) in enumerate(PROMOTED):
        text = run(folder, "schema", "promote", pointer, "--type", kind, "--schema", str(schema))
        schema = folder / f"schema-{number}.avsc"
        schema.write_text(text)
    return ["--schema", str(schema)]


def promotable():
    """Values of the type of the column, and of others: a document for each column of the first kind."""
    base = {"tenantId": "t", "startTime": NOON}
    values = [
        ("gold", 7, NOON, 0.5, True, ["a", None, "c"], [1, 2.5]),
        ("", 2.0, float(NOON), 3, False, [], [2**53 + 1, 2**62, None, "7"]),
        (5, "7", "x", "0.5", "true", "a", {"a": 1}),
        ("5", 7.5, 9e15, None, 1, ["a", 5, ["b"], True], [[1], 10**25]),
        (None, None, None, 2**53 + 1, None, None, None),
    ]
    for number, (plan, ab, seen, heap, kept, marks, sizes) in enumerate(values):
        actions = [{"name": "first"}] * number + [{"name": "last", "heap": heap, "sizes": sizes}]
        yield base | {"userSessionId": f"S{number}", "plan": plan, "a/b": ab, "seen": seen, "marks": marks} | {
            "userActions": actions,
            "events": [{"kept": kept}],
        }


SHOWN = [
    ("SELECT userSessionId, plan, a_b, {ms} FROM sessions ORDER BY 1",
     [("S0", "gold", 7, NOON), ("S1", "", 2, NOON), ("S2", None, None, None), ("S3", "5", None, None), ("S4",) + (None,) * 3]),
    ("SELECT userSessionId, marks FROM sessions ORDER BY 1",
     [("S0", ["a", None, "c"]), ("S1", []), ("S2", None), ("S3", ["a", None, None, None]), ("S4", None)]),
    ("SELECT userSessionId, heap, sizes FROM user_actions WHERE name = 'last' ORDER BY 1",
     [("S0", 0.5, [1.0, 2.5]), ("S1", 3.0, [None, float(2**62), None, None]), ("S2", None, None), ("S3", None, [None, None]),
      ("S4", None, None)]),
    ("SELECT userSessionId, kept FROM user_events ORDER BY 1",
     [("S0", True), ("S1", False), ("S2", None), ("S3", None), ("S4", None)]),
]  # fmt: skip


@pytest.mark.parametrize("order", ["before", "after", "both"])
def test_a_promoted_column_has_the_values_of_before(tmp_path, order):
    """Whether rows landed before the column was there, after, or some before and some after."""
    lake = Lake(LocalStore(tmp_path).lake("lake"))
    flags = land_promoted(tmp_path, lake, order)
    lake.connection.execute(run(tmp_path, "schema", "--format", "views-duckdb", *flags))
    shows_promoted(lambda sql: lake.connection.execute(sql).fetchall(), "epoch_ms(seen)")


def land_promoted(folder, lake, order, form="plain"):
    """Lands them before fields were promoted, after, or some before and some after. Returns the flags of the table."""
    documents, flags = list(promotable()), ["--lake", lake.at.uri, "--table-format", form]
    schema = promote(folder)
    before = {"before": documents, "after": [], "both": documents[::2]}[order]
    if before:
        land(folder, before, "before.ndjson", *flags, env=lake.at.env)
    if after := [document for document in documents if document not in before]:
        land(folder, after, "after.ndjson", *flags, *schema, env=lake.at.env)
    return [*flags, *schema]


def shows_promoted(query, ms):
    """The views by `query` have the values of before; `ms` writes the milliseconds of a time."""
    for sql, wanted in SHOWN:
        assert [tuple(row) for row in query(sql.format(ms=ms))] == wanted, sql


HOSTILE = "it's \"a\"\\b`c`/d~e. ü ${env:HOME} --"
WORDS = ("select", "order", "group", "x", "t", "k", "u", "e", "v", "o", "key", "value")


def words_schema(folder):
    """A schema whose columns are words of SQL or names that the views use, and whose members are of any text."""
    text = lambda name, **more: {"name": name, "type": ["null", "string"], "default": None} | more  # noqa: E731
    number = lambda name, **more: {"name": name, "type": ["null", "long"], "default": None} | more  # noqa: E731
    records = lambda name, fields, of, **more: {  # noqa: E731
        "name": name, "default": None,
        "type": ["null", {"type": "array", "items": ["null", {"type": "record", "name": of, "fields": fields}]}],
    } | more  # fmt: skip
    entry = [text("key"), text("value"), text("unit", json=HOSTILE, promoted=True)]
    action = [
        text("name"), text("from", json=["in", HOSTILE]), number("table"), number("x"),
        number("step", json=HOSTILE, promoted=True), records("stringProperties", entry, "Entry", json=f"p{HOSTILE}"),
    ]  # fmt: skip
    time = {"type": "long", "logicalType": "timestamp-millis"}
    fields = [
        text("tenantId"), text("userSessionId"), {"name": "startTime", "type": ["null", time], "default": None},
        number("partNumber"), *(text(word) for word in WORDS),
        {"name": "marks", "json": HOSTILE, "promoted": True, "type": ["null", {"type": "array", "items": "string"}], "default": None},
        records("userActions", action, "Action", json=["in", HOSTILE]),
        records("events", [text("where"), text("end"), number("e")], "Event"),
    ]  # fmt: skip
    schema = {"type": "record", "name": "words", "fields": fields}
    (folder / "words.avsc").write_text(json.dumps(schema))
    # As it was before fields were promoted.
    for record in (fields, action, entry):
        record[:] = [field for field in record if not field.get("promoted")]
    (folder / "before.avsc").write_text(json.dumps(schema))


def words_documents():
    base = {"tenantId": "t", "startTime": NOON, **{word: f"{word}'" for word in WORDS}, HOSTILE: ["a", None, 5]}
    entry = {"key": "k", "value": "v", HOSTILE: "ms", "more\"": 1}
    action = {"name": "a", "in": {HOSTILE: "b"}, "table": 1, "x": "no number", HOSTILE: 7.0, f"p{HOSTILE}": [None, entry]}
    for number in range(6):
        events = [{"where": "w", "end": 5, "e": number}, None]
        yield base | {"userSessionId": f"S{number}", "in": {HOSTILE: [None, action, 3]}, "events": events}


def land_words(folder, *flags, env=None):
    """Lands them in a table `words`, half of them before fields were promoted. Returns the flags of the table."""
    words_schema(folder)
    documents = list(words_documents())
    flags = ["--table", "words", "--partition", "select_={select}/date={startTime:%Y-%m-%d}", *flags]
    flags += ["--flat-columns", ",".join(WORDS), "--flat-tables", "words_actions,words_events,words_properties"]
    land(folder, documents[:3], "before.ndjson", *flags, "--schema", str(folder / "before.avsc"), env=env)
    flags += ["--schema", str(folder / "words.avsc")]
    land(folder, documents[3:] + documents[:1], "after.ndjson", *flags, env=env)
    return flags


WORDS_SHOWN = [
    ("SELECT userSessionId, marks FROM words_sessions ORDER BY 1", [[f"S{n}", ["a", None, None]] for n in range(6)]),
    ("SELECT userSessionId, position, name, {q}from{q}, {q}table{q}, x, step, {q}sessionSelect{q}, {q}sessionX{q}, _extra"
     " FROM words_actions ORDER BY 1",
     [[f"S{n}", 1, "a", "b", 1, None, 7, "select'", "x'"] for n in range(6)]),
    ("SELECT userSessionId, {q}actionPosition{q}, {q}actionName{q}, position, {q}key{q}, {q}stringValue{q}, unit, _extra"
     " FROM words_properties ORDER BY 1",
     [[f"S{n}", 1, "a", 1, "k", "v", "ms"] for n in range(6)]),
    ("SELECT userSessionId, {q}where{q}, {q}end{q}, e, _extra FROM words_events ORDER BY 1",
     [[f"S{n}", "w", None, n] for n in range(6)]),
]  # fmt: skip


def words_agree(query, quote):
    """Views by `query` have the values of the documents, whether rows landed before fields were promoted or after."""
    escaped_name = HOSTILE.replace("~", "~0").replace("/", "~1")
    extras = {
        "words_actions": [{"/x": "no number", f"/p{escaped_name}/1/more\"": 1}, {f"/{escaped_name}": 7.0, f"/p{escaped_name}/1/{escaped_name}": "ms"}],
        "words_properties": [{"/more\"": 1}, {f"/{escaped_name}": "ms"}],
        "words_events": [{"/end": 5}, {}],
    }  # fmt: skip
    for sql, wanted in WORDS_SHOWN:
        view = re.search(r"FROM (\w+)", sql)[1]
        found = [list(row) for row in query(sql.format(q=quote))]
        for number, row in enumerate(found):
            if view in extras:
                always, before = extras[view]
                # S0 came once more, after.
                extra = always | (before if number in (1, 2) else {})
                assert json.loads(row.pop()) == extra, (view, number)
        assert found == wanted, view


def test_names_that_are_words_of_sql_and_members_of_any_text(tmp_path):
    lake = Lake(LocalStore(tmp_path).lake("lake"))
    flags = land_words(tmp_path, "--lake", lake.at.uri)
    connection = lake.connection
    connection.execute(run(tmp_path, "schema", "--format", "views-duckdb", *flags))
    words_agree(lambda sql: connection.execute(sql).fetchall(), '"')
    for view in ("words_actions", "words_events", "words_properties"):
        files = f"read_parquet('{lake.uri(view)}/*/*/*.parquet', hive_partitioning=true, union_by_name=true)"
        columns = lambda source: [name for name, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]  # noqa: E731
        assert sorted(columns(files)) == sorted(columns(view))


@pytest.mark.parametrize("form", ["delta", "iceberg"])
def test_duckdb_over_tables_with_a_log(form, tmp_path, request):
    if form == "delta":
        lake = DeltaLake(LocalStore(tmp_path).lake("lake"))
        connection = lake.connection
    else:
        catalog = request.getfixturevalue("seaweedfs_catalog")
        lake = IcebergLake(catalog.lake("views"), catalog, "of_views")
        connection = lake.connection
        catalog.attach(connection, "lake")
    landed(tmp_path, lake, form, 300)
    connection.execute(printed(tmp_path, lake, "duckdb", form))
    agree(by_duckdb(connection), model.expected(rows_of(connection, lake.source())))


# Reading a handful of rows takes as long as compiling a query of many scans.
QUICK = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


@pytest.mark.spark
@pytest.mark.parametrize("form", ["plain", "delta", "iceberg"])
def test_spark(spark, form, tmp_path, request):
    if form == "iceberg":
        catalog = request.getfixturevalue("java_catalog")
        lake = IcebergLake(catalog.lake("spark-views"), catalog, "of_spark_views")
    else:
        lake = (DeltaLake if form == "delta" else Lake)(LocalStore(tmp_path).lake("lake"))
    landed(tmp_path, lake, form, 100)
    script = printed(tmp_path, lake, "spark", form)
    if form == "iceberg":
        script = script.replace("`lake`.", f"`{catalog.attach_spark(spark, lake.at)}`.")
    else:
        spark_harness.reach(spark, lake.at)
    for statement in script.split(";\n"):
        if statement.strip():
            spark.sql(statement)
    wanted = model.expected(rows_of(lake.connection, lake.source()))
    before = {name: spark.conf.get(name) for name in QUICK}
    for name, value in QUICK.items():
        spark.conf.set(name, value)
    try:
        agree(lambda view: shown(spark.table(view).toArrow()), wanted)
    finally:
        for view in [*VIEWS, TABLE]:
            spark.catalog.dropTempView(view)
        for name, value in before.items():
            spark.conf.set(name, value)


@pytest.mark.spark
def test_spark_shows_values_of_before_and_names_of_any_text(spark, tmp_path):
    lake = Lake(LocalStore(tmp_path).lake("lake"))
    flags = {"promoted": land_promoted(tmp_path, lake, "both"), "words": land_words(tmp_path, "--lake", lake.at.uri)}
    query = lambda sql: [tuple(row) for row in spark.sql(sql).collect()]  # noqa: E731
    made = []
    for what, of in flags.items():
        for statement in run(tmp_path, "schema", "--format", "views-spark", *of).split(";\n"):
            if statement.strip():
                spark.sql(statement)
                made += re.findall(r"TEMPORARY VIEW `(\w+)`", statement)
        if what == "promoted":
            shows_promoted(query, "unix_millis(seen)")
        else:
            words_agree(query, "`")
    for view in made:
        spark.catalog.dropTempView(view)


FLAT = ["user_actions", "user_events", "user_errors", "user_properties"]


def agree_with_flat_tables(connection, lake):
    """Row by row and value by value, but for rows of doubles, which views leave out."""
    for view in FLAT:
        files = f"read_parquet('{lake.uri(view)}/*/*.parquet', hive_partitioning=true, union_by_name=true)"
        described = connection.execute(f"DESCRIBE SELECT * EXCLUDE (date) FROM {files}").fetchall()
        own = [name for name, *_ in connection.execute(f"DESCRIBE SELECT * EXCLUDE (date) FROM {view}").fetchall()]
        assert [name for name, *_ in described] == own, view
        # JSON in one form: engines write its numbers and order its members in their own ways.
        names = ", ".join(f'"{name}"' if name != "_extra" else "json(_extra)" for name in own)
        kept = f"SELECT {names} FROM {files} WHERE _ingest_id IN (SELECT _ingest_id FROM user_sessions_latest)"
        shown = f"SELECT {names} FROM {view}"
        same_rows(connection, kept, shown, f"{view} and its view")
        assert connection.execute(f"SELECT count(*) FROM {view}").fetchone()[0] > 100, view


def land_many(folder, count, at=None, *flags):
    """Has a lake with flat tables land drifted sessions in two imports. Returns it and the number of sessions."""
    lake = Lake(at or LocalStore(folder).lake("lake"))
    first, later, sessions = drifted(folder, count, 7)
    flags = ["--lake", lake.at.uri, "--flat-tables", ",".join(FLAT), *flags]
    land(folder, first, "first.ndjson", *flags, env=lake.at.env)
    land(folder, later, "later.ndjson", *flags, env=lake.at.env)
    return lake, sessions


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_sessions(tmp_path):
    lake, sessions = land_many(tmp_path, MANY)
    connection = connect()
    connection.execute(printed(tmp_path, lake, "duckdb", "plain"))
    agree_with_flat_tables(connection, lake)
    assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (sessions,)
    counted = collections.Counter()
    for day in connection.execute("SELECT DISTINCT date FROM user_sessions").fetchall():
        # The model holds the rows of a day at a time.
        rows = rows_of(connection, f"{TABLE} WHERE date IS NOT DISTINCT FROM {literal(day[0])}")
        wanted = model.expected(rows)
        for view in VIEWS:
            if view != "sessions":
                source = f"{view} WHERE date IS NOT DISTINCT FROM {literal(day[0])}"
                found = shown(connection.execute(f"SELECT * FROM {source}").to_arrow_table())
                assert not differences(found, wanted[view]), (view, day)
                counted[view] += len(found)
    assert min(counted.values()) > MANY / 10, counted


def literal(day):
    return "NULL" if day is None else f"'{day}'"


@pytest.mark.soak
@pytest.mark.spark
@pytest.mark.timeout(7200)
def test_spark_agrees_with_flat_tables(spark, tmp_path):
    """As DuckDB's views, which see above: Spark writes its views as files, and DuckDB compares them."""
    lake, _ = land_many(tmp_path, MANY // 10)
    made = []
    spark_harness.reach(spark, lake.at)
    for statement in printed(tmp_path, lake, "spark", "plain").split(";\n"):
        if statement.strip():
            spark.sql(statement)
            made += re.findall(r"TEMPORARY VIEW `(\w+)`", statement)
    lake.connection.execute(printed(tmp_path, lake, "duckdb", "plain"))
    latest = lake.connection.execute("CREATE TABLE latest AS SELECT _ingest_id FROM user_sessions_latest")
    assert latest.fetchone()[0] > MANY // 10
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    for view in FLAT:
        spark.table(view).write.parquet(str(tmp_path / f"of-spark-{view}"))
        shown = f"read_parquet('{tmp_path}/of-spark-{view}/*.parquet')"
        names = [name for name, *_ in lake.connection.execute(f"DESCRIBE SELECT * FROM {shown}").fetchall()]
        names = ", ".join(f'"{name}"' for name in names if name not in ("_extra", "date"))
        members = "list_sort(list_zip(json_keys(_extra), CAST(json_extract(_extra, '$.*') AS VARCHAR[])))"
        files = f"read_parquet('{lake.uri(view)}/*/*.parquet', hive_partitioning=true, union_by_name=true)"
        kept = f"SELECT {names}, {members} FROM {files} WHERE _ingest_id IN (SELECT _ingest_id FROM latest)"
        same_rows(lake.connection, kept, f"SELECT {names}, {members} FROM {shown}", f"{view} and Spark's view")
    for view in made:
        spark.catalog.dropTempView(view)
