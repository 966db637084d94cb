//! Tables whose partition columns and format were compared with those of the lake before a roll is
//! sealed.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::PublishError;
use crate::lake::{Lake, PartitionError, RecordError, StoreError};
use crate::roll::manifest::Manifest;
use crate::table::{Format, Tables};

/// The tables that were claimed. Each is claimed once, where that can be.
#[derive(Debug, Default)]
pub(super) struct ClaimedTables(Mutex<BTreeSet<Arc<str>>>);

impl ClaimedTables {
    /// Claims the tables that a roll of `tables` has files of, before it is sealed: what is not sealed can
    /// still land by other settings. A plain table may get a log at any time, and is looked at for each
    /// roll.
    ///
    /// # Errors
    /// A table has other partition columns or another format in the lake; the lake. Trying again is safe.
    pub(super) async fn claim(
        &self,
        lake: &Lake,
        tables: &Tables,
        manifest: &Manifest,
    ) -> Result<(), PublishError> {
        for table in manifest.tables.iter().filter(|table| !table.files.is_empty()) {
            let is_claimed = self.0.lock().contains(&table.name);
            if let Some(spec) = tables.by_name(&table.name)
                && (spec.format == Format::Plain || !is_claimed)
            {
                match lake.check_format(spec).await {
                    Ok(Some(conflict)) => return Err(PublishError::OtherFormat(conflict)),
                    // As below: rows land.
                    Ok(None) | Err(RecordError::Store(StoreError::Denied { .. })) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if is_claimed {
                continue;
            }
            match lake.claim_partitions(&table.name, &table.partition).await {
                Ok(true) => {}
                // Credentials that may neither look nor record: the next roll tries again.
                Ok(false) => continue,
                Err(PartitionError::Store(error)) => return Err(error.into()),
                Err(PartitionError::Conflict(conflict)) => {
                    return Err(PublishError::NotCommitted(conflict.to_string()));
                }
            }
            self.0.lock().insert(Arc::clone(&table.name));
        }
        Ok(())
    }
}
