//! Options of making rolls.

use std::num::NonZeroUsize;

use crate::encode::{Compression, Encodings};

/// The size of rolls, the form of their files, and the resources that making them may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Estimated Parquet bytes of the largest file after which a roll ends.
    pub roll_bytes: u64,
    /// Rows after which a roll ends; none for no such limit.
    pub roll_rows: Option<u64>,
    /// Codec of the pages.
    pub compression: Compression,
    /// Encodings of times and of the lineage.
    pub encodings: Encodings,
    /// Arrow bytes after which a row group is closed; at most `memory_bytes`.
    pub row_group_bytes: u64,
    /// Memory budget, of which rows that are not yet encoded get a half.
    pub memory_bytes: u64,
    /// Bytes that staging leaves free on its disk where it can: a roll ends before, and a quarter of them
    /// is never touched. 0 for no such bound.
    pub disk_reserve_bytes: u64,
    /// Threads that decode and encode.
    pub decode_threads: NonZeroUsize,
}
