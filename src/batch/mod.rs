//! Which partition a row belongs to, what waits in memory, and when to roll.
//!
//! Nothing here does I/O or reads a clock: the caller says what time it is and carries out what
//! is decided.
//!
//! * [`route`]: a partition template applied to decoded rows: which rows go to which partition.
//! * [`roll`]: the roll decision.
//! * [`buffers`]: decoded rows that are not yet encoded, a buffer a table and partition, under one
//!   budget.

pub mod buffers;
pub mod roll;
pub mod route;

pub use buffers::{Buffers, Due, FileKey, PASS_BYTES, Parked, Pass, Place, RowGroup, Stored};
pub use roll::{Limits, Open, Reason, decide};
pub use route::{PartitionValues, Routed, Router, values_of_path};
