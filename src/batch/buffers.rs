//! Decoded rows that are not yet encoded, under one budget.
//!
//! ```text
//!  batch ─ rows of one file ────────────────────▶ settled: batches of that file ─┐
//!      └── rows of several ─▶ pool ─ gathered ──▶                               ├─▶ row group
//!                               ├─ gathered when the file is handed out ─────────┤
//!                               └─ gathered past the budget ─▶ parked (on disk) ─┘
//! ```
//! A batch whose rows go to several files waits in its table's pool, whole, and each file knows
//! which of its rows are its own. They are copied once, many batches at a time: into the row group
//! when the file is handed out, or, when the pool has grown, into a batch of each file. So neither
//! the copying nor the writer ever works on a handful of rows because the input was mixed.
//!
//! A file that has grown to a row group is handed out to be encoded. When all together pass the
//! budget, files that have a good part of a row group are handed out early. Where there are so many
//! files that none has, a row group of each would be mostly the cost of a row group; their rows are
//! handed out to be **parked** outside of memory instead, and come back with the row group. So a
//! thousand open partitions cost neither memory nor small row groups. Rows of a file keep their
//! order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::route::Routed;
use crate::columnar::arrays::{held_bytes, row_bytes};
use crate::columnar::gather::{Run, Sources};
use crate::table::TableId;

/// Names a file of the open roll: a table and a partition of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The table, by its id in the list of tables that the roll is made with.
    pub table: TableId,
    /// Hive path of the partition; empty for none.
    pub partition: String,
}

/// Rows to be written to a file as one row group.
#[derive(Debug)]
pub struct RowGroup {
    /// The file.
    pub file: FileKey,
    /// Where its first rows are, in order.
    pub parked: Vec<Parked>,
    /// Arrow bytes of all its rows.
    pub bytes: usize,
    settled: Vec<RecordBatch>,
    pooled: Option<(Arc<Sources>, Vec<Run>)>,
}

impl RowGroup {
    /// The rows that are in memory, in order, those of the pool copied out of it: by any thread. To be
    /// dropped before the next rows come.
    ///
    /// # Errors
    /// [`Sources::gather`]'s.
    pub fn batches(&self) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut batches = self.settled.clone();
        if let Some((pool, runs)) = &self.pooled {
            batches.push(pool.gather(runs)?);
        }
        Ok(batches)
    }
}

/// Rows of a file that wait outside of memory: a part of what was parked in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Where all of it is.
    pub place: Place,
    /// Which rows of it are the file's.
    pub rows: Range<usize>,
    /// How many bytes they take.
    pub bytes: usize,
}

/// Where a batch waits outside of memory. Carried here, understood by who parks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it begins.
    pub offset: u64,
    /// How many bytes it takes there.
    pub len: u64,
}

/// Rows of several files, to be parked together. They are still where they were: any thread may
/// copy them out.
#[derive(Debug)]
pub struct Pass {
    batches: Arc<Sources>,
    runs: Vec<Run>,
    files: Vec<(FileKey, Range<usize>)>,
}

impl Pass {
    /// The rows, a file's behind those of the one before it.
    ///
    /// # Errors
    /// [`Sources::gather`]'s.
    pub fn rows(&self) -> Result<RecordBatch, ArrowError> {
        self.batches.gather(&self.runs)
    }

    /// Where a pass is whose rows are these.
    #[must_use]
    pub fn stored(&self, rows: &RecordBatch, place: Place) -> Stored {
        Stored { place, bytes: self.files.iter().map(|(_, part)| row_bytes(rows, part)).collect() }
    }
}

/// A pass that was parked.
#[derive(Debug)]
pub struct Stored {
    place: Place,
    /// What the rows of each of its files take.
    bytes: Vec<usize>,
}

/// What the caller has to do for the buffers to keep to their budget.
#[derive(Debug)]
pub enum Due {
    /// Encode this.
    Encode(RowGroup),
    /// Put these rows elsewhere, and say of each pass in turn where, with [`Buffers::park`].
    Park(Vec<Pass>),
}

/// A file with at least this part of a row group is handed out early, and not parked.
const EARLY: usize = 8;
/// Rows that are parked together. More would make the copying a little cheaper; but when a file is
/// written in the end, all passes that it has rows in are in memory.
pub const PASS_BYTES: usize = 2 << 20;
/// A pool below this is not worth a pass over its columns.
const POOL_BYTES: usize = 16 << 20;
/// What a file should get from a pass at least: an array has a cost of its own, some 170 times a
/// batch.
const SHARE_BYTES: usize = 128 << 10;

/// What waits for one file.
#[derive(Debug, Default)]
struct Buffer {
    batches: Vec<RecordBatch>,
    settled_bytes: usize,
    /// Rows in the pool, in order.
    runs: Vec<Run>,
    /// What they take, as far as it is theirs alone.
    pooled_bytes: usize,
    /// Rows before all of these.
    parked: Vec<Parked>,
    parked_bytes: usize,
}

impl Buffer {
    /// Arrow bytes of its rows, wherever they are.
    fn bytes(&self) -> usize {
        self.in_memory() + self.parked_bytes
    }

    fn in_memory(&self) -> usize {
        self.settled_bytes + self.pooled_bytes
    }
}

/// Batches with rows of several files.
#[derive(Debug, Default)]
struct Pool {
    batches: Option<Arc<Sources>>,
    bytes: usize,
    /// Files that have rows in it.
    files: usize,
}

impl Pool {
    /// So many files have their rows; the batches go with the last of them.
    fn leave(&mut self, files: usize) {
        self.files -= files;
        if self.files == 0 {
            *self = Pool::default();
        }
    }
}

/// What goes into a pass.
#[derive(Default)]
struct Passing {
    runs: Vec<Run>,
    files: Vec<(FileKey, Range<usize>)>,
    rows: usize,
    bytes: usize,
}

impl Passing {
    /// Takes in rows of a file, if there are any.
    fn add(&mut self, file: &FileKey, runs: &mut Vec<Run>, bytes: usize) {
        let first = self.rows;
        self.rows += runs.iter().map(|run| run.rows.len()).sum::<usize>();
        self.bytes += bytes;
        if !runs.is_empty() {
            self.runs.append(runs);
            self.files.push((file.clone(), first..self.rows));
        }
    }

    /// Whether rows of so many bytes should go into the next one. A file that fills most of a pass
    /// has one for itself: who reads a small one's rows should not have to read those of a large one.
    fn is_full_for(&self, bytes: usize) -> bool {
        self.bytes >= PASS_BYTES || (self.bytes > 0 && bytes >= PASS_BYTES / 2)
    }

    fn end(&mut self, batches: &Arc<Sources>) -> Option<Pass> {
        let Passing { runs, files, .. } = std::mem::take(self);
        (!files.is_empty()).then(|| Pass { batches: Arc::clone(batches), runs, files })
    }
}

/// The buffers of the open roll.
#[derive(Debug)]
pub struct Buffers {
    row_group_bytes: usize,
    budget_bytes: usize,
    buffers: BTreeMap<FileKey, Buffer>,
    pools: BTreeMap<TableId, Pool>,
    /// Settled bytes of all files.
    settled_bytes: usize,
    /// The budget was passed, and the largest are being handed out.
    relieving: bool,
}

impl Buffers {
    /// Empty buffers. A row group is handed out at `row_group_bytes`, and earlier while all
    /// buffers together hold more than `budget_bytes`.
    #[must_use]
    pub fn new(row_group_bytes: usize, budget_bytes: usize) -> Buffers {
        Buffers {
            row_group_bytes,
            budget_bytes,
            buffers: BTreeMap::new(),
            pools: BTreeMap::new(),
            settled_bytes: 0,
            relieving: false,
        }
    }

    /// Takes in the rows of a batch of `table`, of which `routed` says where they belong.
    ///
    /// # Errors
    /// Batches of a table that are of several schemas.
    pub fn push(
        &mut self,
        table: TableId,
        batch: RecordBatch,
        routed: Vec<Routed>,
    ) -> Result<(), ArrowError> {
        let bytes = held_bytes(&batch);
        let pool = self.pools.entry(table).or_default();
        let key = |partition| FileKey { table, partition };
        let alone = routed.len() == 1;
        let at = pool.batches.as_ref().map_or(0, |batches| batches.len());
        let mut pooled = false;
        for Routed { partition, rows: runs } in routed {
            let buffer = self.buffers.entry(key(partition)).or_default();
            // Behind rows that wait in the pool it must wait there as well, to keep its place.
            if alone && buffer.runs.is_empty() {
                buffer.batches.push(batch.clone());
                buffer.settled_bytes += bytes;
                self.settled_bytes += bytes;
                continue;
            }
            pooled = true;
            if buffer.runs.is_empty() {
                pool.files += 1;
            }
            buffer.pooled_bytes += runs.iter().map(|run| row_bytes(&batch, run)).sum::<usize>();
            buffer.runs.extend(runs.into_iter().map(|rows| Run { batch: at, rows }));
        }
        if pooled {
            let new = || Arc::new(Sources::new(batch.schema_ref()));
            let batches = Arc::get_mut(pool.batches.get_or_insert_with(new));
            batches.ok_or_else(in_use)?.push(&batch)?;
            pool.bytes += bytes;
        }
        Ok(())
    }

    /// What should be done now, if anything. Ask until there is nothing.
    ///
    /// # Errors
    /// [`Sources::gather`]'s.
    pub fn due(&mut self) -> Result<Option<Due>, ArrowError> {
        self.relieving |= self.bytes() > self.budget_bytes;
        let waiting = || self.buffers.values().map(Buffer::in_memory).sum::<usize>();
        let over = self.relieving && waiting() > self.budget_bytes / 4 * 3;
        let enough = if over { self.row_group_bytes / EARLY } else { self.row_group_bytes };
        let largest = self.buffers.iter().max_by_key(|(_, buffer)| buffer.bytes());
        if let Some((file, largest)) = largest
            && largest.bytes() >= enough.max(1)
        {
            let file = file.clone();
            return Ok(self.take(&file).map(Due::Encode));
        }
        let thin = self
            .pools
            .values()
            .any(|pool| SHARE_BYTES.saturating_mul(pool.files) > self.budget_bytes / 2);
        let relieving = std::mem::take(&mut self.relieving);
        if relieving && (over || thin) {
            let passes = self.passes()?;
            return Ok((!passes.is_empty()).then_some(Due::Park(passes)));
        }
        // The pool is only let go of when the last file has left it.
        let tables: Vec<TableId> = self.pools.keys().copied().collect();
        for table in tables {
            let Some(pool) = self.pools.get(&table) else { continue };
            let share = SHARE_BYTES.saturating_mul(pool.files);
            // So many that all will be parked: a copy more would be for nothing.
            let many =
                (self.row_group_bytes / EARLY).saturating_mul(pool.files) > self.budget_bytes;
            let full = !many && pool.bytes >= share.max(POOL_BYTES);
            if pool.bytes > 0 && (relieving || full) {
                self.settle(table)?;
            }
        }
        Ok(None)
    }

    /// All rows in memory, a few files a pass, in the order of files: copying has its cost for each
    /// array, of which there are 170 in a batch. First what is settled, of all files, then what is
    /// in the pools, which came after it.
    fn passes(&mut self) -> Result<Vec<Pass>, ArrowError> {
        let mut passes = Vec::new();
        let mut tables: Vec<TableId> = self.buffers.keys().map(|file| file.table).collect();
        tables.dedup();
        for table in tables {
            let mut batches: Option<Sources> = None;
            let mut settled = Passing::default();
            for (file, buffer) in self.buffers.iter_mut().filter(|(file, _)| file.table == table) {
                let bytes = std::mem::take(&mut buffer.settled_bytes);
                self.settled_bytes -= bytes;
                if let Some(of) = batches.take_if(|_| settled.is_full_for(bytes)) {
                    passes.extend(settled.end(&Arc::new(of)));
                }
                let mut runs = Vec::with_capacity(buffer.batches.len());
                for batch in buffer.batches.drain(..) {
                    let batches = batches.get_or_insert_with(|| Sources::new(batch.schema_ref()));
                    runs.push(Run { batch: batches.len(), rows: 0..batch.num_rows() });
                    batches.push(&batch)?;
                }
                settled.add(file, &mut runs, bytes);
            }
            passes.extend(batches.and_then(|of| settled.end(&Arc::new(of))));
            let Some(pool) = self.pools.remove(&table) else { continue };
            let Some(of) = pool.batches else { continue };
            let mut pooled = Passing::default();
            for (file, buffer) in self.buffers.iter_mut().filter(|(file, _)| file.table == table) {
                let bytes = std::mem::take(&mut buffer.pooled_bytes);
                if pooled.is_full_for(bytes) {
                    passes.extend(pooled.end(&of));
                }
                pooled.add(file, &mut buffer.runs, bytes);
            }
            passes.extend(pooled.end(&of));
        }
        Ok(passes)
    }

    /// Says where rows are now that were handed out to be parked.
    pub fn park(&mut self, pass: Pass, Stored { place, bytes }: Stored) {
        for ((file, rows), bytes) in pass.files.into_iter().zip(bytes) {
            let buffer = self.buffers.entry(file).or_default();
            buffer.parked.push(Parked { place, rows, bytes });
            buffer.parked_bytes += bytes;
        }
    }

    /// All rows that wait, a row group a file, in the order of files. Ask until there is none.
    pub fn drain(&mut self) -> Option<RowGroup> {
        while let Some(file) = self.buffers.keys().next().cloned() {
            let group = self.take(&file);
            self.buffers.remove(&file);
            if group.is_some() {
                return group;
            }
        }
        None
    }

    /// The files that rows wait for.
    pub fn files(&self) -> impl Iterator<Item = &FileKey> {
        self.buffers.keys()
    }

    /// Arrow bytes that wait for `file`, parked ones included.
    #[must_use]
    pub fn bytes_of(&self, file: &FileKey) -> usize {
        self.buffers.get(file).map_or(0, Buffer::bytes)
    }

    /// Arrow bytes that wait for the file with the most of them, parked ones included.
    #[must_use]
    pub fn largest_bytes(&self) -> usize {
        self.buffers.values().map(Buffer::bytes).max().unwrap_or(0)
    }

    /// In how many places rows of a file are parked at most.
    #[must_use]
    pub fn most_places(&self) -> usize {
        self.buffers.values().map(|buffer| buffer.parked.len()).max().unwrap_or(0)
    }

    /// Arrow bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.settled_bytes + self.pools.values().map(|pool| pool.bytes).sum::<usize>()
    }

    fn take(&mut self, file: &FileKey) -> Option<RowGroup> {
        let buffer = self.buffers.remove(file)?;
        self.settled_bytes -= buffer.settled_bytes;
        let bytes = buffer.bytes();
        let Buffer { batches: settled, runs, parked, .. } = buffer;
        let mut pooled = None;
        if let (false, Some(pool)) = (runs.is_empty(), self.pools.get_mut(&file.table)) {
            pooled = pool.batches.clone().map(|batches| (batches, runs));
            pool.leave(1);
        }
        let any = !settled.is_empty() || !parked.is_empty() || pooled.is_some();
        any.then(|| RowGroup { file: file.clone(), parked, bytes, settled, pooled })
    }

    /// Gives each file its rows out of the pool.
    fn settle(&mut self, table: TableId) -> Result<(), ArrowError> {
        let pool = self.pools.remove(&table).unwrap_or_default();
        for (_, buffer) in self.buffers.iter_mut().filter(|(file, _)| file.table == table) {
            let runs = std::mem::take(&mut buffer.runs);
            buffer.pooled_bytes = 0;
            if let Some(batch) = copied(&pool, &runs)? {
                let bytes = held_bytes(&batch);
                buffer.batches.push(batch);
                buffer.settled_bytes += bytes;
                self.settled_bytes += bytes;
            }
        }
        Ok(())
    }
}

fn in_use() -> ArrowError {
    ArrowError::InvalidArgumentError("a pass was not parked before the next rows came".to_owned())
}

fn copied(pool: &Pool, runs: &[Run]) -> Result<Option<RecordBatch>, ArrowError> {
    let batches = pool.batches.as_ref().filter(|_| !runs.is_empty());
    batches.map(|batches| batches.gather(runs)).transpose()
}

#[cfg(test)]
mod tests;
