//! Broken documents in broken bodies, by the million: every line ends in one place, whatever it is.
//!
//! `SESSIONLAKE_SEARCH_STEPS=10000000 cargo test --release fuzz -- --nocapture` makes the long run.

use super::*;
use crate::search::{Dice, inputs, mutate};

/// Bodies that every test run makes.
const BODIES: u64 = 20_000;

const SEEDS: [&str; 9] = [
    r#"{"s":"text","n":12,"d":0.5,"b":true,"t":1793534400000,"ss":["a","b"],"ll":[[1],[2,3]]}"#,
    r#"{"old_s":"\u00e9\ud83d\ude00","n":1e3,"d":-0.0,"m":{"a":"b"},"mn":{"x":1,"y":"z"},"q":null}"#,
    r#"{"p":{"old_x":1,"y":"s","z":{"w":2.5}},"items":[{"k":"a","v":1,"tags":["x"],"subs":[{"q":1}]}]}"#,
    r#"{"index":{"_index":"i","_id":"1"}}"#,
    r#"{"delete":{"_id":"1"}}"#,
    r#"{"update":{"_id":"1"}}"#,
    r#"[{"s":"1"},{"n":2},[],"x"]"#,
    r#"{"n":9223372036854775808,"d":1e999,"s":17,"unknown":{"deep":[{"er":[[]]}]}}"#,
    "",
];

fn body_of(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + dice.below(5) {
        bytes.extend_from_slice(SEEDS[dice.below(SEEDS.len() as u64) as usize].as_bytes());
        bytes.extend_from_slice([&b"\n"[..], b"\r\n", b"\n\n", b"", b","][dice.below(5) as usize]);
    }
    if dice.one_in(200) {
        let open = [&b"["[..], b"{\"a\":", b"{\"items\":[", b"{\"ll\":["][dice.below(4) as usize];
        let at = dice.below(bytes.len() as u64) as usize;
        bytes.splice(at..at, open.repeat(3_000));
    }
    if !dice.one_in(8) {
        mutate(dice, &mut bytes);
    }
    if dice.one_in(4) && !bytes.is_empty() {
        let at = dice.below(bytes.len() as u64) as usize;
        bytes[at] = b"{}[]\",:\\\n0-e."[dice.below(13) as usize];
    }
    bytes
}

#[test]
fn fuzz_bodies() {
    let bodies = inputs(BODIES);
    let mut dice = Dice(3);
    let mut decoder = Decoder::new(small(), "node".into());
    let (mut rows, mut rejects) = (0, 0);
    for seq in 1..=bodies {
        let bytes = body_of(&mut dice);
        let length = bytes.len();
        let body = Body {
            seq: Seq(seq),
            received_at: Micros(0),
            table: "small".into(),
            form: if dice.one_in(2) { Form::Ndjson } else { Form::Elasticsearch },
            first_line: 1,
            bytes: Bytes::from(bytes),
            stored: None,
        };
        let mut progress = Progress::NEW;
        let limit = ReadLimit {
            lines: 1 + dice.below(3),
            bytes: 1 + dice.below(200) as usize,
            column_bytes: 1 + dice.below(200) as usize,
        };
        let mut calls = 0;
        while !decoder.read(&body, &mut progress, limit) {
            calls += 1;
            assert!(calls <= length + 1, "it does not come to an end: {:?}", body.bytes);
        }
        if seq % 64 == 0 || seq == bodies {
            let decoded = decoder.finish();
            let counts = decoded.counts;
            assert_eq!(counts.lines, counts.rows + counts.rejects, "up to body {seq}");
            assert_eq!(decoded.batch.num_rows() as u64, counts.rows, "up to body {seq}");
            let rejected: u64 = decoded.rejects.iter().map(|reject| reject.lines).sum();
            assert_eq!(rejected, counts.rejects, "up to body {seq}");
            rows += counts.rows;
            rejects += counts.rejects;
        }
    }
    println!("{bodies} bodies, {rows} rows, {rejects} rejects");
    assert!(rows > 0 && rejects > 0);
}

#[test]
fn fuzz_nesting_of_any_depth_and_kind_is_a_reject() {
    let opens = ["[", "{\"a\":", "{\"items\":[", "{\"ll\":[", "{\"p\":{\"z\":", "{\"m\":{\"x\":"];
    for open in opens {
        let mut decoder = Decoder::new(small(), "node".into());
        let bytes = [b"{\"n\":".to_vec(), open.repeat(100_000).into_bytes()].concat();
        decoder.push(&Body {
            seq: Seq(1),
            received_at: Micros(0),
            table: "small".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: Bytes::from(bytes),
            stored: None,
        });
        let counts = decoder.finish().counts;
        assert_eq!((counts.rows, counts.rejects), (0, 1), "{open}");
    }
}
