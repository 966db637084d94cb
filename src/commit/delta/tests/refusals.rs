//! Tables that cannot take rolls: each is refused with a reason, and nothing is put.

use object_store::PutMode;
use serde_json::json;

use super::*;
use crate::publish::tests::store::FakeStore;

/// A table with one roll.
fn begun() -> (tokio::runtime::Runtime, Arc<InMemory>, Lake, DeltaTable) {
    let (runtime, store) = (runtime(), Arc::new(InMemory::new()));
    let lake = Lake::on(store.clone(), 1 << 20);
    let delta = table(&lake, FIELDS, &runtime);
    let outcome = delta.commit("n1", &[receipt("n1", 1)]);
    assert!(matches!(outcome, Visible::At { added: true, .. }), "{outcome:?}");
    (runtime, store, lake, delta)
}

/// Checks that a commit is refused with `parts` in its reason, and that nothing is put.
#[track_caller]
fn refused(delta: &DeltaTable, store: &InMemory, parts: &[&str]) {
    let before = objects(store);
    let outcome = delta.commit("n1", &[receipt("n1", 1), receipt("n1", 2)]);
    let Visible::Refused(why) = &outcome else { panic!("{outcome:?}") };
    for part in parts.iter().chain(&["s3://bucket/lake/t"]) {
        assert!(why.contains(part), "`{part}` is not in: {why}");
    }
    assert!(before == objects(store), "something was put");
}

#[test]
fn another_table_under_the_name_is_refused() {
    let (runtime, store, lake, delta) = begun();
    let restarted = || table(&lake, FIELDS, &runtime);
    remove_all(&store, |name| name.contains("_delta_log"));
    for delta in [&delta, &restarted()] {
        refused(delta, &store, &["is not there any more", "Bring it back", "--anew"]);
    }
    // As Spark creates one, for which our identity is nothing.
    let elsewhere = Lake::on(Arc::new(InMemory::new()), 1 << 20);
    let stranger = table(&elsewhere, FIELDS, &runtime);
    for roll in 1..4 {
        stranger.commit("n2", &[receipt("n2", roll)]);
    }
    copy(&elsewhere, &lake, "t/_delta_log");
    for delta in [&delta, &restarted()] {
        refused(delta, &store, &["another table now", "its id is", "--anew"]);
        assert!(matches!(delta.mark("n1"), Err(Visible::Refused(_))));
    }
}

#[test]
fn another_table_is_taken_on_purpose_also_by_those_that_run() {
    let (runtime, store, lake, delta) = begun();
    let restarted = || table(&lake, FIELDS, &runtime);
    remove_all(&store, |name| name.contains("_delta_log"));
    assert_eq!(restarted().forget_id(), Ok(()));
    let created = restarted().prepare().expect("created");
    assert_eq!((created.version, created.missing_columns.len()), (0, 0));
    // Of the mark nothing is left, and the roll is added to the new table, once.
    // The marks that the running one knows are of the table before: it has to ask again.
    assert_eq!(delta.generation(), 0);
    assert!(matches!(delta.commit("n1", &[receipt("n1", 2)]), Visible::Unknown(_)));
    assert_eq!((delta.generation(), added(&store).len()), (1, 0));
    assert_eq!(delta.mark("n1"), Ok(None));
    for (delta, added) in [(&delta, true), (&restarted(), false)] {
        let outcome = delta.commit("n1", &[receipt("n1", 1)]);
        assert!(matches!(&outcome, Visible::At { added: a, .. } if *a == added), "{outcome:?}");
    }
    assert_eq!((delta.generation(), added(&store).len()), (1, 2));
    // From here on it is the known one.
    remove_all(&store, |name| name.contains("_delta_log"));
    refused(&restarted(), &store, &["is not there any more"]);
}

#[test]
fn a_table_of_an_earlier_build_is_taken_and_remembered_from_then_on() {
    let (runtime, store, lake, _) = begun();
    remove_all(&store, |name| name.contains("identity.json"));
    let upgraded = table(&lake, FIELDS, &runtime);
    let outcome = upgraded.commit("n1", &[receipt("n1", 1), receipt("n1", 2)]);
    assert!(matches!(outcome, Visible::At { roll: Roll(2), added: true, .. }), "{outcome:?}");
    remove_all(&store, |name| name.contains("_delta_log"));
    refused(&table(&lake, FIELDS, &runtime), &store, &["is not there any more"]);
}

#[test]
fn an_identity_that_cannot_be_read_or_is_of_another_format_stops_the_table() {
    let (runtime, store, lake, _) = begun();
    let name = "lake/_tables/t/identity.json";
    for (text, part) in [
        ("[", "nothing that this version reads"),
        (r#"{"version":2,"format":"delta","id":"x"}"#, "newer version"),
        (r#"{"version":1,"format":"iceberg","id":"x"}"#, "of the format iceberg"),
    ] {
        put(&store, name, text);
        refused(&table(&lake, FIELDS, &runtime), &store, &[part]);
    }
}

#[test]
fn a_table_of_which_the_identity_cannot_be_asked_for_is_unknown() {
    let (runtime, store, _, _) = begun();
    let away = FakeStore::over(Arc::clone(&store), 1);
    let lake = Lake::on(Arc::new(away.clone()), 1 << 20);
    let delta = table(&lake, FIELDS, &runtime);
    away.go_away(u64::MAX);
    assert!(matches!(delta.commit("n1", &[receipt("n1", 2)]), Visible::Unknown(_)));
}

/// Copies the objects below `folder` from one lake to another.
fn copy(from: &Lake, to: &Lake, folder: &str) {
    futures::executor::block_on(async {
        for object in from.list(folder).await.expect("listed") {
            let bytes = from.get(&object.name).await.expect("read").expect("there");
            to.put_bytes(&object.name, bytes).await.expect("put");
        }
    });
}

#[test]
fn a_table_that_forgets_transactions_is_refused() {
    let (runtime, store, lake, delta) = begun();
    alter(&store, |metadata, _| {
        metadata["configuration"]["delta.setTransactionRetentionDuration"] =
            json!("interval 7 days");
    });
    refused(&delta, &store, &["delta.setTransactionRetentionDuration", "Unset"]);
    // A process that has just started as well.
    refused(&table(&lake, FIELDS, &runtime), &store, &["setTransactionRetentionDuration"]);
    alter(&store, |metadata, _| {
        metadata["configuration"] = json!({
            "delta.enableInCommitTimestamps": "true"
        })
    });
    assert!(matches!(delta.commit("n1", &[receipt("n1", 2)]), Visible::At { added: true, .. }));
}

#[test]
fn columns_that_files_name_or_hold_otherwise_are_refused() {
    let (_runtime, store, _, delta) = begun();
    alter(&store, |metadata, protocol| {
        metadata["configuration"]["delta.columnMapping.mode"] = json!("name");
        metadata["configuration"]["delta.columnMapping.maxColumnId"] = json!("20");
        protocol["minReaderVersion"] = json!(3);
        protocol["minWriterVersion"] = json!(7);
        protocol["readerFeatures"] = json!(["columnMapping"]);
        protocol["writerFeatures"] = json!(["inCommitTimestamp", "columnMapping"]);
        let schema = metadata["schemaString"].as_str().expect("a schema");
        let mut schema: serde_json::Value = serde_json::from_str(schema).expect("JSON");
        let mut next = 0;
        number(&mut schema, &mut next);
        metadata["schemaString"] = json!(schema.to_string());
    });
    refused(&delta, &store, &["delta.columnMapping.mode"]);
}

/// Gives each field of a schema an id and a name in files.
fn number(of: &mut serde_json::Value, next: &mut u64) {
    if let Some(name) = of["name"].as_str().map(str::to_owned) {
        *next += 1;
        of["metadata"] =
            json!({"delta.columnMapping.id": next, "delta.columnMapping.physicalName": name});
    }
    match of {
        serde_json::Value::Object(all) => {
            all.values_mut().for_each(|value| number_all(value, next))
        }
        other => number_all(other, next),
    }
}

fn number_all(of: &mut serde_json::Value, next: &mut u64) {
    match of {
        serde_json::Value::Array(all) => all.iter_mut().for_each(|value| number(value, next)),
        serde_json::Value::Object(all) if !all.contains_key("delta.columnMapping.id") => {
            all.values_mut().for_each(|value| number_all(value, next));
        }
        _ => {}
    }
}

#[test]
fn files_that_hold_the_partition_columns_are_refused() {
    let (_runtime, store, _, delta) = begun();
    alter(&store, |_, protocol| {
        protocol["minWriterVersion"] = json!(7);
        protocol["writerFeatures"] = json!(["inCommitTimestamp", "materializePartitionColumns"]);
    });
    refused(&delta, &store, &["materializePartitionColumns"]);
}

#[test]
fn features_that_are_not_written_are_refused() {
    for feature in ["checkConstraints", "aFeatureOfTheYear2040"] {
        let (_runtime, store, _, delta) = begun();
        alter(&store, |metadata, protocol| {
            protocol["minWriterVersion"] = json!(7);
            protocol["writerFeatures"] = json!(["inCommitTimestamp", feature]);
            metadata["configuration"]["delta.constraints.positive"] = json!("country > 'a'");
        });
        refused(&delta, &store, &[feature, "change the table"]);
    }
}

#[test]
fn other_partitions_are_refused() {
    let (runtime, store, lake, _) = begun();
    let schema = schema(FIELDS);
    for template in ["day={startTime:%Y-%m-%d}", "", "date={startTime:%F}/land={country}"] {
        let partition = Template::parse(template, &schema).expect("a template");
        let handle = runtime.handle().clone();
        let other = DeltaTable::new(&lake, &"t".into(), Arc::clone(&schema), partition, handle);
        refused(&other.expect("a name"), &store, &["is partitioned by", "date", template]);
    }
}

#[test]
fn other_columns_are_refused() {
    let (runtime, store, lake, delta) = begun();
    let with = |old: &str, new: &str| table(&lake, &FIELDS.replace(old, new), &runtime);
    let long = with(r#""country","type":["null","string"]"#, r#""country","type":["null","long"]"#);
    refused(&long, &store, &["country as string", "as long"]);
    let within = with(r#""name","type":["null","string"]"#, r#""name","type":["null","double"]"#);
    refused(&within, &store, &["actions.element.name", "double"]);
    refused(&with("country", "Country"), &store, &["column country", "Country", "spelling"]);
    alter(&store, |metadata, _| {
        let schema = metadata["schemaString"].as_str().expect("a schema");
        let mut schema: serde_json::Value = serde_json::from_str(schema).expect("JSON");
        let fields = schema["fields"].as_array_mut().expect("fields");
        fields.push(json!({"name": "must", "type": "long", "nullable": false, "metadata": {}}));
        metadata["schemaString"] = json!(schema.to_string());
    });
    let before = objects(&store);
    let outcome = delta.commit("n1", &[receipt("n1", 2)]);
    assert!(matches!(&outcome, Visible::Refused(_)), "{outcome:?}");
    assert!(before == objects(&store));
}

#[test]
fn rolls_out_of_order_are_refused() {
    let (_runtime, store, _, delta) = begun();
    let before = objects(&store);
    for rolls in [
        vec![receipt("n1", 3), receipt("n1", 2)],
        vec![receipt("n1", 2), receipt("n1", 2)],
        vec![receipt("n2", 2)],
        vec![],
    ] {
        let outcome = delta.commit("n1", &rolls);
        assert!(matches!(&outcome, Visible::Refused(why) if why.contains("lake/t")), "{outcome:?}");
    }
    let mut elsewhere = receipt("n1", 2);
    elsewhere.tables[0].files[0].path = "other/x.parquet".to_owned();
    let mut other = receipt("n1", 2);
    other.tables[0].files[0].partition_values.clear();
    other.tables[0].files[0].partition = "hour=2".to_owned();
    for (roll, part) in [(elsewhere, "other/x.parquet"), (other, "hour=2")] {
        let outcome = delta.commit("n1", &[roll]);
        assert!(matches!(&outcome, Visible::Refused(why) if why.contains(part)), "{outcome:?}");
    }
    assert!(before == objects(&store));
}

#[test]
fn a_store_that_may_replace_anything_is_refused() {
    let runtime = runtime();
    let store = Arc::new(InMemory::new());
    let lake = Lake::on(store.clone(), 1 << 20).without_conditional_puts();
    let put = futures::executor::block_on(lake.log_store().put_opts(
        &object_store::path::Path::from("a"),
        "a".into(),
        PutMode::Create.into(),
    ));
    assert!(matches!(put, Err(object_store::Error::NotImplemented { .. })), "{put:?}");
    refused(&table(&lake, FIELDS, &runtime), &store, &["aws_conditional_put", "plain"]);
}

#[test]
fn remains_of_a_log_are_refused_and_files_of_the_table_are_not() {
    let runtime = runtime();
    for name in ["_last_checkpoint", "00000000000000000007.crc", "note.txt"] {
        let store = Arc::new(InMemory::new());
        let lake = Lake::on(store.clone(), 1 << 20);
        put(&store, &format!("lake/t/_delta_log/{name}"), "{}");
        refused(&table(&lake, FIELDS, &runtime), &store, &[name, "Restore its log"]);
    }
    let store = Arc::new(InMemory::new());
    let lake = Lake::on(store.clone(), 1 << 20);
    // A plain table, and a creation that was killed.
    put(&store, "lake/t/date=2026-11-28/n1-00000001.parquet", "x");
    put(&store, "lake/t/_delta_log/.00000000000000000000.json.tmp", "x");
    let outcome = table(&lake, FIELDS, &runtime).commit("n1", &[receipt("n1", 1)]);
    assert!(matches!(outcome, Visible::At { added: true, .. }), "{outcome:?}");
}

#[test]
fn a_damaged_log_is_tried_again_and_nothing_is_put_over_it() {
    // An entry of no JSON, an empty one, and entries that are gone: the first, one between, two.
    let damages: [&dyn Fn(&InMemory); 5] = [
        &|store| put(store, &entry(2), "{\"add\""),
        &|store| put(store, &entry(0), ""),
        &|store| remove_all(store, |name| name == entry(0)),
        &|store| remove_all(store, |name| name == entry(2)),
        &|store| remove_all(store, |name| name == entry(0) || name == entry(1)),
    ];
    for (nth, damage) in damages.iter().enumerate() {
        for checksums in [true, false] {
            let (runtime, store, lake, delta) = begun();
            for roll in 2..5 {
                delta.commit("n1", &[receipt("n1", roll)]);
            }
            damage(&store);
            if !checksums {
                remove_all(&store, |name| name.ends_with(".crc"));
            }
            let before = objects(&store);
            for delta in [&delta, &table(&lake, FIELDS, &runtime)] {
                let outcome = delta.commit("n1", &[receipt("n1", 4), receipt("n1", 5)]);
                // With a checksum, what came before it need not be read.
                match outcome {
                    Visible::Unknown(why) | Visible::Refused(why) => {
                        assert!(why.contains("s3://bucket/lake/t"), "{why}");
                        assert!(before == objects(&store), "damage {nth}: something was put");
                    }
                    Visible::At { version, .. } => {
                        assert!(checksums, "damage {nth}: added to a log that cannot be read");
                        assert_eq!(version, 5, "damage {nth}");
                    }
                }
            }
        }
    }
}
