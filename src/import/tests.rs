//! Imports, replays and their manifests, on a lake in memory.

mod doubles;
mod formats;
mod forms;
mod marks;
mod partitions;
mod replay;
mod search;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _};
use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::claims::{self, Claim};
use super::manifest::{ImportManifest, ManifestFile, Manifests};
use super::planned::PlannedImport;
use super::seals::{LakeRollLog, Sealed};
use super::*;
use crate::encode::Compression;
use crate::journal::Seal;
use crate::lake::Lake;
use crate::lake::names::{self, ObjectName};
use crate::lake::{self, Location, QuarantineEntry};
use crate::publish::publisher::RollLog as _;
use crate::record::{Micros, Roll, Seq, SeqRange};
use crate::schema::TableSchema;
use crate::table::{Flat, Spec, Template};

const SCHEMA: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null}
]}"#;

/// The schema of sessions that have a flat table.
const WITH_EVENTS: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null},
    {"name": "events", "type": {"type": "array", "items": ["null",
        {"type": "record", "name": "event", "fields": [{"name": "of", "type": "string"}]}]}}
]}"#;

/// The columns by which sessions are compared.
const KEYS: &str = r#"
    {"name": "tenantId", "type": ["null", "string"], "default": null},
    {"name": "userSessionId", "type": ["null", "string"], "default": null},
    {"name": "startTime", "type": ["null", "long"], "default": null}"#;

struct Bench {
    /// The table has events, and a flat table of them.
    is_flat: bool,
    /// The table has `dedup`, and documents are sessions ([`keyed`]).
    has_dedup: bool,
    store: Arc<InMemory>,
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    bucket: String,
}

impl Bench {
    fn new(name: &str) -> Bench {
        Bench {
            is_flat: false,
            has_dedup: false,
            store: Arc::default(),
            runtime: runtime().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            // Locks are below the directory for temporary files, by the lake's name.
            bucket: format!("{name}-{}", std::process::id()),
        }
    }

    fn options(&self, files: &[&str]) -> Options {
        let mut schema = if self.is_flat { WITH_EVENTS } else { SCHEMA }.to_owned();
        if self.has_dedup {
            schema = schema.replacen("\"fields\": [", &format!("\"fields\": [{KEYS},"), 1);
        }
        let schema = Arc::new(TableSchema::parse(&schema).unwrap());
        let location = Location::S3 { bucket: self.bucket.clone(), prefix: "lake".into() };
        let partition = Template::parse("", &schema).unwrap();
        let mut table = Spec::new("visits", schema, partition);
        table.dedup_window_ms = self.has_dedup.then_some(60_000);
        let flat = self.is_flat.then(|| Flat::Events.spec(&table, &["id"]).unwrap());
        Options {
            inputs: files.iter().map(|name| Input::File(self.path(name))).collect(),
            again: false,
            quiet: true,
            lake: lake::Options { location, options: Vec::new(), timeout: Duration::from_secs(9) },
            table,
            flat: flat.into_iter().collect(),
            catalog: None,
            privacy_key: None,
            roll: crate::roll::Options {
                roll_bytes: 1 << 30,
                roll_rows: None,
                compression: Compression::None,
                encodings: crate::encode::Encodings::Delta,
                row_group_bytes: 1 << 20,
                memory_bytes: 1 << 26,
                disk_reserve_bytes: 0,
                decode_threads: 1.try_into().unwrap(),
            },
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// As another process would be.
    fn import(&self, files: &[&str]) -> Importer {
        let lake = Lake::on(self.store.clone(), 1 << 20);
        Importer::with_lake(self.options(files), lake, self.runtime.handle().clone()).unwrap()
    }

    fn run(&self, import: &Importer, planned: PlannedImport) -> anyhow::Result<ImportManifest> {
        let run = import.run(planned, &Report::new(&[], true))?;
        ensure!(run.failed.is_empty() && run.retry.is_empty(), "{run:?}");
        run.manifest.context("others have taken all of it")
    }

    /// Everything that the command does. Returns what has not landed.
    fn command(&self, files: &[&str]) -> anyhow::Result<Vec<String>> {
        land_all(&self.import(files))
    }

    /// All manifests, by node.
    fn manifests(&self) -> anyhow::Result<HashMap<String, ImportManifest>> {
        let import = self.import(&[]);
        let lake = &import.manifests.lake;
        let listed = self.runtime.block_on(lake.list(names::IMPORTS)).unwrap();
        let nodes = listed.iter().filter_map(|object| match ObjectName::parse(&object.name) {
            ObjectName::ImportManifest { node } => Some(node.to_owned()),
            _ => None,
        });
        import.manifests.of(nodes.collect())
    }

    fn replay(&self) -> Replay {
        Replay::with_importer(self.import(&[]), runtime().unwrap()).unwrap()
    }

    /// Ids of the lines in files that a receipt accounts for, and the number of lines in all files.
    fn lines(&self) -> (Vec<String>, usize) {
        let (mut accounted, mut told, mut all) = (Vec::new(), Vec::new(), 0);
        let objects = self.runtime.block_on(async {
            let listed: Vec<_> = self.store.list(None).try_collect().await.unwrap();
            let mut objects = Vec::new();
            for one in listed {
                let bytes = self.store.get(&one.location).await.unwrap().bytes().await.unwrap();
                objects.push((one.location.as_ref().to_owned(), bytes));
            }
            objects
        });
        for (name, bytes) in &objects {
            if name.starts_with("lake/_receipts/") {
                let receipt: crate::lake::Receipt = serde_json::from_slice(bytes).unwrap();
                for table in receipt.tables {
                    told.extend(table.files.into_iter().map(|file| file.path));
                    told.extend(table.quarantine.map(|file| file.path));
                }
            }
        }
        self.check_flat(&objects, &told);
        for (name, bytes) in objects {
            let ids = if name.starts_with(FLAT_FOLDER) {
                continue;
            } else if name.ends_with(".parquet") {
                ids_of(bytes)
            } else if name.ends_with(".ndjson") {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let id = |line: &str| {
                    let entry: QuarantineEntry = serde_json::from_str(line).unwrap();
                    let raw = entry.raw.as_str().unwrap().to_owned();
                    raw.split('"').nth(1).unwrap().to_owned()
                };
                text.lines().map(id).collect()
            } else {
                continue;
            };
            all += ids.len();
            if told.iter().any(|told| name == format!("lake/{told}")) {
                accounted.extend(ids);
            }
        }
        (accounted, all)
    }

    /// Checks that each row of the files that are `told` of has all of its flat rows, as often as it is
    /// there itself.
    fn check_flat(&self, objects: &[(String, bytes::Bytes)], told: &[String]) {
        let (mut rows, mut flat) = (HashMap::<String, u64>::new(), HashMap::<String, u64>::new());
        for (name, bytes) in objects {
            let is_told = told.iter().any(|told| *name == format!("lake/{told}"));
            if !is_told || !name.ends_with(".parquet") {
                continue;
            }
            let (column, counts) = match name.starts_with(FLAT_FOLDER) {
                true => ("of", &mut flat),
                false => ("id", &mut rows),
            };
            for id in column_of(bytes.clone(), column) {
                *counts.entry(id).or_default() += 1;
            }
        }
        let mut expected = HashMap::new();
        for (id, count) in rows.iter().filter(|_| self.is_flat) {
            expected.extend(
                (0..events_of(id)).filter(|at| *at != 1).map(|at| (format!("{id}/{at}"), *count)),
            );
        }
        assert_eq!(flat, expected);
    }

    /// All receipts.
    fn receipts(&self) -> Vec<crate::lake::Receipt> {
        self.runtime.block_on(async {
            let listed: Vec<_> = self.store.list(None).try_collect().await.unwrap();
            let mut receipts = Vec::new();
            for one in listed.iter().filter(|one| one.location.as_ref().contains("/_receipts/")) {
                let bytes = self.store.get(&one.location).await.unwrap().bytes().await.unwrap();
                receipts.push(serde_json::from_slice(&bytes).unwrap());
            }
            receipts
        })
    }

    /// Ids of all rows.
    fn ids(&self) -> Vec<String> {
        let objects = self.runtime.block_on(async {
            let listed: Vec<_> = self.store.list(None).try_collect().await.unwrap();
            let data = listed.into_iter().filter(|one| one.location.as_ref().ends_with(".parquet"));
            let mut objects = Vec::new();
            for one in data {
                objects.push(self.store.get(&one.location).await.unwrap().bytes().await.unwrap());
            }
            objects
        });
        let mut ids: Vec<String> = objects.into_iter().flat_map(ids_of).collect();
        ids.sort();
        ids
    }
}

/// The folder of the flat table.
const FLAT_FOLDER: &str = "lake/visits_events/";

/// Returns the number of a document's events, of which the second is null.
fn events_of(id: &str) -> u64 {
    id.bytes().map(u64::from).sum::<u64>() % 4
}

/// Returns a document with its events.
fn with_events(id: &str) -> String {
    let event = |at| match at {
        1 => "null".to_owned(),
        _ => format!("{{\"of\":\"{id}/{at}\"}}"),
    };
    let events: Vec<String> = (0..events_of(id)).map(event).collect();
    format!("{{\"id\":\"{id}\",\"events\":[{}]}}\n", events.join(","))
}

/// Returns the document `line` as a session that `dedup` compares.
fn keyed(line: &str) -> String {
    let keys = "\"tenantId\":\"t\",\"userSessionId\":\"s\",\"startTime\":1";
    format!("{},{keys}}}\n", line.trim_end().trim_end_matches('}'))
}

/// Ids of the rows of a Parquet file.
fn ids_of(object: bytes::Bytes) -> Vec<String> {
    column_of(object, "id")
}

/// Texts of a column of a Parquet file.
fn column_of(object: bytes::Bytes, name: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let rows = ParquetRecordBatchReaderBuilder::try_new(object).unwrap().build().unwrap();
    for batch in rows {
        let batch = batch.unwrap();
        let column = batch.column_by_name(name).unwrap().as_string::<i32>();
        ids.extend((0..column.len()).map(|at| column.value(at).to_owned()));
    }
    ids
}

fn plan(import: &Importer) -> anyhow::Result<planner::Plan> {
    planner::plan(import, &import.options.inputs)
}

/// As a process that is killed right after it has begun.
fn create(import: &Importer, node: &str, manifest: &ImportManifest) -> bool {
    let Manifests { lake, runtime, .. } = &import.manifests;
    for file in manifest.files.iter().filter(|file| file.content.is_some()) {
        let (content, name) = (file.content.clone().unwrap(), file.name.clone());
        let number = 1 + runtime.block_on(claims::of(lake, &content)).unwrap().len() as u64;
        claims::claim(lake, runtime, node, &[Claim { content, number, name }]).unwrap();
    }
    import.manifests.create(node, manifest, &import.tables).unwrap().is_none()
}

fn new_manifest(import: &Importer, files: Vec<ManifestFile>) -> ImportManifest {
    ImportManifest::new(files, &import.tables, Micros(5))
}

fn entry(reason: &str, raw: &str) -> QuarantineEntry {
    let (reason, raw) = (reason.into(), raw.into());
    QuarantineEntry { code: None, reason, seq: 1, line: 7, last_line: None, lines: 1, raw }
}

fn replayed(landed: u64, known: u64, left: u64, closed: u64) -> Replayed {
    Replayed { landed, known, left, closed, failed: 0 }
}

#[test]
fn a_roll_is_sealed_by_one_process() {
    let bench = Bench::new("seals");
    let (one, two) = (bench.import(&[]), bench.import(&[]));
    let seal = |import: &Importer, last| {
        let range = SeqRange { first: Seq(1), last: Seq(last) };
        let seal = Seal { roll: Roll(1), range, settings: Vec::new() };
        LakeRollLog { manifests: &import.manifests, node: "n", extents: None }.seal(&seal)
    };
    seal(&one, 5).unwrap();
    // The answer was lost.
    seal(&one, 5).unwrap();
    let error = seal(&two, 4).unwrap_err();
    assert!(error.to_string().starts_with("another process goes on"), "{error}");
    let sealed = one.manifests.sealed("n", Roll(1)).unwrap();
    let Some(Sealed::Roll(roll)) = sealed else { panic!("it is sealed") };
    assert_eq!((roll.range.first, roll.range.last), (Seq(1), Seq(5)));
}

#[test]
fn a_run_is_begun_by_one_process() {
    let bench = Bench::new("begun");
    bench.file("a", "{\"id\":\"a\"}\n");
    let (one, two) = (bench.import(&["a"]), bench.import(&["a"]));
    // Both look before either begins.
    let (mut first, late) = (plan(&one).unwrap(), plan(&two).unwrap());
    bench.run(&one, first.imports.remove(0)).unwrap();
    let mut late = late.imports;
    let error = bench.run(&two, late.remove(0)).unwrap_err();
    assert!(error.to_string().starts_with("another process has taken up"), "{error}");
    let plan = plan(&two).unwrap();
    assert_eq!((plan.imports.len(), plan.known.len()), (0, 1));
    assert_eq!(bench.ids(), ["a"]);
}

#[test]
fn an_interrupted_import_whose_file_is_gone_can_be_given_up() {
    let bench = Bench::new("given-up");
    bench.file("a", "{\"id\":\"a\"}\n");
    bench.file("b", "{\"id\":\"b\"}\n");
    let both = bench.import(&["a", "b"]);
    let PlannedImport { node, manifest, .. } = plan(&both).unwrap().imports.remove(0);
    assert!(create(&both, &node, &manifest));
    // Another machine may work at it: one file alone is not taken.
    let planned = plan(&bench.import(&["a"])).unwrap();
    assert_eq!(planned.imports.len(), 0);
    assert!(planned.refused[0].contains(&format!("import --give-up {node}")), "{planned:?}");
    assert!(planned.refused[0].contains("give these as well, as they were: "), "{planned:?}");
    let error = both.give_up("import-x").unwrap_err();
    assert!(error.to_string().contains(&node), "{error}");
    let given_up = both.give_up(&node).unwrap();
    assert_eq!((given_up.not_imported.len(), given_up.imported.len()), (2, 0));
    bench.file("b", "{\"id\":\"b2\"}\n");
    let plan = plan(&both).unwrap();
    assert!(plan.imports[0].new && plan.imports[0].node != node);
    for planned in plan.imports {
        bench.run(&both, planned).unwrap();
    }
    assert_eq!(bench.ids(), ["a", "b2"]);
    assert!(both.give_up(&node).is_err());
}

#[test]
fn giving_up_what_is_no_import_touches_no_files() {
    let bench = Bench::new("no-import");
    let mut import = bench.import(&[]);
    import.options.lake.location = Location::Local(bench.path("lake"));
    // As of an import that runs.
    std::fs::create_dir_all(bench.path("lake/.staging-x")).unwrap();
    std::fs::create_dir(bench.path("precious")).unwrap();
    bench.file("precious/file", "x");
    for node in ["x/../../precious", "../precious", "/", "", "y"] {
        import.give_up(node).unwrap_err();
    }
    assert!(bench.path("precious/file").exists());
    let left = std::fs::read_dir(bench.folder.path()).unwrap().count();
    assert_eq!(left, 2, "a lock was made beside the lake");
}

#[test]
fn an_interrupted_import_goes_on_by_the_chunk_rule_it_began_with() {
    let bench = Bench::new("cuts");
    for (version, first_of_b) in [(1, 3), (2, 2)] {
        let action = format!("{{\"index\":{{}}}}\n{{\"id\":\"a{version}\"}}\n");
        bench.file("a", &action);
        bench.file("b", &format!("{{\"id\":\"b{version}\"}}\n"));
        let import = bench.import(&["a", "b"]);
        let PlannedImport { node, mut manifest, .. } = plan(&import).unwrap().imports.remove(0);
        (manifest.version, manifest.chunk_bytes) = (version, 13);
        assert!(create(&import, &node, &manifest));
        let done = bench.run(&import, plan(&import).unwrap().imports.remove(0)).unwrap();
        let first: Vec<_> = done.files.iter().map(|file| file.first_seq).collect();
        assert_eq!(first, [Some(1), Some(first_of_b)]);
    }
    assert_eq!(bench.ids(), ["a1", "a2", "b1", "b2"]);
}

#[test]
fn a_manifest_of_a_newer_version_is_refused() {
    let bench = Bench::new("newer");
    let import = bench.import(&[]);
    let files = vec![ManifestFile::new("a".into(), None)];
    let manifest =
        ImportManifest { version: manifest::VERSION + 1, ..new_manifest(&import, files) };
    import.manifests.put("import-x", &manifest).unwrap();
    let error = bench.manifests().unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[test]
fn entries_of_several_lines_are_replayed_line_by_line_and_each_once() {
    let bench = Bench::new("joined");
    let text = r#"[{"code":"not_object","reason":"r","seq":1,"line":2,"last_line":9,"lines":3,
                    "raw":["x","{\"id\":\"joined\"}","{broken}"]},
                   {"code":"not_json","reason":"r","seq":1,"line":10,"raw":"{\"id\":\"alone\"}"},
                   {"code":"not_read","reason":"r","seq":1,"line":11,"last_line":15,"lines":3,
                    "raw":"{\n\n{\"id\":\"unread\"}\n  \n{\"id\":\"last\"}"},
                   {"code":"not_json","reason":"r","seq":2,"line":1,"last_line":2,"lines":3,
                    "raw":["one that is missing"]}]"#;
    let mut file: Vec<QuarantineEntry> = serde_json::from_str(text).unwrap();
    let replay = |file: &[QuarantineEntry]| bench.replay().file("q", file, None).unwrap();
    assert_eq!(replay(&file), replayed(4, 0, 3, 3));
    assert_eq!(bench.ids(), ["alone", "joined", "last", "unread"]);
    assert_eq!(replay(&file), replayed(0, 4, 3, 3));
    // As after an upgrade: other lines of the same entries.
    file[0].raw = serde_json::json!(["x", "{\"id\":\"joined\"}", "{\"id\":\"mended\"}"]);
    assert_eq!(replay(&file), replayed(1, 4, 2, 3));
    assert_eq!(replay(&file), replayed(0, 5, 2, 3));
    assert_eq!(bench.ids(), ["alone", "joined", "last", "mended", "unread"]);
}

#[test]
fn a_replay_in_vain_can_be_tried_again() {
    let bench = Bench::new("vain");
    let mut file = [entry("r", "{broken"), entry("r", "17")];
    assert_eq!(bench.replay().file("_quarantine/a", &file, None).unwrap(), replayed(0, 0, 2, 0));
    // Nothing of it is in the lake.
    assert!(bench.manifests().unwrap().is_empty());
    file[0].raw = "{\"id\":\"mended\"}".into();
    assert_eq!(bench.replay().file("_quarantine/a", &file, None).unwrap(), replayed(1, 0, 1, 0));
    file[1].raw = "{\"id\":\"later\"}".into();
    assert_eq!(bench.replay().file("_quarantine/a", &file, None).unwrap(), replayed(1, 1, 0, 0));
    assert_eq!(bench.replay().file("_quarantine/a", &file, None).unwrap(), replayed(0, 2, 0, 0));
    assert_eq!(bench.ids(), ["later", "mended"]);
}

#[test]
fn lines_of_one_reason_are_not_landed_again_with_all() {
    let bench = Bench::new("reason");
    let file = [entry("x at byte 1", "{\"id\":\"x\"}"), entry("y", "{\"id\":\"y\"}")];
    let mut replay = bench.replay();
    assert_eq!(replay.file("_quarantine/a", &file, Some("x")).unwrap(), replayed(1, 0, 0, 0));
    assert_eq!(replay.file("_quarantine/a", &file, None).unwrap(), replayed(1, 1, 0, 0));
    assert_eq!(bench.ids(), ["x", "y"]);
}

#[test]
fn equal_lines_of_two_files_land_each() {
    let bench = Bench::new("equal");
    let file = [entry("r", "{\"id\":\"same\"}"), entry("r", "{\"id\":\"same\"}")];
    let mut replay = bench.replay();
    for path in ["_quarantine/t/n-00000001.ndjson", "_quarantine/t/n-00000002.ndjson"] {
        assert_eq!(replay.file(path, &file, None).unwrap(), replayed(2, 0, 0, 0));
    }
    assert_eq!(bench.ids(), ["same"; 4]);
}

#[test]
fn lines_are_replayed_as_they_came() {
    let bench = Bench::new("as-they-came");
    let file = [
        // A document over several lines, of an array.
        entry("r", "{\"id\":\n\"lines\"\r\n}"),
        // The rest of an array that is not closed: its lines are none.
        entry("r", "{\"id\":\"a\"\n{\"id\":\"b\"}\n"),
        // Control characters in strings stay what they are.
        entry("r", "{\"id\":\"c\rd\"}"),
        entry("r", "{\"id\":\"e\nf\"}"),
        entry("r", "[{\"id\":\"g\"}]"),
        entry("r", ""),
        entry("the document of an update action, which is not taken", "{\"id\":\"h\"}"),
        entry("a delete action", "{\"delete\":{\"_id\":\"1\"}}"),
        // Of a sender, whatever it looks like.
        entry("r", "{\"sealed\":\"AAAA\"}"),
        entry("r", " {\"id\":\"last\"}\r"),
    ];
    assert_eq!(bench.replay().file("_quarantine/a", &file, None).unwrap(), replayed(2, 0, 7, 1));
    assert_eq!(bench.ids(), ["last", "lines"]);
    let runs = bench.manifests().unwrap();
    let run = runs.values().next().unwrap();
    assert_eq!(run.entries, Some(vec![(1, 1), (10, 10)]));
}

#[test]
fn sealed_lines_are_opened_and_what_cannot_be_stops_nothing() {
    let bench = Bench::new("sealed");
    bench.file("key", &"k".repeat(40));
    let mut options = bench.options(&[]);
    options.privacy_key = Some(bench.path("key"));
    let lake = Lake::on(bench.store.clone(), 1 << 20);
    let import = Importer::with_lake(options, lake, bench.runtime.handle().clone()).unwrap();
    let seal = |text: &str| {
        let sealed = import.key.as_ref().unwrap().seal(text.as_bytes()).unwrap();
        entry("r", &serde_json::json!({ "sealed": sealed }).to_string())
    };
    let file = [seal("{\"id\":\"a\"}"), entry("r", "{\"sealed\":\"AAAA\"}"), seal("17")];
    let mut replay = Replay::with_importer(import, runtime().unwrap()).unwrap();
    assert_eq!(replay.file("_quarantine/a", &file, None).unwrap(), replayed(1, 0, 1, 1));
    assert_eq!(bench.ids(), ["a"]);
}

#[test]
fn an_interrupted_replay_is_finished_as_it_began() {
    let bench = Bench::new("interrupted");
    let file = [entry("x", "{\"id\":\"x\"}"), entry("y", "{\"id\":\"y\"}")];
    let import = bench.import(&[]);
    let file_2 = ManifestFile::new("_quarantine/a".into(), None);
    let manifest =
        ImportManifest { entries: Some(vec![(2, 2)]), ..new_manifest(&import, vec![file_2]) };
    let node = format!("replay-{:032x}", xxhash_rust::xxh3::xxh3_128(b"_quarantine/a"));
    assert!(create(&import, &node, &manifest));
    let mut replay = bench.replay();
    assert_eq!(replay.file("_quarantine/a", &file, Some("x")).unwrap(), replayed(2, 0, 0, 0));
    assert_eq!(bench.ids(), ["x", "y"]);
    assert!(bench.manifests().unwrap().values().all(|run| run.done));
}
