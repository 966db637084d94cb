//! The log of a table: what its readers find its files by.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio::runtime::Handle;

use crate::commit::delta::DeltaTable;
use crate::commit::iceberg::{Catalog, IcebergTable};
use crate::commit::{TableState, Visible};
use crate::lake::{Lake, Receipt};
use crate::record::Roll;
use crate::table::{CurrentSchema, Format, Spec};

/// A log. All calls block.
pub(super) enum TableLog {
    /// A Delta log in the folder of the table.
    Delta(DeltaTable),
    /// The snapshots of an Iceberg table in a catalog.
    Iceberg(IcebergTable),
}

impl TableLog {
    /// Returns the log of `table`; none of plain files. Asks nothing.
    ///
    /// # Errors
    /// A table that has no place in the lake; an Iceberg table without a catalog.
    pub(super) fn of(
        lake: &Lake,
        table: &Spec,
        catalog: Option<&Arc<Catalog>>,
        runtime: &Handle,
    ) -> anyhow::Result<Option<TableLog>> {
        let Spec { name, schema, partition, .. } = table;
        let (schema, partition) = (Arc::clone(schema), partition.clone());
        let runtime = runtime.clone();
        let log = match table.format {
            Format::Plain => return Ok(None),
            Format::Delta => DeltaTable::new(lake, name, schema, partition, runtime)
                .map(TableLog::Delta)
                .map_err(anyhow::Error::new),
            Format::Iceberg => {
                let catalog = catalog.with_context(|| {
                    format!(
                        "table {name} is an Iceberg table, and no catalog is configured: give its address \
                         under [catalog], or as SESSIONLAKE_CATALOG_URI"
                    )
                })?;
                IcebergTable::new(lake, name, schema, partition, Arc::clone(catalog), runtime)
                    .map(TableLog::Iceberg)
                    .map_err(|why| anyhow!(why))
            }
        };
        log.map(Some).with_context(|| format!("table {name}"))
    }

    /// Returns the schema of the rolls, which may get columns.
    pub(super) fn schema(&self) -> &CurrentSchema {
        match self {
            TableLog::Delta(table) => table.schema(),
            TableLog::Iceberg(table) => table.schema(),
        }
    }

    /// Returns the mark of `node`, and the version that was looked at.
    ///
    /// # Errors
    /// [`Visible::Refused`] or [`Visible::Unknown`].
    pub(super) fn mark(&self, node: &str) -> Result<Option<(Roll, u64)>, Visible> {
        match self {
            TableLog::Delta(table) => table.mark(node),
            TableLog::Iceberg(table) => table.mark(node),
        }
    }

    /// Adds the files of `rolls`, receipts of `node` in the order of their numbers. One attempt.
    pub(super) fn commit(&self, node: &str, rolls: &[Receipt]) -> Visible {
        match self {
            TableLog::Delta(table) => table.commit(node, rolls),
            TableLog::Iceberg(table) => table.commit(node, rolls),
        }
    }

    /// Looks at the table as a commit does. Writes nothing but the identity of a table that has none.
    /// Returns the end of a sentence about it.
    ///
    /// # Errors
    /// [`Visible::Refused`] or [`Visible::Unknown`].
    pub(super) fn look(&self) -> Result<String, Visible> {
        match self {
            TableLog::Delta(table) => Ok(match table.state()? {
                Some(TableState { version, .. }) => {
                    format!("a Delta table, whose log is at version {version}")
                }
                None => "a Delta table, whose log the first commit begins".to_owned(),
            }),
            TableLog::Iceberg(table) => table.look(),
        }
    }

    /// Returns the marks of all nodes.
    ///
    /// # Errors
    /// [`Visible::Refused`] or [`Visible::Unknown`].
    pub(super) fn marks(&self) -> Result<BTreeMap<String, Roll>, Visible> {
        match self {
            TableLog::Delta(table) => table.marks(),
            TableLog::Iceberg(table) => table.marks(),
        }
    }

    /// Returns the state of the table, or `None` if there is none.
    ///
    /// # Errors
    /// [`Visible::Refused`]: the table cannot take the rolls. [`Visible::Unknown`].
    pub(super) fn state(&self) -> Result<Option<TableState>, Visible> {
        match self {
            TableLog::Delta(table) => table.state(),
            TableLog::Iceberg(table) => table.state(),
        }
    }

    /// Creates the table if there is none, and adds the columns that it lacks. One attempt.
    ///
    /// # Errors
    /// Those of [`TableLog::state`]. Trying again after [`Visible::Unknown`] is safe.
    pub(super) fn prepare(&self) -> Result<TableState, Visible> {
        match self {
            TableLog::Delta(table) => table.prepare(),
            TableLog::Iceberg(table) => table.prepare(),
        }
    }

    /// Returns a number that changes when another table is taken: marks that were read before it are of
    /// no use.
    pub(super) fn generation(&self) -> u64 {
        match self {
            TableLog::Delta(table) => table.generation(),
            TableLog::Iceberg(table) => table.generation(),
        }
    }

    /// Forgets the id of the table, so that another one is taken.
    ///
    /// # Errors
    /// The lake. Trying again is safe.
    pub(super) fn forget_id(&self) -> Result<(), Visible> {
        match self {
            TableLog::Delta(table) => table.forget_id(),
            TableLog::Iceberg(table) => table.forget_id(),
        }
    }
}
