use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::decode::Decoder;
use crate::record::{Body, Form, Micros, Seq};
use crate::schema::{ColumnType, TableSchema};

const SCHEMA: &str = r#"{"type": "record", "name": "t", "fields": [
    {"name": "name", "type": ["null", "string"], "default": null, "aliases": ["oldName"]},
    {"name": "count", "type": ["null", "long"], "default": null},
    {"name": "tags", "type": ["null", {"type": "map", "values": "string"}], "default": null},
    {"name": "acts", "type": ["null", {"type": "array", "items":
        {"type": "record", "name": "act", "fields": [
            {"name": "n", "type": ["null", "long"], "default": null}]}}], "default": null}
]}"#;

fn tally(lines: &[String]) -> Tally {
    let schema = Arc::new(TableSchema::parse(SCHEMA).unwrap());
    let mut decoder = Decoder::new(Arc::clone(&schema), "n".into());
    decoder.push(&Body {
        seq: Seq(1),
        received_at: Micros(7_000),
        table: "t".into(),
        form: Form::Ndjson,
        first_line: 1,
        bytes: Bytes::from(lines.join("\n")),
        stored: None,
    });
    Tally::of(&decoder.finish().batch, &schema)
}

fn counts(lines: &[&str]) -> Counts {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    tally(&lines).take().unwrap_or_default()
}

/// Returns pointer, misfit, rows and types of each field.
fn told(counts: &Counts) -> Vec<(String, bool, u64, String)> {
    let of = counts.of.iter();
    of.map(|of| (of.pointer.clone(), of.misfit, of.rows, of.types().to_string())).collect()
}

fn told_as(told: &[(&str, bool, u64, &str)]) -> Vec<(String, bool, u64, String)> {
    let of = |(pointer, misfit, rows, types): &(&str, bool, u64, &str)| {
        ((*pointer).to_owned(), *misfit, *rows, (*types).to_owned())
    };
    told.iter().map(of).collect()
}

#[test]
fn fields_are_counted_by_rows_and_pattern_and_misfits_are_told_apart() {
    let counts = counts(&[
        r#"{"name":"x","acts":[{"n":1,"new":1},{"n":2,"new":2.5},{"n":"3"}],"plan":"gold"}"#,
        r#"{"name":"y","acts":[{"new":7}],"oldName":"z","count":5.5}"#,
        r#"{"name":"y"}"#,
        r#"{"tags":{"a":"b","anna":5,"bert":6},"obj":{"q":[1,"}"]},"plan":null}"#,
    ]);
    assert_eq!(counts.rows, 3);
    let expected = told_as(&[
        ("/acts/*/new", false, 2, "long, double"),
        ("/acts/*/n", true, 1, "string"),
        ("/count", true, 1, "double"),
        ("/obj", false, 1, "record"),
        ("/oldName", true, 1, "string"),
        ("/plan", false, 1, "string"),
        ("/tags/{key}", true, 1, "long"),
    ]);
    assert_eq!(told(&counts), expected);
    assert_eq!((counts.of[0].first_ms, counts.of[0].last_ms), (7, 7));
    assert!(tally(&[r#"{"name":"a","count":1}"#.to_owned()]).is_empty());
}

#[test]
fn keys_that_look_like_data_are_one_field() {
    let counts = counts(&[
        r#"{"a@b.example":1,"4711":2,"user-20261129-x":"t","two words":1,"ünï":1,"q\"r":1}"#,
        &format!(r#"{{"{}":1}}"#, "k".repeat(65)),
    ]);
    let expected = told_as(&[
        ("/{key}", false, 2, "string, long"),
        ("/*", false, 1, "long"),
        ("/ünï", false, 1, "long"),
    ]);
    assert_eq!(told(&counts), expected);
}

#[test]
fn many_keys_of_one_row_each_are_data_and_fields_of_many_rows_are_not() {
    let lines: Vec<String> = (0..100)
        .map(|row| {
            let letter = |at: u8| char::from(b'a' + at);
            format!(r#"{{"k{}{}":1,"plan":"x"}}"#, letter(row / 26), letter(row % 26))
        })
        .collect();
    let counts = tally(&lines).take().unwrap();
    assert_eq!(
        told(&counts),
        told_as(&[("/plan", false, 100, "string"), ("/{key}", false, 100, "long")])
    );
}

#[test]
fn many_keys_of_one_row_are_of_no_more_rows_than_there_are() {
    let keys: Vec<String> = ('a'..='z').flat_map(|a| [format!("k{a}"), format!("l{a}")]).collect();
    let members: Vec<String> = keys.iter().map(|key| format!("\"{key}\":1")).collect();
    let lines = [format!("{{{}}}", members.join(",")), r#"{"plan":"x"}"#.to_owned()];
    let counts = tally(&lines).take().unwrap();
    assert_eq!(told(&counts), told_as(&[("/{key}", false, 2, "string, long")]));
}

#[test]
fn a_hostile_stream_of_keys_is_bounded_and_does_not_displace_fields_of_many_rows() {
    let word = |mut number: usize| {
        let mut word = String::from("w");
        for _ in 0..5 {
            word.push(char::from(b'a' + u8::try_from(number % 26).unwrap()));
            number /= 26;
        }
        word
    };
    let mut whole = Tally::default();
    for part in 0..20 {
        let lines: Vec<String> = (0..50)
            .map(|row| {
                // Each key in two rows, so that they are not rare siblings.
                let from = (part * 50 + row) / 2 * 200;
                let keys: Vec<String> =
                    (from..from + 200).map(|at| format!("\"{}\":1", word(at))).collect();
                format!("{{\"plan\":\"x\",{}}}", keys.join(","))
            })
            .collect();
        whole.add(tally(&lines));
    }
    let counts = whole.take().unwrap();
    assert_eq!((counts.rows, counts.of.len()), (1_000, MOST_COUNTED));
    assert_eq!((counts.of[0].pointer.as_str(), counts.of[0].rows), ("/plan", 1_000));
    let counted: u64 = counts.of.iter().map(|of| of.rows).sum();
    assert_eq!(counted + counts.others, 1_000 * 201);
}

#[test]
fn examples_show_the_form_and_nothing_of_a_value() {
    let counts = counts(&[
        r#"{"a":"Ab-12 é日?","b":-12.5e3,"c":[1,2],"d":{"x":1},"e":true}"#,
        r#"{"a":"Zz-99 éa!"}"#,
        r#"{"a":"third one"}"#,
        &format!(r#"{{"f":"{}"}}"#, "secret ".repeat(1_000)),
    ]);
    let of = |pointer: &str| {
        let of = counts.of.iter().find(|of| of.pointer == pointer).unwrap();
        of.examples.clone()
    };
    assert_eq!(of("/a"), ["aa-00 aa?", "aa-00 aa!"]);
    assert_eq!(of("/b"), ["-00.0a0"]);
    assert_eq!(
        (of("/c"), of("/d"), of("/e")),
        (vec!["[…]".into()], vec!["{…}".into()], vec!["true".into()])
    );
    assert_eq!(of("/f"), ["aaaaaa aaaaaa aaaaaa aaaaaa aaaa…"]);
}

#[test]
fn the_column_of_types_takes_all_of_them() {
    let column = |values: &[&str]| {
        let mut types = Types::default();
        values.iter().for_each(|value| types.add(Types::of(value.as_bytes())));
        assert_eq!(Types::parse(types.names()), types);
        types.column().map(ColumnType::name)
    };
    assert_eq!(column(&["1", "-2"]), Some("long"));
    assert_eq!(column(&["1", "2.5", "null"]), Some("double"));
    assert_eq!(column(&["1e3"]), Some("double"));
    assert_eq!(column(&["9223372036854775808"]), Some("double"));
    assert_eq!(column(&["\"1\""]), Some("string"));
    assert_eq!(column(&["\"1\"", "1"]), None);
    assert_eq!(column(&["true", "false"]), Some("boolean"));
    assert_eq!(column(&["[]", r#"["a,]", "b"]"#]), Some("string[]"));
    assert_eq!(column(&["[1]", "[ 2.5 , 3 ]"]), Some("double[]"));
    assert_eq!(column(&["[1,null]"]), Some("long[]"));
    assert_eq!(column(&["[1,\"a\"]"]), None);
    assert_eq!(column(&["[[1]]"]), None);
    assert_eq!(column(&["{}"]), None);
    assert_eq!(column(&["null"]), None);
    assert_eq!(column(&[]), None);
}

#[test]
fn counts_of_rolls_add_up_and_those_of_other_versions_are_read() {
    let one = counts(&[r#"{"plan":"a","x":1}"#, r#"{"plan":"b"}"#]);
    let mut sum = Sum::default();
    sum.add(&one);
    // Keys of a later version are passed over, and types that are not known are no column's.
    let later = json!({"rows": 3, "others": 2, "later": 1, "of": [
        {"pointer": "/x", "rows": 3, "types": ["long", "decimal"], "first_ms": 1, "last_ms": 90, "z": 0}]});
    sum.add(&serde_json::from_value(later).unwrap());
    let sum = sum.counts();
    assert_eq!((sum.rows, sum.others), (5, 2));
    assert_eq!(
        told(&sum),
        told_as(&[("/x", false, 4, "long, list"), ("/plan", false, 2, "string")])
    );
    assert_eq!((sum.of[0].first_ms, sum.of[0].last_ms), (1, 90));
    let json = serde_json::to_value(&one).unwrap();
    assert_eq!(serde_json::from_value::<Counts>(json.clone()).unwrap(), one);
    assert_eq!(
        json["of"][0],
        json!({"pointer": "/plan", "rows": 2, "types": ["string"],
        "first_ms": 7, "last_ms": 7, "examples": ["a"]})
    );
}
