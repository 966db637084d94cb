//! Decoded rows that are not yet encoded, under one budget.
//!
//! A buffer for each file of the open roll. A buffer that has grown to a row group is handed out
//! to be encoded; when all of them together pass the budget, the largest is handed out early, so
//! that hundreds of open partitions cost smaller row groups and not more memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

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

#[derive(Debug, Default)]
struct Buffer {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

/// The buffers of the open roll.
#[derive(Debug)]
pub struct Buffers {
    row_group_bytes: usize,
    budget_bytes: usize,
    buffers: BTreeMap<FileKey, Buffer>,
    bytes: usize,
}

impl Buffers {
    /// Empty buffers. A row group is handed out at `row_group_bytes`, and earlier while all
    /// buffers together hold more than `budget_bytes`.
    #[must_use]
    pub fn new(row_group_bytes: usize, budget_bytes: usize) -> Buffers {
        Buffers { row_group_bytes, budget_bytes, buffers: BTreeMap::new(), bytes: 0 }
    }

    /// Takes rows in.
    pub fn push(&mut self, file: FileKey, rows: RecordBatch) {
        let bytes = rows.get_array_memory_size();
        let buffer = self.buffers.entry(file).or_default();
        buffer.batches.push(rows);
        buffer.bytes += bytes;
        self.bytes += bytes;
    }

    /// A row group that should be encoded now, if there is one. Ask until there is none.
    pub fn due(&mut self) -> Option<RowGroup> {
        let (file, largest) = self.buffers.iter().max_by_key(|(_, b)| b.bytes)?;
        if largest.bytes == 0
            || (largest.bytes < self.row_group_bytes && self.bytes <= self.budget_bytes)
        {
            return None;
        }
        let file = file.clone();
        self.take(&file)
    }

    /// All rows that wait, a row group a file: the roll takes them.
    pub fn drain(&mut self) -> Vec<RowGroup> {
        let files: Vec<FileKey> = self.buffers.keys().cloned().collect();
        let groups = files.iter().filter_map(|file| self.take(file)).collect();
        self.buffers.clear();
        groups
    }

    /// The files that rows wait for.
    pub fn files(&self) -> impl Iterator<Item = &FileKey> {
        self.buffers.keys()
    }

    /// Arrow bytes that wait for `file`.
    #[must_use]
    pub fn bytes_of(&self, file: &FileKey) -> usize {
        self.buffers.get(file).map_or(0, |b| b.bytes)
    }

    /// Arrow bytes that wait for the file with the most of them.
    #[must_use]
    pub fn largest_bytes(&self) -> usize {
        self.buffers.values().map(|b| b.bytes).max().unwrap_or(0)
    }

    /// Arrow bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self, file: &FileKey) -> Option<RowGroup> {
        let buffer = self.buffers.remove(file).filter(|b| !b.batches.is_empty())?;
        self.bytes -= buffer.bytes;
        Some(RowGroup { file: file.clone(), batches: buffer.batches, bytes: buffer.bytes })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn rows(n: usize) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        let column = Int64Array::from_iter_values(0..n as i64);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
    }

    fn key(partition: &str) -> FileKey {
        FileKey { table: "t".into(), partition: partition.into() }
    }

    #[test]
    fn a_full_row_group_is_due_and_others_wait() {
        let mut buffers = Buffers::new(8000, 1_000_000);
        buffers.push(key("a"), rows(10));
        assert!(buffers.due().is_none());
        buffers.push(key("b"), rows(500));
        assert!(buffers.due().is_none());
        buffers.push(key("b"), rows(600));
        let due = buffers.due().unwrap();
        assert_eq!(due.file, key("b"));
        assert_eq!(due.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1100);
        assert!(buffers.due().is_none());
        assert!(buffers.bytes() < 8000);
    }

    #[test]
    fn past_the_budget_the_largest_goes_first_until_it_fits() {
        let mut buffers = Buffers::new(1_000_000, 20_000);
        for (partition, n) in [("a", 500), ("b", 1500), ("c", 1000)] {
            buffers.push(key(partition), rows(n));
        }
        assert_eq!(buffers.due().unwrap().file, key("b"));
        assert!(buffers.due().is_none());
        assert!(buffers.bytes() <= 20_000);
    }

    #[test]
    fn draining_hands_out_everything_once() {
        let mut buffers = Buffers::new(1_000_000, 1_000_000);
        buffers.push(key("b"), rows(1));
        buffers.push(key("a"), rows(2));
        buffers.push(key("a"), rows(3));
        let groups = buffers.drain();
        let got: Vec<_> =
            groups.iter().map(|g| (g.file.partition.as_str(), g.batches.len())).collect();
        assert_eq!(got, [("a", 2), ("b", 1)]);
        assert_eq!(buffers.bytes(), 0);
        assert!(buffers.drain().is_empty());
    }
}
