//! The harness of the tests: a journal on a crashing disk, everything behind it, and a lake in a
//! crashing store. What has landed in it is [`Landed`].

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::AsArray as _;
use bytes::Bytes;
use object_store::ObjectStoreExt as _;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(super) use super::landed::Landed;
pub(super) use super::lines::{SESSIONS, line, session, with_plan};
use super::store::{FakeStore, objects};
use crate::batch::RollLimits;
use crate::clock::ManualClock;
use crate::dedup::tests::fake::FakeFile;
use crate::dedup::{Index, IndexOptions};
use crate::encode::Compression;
use crate::journal::tests::fake::FakeDisk;
use crate::journal::{AppendError, Journal, JournalError, NewBody, Options, Receipt, Recovery};
use crate::lake::Lake;
use crate::publish::error::{ErrorKind, PublishError};
use crate::publish::lake_file::LakeFile;
use crate::publish::pauses::Pauses;
use crate::publish::promotion::Promotion;
use crate::publish::supervisor::{Pending, Supervisor};
use crate::record::{Form, Micros};
use crate::roll;
use crate::roll::test_faults::{self, Step};
use crate::schema::TableSchema;
use crate::status::{Observers, Readiness};
use crate::table::{Flat, Spec, Tables, Template};

pub(super) const TABLE: &str = "visits";
/// Name of the second table.
pub(super) const SECOND: &str = "stays";
const SCHEMA: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null},
    {"name": "on", "type": ["null", "string"], "default": null}
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
    /// The second table.
    pub(super) second: Option<Spec>,
    /// The flat tables of their events, if there are any, and they are configured.
    pub(super) flat: Vec<Spec>,
    pub(super) is_flat: bool,
    /// The file of the index, if a table has `dedup`.
    pub(super) index: FakeFile,
    pub(super) max_rows: u64,
    /// Rows that a field must be in to become a column.
    pub(super) promote_after: Option<u64>,
    pub(super) staging: TempDir,
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
            second: None,
            flat: Vec::new(),
            is_flat: false,
            index: FakeFile::default(),
            max_rows: 1_000_000,
            promote_after: None,
            staging: tempfile::tempdir().expect("a directory"),
        }
    }

    /// Gives the table the columns of [`SESSIONS`].
    pub(super) fn with_sessions(&mut self) {
        self.table.schema = Arc::new(TableSchema::parse(SESSIONS).expect("a schema"));
    }

    /// Adds a second table like the first one, which takes sessions.
    pub(super) fn add_second(&mut self) {
        self.with_sessions();
        self.second = Some(Spec { name: SECOND.into(), ..self.table.clone() });
    }

    /// Gives each table a flat table of its events, when all else is said of them.
    pub(super) fn flatten(&mut self) {
        self.with_sessions();
        let flat = |spec: &Spec| Flat::Events.spec(spec, &["id"]).expect("a flat table");
        self.flat = std::iter::once(&self.table).chain(&self.second).map(flat).collect();
        self.is_flat = true;
    }

    /// Returns the tables, and their flat tables whether these are configured or not.
    pub(super) fn all_tables(&self) -> Vec<Spec> {
        std::iter::once(&self.table).chain(&self.second).chain(&self.flat).cloned().collect()
    }

    /// Returns the tables, and their flat tables if these are configured.
    pub(super) fn tables(&self) -> Tables {
        let mut all = self.all_tables();
        all.retain(|spec| self.is_flat || !spec.rows.is_derived());
        Tables::new(all).expect("tables")
    }

    pub(super) fn open(&self) -> Result<(Journal, Recovery), JournalError> {
        Journal::open(self.disk.clone(), self.clock.clone(), self.options.clone())
    }

    /// Makes a supervisor. Bodies with these texts in their ids are faulty: `!decode` makes the decoder
    /// panic, `!push` and `!finish` fail where their rows are taken in and where their roll is finished,
    /// and `!die` ends the process when it is decoded.
    pub(super) fn supervisor(&self, journal: &Journal, recovery: &Recovery) -> Supervisor {
        self.supervisor_on(&self.disk, &self.index, journal, recovery)
    }

    /// Makes a supervisor of another state directory: one with `disk` and `index`.
    pub(super) fn supervisor_on(
        &self,
        disk: &Arc<FakeDisk>,
        index: &FakeFile,
        journal: &Journal,
        recovery: &Recovery,
    ) -> Supervisor {
        let lake_file = LakeFile::new(Arc::clone(disk) as _, &self.options.dir);
        let promotion = self.promotion(&lake_file);
        let dedup = self.dedup(disk, index, journal.node());
        let (disk, store) = (Arc::clone(disk), self.store.clone());
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
            lake_file,
            fence: Mutex::default(),
            asked: CancellationToken::new(),
            taking_apart: Mutex::default(),
            key: None,
            tables: self.tables(),
            dedup,
            promotion,
            journal: journal.clone(),
            runtime: RUNTIME.handle().clone(),
            readiness: Arc::new(Readiness::new()),
            clock: self.clock.clone(),
            staging: self.staging(),
            pending: Arc::new(Mutex::new(Pending::of(recovery))),
            pauses: Pauses { store: Duration::ZERO, restart: Duration::ZERO, most: Duration::ZERO },
            observers: Observers::none(),
            control: Arc::default(),
            hurry: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Opens the index in `file`, if a table has `dedup`. It dies with the disk.
    fn dedup(&self, disk: &Arc<FakeDisk>, file: &FakeFile, node: &str) -> Option<Arc<Index>> {
        let tables = self.all_tables();
        let window_ms = tables.iter().filter_map(|spec| spec.dedup_window_ms).max()?;
        let options = IndexOptions {
            window_us: i64::try_from(window_ms).expect("not for ever") * 1_000,
            max_rows: self.max_rows,
            memory_bytes: 1 << 26,
        };
        let disk = Arc::clone(disk);
        file.dies_with(move || disk.is_off() || disk.is_gone());
        Some(Arc::new(Index::on_fake(file.clone(), node, options)))
    }

    /// Returns the promotion of fields, if the table promotes.
    fn promotion(&self, file: &LakeFile) -> Option<Arc<Promotion>> {
        let after = [(Arc::clone(&self.table.name), self.promote_after?)];
        Some(Arc::new(Promotion::open(file, self.tables()).ok()?.after(after.into())))
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
        self.append_bodies(journal, texts.iter().map(|text| body(text)))
    }

    /// Appends bodies at a time.
    pub(super) fn append_bodies(
        &self,
        journal: &Journal,
        bodies: impl Iterator<Item = NewBody>,
    ) -> Vec<Result<Receipt, AppendError>> {
        let all = bodies.map(|body| journal.append(body));
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
    body_of(TABLE, text)
}

/// Returns a body that was sent to `table`.
pub(super) fn body_of(table: &str, text: &str) -> NewBody {
    NewBody {
        table: table.into(),
        form: Form::Ndjson,
        first_line: 1,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }
}
