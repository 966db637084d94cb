use arrow::array::{AsArray as _, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::*;
use crate::batch::Extent;

const TABLE: TableId = TableId::FIRST;

fn rows(n: usize) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
    let column = Int64Array::from_iter_values(0..n as i64);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
}

fn push(buffers: &mut Buffers, partition: &str, n: usize) {
    let routed =
        PartitionRows { partition: partition.into(), rows: std::iter::once(0..n).collect() };
    buffers.push(TABLE, rows(n), vec![routed]).unwrap();
}

fn values(group: &RowGroup) -> Vec<i64> {
    let column =
        |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    group.batches().unwrap().iter().flat_map(column).collect()
}

/// Rows in turn to each of the partitions.
fn mixed(buffers: &mut Buffers, partitions: &[&str], n: usize) {
    let count = partitions.len();
    let routed = partitions.iter().enumerate().map(|(at, partition)| PartitionRows {
        partition: (*partition).into(),
        rows: (at..n).step_by(count).map(|row| row..row + 1).collect(),
    });
    buffers.push(TABLE, rows(n), routed.collect()).unwrap();
}

/// The row group to be encoded; chunks to be spilled go to `spilled`.
fn due(buffers: &mut Buffers, spilled: &mut Vec<RecordBatch>) -> Option<RowGroup> {
    loop {
        match buffers.due().unwrap()? {
            Due::Encode(group) => return Some(group),
            Due::Spill(chunks) => {
                for chunk in chunks {
                    let rows = chunk.rows().unwrap();
                    let extent = Extent { offset: spilled.len() as u64, len: 1 };
                    let receipt = chunk.receipt(&rows, extent);
                    spilled.push(rows);
                    buffers.spilled(chunk, receipt);
                }
            }
        }
    }
}

/// The same, where nothing is spilled.
fn encode(buffers: &mut Buffers) -> Option<RowGroup> {
    let mut spilled = Vec::new();
    let group = due(buffers, &mut spilled);
    assert!(spilled.is_empty());
    group
}

fn key(partition: &str) -> FileKey {
    FileKey { table: TABLE, partition: partition.into() }
}

#[test]
fn a_full_row_group_is_due_and_others_wait() {
    let mut buffers = Buffers::new(8000, 1_000_000);
    push(&mut buffers, "a", 10);
    assert!(encode(&mut buffers).is_none());
    push(&mut buffers, "b", 500);
    assert!(encode(&mut buffers).is_none());
    push(&mut buffers, "b", 600);
    let due = encode(&mut buffers).unwrap();
    assert_eq!(due.file, key("b"));
    assert_eq!(due.batches().unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 1100);
    assert!(encode(&mut buffers).is_none());
    assert!(buffers.bytes() < 8000);
}

#[test]
fn past_the_budget_the_largest_goes_first_until_it_fits() {
    let mut buffers = Buffers::new(40_000, 20_000);
    for (partition, n) in [("a", 500), ("b", 1500), ("c", 1000)] {
        push(&mut buffers, partition, n);
    }
    assert_eq!(encode(&mut buffers).unwrap().file, key("b"));
    assert!(encode(&mut buffers).is_none());
    assert!(buffers.bytes() <= 20_000);
}

#[test]
fn draining_hands_out_everything_once() {
    let mut buffers = Buffers::new(1_000_000, 1_000_000);
    push(&mut buffers, "b", 1);
    push(&mut buffers, "a", 2);
    push(&mut buffers, "a", 3);
    let groups: Vec<RowGroup> = std::iter::from_fn(|| buffers.drain()).collect();
    let got: Vec<_> =
        groups.iter().map(|g| (g.file.partition.as_str(), g.batches().unwrap().len())).collect();
    assert_eq!(got, [("a", 2), ("b", 1)]);
    assert_eq!(buffers.bytes(), 0);
    assert!(buffers.drain().is_none());
}

#[test]
fn rows_of_several_files_keep_their_order_through_pool_and_settling() {
    let mut buffers = Buffers::new(usize::MAX, usize::MAX);
    push(&mut buffers, "a", 2);
    mixed(&mut buffers, &["a", "b"], 5);
    assert!(encode(&mut buffers).is_none());
    buffers.settle(TABLE).unwrap();
    mixed(&mut buffers, &["b", "c"], 4);
    // Alone, but behind rows that wait in the pool.
    push(&mut buffers, "b", 2);
    push(&mut buffers, "a", 1);
    let got: Vec<(String, Vec<i64>)> = std::iter::from_fn(|| buffers.drain())
        .map(|group| (group.file.partition.clone(), values(&group)))
        .collect();
    let (a, b, c) = (vec![0, 1, 0, 2, 4, 0], vec![1, 3, 0, 2, 0, 1], vec![1, 3]);
    assert_eq!(got, [("a".into(), a), ("b".into(), b), ("c".into(), c)]);
    assert_eq!(buffers.bytes(), 0);
}

/// All rows of each file, what was spilled in its place.
fn drained(buffers: &mut Buffers, spilled: &[RecordBatch]) -> BTreeMap<String, Vec<i64>> {
    let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    while let Some(mut group) = buffers.drain() {
        let of = |at: &SpilledRows| {
            spilled[at.extent.offset as usize].slice(at.rows.start, at.rows.len())
        };
        let first: Vec<RecordBatch> = group.spilled.iter().map(of).collect();
        group.settled.splice(0..0, first);
        let before = rows.insert(group.file.partition.clone(), values(&group));
        assert_eq!(before, None, "a file was handed out twice");
    }
    assert_eq!(buffers.bytes(), 0);
    rows
}

#[test]
fn files_too_many_for_row_groups_are_spilled_past_the_budget_and_keep_their_order() {
    let mut buffers = Buffers::new(1_000_000, 20_000);
    let (mut spilled, mut wanted) = (Vec::new(), BTreeMap::<String, Vec<i64>>::new());
    for _ in 0..20 {
        mixed(&mut buffers, &["a", "b", "c", "d"], 1000);
        push(&mut buffers, "d", 10);
        for (at, partition) in ["a", "b", "c", "d"].into_iter().enumerate() {
            wanted.entry(partition.into()).or_default().extend((at as i64..1000).step_by(4));
        }
        wanted.entry("d".into()).or_default().extend(0..10);
        assert!(due(&mut buffers, &mut spilled).is_none());
        assert!(buffers.bytes() <= 20_000, "{} bytes", buffers.bytes());
    }
    assert!(spilled.len() > 5, "{} chunks", spilled.len());
    assert_eq!(drained(&mut buffers, &spilled), wanted);
}

#[test]
fn a_file_whose_spilled_rows_come_to_a_row_group_is_due_with_them() {
    let mut buffers = Buffers::new(30_000, 12_000);
    let mut spilled = Vec::new();
    // Never an eighth of a row group at a time.
    let partitions = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let group = (0..100).find_map(|_| {
        mixed(&mut buffers, &partitions, 400);
        due(&mut buffers, &mut spilled)
    });
    let group = group.expect("a row group");
    assert!(group.bytes >= 30_000 / EARLY);
    assert!(!group.spilled.is_empty());
    let held: usize = group.spilled.iter().map(|spilled| spilled.bytes).sum();
    assert!(held <= group.bytes);
}
