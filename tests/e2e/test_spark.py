"""Spark reads what DuckDB reads: from local disk and from both S3 servers."""

import datetime

import pytest
from harness import place
from harness import spark as spark_harness
from harness.lake import Lake
from harness.server import land
from sessions import Sessions

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def landed(request, store, tmp_path_factory):
    """A lake with the documented samples and 300 sessions of three days in it."""
    lake = Lake(store.lake("spark"))
    samples = place.CURL_CHECK.read_bytes(), place.CLASSIC.read_bytes()
    sessions = Sessions("spark", days=3).bulk(300)[1]
    land(tmp_path_factory.mktemp("spark-server"), lake.at, ["--roll-age", "1h"], (*samples, sessions))
    return lake


def test_same_rows_and_values(spark, landed):
    frame = spark_harness.read(spark, landed.at)
    frame.createOrReplaceTempView("t")
    sql = (
        "SELECT userSessionId, country, startTime, endTime, duration, bounce, _ingest_time, _ingest_id,"
        " {size}(userActions), "
        "userActions[{first}].name, userActions[{first}].startTime, userActions[{first}].cumulativeLayoutShift, "
        "CAST(date AS STRING) FROM {t} ORDER BY _ingest_id"
    )
    by_spark = [tuple(row) for row in spark.sql(sql.format(size="size", first="0", t="t")).collect()]
    by_duckdb = landed.connection.execute(sql.format(size="len", first="1", t=landed.source())).fetchall()
    assert len(by_spark) == 304
    # An absent list has no size: Spark says -1 or null, DuckDB null.
    naive = [
        tuple(v.replace(tzinfo=None) if isinstance(v, datetime.datetime) else v for v in row)
        for row in by_duckdb
    ]
    same = [tuple(None if v == -1 and n == 8 else v for n, v in enumerate(row)) for row in by_spark]
    assert same == naive


def test_partitions_and_types_are_recognised(spark, landed):
    from pyspark.sql.types import ArrayType, DateType, TimestampType

    frame = spark_harness.read(spark, landed.at)
    types = {field.name: field.dataType for field in frame.schema.fields}
    assert isinstance(types["date"], DateType)
    assert isinstance(types["startTime"], TimestampType)
    assert isinstance(types["_ingest_time"], TimestampType)
    assert isinstance(types["userActions"], ArrayType)
    action = {field.name: field.dataType for field in types["userActions"].elementType.fields}
    assert isinstance(action["startTime"], TimestampType)
    one_day = frame.where("date = DATE'2017-11-23'")
    assert one_day.count() == 3
    assert "PartitionFilters: [isnotnull(date" in one_day._jdf.queryExecution().toString()
    # Quarantine and receipts are hidden from a reader of the whole lake's folder.
    assert frame.count() == 304


def test_table_by_ddl(spark, landed, command):
    """The DDL that the program prints makes a table over the files, types and all."""
    ddl = command("schema", "user_sessions", "--format", "spark")
    assert "LOCATION 'data/lake/user_sessions'" in ddl
    frame = spark_harness.read(spark, landed.at)
    spark.sql("DROP TABLE IF EXISTS user_sessions")
    spark.sql(ddl.replace("'data/lake/", f"'{landed.at.spark_base}/"))
    spark.sql("MSCK REPAIR TABLE user_sessions")
    table = spark.table("user_sessions")
    assert table.count() == 304
    declared = {field.name: field.dataType.simpleString() for field in table.schema.fields}
    assert declared == {field.name: field.dataType.simpleString() for field in frame.schema.fields}
    assert table.where("country = 'United States' AND date = DATE'2017-11-23'").count() == 3
    spark.sql("DROP TABLE user_sessions")
