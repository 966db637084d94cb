//! The lake: a directory or a bucket, opened, named, listed, read and written here.
//!
//! * [`Lake`]: an open lake. Names are relative to it, in a directory as in a bucket.
//! * [`names`]: the names of its objects, made and parsed.
//! * [`Receipt`], [`ReceiptNames`]: the accounts of rolls beside their data.
//! * [`QuarantineFile`], [`QuarantineEntry`]: lines that are no rows.
//! * [`DataFile`]: footers and rows of Parquet files.
//! * [`PartitionError`]: partition columns of a table that are not those of the lake.
//! * [`LakeId`]: the identity of a lake; [`Fence`]: the state directory that lands as a node.
//! * [`lease`]: the right to replace and delete objects.
//!
//! An object appears whole or not at all. In a directory it is written under a hidden name, synced,
//! renamed, and every directory on its way synced (`local`); objects of a bucket appear whole by
//! themselves, and are read from a staging file that was synced before. An object of a roll that is there
//! is never put again (`publish` looks first).

mod columns;
mod error;
mod failure;
mod fence;
mod footers;
mod format;
mod http_client;
mod identity;
pub mod lease;
mod listing;
mod local;
mod location;
mod log_store;
pub mod names;
mod objects;
mod open;
pub mod options;
mod partitions;
mod probe;
mod promoted_columns;
mod quarantine;
pub mod receipt;
mod receipts;
mod requests;
mod rows;
mod table_identity;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
mod unfinished;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use object_store::ObjectStore;
use object_store::prefix::PrefixStore;

pub use self::columns::{ColumnConflict, ColumnError};
pub use self::error::{RecordError, StoreError};
pub use self::failure::advice;
#[cfg(test)]
pub(crate) use self::failure::denied_listing;
pub use self::fence::{Fence, StandingFence, Swap};
pub use self::footers::DataFileError;
pub(crate) use self::footers::FooterPart;
#[cfg(test)]
pub(crate) use self::footers::TAIL_BYTES;
pub use self::format::FormatConflict;
pub use self::identity::{LakeId, random_hex};
pub use self::lease::{Acquisition, Lease, LeaseError};
pub use self::listing::{Detail, Skipped};
use self::local::Local;
#[cfg(test)]
pub(crate) use self::local::Syncs;
pub use self::location::Location;
pub use self::objects::{Earlier, Object};
pub use self::options::{Options, Secret};
pub use self::partitions::{PartitionConflict, PartitionError};
pub use self::probe::{Left, Probe, ProbeError, Replacement};
pub(crate) use self::promoted_columns::{Claimed, ColumnClaim};
pub use self::quarantine::{
    QuarantineEntry, QuarantineError, QuarantineFile, Quarantined, texts_of,
};
pub use self::receipt::{
    FileReceipt, LostBodies, QuarantineReceipt, RECEIPT_VERSION, Receipt, TableReceipt,
};
pub use self::receipts::{ReadReceipt, ReceiptError, ReceiptNames};
pub use self::rows::{Batches, DataFile};
use self::unfinished::UnfinishedUploads;

/// An open lake. Clones are cheap and share the store's connections.
#[derive(Clone, Debug)]
pub struct Lake {
    /// The store with names relative to the lake.
    store: Arc<PrefixStore<Arc<dyn ObjectStore>>>,
    location: Location,
    local: Arc<Local>,
    /// Objects from this size on are put in parts of it.
    part_bytes: usize,
    /// Of a bucket that can be asked for them.
    unfinished: Option<Arc<UnfinishedUploads>>,
    /// An object was read: credentials that are denied a name may read those that are there. Relaxed:
    /// it is set once, and guards nothing else.
    has_read: Arc<AtomicBool>,
    /// The store has said that it takes no condition on a put. Relaxed: it only saves requests.
    no_conditional_puts: Arc<AtomicBool>,
    /// The store has said that it does not replace objects conditionally. Relaxed: as above.
    no_conditional_swaps: Arc<AtomicBool>,
}

impl Lake {
    /// Returns the lake's location, which shows as people write it.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }
}
