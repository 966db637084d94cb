//! One table that has a log, and why it could not be committed to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::table_log::TableLog;
use crate::commit::{TableState, Visible};
use crate::lake::Receipt;
use crate::record::Roll;

/// A table that has a log.
pub(crate) struct LogTable {
    pub(super) name: Arc<str>,
    pub(super) log: TableLog,
}

/// A table that could not be committed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) table: Arc<str>,
    pub(crate) why: String,
    /// Trying again does not help, unless somebody mends the table.
    pub(crate) is_final: bool,
}

impl LogTable {
    /// Returns the name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the state of the table, or `None` if there is none. Blocks.
    ///
    /// # Errors
    /// The table cannot take rolls, or its log cannot be read.
    pub(crate) fn state(&self) -> Result<Option<TableState>, Failure> {
        self.log.state().map_err(|outcome| self.failure(outcome))
    }

    /// Returns the last roll of each node that the table has. Blocks.
    ///
    /// # Errors
    /// As [`LogTable::state`].
    pub(crate) fn marks(&self) -> Result<BTreeMap<String, Roll>, Failure> {
        self.log.marks().map_err(|outcome| self.failure(outcome))
    }

    /// Creates the table if there is none, and adds the columns that it lacks. One attempt, which may
    /// have happened although it failed. Blocks.
    ///
    /// # Errors
    /// As [`LogTable::state`].
    pub(crate) fn prepare(&self) -> Result<TableState, Failure> {
        self.log.prepare().map_err(|outcome| self.failure(outcome))
    }

    /// Forgets the id of the table, so that another one is taken. Blocks.
    ///
    /// # Errors
    /// The lake. Trying again is safe.
    pub(crate) fn forget_id(&self) -> Result<(), Failure> {
        self.log.forget_id().map_err(|outcome| self.failure(outcome))
    }

    pub(super) fn failure(&self, outcome: Visible) -> Failure {
        let (why, is_final) = match outcome {
            Visible::Refused(why) => (why, true),
            Visible::Unknown(why) => (why, false),
            Visible::At { .. } => ("it was committed".to_owned(), false),
        };
        Failure { table: Arc::clone(&self.name), why, is_final }
    }

    pub(super) fn away(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure { table: Arc::clone(&self.name), why: error.to_string(), is_final: false }
    }

    pub(super) fn unreadable(&self, name: &str, why: &str) -> Failure {
        let why = format!("{name}: {why}; rolls after it wait for somebody to mend it");
        Failure { table: Arc::clone(&self.name), why, is_final: true }
    }

    pub(super) fn tell(&self, node: &str, receipts: &[Receipt], version: u64, added: bool) {
        let (Some(first), Some(last)) = (receipts.first(), receipts.last()) else { return };
        let (table, first, last) = (&self.name, first.roll, last.roll);
        match added {
            true => tracing::info!(
                "table {table} has rolls {first} to {last} of {node}, as of version {version}"
            ),
            false => tracing::info!(
                "table {table} had rolls {first} to {last} of {node} before, as of version {version}"
            ),
        }
    }
}
