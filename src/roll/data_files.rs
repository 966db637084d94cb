//! The Parquet files of the open roll.
//!
//! While the roll is open, a file gets a row group whenever one is full. When the roll finishes, every
//! file gets its remaining rows and its footer. A large rest is encoded by all threads, column by
//! column; small ones, of which a roll of many partitions has thousands, side by side, a file a
//! thread. The number of small files under way is bounded, and so is the memory that they take.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::manifest::StatisticsBudget;
use super::open_tables::OpenTables;
use super::spill::Spill;
use crate::batch::{Buffers, FileKey, RowGroup};
use crate::encode::{EncodeError, EncodedFile, Encoder};
use crate::record::{BodiesDigest, Roll};

/// Arrow bytes below which a row group is encoded by one thread, where memory allows.
const SMALL_BYTES: usize = 8 << 20;

/// The key of the digest of the roll's bodies in the footers of its files.
pub(crate) const BODIES_DIGEST: &str = "sessionlake.bodies";

/// Small files under way at a time, per thread.
const UNDER_WAY: usize = 2;

/// The divisor of the memory budget that small files under way may take: each its rows, and a copy
/// of them.
const SMALL_FILES_SHARE: usize = 4;

/// The data files of the open roll.
pub(crate) struct DataFiles {
    roll: Roll,
    staging: PathBuf,
    threads: Arc<rayon::ThreadPool>,
    /// [`SMALL_BYTES`], or less.
    small_bytes: usize,
    encoders: BTreeMap<FileKey, Encoder>,
    /// Arrow bytes encoded so far and the file bytes they became, over all rolls: the estimate for
    /// rows that are not encoded yet.
    encoded: (u64, u64),
    /// Staging files so far, for their names.
    staged: u64,
}

impl DataFiles {
    /// Begins the roll with the number `roll`, without files. `threads` encode, within
    /// `memory_bytes`; staging files will be in `staging`.
    pub(crate) fn new(
        roll: Roll,
        threads: Arc<rayon::ThreadPool>,
        memory_bytes: usize,
        staging: &Path,
    ) -> DataFiles {
        let under_way = threads.current_num_threads() * UNDER_WAY;
        DataFiles {
            roll,
            staging: staging.to_owned(),
            threads,
            small_bytes: SMALL_BYTES.min(memory_bytes / SMALL_FILES_SHARE / 2 / under_way),
            encoders: BTreeMap::new(),
            // Before anything was measured: a tenth, as JSON sessions usually come to.
            encoded: (10, 1),
            staged: 0,
        }
    }

    /// Begins the next roll, which has no files yet. Returns the number of the one before.
    pub(crate) fn begin_next(&mut self) -> Roll {
        let before = self.roll;
        self.roll = before.next();
        before
    }

    /// Returns the number of the roll.
    pub(crate) fn roll(&self) -> Roll {
        self.roll
    }

    /// Returns the staging directory.
    pub(crate) fn staging(&self) -> &Path {
        &self.staging
    }

    /// Returns the threads that encode.
    pub(crate) fn threads(&self) -> &rayon::ThreadPool {
        &self.threads
    }

    /// Returns a new path in the staging directory.
    pub(crate) fn path(&mut self, extension: &str) -> PathBuf {
        self.staged += 1;
        self.staging.join(format!("{}-{}.{extension}", self.roll, self.staged))
    }

    /// Returns true when the file was begun.
    pub(crate) fn has(&self, file: &FileKey) -> bool {
        self.encoders.contains_key(file)
    }

    /// Returns the number of files that were begun.
    pub(crate) fn count(&self) -> usize {
        self.encoders.len()
    }

    /// Estimates the file bytes that `bytes` of Arrow will become.
    pub(crate) fn estimate(&self, bytes: usize) -> u64 {
        let (from, to) = self.encoded;
        (bytes as u64).saturating_mul(to) / from.max(1)
    }

    /// Estimates the size of each file that was begun, with the Arrow bytes that wait for it.
    pub(crate) fn bytes(&self, waiting: impl Fn(&FileKey) -> usize) -> impl Iterator<Item = u64> {
        let all = self.encoders.iter();
        all.map(move |(file, encoder)| encoder.bytes() + self.estimate(waiting(file)))
    }

    /// Returns the bytes of memory that the footers take until they are written.
    pub(crate) fn footer_bytes(&self) -> usize {
        self.encoders.values().map(Encoder::footer_bytes).sum()
    }

    /// Writes a row group.
    ///
    /// # Errors
    /// The staging file cannot be written; the file is of no use then.
    pub(crate) fn encode(
        &mut self,
        group: &RowGroup,
        tables: &OpenTables,
        spill: &Spill,
    ) -> anyhow::Result<()> {
        let (key, bytes) = (group.file.clone(), group.bytes);
        let mut encoder = self.take_or_create(&key, tables)?;
        let before = encoder.bytes();
        encoder.row_group(&rows(group, spill, encoder.schema())?)?;
        self.measure(bytes, encoder.bytes() - before);
        self.encoders.insert(key, encoder);
        Ok(())
    }

    /// Writes all rows that wait, and finishes all files, each with the digest of the roll's bodies. Returns them in the order of their keys.
    ///
    /// # Errors
    /// A staging file cannot be written; the roll is of no use then.
    pub(crate) fn finish(
        &mut self,
        buffers: &mut Buffers,
        tables: &OpenTables,
        spill: &Spill,
        bodies: BodiesDigest,
    ) -> anyhow::Result<Vec<(FileKey, EncodedFile)>> {
        let threads = Arc::clone(&self.threads);
        let mut files = BTreeMap::new();
        let ended: Mutex<BTreeMap<FileKey, SmallFileOutcome>> = Mutex::default();
        let (failed, statistics) = (AtomicBool::new(false), StatisticsBudget::default());
        let (free, permits) = mpsc::channel();
        for _ in 0..threads.current_num_threads() * UNDER_WAY {
            let _ = free.send(());
        }
        // The scope ends when every spawned task has, also after an error.
        threads.in_place_scope(|scope| -> anyhow::Result<()> {
            while let Some(group) = buffers.drain().filter(|_| !failed.load(Ordering::Relaxed)) {
                let (key, bytes) = (group.file.clone(), group.bytes);
                if bytes >= self.small_bytes {
                    self.encode(&group, tables, spill)?;
                    // A footer takes more memory than the file's name.
                    let file = finish(self.take_or_create(&key, tables)?, bodies)?;
                    files.insert(key, bounded(file, &statistics));
                    continue;
                }
                let encoder = self.take_or_create(&key, tables)?;
                permits.recv()?;
                let (permit, ended, failed) = (Permit(free.clone()), &ended, &failed);
                let statistics = &statistics;
                scope.spawn(move |_| {
                    let outcome = end(encoder, &group, spill, statistics, bodies);
                    failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                    ended.lock().insert(key, SmallFileOutcome { outcome, bytes });
                    drop((group, permit));
                });
            }
            Ok(())
        })?;
        for (key, SmallFileOutcome { outcome, bytes }) in std::mem::take(&mut *ended.lock()) {
            let (staged, added) = outcome?;
            self.measure(bytes, added);
            files.insert(key, staged);
        }
        for (key, encoder) in std::mem::take(&mut self.encoders) {
            files.insert(key, bounded(finish(encoder, bodies)?, &statistics));
        }
        Ok(files.into_iter().collect())
    }

    /// Takes the encoder of a file, or creates one. It is put back after a success only, so that no
    /// file that failed is gone on with.
    fn take_or_create(&mut self, key: &FileKey, tables: &OpenTables) -> anyhow::Result<Encoder> {
        if let Entry::Occupied(entry) = self.encoders.entry(key.clone()) {
            return Ok(entry.remove());
        }
        let path = self.path("parquet");
        Ok(Encoder::create(&path, tables.layout(key.table)?)?)
    }

    /// Adds to the measurements behind [`DataFiles::estimate`].
    fn measure(&mut self, bytes: usize, written: u64) {
        self.encoded.0 += bytes as u64;
        self.encoded.1 += written;
    }
}

/// The outcome of finishing a small file.
struct SmallFileOutcome {
    /// The file, and the bytes that its rest became.
    outcome: anyhow::Result<(EncodedFile, u64)>,
    /// Arrow bytes of the rest.
    bytes: usize,
}

/// Writes the rest of a file, and finishes it.
fn end(
    mut encoder: Encoder,
    group: &RowGroup,
    spill: &Spill,
    statistics: &StatisticsBudget,
    bodies: BodiesDigest,
) -> anyhow::Result<(EncodedFile, u64)> {
    let before = encoder.bytes();
    encoder.row_group(&rows(group, spill, encoder.schema())?)?;
    let added = encoder.bytes() - before;
    Ok((bounded(finish(encoder, bodies)?, statistics), added))
}

/// Finishes a file, with the digest of the roll's bodies in its footer.
fn finish(mut encoder: Encoder, bodies: BodiesDigest) -> Result<EncodedFile, EncodeError> {
    encoder.add_metadata(BODIES_DIGEST, &bodies.to_string());
    encoder.finish()
}

/// Drops the statistics of a file past the memory that a roll's may take.
fn bounded(mut file: EncodedFile, budget: &StatisticsBudget) -> EncodedFile {
    file.statistics = file.statistics.and_then(|statistics| budget.keep(statistics));
    file
}

/// Returns all rows of a row group, spilled ones first.
fn rows(group: &RowGroup, spill: &Spill, schema: &SchemaRef) -> anyhow::Result<Vec<RecordBatch>> {
    let spilled = group.spilled.iter().map(|spilled| spill.read(spilled, schema));
    let mut batches = spilled.collect::<anyhow::Result<Vec<_>>>()?;
    batches.extend(group.batches()?);
    Ok(batches)
}

/// A permit for one small file under way. Dropping it gives it back, also in a panic, after which the
/// thread that waits for one would otherwise wait for ever.
struct Permit(mpsc::Sender<()>);

impl Drop for Permit {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::STATISTICS_BYTES;
    use super::*;
    use crate::columnar::statistics::{Bound, ColumnStatistics, FileStatistics, Scalar};

    #[test]
    fn statistics_of_finished_files_are_dropped_past_the_memory_of_a_roll() {
        let budget = StatisticsBudget::default();
        let kept = |bytes: usize| {
            let column = ColumnStatistics {
                path: "id".into(),
                values: 1,
                nulls: Some(0),
                nans: None,
                compressed_bytes: 1,
                min: Some(Bound { value: Scalar::Text("x".repeat(bytes)), exact: true }),
                max: None,
            };
            let statistics = Some(FileStatistics { columns: vec![column] });
            let file = EncodedFile { path: PathBuf::new(), bytes: 1, rows: 1, statistics };
            bounded(file, &budget).statistics.is_some()
        };
        assert!(kept(STATISTICS_BYTES / 2));
        assert!(!kept(STATISTICS_BYTES / 2));
    }
}
