//! Other writers of the table: rewrites, expiry of snapshots, appends, columns, branches.

use std::collections::{BTreeMap, BTreeSet};

use object_store::memory::InMemory;
use serde_json::{Value as Json, json};

use super::fake::FakeCatalog;
use super::objects_at;
use crate::commit::iceberg::manifest::{DataFile, Manifest, Table};
use crate::commit::iceberg::manifest_list::{self, ManifestFile, SnapshotIds};
use crate::commit::iceberg::metrics::Metrics;
use crate::commit::iceberg::partition::Spec;
use crate::search::Dice;

/// The files of other writers.
#[derive(Default)]
pub(super) struct Others {
    /// Those that they have added.
    pub(super) own: BTreeSet<String>,
    /// Those that have the rows of others, with the files that they replace.
    rewritten: BTreeMap<String, Vec<String>>,
    /// Objects that they have deleted.
    pub(super) deleted: BTreeSet<String>,
    pub(super) acts: u64,
}

impl Others {
    /// Returns the files whose rows are in the file at `path`.
    pub(super) fn files_in(&self, path: &str) -> Vec<String> {
        self.rewritten.get(path).cloned().unwrap_or_else(|| vec![path.to_owned()])
    }

    /// Does one thing to the table, if there is one.
    pub(super) fn act(&mut self, dice: &mut Dice, catalog: &FakeCatalog, objects: &InMemory) {
        self.act_with(dice.below(7), dice, catalog, objects);
    }

    pub(super) fn act_with(
        &mut self,
        what: u64,
        dice: &mut Dice,
        catalog: &FakeCatalog,
        objects: &InMemory,
    ) {
        let number = dice.roll() >> 16;
        catalog.alter(|table| {
            self.acts += 1;
            let updated = table["last-updated-ms"].as_i64().expect("a time");
            table["last-updated-ms"] = (updated + dice.below(5) as i64).into();
            match what {
                0 => self.expire(table, objects),
                1 => self.rewrite(table, objects, number),
                2 => self.append(table, objects, number),
                3 => {
                    let id = table["last-column-id"].as_i64().expect("an id") + 1;
                    let column = json!({"id": id, "name": format!("theirs{id}"), "required": false,
                        "type": "string"});
                    let schemas = table["schemas"].as_array_mut().expect("schemas");
                    let (mut schema, number) =
                        (schemas.last().expect("a schema").clone(), schemas.len());
                    schema["fields"].as_array_mut().expect("fields").push(column);
                    schema["schema-id"] = number.into();
                    schemas.push(schema);
                    table["current-schema-id"] = number.into();
                    table["last-column-id"] = id.into();
                }
                // A commit to another branch.
                4 => {
                    let next = table["last-sequence-number"].as_i64().expect("a number") + 1;
                    table["last-sequence-number"] = next.into();
                }
                5 => {
                    let count = 2 + dice.below(5);
                    table["properties"]["commit.manifest.min-count-to-merge"] =
                        count.to_string().into();
                }
                _ => table["properties"]["theirs"] = number.to_string().into(),
            }
        });
    }

    /// Removes all snapshots but the last, and what only they have.
    fn expire(&mut self, table: &mut Json, objects: &InMemory) {
        let main = table["refs"]["main"]["snapshot-id"].clone();
        let snapshots = table["snapshots"].as_array_mut().expect("snapshots");
        let (kept, gone): (Vec<Json>, Vec<Json>) =
            snapshots.drain(..).partition(|snapshot| snapshot["snapshot-id"] == main);
        let named = |snapshots: &[Json]| -> BTreeSet<String> {
            let paths = snapshots.iter().flat_map(|snapshot| {
                let list = &snapshot["manifest-list"];
                let manifests = objects_at::manifests(objects, list).into_iter().map(|m| m.path);
                manifests.chain(list.as_str().map(str::to_owned)).collect::<Vec<_>>()
            });
            paths.collect()
        };
        for address in named(&gone).difference(&named(&kept)) {
            objects_at::delete(objects, address);
            self.deleted.insert(objects_at::key(address).to_string());
        }
        *snapshots = kept;
    }

    fn rewrite(&mut self, table: &mut Json, objects: &InMemory, number: u64) {
        let live = live(table, objects);
        if live.is_empty() {
            return;
        }
        let path = format!("s3://bucket/lake/t/data/rewritten-{number}.parquet");
        let before = live.iter().flat_map(|(path, _)| self.files_in(path)).collect();
        self.rewritten.insert(path.clone(), before);
        let rows = live.iter().map(|(_, rows)| rows).sum();
        commit(table, objects, number, "replace", &[(path, rows)], &[]);
    }

    fn append(&mut self, table: &mut Json, objects: &InMemory, number: u64) {
        let path = format!("s3://bucket/lake/t/data/theirs-{number}.parquet");
        self.own.insert(path.clone());
        let manifests = manifests(table, objects);
        commit(table, objects, number, "append", &[(path, 7)], &manifests);
    }
}

fn manifests(table: &Json, objects: &InMemory) -> Vec<ManifestFile> {
    let main = &table["refs"]["main"]["snapshot-id"];
    let snapshots = table["snapshots"].as_array().expect("snapshots");
    let main = snapshots.iter().find(|snapshot| snapshot["snapshot-id"] == *main);
    main.map(|main| objects_at::manifests(objects, &main["manifest-list"])).unwrap_or_default()
}

fn live(table: &Json, objects: &InMemory) -> Vec<(String, u64)> {
    let manifests = manifests(table, objects);
    let entries = manifests.iter().flat_map(|manifest| objects_at::entries(objects, manifest));
    entries.map(|entry| (entry.path, entry.rows)).collect()
}

/// Makes a snapshot of `files` beside the manifests that are kept.
fn commit(
    table: &mut Json,
    objects: &InMemory,
    number: u64,
    operation: &str,
    files: &[(String, u64)],
    kept: &[ManifestFile],
) {
    let id = (number >> 1) as i64 + 1;
    let sequence_number = table["last-sequence-number"].as_i64().expect("a number") + 1;
    let spec: Spec = serde_json::from_value(table["partition-specs"][0].clone()).expect("a spec");
    let schema = json!({});
    let repeated = Table { schema: &schema, schema_id: 0, spec: &spec };
    let data_file = |(path, rows): &(String, u64)| DataFile {
        path: path.clone(),
        partition: vec![None; spec.fields.len()],
        rows: *rows,
        bytes: 1,
        metrics: Metrics::default(),
    };
    let all: Vec<DataFile> = files.iter().map(data_file).collect();
    let manifest = Manifest::of(repeated, id, &all).expect("a manifest");
    let path = format!("s3://bucket/lake/t/metadata/theirs-{number}.avro");
    let listed = manifest.listed(path.clone(), id, sequence_number);
    objects_at::put(objects, &path, manifest.bytes);
    let all: Vec<ManifestFile> = kept.iter().cloned().chain([listed]).collect();
    let parent = table["refs"]["main"]["snapshot-id"].as_i64();
    let list = format!("s3://bucket/lake/t/metadata/list-{number}.avro");
    objects_at::put(
        objects,
        &list,
        manifest_list::write(SnapshotIds { id, parent, sequence_number }, &all),
    );
    let snapshot = json!({
        "snapshot-id": id, "parent-snapshot-id": parent, "sequence-number": sequence_number,
        "timestamp-ms": table["last-updated-ms"], "manifest-list": list, "schema-id": table["current-schema-id"],
        "summary": {"operation": operation}
    });
    table["snapshots"].as_array_mut().expect("snapshots").push(snapshot);
    table["refs"]["main"] = json!({"snapshot-id": id, "type": "branch"});
    table["current-snapshot-id"] = id.into();
    table["last-sequence-number"] = sequence_number.into();
    let live = live(table, objects);
    let rows: u64 = live.iter().map(|(_, rows)| rows).sum();
    let summary = json!({
        "operation": operation, "total-data-files": live.len().to_string(),
        "total-records": rows.to_string(), "total-files-size": "1"
    });
    let snapshots = table["snapshots"].as_array_mut().expect("snapshots");
    snapshots.last_mut().expect("a snapshot")["summary"] = summary;
}
