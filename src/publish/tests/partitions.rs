//! Partitions that rolls open, when bodies name many of them, and when a roll is made again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::harness::{Harness, Landed};
use crate::clock::ManualClock;
use crate::journal::Seal;
use crate::record::{Micros, Roll, Seq, SeqRange};
use crate::schema::TableSchema;
use crate::table::{OutsideWindow, PartitionLimits, Revision, Spec, Tables, Template};

const SCHEMA: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null},
    {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}],
     "default": null}
]}"#;

const DAY_MS: i64 = 86_400_000;
/// 2026-11-29, a day on which bodies come.
const TODAY: i64 = 20_786;
const OVERFLOW: &str = "day=0001-01-01";

/// A day of 1970 and on, for each of so many lines.
fn days(sender: &str, days: impl IntoIterator<Item = i64>) -> String {
    let line = |day: i64| format!("{{\"id\":\"{sender}-{day}\",\"at\":{}}}\n", day * DAY_MS + 5);
    days.into_iter().map(line).collect()
}

fn harness() -> Harness {
    let mut harness = Harness::new(7);
    harness.clock = Arc::new(ManualClock::at(Micros(TODAY * DAY_MS * 1000 + 40_000_000_000)));
    let schema = Arc::new(TableSchema::parse(SCHEMA).expect("a schema"));
    let template = Template::parse("day={at:%Y-%m-%d}", &schema).expect("a template");
    harness.table = Spec::new("visits", schema, template);
    harness.rows = u64::MAX;
    harness
}

/// The rows of each file by partition, and the partitions that receipts call overflow.
fn by_partition(landed: &Landed) -> (BTreeMap<String, u64>, Vec<String>) {
    landed.check_receipts();
    let data = landed.files.iter().filter_map(|(name, rows)| {
        let (partition, _) = name.strip_prefix("visits/")?.rsplit_once('/')?;
        Some((partition.to_owned(), *rows))
    });
    let tables = landed.receipts.iter().flat_map(|receipt| &receipt.tables);
    let files = tables.flat_map(|table| &table.files).filter(|file| file.overflow);
    (data.collect(), files.map(|file| file.partition.clone()).collect())
}

/// An attack of many days before and after a good sender of today and of the last weeks.
fn bodies() -> Vec<String> {
    let mut bodies = vec![days("evil", 0..10_050), days("good", [TODAY, TODAY - 1])];
    bodies.extend((0..60).map(|n| days("more", [n * 7, n * 7 + 1])));
    bodies.push(days("late", TODAY - 29..=TODAY));
    bodies
}

#[test]
fn row_3_rows_of_today_and_of_late_data_land_in_their_partitions_beside_ten_thousand_days() {
    let harness = harness();
    let (journal, recovery) = harness.open().expect("opens");
    for body in bodies() {
        harness.append(&journal, &body).expect("taken");
    }
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    supervisor.run().expect("landed");
    let landed = harness.landed();
    let (rows, overflow) = by_partition(&landed);
    assert_eq!(overflow, [OVERFLOW]);
    assert!(rows.len() <= 31 + 32 + 5 + 1, "{} files", rows.len());
    assert!(rows[OVERFLOW] > 10_000);
    assert_eq!(rows.values().sum::<u64>(), 10_050 + 2 + 120 + 30);
    let template = &harness.table.partition;
    for day in TODAY - 29..=TODAY {
        let date = chrono::DateTime::from_timestamp_millis(day * DAY_MS).expect("a time");
        let date = format!("day={}", date.format("%Y-%m-%d"));
        let expected = if day >= TODAY - 1 { 2 } else { 1 };
        assert_eq!(rows.get(&date), Some(&expected), "{date} of {template:?}");
    }
    // What the receipt says of them is read back from the path.
    let tables = landed.receipts.iter().flat_map(|receipt| &receipt.tables);
    let file = tables.flat_map(|table| &table.files).find(|file| file.overflow).expect("one");
    assert_eq!(file.partition_values["day"].as_deref(), Some("0001-01-01"));
}

/// Lands the bodies as one roll that was sealed with `sealed` before a crash, by the settings of
/// `after`.
fn made_again(sealed: Spec, after: impl FnOnce(&mut Harness)) -> BTreeMap<String, u64> {
    let mut harness = harness();
    let (journal, recovery) = harness.open().expect("opens");
    let bodies = bodies();
    for body in &bodies {
        harness.append(&journal, body).expect("taken");
    }
    let supervisor = harness.supervisor(&journal, &recovery);
    let settings = Tables::new(vec![sealed]).expect("a table").to_json();
    let range = SeqRange { first: Seq::FIRST, last: Seq(bodies.len() as u64) };
    journal.seal(&Seal { roll: Roll::FIRST, range, settings }).expect("sealed");
    let killed = harness.disk.killed();
    drop((journal, supervisor));
    harness.disk = Arc::new(killed);
    // Years later, by the clock.
    harness.clock = Arc::new(ManualClock::at(Micros((TODAY + 1000) * DAY_MS * 1000)));
    after(&mut harness);
    harness.drain();
    by_partition(&harness.landed()).0
}

#[test]
fn a_roll_that_is_made_again_by_other_settings_has_the_same_files() {
    let table = harness().table;
    let same = made_again(table.clone(), |_| {});
    assert!(same.contains_key(OVERFLOW));
    let other = made_again(table.clone(), |harness| {
        harness.roll.memory_bytes = 1 << 20;
        harness.roll.row_group_bytes = 1 << 14;
        harness.roll.decode_threads = 1.try_into().expect("not zero");
        harness.table.partition_limits = PartitionLimits {
            max_partitions: 1,
            time_window_ms: Some(1),
            outside_window: OutsideWindow::Quarantine,
        };
    });
    assert_eq!(other, same);
    let wide = PartitionLimits { time_window_ms: Some(u64::MAX), ..PartitionLimits::RECEIVED };
    let wide = made_again(Spec { partition_limits: wide, ..table }, |_| {});
    assert!(wide.len() > 250, "{}", wide.len());
}

#[test]
fn a_roll_that_an_earlier_build_sealed_opens_partitions_by_its_rules() {
    let third = Spec { revision: Revision::Third, ..harness().table };
    let rows = made_again(third, |_| {});
    assert_eq!(rows.len(), 10_001);
    assert_eq!(rows["day=__HIVE_DEFAULT_PARTITION__"], 50 + 30 + 2);
    assert!(!rows.contains_key(OVERFLOW));
}

#[test]
fn far_times_are_put_into_quarantine_when_the_settings_say_so() {
    let mut harness = harness();
    harness.table.partition_limits.outside_window = OutsideWindow::Quarantine;
    let (journal, recovery) = harness.open().expect("opens");
    harness.append(&journal, &days("a", [TODAY, TODAY - 31, TODAY - 2])).expect("taken");
    harness.append(&journal, "{\"id\":\"none\",\"at\":null}\n{\"id\":\"no\"}\n").expect("taken");
    let supervisor = harness.supervisor(&journal, &recovery);
    journal.close();
    supervisor.run().expect("landed");
    let landed = harness.landed();
    landed.check_receipts();
    let rejects: Vec<&String> = landed.rejects.keys().collect();
    assert_eq!(rejects, [&format!("a-{}", TODAY - 31)]);
    assert_eq!(landed.rows.len(), 4);
}
