"""Others rewrite the table and forget its history: what is deleted stays so, what is moved is not added again.

Spark's rewrite_data_files, expire_snapshots, DELETE and remove_orphan_files, between restarts of the server,
also as a new node, then more rolls.
"""

import pytest
from harness.delta import rows
from harness.iceberg import MARK, by_duckdb, name_in_spark
from harness.log_table import Maintained

FORMAT = ("--table-format", "iceberg")


class Spark:
    """Procedures of Iceberg on one table."""

    def __init__(self, session, lake):
        self.session, self.name = session, name_in_spark(session, lake)
        self.catalog, self.table = self.name.split(".", 1)

    def call(self, procedure, **arguments):
        given = ", ".join(f"{name} => {value}" for name, value in arguments.items())
        sql = f"CALL {self.catalog}.system.{procedure}(table => '{self.table}', {given})"
        return self.session.sql(sql).collect()

    def rewrite(self):
        options = "map('rewrite-all', 'true')"
        return self.call("rewrite_data_files", options=options)

    def expire(self):
        """Nothing but the current snapshot is left, and with the others go their files."""
        return self.call("expire_snapshots", older_than="TIMESTAMP '2999-01-01 00:00:00'", retain_last=1)


def test_snapshots_expire(make_server, iceberg_lake):
    """By pyiceberg: the mark of a node is in no snapshot any more, and it starts again. The property has it."""
    table = Maintained(make_server, iceberg_lake, FORMAT)
    for n in range(3):
        table.send(f"a{n}")
    first = table.server
    table.restart("new node")
    table.send("b")
    table.server.kill()
    marks = {MARK + node for node in iceberg_lake.marks()}
    for snapshot in iceberg_lake.snapshots()[:-1]:
        iceberg_lake.table().maintenance.expire_snapshots().by_id(snapshot.snapshot_id).commit()
    [left] = iceberg_lake.snapshots()
    assert len(marks) == 2 and len(marks & set(left.summary.additional_properties)) == 1
    table.server.start()
    first.start()
    first.drain()
    table.check()
    table.send("c")
    first.start()
    table.restart("new node")
    table.send("d")
    first.drain()
    table.finish()


def merge_manifests(lake, count):
    """Has the program list one manifest in place of so many small ones."""
    with lake.table().transaction() as change:
        change.set_properties({"commit.manifest.min-count-to-merge": str(count)})


def manifests(lake):
    table = lake.table()
    return table.current_snapshot().manifests(table.io)


def test_many_manifests_become_one(make_server, iceberg_lake):
    """Each file is in the table once, before and after, and in every snapshot that is still there."""
    table = Maintained(make_server, iceberg_lake, FORMAT)
    table.send("a0")
    merge_manifests(iceberg_lake, 3)
    for n in range(1, 7):
        table.send(f"a{n}", 5)
    found = manifests(iceberg_lake)
    assert len(found) <= 4 and any(manifest.existing_files_count for manifest in found)
    added = sum(manifest.added_files_count for manifest in found)
    existing = sum(manifest.existing_files_count for manifest in found)
    assert iceberg_lake.check_table() == added + existing
    counts = []
    for snapshot in iceberg_lake.snapshots():
        scan = iceberg_lake.table().scan(snapshot_id=snapshot.snapshot_id)
        counts.append(len(scan.to_arrow()))
    assert counts == sorted(counts) and counts[-1] == len(table.wanted)
    assert len(rows(by_duckdb(iceberg_lake))) == len(table.wanted)
    table.restart("new node")
    table.send("b")
    table.finish()


@pytest.mark.spark
def test_deletes_of_spark_hold_for_files_of_merged_manifests(spark, make_server, iceberg_lake):
    """A delete goes by the sequence numbers of files: with others, rows that it took would be there again."""
    table = Maintained(make_server, iceberg_lake, FORMAT)
    table.send("a0")
    merge_manifests(iceberg_lake, 3)
    table.send("a1")
    name = name_in_spark(spark, iceberg_lake)
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    spark.sql(f"DELETE FROM {name} WHERE country = 'Peru'")
    table.erase("Peru")
    for n in range(2, 7):
        table.send(f"a{n}", 5)
    assert any(manifest.existing_files_count for manifest in manifests(iceberg_lake))
    table.check_by_spark(spark, name)
    table.finish()


@pytest.mark.spark
def test_spark_maintains_the_table(spark, make_server, iceberg_lake):
    table = Maintained(make_server, iceberg_lake, FORMAT)
    for n in range(3):
        table.send(f"a{n}")
    table.server.kill()
    by_spark = Spark(spark, iceberg_lake)
    by_spark.rewrite()
    by_spark.expire()
    assert len(iceberg_lake.snapshots()) == 1
    table.check()
    table.server.start()
    table.check()
    table.send("b")
    table.server.kill()
    spark.sql(f"DELETE FROM {by_spark.name} WHERE country = 'Peru'")
    table.erase("Peru")
    table.server.start()
    table.check()
    table.send("c")
    table.restart("new node")
    table.send("d")
    table.server.kill()
    by_spark.call("rewrite_manifests", use_caching="false")
    by_spark.rewrite()
    by_spark.expire()
    table.server.start()
    table.send("e")
    table.check_by_spark(spark, by_spark.name)
    table.finish()
    assert len(rows(by_duckdb(iceberg_lake))) == len(table.wanted)
