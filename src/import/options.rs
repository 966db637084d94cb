//! Options of an import.

use std::path::PathBuf;

use crate::commit::CatalogOptions;
use crate::{lake, roll, table};

/// The files to import, the table that they belong to, and the lake that they land in.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files to read, in order.
    pub inputs: Vec<Input>,
    /// Imports files that were imported before once more.
    pub again: bool,
    /// Prints neither progress nor summary.
    pub quiet: bool,
    /// The lake.
    pub lake: lake::Options,
    /// The table of all rows.
    pub table: table::Spec,
    /// Its flat tables.
    pub flat: Vec<table::Spec>,
    /// The catalog of Iceberg tables; required if the table is one.
    pub catalog: Option<CatalogOptions>,
    /// File of the secret of the table's privacy rules; required if there are any.
    pub privacy_key: Option<PathBuf>,
    /// Rolls and their files.
    pub roll: roll::Options,
}

/// A source of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file, which need not exist.
    File(PathBuf),
}
