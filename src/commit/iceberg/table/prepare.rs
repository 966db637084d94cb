//! A table without rolls: its state, its creation and its columns.

use std::collections::{BTreeMap, BTreeSet};

use super::{IcebergTable, MOST_LOADS, check};
use crate::commit::LogError;
use crate::commit::iceberg::node_of;
use crate::commit::iceberg::rest::protocol::Metadata;
use crate::commit::iceberg::schema::Schema;
use crate::commit::{TableState, Visible};
use crate::record::Roll;

impl IcebergTable {
    /// Returns the marks of all nodes. One that is no roll is left out: it stops the rolls of its node
    /// alone. Blocks.
    ///
    /// # Errors
    /// [`Visible::Refused`] or [`Visible::Unknown`].
    pub(crate) fn marks(&self) -> Result<BTreeMap<String, Roll>, Visible> {
        let Some(table) = self.runtime.block_on(self.latest())? else { return Ok(BTreeMap::new()) };
        let mut marks = BTreeMap::new();
        for node in table.properties.keys().filter_map(|key| node_of(key)) {
            match self.marked(&table, node) {
                Ok(mark) => marks.extend(mark.map(|roll| (node.to_owned(), roll))),
                Err(LogError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(marks)
    }

    /// Returns the state of the table, or `None` if there is none. Writes nothing but the identity of a
    /// table that has none. Blocks.
    ///
    /// # Errors
    /// [`Visible::Refused`]: the table cannot take the rolls. [`Visible::Unknown`].
    pub(crate) fn state(&self) -> Result<Option<TableState>, Visible> {
        let Some(table) = self.runtime.block_on(self.latest())? else { return Ok(None) };
        Ok(Some(self.state_of(&table)?))
    }

    /// Creates the table without rows if there is none, and adds the columns that it lacks. Returns its
    /// state then. One attempt. Blocks.
    ///
    /// # Errors
    /// Those of [`IcebergTable::state`]. Trying again after [`Visible::Unknown`] is safe.
    pub(crate) fn prepare(&self) -> Result<TableState, Visible> {
        Ok(self.runtime.block_on(self.made_ready())?)
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
        let forgot = self.runtime.block_on(self.known.forget());
        Ok(forgot.map_err(|error| LogError::of_unknown(&self.shown, error))?)
    }

    async fn made_ready(&self) -> Result<TableState, LogError> {
        for _ in 0..MOST_LOADS {
            let Some(table) = self.latest().await? else {
                self.create().await?;
                continue;
            };
            if self.relocate(&table).await? || self.evolve(&table, false).await?.is_none() {
                continue;
            }
            return self.state_of(&table);
        }
        Err(self.unknown("it is being changed by others"))
    }

    fn state_of(&self, table: &Metadata) -> Result<TableState, LogError> {
        let (schema, _) = table.schema().map_err(|what| self.refused(&what))?;
        let evolved = self.evolved(table, &schema, &Schema::of(&self.schema.get()))?;
        let missing_columns =
            evolved.map_or_else(Vec::new, |(evolved, _)| added(&schema, &evolved));
        Ok(TableState { version: check::version(table), missing_columns })
    }
}

/// Returns the columns that `after` has and `before` lacks: those of the table by their names, others by
/// the paths of their leaves.
fn added(before: &Schema, after: &Schema) -> Vec<String> {
    let known = before.leaves();
    let is_column = |name: &str| before.fields.iter().any(|field| field.name == name);
    // Entries of maps have two names in files.
    let new = after.leaves().into_keys().filter(|path| !path.contains(".entries."));
    let new = new.filter(|path| !known.contains_key(path));
    let columns: BTreeSet<String> = new
        .map(|path| match path.split('.').next() {
            Some(first) if !is_column(first) => first.to_owned(),
            // As they are told of elsewhere: leaves have the names of files.
            _ => path.replace(".list.element", ".element").replace(".key_value.", "."),
        })
        .collect();
    columns.into_iter().collect()
}
