//! The spill file of the open roll: rows that do not fit in memory, written chunk after chunk to the
//! staging directory and read back once.
//!
//! Nothing here must survive: a roll that is not committed is made again from the journal. So
//! nothing is synced, and reads return what this process wrote a moment ago, mostly from the page
//! cache. Still it becomes the lake: each chunk has a checksum, and a chunk that does not match it
//! is an error (the roll is made again), not rows.
//!
//! ```text
//!  chunk: batch in columnar::spill_format ‖ xxh3-64 of it (8, little-endian)
//! ```
//! A chunk has the rows of many files, which are written one after the other in the end. So chunks
//! that were read are cached, the most recently used up to a bound, and dropped when all their rows
//! were asked for. A file whose rows are in more chunks than the cache holds would have them read over
//! and over: [`Spill::most_extents`].

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use arrow::array::RecordBatch;
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use xxhash_rust::xxh3::xxh3_64;

use crate::batch::{Extent, SPILL_CHUNK_BYTES, SpillChunk, SpillReceipt, SpilledRows};
use crate::columnar::sizes::row_bytes;
use crate::columnar::spill_format;
use crate::record::Roll;

/// Bytes of the checksum behind each batch.
const CHECKSUM_BYTES: usize = 8;

/// Bytes that a batch may take in the file beyond its values: the length of each array, and padding
/// to a multiple of 8.
const SLACK_BYTES: usize = 16 << 10;

/// The spill file. It is created by the first write.
pub(crate) struct Spill {
    path: PathBuf,
    file: Option<File>,
    end: Mutex<u64>,
    /// Chunks that were read, the most recently used last.
    cache: Mutex<VecDeque<CachedChunk>>,
    /// Most bytes of cached chunks.
    cache_bytes: u64,
}

/// A chunk that was read, or is being read by the thread that has its lock.
#[derive(Clone)]
struct CachedChunk {
    extent: Extent,
    batch: Arc<Mutex<Option<RecordBatch>>>,
    /// Rows of it that were asked for.
    asked: usize,
}

impl Spill {
    /// Begins an empty spill, whose file will be `path`. Caches chunks of up to `cache_bytes`.
    pub(crate) fn new(path: PathBuf, cache_bytes: u64) -> Spill {
        Spill { path, file: None, end: Mutex::new(0), cache: Mutex::default(), cache_bytes }
    }

    /// Returns the most extents that the rows of one file should be in: as many as the cache holds.
    pub(crate) fn most_extents(&self) -> usize {
        usize::try_from(self.cache_bytes).unwrap_or(usize::MAX) / SPILL_CHUNK_BYTES
    }

    /// Returns the bytes in the file.
    pub(crate) fn bytes(&self) -> u64 {
        *self.end.lock()
    }

    /// Writes all chunks, on `threads`. Returns a receipt for each, in their order.
    ///
    /// # Errors
    /// The file cannot be written; the roll is of no use then.
    pub(crate) fn write(
        &mut self,
        chunks: &[SpillChunk],
        threads: &rayon::ThreadPool,
    ) -> anyhow::Result<Vec<SpillReceipt>> {
        self.create()?;
        let write = |chunk: &SpillChunk| {
            let rows = chunk.rows()?;
            let extent = self.append(&rows)?;
            Ok(chunk.receipt(&rows, extent))
        };
        threads.install(|| chunks.par_iter().map(write).collect())
    }

    fn create(&mut self) -> anyhow::Result<()> {
        if self.file.is_none() {
            let file = File::options().read(true).write(true).create_new(true).open(&self.path);
            self.file = Some(file.with_context(|| self.path.display().to_string())?);
        }
        Ok(())
    }

    fn append(&self, batch: &RecordBatch) -> anyhow::Result<Extent> {
        let mut bytes = Vec::with_capacity(row_bytes(batch, &(0..batch.num_rows())) + SLACK_BYTES);
        spill_format::write(batch, &mut bytes)?;
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let len = bytes.len() as u64;
        let file = self.file.as_ref().context("the spill file is not created yet")?;
        // One after the other: the system writes to a file for one thread only, and lets the others
        // spin.
        let mut end = self.end.lock();
        let extent = Extent { offset: *end, len };
        file.write_all_at(&bytes, extent.offset)
            .with_context(|| self.path.display().to_string())?;
        *end += len;
        Ok(extent)
    }

    /// Reads spilled rows, which are of `schema`. Threads that ask for rows of one chunk at a time
    /// share one read.
    ///
    /// # Errors
    /// The file cannot be read, or holds other bytes than were written.
    pub(crate) fn read(
        &self,
        spilled: &SpilledRows,
        schema: &SchemaRef,
    ) -> anyhow::Result<RecordBatch> {
        let SpilledRows { extent, rows, .. } = spilled;
        let cached = self.cached(*extent, rows.len());
        let mut batch = cached.batch.lock();
        let batch = match &mut *batch {
            Some(batch) => batch,
            none => none.insert(self.read_chunk(*extent, schema).with_context(|| {
                format!("{}, {} bytes at {}", self.path.display(), extent.len, extent.offset)
            })?),
        };
        if rows.end > batch.num_rows() {
            bail!("rows {rows:?} of a chunk of {} rows", batch.num_rows());
        }
        if cached.asked >= batch.num_rows() {
            self.cache.lock().retain(|other| other.extent != *extent);
        }
        Ok(batch.slice(rows.start, rows.len()))
    }

    /// Returns the cached chunk at `extent`, a new one if there is none, and marks it most recently
    /// used. Counts `rows` of it as asked for.
    fn cached(&self, extent: Extent, rows: usize) -> CachedChunk {
        let mut cache = self.cache.lock();
        let at = cache.iter().position(|cached| cached.extent == extent);
        let mut chunk = at.and_then(|at| cache.remove(at)).unwrap_or_else(|| CachedChunk {
            extent,
            batch: Arc::default(),
            asked: 0,
        });
        chunk.asked += rows;
        cache.push_back(chunk.clone());
        let mut bytes: u64 = cache.iter().map(|cached| cached.extent.len).sum();
        while bytes > self.cache_bytes
            && let Some(cached) = cache.pop_front()
        {
            bytes -= cached.extent.len;
        }
        chunk
    }

    fn read_chunk(&self, extent: Extent, schema: &SchemaRef) -> anyhow::Result<RecordBatch> {
        let file = self.file.as_ref().context("the spill file is not created yet")?;
        // Aligned as numbers have to be.
        let mut bytes = MutableBuffer::from_len_zeroed(usize::try_from(extent.len)?);
        file.read_exact_at(&mut bytes, extent.offset)?;
        let len = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .filter(|(batch, checksum)| xxh3_64(batch).to_le_bytes() == **checksum)
            .map(|(batch, _)| batch.len())
            .context("not the bytes that were spilled there")?;
        spill_format::read(&Buffer::from(bytes).slice_with_length(0, len), schema)
    }

    /// Deletes the file and begins an empty spill, whose file will be `path`.
    pub(crate) fn clear(&mut self, path: PathBuf) {
        if self.file.take().is_some() {
            // A file that cannot be deleted now is deleted with the staging directory.
            let _ = std::fs::remove_file(&self.path);
        }
        self.cache.lock().clear();
        (self.path, self.end) = (path, Mutex::new(0));
    }
}

/// Returns the path of a roll's spill file in the staging directory.
pub(crate) fn path(staging: &Path, roll: Roll) -> PathBuf {
    staging.join(format!("{roll}-spill"))
}

#[cfg(test)]
mod tests;
