//! Files of random columns, nulls at every level, against what was written and against the library's writer.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, MapArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;

use super::choice::ENCODINGS;
use super::*;
use crate::search::{Dice, inputs};

const SCHEMA: &str = r#"{"type": "record", "name": "t", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null, "bloom": true},
    {"name": "long", "type": ["null", "long"], "default": null},
    {"name": "double", "type": ["null", "double"], "default": null},
    {"name": "flag", "type": ["null", "boolean"], "default": null},
    {"name": "time", "default": null,
     "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
    {"name": "texts", "type": ["null", {"type": "array", "items": ["null", "string"]}], "default": null},
    {"name": "tags", "type": ["null", {"type": "map", "values": ["null", "string"]}], "default": null},
    {"name": "sums", "type": ["null", {"type": "map", "values": ["null", "long"]}], "default": null},
    {"name": "one", "default": null, "type": ["null", {"type": "record", "name": "one", "fields": [
        {"name": "a", "type": ["null", "string"], "default": null},
        {"name": "b", "type": ["null", {"type": "array", "items": ["null", "long"]}], "default": null}]}]},
    {"name": "actions", "default": null, "type": ["null", {"type": "array", "items":
        ["null", {"type": "record", "name": "action", "fields": [
        {"name": "name", "type": ["null", "string"], "default": null},
        {"name": "n", "type": ["null", "long"], "default": null},
        {"name": "x", "type": ["null", "double"], "default": null},
        {"name": "ok", "type": ["null", "boolean"], "default": null},
        {"name": "at", "default": null,
         "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "none", "type": ["null", "string"], "default": null},
        {"name": "properties", "default": null, "type": ["null", {"type": "array", "items":
            ["null", {"type": "record", "name": "property", "fields": [
            {"name": "key", "type": ["null", "string"], "default": null},
            {"name": "value", "type": ["null", "double"], "default": null},
            {"name": "never", "type": ["null", "long"], "default": null}]}]}]}]}]}]}
]}"#;

/// How the values of one column are spread.
struct Spread {
    /// Tenths of nulls.
    nulls: u64,
    /// Number of distinct values.
    distinct: u64,
    /// Values ascend.
    is_sorted: bool,
    text_bytes: usize,
}

impl Spread {
    fn any(dice: &mut Dice) -> Spread {
        Spread {
            nulls: [0, 0, 1, 5, 9, 10][dice.below(6) as usize],
            distinct: [1, 2, 40, 3_000, 1 << 40][dice.below(5) as usize],
            is_sorted: dice.one_in(3),
            text_bytes: [0, 3, 20, 70][dice.below(4) as usize],
        }
    }

    fn validity(&self, dice: &mut Dice, len: usize) -> Option<NullBuffer> {
        (self.nulls > 0).then(|| (0..len).map(|_| dice.below(10) >= self.nulls).collect())
    }

    fn numbers(&self, dice: &mut Dice, len: usize) -> Vec<u64> {
        let mut last = 0;
        let mut next = |_| {
            last = match self.is_sorted {
                true => last + dice.below(3).min(self.distinct),
                false => dice.below(self.distinct),
            };
            last
        };
        (0..len).map(&mut next).collect()
    }
}

/// Returns a random array of a type. Elements below nulls have values that nobody may see.
fn array(field: &FieldRef, len: usize, dice: &mut Dice) -> ArrayRef {
    let spread = Spread::any(dice);
    let valid = if field.is_nullable() { spread.validity(dice, len) } else { None };
    let extreme = dice.one_in(4);
    match field.data_type() {
        DataType::Utf8 => {
            let text = |n: u64| format!("{}{n}", "ä/".repeat(spread.text_bytes / 3));
            let numbers = spread.numbers(dice, len);
            let texts = StringArray::from_iter_values(numbers.into_iter().map(text));
            Arc::new(StringArray::new(texts.offsets().clone(), texts.values().clone(), valid))
        }
        DataType::Int64 => {
            let long = |n: u64| match n % 90 {
                0 if extreme => i64::MIN,
                1 if extreme => i64::MAX,
                _ => n as i64 - 20,
            };
            let longs = spread.numbers(dice, len).into_iter().map(long);
            Arc::new(Int64Array::new(longs.collect(), valid))
        }
        DataType::Timestamp(..) => {
            let times = spread.numbers(dice, len).into_iter();
            let times = times.map(|n| (n as i64).wrapping_mul(1000) + (1 << 50));
            let times = TimestampMicrosecondArray::new(times.collect(), valid);
            Arc::new(times.with_timezone("UTC"))
        }
        DataType::Float64 => {
            let double = |n: u64| match n % 70 {
                0 if extreme => f64::NAN,
                1 if extreme => -0.0,
                _ => n as f64 / 8.0 - 3.0,
            };
            let doubles = spread.numbers(dice, len).into_iter().map(double);
            Arc::new(Float64Array::new(doubles.collect(), valid))
        }
        DataType::Boolean => {
            let flags = spread.numbers(dice, len).into_iter().map(|n| n % 2 == 1);
            Arc::new(BooleanArray::new(flags.collect(), valid))
        }
        DataType::Struct(members) => {
            let of = members.iter().map(|member| array(member, len, dice)).collect();
            Arc::new(StructArray::new(members.clone(), of, valid))
        }
        DataType::List(element) => {
            let offsets = offsets(len, dice);
            let elements = array(element, offsets[len] as usize, dice);
            Arc::new(ListArray::new(Arc::clone(element), offsets, elements, valid))
        }
        DataType::Map(entries, _) => {
            let offsets = offsets(len, dice);
            let entries_of = array(entries, offsets[len] as usize, dice);
            let of = entries_of.as_any().downcast_ref::<StructArray>().unwrap().clone();
            Arc::new(MapArray::new(Arc::clone(entries), offsets, of, valid, false))
        }
        other => panic!("{other}"),
    }
}

fn offsets(len: usize, dice: &mut Dice) -> OffsetBuffer<i32> {
    let most = [1, 2, 4, 9][dice.below(4) as usize];
    let lengths = (0..len).map(|_| if dice.one_in(200) { 60 } else { dice.below(most) as usize });
    OffsetBuffer::from_lengths(lengths.collect::<Vec<_>>())
}

/// A batch of random rows; now and then it is a part of a larger one, so that its arrays do not begin at 0.
fn batch(schema: &SchemaRef, rows: usize, dice: &mut Dice) -> RecordBatch {
    let (before, after) = if dice.one_in(2) { (dice.below(9) as usize, 5) } else { (0, 0) };
    let columns = schema.fields().iter().map(|field| array(field, before + rows + after, dice));
    let all = RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap();
    all.slice(before, rows)
}

fn open(path: &Path) -> ParquetRecordBatchReaderBuilder<File> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    ParquetRecordBatchReaderBuilder::try_new_with_options(File::open(path).unwrap(), options)
        .unwrap()
}

/// The rows of a file, with the types of the table.
fn read(path: &Path, table: &SchemaRef, selection: Option<RowSelection>) -> RecordBatch {
    let mut reader = open(path);
    let schema = Arc::clone(reader.schema());
    if let Some(selection) = selection {
        reader = reader.with_row_selection(selection);
    }
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let all = concat_batches(&schema, &batches).unwrap();
    let columns = all.columns().iter().zip(table.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap());
    RecordBatch::try_new(Arc::clone(table), columns.collect()).unwrap()
}

/// The statistics in a footer, but for sizes.
fn said(path: &Path) -> FileStatistics {
    let mut all = FileStatistics::of(open(path).metadata());
    all.columns.iter_mut().for_each(|column| column.compressed_bytes = 0);
    all
}

#[test]
fn random_files_are_read_as_they_were_written_and_described_as_by_the_library() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Arc::new(TableSchema::parse(SCHEMA).unwrap());
    let forms = [Encodings::Delta, Encodings::Split, Encodings::Plain]
        .map(|encodings| FileForm { encodings, ..FileForm::from(Compression::Zstd(1)) });
    let layouts = forms.map(|form| Layout::new(&schema, form, &[]).unwrap());
    let mut written = BTreeSet::new();
    for seed in 0..inputs(40) {
        let mut dice = Dice(seed);
        let layout = &layouts[dice.below(3) as usize];
        let table = &layout.batches;
        // Chance takes the place of a trial now and then, for encodings that a column has.
        for leaf in layout.columns.iter().flat_map(|column| &column.leaves) {
            if dice.one_in(2) {
                leaf.memory().keep(ENCODINGS[dice.below(6) as usize]);
            }
        }
        // Pages are full at 20,000 rows.
        let most = if seed % 20 == 7 { 21_000 } else { [3, 60, 900][dice.below(3) as usize] };
        let batches: Vec<RecordBatch> = (0..1 + dice.below(3))
            .map(|_| {
                let rows = dice.below(most) as usize + usize::from(most > 3);
                batch(table, rows, &mut dice)
            })
            .collect();
        let all = concat_batches(table, &batches).unwrap();
        if all.num_rows() == 0 {
            continue;
        }
        let (ours, theirs) = (dir.path().join(format!("{seed}")), dir.path().join("theirs"));
        let mut encoder = Encoder::create(&ours, layout).unwrap();
        write_columns(&mut encoder.writer, layout, &batches).unwrap();
        encoder.finish().unwrap();
        let file = File::create(&theirs).unwrap();
        let named = WriterProperties::builder().set_coerce_types(true).build();
        let mut writer = ArrowWriter::try_new(file, Arc::clone(table), Some(named)).unwrap();
        writer.write(&all).unwrap();
        writer.close().unwrap();

        let found = read(&ours, table, None);
        for (at, field) in table.fields().iter().enumerate() {
            let (found, wanted) = (found.column(at), all.column(at));
            assert!(found == wanted, "seed {seed}, {}: {found:?} {wanted:?}", field.name());
        }
        let (skip, take) = (all.num_rows() / 3, all.num_rows() / 2);
        let some = vec![RowSelector::skip(skip), RowSelector::select(take)];
        let part = read(&ours, table, Some(RowSelection::from(some)));
        assert!(part == read(&theirs, table, None).slice(skip, take), "seed {seed}");
        let (ours_said, theirs_said) = (said(&ours), said(&theirs));
        for (ours, theirs) in ours_said.columns.iter().zip(&theirs_said.columns) {
            assert_eq!(ours, theirs, "seed {seed}");
        }
        assert_eq!(ours_said.columns.len(), theirs_said.columns.len(), "seed {seed}");
        let of = |path: &Path| {
            let metadata = open(path).metadata().row_group(0).columns().to_vec();
            let of = |column: &ColumnChunkMetaData| {
                (column.num_values(), column.statistics().and_then(|of| of.null_count_opt()))
            };
            metadata.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(of(&ours), of(&theirs), "seed {seed}");
        let groups = open(&ours).metadata().row_group(0).columns().to_vec();
        written.extend(groups.iter().flat_map(ColumnChunkMetaData::encodings));
        std::fs::remove_file(&ours).unwrap();
    }
    assert!(ENCODINGS.iter().all(|encoding| written.contains(encoding)), "{written:?}");
}
