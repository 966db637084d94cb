//! Commands that read a lake: reports on it, its verification, documents from it.
//!
//! * [`fields`]: fields without a column, by receipts or in samples.
//! * [`inspect`]: tables, partitions and files, by footers.
//! * [`verify`]: receipts and files against each other.
//! * [`sample`]: rows as documents.
//! * [`watch`]: the verification now and then, while a server runs.

pub mod fields;
pub mod inspect;
pub mod sample;
mod table_log;
pub mod verify;
pub(crate) mod watch;

pub use table_log::TableLogs;
