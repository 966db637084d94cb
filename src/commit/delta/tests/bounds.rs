//! The statistics in the log against all values of the files.

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, Float64Array, Int64Array, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use chrono::DateTime;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use super::*;
use crate::columnar::statistics::FileStatistics;
use crate::search::{Dice, inputs};

const COLUMNS: &str = r#"
    {"name":"text","type":["null","string"]},
    {"name":"long","type":["null","long"]},
    {"name":"double","type":["null","double"]},
    {"name":"flag","type":["null","boolean"]},
    {"name":"startTime","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
    {"name":"place","type":["null",{"type":"record","name":"p","fields":[
        {"name":"city","type":["null","string"]},
        {"name":"at","type":["null",{"type":"record","name":"g","fields":[
            {"name":"north","type":["null","double"]}]}]},
        {"name":"tags","type":["null",{"type":"array","items":"string"}]}]}]},
    {"name":"tags","type":["null",{"type":"array","items":"string"}]}"#;

/// First and last microsecond of the years 1 and 9999.
const TIMES: [i64; 2] = [-62_135_596_800_000_000, 253_402_300_799_999_999];

fn text(dice: &mut Dice, odd: bool) -> String {
    // U+FFFF is above U+10000 in UTF-16 and below in UTF-8.
    let units = ["a", "ä", "\u{0}", "\u{ffff}", "\u{10000}", "\u{10ffff}", "z\"\\"];
    // Above a long text of U+10FFFF alone there is no short one.
    let unit = units[dice.below(7) as usize];
    let unit = if odd { unit } else { unit.trim_matches('\u{10ffff}') };
    unit.repeat([0, 1, 20, 63, 64, 65, 300][dice.below(7) as usize])
}

fn double(dice: &mut Dice, odd: bool) -> f64 {
    match dice.below(12) {
        0 if odd => f64::NAN,
        1 if odd => f64::INFINITY,
        2 if odd => f64::NEG_INFINITY,
        3 => 0.0,
        4 => -0.0,
        5 => [f64::MIN, f64::MAX, f64::MIN_POSITIVE, 0.1 + 0.2][dice.below(4) as usize],
        _ => dice.below(1_000) as f64 / 7.0 - 50.0,
    }
}

fn time(dice: &mut Dice, odd: bool) -> i64 {
    match dice.below(20) {
        0 => TIMES[0],
        1 if odd => TIMES[1],
        2 => -1,
        _ => dice.below(1 << 52) as i64 - (1 << 51),
    }
}

fn long(dice: &mut Dice) -> i64 {
    match dice.below(20) {
        0 => i64::MIN,
        1 => i64::MAX,
        _ => dice.below(1 << 60) as i64 - (1 << 59),
    }
}

fn array(dice: &mut Dice, of: &DataType, rows: usize) -> ArrayRef {
    let nulls = [0, 3, 10][dice.below(3) as usize];
    let odd = dice.one_in(8);
    let some = |dice: &mut Dice| dice.below(10) >= nulls;
    let all =
        |dice: &mut Dice| (0..rows).map(|_| Dice(dice.roll())).collect::<Vec<_>>().into_iter();
    match of {
        DataType::Int64 => {
            let all = all(dice).map(|mut dice| some(&mut dice).then(|| long(&mut dice)));
            Arc::new(all.collect::<Int64Array>())
        }
        DataType::Float64 => {
            let all = all(dice).map(|mut dice| some(&mut dice).then(|| double(&mut dice, odd)));
            Arc::new(all.collect::<Float64Array>())
        }
        DataType::Timestamp(..) => {
            let all = all(dice).map(|mut dice| some(&mut dice).then(|| time(&mut dice, odd)));
            let all = all.collect::<TimestampMicrosecondArray>().with_timezone("UTC");
            arrow::compute::cast(&all, of).expect("times")
        }
        DataType::Struct(fields) => {
            let within = fields.iter().map(|field| array(dice, field.data_type(), rows)).collect();
            let valid = all(dice).map(|mut dice| some(&mut dice)).collect::<Vec<bool>>();
            Arc::new(StructArray::new(fields.clone(), within, Some(valid.into())))
        }
        DataType::Boolean => {
            let all = all(dice).map(|mut dice| some(&mut dice).then(|| dice.one_in(3)));
            Arc::new(all.collect::<BooleanArray>())
        }
        DataType::List(_) => new_null_array(of, rows),
        text_type => {
            let all = all(dice).map(|mut dice| some(&mut dice).then(|| text(&mut dice, odd)));
            arrow::compute::cast(&StringArray::from_iter(all), text_type).expect("texts")
        }
    }
}

/// A value of a row, and null for one of a struct that is null.
#[derive(Debug, PartialEq)]
enum Cell {
    Flag(bool),
    Text(String),
    Long(i64),
    Double(f64),
    Time(i64),
}

fn cells(of: &ArrayRef) -> Vec<Option<Cell>> {
    let cell = |row: usize| {
        of.is_valid(row).then(|| match of.data_type() {
            DataType::Boolean => Cell::Flag(of.as_boolean().value(row)),
            DataType::Int64 => Cell::Long(of.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Cell::Double(of.as_primitive::<Float64Type>().value(row)),
            DataType::Timestamp(..) => {
                Cell::Time(of.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            _ => {
                let text = arrow::compute::cast(of, &DataType::Utf8).expect("texts");
                Cell::Text(text.as_string::<i32>().value(row).to_owned())
            }
        })
    };
    (0..of.len()).map(cell).collect()
}

/// Holds the statistics of one column against its cells. Returns the number of bounds.
fn hold(path: &str, stats: &Value, cells: &[Option<Cell>]) -> usize {
    let of = |kind: &str| {
        let at = path.split('.').fold(&stats[kind], |value, name| &value[name]);
        (!at.is_null()).then(|| at.clone())
    };
    let nulls = cells.iter().filter(|cell| cell.is_none()).count();
    assert_eq!(of("nullCount"), Some(Value::from(nulls)), "nulls of {path}: {stats}");
    let (least, most) = (of("minValues"), of("maxValues"));
    let micros = |bound: &Value| {
        let text = bound.as_str().expect("a time");
        assert_eq!(text.find('-'), Some(4), "a year of four digits: {text}");
        DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros()
    };
    for cell in cells.iter().flatten() {
        let holds = |bound: &Value, is_least: bool| match cell {
            Cell::Text(text) => {
                let bound = bound.as_str().expect("a text").as_bytes();
                if is_least { bound <= text.as_bytes() } else { bound >= text.as_bytes() }
            }
            Cell::Flag(value) => {
                let bound = bound.as_bool().expect("a boolean");
                if is_least { bound <= *value } else { bound >= *value }
            }
            Cell::Long(value) => {
                let bound = bound.as_i64().expect("a long");
                if is_least { bound <= *value } else { bound >= *value }
            }
            Cell::Double(value) => {
                let bound = bound.as_f64().expect("a double");
                if is_least { bound <= *value } else { bound >= *value }
            }
            Cell::Time(value) => {
                let bound = micros(bound);
                if is_least { bound <= *value } else { bound >= *value }
            }
        };
        for (bound, is_least) in [(&least, true), (&most, false)] {
            if let Some(bound) = bound {
                assert!(holds(bound, is_least), "{bound} of {path} does not hold for {cell:?}");
            }
        }
    }
    usize::from(least.is_some()) + usize::from(most.is_some())
}

#[test]
fn bounds_in_the_log_hold_for_every_value() {
    let runtime = runtime();
    let mut dice = Dice(7);
    let schema = schema(COLUMNS);
    let arrow = schema.arrow();
    let store = Arc::new(InMemory::new());
    let lake = Lake::on(store.clone(), 1 << 20);
    let delta = table(&lake, COLUMNS, &runtime);
    let (mut files, mut batches) = (Vec::new(), Vec::new());
    for number in 0..inputs(300) {
        let rows = 1 + dice.below(30) as usize;
        let lineage = |name: &str| name.starts_with("_ingest");
        let column = |dice: &mut Dice, field: &arrow::datatypes::Field| match lineage(field.name())
        {
            true => {
                let numbers = Int64Array::from_iter_values(0..rows as i64);
                arrow::compute::cast(&numbers, field.data_type()).expect("lineage")
            }
            false => array(dice, field.data_type(), rows),
        };
        let columns = arrow.fields().iter().map(|field| column(&mut dice, field)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&arrow), columns).expect("a batch");
        let mut writer =
            ArrowWriter::try_new(Vec::new(), Arc::clone(&arrow), None).expect("a file");
        writer.write(&batch).expect("a group");
        let footer = writer.finish().expect("a footer");
        files.push(FileReceipt {
            path: format!("t/date=2026-11-28/{number}.parquet"),
            partition_values: BTreeMap::from([("date".to_owned(), Some("2026-11-28".to_owned()))]),
            rows: rows as u64,
            bytes: 1,
            // Some of an earlier build, without statistics.
            statistics: (!dice.one_in(20)).then(|| FileStatistics::of(&footer)),
            ..FileReceipt::default()
        });
        batches.push(batch);
    }
    let known: Vec<bool> = files.iter().map(|file| file.statistics.is_some()).collect();
    let outcome = delta.commit("n1", &[receipt_of("n1", 1, files)]);
    assert!(matches!(outcome, Visible::At { .. }), "{outcome:?}");
    let actions = log(&store).into_iter().flatten();
    let stats: Vec<Value> = actions
        .filter_map(|a| {
            a["add"]["stats"].as_str().map(|text| serde_json::from_str(text).expect("JSON"))
        })
        .collect();
    assert_eq!(stats.len(), batches.len());
    let (mut bounds, mut unbounded) = (0, 0);
    for ((stats, batch), known) in stats.iter().zip(&batches).zip(known) {
        assert_eq!(stats["numRecords"], batch.num_rows());
        assert!(stats["nullCount"].get("date").is_none());
        if !known {
            let none = |kind: &str| {
                stats[kind].as_object().is_none_or(|all| {
                    all.values().all(|value| value.is_null() || value.is_object())
                })
            };
            assert!(none("minValues") && none("maxValues") && none("nullCount"), "{stats}");
            continue;
        }
        let column = |name: &str| batch.column_by_name(name).expect("a column");
        let names = ["text", "long", "double", "flag", "startTime", "_ingest_time", "_ingest_id"];
        for name in names {
            let cells = cells(column(name));
            let found = hold(name, stats, &cells);
            // deltalake passes over a file for a bound that is missing beside others.
            let has_bounds = stats["minValues"].is_object() || stats["maxValues"].is_object();
            let is_null = cells.iter().all(Option::is_none);
            assert!(found == 2 || is_null || !has_bounds, "{name} lacks a bound: {stats}");
            unbounded += usize::from(!has_bounds);
            bounds += found;
        }
        let place = column("place").as_struct();
        let within = |of: &StructArray, name: &str| {
            let mut cells = cells(of.column_by_name(name).expect("a member"));
            let nulls = cells.iter_mut().enumerate().filter(|(row, _)| of.is_null(*row));
            nulls.for_each(|(_, cell)| *cell = None);
            cells
        };
        bounds += hold("place.city", stats, &within(place, "city"));
        let at = place.column_by_name("at").expect("a member").as_struct();
        let mut north = within(at, "north");
        let nulls = north.iter_mut().enumerate().filter(|(row, _)| place.is_null(*row));
        nulls.for_each(|(_, cell)| *cell = None);
        bounds += hold("place.at.north", stats, &north);
        let lists = [&stats["nullCount"]["tags"], &stats["nullCount"]["place"]["tags"]];
        assert!(lists.iter().all(|value| value.is_null()), "{stats}");
    }
    assert!(bounds > batches.len() * 5, "{bounds} bounds of {} files", batches.len());
    assert!(unbounded > 0, "each file has bounds");
}
