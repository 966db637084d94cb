//! Tables whose partition columns were compared with those of the lake, and recorded there.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::PublishError;
use crate::lake::{Lake, PartitionError};
use crate::roll::manifest::Manifest;

/// The tables that were claimed. Each is claimed once, where that can be.
#[derive(Debug, Default)]
pub(super) struct ClaimedTables(Mutex<BTreeSet<Arc<str>>>);

impl ClaimedTables {
    /// Claims the tables that a roll has files of, before it is sealed: what is not sealed can still
    /// land by other settings.
    ///
    /// # Errors
    /// A table has other partition columns in the lake; the lake. Trying again is safe.
    pub(super) async fn claim(&self, lake: &Lake, manifest: &Manifest) -> Result<(), PublishError> {
        for table in manifest.tables.iter().filter(|table| !table.files.is_empty()) {
            if self.0.lock().contains(&table.name) {
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
