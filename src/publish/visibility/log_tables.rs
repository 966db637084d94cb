//! One attempt to commit the rolls of a node to the tables that have a log: a Delta log, or snapshots in a
//! catalog.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::{StreamExt as _, pin_mut};
use tokio::runtime::Handle;

use super::log_table::{Failure, LogTable};
use super::table_log::TableLog;
use super::waiting_rolls::{Added, Marks, OfTable, WaitingRolls};
use crate::clock::SystemClock;
use crate::commit::iceberg::Catalog;
use crate::commit::{CatalogOptions, Visible};
use crate::lake::{FileReceipt, Lake, Receipt, StoreError};
use crate::record::Roll;
use crate::table::{CurrentSchema, Spec};

/// Most files of a commit. More rolls wait for the next one.
const MOST_FILES: usize = 4096;
/// Most memory of the statistics of a commit, in bytes.
const MOST_STATISTICS_BYTES: usize = 64 << 20;
/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause of [`LogTables::commit_all`].
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Failures in a row after which they are told of: that another commit was first is none.
pub(super) const QUIET_FAILURES: u32 = 3;

/// The tables of a lake that have a log.
pub(crate) struct LogTables {
    pub(super) lake: Lake,
    pub(super) runtime: Handle,
    tables: Vec<LogTable>,
}

/// The result of a look at a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// It could be committed to, as far as a look tells: a phrase about it.
    Can(String),
    /// It cannot take rolls, or the catalog does not let this program in. Trying again does not help.
    Refused(String),
    /// The log or the catalog did not answer.
    Away(String),
}

impl LogTables {
    /// Returns those of `tables` that have a log, or `None` if all are plain. Asks nothing. `runtime` has
    /// several threads.
    ///
    /// # Errors
    /// A table that has no place in the lake; an Iceberg table without a catalog; options of a catalog
    /// that no client can be made of.
    pub(crate) fn of<'a>(
        lake: &Lake,
        tables: impl IntoIterator<Item = &'a Spec>,
        catalog: Option<&CatalogOptions>,
        runtime: &Handle,
    ) -> anyhow::Result<Option<LogTables>> {
        let catalog = catalog.map(|options| Catalog::new(options.clone(), Arc::new(SystemClock)));
        let catalog = catalog.transpose().map_err(|why| anyhow!("the catalog: {why}"))?;
        LogTables::in_catalog(lake, tables, catalog.map(Arc::new).as_ref(), runtime)
    }

    /// Returns those of `tables` that have a log, as [`LogTables::of`] does, with this client of a catalog.
    ///
    /// # Errors
    /// A table that has no place in the lake; an Iceberg table without a catalog.
    pub(in crate::publish) fn in_catalog<'a>(
        lake: &Lake,
        tables: impl IntoIterator<Item = &'a Spec>,
        catalog: Option<&Arc<Catalog>>,
        runtime: &Handle,
    ) -> anyhow::Result<Option<LogTables>> {
        let mut logs = Vec::new();
        for table in tables {
            if let Some(log) = TableLog::of(lake, table, catalog, runtime)? {
                logs.push(LogTable { name: Arc::clone(&table.name), log });
            }
        }
        let (lake, runtime) = (lake.clone(), runtime.clone());
        Ok((!logs.is_empty()).then_some(LogTables { lake, runtime, tables: logs }))
    }

    /// Returns the schemas of the rolls, by table. A commit reads a schema after the receipts of its rolls,
    /// so one that is set before a roll lands is known to whoever commits it.
    pub(crate) fn schemas(&self) -> Vec<(Arc<str>, CurrentSchema)> {
        let tables = self.tables.iter();
        tables.map(|table| (Arc::clone(&table.name), table.log.schema().clone())).collect()
    }

    /// Looks at each table as a commit does. Writes nothing but the identity of a table that has none. Blocks.
    pub(crate) fn look(&self) -> Vec<(Arc<str>, Looked)> {
        let look = |table: &LogTable| {
            let looked = match table.log.look() {
                Ok(said) => Looked::Can(said),
                Err(Visible::Refused(why)) => Looked::Refused(why),
                Err(outcome) => Looked::Away(table.failure(outcome).why),
            };
            (Arc::clone(&table.name), looked)
        };
        self.tables.iter().map(look).collect()
    }

    /// Returns the nodes that have receipts in the lake.
    ///
    /// # Errors
    /// The lake.
    pub(crate) fn nodes(&self) -> Result<Vec<Arc<str>>, Failure> {
        let nodes = self.runtime.block_on(self.lake.receipt_nodes());
        let nodes = nodes.map_err(|error| self.away(&error))?;
        Ok(nodes.into_iter().map(Arc::from).collect())
    }

    /// Makes the failure of a request that is about no table, as that of the first.
    fn away(&self, error: &StoreError) -> Failure {
        let table = self.tables.first().map(|table| Arc::clone(&table.name));
        Failure { table: table.unwrap_or_default(), why: error.to_string(), is_final: false }
    }

    /// Returns the tables, in the order of [`LogTables::commit_waiting`]'s figures.
    pub(crate) fn tables(&self) -> &[LogTable] {
        &self.tables
    }

    /// Reads for each table the last roll of each node that it has. Blocks.
    ///
    /// # Errors
    /// A table that cannot take rolls; the lake or the catalog.
    pub(crate) fn marks(&self) -> Result<Marks, Failure> {
        let marks = |table: &LogTable| Ok((table.log.generation(), table.marks()?));
        Ok(Marks(self.tables.iter().map(marks).collect::<Result<_, Failure>>()?))
    }

    /// Lists the rolls of `node` that some table lacks by `marks`, which were read before. Of tables that
    /// have got more since, the commit finds out. Blocks.
    ///
    /// # Errors
    /// The lake.
    pub(crate) fn waiting_after(
        &self,
        node: &Arc<str>,
        marks: &Marks,
    ) -> Result<WaitingRolls, Failure> {
        let mut waiting = WaitingRolls::after(Arc::clone(node), marks);
        let landed = self.runtime.block_on(self.lake.rolls_after(node, waiting.least_mark()));
        waiting.listed(landed.map_err(|error| self.away(&error))?);
        Ok(waiting)
    }

    /// Commits all rolls of `node` that have landed. Tries for as long as the lake fails. Blocks.
    ///
    /// # Errors
    /// A table cannot take them. Those of other tables are committed.
    pub(crate) fn commit_all(&self, node: &Arc<str>) -> anyhow::Result<()> {
        match self.commit_waiting(WaitingRolls::of(Arc::clone(node))).1.first() {
            None => Ok(()),
            Some(Failure { table, why, .. }) => anyhow::bail!("table {table}: {why}"),
        }
    }

    /// Commits rolls of a node as [`LogTables::commit_all`] does. Returns what each table has got, and
    /// those that cannot take the rolls.
    pub(crate) fn commit_waiting(&self, mut waiting: WaitingRolls) -> (Vec<Added>, Vec<Failure>) {
        let mut pauses = pauses(LONGEST_PAUSE);
        let mut failures = 0;
        loop {
            let failed = self.attempt(&mut waiting);
            if failed.iter().all(|failure| failure.is_final) {
                return (waiting.into_added(), failed);
            }
            failures += 1;
            if failures > QUIET_FAILURES {
                for Failure { table, why, .. } in &failed {
                    tracing::warn!("cannot commit to table {table} yet, and tries again: {why}");
                }
            }
            std::thread::sleep(pauses.next().unwrap_or(LONGEST_PAUSE));
        }
    }

    /// Commits the rolls that wait, and, at the first time, those after the mark of each table. Returns
    /// the tables that it failed for. Blocks.
    pub(crate) fn attempt(&self, waiting: &mut WaitingRolls) -> Vec<Failure> {
        self.attempt_some(waiting, usize::MAX).0
    }

    /// Attempts as [`LogTables::attempt`] does, with one commit a table at most. Returns whether there is
    /// nothing more to commit, but for the tables that it failed for. Blocks.
    pub(crate) fn attempt_part(&self, waiting: &mut WaitingRolls) -> (Vec<Failure>, bool) {
        self.attempt_some(waiting, 1)
    }

    fn attempt_some(&self, waiting: &mut WaitingRolls, commits: usize) -> (Vec<Failure>, bool) {
        let (mut failures, mut is_done) = (Vec::new(), true);
        let mut all = std::mem::take(&mut waiting.tables);
        all.resize_with(self.tables.len(), OfTable::default);
        for (table, of) in self.tables.iter().zip(&mut all) {
            match self.commit_to(table, of, waiting, commits) {
                Ok(done) => is_done &= done,
                Err(failure) => failures.push(failure),
            }
        }
        waiting.tables = all;
        waiting.forget_committed();
        (failures, is_done)
    }

    /// Commits to one table, with at most so many commits. Returns whether nothing is left.
    fn commit_to(
        &self,
        table: &LogTable,
        of: &mut OfTable,
        waiting: &mut WaitingRolls,
        commits: usize,
    ) -> Result<bool, Failure> {
        let node = Arc::clone(&waiting.node);
        of.forget_old_mark(table.log.generation());
        let mut mark = match of.mark {
            Some(mark) => mark,
            None => {
                let mark = table.log.mark(&node).map_err(|outcome| table.failure(outcome))?;
                let mark = mark.map_or(Roll(0), |(roll, _)| roll);
                let landed = self.runtime.block_on(self.lake.rolls_after(&node, mark));
                waiting.listed(landed.map_err(|error| table.away(&error))?);
                of.mark = Some(mark);
                mark
            }
        };
        for _ in 0..commits {
            let Chunk { receipts, last } = self.chunk(table, mark, waiting)?;
            let Some(last) = last else { return Ok(true) };
            if !receipts.is_empty() {
                match table.log.commit(&node, &receipts) {
                    Visible::At { version, added, .. } => {
                        table.tell(&node, &receipts, version, added);
                        of.added.count(&receipts, &table.name, version);
                    }
                    outcome => return Err(table.failure(outcome)),
                }
            }
            mark = last;
            of.mark = Some(mark);
        }
        Ok(waiting.rolls.range(mark.next()..).next().is_none())
    }

    /// Reads the receipts of the next rolls after `mark`, as many as one commit takes.
    fn chunk(
        &self,
        table: &LogTable,
        mark: Roll,
        waiting: &WaitingRolls,
    ) -> Result<Chunk, Failure> {
        let after = waiting.rolls.range(mark.next()..).map(|(roll, _)| *roll);
        let wanted = after.map(|roll| (Arc::clone(&waiting.node), roll));
        let (mut chunk, mut files, mut bytes) = (Chunk::default(), 0, 0);
        let read = async {
            let receipts = self.lake.read_receipts(wanted);
            pin_mut!(receipts);
            while let Some(some) = receipts.next().await {
                for read in some.map_err(|error| table.away(&error))? {
                    let name = crate::lake::names::receipt(&read.node, read.roll);
                    let receipt = read.receipt.map_err(|why| table.unreadable(&name, &why))?;
                    let announced = waiting.rolls.get(&read.roll).copied().flatten().is_some();
                    let Some(receipt) = receipt else {
                        if announced {
                            return Err(table.unreadable(&name, "it has landed and is not there"));
                        }
                        tracing::error!(
                            "{name} is not in the lake, and a later receipt of the node is: files of \
                             this roll are not added to table {}",
                            table.name
                        );
                        chunk.last = Some(read.roll);
                        continue;
                    };
                    let ours: Vec<&FileReceipt> = receipt.files_of(&table.name).collect();
                    let size = |file: &&FileReceipt| {
                        file.statistics.as_ref().map_or(0, |statistics| statistics.memory_bytes())
                    };
                    files += ours.len();
                    bytes += ours.iter().map(size).sum::<usize>();
                    let is_full = files > MOST_FILES || bytes > MOST_STATISTICS_BYTES;
                    if is_full && !chunk.receipts.is_empty() {
                        return Ok(());
                    }
                    if !ours.is_empty() {
                        chunk.receipts.push(receipt);
                    }
                    chunk.last = Some(read.roll);
                }
            }
            Ok(())
        };
        self.runtime.block_on(read)?;
        Ok(chunk)
    }
}

/// Returns the pauses after failures, without end: each twice as long as the one before, up to `longest`,
/// and longer by chance.
pub(super) fn pauses(longest: Duration) -> impl Iterator<Item = Duration> {
    let pauses = ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_delay(longest);
    pauses.without_max_times().with_jitter().build()
}

/// Receipts of one commit.
#[derive(Default)]
struct Chunk {
    /// In the order of rolls; those without a file of the table are left out.
    receipts: Vec<Receipt>,
    /// The last roll that was looked at; `None` when there is none.
    last: Option<Roll>,
}
