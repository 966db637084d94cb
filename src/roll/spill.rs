//! Rows of the open roll that wait on disk: batches in the staging directory, written one behind
//! the other and read back once.
//!
//! Nothing here must survive: a roll that is not committed is made again from the journal. So
//! nothing is synced, and what is read is what this process wrote a moment ago, mostly from the
//! page cache. Still it becomes the lake: each batch has a checksum, and one that is not what was
//! written is an error (the roll is made again), not rows.
//!
//! A batch has the rows of many files ([`Parked`]), which are written one after the other in the
//! end. So it is kept for the next ones when it was read, the ones that were used last up to a bound,
//! and let go of when all its rows were asked for. What a file has in more places than are kept would
//! be read over and over: [`Spill::most_places`].

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail};
use arrow::array::RecordBatch;
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::SchemaRef;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use xxhash_rust::xxh3::xxh3_64;

use crate::batch::{PASS_BYTES, Parked, Pass, Place, Stored};
use crate::columnar::arrays::row_bytes;
use crate::columnar::spill_format as form;
use crate::lock::lock;

/// Bytes of the checksum behind each batch.
const SUM: usize = 8;

/// What a batch may take when it is written beyond its values: a number for each array, and to begin
/// at a multiple of 8.
const SLACK_BYTES: usize = 16 << 10;

/// The file, while there is one.
pub(crate) struct Spill {
    path: PathBuf,
    file: Option<File>,
    end: Mutex<u64>,
    /// What was read last, the most recently used last.
    kept: Mutex<VecDeque<Kept>>,
    /// Bytes of what is kept at most.
    most_kept: u64,
}

/// A batch that was read, or is being read by who has its lock.
#[derive(Clone)]
struct Kept {
    place: Place,
    batch: Arc<Mutex<Option<RecordBatch>>>,
    /// How many of its rows were asked for.
    asked: usize,
}

impl Spill {
    /// Nothing yet. The file will be `path`.
    pub(crate) fn new(path: PathBuf, most_kept: u64) -> Spill {
        Spill { path, file: None, end: Mutex::new(0), kept: Mutex::default(), most_kept }
    }

    /// In how many places the rows of a file should be at most.
    pub(crate) fn most_places(&self) -> usize {
        usize::try_from(self.most_kept).unwrap_or(usize::MAX) / PASS_BYTES
    }

    /// Bytes in the file.
    pub(crate) fn bytes(&self) -> u64 {
        *lock(&self.end)
    }

    /// Writes the rows of all passes, side by side, and says where each is.
    pub(crate) fn park(
        &mut self,
        passes: &[Pass],
        threads: &rayon::ThreadPool,
    ) -> anyhow::Result<Vec<Stored>> {
        self.open()?;
        let park = |pass: &Pass| {
            let rows = pass.rows()?;
            let place = self.write(&rows)?;
            Ok(pass.stored(&rows, place))
        };
        threads.install(|| passes.par_iter().map(park).collect())
    }

    fn open(&mut self) -> anyhow::Result<()> {
        if self.file.is_none() {
            let file = File::options().read(true).write(true).create_new(true).open(&self.path);
            self.file = Some(file.with_context(|| self.path.display().to_string())?);
        }
        Ok(())
    }

    fn write(&self, batch: &RecordBatch) -> anyhow::Result<Place> {
        let mut bytes = Vec::with_capacity(row_bytes(batch, &(0..batch.num_rows())) + SLACK_BYTES);
        form::write(batch, &mut bytes)?;
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        let len = bytes.len() as u64;
        let file = self.file.as_ref().context("nothing is parked yet")?;
        // One after the other: the system writes to a file for one thread only, and lets the others
        // spin.
        let mut end = lock(&self.end);
        let place = Place { offset: *end, len };
        file.write_all_at(&bytes, place.offset).with_context(|| self.path.display().to_string())?;
        *end += len;
        Ok(place)
    }

    /// The rows that were parked there, which are of `schema`.
    pub(crate) fn fetch(&self, parked: &Parked, schema: &SchemaRef) -> anyhow::Result<RecordBatch> {
        let Parked { place, rows, .. } = parked;
        let kept = self.keep(*place, rows.len());
        let mut batch = lock(&kept.batch);
        let batch = match &mut *batch {
            Some(batch) => batch,
            none => none.insert(self.read(*place, schema).with_context(|| {
                format!("{}, {} bytes at {}", self.path.display(), place.len, place.offset)
            })?),
        };
        if rows.end > batch.num_rows() {
            bail!("rows {rows:?} of {} that were parked", batch.num_rows());
        }
        if kept.asked >= batch.num_rows() {
            lock(&self.kept).retain(|other| other.place != *place);
        }
        Ok(batch.slice(rows.start, rows.len()))
    }

    /// The batch that is there, as the one that was used last.
    fn keep(&self, place: Place, rows: usize) -> Kept {
        let mut all = lock(&self.kept);
        let at = all.iter().position(|kept| kept.place == place);
        let mut kept = at.and_then(|at| all.remove(at)).unwrap_or_else(|| Kept {
            place,
            batch: Arc::default(),
            asked: 0,
        });
        kept.asked += rows;
        all.push_back(kept.clone());
        let mut bytes: u64 = all.iter().map(|kept| kept.place.len).sum();
        while bytes > self.most_kept
            && let Some(kept) = all.pop_front()
        {
            bytes -= kept.place.len;
        }
        kept
    }

    fn read(&self, place: Place, schema: &SchemaRef) -> anyhow::Result<RecordBatch> {
        let file = self.file.as_ref().context("nothing was parked")?;
        // Aligned as numbers have to be.
        let mut bytes = MutableBuffer::from_len_zeroed(usize::try_from(place.len)?);
        file.read_exact_at(&mut bytes, place.offset)?;
        let whole = bytes
            .split_last_chunk::<SUM>()
            .filter(|(batch, sum)| xxh3_64(batch).to_le_bytes() == **sum)
            .map(|(batch, _)| batch.len());
        let len = whole.context("not what was parked there")?;
        form::read(&Buffer::from(bytes).slice_with_length(0, len), schema)
    }

    /// Forgets what was parked, and begins anew at `path`.
    pub(crate) fn clear(&mut self, path: PathBuf) {
        if self.file.take().is_some() {
            // What cannot be removed now is with the staging directory.
            let _ = std::fs::remove_file(&self.path);
        }
        lock(&self.kept).clear();
        (self.path, self.end) = (path, Mutex::new(0));
    }
}

/// The name of a roll's file in the staging directory.
pub(crate) fn path(staging: &Path, roll: crate::record::Roll) -> PathBuf {
    staging.join(format!("{roll}-parked"))
}

#[cfg(test)]
mod tests;
