//! A table: its marks, and commits of rolls.
//!
//! * `check`: what is asked of a table before anything is added. `create`: a new one.
//! * `look`: the same without a change, for `check` and before an import.
//! * `evolve`: columns, the name mapping, the spec without fields, each in a commit of its own.
//! * `prepare`: what is done without rolls. `snapshot`: the commit that adds files. `merge`: one manifest in
//!   place of many.

mod check;
mod create;
mod evolve;
mod look;
mod merge;
mod prepare;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::addresses::Addresses;
use super::partition;
use super::rest::protocol::{Commit, Metadata};
use super::rest::{Catalog, RestError};
use super::view::IcebergView;
use crate::commit::Visible;
use crate::commit::known_table::KnownTable;
use crate::commit::log_error::{LogError, last_in_order};
use crate::lake::{FileReceipt, Lake, LakeId, Receipt};
use crate::record::Roll;
use crate::schema::TableSchema;
use crate::table::{CurrentSchema, Format, Template};

/// Most loads of an attempt: one each after the table was created, was moved, got columns and got a spec,
/// and the one that the commit rests on.
const MOST_LOADS: usize = 5;
/// Folder of manifests and lists in the folder of a table.
const METADATA: &str = "metadata";

/// An Iceberg table of a catalog, whose files are in a lake. Keeps the id and the last marks of the table and
/// nothing else between calls.
pub(crate) struct IcebergTable {
    lake: Lake,
    name: Arc<str>,
    schema: CurrentSchema,
    partition: Template,
    catalog: Arc<Catalog>,
    runtime: Handle,
    addresses: Addresses,
    /// The table, as people write it.
    shown: String,
    known: KnownTable,
    /// Version from which manifests are merged again, after they could not be. Relaxed: it guards nothing.
    merges_from: AtomicI64,
    /// The id of the lake, once it has one.
    lake_id: OnceCell<LakeId>,
}

impl IcebergTable {
    /// Returns the table `name`, with files in `lake`. Asks nothing yet.
    ///
    /// # Errors
    /// The lake has addresses that readers of Iceberg tables do not read.
    pub(crate) fn new(
        lake: &Lake,
        name: &Arc<str>,
        schema: Arc<TableSchema>,
        partition: Template,
        catalog: Arc<Catalog>,
        runtime: Handle,
    ) -> Result<IcebergTable, String> {
        let addresses = Addresses::of(lake.location())?;
        let shown = format!("the Iceberg table {}", catalog.full_name(name));
        let (lake, name) = (lake.clone(), Arc::clone(name));
        let known = KnownTable::new(&lake, &name, Format::Iceberg);
        Ok(IcebergTable {
            lake,
            name,
            schema: schema.into(),
            partition,
            catalog,
            runtime,
            addresses,
            shown,
            known,
            merges_from: AtomicI64::new(0),
            lake_id: OnceCell::new(),
        })
    }

    /// Returns the schema of the rolls, which may get columns.
    pub(crate) fn schema(&self) -> &CurrentSchema {
        &self.schema
    }

    /// Returns the mark of `node`: the last of its rolls that the table has, and the sequence number
    /// that was looked at. Blocks.
    ///
    /// # Errors
    /// [`Visible::Refused`] or [`Visible::Unknown`].
    pub(crate) fn mark(&self, node: &str) -> Result<Option<(Roll, u64)>, Visible> {
        let Some(table) = self.runtime.block_on(self.latest())? else { return Ok(None) };
        Ok(self.marked(&table, node)?.map(|roll| (roll, check::version(&table))))
    }

    /// Adds the files of `rolls`, receipts of one node in the order of their numbers, to the table, which
    /// is created if there is none. Those that the table has are left out. One attempt. Blocks.
    ///
    /// A process that ends in the middle leaves the table whole: created and empty, with columns that
    /// were added, or with all the files. Manifests that no snapshot has may stay in the lake.
    pub(crate) fn commit(&self, node: &str, rolls: &[Receipt]) -> Visible {
        self.runtime.block_on(self.attempt(node, rolls)).unwrap_or_else(Visible::from)
    }

    /// Opens the table as it is now, checked or not. Returns `None` if there is no table. Blocks.
    ///
    /// # Errors
    /// The catalog or the lake failed, or the list of its manifests cannot be read.
    pub(crate) fn view(&self) -> Result<Option<IcebergView>, LogError> {
        self.runtime.block_on(async {
            let loaded = self.catalog.load(&self.name).await;
            let Some(loaded) = loaded.map_err(|error| self.failed("loading", &error))? else {
                return Ok(None);
            };
            let manifests = self.read_list(&loaded.metadata).await?;
            Ok(Some(IcebergView {
                lake: self.lake.clone(),
                name: self.name.to_string(),
                addresses: self.addresses.clone(),
                runtime: self.runtime.clone(),
                shown: self.shown.clone(),
                table: loaded.metadata,
                manifests,
            }))
        })
    }

    async fn attempt(&self, node: &str, rolls: &[Receipt]) -> Result<Visible, LogError> {
        let last = last_in_order(&self.shown, node, rolls)?;
        for _ in 0..MOST_LOADS {
            let Some(table) = self.latest().await? else {
                self.create().await?;
                continue;
            };
            // Looked at in every state that a commit rests on: another one may be ours.
            let mark = self.marked(&table, node)?;
            if let Some(roll) = mark.filter(|mark| *mark >= last) {
                let version = check::version(&table);
                return Ok(Visible::At { roll, version, added: false });
            }
            let new = rolls.iter().filter(|receipt| mark.is_none_or(|mark| receipt.roll > mark.0));
            let files = new.flat_map(|receipt| &receipt.tables).filter(|t| *t.table == *self.name);
            let files =
                files.flat_map(|t| t.files.iter().map(|file| (&*t.partition_template, file)));
            let files = partition::divide(&self.partition, &self.schema.get(), files);
            if self.relocate(&table).await? {
                continue;
            }
            let Some(fitting) = self.evolve(&table, !files.1.is_empty()).await? else { continue };
            return self.add(&table, &fitting, files, (node, last)).await;
        }
        Err(LogError::Unknown(format!("{} is being changed by others", self.shown)))
    }

    /// Loads the table and checks it. Returns `None` if there is no table.
    async fn latest(&self) -> Result<Option<Metadata>, LogError> {
        let loaded = self.catalog.load(&self.name).await;
        match loaded.map_err(|error| self.failed("loading", &error))? {
            Some(loaded) => {
                self.check(&loaded.metadata).await?;
                Ok(Some(loaded.metadata))
            }
            None => {
                let missing = self.known.missing().await;
                missing.map_err(|error| LogError::of_unknown(&self.shown, error))?;
                Ok(None)
            }
        }
    }

    /// Asks the catalog for a change that was made for the state `from`.
    ///
    /// A refusal may be of a state that is the latest no longer, and a request that was sent twice on its
    /// way may be refused after it was carried out: only one of the state that is still there is final.
    async fn change(&self, doing: &str, from: &Metadata, commit: &Commit) -> Result<(), LogError> {
        let Err(error) = self.catalog.commit(&self.name, commit).await else { return Ok(()) };
        let failed = self.failed(doing, &error);
        if matches!(failed, LogError::Refused(_)) {
            let now = self.latest().await?;
            if now.is_none_or(|now| !check::is_same(from, &now)) {
                return Err(LogError::Unknown(format!("{doing} {}: {error}", self.shown)));
            }
        }
        Err(failed)
    }

    fn failed(&self, doing: &str, error: &RestError) -> LogError {
        let why = format!("{doing} {}: {error}", self.shown);
        match error {
            RestError::Refused(_) => LogError::Refused(why),
            // Conflicts too: perhaps with this very commit.
            RestError::Conflict(_) | RestError::Unknown(_) | RestError::Away(_) => {
                LogError::Unknown(why)
            }
        }
    }

    fn refused(&self, what: &str) -> LogError {
        LogError::Refused(format!("{} {what}", self.shown))
    }

    fn unknown(&self, what: &str) -> LogError {
        LogError::Unknown(format!("{}: {what}", self.shown))
    }
}

/// The files of a commit: with their partitions, and those of none.
type Files<'a> = partition::Partitioned<&'a FileReceipt>;
