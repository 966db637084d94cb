//! The harness of the tests: a journal on a crashing disk, everything behind it, and a lake in a
//! crashing store.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _, RecordBatch, StringArray};
use bytes::Bytes;
use object_store::ObjectStoreExt as _;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::store::{FakeStore, objects};
use crate::batch::RollLimits;
use crate::clock::ManualClock;
use crate::dedup::tests::fake::FakeFile;
use crate::dedup::{Index, IndexOptions};
use crate::encode::Compression;
use crate::journal::tests::fake::FakeDisk;
use crate::journal::{AppendError, Journal, JournalError, NewBody, Options, Receipt, Recovery};
use crate::lake::{Lake, QuarantineEntry};
use crate::publish::error::{ErrorKind, PublishError};
use crate::publish::lake_file::LakeFile;
use crate::publish::pauses::Pauses;
use crate::publish::promotion::Promotion;
use crate::publish::supervisor::{Pending, Supervisor};
use crate::record::{Form, Micros};
use crate::roll;
use crate::roll::test_faults::{self, Step};
use crate::schema::{EXTRA, TableSchema};
use crate::status::{Observers, Readiness};
use crate::table::{Flat, Spec, Tables, Template};

const TABLE: &str = "visits";
const SCHEMA: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null},
    {"name": "on", "type": ["null", "string"], "default": null}
]}"#;

/// The schema of sessions that have flat tables.
const WITH_EVENTS: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null},
    {"name": "on", "type": ["null", "string"], "default": null},
    {"name": "events", "type": {"type": "array", "items": ["null",
        {"type": "record", "name": "event", "fields": [{"name": "of", "type": "string"}]}]}}
]}"#;

pub(super) static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_time().build().expect("a runtime")
});

pub(super) struct Harness {
    pub(super) disk: Arc<FakeDisk>,
    pub(super) store: FakeStore,
    pub(super) options: Options,
    pub(super) rows: u64,
    pub(super) part_bytes: usize,
    pub(super) roll: roll::Options,
    pub(super) clock: Arc<ManualClock>,
    pub(super) table: Spec,
    /// The flat table of its events, if there is one, and it is configured.
    pub(super) flat: Option<Spec>,
    pub(super) is_flat: bool,
    /// The file of the index, if the table has `dedup`.
    pub(super) index: FakeFile,
    pub(super) max_rows: u64,
    /// Rows that a field must be in to become a column.
    pub(super) promote_after: Option<u64>,
    pub(super) staging: TempDir,
}

/// The contents of the lake.
#[derive(Debug, Default)]
pub(super) struct Landed {
    /// Ids of rows, and how often each is there.
    pub(super) rows: BTreeMap<String, u64>,
    /// The values of `plan` in the column and in `_extra`, by id of the row.
    pub(super) plans: BTreeMap<String, Vec<String>>,
    /// Ids of rows in files that have the column.
    pub(super) in_column: BTreeSet<String>,
    /// Ids of lines in quarantine, and how often each is there.
    pub(super) rejects: BTreeMap<String, u64>,
    /// Ids of lines of bodies that were set aside whole. They are among the rejects.
    pub(super) set_aside: BTreeSet<String>,
    /// Positions of the rows of the flat table, by the id of their session's row.
    pub(super) flat: BTreeMap<String, Vec<i64>>,
    /// Rows, or lines of the quarantine, by file.
    pub(super) files: BTreeMap<String, u64>,
    /// Bytes by file.
    sizes: BTreeMap<String, u64>,
    pub(super) receipts: Vec<crate::lake::Receipt>,
}

impl Harness {
    pub(super) fn new(seed: u64) -> Harness {
        let schema = Arc::new(TableSchema::parse(SCHEMA).expect("a schema"));
        let partition = Template::parse("day={on}", &schema).expect("a template");
        let table = Spec::new(TABLE, schema, partition);
        let roll = roll::Options {
            roll_bytes: 1 << 30,
            roll_rows: None,
            compression: Compression::None,
            encodings: crate::encode::Encodings::Delta,
            row_group_bytes: 1 << 20,
            memory_bytes: 1 << 26,
            disk_reserve_bytes: 0,
            decode_threads: 2.try_into().expect("not zero"),
        };
        Harness {
            disk: Arc::default(),
            store: FakeStore::new(seed),
            // Each body that becomes smaller, however small it is.
            options: Options { compress_from_bytes: Some(0), ..Options::new("/state/journal") },
            rows: 20,
            part_bytes: 1 << 20,
            roll,
            clock: Arc::new(ManualClock::at(Micros(1_000_000_000))),
            table,
            flat: None,
            is_flat: false,
            index: FakeFile::default(),
            max_rows: 1_000_000,
            promote_after: None,
            staging: tempfile::tempdir().expect("a directory"),
        }
    }

    /// Gives the table a list of events, and a flat table of it.
    pub(super) fn flatten(&mut self) {
        self.table.schema = Arc::new(TableSchema::parse(WITH_EVENTS).expect("a schema"));
        self.flat = Some(Flat::Events.spec(&self.table, &["id"]).expect("a flat table"));
        self.is_flat = true;
    }

    /// Returns the table, and its flat table if that is configured.
    pub(super) fn tables(&self) -> Tables {
        let flat = self.flat.iter().filter(|_| self.is_flat);
        Tables::new(std::iter::once(&self.table).chain(flat).cloned().collect()).expect("tables")
    }

    pub(super) fn open(&self) -> Result<(Journal, Recovery), JournalError> {
        Journal::open(self.disk.clone(), self.clock.clone(), self.options.clone())
    }

    /// Makes a supervisor. Bodies with these texts in their ids are faulty: `!decode` makes the decoder
    /// panic, `!push` and `!finish` fail where their rows are taken in and where their roll is finished,
    /// and `!die` ends the process when it is decoded.
    pub(super) fn supervisor(&self, journal: &Journal, recovery: &Recovery) -> Supervisor {
        let (disk, store) = (Arc::clone(&self.disk), self.store.clone());
        test_faults::set(journal.node(), Arc::new(move |step| fault(&step, &disk, &store)));
        Supervisor {
            options: self.roll,
            limits: RollLimits {
                age_us: i64::MAX,
                file_bytes: u64::MAX,
                rows: self.rows,
                source_bytes: u64::MAX,
            },
            lake: Lake::on(Arc::new(self.store.clone()), self.part_bytes),
            lake_file: LakeFile::new(self.disk.clone(), &self.options.dir),
            fence: Mutex::default(),
            asked: CancellationToken::new(),
            taking_apart: Mutex::default(),
            key: None,
            tables: self.tables(),
            dedup: self.dedup(journal.node()),
            promotion: self.promotion(),
            journal: journal.clone(),
            runtime: RUNTIME.handle().clone(),
            readiness: Arc::new(Readiness::new()),
            clock: self.clock.clone(),
            staging: self.staging(),
            pending: Arc::new(Mutex::new(Pending::of(recovery))),
            pauses: Pauses { store: Duration::ZERO, restart: Duration::ZERO, most: Duration::ZERO },
            observers: Observers::none(),
            stop: CancellationToken::new(),
        }
    }

    /// Opens the index, if the table has `dedup`. It dies with the disk.
    fn dedup(&self, node: &str) -> Option<Arc<Index>> {
        let window_ms = self.table.dedup_window_ms?;
        let options = IndexOptions {
            window_us: i64::try_from(window_ms).expect("not for ever") * 1_000,
            max_rows: self.max_rows,
            memory_bytes: 1 << 26,
        };
        let disk = Arc::clone(&self.disk);
        self.index.dies_with(move || disk.is_off() || disk.is_gone());
        Some(Arc::new(Index::on_fake(self.index.clone(), node, options)))
    }

    /// Returns the promotion of fields, if the table promotes.
    fn promotion(&self) -> Option<Arc<Promotion>> {
        let after = [(Arc::clone(&self.table.name), self.promote_after?)];
        let tables = self.tables();
        let file = LakeFile::new(self.disk.clone(), &self.options.dir);
        Some(Arc::new(Promotion::open(&file, tables).ok()?.after(after.into())))
    }

    /// Returns the memory of rolls that could not be made.
    pub(super) fn suspects(&self) -> Option<String> {
        let bytes = self.disk.bytes_if_there(&self.options.dir.join("suspects.json"))?;
        Some(String::from_utf8(bytes).expect("text"))
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.staging.path().join("staging")
    }

    pub(super) fn segments(&self) -> Vec<PathBuf> {
        use crate::journal::Disk as _;
        let mut names = self.disk.list(&self.options.dir).expect("listed");
        names.retain(|name| name.ends_with(".seg"));
        names.sort();
        names.iter().map(|name| self.options.dir.join(name)).collect()
    }

    pub(super) fn append(&self, journal: &Journal, text: &str) -> Result<Receipt, AppendError> {
        RUNTIME.block_on(journal.append(body(text)))
    }

    pub(super) fn append_all(
        &self,
        journal: &Journal,
        texts: &[String],
    ) -> Vec<Result<Receipt, AppendError>> {
        let all = texts.iter().map(|text| journal.append(body(text)));
        RUNTIME.block_on(futures::future::join_all(all))
    }

    /// Starts, publishes everything, and stops in order.
    pub(super) fn drain(&self) -> Recovery {
        let (journal, recovery) = self.open().expect("opens");
        let supervisor = self.supervisor(&journal, &recovery);
        journal.close();
        supervisor.run().expect("landed");
        recovery
    }

    /// Returns the bytes of every object but fences, which every start swaps, by name.
    pub(super) fn objects(&self) -> BTreeMap<String, Bytes> {
        let mut objects = self.all_objects();
        objects.retain(|name, _| !name.contains("_nodes/"));
        objects
    }

    /// Returns the bytes of every object, by name.
    pub(super) fn all_objects(&self) -> BTreeMap<String, Bytes> {
        objects(&self.store.objects)
    }

    /// Runs a future of the store.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        RUNTIME.block_on(future)
    }

    /// Deletes the objects whose names are `chosen`. Returns how many.
    pub(super) fn delete(&self, chosen: impl Fn(&str) -> bool) -> usize {
        let names: Vec<String> =
            self.all_objects().into_keys().filter(|name| chosen(name)).collect();
        for name in &names {
            let path = object_store::path::Path::from(name.as_str());
            RUNTIME.block_on(self.store.objects.delete(&path)).expect("memory");
        }
        names.len()
    }

    pub(super) fn landed(&self) -> Landed {
        RUNTIME.block_on(self.store.settle());
        let mut landed = Landed::default();
        for (name, bytes) in self.objects() {
            landed.add(name.trim_start_matches("lake/").to_owned(), bytes);
        }
        landed.receipts.sort_by_key(|receipt| receipt.roll);
        landed
    }
}

impl Landed {
    fn add(&mut self, name: String, bytes: Bytes) {
        if name == "_lake.json" || name.starts_with("_nodes/") || name.starts_with("_tables/") {
            return;
        }
        if name.contains("/_delta_log/") || name.starts_with("visits/metadata/") {
            return;
        }
        self.sizes.insert(name.clone(), bytes.len() as u64);
        if name.starts_with("_receipts/") {
            self.receipts.push(serde_json::from_slice(&bytes).expect("a receipt"));
        } else if name.starts_with("_quarantine/") {
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            let mut lines = 0;
            for line in text.lines() {
                let entry: QuarantineEntry = serde_json::from_str(line).expect("an entry");
                let texts = entry.texts().expect("texts");
                let [raw] = &texts[..] else { panic!("several lines: {line}") };
                let raw = String::from_utf8(raw.to_vec()).expect("text");
                let whole = entry.code.as_deref() == Some("set_aside");
                assert!(whole || raw.lines().count() == 1, "{raw}");
                assert_eq!(entry.lines, raw.lines().count() as u64, "{line}");
                lines += entry.lines;
                for line in raw.lines() {
                    let id = line.split('"').nth(3).expect("an id").to_owned();
                    *self.rejects.entry(id.clone()).or_default() += 1;
                    self.set_aside.extend(whole.then_some(id));
                }
            }
            self.files.insert(name, lines);
        } else {
            let batches = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet").build();
            let mut rows = 0;
            for batch in batches.expect("Parquet") {
                let batch = batch.expect("rows");
                if name.starts_with(FLAT_FOLDER) {
                    rows += self.add_flat(&batch);
                    continue;
                }
                let ids = batch.column_by_name("id").expect("a column").as_string::<i32>().clone();
                self.add_plans(&batch, &ids);
                for id in ids.iter() {
                    *self.rows.entry(id.expect("not null").to_owned()).or_default() += 1;
                }
                rows += ids.len() as u64;
            }
            self.files.insert(name, rows);
        }
    }

    fn add_flat(&mut self, batch: &RecordBatch) -> u64 {
        let text =
            |name: &str| batch.column_by_name(name).expect("a column").as_string::<i32>().clone();
        let (ids, of) = (text("sessionId"), text("of"));
        let positions = batch.column_by_name("position").expect("a column");
        let positions = positions.as_primitive::<arrow::datatypes::Int64Type>();
        for row in 0..batch.num_rows() {
            let (id, position) = (ids.value(row), positions.value(row));
            assert_eq!(of.value(row), format!("{id}/{position}"), "a row of another session");
            self.flat.entry(id.to_owned()).or_default().push(position);
        }
        batch.num_rows() as u64
    }

    /// Checks that each session has all of its flat rows, as often as it is there itself; or, if rolls were
    /// sealed without the flat table, none.
    pub(super) fn check_flat(&mut self, always: bool) {
        self.flat.values_mut().for_each(|positions| positions.sort_unstable());
        for (id, count) in &self.rows {
            let times = usize::try_from(*count).expect("a few");
            let (found, mut expected) = (self.flat.get(id), rows_of_events(id).repeat(times));
            expected.sort_unstable();
            let found: &[i64] = found.map_or(&[], Vec::as_slice);
            let none = !always && found.is_empty();
            assert!(none || found == expected, "{id} has {found:?} for {expected:?}");
        }
        let strange = self.flat.keys().find(|id| !self.rows.contains_key(*id));
        assert_eq!(strange, None, "flat rows of no session");
    }

    fn add_plans(&mut self, batch: &RecordBatch, ids: &StringArray) {
        let column = batch.column_by_name("plan");
        let extras = batch.column_by_name(EXTRA).expect("a column").as_string::<i32>();
        for (row, id) in ids.iter().enumerate() {
            let id = id.expect("not null").to_owned();
            let mut plans = Vec::new();
            if let Some(column) = column.filter(|column| column.is_valid(row)) {
                let text = |column: &StringArray| column.value(row).to_owned();
                plans.push(column.as_string_opt::<i32>().map_or("no text".to_owned(), text));
            }
            if extras.is_valid(row) {
                let extra: serde_json::Value =
                    serde_json::from_str(extras.value(row)).expect("JSON");
                plans.extend(extra["/plan"].as_str().map(str::to_owned));
            }
            self.in_column.extend(column.map(|_| id.clone()));
            self.plans.insert(id, plans);
        }
    }

    /// Returns how often a line is in the lake, as a row or in quarantine.
    pub(super) fn count(&self, id: &str) -> u64 {
        let of = |ids: &BTreeMap<String, u64>| ids.get(id).copied().unwrap_or_default();
        of(&self.rows) + of(&self.rejects)
    }

    /// Holds the sizes in receipts against those of the files.
    pub(super) fn check_sizes(&self) {
        for table in self.receipts.iter().flat_map(|receipt| &receipt.tables) {
            for file in &table.files {
                assert_eq!(self.sizes.get(&file.path), Some(&file.bytes), "{}", file.path);
            }
            if let Some(file) = &table.quarantine {
                assert_eq!(self.sizes.get(&file.path), Some(&file.bytes), "{}", file.path);
            }
        }
    }

    /// Holds receipts against files and against one another.
    pub(super) fn check_receipts(&self) {
        let mut accounted = BTreeMap::new();
        let mut next_seq = 1;
        for receipt in &self.receipts {
            let accounted_for = receipt.rows + receipt.rejects + receipt.doubled;
            assert_eq!(receipt.lines, accounted_for, "{receipt:?}");
            let doubled: u64 = receipt.tables.iter().map(|table| table.doubled).sum();
            assert_eq!(doubled, receipt.doubled, "{receipt:?}");
            for lost in &receipt.lost {
                if lost.first_seq == next_seq {
                    next_seq = next_seq.max(lost.last_seq + 1);
                }
            }
            assert!(receipt.first_seq <= next_seq, "a gap before {receipt:?}");
            assert!(receipt.last_seq + 1 >= next_seq, "accounted for twice: {receipt:?}");
            next_seq = receipt.last_seq + 1;
            let (mut rows, mut rejects) = (0, 0);
            for table in &receipt.tables {
                for file in &table.files {
                    rows += if table.derived { 0 } else { file.rows };
                    assert_eq!(accounted.insert(file.path.clone(), file.rows), None);
                }
                if let Some(file) = &table.quarantine {
                    rejects += file.entries;
                    assert_eq!(accounted.insert(file.path.clone(), file.entries), None);
                }
            }
            assert_eq!((rows, rejects), (receipt.rows, receipt.rejects), "{receipt:?}");
        }
        assert_eq!(accounted, self.files, "files and receipts differ");
    }
}

/// Publishes until the journal is closed and drained, or the process is dead.
pub(super) fn land(supervisor: &Supervisor, disk: &FakeDisk) -> anyhow::Result<()> {
    loop {
        let landed = catch_unwind(AssertUnwindSafe(|| supervisor.attempt()))
            .unwrap_or_else(|_| Err(anyhow::anyhow!("died")));
        let Err(error) = landed else { return Ok(()) };
        let kind = error.downcast_ref::<PublishError>().map(PublishError::kind);
        if kind == Some(ErrorKind::Stop)
            || disk.is_off()
            || disk.is_gone()
            || supervisor.journal.status().poisoned.is_some()
        {
            return Err(error);
        }
    }
}

/// Returns a document as a line, or with `broken` a line that is none.
pub(super) fn line(id: &str, day: u64, broken: bool) -> String {
    let end = if broken { "" } else { "}" };
    format!("{{\"id\":\"{id}\",\"on\":\"{day}\"{end}\n")
}

/// The folder of the flat table.
pub(super) const FLAT_FOLDER: &str = "visits_events/";

/// Returns a document with events as a line; broken as [`line`] makes it.
pub(super) fn line_with_events(id: &str, day: u64, broken: bool) -> String {
    let event = |position| match position {
        1 => "null".to_owned(),
        _ => format!("{{\"of\":\"{id}/{position}\"}}"),
    };
    let events: Vec<String> = (0..events_of(id)).map(event).collect();
    let end = if broken { "" } else { "}" };
    format!("{{\"id\":\"{id}\",\"on\":\"{day}\",\"events\":[{}]{end}\n", events.join(","))
}

/// Returns the number of a document's events, of which the second is null.
fn events_of(id: &str) -> i64 {
    id.bytes().map(i64::from).sum::<i64>() % 4
}

/// Returns the positions of a document's events in the flat table.
fn rows_of_events(id: &str) -> Vec<i64> {
    (0..events_of(id)).filter(|position| *position != 1).collect()
}

/// Returns the document with a field that no column has, whose value is the id.
pub(super) fn with_plan(line: &str, id: &str) -> String {
    line.replacen(",\"on\"", &format!(",\"plan\":\"{id}\",\"on\""), 1)
}

/// The fault of a step of a body, if it has one.
fn fault(step: &Step<'_>, disk: &FakeDisk, store: &FakeStore) -> anyhow::Result<bool> {
    match step {
        Step::Decode(body) => {
            let has = |text: &str| memchr::memmem::find(&body.bytes, text.as_bytes()).is_some();
            if has("!die") {
                disk.turn_off();
                store.die();
            }
            assert!(!has("!decode") && !has("!die"), "a defect of the decoder");
            Ok(false)
        }
        Step::Push(part) => {
            let mut finish = false;
            for rows in &part.rows {
                // Rows of a flat table are behind those of their sessions.
                let Some(ids) = rows.batch.column_by_name("id") else { continue };
                let ids = ids.as_string::<i32>();
                for id in ids.iter().flatten() {
                    anyhow::ensure!(!id.contains("!push"), "a defect of the batcher");
                    finish |= id.contains("!finish");
                }
            }
            Ok(finish)
        }
        Step::Finish => anyhow::bail!("a defect of the encoder"),
    }
}

fn body(text: &str) -> NewBody {
    NewBody {
        table: TABLE.into(),
        form: Form::Ndjson,
        first_line: 1,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }
}
