//! Decoded rows that are not yet encoded, under one memory budget.
//!
//! ```text
//!  batch ─ rows of one file ────────────────────▶ settled: batches of that file ─┐
//!      └── rows of several ─▶ pool ─ gathered ──▶                               ├─▶ row group
//!                               ├─ gathered when the file is handed out ─────────┤
//!                               └─ gathered past the budget ─▶ spilled to disk ──┘
//! ```
//! A batch whose rows go to several files is kept whole in its table's pool, and each file has a list
//! of its rows in it. They are copied once, many batches at a time: into the row group when the file
//! is handed out, or, when the pool has grown, into a batch of each file. So neither the copying nor
//! the writer ever works on a handful of rows because the input was mixed.
//!
//! A file that has grown to a row group is handed out to be encoded. When all together pass the
//! budget, files that have a good part of a row group are handed out early. Where there are so many
//! files that none has, a row group of each would be mostly the cost of a row group; their rows are
//! **spilled** instead ([`super::spill_chunks`]), and come back with the row group. So a thousand open
//! partitions cost neither memory nor small row groups. Rows of a file keep their order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::file_key::FileKey;
use super::route::PartitionRows;
use super::spill_chunks::{ChunkBuilder, SpillChunk, SpillReceipt, SpilledRows};
use crate::columnar::gather::{Run, Sources};
use crate::columnar::sizes::{bytes_of_parts, held_bytes};
use crate::table::TableId;

/// Rows to be written to a file as one row group.
#[derive(Debug)]
pub struct RowGroup {
    /// The file.
    pub file: FileKey,
    /// Its first rows, which were spilled, in order.
    pub spilled: Vec<SpilledRows>,
    /// Arrow bytes of all its rows.
    pub bytes: usize,
    settled: Vec<RecordBatch>,
    pooled: Option<(Arc<Sources>, Vec<Run>)>,
}

impl RowGroup {
    /// Returns the rows that are in memory, in order; those of the pool are copied out of it, by any
    /// thread. The row group must be dropped before the next rows are pushed.
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

/// An action by which the caller keeps the buffers to their budget.
#[derive(Debug)]
pub enum Due {
    /// Encode this row group.
    Encode(RowGroup),
    /// Write these chunks to disk, and confirm each in turn with [`Buffers::spilled`].
    Spill(Vec<SpillChunk>),
}

/// A file with at least this part of a row group is handed out early instead of being spilled.
const EARLY: usize = 8;
/// Bytes below which a pool is not worth a pass over its columns.
const POOL_BYTES: usize = 16 << 20;
/// Bytes that a file should get when a pool is divided: an array has a cost of its own, some 170
/// times a batch.
const SHARE_BYTES: usize = 128 << 10;

/// Rows of one file.
#[derive(Debug, Default)]
struct Buffer {
    batches: Vec<RecordBatch>,
    settled_bytes: usize,
    /// Rows in the pool, in order.
    runs: Vec<Run>,
    /// Bytes of these rows alone.
    pooled_bytes: usize,
    /// Rows before all of these.
    spilled: Vec<SpilledRows>,
    spilled_bytes: usize,
}

impl Buffer {
    /// Returns the Arrow bytes of its rows in memory and on disk.
    fn bytes(&self) -> usize {
        self.in_memory() + self.spilled_bytes
    }

    fn in_memory(&self) -> usize {
        self.settled_bytes + self.pooled_bytes
    }
}

/// Batches of one table with rows of several files.
#[derive(Debug, Default)]
struct Pool {
    batches: Option<Arc<Sources>>,
    bytes: usize,
    /// Files that have rows in it.
    files: usize,
}

impl Pool {
    /// Removes a file that has its rows now; the batches go with the last of them.
    fn remove_file(&mut self) {
        self.files -= 1;
        if self.files == 0 {
            *self = Pool::default();
        }
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
    /// The budget was passed, and the largest files are being handed out.
    relieving: bool,
}

impl Buffers {
    /// Creates empty buffers. A row group is handed out at `row_group_bytes`, and earlier while all
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

    /// Adds a batch of `table`, whose rows belong to the partitions of `routed`.
    ///
    /// # Errors
    /// The batch has another schema than those before it of the same table.
    pub fn push(
        &mut self,
        table: TableId,
        batch: RecordBatch,
        routed: Vec<PartitionRows>,
    ) -> Result<(), ArrowError> {
        let bytes = held_bytes(&batch);
        let pool = self.pools.entry(table).or_default();
        let alone = routed.len() == 1;
        let number = pool.batches.as_ref().map_or(0, |batches| batches.len());
        let mut pooled = false;
        // Of all runs in one pass, once one goes to the pool: a batch of one file that stays whole has none.
        let all: Vec<Range<usize>> = routed.iter().flat_map(|of| &of.rows).cloned().collect();
        let mut sizes = None;
        for PartitionRows { partition, rows: runs } in routed {
            let buffer = self.buffers.entry(FileKey { table, partition }).or_default();
            // Rows behind others in the pool go there as well, to keep their order.
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
            let sizes = sizes.get_or_insert_with(|| bytes_of_parts(&batch, &all).into_iter());
            buffer.pooled_bytes += sizes.take(runs.len()).sum::<usize>();
            buffer.runs.extend(runs.into_iter().map(|rows| Run { batch: number, rows }));
        }
        if pooled {
            let new = || Arc::new(Sources::new(batch.schema_ref()));
            let batches = Arc::get_mut(pool.batches.get_or_insert_with(new));
            batches.ok_or_else(in_use)?.push(&batch)?;
            pool.bytes += bytes;
        }
        Ok(())
    }

    /// Returns the next action that is due. The caller asks until there is none.
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
            let chunks = self.spill_chunks()?;
            return Ok((!chunks.is_empty()).then_some(Due::Spill(chunks)));
        }
        // The pool is only let go of when the last file has left it.
        let tables: Vec<TableId> = self.pools.keys().copied().collect();
        for table in tables {
            let Some(pool) = self.pools.get(&table) else { continue };
            let share = SHARE_BYTES.saturating_mul(pool.files);
            // With so many files all rows will be spilled: another copy would be for nothing.
            let many =
                (self.row_group_bytes / EARLY).saturating_mul(pool.files) > self.budget_bytes;
            let full = !many && pool.bytes >= share.max(POOL_BYTES);
            if pool.bytes > 0 && (relieving || full) {
                self.settle(table)?;
            }
        }
        Ok(None)
    }

    /// Takes all rows out of memory, a few files a chunk, in the order of files: copying has its cost
    /// for each array, of which there are 170 in a batch. Settled rows of all files are first, then
    /// those in the pools, which came after them.
    fn spill_chunks(&mut self) -> Result<Vec<SpillChunk>, ArrowError> {
        let mut chunks = Vec::new();
        let mut tables: Vec<TableId> = self.buffers.keys().map(|file| file.table).collect();
        tables.dedup();
        for table in tables {
            let mut batches: Option<Sources> = None;
            let mut settled = ChunkBuilder::default();
            for (file, buffer) in self.buffers.iter_mut().filter(|(file, _)| file.table == table) {
                let bytes = std::mem::take(&mut buffer.settled_bytes);
                self.settled_bytes -= bytes;
                if let Some(of) = batches.take_if(|_| settled.is_full_for(bytes)) {
                    chunks.extend(settled.end(&Arc::new(of)));
                }
                let mut runs = Vec::with_capacity(buffer.batches.len());
                for batch in buffer.batches.drain(..) {
                    let batches = batches.get_or_insert_with(|| Sources::new(batch.schema_ref()));
                    runs.push(Run { batch: batches.len(), rows: 0..batch.num_rows() });
                    batches.push(&batch)?;
                }
                settled.add(file, &mut runs, bytes);
            }
            chunks.extend(batches.and_then(|of| settled.end(&Arc::new(of))));
            let Some(pool) = self.pools.remove(&table) else { continue };
            let Some(of) = pool.batches else { continue };
            let mut pooled = ChunkBuilder::default();
            for (file, buffer) in self.buffers.iter_mut().filter(|(file, _)| file.table == table) {
                let bytes = std::mem::take(&mut buffer.pooled_bytes);
                if pooled.is_full_for(bytes) {
                    chunks.extend(pooled.end(&of));
                }
                pooled.add(file, &mut buffer.runs, bytes);
            }
            chunks.extend(pooled.end(&of));
        }
        Ok(chunks)
    }

    /// Takes note of a chunk of [`Due::Spill`] that was written.
    pub fn spilled(&mut self, chunk: SpillChunk, receipt: SpillReceipt) {
        for (file, spilled) in chunk.spilled(receipt) {
            let buffer = self.buffers.entry(file).or_default();
            buffer.spilled_bytes += spilled.bytes;
            buffer.spilled.push(spilled);
        }
    }

    /// Takes all rows of the next file, in the order of files, as a row group. Returns `None` when
    /// there are no more rows.
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

    /// Iterates over the files that rows wait for.
    pub fn files(&self) -> impl Iterator<Item = &FileKey> {
        self.buffers.keys()
    }

    /// Returns the Arrow bytes that wait for `file`, spilled ones included.
    #[must_use]
    pub fn bytes_of(&self, file: &FileKey) -> usize {
        self.buffers.get(file).map_or(0, Buffer::bytes)
    }

    /// Returns the Arrow bytes that wait for the file with the most of them, spilled ones included.
    #[must_use]
    pub fn largest_bytes(&self) -> usize {
        self.buffers.values().map(Buffer::bytes).max().unwrap_or(0)
    }

    /// Returns the number of extents that hold the spilled rows of the file with the most of them.
    #[must_use]
    pub fn most_extents(&self) -> usize {
        self.buffers.values().map(|buffer| buffer.spilled.len()).max().unwrap_or(0)
    }

    /// Returns the Arrow bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.settled_bytes + self.pools.values().map(|pool| pool.bytes).sum::<usize>()
    }

    fn take(&mut self, file: &FileKey) -> Option<RowGroup> {
        let buffer = self.buffers.remove(file)?;
        self.settled_bytes -= buffer.settled_bytes;
        let bytes = buffer.bytes();
        let Buffer { batches: settled, runs, spilled, .. } = buffer;
        let mut pooled = None;
        if let (false, Some(pool)) = (runs.is_empty(), self.pools.get_mut(&file.table)) {
            pooled = pool.batches.clone().map(|batches| (batches, runs));
            pool.remove_file();
        }
        let any = !settled.is_empty() || !spilled.is_empty() || pooled.is_some();
        any.then(|| RowGroup { file: file.clone(), spilled, bytes, settled, pooled })
    }

    /// Copies each file's rows out of the table's pool.
    fn settle(&mut self, table: TableId) -> Result<(), ArrowError> {
        let pool = self.pools.remove(&table).unwrap_or_default();
        for (_, buffer) in self.buffers.iter_mut().filter(|(file, _)| file.table == table) {
            let runs = std::mem::take(&mut buffer.runs);
            buffer.pooled_bytes = 0;
            let batches = pool.batches.as_ref().filter(|_| !runs.is_empty());
            if let Some(batch) = batches.map(|batches| batches.gather(&runs)).transpose()? {
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
    let why = "a row group or a spill chunk was not dropped before the next rows were pushed";
    ArrowError::InvalidArgumentError(why.to_owned())
}

#[cfg(test)]
mod tests;
