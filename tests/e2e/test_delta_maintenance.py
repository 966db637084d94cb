"""Others rewrite the table: what is deleted stays so, what is moved is not added again.

OPTIMIZE, DELETE, UPDATE and VACUUM by Spark, between restarts of the server, also as a new node, then
more rolls. Spark takes its time: `tests/run soak` runs what it does.
"""

import pytest
from deltalake.exceptions import CommitFailedError
from harness import spark as spark_harness
from harness.documents import document
from harness.process import wait_until

FORMAT = ("--table-format", "delta", "--roll-age", "1s")
LANDS = ["Austria", "Peru", "Kenya"]


class Table:
    """A table under maintenance, and what must be in it."""

    def __init__(self, make_server, lake):
        self.make_server, self.lake = make_server, lake
        self.wanted = {}  # country by session
        self.server = make_server(lake, *FORMAT).start()

    def send(self, name, count=30):
        """So many more sessions, visible."""
        lines = []
        for n in range(count):
            session = f"{name}-{n}"
            self.wanted[session] = LANDS[n % len(LANDS)]
            lines.append(document(session, country=self.wanted[session]))
        assert self.server.put(b"\n".join(lines)).status == 200
        wait_until(lambda: f"{name}-0" in self.lake.session_ids(), 30, f"{name} is visible", 0.2)

    def erase(self, country):
        self.wanted = {session: land for session, land in self.wanted.items() if land != country}

    def check(self):
        found = self.lake.query('SELECT "userSessionId", country FROM {t} ORDER BY 1')
        assert found == sorted(self.wanted.items())
        assert self.lake.marks() == self.lake.last_rolls()

    def restart(self, how):
        """The server ends one way or the other and starts again: with its journal, or as a new node."""
        self.server.drain() if how == "drained" else self.server.kill()
        if how == "new node":
            self.server = self.make_server(self.lake, *FORMAT, name=f"node{len(self.wanted)}")
        self.server.start()

    def finish(self):
        self.server.drain()
        self.check()


def test_deltalake_reads_and_does_not_write(make_server, command, folder, delta_lake):
    """deltalake 1.6 does not write tables with in-commit timestamps, and says so: nothing is changed. The
    table goes on over restarts, as a new node and with an import."""
    table = Table(make_server, delta_lake)
    table.send("a")
    with pytest.raises(CommitFailedError, match="InCommitTimestamp"):
        delta_lake.table().delete("country = 'Peru'")
    table.check()
    table.restart("killed")
    table.send("b")
    table.restart("new node")
    table.send("c")
    (folder / "e.ndjson").write_bytes(document("e", country="Kenya"))
    command("import", "e.ndjson", *FORMAT[:2], "--lake", delta_lake.at.uri)
    table.wanted["e"] = "Kenya"
    table.finish()


@pytest.mark.soak
@pytest.mark.spark
def test_spark_maintains_the_table(spark, make_server, delta_lake):
    table = Table(make_server, delta_lake)
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
    by_spark = spark.sql(f"SELECT userSessionId, country FROM {name} ORDER BY 1").collect()
    assert [tuple(row) for row in by_spark] == sorted(table.wanted.items())
    table.finish()
