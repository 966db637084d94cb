"""Readers against the documents themselves: what pyarrow, DuckDB, Polars, Spark and Trino read of files is compared
value by value with what was sent, and what the files say of their values (statistics, indexes of pages, Bloom filters)
with the values. Documents are nasty for levels and encodings, by a seed: see `harness/nasty.py`.

`SESSIONLAKE_READER_CASES=100` tries so many more, from the seed `SESSIONLAKE_SEARCH_SEED` on; a case that fails is run
again alone by its seed and one case.
"""

import itertools
import json
import os
import random
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from harness import flat, nasty, place
from harness import spark as spark_harness
from harness.lake import TABLE, Lake, connect
from harness.parquet_check import OLD, File, leaves
from harness.process import clean_environment
from harness.stores import LocalStore

SEED = int(os.environ.get("SESSIONLAKE_SEARCH_SEED", "1"))
CASES = int(os.environ.get("SESSIONLAKE_READER_CASES", "3"))
COMPRESSIONS = ["zstd:1", "zstd:3", "none", "snappy", "lz4"]
SCHEMA = place.E2E / "nasty.avsc"


def settings(name):
    """All values of a setting of the command line, as the program names them."""
    said = subprocess.run([place.binary(), "import", "none", f"--{name}", "?"], capture_output=True, text=True).stderr
    found = re.search(r" is none of ([^,]+(?:, [^,]+)*?),? for example", said) or pytest.fail(said)
    return re.split(r", | and ", found[1])


@dataclass
class Case:
    """Documents, and the lake that they were imported to."""

    seed: int
    lake: Lake
    table: str
    wanted: pa.Table
    encodings: str
    told: str

    def files(self):
        return [Path(self.lake.at.uri) / path for path in self.lake.data_files(self.table)]

    def __str__(self):
        return f"SESSIONLAKE_SEARCH_SEED={self.seed}: {self.told}"


def imported(folder, lines, *flags, at=None):
    """A lake with the lines."""
    source = folder / "in.ndjson"
    source.write_bytes(b"".join(lines))
    lake = Lake(at or LocalStore(folder).lake("lake"))
    command = [place.binary(), "import", source, "--lake", lake.at.uri, "--decode-threads", "2", *flags]
    env = clean_environment(**lake.at.env)
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)
    assert done.returncode == 0, f"{flags}: {done.stderr}"
    source.unlink()
    return lake


def made(folder, seed, encodings, lake_at=None):
    """The case of a seed."""
    rng = random.Random(seed)
    node = nasty.parse(SCHEMA.read_text())
    maker = nasty.Maker(node, seed)
    documents = maker.documents([1, 300, 800, 1500][seed % 4])
    # Beyond the limits of a page and of a dictionary.
    for at, size in ((-1, 1_500_000), (len(documents) // 4, 1_200_000), (len(documents) // 2, 70_000)):
        documents[at] |= {"text": rng.choice("aß東") * (size + seed % 5), "n": -seed}
    if seed % 3 == 1:
        # Levels beyond a page.
        many = [{"n": at % 7 or None, "d": at / 4 if at % 3 else None} if at % 11 else None for at in range(100_000)]
        documents[len(documents) // 3]["items"] = many
    flags = {
        "compression": COMPRESSIONS[seed % len(COMPRESSIONS)],
        "row-group-bytes": "128MiB" if seed % 3 == 1 else rng.choice(["1MiB", "1MiB", "4MiB"]),
        "encodings": encodings,
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    where = ["--table", "nasty", "--schema", SCHEMA, "--partition", "", "--line-limit", "32MiB"]
    lake = imported(folder, map(nasty.line, documents), *where, *words, at=lake_at)
    told = f"{len(documents)} documents, {flags}, {json.dumps(maker.told, ensure_ascii=False)}"
    return Case(seed, lake, "nasty", nasty.table(node, documents), encodings, told)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """A case for each setting of encodings that all of these readers take, and each seed."""
    all_encodings = [one for one in settings("encodings") if one != "split"]
    assert {"delta", "plain"} <= set(all_encodings)
    of_seeds = itertools.islice(zip(itertools.count(SEED), itertools.cycle(all_encodings)), max(CASES, len(all_encodings)))
    return [made(tmp_path_factory.mktemp("case"), seed, encodings) for seed, encodings in of_seeds]


def zeros(column):
    """The doubles of a column in bits: -0.0 is not 0.0, though equal."""
    leaves_of = leaves(column).items()
    return {path: leaf.values.view(pa.int64()) for path, leaf in leaves_of if pa.types.is_float64(leaf.values.type)}


def same(found, wanted, what):
    """All columns and rows of `wanted`, in the order of `row`."""
    found = found.select(wanted.column_names)
    if found["row"].combine_chunks().to_pylist() != wanted["row"].to_pylist():
        found = found.take(pc.sort_indices(found["row"]))
        assert found["row"].to_pylist() == wanted["row"].to_pylist(), f"other rows, {what}"
    for name in wanted.column_names:
        kind = wanted.schema.field(name).type
        one, other = (table[name].combine_chunks().cast(kind) for table in (found, wanted))
        if not one.equals(other):
            at = next(at for at in range(len(one)) if not one.slice(at, 1).equals(other.slice(at, 1)))
            pytest.fail(f"{name}, row {at}: {str(one[at])[:500]} for {str(other[at])[:500]}\n{what}")
        if "double" in str(kind):
            assert zeros(one) == zeros(other), f"{name}: another zero\n{what}"


def test_pyarrow_duckdb_and_polars_read_the_documents(cases):
    connection = connect()
    for case in cases:
        files = case.files()
        same(pa.concat_tables(pq.ParquetFile(file).read() for file in files), case.wanted, f"pyarrow, {case}")
        source = f"read_parquet({[str(file) for file in files]})"
        same(connection.execute(f"SELECT * FROM {source}").to_arrow_table(), case.wanted, f"DuckDB, {case}")
        by_polars, wanted = polars.concat(map(polars.read_parquet, files)), polars.from_arrow(without_maps(case.wanted))
        for name in wanted.columns:
            assert by_polars[name].equals(wanted[name]), f"{name}, Polars, {case}"


def without_maps(table):
    """The columns that are no maps, which Polars has as lists."""
    return table.select([field.name for field in table.schema if not pa.types.is_map(field.type)])


def test_what_files_say_of_their_values(cases):
    """Statistics, indexes of pages, counts and encodings are those of the values. Of row groups with one page the
    statistics say all, and there is no index."""
    indexed = 0
    for case in cases:
        for path in case.files():
            try:
                file = File(path, case.wanted).check()
            except AssertionError as error:
                raise AssertionError(f"{error}\n{case}") from error
            assert file.bounded, case
            indexed += file.indexed
            if case.encodings == "plain":
                assert file.encodings <= OLD, (file.encodings, case)
    assert indexed, cases


def conditions(case):
    """Filters on the columns that are no lists, by values that are there and values that are not."""
    rng = random.Random(case.seed)
    for field in case.wanted.schema:
        if pa.types.is_nested(field.type):
            continue
        name = f'"{field.name}"'
        yield f"{name} IS NULL", None
        yield f"{name} IS NOT NULL", None
        values = [value for value in case.wanted[field.name].to_pylist() if value is not None]
        if not values or pa.types.is_boolean(field.type):
            continue
        # Readers take zeros for equal.
        zeros = [0.0, -0.0] if pa.types.is_floating(field.type) else []
        for value in [*{min(values), max(values), values[0], rng.choice(values), values[len(values) // 2]}, *zeros]:
            if isinstance(value, str) and len(value) > 1000:
                continue
            for compare in ("=", ">", "<="):
                yield f"{name} {compare} ?", value


def test_filters_find_the_same_rows(cases):
    """DuckDB, which leaves out row groups by statistics and Bloom filters, finds what it finds without a file."""
    connection = connect()
    for case in cases:
        source = f"read_parquet({[str(file) for file in case.files()]})"
        flat_columns = [field.name for field in case.wanted.schema if not pa.types.is_nested(field.type)]
        connection.register("of_arrow", case.wanted.select(flat_columns))
        connection.execute("CREATE OR REPLACE TABLE wanted AS SELECT * FROM of_arrow")
        filters = list(conditions(case))
        for condition, value in random.Random(case.seed).sample(filters, min(len(filters), 60)):
            given = [] if value is None else [value]
            found, wanted = (
                connection.execute(f'SELECT "row" FROM {of} WHERE {condition} ORDER BY 1', given).fetchall()
                for of in (source, "wanted")
            )
            assert found == wanted, f"{condition} with {value!r}: {len(found)} rows for {len(wanted)}, {case}"


def test_bloom_filters_have_every_value(cases):
    connection = connect()
    for case in cases:
        [path] = case.files()
        groups = pq.ParquetFile(path)
        excluded = 0
        for name in ("id", "key", "at", "price"):
            for number in range(groups.num_row_groups):
                values = groups.read_row_group(number, [name])[name].drop_null().to_pylist()
                probe = f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{path}', '{name}', ?)"
                for value in random.Random(1).sample(values, min(len(values), 20)):
                    said = connection.execute(probe, [value]).fetchall()
                    assert not said[number][0], f"{name}, row group {number}, {value!r}: {case}"
            other = {"id": "not there", "key": 4_321_987_654_321_987_654, "price": 123.456789e-30}.get(name)
            if other is not None and case.wanted[name].null_count < len(case.wanted):
                probe = f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{path}', '{name}', ?)"
                excluded += sum(row[0] for row in connection.execute(probe, [other]).fetchall())
        assert excluded, case


def test_sessions_and_their_flat_tables(folder):
    """The built-in schema, with 100,000 actions in one session; flat tables hold the elements of its lists."""
    avsc = subprocess.run([place.binary(), "schema", TABLE, "--format", "avro"], capture_output=True, text=True).stdout
    node = nasty.parse(avsc)
    node.fields["row"] = node.fields.pop("userActionCount")
    maker = nasty.Maker(node, SEED)
    node.fields["userActionCount"] = node.fields.pop("row")
    documents = [document | {"userActionCount": document.pop("row")} for document in maker.documents(150)]
    # Elements without much in them are refused when they are many.
    url = "https://shop.example.com/" + "way/" * 60
    documents[100]["userActions"] = [{"targetUrl": url, "duration": at % 9 or None} for at in range(100_000)]
    for document in documents:
        # The texts of a session are repeated in flat tables up to 2 KiB.
        document |= {name: value[:20] for name, value in document.items() if isinstance(value, str)}
        for action in filter(None, document.get("userActions") or []):
            action |= {"name": (action.get("name") or "")[:500]}
    documents[1] |= {name: [{"name": "one"}] for name in ("events", "errors")}
    documents[2]["stringProperties"] = [{"key": "plan", "value": "gold"}]
    flags = ["--partition", "", "--line-limit", "64MiB", "--row-group-bytes", "4MiB", *flat.FLAT]
    lake = imported(folder, map(nasty.line, documents), *flags)
    wanted = nasty.table(node, documents).rename_columns(
        {"userActionCount": "row"} | {name: name for name in node.fields if name != "userActionCount"}
    )
    [path] = (Path(lake.at.uri) / path for path in lake.data_files())
    found = pq.ParquetFile(path).read()
    same(found.rename_columns({"userActionCount": "row"}), wanted, f"SESSIONLAKE_SEARCH_SEED={SEED}: {maker.told}")
    for table, name in flat.LISTS.items():
        [of_table] = (Path(lake.at.uri) / path for path in lake.data_files(table))
        rows = pq.ParquetFile(of_table).read()
        same_elements(rows, found, name)
        # Pages of texts may have the bounds of their column.
        File(of_table, rows, near=False).check()
    # A query that unnests a list has the list in each of its rows: not of the long one.
    read = lambda table: f"read_parquet('{lake.uri(table)}/*.parquet')"  # noqa: E731
    short = f"_ingest_id IN (SELECT _ingest_id FROM {read(TABLE)} WHERE coalesce(len(userActions), 0) < 1000)"
    source = lambda table: f"(FROM {read(table)} WHERE {short})"  # noqa: E731
    names = [name for name in flat.columns(lake, "user_properties", source) if name != "_extra"]
    of_lists = f"SELECT {flat.quoted(names)} FROM ({flat.unnested(lake, 'user_properties', source)})"
    rows = f"SELECT {flat.quoted(names)} FROM {source('user_properties')}"
    flat.same_rows(lake.connection, rows, of_lists, "user_properties and its lists")


def same_elements(rows, sessions, name):
    """A flat table has a row for each element of a list of `sessions`, with the session's columns."""
    lists = sessions[name].combine_chunks()
    lists = lists.take(pa.array(range(len(lists)), pa.int64()))
    parents, elements = pc.list_parent_indices(lists), pc.list_flatten(lists)
    starts = pc.fill_null(pc.list_value_length(lists), 0).to_pylist()
    positions = pa.array([at for length in starts for at in range(length)], pa.int64())
    there = pc.is_valid(elements)
    parents, positions, elements = (of.filter(there) for of in (parents, positions, elements))
    wanted = {"position": positions, "_ingest_id": sessions["_ingest_id"].take(parents)}
    wanted |= {field.name: elements.field(at) for at, field in enumerate(elements.type)}
    own = rows.column_names.index("position")
    wanted |= {column: sessions[flat.of_session(column)].take(parents) for column in rows.column_names[:own]}
    wanted = pa.table({column: wanted[column] for column in rows.column_names if column in wanted})
    assert len(wanted.column_names) > 20
    same(rows.append_column("row", rows["position"]), wanted.append_column("row", wanted["position"]), f"of {name}")


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """Two files of the same sessions, whose numbers hardly repeat: by differences, and byte by byte."""
    rng = random.Random(SEED)
    start = lambda: 1_793_491_200_000 + rng.randrange(86_400_000)  # noqa: E731
    action = lambda: {"startTime": start(), "cumulativeLayoutShift": rng.random()}  # noqa: E731
    sessions = [
        {"userSessionId": f"S{at}", "startTime": start(), "duration": rng.randrange(-(2**62), 2**62), "userActions": [action() for _ in range(at % 4)]}
        for at in range(5000)
    ]
    lines, found = [json.dumps(session).encode() + b"\n" for session in sessions], []
    for encodings in ("delta", "split"):
        lake = imported(tmp_path_factory.mktemp(encodings), lines, "--partition", "", "--encodings", encodings)
        [path] = lake.data_files()
        found.append(Path(lake.at.uri) / path)
    chunks = pq.ParquetFile(found[1]).metadata.row_group(0)
    chunks = [chunks.column(at) for at in range(chunks.num_columns)]
    split = {chunk.physical_type for chunk in chunks if "BYTE_STREAM_SPLIT" in chunk.encodings}
    assert split == {"INT64", "DOUBLE"}, "both kinds of numbers are byte by byte"
    return found


def test_numbers_byte_by_byte(numbers):
    """pyarrow, Polars and DuckDB from 2.0 on read them as others. DuckDB before refuses them: see docs/lake.md."""
    delta, split = (pq.ParquetFile(path).read().drop(["_ingest_id", "_ingest_time"]) for path in numbers)
    assert split.equals(delta)
    delta, split = (polars.read_parquet(path).drop("_ingest_id", "_ingest_time") for path in numbers)
    assert split.equals(delta)
    query = "SELECT * EXCLUDE (_ingest_id, _ingest_time) FROM read_parquet('{}')"
    delta = connect().execute(query.format(numbers[0])).to_arrow_table()
    read = lambda: connect().execute(query.format(numbers[1])).to_arrow_table()  # noqa: E731
    if int(duckdb.__version__.split(".")[0]) >= 2:
        assert read().equals(delta)
    else:
        with pytest.raises(duckdb.Error, match="BYTE_STREAM_SPLIT"):
            read()


@contextmanager
def row_by_row(spark):
    """Reads as Hive and MapReduce do."""
    vectorized = "spark.sql.parquet.enableVectorizedReader"
    spark.conf.set(vectorized, "false")
    try:
        yield
    finally:
        spark.conf.set(vectorized, "true")


@pytest.mark.spark
def test_spark_reads_numbers_byte_by_byte_in_rows_only(spark, numbers):
    delta, split = (spark.read.parquet(str(path)).drop("_ingest_id", "_ingest_time") for path in numbers)
    wanted = delta.orderBy("userSessionId").toArrow()
    with pytest.raises(Exception, match="BYTE_STREAM_SPLIT"):
        split.orderBy("userSessionId").toArrow()
    with row_by_row(spark):
        assert split.orderBy("userSessionId").toArrow().equals(wanted)


@pytest.mark.spark
def test_spark_reads_the_documents(spark, cases):
    """And finds rows by filters, for which it uses statistics, indexes of pages, dictionaries and Bloom filters."""
    for case in cases:
        frame = spark.read.parquet(*[str(file) for file in case.files()])
        same(frame.toArrow(), case.wanted, f"Spark, {case}")
        kinds = (int, float, str)
        filters = [(text, value) for text, value in conditions(case) if isinstance(value, kinds) and "=" in text]
        for condition, value in random.Random(case.seed).sample(filters, min(len(filters), 8)):
            name = re.search('"(.*)"', condition)[1]
            one, compare = (frame[name] == value, "equal") if " = " in condition else (frame[name] <= value, "less_equal")
            value = pa.scalar(value, case.wanted.schema.field(name).type)
            wanted = pc.sum(getattr(pc, compare)(case.wanted[name], value)).as_py() or 0
            assert frame.where(one).count() == wanted, f"{condition} with {value!r}, {case}"


@pytest.mark.spark
def test_spark_reads_the_documents_row_by_row(spark, cases):
    """By the reader of Hive and MapReduce, which refuses DELTA_BYTE_ARRAY of a writer whose name it cannot parse."""
    with row_by_row(spark):
        for case in cases:
            frame = spark.read.parquet(*[str(file) for file in case.files()])
            same(frame.toArrow(), case.wanted, f"Spark, row by row, {case}")
