//! Options of work on tables.

use anyhow::ensure;

use crate::commit::CatalogOptions;
use crate::lake;
use crate::table::{Format, Spec};

/// The tables to work on, and the lake that they are in.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The lake.
    pub(crate) lake: lake::Options,
    /// The tables of the configuration.
    pub(crate) tables: Vec<Spec>,
    /// Columns of the session that flat tables have.
    pub(crate) flat_columns: Vec<String>,
    /// The catalog of Iceberg tables, if one is configured.
    pub(crate) catalog: Option<CatalogOptions>,
}

impl Options {
    /// Returns the tables that are `named`; all if none is.
    ///
    /// # Errors
    /// A name is of no table of the configuration.
    pub(crate) fn named(&self, named: &[String]) -> anyhow::Result<Vec<Spec>> {
        for name in named {
            ensure!(
                self.tables.iter().any(|table| *table.name == **name),
                "there is no table {name} in this configuration, which has {}: name one with --table, or \
                 in [[tables]] of the file",
                self.names()
            );
        }
        let wanted = |table: &&Spec| named.is_empty() || named.iter().any(|n| **n == *table.name);
        Ok(self.tables.iter().filter(wanted).cloned().collect())
    }

    /// Returns the tables that are `named` and have a log by the configuration.
    ///
    /// # Errors
    /// A name is of no table of the configuration; all are plain.
    pub(crate) fn with_log(&self, named: &[String]) -> anyhow::Result<Vec<Spec>> {
        let mut tables = self.named(named)?;
        tables.retain(|table| table.format != Format::Plain);
        ensure!(
            !tables.is_empty(),
            "all of these tables are plain in this configuration ({}): set table_format (or format, in \
             [[tables]]), or give --table-format",
            self.names()
        );
        Ok(tables)
    }

    fn names(&self) -> String {
        self.tables.iter().map(|table| &*table.name).collect::<Vec<_>>().join(", ")
    }
}
