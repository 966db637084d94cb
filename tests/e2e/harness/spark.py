"""One Spark session for all checks, reading local files, s3a on loopback, Delta tables and Iceberg's."""

import os

from . import place


EXTENSIONS = (
    "io.delta.sql.DeltaSparkSessionExtension",
    "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
)


def start(folder):
    """Starts Spark in this process. Ends with `stop()` of what is returned."""
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import SparkSession

    jars = place.CACHE / "jars"
    return (
        SparkSession.builder.master("local[2]")
        .appName("sessionlake-tests")
        # On the class path as they lie: spark.jars would copy the whole SDK first.
        .config("spark.driver.extraClassPath", f"{jars}/*")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .config("spark.sql.extensions", ",".join(EXTENSIONS))
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        # Tables are small: one task reads a log, where 50 would be started.
        .config("spark.databricks.delta.snapshotPartitions", "2")
        .config("spark.local.dir", str(folder / "scratch"))
        .config("spark.sql.parquet.enableVectorizedReader", "true")
        .getOrCreate()
    )


def reach(spark, at, table="user_sessions"):
    """Lets Spark reach the store of a lake. Returns the address of a table there."""
    conf = spark.sparkContext._jsc.hadoopConfiguration()
    for name, value in at.hadoop.items():
        conf.set(name, value)
    return f"{at.spark_base}/{table}"


def read(spark, at, table="user_sessions"):
    """A table of a lake as a DataFrame, partitions found by Spark itself."""
    return spark.read.parquet(reach(spark, at, table))
