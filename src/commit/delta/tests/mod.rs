//! Delta tables in memory and on disk.

mod bounds;
mod evolution;
mod names;
mod refusals;
mod search;
mod speed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::memory::InMemory;

use super::{DeltaTable, LiveFile, LogView};
use crate::commit::tests::{runtime, schema};
use crate::commit::{LogError, Visible};
use crate::lake::{FileReceipt, Lake, Receipt};
use crate::publish::tests::store::objects;
use crate::record::Roll;
use crate::table::Template;

const FIELDS: &str = r#"
    {"name":"startTime","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
    {"name":"country","type":["null","string"]},
    {"name":"actions","type":["null",{"type":"array","items":{"type":"record","name":"a","fields":[
        {"name":"name","type":["null","string"]}]}}]}"#;

fn table(lake: &Lake, fields: &str, runtime: &tokio::runtime::Runtime) -> DeltaTable {
    let schema = schema(fields);
    let partition = Template::parse("date={startTime:%Y-%m-%d}", &schema).expect("a template");
    DeltaTable::new(lake, &"t".into(), schema, partition, runtime.handle().clone()).expect("a name")
}

fn receipt(node: &str, roll: u64) -> Receipt {
    let day = |day: &str| {
        let path = format!("t/date={day}/{node}-{roll:010}.parquet");
        FileReceipt::in_partition(path, "date", day)
    };
    receipt_of(node, roll, vec![day("2026-11-28"), day("2026-11-29")])
}

/// A roll of `node` with these files in table t.
fn receipt_of(node: &str, roll: u64, files: Vec<FileReceipt>) -> Receipt {
    Receipt::of_files(node, roll, "t", files)
}

fn put(store: &InMemory, name: &str, text: impl Into<bytes::Bytes>) {
    use object_store::ObjectStoreExt as _;
    let path = object_store::path::Path::from(name);
    let text: bytes::Bytes = text.into();
    futures::executor::block_on(store.put(&path, text.into())).expect("memory");
}

fn remove_all(store: &InMemory, which: impl Fn(&str) -> bool) {
    use object_store::ObjectStoreExt as _;
    for name in objects(store).keys().filter(|name| which(name)) {
        let path = object_store::path::Path::from(&**name);
        futures::executor::block_on(store.delete(&path)).expect("memory");
    }
}

/// The actions of each version, whose numbers have no gap.
fn log(store: &InMemory) -> Vec<Vec<serde_json::Value>> {
    let mut versions = Vec::new();
    for (name, text) in objects(store) {
        if !name.ends_with(".json") || !name.contains("/_delta_log/") {
            continue;
        }
        assert_eq!(name, entry(versions.len()));
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        versions.push(lines.map(|line| serde_json::from_slice(line).expect("an action")).collect());
    }
    versions
}

/// The name of the entry of a version.
fn entry(version: usize) -> String {
    format!("lake/t/_delta_log/{version:020}.json")
}

/// The paths that the log adds, in its order.
fn added(store: &InMemory) -> Vec<String> {
    let actions = log(store).into_iter().flatten();
    actions.filter_map(|action| action["add"]["path"].as_str().map(str::to_owned)).collect()
}

/// Adds a version with the table's metadata and protocol changed, as another writer does.
fn alter(store: &InMemory, change: impl FnOnce(&mut serde_json::Value, &mut serde_json::Value)) {
    let log = log(store);
    let last = |kind: &str| {
        let mut actions = log.iter().flatten().filter(|action| action.get(kind).is_some());
        actions.next_back().expect("an action of the kind").clone()
    };
    let (mut metadata, mut protocol) = (last("metaData"), last("protocol"));
    change(&mut metadata["metaData"], &mut protocol["protocol"]);
    let time = last("commitInfo")["commitInfo"]["inCommitTimestamp"].as_i64().expect("a time") + 1;
    let info = serde_json::json!({"commitInfo": {"inCommitTimestamp": time, "timestamp": time}});
    let lines = [info, metadata, protocol].map(|action| action.to_string() + "\n");
    put(store, &entry(log.len()), lines.concat());
}

#[test]
fn rolls_are_added_once_and_in_order() {
    let runtime = runtime();
    let store = Arc::new(InMemory::new());
    let lake = Lake::on(store.clone(), 1 << 20);
    let delta = table(&lake, FIELDS, &runtime);
    assert_eq!(delta.mark("n1"), Ok(None));
    let rolls = [receipt("n1", 1), receipt("n1", 2)];
    assert!(matches!(delta.commit("n1", &rolls), Visible::At { roll: Roll(2), added: true, .. }));
    // Another process, with an older view.
    let other = table(&lake, FIELDS, &runtime);
    assert!(matches!(other.commit("n1", &rolls), Visible::At { roll: Roll(2), added: false, .. }));
    let rolls = [receipt("n1", 2), receipt("n1", 3)];
    assert!(matches!(other.commit("n1", &rolls), Visible::At { roll: Roll(3), added: true, .. }));
    assert!(matches!(delta.commit("n2", &[receipt("n2", 1)]), Visible::At { added: true, .. }));
    let added = added(&store);
    assert_eq!(added.len(), 8, "{added:?}");
    assert_eq!(added.iter().collect::<BTreeSet<_>>().len(), 8, "{added:?}");
    assert_eq!(delta.mark("n1").map(|mark| mark.map(|(roll, _)| roll)), Ok(Some(Roll(3))));
}

#[test]
fn a_view_has_the_files_and_the_marks() {
    let runtime = runtime();
    let store = Arc::new(InMemory::new());
    let lake = Lake::on(store.clone(), 1 << 20);
    let view = || LogView::open(&lake, "t", runtime.handle().clone());
    assert!(matches!(view(), Ok(None)));
    let delta = table(&lake, FIELDS, &runtime);
    let rolls: Vec<Receipt> = (1..=30).map(|roll| receipt("n1", roll)).collect();
    // Past a checkpoint, and with a log of which the checksums are gone.
    for roll in 1..=105 {
        let visible = delta.commit("n2", &[receipt("n2", roll)]);
        assert!(matches!(visible, Visible::At { added: true, .. }), "{visible:?}");
    }
    assert!(matches!(delta.commit("n1", &rolls), Visible::At { roll: Roll(30), .. }));
    let marks = BTreeMap::from([("n1".to_owned(), Roll(30)), ("n2".to_owned(), Roll(105))]);
    for checksums in [true, false] {
        if !checksums {
            remove_all(&store, |name| name.ends_with(".crc"));
        }
        let view = view().expect("a log").expect("a table");
        assert_eq!(view.version(), 106);
        assert!(!view.id().is_empty());
        assert_eq!(view.marks(), Ok(marks.clone()));
        let files = view.live_files().expect("files");
        assert_eq!(files.len(), 270);
        let first = LiveFile {
            path: "date=2026-11-28/n1-0000000001.parquet".to_owned(),
            rows: Some(10),
            deleted_rows: 0,
            bytes: 1_000,
        };
        assert_eq!(files.first(), Some(&first));
    }
    let text = "{".as_bytes().to_vec();
    futures::executor::block_on(lake.put_bytes("t/_delta_log/00000000000000000106.json", text))
        .expect("memory");
    assert!(matches!(view(), Err(LogError::Unknown(_))), "a log that is cut off");
}
