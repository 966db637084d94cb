//! The outcome of making rolls visible in a table with a log or a catalog.

use crate::record::Roll;

/// A table that has a log, as its rolls find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableState {
    /// Its version, as in [`Visible::At`].
    pub(crate) version: u64,
    /// The columns that the rolls have and the table lacks, by their paths.
    pub(crate) missing_columns: Vec<String>,
}

/// The outcome of an attempt to commit rolls to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// The table has all rolls up to this one, as of this version.
    At {
        /// The mark.
        roll: Roll,
        /// A version that has it: of a Delta log, or the sequence number of an Iceberg snapshot.
        version: u64,
        /// This attempt added files.
        added: bool,
    },
    /// The table cannot take the rolls. Trying again does not help.
    Refused(String),
    /// Unknown: the store or the catalog failed, or another commit was first. Trying again finds out.
    Unknown(String),
}
