use proptest::prelude::*;

use super::*;

fn part() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9-]{0,9}"
}

proptest! {
    #[test]
    fn a_name_that_is_made_is_parsed(
        table in "[a-z][a-z0-9_]{0,9}",
        partition in prop::collection::vec("[a-z]{1,4}=[A-Za-z0-9%.=-]{0,6}", 0..3),
        node in part(),
        number in 0..=crate::json::MOST,
        near in 0_u64..200_000_000,
        hash in "[0-9a-f]{32}",
    ) {
        let hash = &*hash;
        let partition = partition.join("/");
        let (table, partition, node) = (&*table, &*partition, &*node);
        for number in [number, near] {
            let roll = Roll(number);
            for name in [
                ObjectName::Data { table, partition, node, roll },
                ObjectName::Quarantine { table, node, roll },
                ObjectName::TableLog { table, file: "00000000000000000007.json" },
                ObjectName::Receipt { node, roll },
                ObjectName::ImportManifest { node },
                ObjectName::ImportSeal { node, roll },
                ObjectName::ImportClaim { content: hash, number: number.max(1) },
                ObjectName::ImportTables { hash },
                ObjectName::ImportOpen { node },
                ObjectName::ImportIndex,
                ObjectName::Lease { name: node, epoch: number },
                ObjectName::Verified { node },
                ObjectName::Probe { token: node },
                ObjectName::Table { table: node },
                ObjectName::TableIdentity { table: node },
                ObjectName::PromotedColumn { table: node, hash },
                ObjectName::Fence { node },
                ObjectName::Identity,
            ] {
                let made = name.to_string();
                prop_assert_eq!(ObjectName::parse(&made), name);
            }
        }
    }

    #[test]
    fn a_name_that_is_parsed_is_made(
        parts in prop::collection::vec(
            prop_oneof![
                Just("_quarantine".to_owned()),
                Just("_receipts".to_owned()),
                Just("_imports".to_owned()),
                Just("_leases".to_owned()),
                Just("_verified".to_owned()),
                Just("_tables".to_owned()),
                Just("_nodes".to_owned()),
                Just("_lake.json".to_owned()),
                Just("_delta_log".to_owned()),
                Just("_change_data".to_owned()),
                Just("metadata".to_owned()),
                "[a-z0-9-]{0,3}\\.(avro|metadata\\.json|puffin)",
                "deletion_vector_[a-z]{0,2}\\.bin",
                "[a-z]{1,3}",
                "[a-z]{1,3}=[a-z]{0,2}",
                Just("files".to_owned()),
                "\\.?[a-z-]{0,3}[0-9]{0,10}\\.(parquet|json|ndjson|tmp)",
                "[0-9]{32}(-[0-9]{1,2})?\\.json",
            ],
            1..5,
        )
    ) {
        let name = parts.join("/");
        prop_assert_eq!(ObjectName::parse(&name).to_string(), name);
    }
}

#[test]
fn names_that_look_alike_are_distinguished() {
    let parse = ObjectName::parse;
    let roll = Roll(7);
    let data = |table, partition| ObjectName::Data { table, partition, node: "n-1", roll };
    assert_eq!(parse("t/n-1-00000007.parquet"), data("t", ""));
    assert_eq!(parse("a/b/d=1/h=2/n-1-00000007.parquet"), data("a/b", "d=1/h=2"));
    assert_eq!(parse("d=1/n-1-00000007.parquet"), data("", "d=1"));
    let foreign = |table, partition, file| ObjectName::ForeignData { table, partition, file };
    assert_eq!(parse("t/d=1/part-0.parquet"), foreign("t", "d=1", "part-0.parquet"));
    // A roll of nine digits does not begin with a zero.
    assert_eq!(parse("t/n-000000007.parquet"), foreign("t", "", "n-000000007.parquet"));
    assert_eq!(parse("a.parquet"), foreign("", "", "a.parquet"));
    assert_eq!(parse("_imports/import-ab.json"), ObjectName::ImportManifest { node: "import-ab" });
    for other in [
        "_imports/x.tmp",
        "_imports/.json",
        "_imports/files/ab.json",
        "_imports/files/00000001.json",
        "_imports/files/0123456789abcdef0123456789abcdef-1.json",
        "_imports/files/0123456789abcdef0123456789abcdef-02.json",
        "_imports/tables/ab.json",
        "_receipts/n/7.json",
        "_receipts/00000007.json",
        "_receipts/a/b/00000007.json",
        "_quarantine/n-00000007.ndjson",
        "_quarantine/t/-00000007.ndjson",
        "t/.hidden/n-00000007.parquet",
        "_x/n-00000007.parquet",
        "t/readme.txt",
        "",
    ] {
        assert_eq!(parse(other), ObjectName::Other(other));
    }
    let hidden = "t/d=1/.n-00000007.parquet.tmp";
    assert_eq!(parse(hidden), ObjectName::Staging(hidden));
}

#[test]
fn the_log_of_a_table_is_no_data() {
    let parse = ObjectName::parse;
    for file in [
        "00000000000000000000.json",
        "00000000000000000010.crc",
        "00000000000000000010.checkpoint.parquet",
        "00000000000000000010.checkpoint.0000000001.0000000002.parquet",
        "n-1-00000007.parquet",
        "n-00000007.parquet",
        "_last_checkpoint",
        ".00000000000000000010.json.crc",
        "_sidecars/01890b4c.parquet",
        "_commits/00000000000000000011.01890b4c.json",
        "_staged_commits/00000000000000000011.01890b4c.json",
    ] {
        let name = format!("a/b/_delta_log/{file}");
        assert_eq!(ObjectName::parse(&name), ObjectName::TableLog { table: "a/b", file });
    }
    for name in [
        "t/_change_data/cdc-00000-01890b4c.c000.snappy.parquet",
        "t/_change_data/date=2026-11-28/n-1-00000007.parquet",
        "t/deletion_vector_01890b4c.bin",
        "t/ab/deletion_vector_01890b4c.bin",
    ] {
        assert_eq!(parse(name), ObjectName::LogCompanion(name));
    }
    let spark = "part-00000-0b1c-c000.snappy.parquet";
    let name = format!("t/date=2026-11-28/{spark}");
    let (table, partition) = ("t", "date=2026-11-28");
    assert_eq!(parse(&name), ObjectName::ForeignData { table, partition, file: spark });
    for name in ["t/d=1/_delta_log/0.json", "_delta_log/0.json", "t/_delta_log", "_a/_delta_log/0"]
    {
        assert_eq!(parse(name), ObjectName::Other(name));
    }
}

#[test]
fn the_metadata_of_a_table_is_told_from_a_table_of_that_name() {
    for file in [
        "n1-00000007-0-1a2b-m0.avro",
        "snap-1-0-1a2b.avro",
        "00003-1a2b.metadata.json",
        "00003-1a2b.gz.metadata.json",
        "1a2b.stats",
        ".00003-1a2b.metadata.json.crc",
    ] {
        let name = format!("a/b/metadata/{file}");
        assert_eq!(ObjectName::parse(&name), ObjectName::TableMetadata { table: "a/b", file });
    }
    let (table, partition, node, roll) = ("lake/metadata", "", "n", Roll(7));
    let data = ObjectName::Data { table, partition, node, roll };
    assert_eq!(ObjectName::parse("lake/metadata/n-00000007.parquet"), data);
    for name in ["t/d=1/metadata/a.avro", "metadata/a.avro", "t/metadata/readme.txt", "t/a.avro"] {
        assert_eq!(ObjectName::parse(name), ObjectName::Other(name));
    }
}
