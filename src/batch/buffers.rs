//! Decoded rows that are not yet encoded, under one budget.
//!
//! ```text
//!  batch ─ rows of one file ────────────────────▶ settled: batches of that file ─┐
//!      └── rows of several ─▶ pool ─ gathered ──▶                               ├─▶ row group
//!                               └─ gathered when the file is handed out ─────────┘
//! ```
//! A batch whose rows go to several files waits in its table's pool, whole, and each file knows
//! which of its rows are its own. They are copied once, many batches at a time: into the row group
//! when the file is handed out, or, when the pool has grown, into a batch of each file. So neither
//! the copying nor the writer ever works on a handful of rows because the input was mixed.
//!
//! A file that has grown to a row group is handed out to be encoded. When all together pass the
//! budget, the largest are handed out early until there is room again, so that hundreds of open
//! partitions cost smaller row groups and not more memory. Rows of a file keep their order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::gather::{Run, gather};
use super::route::Routed;

/// Names a file of the open roll: a table and a partition of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The table.
    pub table: Arc<str>,
    /// Hive path of the partition; empty for none.
    pub partition: String,
}

/// Rows to be written to a file as one row group.
#[derive(Debug)]
pub struct RowGroup {
    /// The file.
    pub file: FileKey,
    /// The rows, in order.
    pub batches: Vec<RecordBatch>,
    /// Arrow bytes of the rows.
    pub bytes: usize,
}

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
    /// Their part of the pool's bytes, as far as rows are alike.
    pooled_bytes: usize,
}

impl Buffer {
    fn bytes(&self) -> usize {
        self.settled_bytes + self.pooled_bytes
    }
}

/// Batches with rows of several files.
#[derive(Debug, Default)]
struct Pool {
    batches: Vec<RecordBatch>,
    bytes: usize,
    /// Files that have rows in it.
    files: usize,
}

/// The buffers of the open roll.
#[derive(Debug)]
pub struct Buffers {
    row_group_bytes: usize,
    budget_bytes: usize,
    buffers: BTreeMap<FileKey, Buffer>,
    pools: BTreeMap<Arc<str>, Pool>,
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
    pub fn push(&mut self, table: &Arc<str>, batch: RecordBatch, routed: Vec<Routed>) {
        let bytes = held_bytes(&batch);
        let rows = batch.num_rows().max(1);
        let pool = self.pools.entry(Arc::clone(table)).or_default();
        let key = |partition| FileKey { table: Arc::clone(table), partition };
        let alone = routed.len() == 1;
        let at = pool.batches.len();
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
            let count: usize = runs.iter().map(Range::len).sum();
            buffer.pooled_bytes += (bytes / rows).saturating_mul(count);
            buffer.runs.extend(runs.into_iter().map(|rows| Run { batch: at, rows }));
        }
        if pooled {
            pool.batches.push(batch);
            pool.bytes += bytes;
        }
    }

    /// A row group that should be encoded now, if there is one. Ask until there is none.
    ///
    /// # Errors
    /// [`gather`]'s.
    pub fn due(&mut self) -> Result<Option<RowGroup>, ArrowError> {
        self.relieving |= self.bytes() > self.budget_bytes;
        let largest = self.buffers.iter().max_by_key(|(_, b)| b.bytes());
        if let Some((file, largest)) = largest {
            let waiting = || self.buffers.values().map(Buffer::bytes).sum::<usize>();
            let relieve = self.relieving && waiting() > self.budget_bytes / 4 * 3;
            if largest.bytes() > 0 && (relieve || largest.bytes() >= self.row_group_bytes) {
                let file = file.clone();
                return self.take(&file);
            }
        }
        // What is left are the small ones: once out of the pool, they take no more than their own.
        let relieving = std::mem::take(&mut self.relieving);
        let tables: Vec<Arc<str>> = self.pools.keys().cloned().collect();
        for table in tables {
            let Some(pool) = self.pools.get(&table) else { continue };
            let share = SHARE_BYTES.saturating_mul(pool.files).min(self.budget_bytes / 2);
            if pool.bytes > 0 && (relieving || pool.bytes >= share.max(POOL_BYTES)) {
                self.settle(&table)?;
            }
        }
        Ok(None)
    }

    /// All rows that wait, a row group a file: the roll takes them one after the other, so that
    /// only one of them is copied out of the pool at a time. Ask until there is none.
    ///
    /// # Errors
    /// [`gather`]'s.
    pub fn drain(&mut self) -> Result<Option<RowGroup>, ArrowError> {
        while let Some(file) = self.buffers.keys().next().cloned() {
            let group = self.take(&file)?;
            self.buffers.remove(&file);
            if group.is_some() {
                return Ok(group);
            }
        }
        Ok(None)
    }

    /// The files that rows wait for.
    pub fn files(&self) -> impl Iterator<Item = &FileKey> {
        self.buffers.keys()
    }

    /// Arrow bytes that wait for `file`.
    #[must_use]
    pub fn bytes_of(&self, file: &FileKey) -> usize {
        self.buffers.get(file).map_or(0, Buffer::bytes)
    }

    /// Arrow bytes that wait for the file with the most of them.
    #[must_use]
    pub fn largest_bytes(&self) -> usize {
        self.buffers.values().map(Buffer::bytes).max().unwrap_or(0)
    }

    /// Arrow bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.settled_bytes + self.pools.values().map(|pool| pool.bytes).sum::<usize>()
    }

    fn take(&mut self, file: &FileKey) -> Result<Option<RowGroup>, ArrowError> {
        let Some(mut buffer) = self.buffers.remove(file) else { return Ok(None) };
        self.settled_bytes -= buffer.settled_bytes;
        let bytes = buffer.bytes();
        let runs = std::mem::take(&mut buffer.runs);
        if let (false, Some(pool)) = (runs.is_empty(), self.pools.get_mut(&file.table)) {
            buffer.batches.extend(copied(pool, &runs)?);
            pool.files -= 1;
            if pool.files == 0 {
                *pool = Pool::default();
            }
        }
        if buffer.batches.is_empty() {
            return Ok(None);
        }
        Ok(Some(RowGroup { file: file.clone(), batches: buffer.batches, bytes }))
    }

    /// Gives each file its rows out of the pool.
    fn settle(&mut self, table: &Arc<str>) -> Result<(), ArrowError> {
        let pool = self.pools.remove(table).unwrap_or_default();
        for (_, buffer) in self.buffers.iter_mut().filter(|(file, _)| file.table == *table) {
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

/// What an array takes besides its buffers: its struct, theirs, and what the allocator adds.
const ARRAY_BYTES: usize = 256;

/// Bytes of a batch in memory. With a handful of rows, most of it is not the rows.
fn held_bytes(batch: &RecordBatch) -> usize {
    let arrays = batch.schema_ref().flattened_fields().len();
    batch.get_array_memory_size() + arrays * ARRAY_BYTES
}

fn copied(pool: &Pool, runs: &[Run]) -> Result<Option<RecordBatch>, ArrowError> {
    let (Some(first), false) = (pool.batches.first(), runs.is_empty()) else { return Ok(None) };
    gather(&first.schema(), &pool.batches, runs).map(Some)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray as _, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn rows(n: usize) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        let column = Int64Array::from_iter_values(0..n as i64);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
    }

    fn push(buffers: &mut Buffers, partition: &str, n: usize) {
        let routed = Routed { partition: partition.into(), rows: std::iter::once(0..n).collect() };
        buffers.push(&"t".into(), rows(n), vec![routed]);
    }

    fn values(group: &RowGroup) -> Vec<i64> {
        let column =
            |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        group.batches.iter().flat_map(column).collect()
    }

    /// Rows in turn to each of the partitions.
    fn mixed(buffers: &mut Buffers, partitions: &[&str], n: usize) {
        let count = partitions.len();
        let routed = partitions.iter().enumerate().map(|(at, partition)| Routed {
            partition: (*partition).into(),
            rows: (at..n).step_by(count).map(|row| row..row + 1).collect(),
        });
        buffers.push(&"t".into(), rows(n), routed.collect());
    }

    fn key(partition: &str) -> FileKey {
        FileKey { table: "t".into(), partition: partition.into() }
    }

    #[test]
    fn a_full_row_group_is_due_and_others_wait() {
        let mut buffers = Buffers::new(8000, 1_000_000);
        push(&mut buffers, "a", 10);
        assert!(buffers.due().unwrap().is_none());
        push(&mut buffers, "b", 500);
        assert!(buffers.due().unwrap().is_none());
        push(&mut buffers, "b", 600);
        let due = buffers.due().unwrap().unwrap();
        assert_eq!(due.file, key("b"));
        assert_eq!(due.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1100);
        assert!(buffers.due().unwrap().is_none());
        assert!(buffers.bytes() < 8000);
    }

    #[test]
    fn past_the_budget_the_largest_goes_first_until_it_fits() {
        let mut buffers = Buffers::new(1_000_000, 20_000);
        for (partition, n) in [("a", 500), ("b", 1500), ("c", 1000)] {
            push(&mut buffers, partition, n);
        }
        assert_eq!(buffers.due().unwrap().unwrap().file, key("b"));
        assert!(buffers.due().unwrap().is_none());
        assert!(buffers.bytes() <= 20_000);
    }

    #[test]
    fn draining_hands_out_everything_once() {
        let mut buffers = Buffers::new(1_000_000, 1_000_000);
        push(&mut buffers, "b", 1);
        push(&mut buffers, "a", 2);
        push(&mut buffers, "a", 3);
        let groups: Vec<RowGroup> = std::iter::from_fn(|| buffers.drain().unwrap()).collect();
        let got: Vec<_> =
            groups.iter().map(|g| (g.file.partition.as_str(), g.batches.len())).collect();
        assert_eq!(got, [("a", 2), ("b", 1)]);
        assert_eq!(buffers.bytes(), 0);
        assert!(buffers.drain().unwrap().is_none());
    }

    #[test]
    fn rows_of_several_files_keep_their_order_through_pool_and_settling() {
        let mut buffers = Buffers::new(usize::MAX, usize::MAX);
        push(&mut buffers, "a", 2);
        mixed(&mut buffers, &["a", "b"], 5);
        assert!(buffers.due().unwrap().is_none());
        buffers.settle(&"t".into()).unwrap();
        mixed(&mut buffers, &["b", "c"], 4);
        // Alone, but behind rows that wait in the pool.
        push(&mut buffers, "b", 2);
        push(&mut buffers, "a", 1);
        let got: Vec<(String, Vec<i64>)> = std::iter::from_fn(|| buffers.drain().unwrap())
            .map(|group| (group.file.partition.clone(), values(&group)))
            .collect();
        let (a, b, c) = (vec![0, 1, 0, 2, 4, 0], vec![1, 3, 0, 2, 0, 1], vec![1, 3]);
        assert_eq!(got, [("a".into(), a), ("b".into(), b), ("c".into(), c)]);
        assert_eq!(buffers.bytes(), 0);
    }

    #[test]
    fn a_pool_past_the_budget_is_emptied() {
        let mut buffers = Buffers::new(usize::MAX, 20_000);
        let mut seen = 0;
        for _ in 0..20 {
            mixed(&mut buffers, &["a", "b", "c", "d"], 1000);
            while let Some(group) = buffers.due().unwrap() {
                seen += values(&group).len();
            }
            assert!(buffers.bytes() <= 20_000, "{} bytes", buffers.bytes());
        }
        while let Some(group) = buffers.drain().unwrap() {
            seen += values(&group).len();
        }
        assert_eq!(seen, 20_000);
    }
}
