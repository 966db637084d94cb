//! A table: its marks, and commits of rolls.

use std::collections::BTreeMap;
use std::sync::Arc;

use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::expressions::ColumnName;
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::table_features::{ColumnMappingMode, TableFeature};
use delta_kernel::transaction::create_table::create_table;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel::transaction::{CommitResult, CommittedTransaction, UpdateTableOperation};
use delta_kernel::{KernelError, KernelResult};
use tokio::runtime::Handle;

use super::log::Log;
use super::{actions, evolve, marks, schema};
use crate::clock::{Clock as _, SystemClock};
use crate::commit::known_table::{KnownTable, UnknownTable};
use crate::commit::log_error::{LogError, last_in_order};
use crate::commit::{TableState, Visible};
use crate::lake::{FileReceipt, Lake, Receipt};
use crate::record::Roll;
use crate::schema::TableSchema;
use crate::table::{CurrentSchema, Format, Template};

/// Commits between checkpoints.
pub(super) const CHECKPOINT_EVERY: u64 = 100;
/// The writer, as commits name it.
const WRITER: &str = concat!("sessionlake/", env!("CARGO_PKG_VERSION"));

/// A Delta table in a lake. Keeps the id and the last marks of the table and nothing else between calls.
pub(crate) struct DeltaTable {
    log: Log,
    name: Arc<str>,
    schema: CurrentSchema,
    partition: Template,
    known: KnownTable,
    runtime: Handle,
}

impl DeltaTable {
    /// Returns the table `name` of `lake`. Asks nothing yet.
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
        let known = KnownTable::new(lake, name, Format::Delta);
        let log = Log::new(lake, name, runtime.clone())?;
        let schema = schema.into();
        Ok(DeltaTable { log, name: Arc::clone(name), schema, partition, known, runtime })
    }

    /// Returns the mark of `node`: the last of its rolls that the table has, and the version that was
    /// looked at. Blocks.
    ///
    /// # Errors
    /// [`Visible::Refused`] or [`Visible::Unknown`].
    pub(crate) fn mark(&self, node: &str) -> Result<Option<(Roll, u64)>, Visible> {
        let Some(snapshot) = self.latest()? else { return Ok(None) };
        Ok(self.marked(&snapshot, node)?.map(|roll| (roll, snapshot.version())))
    }

    /// Returns the marks of all nodes. Blocks.
    ///
    /// # Errors
    /// [`Visible::Refused`] or [`Visible::Unknown`].
    pub(crate) fn marks(&self) -> Result<BTreeMap<String, Roll>, Visible> {
        let Some(snapshot) = self.latest()? else { return Ok(BTreeMap::new()) };
        let marks = marks::of(&self.log, &snapshot)?;
        for (node, roll) in &marks {
            self.note_mark(node, Some(*roll))?;
        }
        Ok(marks)
    }

    /// Adds the files of `rolls`, receipts of one node in the order of their numbers, to the table, which
    /// is created if there is none. Those that the table has are left out. One attempt. Blocks.
    ///
    /// A process that ends in the middle leaves the table whole: created and empty, with columns that
    /// were added, or with all the files.
    pub(crate) fn commit(&self, node: &str, rolls: &[Receipt]) -> Visible {
        self.attempt(node, rolls).unwrap_or_else(Visible::from)
    }

    /// Returns the state of the table, or `None` if there is none. Writes nothing but the identity of a
    /// table that has none. Blocks.
    ///
    /// # Errors
    /// [`Visible::Refused`]: the table cannot take the rolls. [`Visible::Unknown`].
    pub(crate) fn state(&self) -> Result<Option<TableState>, Visible> {
        let Some(snapshot) = self.latest()? else { return Ok(None) };
        Ok(Some(self.state_of(&snapshot)?))
    }

    /// Creates the table without rows if there is none, and adds the columns that it lacks. Returns its
    /// state then. One attempt. Blocks.
    ///
    /// # Errors
    /// Those of [`DeltaTable::state`]. Trying again after [`Visible::Unknown`] is safe.
    pub(crate) fn prepare(&self) -> Result<TableState, Visible> {
        let snapshot = match self.latest()? {
            Some(snapshot) => snapshot,
            None => self.create()?,
        };
        Ok(self.state_of(&self.evolve(snapshot)?)?)
    }

    /// Returns the schema of the rolls, which may get columns.
    pub(crate) fn schema(&self) -> &CurrentSchema {
        &self.schema
    }

    /// Returns a number that changes when another table is taken: marks that were read before it are of
    /// no use.
    pub(crate) fn generation(&self) -> u64 {
        self.known.generation()
    }

    /// Forgets the id of the table: the next one that is seen is taken, or a new one created. Blocks.
    ///
    /// # Errors
    /// The lake. Trying again is safe.
    pub(crate) fn forget_id(&self) -> Result<(), Visible> {
        Ok(self.ask(self.known.forget())?)
    }

    fn state_of(&self, snapshot: &SnapshotRef) -> Result<TableState, LogError> {
        let missing = self.missing_columns(snapshot)?;
        let missing_columns = missing.iter().map(evolve::Missing::path).collect();
        Ok(TableState { version: snapshot.version(), missing_columns })
    }

    fn attempt(&self, node: &str, rolls: &[Receipt]) -> Result<Visible, LogError> {
        let last = last_in_order(&self.log.table, node, rolls)?;
        let snapshot = match self.latest()? {
            Some(snapshot) => snapshot,
            None => self.create()?,
        };
        let mark = self.marked(&snapshot, node)?;
        if let Some(roll) = mark.filter(|mark| *mark >= last) {
            return Ok(Visible::At { roll, version: snapshot.version(), added: false });
        }
        let snapshot = self.evolve(snapshot)?;
        let rolls = rolls.iter().filter(|receipt| mark.is_none_or(|mark| receipt.roll > mark.0));
        let files: Vec<&FileReceipt> =
            rolls.flat_map(|receipt| receipt.files_of(&self.name)).collect();
        let version =
            i64::try_from(last.0).map_err(|_| LogError::Refused(format!("roll {last}")))?;
        let failed = |error| self.failed("adding files to", &error);
        let commit = snapshot
            .update_table(UpdateTableOperation::StreamingUpdate, WRITER, true)
            .with_transaction_id(marks::transaction(node), version);
        // Rolls without a row of this table leave their mark alone.
        let commit = if files.is_empty() { commit } else { commit.with_blind_append() };
        let mut commit =
            commit.build(&self.log.engine, Box::new(FileSystemCommitter::new())).map_err(failed)?;
        if !files.is_empty() {
            let now = SystemClock.now();
            let add = actions::of(&self.name, &self.schema.get(), &self.partition, &files, now)?;
            commit.add_files(Box::new(ArrowEngineData::new(add)));
        }
        let committed = self.settled("adding files to", commit.commit(&self.log.engine))?;
        self.known.committed(node, last);
        Ok(Visible::At { roll: last, version: committed.commit_version(), added: true })
    }

    /// Reads the latest state of the table and checks it. Returns `None` if there is no table.
    fn latest(&self) -> Result<Option<SnapshotRef>, LogError> {
        match self.log.latest()? {
            Some(snapshot) => {
                self.check(&snapshot)?;
                Ok(Some(snapshot))
            }
            None => {
                self.ask(self.known.missing())?;
                Ok(None)
            }
        }
    }

    /// Creates the table, unless another process is first.
    fn create(&self) -> Result<SnapshotRef, LogError> {
        Format::Delta.check(&self.schema.get(), &self.partition).map_err(LogError::Refused)?;
        let schema = Arc::new(self.columns()?);
        let columns: Vec<String> = self.partition.names().map(str::to_owned).collect();
        let table = create_table(self.log.root.as_str(), schema, WRITER, false)
            .with_table_properties([
                ("delta.enableInCommitTimestamps", "true"),
                // Statistics of every column: without it, of the first 32.
                ("delta.dataSkippingNumIndexedCols", "-1"),
            ]);
        let table = match columns.is_empty() {
            true => table,
            false => table.with_data_layout(DataLayout::partitioned(columns)),
        };
        let table = table
            .build(&self.log.engine, Box::new(FileSystemCommitter::new()))
            .map_err(|error| self.failed("creating", &error))?;
        let committed = self.settled("creating", table.commit(&self.log.engine))?;
        tracing::info!(table = &*self.name, "created {}", self.log.table);
        let snapshot = self.committed(&committed)?;
        self.check(&snapshot)?;
        Ok(snapshot)
    }

    /// Checks that the table is the one that was seen before, and can take rolls.
    fn check(&self, snapshot: &SnapshotRef) -> Result<(), LogError> {
        let table = snapshot.table_configuration();
        self.ask(self.known.found(table.metadata().id()))?;
        if snapshot.table_properties().set_transaction_retention_duration.is_some() {
            return Err(self.refused(
                "has delta.setTransactionRetentionDuration: it forgets which rolls it has, and they \
                 would be added twice. Unset the property",
            ));
        }
        if table.column_mapping_mode() != ColumnMappingMode::None {
            return Err(self.refused(
                "has delta.columnMapping.mode: its columns have other names in files than in the \
                 table, and the rolls' files have the table's. Give the rolls another table",
            ));
        }
        if table.is_feature_supported(&TableFeature::MaterializePartitionColumns) {
            return Err(self.refused(
                "has the feature materializePartitionColumns: its files hold the partition columns, and \
                 the rolls' files do not. Give the rolls another table",
            ));
        }
        let theirs = table.metadata().partition_columns();
        if !self.partition.names().eq(theirs) {
            return Err(self.refused(&format!(
                "is partitioned by {theirs:?}, and the rolls are by `{}`. Give the rolls another table",
                self.partition.as_str()
            )));
        }
        Ok(())
    }

    fn marked(&self, snapshot: &SnapshotRef, node: &str) -> Result<Option<Roll>, LogError> {
        let mark = snapshot
            .get_app_id_version(&marks::transaction(node), &self.log.engine)
            .map_err(|error| self.failed("reading the mark in", &error))?;
        let roll = |mark| {
            let wrong = || format!("has the mark {mark} of node {node}, which is no roll");
            u64::try_from(mark).map(Roll).map_err(|_| self.refused(&wrong()))
        };
        let mark = mark.map(roll).transpose()?;
        self.note_mark(node, mark)?;
        Ok(mark)
    }

    fn note_mark(&self, node: &str, mark: Option<Roll>) -> Result<(), LogError> {
        let noted = self.known.marked(node, mark);
        noted.map_err(|error| LogError::of_unknown(&self.log.table, error))
    }

    /// Adds the columns that the rolls have and the table lacks, in a commit of its own.
    fn evolve(&self, snapshot: SnapshotRef) -> Result<SnapshotRef, LogError> {
        let missing = self.missing_columns(&snapshot)?;
        if missing.is_empty() {
            return Ok(snapshot);
        }
        let mut change = snapshot.update_table(UpdateTableOperation::AlterTable, WRITER, false);
        let mut names = Vec::new();
        for missing in missing {
            names.push(missing.path());
            let evolve::Missing { mut parent, column } = missing;
            change = match parent.is_empty() {
                true => change.add_column(column),
                false => change.add_column_at(ColumnName::new(std::mem::take(&mut parent)), column),
            };
        }
        let change = change
            .build(&self.log.engine, Box::new(FileSystemCommitter::new()))
            .map_err(|error| self.failed("adding columns to", &error))?;
        let committed = self.settled("adding columns to", change.commit(&self.log.engine))?;
        tracing::info!(
            table = &*self.name,
            "added columns to {}: {}",
            self.log.table,
            names.join(", ")
        );
        self.committed(&committed)
    }

    fn missing_columns(&self, snapshot: &SnapshotRef) -> Result<Vec<evolve::Missing>, LogError> {
        evolve::missing(&snapshot.schema(), &self.columns()?).map_err(|what| self.refused(&what))
    }

    fn columns(&self) -> Result<delta_kernel::schema::StructType, LogError> {
        schema::of(&self.schema.get(), &self.partition)
            .map_err(|error| self.failed("making the columns of", &error))
    }

    /// Takes what a commit answered. Then writes its checksum, and a checkpoint if one is due.
    fn settled<S: std::fmt::Debug>(
        &self,
        doing: &str,
        result: KernelResult<CommitResult<S>>,
    ) -> Result<CommittedTransaction, LogError> {
        match result.map_err(|error| self.failed(doing, &error))? {
            CommitResult::Committed(committed) => {
                self.tidy(&committed);
                Ok(committed)
            }
            // Perhaps with this very commit: the store's own retry finds what it has put.
            CommitResult::Conflicted(conflict) => Err(LogError::Unknown(format!(
                "{doing} {}: version {} is there already",
                self.log.table,
                conflict.conflict_version()
            ))),
            CommitResult::Retryable(failed) => Err(self.failed(doing, &failed.error)),
        }
    }

    /// Returns the state after a commit.
    fn committed(&self, committed: &CommittedTransaction) -> Result<SnapshotRef, LogError> {
        committed.post_commit_snapshot().map(Arc::clone).ok_or_else(|| {
            LogError::Unknown(format!("{} was changed and has to be read again", self.log.table))
        })
    }

    /// Writes the checksum of a commit, and a checkpoint if one is due. The commit stands without.
    fn tidy(&self, committed: &CommittedTransaction) {
        let Some(snapshot) = committed.post_commit_snapshot() else { return };
        let snapshot = match snapshot.write_checksum(&self.log.engine) {
            Ok((_, snapshot)) => snapshot,
            Err(error) => {
                tracing::debug!(table = &*self.name, "no checksum of the commit: {error}");
                Arc::clone(snapshot)
            }
        };
        if committed.post_commit_stats().commits_since_checkpoint >= CHECKPOINT_EVERY
            && let Err(error) = snapshot.checkpoint(&self.log.engine, None)
        {
            tracing::warn!(table = &*self.name, "no checkpoint of {}: {error}", self.log.table);
        }
    }

    /// Waits for what is asked about the id of the table.
    fn ask(&self, about: impl Future<Output = Result<(), UnknownTable>>) -> Result<(), LogError> {
        let known = self.runtime.block_on(about);
        known.map_err(|error| LogError::of_unknown(&self.log.table, error))
    }

    fn failed(&self, doing: &str, error: &KernelError) -> LogError {
        LogError::of(format_args!("{doing} {}", self.log.table), error)
    }

    fn refused(&self, what: &str) -> LogError {
        LogError::Refused(format!("{} {what}", self.log.table))
    }
}
