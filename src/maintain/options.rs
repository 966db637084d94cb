//! Options of work on tables.

use anyhow::ensure;
use tokio::runtime::Runtime;

use crate::commit::CatalogOptions;
use crate::lake::{self, Lake};
use crate::publish::promoted_columns::with_columns_of;
use crate::table::{Format, Spec, Tables};

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
    /// Returns the options with the columns that receivers of `lake` have promoted: files have them, and
    /// readers of a log see no others than its own.
    ///
    /// # Errors
    /// The lake; tables that do not go together.
    pub(super) fn with_columns_of(
        &self,
        lake: &Lake,
        runtime: &Runtime,
    ) -> anyhow::Result<Options> {
        let tables = Tables::new(self.tables.clone())?;
        let tables = with_columns_of(lake, tables, runtime.handle())?;
        Ok(Options { tables: tables.specs().to_vec(), ..self.clone() })
    }

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
