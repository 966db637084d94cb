//! Trying a lake out: an object is written, read back and deleted; names that differ in case are tried.

use object_store::{ObjectStoreExt as _, PutPayload};

use super::names::ObjectName;
use super::{Lake, Location, StoreError};
use crate::table::FileNames;

/// A lake that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The object could not be written.
    #[error("cannot write to {lake}")]
    Write {
        /// The lake.
        lake: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// The object could not be read back. It was deleted.
    #[error("cannot read from {lake}")]
    Read {
        /// The lake.
        lake: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// The object could not be deleted.
    #[error("cannot delete in {lake}; {name} is left there")]
    Delete {
        /// The lake.
        lake: String,
        /// The object that is left, relative to the lake.
        name: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// Other bytes came back. The object was deleted.
    #[error("{lake} gave back something else than was written")]
    Different {
        /// The lake.
        lake: String,
    },
    /// The name of the object cannot be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Lake {
    /// Returns which file names the lake tells apart. A directory is tried once, by hidden files that
    /// are removed again; a bucket tells all apart, and is not asked. Blocks.
    ///
    /// # Errors
    /// [`StoreError`]: the directory cannot be written. Trying again is safe.
    pub fn file_names(&self) -> Result<FileNames, StoreError> {
        match &self.location {
            Location::Local(root) => self.local.file_names(root),
            _ => Ok(FileNames::Exact),
        }
    }

    /// Writes, reads back and deletes an object whose name holds `token`, which no other probe has.
    ///
    /// # Errors
    /// [`ProbeError`]. Nothing is left behind, but for [`ProbeError::Delete`].
    pub async fn probe(&self, token: &str) -> Result<(), ProbeError> {
        let name = ObjectName::Probe { token }.to_string();
        let (path, lake) = (self.path(&name)?, self.location.to_string());
        let sent = format!("written by sessionlake check as {name}\n").into_bytes();
        let written = self.store.put(&path, PutPayload::from(sent.clone())).await;
        written.map_err(|source| ProbeError::Write { lake: lake.clone(), source })?;
        let read = async { self.store.get(&path).await?.bytes().await }.await;
        // Deleted before the reading is looked at, so that nothing is left behind.
        let deleted = self.store.delete(&path).await;
        let read = read.map_err(|source| ProbeError::Read { lake: lake.clone(), source })?;
        deleted.map_err(|source| ProbeError::Delete { lake: lake.clone(), name, source })?;
        if read == sent { Ok(()) } else { Err(ProbeError::Different { lake }) }
    }
}
