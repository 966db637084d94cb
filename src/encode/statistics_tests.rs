//! Statistics of finished files against full scans of their columns.

use std::collections::BTreeMap;
use std::fs::File;

use arrow::array::{
    ArrayRef, AsArray as _, BooleanArray, Float64Array, Int64Array, ListBuilder, StringArray,
    StringBuilder, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::columnar::statistics::{ColumnStatistics, Scalar};
use crate::search::Dice;

const SCHEMA: &str = r#"{"type": "record", "name": "t", "fields": [
    {"name": "text", "type": ["null", "string"], "default": null},
    {"name": "long", "type": ["null", "long"], "default": null},
    {"name": "double", "type": ["null", "double"], "default": null},
    {"name": "flag", "type": ["null", "boolean"], "default": null},
    {"name": "time", "default": null,
     "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
    {"name": "list", "type": ["null", {"type": "array", "items": "string"}], "default": null}
]}"#;

const COLUMNS: [&str; 5] = ["text", "long", "double", "flag", "time"];

fn some<T>(dice: &mut Dice, nulls: u64, value: impl FnOnce(&mut Dice) -> T) -> Option<T> {
    (dice.below(10) >= nulls).then(|| value(dice))
}

fn text(dice: &mut Dice) -> String {
    let units = ["a", "ä", "\u{7f}", "\u{0}", "z\u{10ffff}"];
    let unit = units[dice.below(units.len() as u64) as usize];
    let length = [1, 20, 63, 64, 65, 200][dice.below(6) as usize];
    let end = ["", "b", "\u{10ffff}"][dice.below(3) as usize];
    match dice.below(60) {
        0 => String::new(),
        // Has no greater prefix, so that the writer cannot truncate it as a maximum.
        1 => "\u{10ffff}".repeat(length),
        _ => unit.repeat(length) + end,
    }
}

fn double(dice: &mut Dice, nan: bool) -> f64 {
    match dice.below(8) {
        0 if nan => f64::NAN,
        1 if nan => -f64::NAN,
        2 => 0.0,
        3 => -0.0,
        4 => [f64::MIN, f64::MAX, f64::MIN_POSITIVE, 0.1 + 0.2][dice.below(4) as usize],
        _ => dice.below(1_000) as f64 / 7.0 - 50.0,
    }
}

/// Rows of every kind of value; in some batches a column has only some of them, or nulls alone.
fn batch(schema: &SchemaRef, dice: &mut Dice) -> RecordBatch {
    let rows = 1 + dice.below(40) as usize;
    let nulls = [0, 3, 10][dice.below(3) as usize];
    let nan = dice.one_in(2);
    let all_nan = dice.one_in(8);
    let mut list = ListBuilder::new(StringBuilder::new());
    for _ in 0..rows {
        for _ in 0..dice.below(3) {
            list.values().append_option(some(dice, 3, text));
        }
        list.append(dice.below(4) > 0);
    }
    let list = list.finish();
    let mut columns = BTreeMap::<&str, ArrayRef>::new();
    let mut all = |name, array: ArrayRef| columns.insert(name, array);
    let each = |dice: &mut Dice| (0..rows).map(|_| dice.roll()).map(Dice).collect::<Vec<_>>();
    let dices = each(dice);
    let texts = dices.into_iter().map(|mut dice| some(&mut dice, nulls, text));
    all("text", Arc::new(StringArray::from_iter(texts)));
    let dices = each(dice).into_iter();
    let longs = dices.map(|mut dice| {
        some(&mut dice, nulls, |dice| match dice.below(20) {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => dice.below(1 << 40) as i64 - (1 << 39),
        })
    });
    all("long", Arc::new(longs.collect::<Int64Array>()));
    let dices = each(dice).into_iter();
    let doubles = dices.map(|mut dice| {
        some(&mut dice, nulls, |dice| if all_nan { f64::NAN } else { double(dice, nan) })
    });
    all("double", Arc::new(doubles.collect::<Float64Array>()));
    let flags = each(dice).into_iter().map(|mut dice| some(&mut dice, nulls, |d| d.one_in(3)));
    all("flag", Arc::new(flags.collect::<BooleanArray>()));
    let times = each(dice).into_iter().map(|mut dice| {
        some(&mut dice, nulls, |dice| dice.below(1 << 52) as i64 * 1000 - (1 << 60) + 999)
    });
    let times = times.collect::<TimestampMicrosecondArray>().with_timezone("UTC");
    all("time", Arc::new(times));
    let column = |field: &arrow::datatypes::FieldRef| match field.name().as_str() {
        "list" => arrow::compute::cast(&list, field.data_type()).unwrap(),
        name => match columns.get(name) {
            Some(array) => arrow::compute::cast(array, field.data_type()).unwrap(),
            None if field.is_nullable() => new_null_array(field.data_type(), rows),
            // Lineage.
            None => {
                let numbers = Int64Array::from_iter_values(0..rows as i64);
                arrow::compute::cast(&numbers, field.data_type()).unwrap()
            }
        },
    };
    RecordBatch::try_new(Arc::clone(schema), schema.fields().iter().map(column).collect()).unwrap()
}

/// Every value of a column, the nulls as none.
fn scan(path: &Path, name: &str) -> Vec<Option<Scalar>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let batches = reader.build().unwrap().map(Result::unwrap);
    let values = batches.flat_map(|batch| {
        let array = Arc::clone(batch.column_by_name(name).unwrap());
        let value = |at| {
            array.is_valid(at).then(|| match array.data_type() {
                DataType::Utf8 => Scalar::Text(array.as_string::<i32>().value(at).to_owned()),
                DataType::Int64 => Scalar::Long(array.as_primitive::<Int64Type>().value(at)),
                DataType::Float64 => Scalar::Double(array.as_primitive::<Float64Type>().value(at)),
                DataType::Boolean => Scalar::Boolean(array.as_boolean().value(at)),
                DataType::Timestamp(_, _) => Scalar::TimestampMicros(
                    array.as_primitive::<TimestampMicrosecondType>().value(at),
                ),
                other => panic!("{other}"),
            })
        };
        (0..array.len()).map(value).collect::<Vec<_>>()
    });
    values.collect()
}

/// Panics unless `a` is at most `b`, in the strictest order that a reader may go by.
fn check_order(a: &Scalar, b: &Scalar) {
    let ordered = match (a, b) {
        (Scalar::Boolean(a), Scalar::Boolean(b)) => a <= b,
        (Scalar::Long(a), Scalar::Long(b)) => a <= b,
        (Scalar::Double(a), Scalar::Double(b)) => a.total_cmp(b).is_le(),
        (Scalar::TimestampMicros(a), Scalar::TimestampMicros(b)) => a <= b,
        (Scalar::Text(a), Scalar::Text(b)) => a.as_bytes() <= b.as_bytes(),
        _ => false,
    };
    assert!(ordered, "{a:?} is above {b:?}");
}

/// Holds `column` against the values of a full scan. Returns how many of its bounds are exact and
/// how many are not.
fn check(column: Option<&ColumnStatistics>, values: &[Option<Scalar>]) -> (usize, usize) {
    let Some(column) = column else {
        assert!(values.iter().all(Option::is_none), "a column with values is not listed");
        return (0, 0);
    };
    assert_eq!(column.values, values.len() as u64);
    assert_eq!(column.nulls, Some(values.iter().filter(|v| v.is_none()).count() as u64));
    let is_nan = |value: &&Scalar| matches!(value, Scalar::Double(value) if value.is_nan());
    let some: Vec<&Scalar> = values.iter().flatten().collect();
    let nans = some.iter().filter(|value| is_nan(value)).count() as u64;
    // Unknown is no lie, and a number has to be right.
    assert!(column.nans.is_none_or(|stated| stated == nans), "{column:?}: {nans} NaNs");
    let bounded: Vec<&Scalar> = some.into_iter().filter(|value| !is_nan(value)).collect();
    for value in &bounded {
        column.min.iter().for_each(|min| check_order(&min.value, value));
        column.max.iter().for_each(|max| check_order(value, &max.value));
    }
    let bounds = column.min.iter().chain(&column.max);
    let mut stated = (0, 0);
    for bound in bounds {
        let (exact, inexact) = &mut stated;
        if bound.exact {
            let equal = |value: &&Scalar| match (*value, &bound.value) {
                (Scalar::Double(a), Scalar::Double(b)) => a == b,
                (a, b) => a == b,
            };
            assert!(bounded.iter().any(equal), "{bound:?} is no value of {}", column.path);
            *exact += 1;
        } else {
            *inexact += 1;
        }
    }
    stated
}

#[test]
fn statistics_of_a_file_hold_for_a_full_scan_of_its_columns() {
    let staging = tempfile::tempdir().unwrap();
    let schema = TableSchema::parse(SCHEMA).unwrap();
    let layout = Layout::new(&schema, Compression::Zstd(1), &[]).unwrap();
    let mut stated = BTreeMap::<&str, (usize, usize)>::new();
    let mut nans = 0;
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let path = staging.path().join(format!("{seed}.parquet"));
        let mut encoder = Encoder::create(&path, &layout).unwrap();
        for _ in 0..1 + dice.below(4) {
            let batches: Vec<_> =
                (0..1 + dice.below(2)).map(|_| batch(&layout.batches, &mut dice)).collect();
            encoder.row_group(&batches).unwrap();
        }
        let statistics = encoder.finish().unwrap().statistics.unwrap();
        for name in COLUMNS {
            let column = statistics.column(name);
            let (exact, inexact) = check(column, &scan(&path, name));
            let all = stated.entry(name).or_default();
            *all = (all.0 + exact, all.1 + inexact);
            nans += column.and_then(|column| column.nans).unwrap_or(0);
        }
        let list = statistics.columns.iter().find(|column| column.path.starts_with("list."));
        assert!(list.is_none_or(|list| list.min.is_none() && list.max.is_none()), "{list:?}");

        let json = serde_json::to_string(&statistics).unwrap();
        assert_eq!(serde_json::from_str::<FileStatistics>(&json).unwrap(), statistics, "{json}");
    }
    // Bounds that can be given are given: no bounds at all would hold as well.
    for name in ["long", "double", "flag", "time"] {
        assert!(stated[name].0 > 200, "{name}: {stated:?}");
    }
    let (exact, truncated) = stated["text"];
    assert!(exact > 50 && truncated > 30 && nans > 100, "{stated:?}, {nans} NaNs");
}

#[test]
fn a_bound_that_is_a_double_is_read_back_to_the_bit() {
    for value in [-0.0, 0.0, 0.1 + 0.2, 1.0 / 3.0, f64::MIN, f64::INFINITY, 5e-324] {
        let json = serde_json::to_string(&Scalar::Double(value)).unwrap();
        let Scalar::Double(read) = serde_json::from_str(&json).unwrap() else { panic!("{json}") };
        assert_eq!(read.to_bits(), value.to_bits(), "{json}");
    }
}
