//! Rows that leave memory past the budget: chunks of several files' rows, written to disk together.
//!
//! [`super::Buffers`] decides which rows leave and hands them out as [`SpillChunk`]s. The caller
//! writes each chunk and hands back a [`SpillReceipt`], which says where its bytes are. From then on
//! the rows are known by [`SpilledRows`], until their row group is encoded.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::file_key::FileKey;
use crate::columnar::gather::{Run, Sources};
use crate::columnar::sizes::bytes_of_parts;

/// Approximate Arrow bytes of a chunk. Larger chunks would copy a little faster; but when a file is
/// written in the end, every chunk that has rows of it is in memory.
pub const SPILL_CHUNK_BYTES: usize = 2 << 20;

/// The extent of a chunk in the spill file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

/// Rows of one file in a chunk that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpilledRows {
    /// Extent of the whole chunk.
    pub extent: Extent,
    /// The file's rows of it.
    pub rows: Range<usize>,
    /// Arrow bytes of these rows.
    pub bytes: usize,
}

/// Rows of several files, to be spilled together. They are not copied yet: any thread may do so.
#[derive(Debug)]
pub struct SpillChunk {
    batches: Arc<Sources>,
    runs: Vec<Run>,
    files: Vec<(FileKey, Range<usize>)>,
}

impl SpillChunk {
    /// Copies the rows into one batch, file after file.
    ///
    /// # Errors
    /// [`Sources::gather`]'s.
    pub fn rows(&self) -> Result<RecordBatch, ArrowError> {
        self.batches.gather(&self.runs)
    }

    /// Returns the receipt for a chunk whose `rows` were written to `extent`.
    #[must_use]
    pub fn receipt(&self, rows: &RecordBatch, extent: Extent) -> SpillReceipt {
        let parts: Vec<Range<usize>> = self.files.iter().map(|(_, part)| part.clone()).collect();
        SpillReceipt { extent, bytes: bytes_of_parts(rows, &parts) }
    }

    /// Returns the rows of each file, where `receipt` says they were written.
    pub(super) fn spilled(
        self,
        receipt: SpillReceipt,
    ) -> impl Iterator<Item = (FileKey, SpilledRows)> {
        let SpillReceipt { extent, bytes } = receipt;
        let files = self.files.into_iter().zip(bytes);
        files.map(move |((file, rows), bytes)| (file, SpilledRows { extent, rows, bytes }))
    }
}

/// Confirms that a chunk was written.
#[derive(Debug)]
pub struct SpillReceipt {
    extent: Extent,
    /// Arrow bytes of the rows of each of its files.
    bytes: Vec<usize>,
}

/// Collects rows for a chunk.
#[derive(Default)]
pub(super) struct ChunkBuilder {
    runs: Vec<Run>,
    files: Vec<(FileKey, Range<usize>)>,
    rows: usize,
    bytes: usize,
}

impl ChunkBuilder {
    /// Adds the rows of a file, if there are any.
    pub(super) fn add(&mut self, file: &FileKey, runs: &mut Vec<Run>, bytes: usize) {
        let first = self.rows;
        self.rows += runs.iter().map(|run| run.rows.len()).sum::<usize>();
        self.bytes += bytes;
        if !runs.is_empty() {
            self.runs.append(runs);
            self.files.push((file.clone(), first..self.rows));
        }
    }

    /// Returns true when a file's rows of so many bytes should begin another chunk. A file that
    /// fills most of a chunk gets one of its own, so that reading a small file's rows does not read
    /// those of a large one.
    pub(super) fn is_full_for(&self, bytes: usize) -> bool {
        self.bytes >= SPILL_CHUNK_BYTES || (self.bytes > 0 && bytes >= SPILL_CHUNK_BYTES / 2)
    }

    /// Ends the chunk, whose rows are in `batches`, and begins another. Returns `None` for no rows.
    pub(super) fn end(&mut self, batches: &Arc<Sources>) -> Option<SpillChunk> {
        let ChunkBuilder { runs, files, .. } = std::mem::take(self);
        (!files.is_empty()).then(|| SpillChunk { batches: Arc::clone(batches), runs, files })
    }
}
