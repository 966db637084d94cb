//! Invariants of generated sessions.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::decode::Decoder;
use crate::record::{Body, Form, Micros, Seq};
use crate::schema::{EXTRA, TableSchema};

fn shape(format: Format) -> Shape {
    Shape {
        seed: 11,
        format,
        drift_ppm: 0,
        tenants: 2,
        from_ms: 1_793_577_600_000,
        period_ms: DAY_MS,
        sessions: 4_000,
    }
}

fn made(shape: Shape, count: usize) -> (Vec<Id>, Vec<u8>) {
    let mut generator = Generator::new(shape);
    let mut bytes = Vec::new();
    let ids = (0..count).map(|_| generator.next(&mut bytes)).collect();
    (ids, bytes)
}

fn documents(shape: Shape, count: usize) -> Vec<Value> {
    let (_, bytes) = made(shape, count);
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn extras(shape: Shape, count: usize) -> usize {
    let (_, bytes) = made(shape, count);
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let mut decoder = Decoder::new(schema, Arc::from("test"));
    decoder.push(&Body {
        seq: Seq(1),
        received_at: Micros(0),
        table: Arc::from("user_sessions"),
        form: Form::Ndjson,
        first_line: 1,
        bytes: bytes.into(),
        stored: None,
    });
    let decoded = decoder.finish();
    assert_eq!((decoded.counts.rows, decoded.counts.rejects), (count as u64, 0));
    let extra = decoded.batch.column_by_name(EXTRA).unwrap();
    count - extra.null_count()
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let (ids, bytes) = made(shape(Format::Mixed), 500);
    assert_eq!(made(shape(Format::Mixed), 500), (ids, bytes.clone()));
    assert_ne!(made(Shape { seed: 12, ..shape(Format::Mixed) }, 500).1, bytes);
}

#[test]
fn every_value_of_every_format_has_its_column() {
    for format in [Format::Current, Format::Classic, Format::Oldest, Format::Mixed] {
        assert_eq!(extras(shape(format), 4_000), 0, "{format:?} has values without a column");
    }
}

#[test]
fn drift_is_as_frequent_as_asked() {
    for format in [Format::Current, Format::Classic, Format::Oldest] {
        let drifted = extras(Shape { drift_ppm: 100_000, ..shape(format) }, 4_000);
        // A classic document has no place for a few of the oddities.
        let least = if format == Format::Classic { 250 } else { 340 };
        assert!((least..460).contains(&drifted), "{format:?}: {drifted}");
    }
}

#[test]
fn the_columns_of_the_current_format_are_all_used() {
    let mut seen = HashSet::new();
    for document in documents(shape(Format::Current), 4_000) {
        let members = document.as_object().unwrap();
        seen.extend(members.iter().filter(|(_, v)| !v.is_null()).map(|(k, _)| k.clone()));
    }
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let unused: Vec<&str> = schema
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .filter(|name| !seen.contains(*name) && !name.ends_with("Tags"))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn times_and_counts_add_up() {
    for document in documents(shape(Format::Current), 4_000) {
        let int = |value: &Value, name: &str| value[name].as_i64().unwrap();
        let (start, end) = (int(&document, "startTime"), int(&document, "endTime"));
        assert_eq!(int(&document, "duration"), end - start);
        let actions = document["userActions"].as_array().unwrap();
        assert_eq!(int(&document, "userActionCount") as usize, actions.len());
        assert!((1..=PART_ACTIONS).contains(&actions.len()));
        let mut at = start;
        for action in actions {
            let parts = ["networkTime", "serverTime", "frontendTime"];
            let sum: i64 = parts.iter().map(|name| int(action, name)).sum();
            assert_eq!(int(action, "duration"), sum);
            assert_eq!(int(action, "endTime"), int(action, "startTime") + sum);
            assert!(int(action, "startTime") >= at, "actions come one after the other");
            at = int(action, "endTime");
            if action["type"] == "Load" {
                let order = [
                    "requestStart",
                    "responseStart",
                    "responseEnd",
                    "documentInteractiveTime",
                    "domContentLoadedTime",
                    "domCompleteTime",
                    "loadEventEnd",
                ];
                let times: Vec<i64> = order.iter().map(|name| int(action, name)).collect();
                assert!(times.is_sorted(), "{times:?}");
                assert_eq!(times[6], sum);
            }
        }
        assert_eq!(at, end);
        let errors = document["errors"].as_array().unwrap();
        assert_eq!(int(&document, "totalErrorCount") as usize, errors.len());
        assert_eq!(document["bounce"], actions.len() == 1 && document["partNumber"].is_null());
        assert_eq!(document["hasError"], !errors.is_empty());
        let goals = document["matchingConversionGoals"].as_array().unwrap();
        assert_eq!(int(&document, "matchingConversionGoalsCount") as usize, goals.len());
    }
}

#[test]
fn ids_are_unique_and_those_of_the_documents() {
    let (ids, bytes) = made(shape(Format::Mixed), 20_000);
    let unique: HashSet<&str> = ids.iter().map(|id| id.0.as_str()).collect();
    assert_eq!(unique.len(), ids.len());
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (line, id) in lines.zip(&ids).take(2_000) {
        let document: Value = serde_json::from_slice(line).unwrap();
        let text = |name: &str| document[name].as_str().unwrap_or_default();
        let session = format!("{}{}", text("userSessionId"), text("visitId"));
        assert_eq!(id.0, format!("{}-{session}-{}", text("tenantId"), document["startTime"]));
    }
}

#[test]
fn long_sessions_are_split_in_parts_that_follow_each_other() {
    let mut parts: BTreeMap<String, Vec<(i64, i64, i64)>> = BTreeMap::new();
    for document in documents(shape(Format::Current), 8_000) {
        if let Some(part) = document["partNumber"].as_i64() {
            let id = document["userSessionId"].as_str().unwrap().to_owned();
            let times = (document["startTime"].as_i64(), document["endTime"].as_i64());
            let limit = document["endReason"] == "USER_ACTION_LIMIT";
            assert_eq!(limit, document["userActionCount"] == PART_ACTIONS && limit);
            parts.entry(id).or_default().push((part, times.0.unwrap(), times.1.unwrap()));
        }
    }
    assert!(parts.len() > 3, "{} of 8000 sessions are long", parts.len());
    for parts in parts.values() {
        assert!(parts.len() > 1);
        for (number, part) in parts.iter().enumerate() {
            assert_eq!(part.0, number as i64 + 1);
        }
        assert!(parts.windows(2).all(|two| two[0].2 < two[1].1), "{parts:?}");
    }
}

#[test]
fn users_come_back_and_the_day_has_a_rhythm() {
    let documents = documents(shape(Format::Current), 20_000);
    let count =
        |question: &dyn Fn(&Value) -> bool| documents.iter().filter(|d| question(d)).count();
    let new = count(&|d| d["newUser"] == true);
    assert!((4_000..16_000).contains(&new), "{new} of 20000 are new");
    let users: HashSet<&str> =
        documents.iter().map(|d| d["internalUserId"].as_str().unwrap()).collect();
    assert!(users.len() < 18_000, "{} users", users.len());
    let at = |hour: i64, country: &str| {
        count(&|d| {
            d["country"] == country
                && d["startTime"].as_i64().unwrap().rem_euclid(DAY_MS) / HOUR_MS == hour
        })
    };
    // In Germany it is an hour later than UTC: four in the morning, and nine in the evening.
    assert!(at(3, "Germany") * 5 < at(19, "Germany"));
    let (first, last) = (1_793_577_600_000, 1_793_577_600_000 + DAY_MS + 60_000);
    assert_eq!(count(&|d| !(first..last).contains(&d["startTime"].as_i64().unwrap())), 0);
}
