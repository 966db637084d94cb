//! Iceberg tables of a catalog and a store in memory.

pub(crate) mod fake;
mod merge;
mod objects_at;
mod others;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::memory::InMemory;
use serde_json::{Value as Json, json};

use self::fake::FakeCatalog;
use super::IcebergTable;
use crate::clock::ManualClock;
use crate::commit::delta::LiveFile;
use crate::commit::tests::{runtime, schema};
use crate::commit::{TableState, Visible};
use crate::lake::{FileReceipt, Lake, LakeId, Receipt};
use crate::record::{Micros, Roll};
use crate::table::Template;

const TEMPLATE: &str = "date={startTime:%Y-%m-%d}";

const FIELDS: &str = r#"
    {"name":"startTime","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
    {"name":"country","type":["null","string"],"doc":"its country"},
    {"name":"actions","type":["null",{"type":"array","items":{"type":"record","name":"a","fields":[
        {"name":"name","type":["null","string"]}]}}]}"#;

/// The table, as another process comes to it with a clock that stands at `at`.
fn table(
    lake: &Lake,
    fields: &str,
    catalog: &Arc<FakeCatalog>,
    at: i64,
    runtime: &tokio::runtime::Runtime,
) -> IcebergTable {
    let schema = schema(fields);
    let partition = Template::parse(TEMPLATE, &schema).expect("a template");
    let catalog = catalog.client(Arc::new(ManualClock::at(Micros(at))));
    let runtime = runtime.handle().clone();
    IcebergTable::new(lake, &"t".into(), schema, partition, catalog, runtime).expect("an address")
}

fn file(node: &str, roll: u64, day: &str) -> FileReceipt {
    let path = format!("t/date={day}/{node}-{roll:010}.parquet");
    let file = FileReceipt::in_partition(path, "date", day);
    FileReceipt { overflow: day.starts_with("0001"), ..file }
}

fn receipt_of(node: &str, roll: u64, files: Vec<FileReceipt>) -> Receipt {
    let mut receipt = Receipt::of_files(node, roll, "t", files);
    receipt.tables[0].partition_template = TEMPLATE.to_owned();
    receipt
}

fn receipt(node: &str, roll: u64) -> Receipt {
    let days = ["2026-11-28", "2026-11-29"];
    receipt_of(node, roll, days.map(|day| file(node, roll, day)).to_vec())
}

/// A lake in memory with its catalog.
struct World {
    objects: Arc<InMemory>,
    lake: Lake,
    catalog: Arc<FakeCatalog>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> World {
        let objects = Arc::new(InMemory::new());
        let lake = Lake::on(objects.clone(), 1 << 20);
        let catalog = FakeCatalog::new(0, Arc::clone(&objects));
        World { objects, lake, catalog, runtime: runtime() }
    }

    fn table(&self) -> IcebergTable {
        self.table_of(FIELDS)
    }

    fn table_of(&self, fields: &str) -> IcebergTable {
        table(&self.lake, fields, &self.catalog, 2_000_000, &self.runtime)
    }

    fn metadata(&self) -> Json {
        self.catalog.state.lock().table.clone().expect("a table")
    }

    fn added(&self) -> Vec<String> {
        self.catalog.state.lock().added.concat()
    }
}

fn is_added(visible: &Visible, roll: u64) -> bool {
    matches!(visible, Visible::At { roll: at, added: true, .. } if at.0 == roll)
}

#[test]
fn rolls_are_added_once_and_in_order() {
    let world = World::new();
    let ours = world.table();
    assert_eq!(ours.mark("n1"), Ok(None));
    let rolls = [receipt("n1", 1), receipt("n1", 2)];
    let visible = ours.commit("n1", &rolls);
    assert!(is_added(&visible, 2), "{visible:?}");
    // Another process, with an older view.
    let other = world.table();
    let again = Visible::At { roll: Roll(2), version: 1, added: false };
    assert_eq!(other.commit("n1", &rolls), again);
    assert!(is_added(&other.commit("n1", &[receipt("n1", 2), receipt("n1", 3)]), 3));
    assert!(is_added(&ours.commit("n2", &[receipt("n2", 1)]), 1));
    let added = world.added();
    assert_eq!(added.len(), 8, "{added:?}");
    assert_eq!(added.iter().collect::<BTreeSet<_>>().len(), 8, "{added:?}");
    assert_eq!(added[0], "s3://bucket/lake/t/date=2026-11-28/n1-0000000001.parquet");
    assert_eq!(ours.mark("n1"), Ok(Some((Roll(3), 3))));
}

#[test]
fn a_new_table_has_the_columns_partitions_and_properties_of_its_rolls() {
    let world = World::new();
    assert!(is_added(&world.table().commit("n1", &[receipt("n1", 7)]), 7));
    let table = world.metadata();
    assert_eq!(table["location"], "s3://bucket/lake/t");
    let schema = &table["schemas"][0];
    assert_eq!(schema["fields"][1]["doc"], "its country");
    // The catalog has given its own ids, and the name mapping follows them.
    let mapping = table["properties"]["schema.name-mapping.default"].as_str().expect("a mapping");
    let mapping: Json = serde_json::from_str(mapping).expect("JSON");
    assert_eq!(mapping[0], json!({"field-id": 11, "names": ["startTime"]}));
    let spec = json!({"spec-id": 0, "fields": [
        {"source-id": 11, "field-id": 1000, "name": "date", "transform": "day"}]});
    assert_eq!(table["partition-specs"], json!([spec]));
    assert_eq!(table["properties"]["sessionlake.roll.n1"], "7");
    let snapshot = &table["snapshots"][0];
    assert_eq!(snapshot["sequence-number"], 1);
    assert_eq!(snapshot["parent-snapshot-id"], Json::Null);
    let summary = &snapshot["summary"];
    for (key, value) in [
        ("operation", "append"),
        ("added-data-files", "2"),
        ("added-records", "20"),
        ("added-files-size", "2000"),
        ("changed-partition-count", "2"),
        ("total-data-files", "2"),
        ("total-records", "20"),
        ("total-files-size", "2000"),
        ("total-delete-files", "0"),
        ("sessionlake.roll.n1", "7"),
    ] {
        assert_eq!(summary[key], value, "{key}");
    }
}

#[test]
fn a_process_that_comes_second_finds_the_table_that_the_first_has_created() {
    let world = World::new();
    assert!(is_added(&world.table().commit("n1", &[receipt("n1", 1)]), 1));
    // It had found none, and finds manifests now.
    assert_eq!(world.runtime.block_on(world.table().create()), Ok(()));
    assert_eq!(world.added().len(), 2);
}

#[test]
fn a_table_that_begins_elsewhere_is_moved_to_the_lake() {
    let world = World::new();
    world.catalog.state.lock().has_own_addresses = true;
    assert!(is_added(&world.table().commit("n1", &[receipt("n1", 1)]), 1));
    assert_eq!(world.metadata()["location"], "s3://bucket/lake/t");
    // One that has something is not.
    world.catalog.alter(|table| table["location"] = json!("s3://tables/db/t"));
    assert!(is_added(&world.table().commit("n1", &[receipt("n1", 2)]), 2));
    assert_eq!(world.metadata()["location"], "s3://tables/db/t");
}

/// One lake is within the other, so that the addresses of the one are also addresses of the other.
#[test]
fn two_lakes_do_not_mix_in_one_table() {
    for is_empty in [false, true] {
        let world = World::new();
        let inner = Lake::below(world.objects.clone(), "lake/inner");
        for lake in [&world.lake, &inner] {
            let id = LakeId::random().expect("a number");
            world.runtime.block_on(lake.identify(&id)).expect("memory");
        }
        let theirs = table(&inner, FIELDS, &world.catalog, 2_000_000, &world.runtime);
        match is_empty {
            true => drop(theirs.prepare().expect("created")),
            false => assert!(is_added(&theirs.commit("n2", &[receipt("n2", 1)]), 1)),
        }
        let before = world.metadata();
        let refused = world.table().commit("n1", &[receipt("n1", 1)]);
        let Visible::Refused(why) = refused else { panic!("{refused:?}") };
        assert!(why.contains("rolls of another lake") && why.contains("namespace"), "{why}");
        assert_eq!(world.metadata(), before);
        let known = world.runtime.block_on(world.lake.table_identity("t")).expect("memory");
        assert!(known.is_none(), "{known:?}");
        assert!(is_added(&theirs.commit("n2", &[receipt("n2", 1), receipt("n2", 2)]), 2));
    }
}

#[test]
fn a_view_has_the_files_and_the_marks() {
    let world = World::new();
    let table = world.table();
    assert!(table.view().expect("a catalog").is_none());
    assert!(is_added(&table.commit("n1", &[receipt("n1", 1)]), 1));
    let all: Vec<Receipt> = (1..=30).map(|roll| receipt("n2", roll)).collect();
    assert!(is_added(&table.commit("n2", &all), 30));
    let view = table.view().expect("a catalog").expect("a table");
    assert_eq!(view.version(), 2);
    let id = world.metadata()["current-snapshot-id"].as_i64();
    assert_eq!(view.snapshot_id(), id);
    assert_eq!(view.location(), "s3://bucket/lake/t");
    assert!(view.id().starts_with("u-"));
    let marks = BTreeMap::from([("n1".to_owned(), Roll(1)), ("n2".to_owned(), Roll(30))]);
    assert_eq!(view.marks(), marks);
    assert_eq!(view.deletes(), Default::default());
    let files = view.live_files().expect("manifests");
    assert_eq!(files.len(), 62);
    let first = LiveFile {
        path: "date=2026-11-28/n1-0000000001.parquet".to_owned(),
        rows: Some(10),
        deleted_rows: 0,
        bytes: 1_000,
    };
    assert_eq!(files.first(), Some(&first));
}

#[test]
fn files_of_no_partition_are_under_a_spec_without_fields() {
    let world = World::new();
    let table = world.table();
    let rolls = [
        receipt_of("n1", 1, vec![file("n1", 1, "2026-11-28"), file("n1", 1, "0001-01-01")]),
        receipt_of("n1", 2, vec![file("n1", 2, "0001-01-01")]),
    ];
    for roll in rolls {
        assert!(is_added(&table.commit("n1", std::slice::from_ref(&roll)), roll.roll));
    }
    let metadata = world.metadata();
    let specs = metadata["partition-specs"].as_array().expect("specs");
    assert_eq!(specs.len(), 2);
    assert_eq!(specs[1], json!({"spec-id": 5, "fields": []}));
    let list = &metadata["snapshots"][1]["manifest-list"];
    let manifests = objects_at::manifests(&world.objects, list);
    let found: Vec<_> =
        manifests.iter().map(|m| (m.spec_id, m.sequence_number, m.files[0])).collect();
    assert_eq!(found, [(5, 2, 1), (0, 1, 1), (5, 1, 1)]);
    assert_eq!(world.added().len(), 3);
}

#[test]
fn a_mark_that_is_no_roll_stops_its_node_alone() {
    let world = World::new();
    let table = world.table();
    for node in ["n1", "n2"] {
        assert!(is_added(&table.commit(node, &[receipt(node, 1)]), 1));
    }
    world.catalog.alter(|t| t["properties"]["sessionlake.roll.n1"] = "x".into());
    assert_eq!(table.marks(), Ok(BTreeMap::from([("n2".to_owned(), Roll(1))])));
    assert!(is_added(&table.commit("n2", &[receipt("n2", 2)]), 2));
    let refused = table.commit("n1", &[receipt("n1", 2)]);
    assert!(matches!(&refused, Visible::Refused(why) if why.contains("is no roll")), "{refused:?}");
}

/// Nothing that stops a table changes it.
#[test]
fn a_table_that_cannot_take_rolls_is_refused() {
    type Change = fn(&mut Json);
    let change: [(&str, Change); 8] = [
        ("has lost its property sessionlake.roll.n1", |t| {
            t["properties"].as_object_mut().expect("an object").remove("sessionlake.roll.n1");
        }),
        ("has lost its property sessionlake.roll.n1", |t| {
            t["properties"]["sessionlake.roll.n1"] = "0".into();
        }),
        ("has version 3 of the table format", |t| t["format-version"] = 3.into()),
        ("is another table now", |t| t["table-uuid"] = "other".into()),
        ("is not partitioned by `date=", |t| t["partition-specs"] = json!([])),
        ("has sessionlake.roll.n1 = x, which is no roll", |t| {
            t["properties"]["sessionlake.roll.n1"] = "x".into();
        }),
        ("its column country is long", |t| t["schemas"][0]["fields"][1]["type"] = "long".into()),
        ("calls the column land that was country", |t| {
            t["schemas"][0]["fields"][1]["name"] = "land".into();
        }),
    ];
    for (why, change) in change {
        let world = World::new();
        let table = world.table();
        assert!(is_added(&table.commit("n1", &[receipt("n1", 1)]), 1));
        world.catalog.alter(change);
        let before = world.metadata();
        match table.commit("n1", &[receipt("n1", 2)]) {
            Visible::Refused(text) => assert!(text.contains(why), "{text}"),
            other => panic!("{why}: {other:?}"),
        }
        assert_eq!(world.metadata(), before, "{why}");
        assert_eq!(world.added().len(), 2);
    }
    let world = World::new();
    let table = world.table();
    for rolls in [vec![], vec![receipt("n2", 1)], vec![receipt("n1", 2), receipt("n1", 1)]] {
        assert!(matches!(table.commit("n1", &rolls), Visible::Refused(_)));
    }
    assert!(is_added(&table.commit("n1", &[receipt("n1", 1)]), 1));
    world.catalog.state.lock().table = None;
    let gone = table.commit("n1", &[receipt("n1", 2)]);
    assert!(matches!(&gone, Visible::Refused(why) if why.contains("any more")), "{gone:?}");
    // Another process knows it by the identity in the lake, or else by the manifests.
    let gone = world.table().commit("n1", &[receipt("n1", 2)]);
    assert!(matches!(&gone, Visible::Refused(why) if why.contains("any more")), "{gone:?}");
    use object_store::ObjectStoreExt as _;
    let identity = object_store::path::Path::from("lake/_tables/t/identity.json");
    world.runtime.block_on(world.objects.delete(&identity)).expect("memory");
    let gone = world.table().commit("n1", &[receipt("n1", 2)]);
    assert!(
        matches!(&gone, Visible::Refused(why) if why.contains("of a table that was")),
        "{gone:?}"
    );
    assert!(world.catalog.state.lock().table.is_none());
    // On purpose.
    assert_eq!(world.table().forget_id(), Ok(()));
    let anew = world.table();
    assert!(is_added(&anew.commit("n1", &[receipt("n1", 1), receipt("n1", 2)]), 2));
    assert_eq!(anew.marks(), Ok(BTreeMap::from([("n1".to_owned(), Roll(2))])));
}

#[test]
fn a_table_without_rolls_is_created_and_says_what_it_lacks() {
    let world = World::new();
    assert_eq!(world.table().state(), Ok(None));
    let created = world.table().prepare().expect("created");
    assert_eq!(created, TableState { version: 0, missing_columns: Vec::new() });
    assert_eq!(world.table().state(), Ok(Some(created)));
    let more = FIELDS.replace(
        r#"{"name":"name","type""#,
        r#"{"name":"x","type":["null","long"]},{"name":"name","type""#,
    );
    let more = format!(r#"{more}, {{"name":"y","type":["null","long"]}}"#);
    let lacks = world.table_of(&more).state().expect("a table").expect("one");
    assert_eq!(lacks.missing_columns, ["actions.element.x", "y"]);
    let upgraded = world.table_of(&more).prepare().expect("upgraded");
    assert_eq!(upgraded.missing_columns, Vec::<String>::new());
    assert_eq!(world.added().len(), 0);
    assert!(is_added(&world.table_of(&more).commit("n1", &[receipt("n1", 1)]), 1));
}

#[test]
fn columns_of_rolls_are_added_with_their_names() {
    let world = World::new();
    assert!(is_added(&world.table().commit("n1", &[receipt("n1", 1)]), 1));
    let more = FIELDS.replace(
        r#"{"name":"name","type""#,
        r#"{"name":"x","type":["null","long"]},{"name":"name","type""#,
    );
    assert!(is_added(&world.table_of(&more).commit("n1", &[receipt("n1", 2)]), 2));
    let table = world.metadata();
    assert_eq!(table["current-schema-id"], 1);
    let last = table["last-column-id"].as_i64().expect("an id");
    let members = &table["schemas"][1]["fields"][2]["type"]["element"]["fields"];
    assert_eq!(members[1]["name"], "x");
    assert_eq!(members[1]["id"], last);
    let mapping = table["properties"]["schema.name-mapping.default"].as_str().expect("a mapping");
    assert!(mapping.contains(&format!(r#"{{"field-id":{last},"names":["x"]}}"#)), "{mapping}");
    // A receiver of the earlier schema goes on.
    assert!(is_added(&world.table().commit("n2", &[receipt("n2", 1)]), 1));
    assert_eq!(world.metadata()["snapshots"][2]["schema-id"], 1);
}
