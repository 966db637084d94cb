//! Rolls that an earlier build sealed, made again by this one.

use std::sync::Arc;

use super::harness::Harness;
use crate::journal::Seal;
use crate::record::{Roll, Seq, SeqRange};
use crate::schema::TableSchema;
use crate::table::{Revision, Spec, Tables, Template};

const SCHEMA: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null},
    {"name": "on", "type": ["null", "string"], "default": null},
    {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}],
     "default": null}
]}"#;

/// Lands `lines`, a body each, of which those up to `sealed` are roll 1 as version 0.1.0 sealed it.
/// Returns the names of the data files, without table and node.
fn landed(partition: &str, lines: &[&str], sealed: u64) -> Vec<String> {
    let mut harness = Harness::new(3);
    let schema = Arc::new(TableSchema::parse(SCHEMA).expect("a schema"));
    let template = Template::parse(partition, &schema).expect("a template");
    harness.table = Spec::new("visits", schema, template);
    let (journal, recovery) = harness.open().expect("opens");
    for line in lines {
        harness.append(&journal, &format!("{line}\n")).expect("taken");
    }
    let first = Spec { revision: Revision::First, ..harness.table.clone() };
    let settings = Tables::new(vec![first]).expect("a table").to_json();
    assert!(!String::from_utf8_lossy(&settings).contains("revision"), "as 0.1.0 wrote it");
    let supervisor = harness.supervisor(&journal, &recovery);
    let range = SeqRange { first: Seq::FIRST, last: Seq(sealed) };
    journal.seal(&Seal { roll: Roll::FIRST, range, settings }).expect("sealed");
    let after = harness.disk.killed();
    drop((journal, supervisor));
    harness.disk = Arc::new(after);
    harness.drain();
    let landed = harness.landed();
    landed.check_receipts();
    let rows: u64 = landed.receipts.iter().map(|receipt| receipt.rows).sum();
    assert_eq!(rows, lines.len() as u64);
    let names = landed.files.keys().filter_map(|name| name.strip_prefix("visits/"));
    names
        .map(|name| {
            let (path, file) = name.rsplit_once('/').expect("a partition");
            format!("{path} {}", file.rsplit_once('-').expect("a roll").1)
        })
        .collect()
}

#[test]
fn a_time_of_the_year_57868_keeps_its_partition_in_a_roll_that_an_earlier_build_sealed() {
    let line = r#"{"id":"a","at":1764000000000000}"#;
    let next = r#"{"id":"b","at":1764000000000000}"#;
    assert_eq!(
        landed("day={at:%Y-%m-%d}", &[line, next], 1),
        ["day=+57868-12-07 00000001.parquet", "day=__HIVE_DEFAULT_PARTITION__ 00000002.parquet",]
    );
}

#[test]
fn an_ampersand_keeps_its_partition_in_a_roll_that_an_earlier_build_sealed() {
    let line = r#"{"id":"a","on":"x & y/z"}"#;
    let next = r#"{"id":"b","on":"x & y/z"}"#;
    assert_eq!(
        landed("c={on}", &[line, next], 1),
        ["c=x & y%2Fz 00000001.parquet", "c=x%20%26%20y%2Fz 00000002.parquet"]
    );
}

#[test]
fn a_dumped_line_keeps_its_partition_in_a_roll_that_an_earlier_build_sealed() {
    let line = r#"{"_index":"i","_id":"1","id":"a","_source":{"id":"a","on":"x"}}"#;
    let next = r#"{"_index":"i","_id":"2","id":"z","_source":{"id":"b","on":"x"}}"#;
    assert_eq!(
        landed("c={on}", &[line, next], 1),
        ["c=__HIVE_DEFAULT_PARTITION__ 00000001.parquet", "c=x 00000002.parquet"]
    );
}
