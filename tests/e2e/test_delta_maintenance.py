"""Others rewrite the table: what is deleted stays so, what is moved is not added again.

OPTIMIZE, DELETE, UPDATE and VACUUM by Spark, between restarts of the server, also as a new node, then
more rolls. Spark takes its time: `tests/run soak` runs what it does.
"""

import pytest
from deltalake.exceptions import CommitFailedError
from harness import spark as spark_harness
from harness.documents import document
from harness.log_table import Maintained

FORMAT = ("--table-format", "delta")


def test_deltalake_reads_and_does_not_write(make_server, command, folder, delta_lake):
    """deltalake 1.6 does not write tables with in-commit timestamps, and says so: nothing is changed. The
    table goes on over restarts, as a new node and with an import."""
    table = Maintained(make_server, delta_lake, FORMAT)
    table.send("a")
    with pytest.raises(CommitFailedError, match="InCommitTimestamp"):
        delta_lake.table().delete("country = 'Peru'")
    table.check()
    table.restart("killed")
    table.send("b")
    table.restart("new node")
    table.send("c")
    (folder / "e.ndjson").write_bytes(document("e", country="Kenya"))
    command("import", "e.ndjson", *FORMAT, "--lake", delta_lake.at.uri)
    table.wanted["e"] = "Kenya"
    table.finish()


@pytest.mark.soak
@pytest.mark.spark
def test_spark_maintains_the_table(spark, make_server, delta_lake):
    table = Maintained(make_server, delta_lake, FORMAT)
    name = f"delta.`{spark_harness.reach(spark, delta_lake.at)}`"
    for n in range(3):
        table.send(f"a{n}")
    table.server.drain()
    spark.sql(f"OPTIMIZE {name}")
    spark.sql(f"DELETE FROM {name} WHERE country = 'Peru'")
    table.erase("Peru")
    table.check()
    table.server.start()
    table.check()
    table.send("b")
    table.server.kill()
    spark.sql(f"UPDATE {name} SET country = 'Chile' WHERE country = 'Austria'")
    table.wanted = {s: "Chile" if land == "Austria" else land for s, land in table.wanted.items()}
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    spark.sql(f"VACUUM {name} RETAIN 0 HOURS")
    table.check()
    table.server.start()
    table.send("c")
    table.restart("new node")
    table.check()
    table.server.kill()
    spark.sql(f"OPTIMIZE {name} ZORDER BY (userSessionId)")
    table.server.start()
    table.send("d")
    table.check_by_spark(spark, name)
    table.finish()
