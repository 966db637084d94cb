//! Readers that leave out row groups and pages find the same rows: what files say of their values against the
//! values, in the ways in which readers use it.

use std::fs::File;
use std::ops::Range;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::PageIndexPolicy;

use super::column_tests::{COLUMNS, SCHEMA, batches};
use super::tests::folded;
use super::*;
use crate::columnar::folded::unfold;
use crate::search::{Dice, inputs};

/// A value as it is compared.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Value {
    Text(Vec<u8>),
    Long(i64),
    Double(f64),
    Flag(bool),
}

fn values(array: &ArrayRef) -> Vec<Option<Value>> {
    let value = |row: usize| match array.data_type() {
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).into()),
        DataType::Binary => Value::Text(array.as_binary::<i32>().value(row).into()),
        DataType::Int64 => Value::Long(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Value::Flag(array.as_boolean().value(row)),
        _ => Value::Long(array.as_primitive::<TimestampMicrosecondType>().value(row)),
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| value(row))).collect()
}

/// A condition on a column.
#[derive(Clone, Copy, Debug)]
enum Condition {
    Null,
    NotNull,
    Equal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

const CONDITIONS: [Condition; 7] = [
    Condition::Null,
    Condition::NotNull,
    Condition::Equal,
    Condition::Less,
    Condition::AtMost,
    Condition::Greater,
    Condition::AtLeast,
];

/// The statements of a file about some rows, in its statistics or its index of pages.
#[derive(Debug)]
struct Said {
    rows: usize,
    nulls: Option<u64>,
    bounds: [Option<Value>; 2],
}

impl Condition {
    fn holds(self, value: Option<&Value>, with: &Value) -> bool {
        let Some(value) = value else { return matches!(self, Condition::Null) };
        match self {
            Condition::Null => false,
            Condition::NotNull => true,
            Condition::Equal => value == with,
            Condition::Less => value < with,
            Condition::AtMost => value <= with,
            Condition::Greater => value > with,
            Condition::AtLeast => value >= with,
        }
    }

    /// Returns whether it may hold for one of some rows.
    fn may_hold(self, said: &Said, with: &Value) -> bool {
        let [least, most] = &said.bounds;
        let begins = |is_so: fn(&Value, &Value) -> bool| {
            least.as_ref().is_none_or(|least| is_so(least, with))
        };
        let ends =
            |is_so: fn(&Value, &Value) -> bool| most.as_ref().is_none_or(|most| is_so(most, with));
        let has_values = said.nulls.is_none_or(|nulls| nulls < said.rows as u64);
        match self {
            Condition::Null => said.nulls != Some(0),
            _ if !has_values => false,
            Condition::NotNull => true,
            Condition::Equal => begins(Value::le) && ends(Value::ge),
            Condition::Less => begins(Value::lt),
            Condition::AtMost => begins(Value::le),
            Condition::Greater => ends(Value::gt),
            Condition::AtLeast => ends(Value::ge),
        }
    }
}

fn may_have(filter: &Sbbf, value: &Value) -> bool {
    match value {
        Value::Text(text) => filter.check(text.as_slice()),
        Value::Long(long) => filter.check(long),
        Value::Double(double) => filter.check(double),
        Value::Flag(_) => true,
    }
}

fn open(path: &Path) -> ParquetRecordBatchReaderBuilder<File> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let file = File::open(path).unwrap();
    ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap()
}

/// The rows that a reader finds, with the types of the table.
fn read(file: ParquetRecordBatchReaderBuilder<File>, table: &SchemaRef) -> RecordBatch {
    let schema = Arc::clone(file.schema());
    let batches: Vec<RecordBatch> = file.build().unwrap().map(Result::unwrap).collect();
    let all = concat_batches(&schema, &batches).unwrap();
    let columns = all.columns().iter().zip(table.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap());
    RecordBatch::try_new(Arc::clone(table), columns.collect()).unwrap()
}

/// How many rows of a column a reader leaves out by each means, over all conditions.
#[derive(Debug, Default)]
struct LeftOut {
    by_statistics: usize,
    by_filter: usize,
    by_pages: usize,
}

/// Holds what a file says of the column `name` against its values in each row group, for some values.
fn check(
    path: &Path,
    name: &str,
    of_groups: &[Vec<Option<Value>>],
    dice: &mut Dice,
    left_out: &mut LeftOut,
) -> Vec<bool> {
    let file = open(path);
    let (metadata, schema) = (file.metadata(), file.schema());
    let converter = StatisticsConverter::try_new(name, schema, file.parquet_schema()).unwrap();
    let at = converter.parquet_column_index().unwrap();
    let groups = metadata.row_groups();
    assert_eq!(groups.len(), of_groups.len());
    let [mins, maxes] = [
        values(&converter.row_group_mins(groups).unwrap()),
        values(&converter.row_group_maxes(groups).unwrap()),
    ];
    let nulls = converter.row_group_null_counts(groups).unwrap();
    let mut constants: Vec<Value> = Vec::new();
    for of_group in of_groups {
        for _ in 0..6 {
            constants.extend(of_group[dice.below(of_group.len() as u64) as usize].clone());
        }
    }
    match constants.first() {
        Some(Value::Double(_)) => constants.extend([0.0, -0.0, f64::NAN].map(Value::Double)),
        Some(Value::Long(n)) => constants.extend([n + 1, 0, i64::MAX].map(Value::Long)),
        Some(Value::Text(text)) => {
            let more = [text.as_slice(), b"0"].concat();
            let start = text[..text.len() / 2].to_vec();
            constants.extend([more, start].map(Value::Text));
        }
        Some(Value::Flag(_)) => constants.extend([true, false].map(Value::Flag)),
        None => constants.push(Value::Long(1)),
    }
    let one = (CONDITIONS[dice.below(7) as usize], dice.below(constants.len() as u64) as usize);
    let mut is_selected = Vec::new();
    for (group, of_group) in of_groups.iter().enumerate() {
        let column = groups[group].column(at);
        assert_eq!(column.num_values() as usize, of_group.len());
        let filter = file.get_row_group_column_bloom_filter(group, at).unwrap();
        let said_of_group = Said {
            rows: of_group.len(),
            nulls: nulls.is_valid(group).then(|| nulls.value(group)),
            bounds: [mins[group].clone(), maxes[group].clone()],
        };
        let pages = pages(&file, &converter, group, at);
        let may_hold = |said: &Said| one.0.may_hold(said, &constants[one.1]);
        let of_pages = pages.iter().flatten();
        let of_pages: Vec<(usize, bool)> = of_pages
            .map(|(rows, said)| (rows.len(), may_hold(said) && may_hold(&said_of_group)))
            .collect();
        let of_group_alone = vec![(of_group.len(), may_hold(&said_of_group))];
        let selected = if of_pages.is_empty() { of_group_alone } else { of_pages };
        is_selected
            .extend(selected.into_iter().flat_map(|(rows, is)| std::iter::repeat_n(is, rows)));
        for with in &constants {
            let is_in_filter = filter.as_ref().is_none_or(|filter| may_have(filter, with));
            for condition in CONDITIONS {
                let holds = |value: &Option<Value>| condition.holds(value.as_ref(), with);
                let count =
                    |range: Range<usize>| of_group[range].iter().filter(|v| holds(v)).count();
                let told = || format!("{name}, row group {group}, {condition:?} {with:?}");
                if !condition.may_hold(&said_of_group, with) {
                    assert_eq!(count(0..of_group.len()), 0, "{}: {said_of_group:?}", told());
                    left_out.by_statistics += of_group.len();
                }
                if matches!(condition, Condition::Equal) && !is_in_filter {
                    assert_eq!(count(0..of_group.len()), 0, "{}: filter", told());
                    left_out.by_filter += of_group.len();
                }
                for (rows, said) in pages.iter().flatten() {
                    if !condition.may_hold(said, with) {
                        assert_eq!(count(rows.clone()), 0, "{}: {rows:?} {said:?}", told());
                        left_out.by_pages += rows.len();
                    }
                }
            }
        }
    }
    is_selected
}

/// The rows of each page of a column, and what the index says of them; `None` if there is none.
fn pages(
    file: &ParquetRecordBatchReaderBuilder<File>,
    converter: &StatisticsConverter<'_>,
    group: usize,
    at: usize,
) -> Option<Vec<(Range<usize>, Said)>> {
    let metadata = file.metadata();
    let index = metadata.page_index()?;
    let places = index.offset_index(group, at)?.page_locations();
    let column_index = index.column_index(group, at)?;
    let rows = metadata.row_group(group).num_rows() as usize;
    let first = |page: usize| places.get(page).map_or(rows, |place| place.first_row_index as usize);
    let all = [group];
    let [mins, maxes] = [
        values(&converter.data_page_mins(&**index, &all).unwrap()),
        values(&converter.data_page_maxes(&**index, &all).unwrap()),
    ];
    let nulls = converter.data_page_null_counts(&**index, &all).unwrap();
    assert_eq!(mins.len(), places.len());
    let pages = (0..places.len()).map(|page| {
        let rows = first(page)..first(page + 1);
        assert_eq!(column_index.is_null_page(page), mins[page].is_none());
        let nulls = nulls.is_valid(page).then(|| nulls.value(page));
        (
            rows.clone(),
            Said { rows: rows.len(), nulls, bounds: [mins[page].clone(), maxes[page].clone()] },
        )
    });
    Some(pages.collect())
}

#[test]
fn nothing_that_a_condition_holds_for_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Arc::new(TableSchema::parse(SCHEMA).unwrap());
    let mut left_out = LeftOut::default();
    for seed in 0..inputs(6) {
        let mut dice = Dice(seed);
        let encodings =
            [Encodings::Delta, Encodings::Split, Encodings::Plain][dice.below(3) as usize];
        let codec =
            [Compression::Zstd(1), Compression::Snappy, Compression::Lz4, Compression::None]
                [dice.below(4) as usize];
        let form = FileForm { encodings, ..FileForm::from(codec) };
        let is_flat = dice.one_in(3);
        let layout = match is_flat {
            true => Layout::flat(&schema, form, &[], COLUMNS).unwrap(),
            false => Layout::new(&schema, form, &[]).unwrap(),
        };
        let table = schema.arrow();
        let path = dir.path().join(format!("{seed}.parquet"));
        let mut encoder = Encoder::create(&path, &layout).unwrap();
        let mut groups = Vec::new();
        for _ in 0..1 + dice.below(4) {
            let rows = [1, 40, 3_000, 50_000][dice.below(4) as usize] + dice.below(9) as usize;
            let mut of = batches(&table, rows, &mut dice);
            if is_flat {
                let times = 1 + dice.below(9) as usize;
                of.iter_mut().for_each(|batch| *batch = folded(batch, COLUMNS, times));
            }
            encoder.row_group(&of).unwrap();
            of.iter_mut()
                .filter(|_| is_flat)
                .for_each(|batch| *batch = unfold(batch, &table).unwrap());
            groups.push(concat_batches(&table, &of).unwrap());
        }
        encoder.finish().unwrap();
        let all = concat_batches(&table, &groups).unwrap();
        let found = read(open(&path), &table);
        for (at, field) in table.fields().iter().enumerate() {
            assert!(found.column(at) == all.column(at), "seed {seed}, {}", field.name());
        }
        for at in 0..COLUMNS {
            let name = table.field(at).name();
            let of_groups: Vec<_> = groups.iter().map(|of| values(of.column(at))).collect();
            let is_selected = check(&path, name, &of_groups, &mut dice, &mut left_out);
            let selected = is_selected.chunk_by(|a, b| a == b).map(|rows| match rows[0] {
                true => RowSelector::select(rows.len()),
                false => RowSelector::skip(rows.len()),
            });
            let selection = RowSelection::from_iter(selected);
            let found = read(open(&path).with_row_selection(selection), &table);
            let wanted = filter_record_batch(&all, &is_selected.into()).unwrap();
            assert!(found == wanted, "seed {seed}, rows by {name}");
        }
    }
    let LeftOut { by_statistics, by_filter, by_pages } = left_out;
    assert!(by_statistics > 0 && by_filter > 0 && by_pages > 0);
}

/// Readers look for the bits of a value, and take zeros for equal.
#[test]
fn either_zero_finds_the_other_in_a_filter() {
    let dir = tempfile::tempdir().unwrap();
    let schema = TableSchema::parse(SCHEMA).unwrap();
    let layout = Layout::new(&schema, Compression::None, &[]).unwrap();
    let at = layout.batches.index_of("price").unwrap();
    for (number, zero) in [0.0, -0.0].into_iter().enumerate() {
        let parts = batches(&layout.batches, 9, &mut Dice(1));
        let batch = concat_batches(&layout.batches, &parts).unwrap();
        let mut columns = batch.columns().to_vec();
        columns[at] = Arc::new(arrow::array::Float64Array::from(vec![zero; batch.num_rows()]));
        let batch = RecordBatch::try_new(Arc::clone(&layout.batches), columns).unwrap();
        let path = dir.path().join(format!("{number}.parquet"));
        let mut encoder = Encoder::create(&path, &layout).unwrap();
        encoder.row_group(&[batch]).unwrap();
        encoder.finish().unwrap();
        let filter = open(&path).get_row_group_column_bloom_filter(0, at).unwrap().unwrap();
        assert!(filter.check(&0.0_f64) && filter.check(&-0.0_f64));
        assert!(!filter.check(&1.0_f64));
    }
}

/// `parquet-java` parses who wrote a file: `(.+) version ((.*) )?\(build ?(.*)\)`.
#[test]
fn java_readers_can_parse_who_wrote_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let schema = TableSchema::parse(SCHEMA).unwrap();
    let layout = Layout::new(&schema, Compression::None, &[]).unwrap();
    let path = dir.path().join("a.parquet");
    let mut encoder = Encoder::create(&path, &layout).unwrap();
    encoder.row_group(&batches(&layout.batches, 3, &mut Dice(1))).unwrap();
    encoder.finish().unwrap();
    let file = open(&path);
    let created_by = file.metadata().file_metadata().created_by().unwrap();
    let version = created_by.strip_prefix("sessionlake version ").unwrap();
    assert_eq!(version, concat!(env!("CARGO_PKG_VERSION"), " (build n/a)"));
}
