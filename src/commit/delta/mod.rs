//! Delta tables: rolls become visible by a commit to the log of their table.
//!
//! A roll has landed once its receipt is in the lake; no reader of the Delta table sees its files yet.
//! A commit adds the files of one or several rolls of a node to the log, all at once, with the
//! transaction `sessionlake/<node>` and the number of the last of them: the mark. Rolls of a node are
//! committed in the order of their numbers, so a mark that is not below a roll proves that its files
//! were added.
//!
//! # Promise
//! A roll is in the log once or not at all, whatever an attempt was told. Every attempt reads the log
//! anew and looks at the mark; any outcome but a commit is unknown, also a conflict, which may be with
//! this process's own write. Nothing is deleted, and no file of a roll is read.
//!
//! # What stops a table
//! * Another table under the name (another id than the one that is expected).
//! * A table that forgets transactions (`delta.setTransactionRetentionDuration`): a mark that is gone
//!   would be an invitation to add files twice.
//! * Partition columns or column types other than those of the rolls; features that this version does
//!   not write.
//! * A store without puts that replace nothing.
//!
//! Times of commits are in the log (in-commit timestamps). A checksum is written with every commit, so
//! that the next one reads little, and a checkpoint every 100 commits; both are of use to readers and
//! not needed: a failure is logged.
//!
//! Format: <https://github.com/delta-io/delta/blob/master/PROTOCOL.md>.

mod schema;
mod statistics;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema};
use delta_kernel::KernelError;
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::expressions::ColumnName;
use delta_kernel::schema::{DataType, StructField, StructType};
use delta_kernel::snapshot::{Snapshot, SnapshotRef};
use delta_kernel::transaction::create_table::create_table;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel::transaction::{CommitResult, CommittedTransaction, UpdateTableOperation};
use delta_kernel_default_engine::executor::tokio::TokioMultiThreadExecutor;
use delta_kernel_default_engine::{DefaultEngine, DefaultEngineBuilder};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use url::Url;

use crate::lake::{FileReceipt, Lake, Receipt};
use crate::record::Roll;
use crate::schema::TableSchema;
use crate::table::Template;

/// Commits between checkpoints.
const CHECKPOINT_EVERY: u64 = 100;
/// The writer, as commits name it.
const WRITER: &str = concat!("sessionlake/", env!("CARGO_PKG_VERSION"));

/// A Delta table in a lake.
pub(crate) struct DeltaTable {
    engine: DefaultEngine<TokioMultiThreadExecutor>,
    root: Url,
    name: Arc<str>,
    schema: Arc<TableSchema>,
    partition: Template,
    /// The id of the table, once it was seen, and its state then: what a later look-up begins from.
    seen: Mutex<Option<(String, SnapshotRef)>>,
}

/// The outcome of an attempt to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// The table has all rolls up to this one, as of this version.
    At {
        /// The mark.
        roll: Roll,
        /// A version that has it.
        version: u64,
        /// This attempt added files.
        added: bool,
    },
    /// The table cannot take the rolls. Trying again does not help.
    Refused(String),
    /// Unknown: the store failed, or another commit was first. Trying again finds out.
    Unknown(String),
}

/// An attempt that did not end in a commit.
enum Failure {
    Refused(String),
    Unknown(String),
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Failure {
        if is_final(&error) {
            Failure::Refused(error.to_string())
        } else {
            Failure::Unknown(error.to_string())
        }
    }
}

/// Tells whether trying again does not help: the table has what this version does not write, or the
/// store has no put that replaces nothing.
fn is_final(error: &KernelError) -> bool {
    match error {
        KernelError::Unsupported(_)
        | KernelError::Schema(_)
        | KernelError::InvalidProtocol(_)
        | KernelError::ObjectStore(object_store::Error::NotImplemented { .. }) => true,
        KernelError::Backtraced { source, .. } => is_final(source),
        _ => false,
    }
}

impl DeltaTable {
    /// Returns the table `name` of `lake`. Asks nothing yet. `id` is the id that the table has to have, if
    /// that is known.
    ///
    /// # Errors
    /// The name makes no URL.
    pub(crate) fn new(
        lake: &Lake,
        name: &Arc<str>,
        schema: Arc<TableSchema>,
        partition: Template,
        runtime: Handle,
    ) -> Result<DeltaTable, url::ParseError> {
        let root = Url::parse(&lake.log_root())?.join(&format!("{name}/"))?;
        let executor = Arc::new(TokioMultiThreadExecutor::new(runtime));
        let engine =
            DefaultEngineBuilder::new(lake.log_store()).with_task_executor(executor).build();
        let (name, seen) = (Arc::clone(name), Mutex::default());
        Ok(DeltaTable { engine, root, name, schema, partition, seen })
    }

    /// Returns the mark of `node`: the last of its rolls that the table has, and the version that was
    /// looked at. Blocks.
    ///
    /// # Errors
    /// [`Visible::Refused`] or [`Visible::Unknown`].
    pub(crate) fn mark(&self, node: &str) -> Result<Option<(Roll, u64)>, Visible> {
        let marked = || -> Result<Option<(Roll, u64)>, Failure> {
            let Some(snapshot) = self.snapshot()? else { return Ok(None) };
            self.check(&snapshot)?;
            Ok(self.marked(&snapshot, node)?.map(|roll| (roll, snapshot.version())))
        };
        marked().map_err(Visible::from)
    }

    /// Adds the files of `rolls`, receipts of one node in the order of their numbers, to the table, which
    /// is created if there is none. Those that the table has are left out. One attempt. Blocks.
    pub(crate) fn commit(&self, node: &str, rolls: &[Receipt]) -> Visible {
        match self.attempt(node, rolls) {
            Ok(visible) => visible,
            Err(failure) => failure.into(),
        }
    }

    fn attempt(&self, node: &str, rolls: &[Receipt]) -> Result<Visible, Failure> {
        let Some(last) = rolls.last().map(|receipt| receipt.roll) else {
            return Err(Failure::Refused("there is no roll to commit".to_owned()));
        };
        let snapshot = match self.snapshot()? {
            Some(snapshot) => snapshot,
            None => self.create()?,
        };
        self.check(&snapshot)?;
        let mark = self.marked(&snapshot, node)?;
        if let Some(roll) = mark.filter(|mark| mark.0 >= last) {
            return Ok(Visible::At { roll, version: snapshot.version(), added: false });
        }
        let snapshot = self.evolve(snapshot)?;
        let rolls = rolls.iter().filter(|receipt| mark.is_none_or(|mark| receipt.roll > mark.0));
        let files: Vec<&FileReceipt> = rolls.flat_map(|receipt| self.files(receipt)).collect();
        let version = i64::try_from(last).map_err(|_| Failure::Refused(format!("roll {last}")))?;
        let commit = snapshot
            .update_table(UpdateTableOperation::StreamingUpdate, WRITER, true)
            .with_transaction_id(mark_of(node), version);
        // A roll without a row of this table leaves its mark alone.
        let commit = if files.is_empty() { commit } else { commit.with_blind_append() };
        let mut commit = commit.build(&self.engine, Box::new(FileSystemCommitter::new()))?;
        if !files.is_empty() {
            commit.add_files(Box::new(ArrowEngineData::new(self.actions(&files)?)));
        }
        let committed = self.settled(commit.commit(&self.engine)?)?;
        let version = committed.commit_version();
        self.tidy(&committed);
        Ok(Visible::At { roll: Roll(last), version, added: true })
    }

    /// Reads the latest state of the table. Returns `None` if there is none.
    fn snapshot(&self) -> Result<Option<SnapshotRef>, Failure> {
        let known = self.seen.lock().clone();
        let built = match known {
            Some((_, snapshot)) => Snapshot::builder_from(snapshot).build(&self.engine),
            None => Snapshot::builder_for(self.root.as_str()).build(&self.engine),
        };
        match built {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(error) if is_missing(&error) => {
                if self.seen.lock().is_some() {
                    return Err(Failure::Refused(format!(
                        "the log of {} is gone: it was there before",
                        self.root
                    )));
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Creates the table, unless another process is first.
    fn create(&self) -> Result<SnapshotRef, Failure> {
        if let Some(name) = schema::ambiguous(&self.schema, &self.partition) {
            return Err(Failure::Refused(format!(
                "the partition column {name} has the name of a column with other values, which a Delta \
                 table cannot tell apart: name it otherwise in `partition`"
            )));
        }
        let schema = Arc::new(schema::of(&self.schema, &self.partition)?);
        let columns = self.partition.segments.iter().map(|segment| segment.name.clone());
        let columns: Vec<String> = columns.collect();
        let table =
            create_table(self.root.as_str(), schema, WRITER, false).with_table_properties([
                ("delta.enableInCommitTimestamps", "true"),
                // Statistics of every column: without it, of the first 32.
                ("delta.dataSkippingNumIndexedCols", "-1"),
            ]);
        let table = match columns.is_empty() {
            true => table,
            false => table.with_data_layout(DataLayout::partitioned(columns)),
        };
        let table = table.build(&self.engine, Box::new(FileSystemCommitter::new()))?;
        let committed = self.settled(table.commit(&self.engine)?)?;
        tracing::info!(table = &*self.name, "created the Delta table {}", self.root);
        match committed.post_commit_snapshot() {
            Some(snapshot) => Ok(Arc::clone(snapshot)),
            None => Err(Failure::Unknown("the table was created; it is read again".to_owned())),
        }
    }

    /// Checks that the table is the one that was seen before, and can take rolls.
    fn check(&self, snapshot: &SnapshotRef) -> Result<(), Failure> {
        let id = snapshot.table_configuration().metadata().id().to_owned();
        let mut seen = self.seen.lock();
        if let Some((known, _)) = &*seen
            && *known != id
        {
            return Err(Failure::Refused(format!(
                "{} is another table now: its id is {id}, and it was {known} before",
                self.root
            )));
        }
        *seen = Some((id, Arc::clone(snapshot)));
        drop(seen);
        if snapshot.table_properties().set_transaction_retention_duration.is_some() {
            return Err(Failure::Refused(format!(
                "{} has delta.setTransactionRetentionDuration: it forgets which rolls it has, which would \
                 be added twice. Unset the property",
                self.root
            )));
        }
        let columns = self.partition.segments.iter().map(|segment| &segment.name);
        let theirs = snapshot.table_configuration().metadata().partition_columns();
        if !columns.eq(theirs) {
            return Err(Failure::Refused(format!(
                "{} is partitioned by {theirs:?}, and the rolls are by `{}`",
                self.root,
                self.partition.as_str()
            )));
        }
        Ok(())
    }

    fn marked(&self, snapshot: &SnapshotRef, node: &str) -> Result<Option<Roll>, Failure> {
        let mark = snapshot.get_app_id_version(&mark_of(node), &self.engine)?;
        Ok(mark.and_then(|mark| u64::try_from(mark).ok()).map(Roll))
    }

    /// Adds the columns that the schema has and the table lacks, in a commit of its own.
    fn evolve(&self, snapshot: SnapshotRef) -> Result<SnapshotRef, Failure> {
        let ours = schema::of(&self.schema, &self.partition)?;
        let mut missing = Vec::new();
        self.compare(&mut Vec::new(), &snapshot.schema(), &ours, &mut missing)?;
        if missing.is_empty() {
            return Ok(snapshot);
        }
        let mut change = snapshot.update_table(UpdateTableOperation::AlterTable, WRITER, false);
        for (parent, column) in missing {
            tracing::info!(table = &*self.name, "adds column {} to the Delta table", column.name);
            change = match parent.is_empty() {
                true => change.add_column(column),
                false => change.add_column_at(ColumnName::new(parent), column),
            };
        }
        let change = change.build(&self.engine, Box::new(FileSystemCommitter::new()))?;
        let committed = self.settled(change.commit(&self.engine)?)?;
        match committed.post_commit_snapshot() {
            Some(snapshot) => Ok(Arc::clone(snapshot)),
            None => Err(Failure::Unknown("columns were added; the table is read again".to_owned())),
        }
    }

    /// Collects the columns of `ours` that `theirs` lacks.
    fn compare(
        &self,
        path: &mut Vec<String>,
        theirs: &StructType,
        ours: &StructType,
        missing: &mut Vec<(Vec<String>, StructField)>,
    ) -> Result<(), Failure> {
        for column in ours.fields() {
            let found = theirs.fields().find(|field| field.name.eq_ignore_ascii_case(&column.name));
            match found {
                None => missing.push((path.clone(), column.clone())),
                Some(found) => {
                    path.push(found.name.clone());
                    self.compare_types(path, &found.data_type, &column.data_type, missing)?;
                    path.pop();
                }
            }
        }
        Ok(())
    }

    fn compare_types(
        &self,
        path: &mut Vec<String>,
        theirs: &DataType,
        ours: &DataType,
        missing: &mut Vec<(Vec<String>, StructField)>,
    ) -> Result<(), Failure> {
        match (theirs, ours) {
            (DataType::Struct(theirs), DataType::Struct(ours)) => {
                self.compare(path, theirs, ours, missing)
            }
            (DataType::Array(theirs), DataType::Array(ours)) => {
                path.push("element".to_owned());
                self.compare_types(path, theirs.element_type(), ours.element_type(), missing)?;
                path.pop();
                Ok(())
            }
            (theirs, ours) if theirs == ours => Ok(()),
            (theirs, ours) => Err(Failure::Refused(format!(
                "column {} of {} is {theirs}, and the rolls have {ours}",
                path.join("."),
                self.root
            ))),
        }
    }

    /// Returns the files of a roll that are in this table.
    fn files<'a>(&self, receipt: &'a Receipt) -> impl Iterator<Item = &'a FileReceipt> + use<'a> {
        let name = Arc::clone(&self.name);
        receipt.tables.iter().filter(move |table| table.table == *name).flat_map(|t| &t.files)
    }

    /// Returns the actions that add `files`.
    fn actions(&self, files: &[&FileReceipt]) -> Result<RecordBatch, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::Refused(error.to_string());
        let mut paths = Vec::with_capacity(files.len());
        let keys = MapFieldNames {
            entry: "key_value".to_owned(),
            key: "key".to_owned(),
            value: "value".to_owned(),
        };
        let mut values = MapBuilder::new(Some(keys), StringBuilder::new(), StringBuilder::new());
        for file in files {
            let Some(below) = file.path.strip_prefix(&*self.name).and_then(|p| p.strip_prefix('/'))
            else {
                return Err(Failure::Refused(format!("{} is not below {}", file.path, self.name)));
            };
            // As part of a URL.
            let mut url = self.root.clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().extend(below.split('/'));
            }
            let path = url.path().strip_prefix(self.root.path());
            paths.push(path.ok_or_else(|| broken(&file.path))?.to_owned());
            for segment in &self.partition.segments {
                values.keys().append_value(&segment.name);
                values
                    .values()
                    .append_option(file.partition_values.get(&segment.name).cloned().flatten());
            }
            values.append(true).map_err(|e| broken(&e))?;
        }
        let sizes = files.iter().map(|file| i64::try_from(file.bytes).ok()).collect::<Int64Array>();
        let now = chrono::Utc::now().timestamp_millis();
        let counted: Vec<_> =
            files.iter().map(|file| (file.rows, file.statistics.as_ref())).collect();
        let statistics = statistics::of(&self.schema, &counted).map_err(|e| broken(&e))?;
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("path", Arc::new(StringArray::from(paths)), false),
            ("partitionValues", Arc::new(values.finish()), false),
            ("size", Arc::new(sizes), false),
            ("modificationTime", Arc::new(Int64Array::from(vec![now; files.len()])), false),
            ("stats", Arc::new(statistics), true),
        ];
        let field = |(name, values, null): &(&str, ArrayRef, bool)| {
            ArrowField::new(*name, ArrowType::clone(values.data_type()), *null)
        };
        let fields: Vec<ArrowField> = columns.iter().map(field).collect();
        let columns = columns.into_iter().map(|(_, values, _)| values).collect();
        RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(|e| broken(&e))
    }

    /// Takes what a commit answered.
    fn settled<S: std::fmt::Debug>(
        &self,
        result: CommitResult<S>,
    ) -> Result<CommittedTransaction, Failure> {
        match result {
            CommitResult::Committed(committed) => Ok(committed),
            // Perhaps with this very commit: the store's own retry finds what it has put.
            CommitResult::Conflicted(conflict) => Err(Failure::Unknown(format!(
                "version {} of {} is another commit's",
                conflict.conflict_version(),
                self.root
            ))),
            CommitResult::Retryable(failed) => Err(failed.error.into()),
        }
    }

    /// Writes the checksum of a commit, and a checkpoint if one is due. The commit stands without.
    fn tidy(&self, committed: &CommittedTransaction) {
        let Some(snapshot) = committed.post_commit_snapshot() else { return };
        let written = snapshot.write_checksum(&self.engine);
        let snapshot = match written {
            Ok((_, snapshot)) => snapshot,
            Err(error) => {
                tracing::debug!(table = &*self.name, "no checksum of the commit: {error}");
                Arc::clone(snapshot)
            }
        };
        if committed.post_commit_stats().commits_since_checkpoint >= CHECKPOINT_EVERY
            && let Err(error) = snapshot.checkpoint(&self.engine, None)
        {
            tracing::warn!(table = &*self.name, "no checkpoint of {}: {error}", self.root);
        }
        if let Some((_, seen)) = &mut *self.seen.lock() {
            *seen = snapshot;
        }
    }
}

impl From<Failure> for Visible {
    fn from(failure: Failure) -> Visible {
        match failure {
            Failure::Refused(why) => Visible::Refused(why),
            Failure::Unknown(why) => Visible::Unknown(why),
        }
    }
}

/// Returns the name of the transaction that marks the rolls of `node`.
fn mark_of(node: &str) -> String {
    format!("sessionlake/{node}")
}

/// Tells whether there is no table, of the errors of reading one.
fn is_missing(error: &KernelError) -> bool {
    match error {
        KernelError::EmptyLog => true,
        KernelError::Backtraced { source, .. } => is_missing(source),
        _ => false,
    }
}
