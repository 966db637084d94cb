//! Bulks split and answered, and the inquiries around them.

use super::bulk_answer::HEAD_BYTES;
use super::*;
use crate::auth::Rules;
use crate::decode::{Decoder, Progress, ReadLimit};
use crate::http::endpoint::Endpoint;
use crate::intake::IndexPattern;
use crate::intake::bulk::{MAX_ACTIONS, MAX_ID_BYTES};
use crate::record::{Body, Form, Micros, Seq};
use crate::schema::{EXTRA, INGEST_ID, TableSchema};
use arrow::array::AsArray as _;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use warp::http::Method;

fn endpoint(indices: &[(&str, &str)]) -> Endpoint {
    let pattern = |text: &str| IndexPattern::parse(text).unwrap();
    Endpoint {
        name: "e".into(),
        path: "/".into(),
        put: true,
        post: true,
        form: Form::Elasticsearch,
        table: "user_sessions".into(),
        indices: indices.iter().map(|(p, t)| (pattern(p), (*t).into())).collect(),
        body_limit_bytes: 0,
        inflated_limit_bytes: 0,
        requests_per_second: None,
        peers: Vec::new(),
        auth: Rules::nobody_is_asked(),
    }
}

fn split_of(
    indices: &[(&str, &str)],
    body: &str,
) -> Result<(Vec<(String, String)>, Value), String> {
    let (body, bulk) = (Bytes::from(body.to_owned()), Bulk { index: None, brief: false });
    let (parts, answer) =
        split(&endpoint(indices), &bulk, &body).map_err(|refusal| refusal.to_string())?;
    assert!(answer.memory_bytes() <= max_answer_bytes(&body) + HEAD_BYTES as u64);
    let parts = parts.iter().map(|(table, part)| {
        let bytes = part.bytes(&body);
        let copied = if bytes.as_ptr() == body.as_ptr() { 0 } else { bytes.len() as u64 };
        assert_eq!(part.copied_bytes, copied, "what is copied is known before");
        (table.to_string(), String::from_utf8(bytes.to_vec()).unwrap())
    });
    let parts = parts.collect();
    let text = format!(r#"{{"errors":{},"items":[{}]}}"#, answer.errors, answer.items);
    Ok((parts, serde_json::from_str(&text).unwrap()))
}

#[test]
fn a_bulk_for_one_table_is_its_body() {
    let body =
        "{\"index\":{\"_index\":\"s\",\"_id\":\"1\"}}\n{\"a\":1}\n\n{\"create\":{}}\r\n{\"a\":2}";
    let (parts, answer) = split_of(&[], body).unwrap();
    assert_eq!(parts, [("user_sessions".to_owned(), body.to_owned())]);
    assert_eq!(answer["errors"], false);
    assert_eq!(answer["items"][0]["index"]["_id"], "1");
    assert_eq!(answer["items"][0]["index"]["status"], 201);
    assert_eq!(answer["items"][1]["create"]["_index"], "sessionlake");
    assert!(answer["items"][1]["create"]["_id"].as_str().unwrap().ends_with("-4"));
}

#[test]
fn tables_get_their_lines_in_their_places_and_what_is_not_taken_is_an_error_of_its_item() {
    let body = r#"{"index":{"_index":"s-1"}}
{"a":1}
{"index":{"_index":"o"}}
{"a":2}
{"delete":{"_index":"s-1","_id":"x"}}
{"update":{"_index":"s-1","_id":"x"}}
{"doc":{}}
{"index":{"_index":"../etc"}}
{"a":3}
{"index":{"_index":"z"}}
{"a":4}
{"index":{"_index":"s-2"}}
{"a":5}
"#;
    let (parts, answer) =
        split_of(&[("s-*", "sessions"), ("o", "orders"), ("o*", "others")], body).unwrap();
    let sessions = "{\"index\":{\"_index\":\"s-1\"}}\n{\"a\":1}\n\n\n\n\n\n\n\n\n\n{\"index\":{\"_index\":\"s-2\"}}\n{\"a\":5}\n";
    let orders = "\n\n{\"index\":{\"_index\":\"o\"}}\n{\"a\":2}\n";
    assert_eq!(
        parts,
        [("orders".to_owned(), orders.to_owned()), ("sessions".to_owned(), sessions.to_owned())]
    );
    assert_eq!(answer["errors"], true);
    let statuses: Vec<_> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item.as_object().unwrap().values().next().unwrap()["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 201, 400, 400, 400, 404, 201]);
}

#[test]
fn a_byte_order_mark_costs_a_copy() {
    let (parts, _) = split_of(&[], "\u{feff}{\"index\":{}}\n{\"a\":1}\n").unwrap();
    assert_eq!(parts, [("user_sessions".to_owned(), "{\"index\":{}}\n{\"a\":1}\n".to_owned())]);
}

#[test]
fn an_index_that_is_no_name_is_not_repeated_and_an_answer_has_a_bound() {
    let long = "x".repeat(1 << 20);
    let (_, answer) =
        split_of(&[], &format!("{{\"index\":{{\"_index\":\"{long}/\"}}}}\n{{}}\n")).unwrap();
    assert_eq!(answer["items"][0]["index"]["status"], 400);
    assert!(answer.to_string().len() < 1000);
    let id = "i".repeat(MAX_ID_BYTES);
    let many = format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{}}\n").repeat(MAX_ACTIONS);
    assert!(split_of(&[], &many).unwrap_err().contains("the answer"));
}

#[test]
fn what_is_no_bulk_is_refused_whole() {
    for (body, line) in [
        ("{\"a\":1}\n", 1),
        ("{\"index\":{}}\n{}\n{\"a\":1}\n", 3),
        ("{\"index\":{}}\n", 1),
        ("{\"index\":{\"_index\":5}}\n{}\n", 1),
        ("[]", 1),
        ("\n\nnonsense", 3),
    ] {
        let error = split_of(&[], body).unwrap_err();
        assert!(error.starts_with(&format!("line {line} of the bulk")), "{body:?}: {error}");
    }
    let many = "{\"index\":{}}\n{}\n".repeat(MAX_ACTIONS + 1);
    assert!(split_of(&[], &many).unwrap_err().contains("more than 100000"));
}

#[test]
fn paths_are_matched_strictly() {
    let bulk = |path| match ClientRequest::of(&Method::POST, path) {
        ClientRequest::Bulk { index } => Ok(index.map(str::to_owned)),
        ClientRequest::Inquiry(inquiry) => Err(answer(inquiry).status().as_u16()),
    };
    assert_eq!(bulk("/_bulk"), Ok(None));
    assert_eq!(bulk("/sessions/_bulk"), Ok(Some("sessions".to_owned())));
    assert_eq!(bulk("/../_bulk"), Err(400));
    assert_eq!(bulk("/%2e%2e/_bulk"), Err(400));
    assert_eq!(bulk("/a/b/_bulk"), Err(404));
    assert_eq!(bulk("/_bulk/x"), Err(404));
    assert_eq!(bulk("/_search"), Err(404));
}

/// Actions as they may be written, with the `_id` for `ID`.
const ACTIONS: [&str; 8] = [
    r#"{"index":{"_id":"ID"}}"#,
    r#"{"create":{"_id":"ID"}}"#,
    r#" { "\u0069ndex" : { "_index" : "s" , "_id" : "ID" } } "#,
    r#"{"inde\u0078":{"_id":"ID","routing":"r"}}"#,
    r#"{"index":{}}"#,
    "\t{\"create\":{\"_index\":\"s\"}}\r",
    r#"{"update":{"_id":"ID"}}"#,
    r#"{"delete":{"_id":"ID"}}"#,
];
/// Documents, and what is none.
const DOCUMENTS: [&str; 10] = [
    r#"{"userId":"a"}"#,
    r#"{"index":{}}"#,
    r#"{"index":{"_id":"other"}}"#,
    r#"{"\u0069ndex":{}}"#,
    r#"{"update":{}}"#,
    r#"{"delete":{}}"#,
    r#"{"userId":"#,
    "no JSON",
    "\u{c}",
    "[1]",
];
const BETWEEN: [&str; 5] = ["\n", "\r\n", "\n\n", "\n \t\r\n", "\r\r\n"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_answered_201_is_a_row_or_a_reject_under_its_id(
        pairs in prop::collection::vec((0..ACTIONS.len(), 0..DOCUMENTS.len(), 0..BETWEEN.len(), 0..BETWEEN.len()), 1..12),
        marked in any::<bool>(),
        part_lines in 1..4u64,
    ) {
        let mut text = if marked { "\u{feff}".to_owned() } else { String::new() };
        // By the line of each document that is to be stored: its `_id`.
        let (mut ids, mut stored) = (BTreeMap::new(), 0);
        for (number, (action, document, after, between)) in pairs.into_iter().enumerate() {
            let action = ACTIONS[action];
            text.push_str(&action.replace("ID", &format!("id{number}")));
            text.push_str(BETWEEN[after]);
            if action.contains("delete") {
                continue;
            }
            let line = 1 + text.matches('\n').count();
            text.push_str(DOCUMENTS[document]);
            text.push_str(BETWEEN[between]);
            if !action.contains("update") {
                stored += 1;
                if action.contains("_id") {
                    ids.insert(line.to_string(), format!("id{number}"));
                }
            }
        }
        let bulk = Bulk { index: None, brief: true };
        let sent = Bytes::from(text.clone());
        let (parts, answer) = split(&endpoint(&[]), &bulk, &sent).unwrap();
        let answered = answer.items.matches("201").count();
        prop_assert_eq!(answered, stored, "{:?}", text);

        let schema = TableSchema::builtin("user_sessions").unwrap();
        let mut decoder = Decoder::new(schema, "n".into());
        let mut progress = Progress::NEW;
        for (_, part) in parts {
            let body = Body {
                seq: Seq(1),
                received_at: Micros(0),
                table: "user_sessions".into(),
                form: Form::Elasticsearch,
                first_line: 1,
                bytes: part.bytes(&sent),
                stored: None,
            };
            while !decoder.read(&body, &mut progress, ReadLimit { lines: part_lines, ..ReadLimit::NONE }) {}
        }
        let decoded = decoder.finish();
        prop_assert_eq!(decoded.counts.lines, stored as u64, "{:?}", text);
        let column = |name| decoded.batch.column_by_name(name).unwrap().as_string::<i32>();
        for (row, extra) in column(INGEST_ID).iter().zip(column(EXTRA)) {
            let line = row.unwrap().rsplit('-').next().unwrap();
            let extra: Value = serde_json::from_str(extra.unwrap_or("{}")).unwrap();
            let id = ids.get(line).map(String::as_str);
            prop_assert_eq!(extra["_id"].as_str(), id, "line {} of {:?}", line, text);
        }
    }
}
