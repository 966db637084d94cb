//! Columns of tests in which values stand in stretches of one kind, so that some pages and row groups have what others
//! have not: nulls alone, no number at all, zeros of one sign, texts that are cut.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};

use crate::search::Dice;

pub(super) const SCHEMA: &str = r#"{"type": "record", "name": "t", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null, "bloom": true},
    {"name": "text", "type": ["null", "string"], "default": null},
    {"name": "key", "type": ["null", "long"], "default": null, "bloom": true},
    {"name": "long", "type": ["null", "long"], "default": null},
    {"name": "price", "type": ["null", "double"], "default": null, "bloom": true},
    {"name": "double", "type": ["null", "double"], "default": null},
    {"name": "flag", "type": ["null", "boolean"], "default": null},
    {"name": "time", "default": null, "bloom": true,
     "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
    {"name": "items", "default": null, "type": ["null", {"type": "array", "items":
        ["null", {"type": "record", "name": "item", "fields": [
        {"name": "n", "type": ["null", "long"], "default": null},
        {"name": "s", "type": ["null", "string"], "default": null}]}]}]}
]}"#;

/// Columns of values, which come first.
pub(super) const COLUMNS: usize = 8;

/// How the values of a column are spread over the rows of a row group.
#[derive(Debug)]
struct Spread {
    /// Rows with values of one kind.
    stretch: u64,
    distinct: u64,
    is_sorted: bool,
    nulls: u64,
    specials: u64,
}

impl Spread {
    fn any(dice: &mut Dice) -> Spread {
        Spread {
            stretch: [1, 30, 7_000, 20_000, 45_000][dice.below(5) as usize],
            distinct: [1, 2, 60, 9_000, 1 << 30][dice.below(5) as usize],
            is_sorted: dice.one_in(3),
            nulls: [0, 1, 5, 10][dice.below(4) as usize],
            specials: [0, 0, 1, 6][dice.below(4) as usize],
        }
    }

    /// Of each row a number, and which of the special values it has instead; null now and then.
    fn rows(&self, rows: usize, dice: &mut Dice) -> Vec<Option<(u64, Option<u64>)>> {
        let mut kind = 0;
        let row = |row: usize| {
            if (row as u64).is_multiple_of(self.stretch) {
                kind = dice.below(10);
            }
            let number = match self.is_sorted {
                true => row as u64 * self.distinct / 50_000,
                false => dice.below(self.distinct),
            };
            match kind {
                _ if dice.below(20) < self.nulls && kind > 1 => None,
                0..5 if self.nulls > 0 && self.stretch > 1 && kind < self.nulls => None,
                _ if dice.below(20) < self.specials => Some((number, Some(dice.below(40)))),
                8 if self.specials > 0 => Some((number, Some(dice.below(3)))),
                _ => Some((number, None)),
            }
        };
        (0..rows).map(row).collect()
    }
}

fn text((number, special): (u64, Option<u64>)) -> String {
    let long = |unit: &str, bytes: usize| unit.repeat(bytes / unit.len());
    match special {
        None => format!("t{number:07}"),
        Some(0) => String::new(),
        Some(1) => long("a", 64) + &number.to_string(),
        Some(2) => long("a", 63) + "ß" + &number.to_string(),
        Some(3) => long("\u{10ffff}", 64),
        Some(4) => long("\u{10ffff}", 64) + &number.to_string(),
        Some(5) => long("z", 62) + "\u{ffff}",
        Some(6) => long("z", 61) + "\u{d7ff}" + "\u{d7ff}",
        Some(7) => long("\u{7f}", 70),
        Some(8) => long("東", 3_000) + &number.to_string(),
        Some(9) => "\u{0}".to_owned(),
        Some(10) => "\u{10ffff}".to_owned(),
        Some(other) => long("p", 60 + other as usize) + &(number % 5).to_string(),
    }
}

fn long((number, special): (u64, Option<u64>)) -> i64 {
    match special {
        None => number as i64 - 30,
        Some(0) => i64::MIN,
        Some(1) => i64::MAX,
        Some(2) => 0,
        Some(other) => (number as i64).wrapping_mul(i64::MAX / 7919) ^ other as i64,
    }
}

fn double((number, special): (u64, Option<u64>)) -> f64 {
    match special {
        None => (number as f64 - 30.0) / 4.0,
        Some(0) => f64::NAN,
        Some(1) => -0.0,
        Some(2) => -f64::NAN,
        Some(3) => 0.0,
        Some(4) => f64::INFINITY,
        Some(5) => f64::NEG_INFINITY,
        Some(6) => f64::from_bits(0x7ff0_0000_0000_0001),
        Some(7) => 5e-324,
        Some(other) => -(number as f64) * 1e300 / other as f64,
    }
}

fn column(kind: &DataType, rows: usize, dice: &mut Dice) -> ArrayRef {
    let spread = Spread::any(dice);
    let of = spread.rows(rows, dice).into_iter();
    match kind {
        DataType::Utf8 => Arc::new(of.map(|of| of.map(text)).collect::<StringArray>()),
        DataType::Int64 => Arc::new(of.map(|of| of.map(long)).collect::<Int64Array>()),
        DataType::Timestamp(..) => {
            let times = of.map(|of| of.map(long)).collect::<TimestampMicrosecondArray>();
            Arc::new(times.with_timezone("UTC"))
        }
        DataType::Float64 => Arc::new(of.map(|of| of.map(double)).collect::<Float64Array>()),
        DataType::Boolean => {
            let flag = |(number, _)| number % 2 == 1;
            Arc::new(of.map(|of| of.map(flag)).collect::<BooleanArray>())
        }
        DataType::Struct(members) => {
            let of = members.iter().map(|member| column(member.data_type(), rows, dice)).collect();
            let valid: NullBuffer = (0..rows).map(|_| !dice.one_in(9)).collect();
            Arc::new(StructArray::new(members.clone(), of, Some(valid)))
        }
        DataType::List(element) => {
            let most = [1, 3, 9][dice.below(3) as usize];
            let lengths: Vec<usize> = (0..rows).map(|_| dice.below(most) as usize).collect();
            let elements = column(element.data_type(), lengths.iter().sum(), dice);
            let offsets = OffsetBuffer::from_lengths(lengths);
            let valid: NullBuffer = (0..rows).map(|_| !dice.one_in(5)).collect();
            Arc::new(ListArray::new(Arc::clone(element), offsets, elements, Some(valid)))
        }
        other => panic!("{other}"),
    }
}

/// Returns the batches of a row group of so many rows.
pub(super) fn batches(schema: &SchemaRef, rows: usize, dice: &mut Dice) -> Vec<RecordBatch> {
    let of = |field: &FieldRef| match field.is_nullable() && !field.name().starts_with('_') {
        true => column(field.data_type(), rows, dice),
        false if field.is_nullable() => new_null_array(field.data_type(), rows),
        // Lineage.
        false => {
            let numbers = Int64Array::from_iter_values(0..rows as i64);
            cast(&numbers, field.data_type()).unwrap()
        }
    };
    let columns = schema.fields().iter().map(of).collect();
    let all = RecordBatch::try_new(Arc::clone(schema), columns).unwrap();
    let cut = dice.below(rows as u64 + 1) as usize;
    vec![all.slice(0, cut), all.slice(cut, rows - cut)]
}
