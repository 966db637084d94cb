//! Partitions of rows, rows that wait in memory, and the roll decision.
//!
//! Nothing here does I/O or reads a clock: the caller passes the time, and carries out the decisions.
//!
//! * [`route`]: a partition template applied to decoded rows.
//! * [`partition_bounds`]: the partitions that a roll opens.
//! * [`partition_values`]: the values of a template's placeholders, by row.
//! * [`roll_policy`]: the limits at which a roll ends.
//! * [`file_key`]: the identity of a file of the open roll.
//! * [`buffers`]: decoded rows that are not yet encoded, by table and partition, under one budget.
//! * [`spill_chunks`]: rows that leave memory past that budget.

pub mod buffers;
pub mod file_key;
pub mod partition_bounds;
pub mod partition_values;
pub mod roll_policy;
pub mod route;
pub mod spill_chunks;

pub use buffers::{Buffers, Due, RowGroup};
pub use file_key::FileKey;
pub use roll_policy::{RollLimits, RollReason, RollState, decide};
pub use route::{PartitionRows, Router};
pub use spill_chunks::{Extent, SPILL_CHUNK_BYTES, SpillChunk, SpillReceipt, SpilledRows};
