//! The tables with a log of a server: the thread that commits to them, and a look at them.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Opened, RunError, Settings};
use crate::lake::Lake;
pub(crate) use crate::publish::visibility::Looked;
use crate::publish::visibility::{Keeper, LogTables};
use crate::table::Format;

impl Opened {
    /// Starts the thread that commits landed rolls to the tables with a log, if there are any.
    ///
    /// # Errors
    /// A table without a place in the lake or the catalog; the system has no thread to give.
    pub(super) fn keeper(&self, runtime: &Handle) -> Result<Option<Keeper>, RunError> {
        let catalog = self.settings().catalog.as_ref();
        let tables = self.behind.tables.specs().iter().filter(|table| {
            // Remembered from before: bodies of it may wait, and land.
            let is_lost = table.format == Format::Iceberg && catalog.is_none();
            if is_lost {
                tracing::warn!(
                    "table {} is an Iceberg table of before, and no catalog is configured: what lands of \
                     it is added to the table once both are configured again",
                    table.name
                );
            }
            !is_lost
        });
        let tables =
            LogTables::of(self.lake(), tables, catalog, runtime).map_err(RunError::Landing)?;
        let node = || self.behind.journal.node().into();
        let start = |tables| Keeper::start(tables, node(), self.readiness(), self.roll_control());
        Ok(tables.map(start).transpose()?)
    }
}

/// Looks at those tables of `settings` that have a log, as commits of their rolls would. Creates none.
/// Blocks; `runtime` has several threads.
///
/// # Errors
/// A table that has no place in the lake or the catalog.
pub(crate) fn look_at_tables(
    settings: &Settings,
    lake: &Lake,
    runtime: &Handle,
) -> anyhow::Result<Vec<(Arc<str>, Looked)>> {
    let tables = LogTables::of(lake, &settings.tables, settings.catalog.as_ref(), runtime)?;
    Ok(tables.map(|tables| tables.look()).unwrap_or_default())
}
