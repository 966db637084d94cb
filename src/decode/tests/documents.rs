//! Documents in a row and over several lines: rows, positions, and what damage takes along.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::generate::Source;
use super::*;
use crate::table::Revision;

/// The schema of each test's documents has `n`; `{n}` is the document of it.
fn numbers(decoded: &Decoded) -> Vec<i64> {
    documents(decoded).iter().map(|document| document["n"].as_i64().unwrap_or(-1)).collect()
}

fn by(revision: Revision, form: Form, bytes: &[u8]) -> Decoded {
    let mut decoder = Decoder::new(small(), "node".into()).by_revision(revision);
    decoder.push(&body(form, bytes));
    decoder.finish()
}

#[test]
fn case_08_documents_in_a_row_are_rows() {
    for (text, ids) in [
        (r#"{"n":1}{"n":2}{"n":3}"#, ["1", "1.2", "1.3"]),
        ("{\"n\":1} {\"n\":2}\t{\"n\":3} \r\n", ["1", "1.2", "1.3"]),
        // With the line ends of old systems; files joined without a line feed; both kinds of lines.
        ("{\"n\":1}\r{\"n\":2}\r{\"n\":3}\r", ["1", "1.2", "1.3"]),
        ("\u{feff}{\"n\":1}\u{feff}{\"n\":2}\u{feff} {\"n\":3}", ["1", "1.2", "1.3"]),
        ("{\"n\":1}\n\n{\"n\":2}{\"n\":3}\n", ["1", "3", "3.2"]),
        ("{\"n\":1}{\"n\":2}\n{\"n\":3}\n", ["1", "1.2", "2"]),
        // Over several lines.
        ("{\n\"n\":1\n}\n{\n\"n\":2\n}\n{\n\"n\":3\n}", ["1", "4", "7"]),
        ("{\n\"n\":1\n}{\n\"n\":2\n}{\"n\":3}\n", ["1", "3", "5"]),
        ("{\"n\":1}{\n\"n\":2}{\"n\":3}\n", ["1", "1.2", "2"]),
    ] {
        let decoded = decode(text);
        assert_eq!(rejects(&decoded), [], "{text:?}");
        assert_eq!(
            (numbers(&decoded), lines(&decoded)),
            (vec![1, 2, 3], ids.map(String::from).into())
        );
    }
}

#[test]
fn a_document_over_several_lines_has_every_value() {
    let pretty = "{\n  \"n\": 1,\n  \"items\": [\n    {\n      \"k\": \"}\\n{\"\n    },\n    {\n      \
                  \"v\": 2\n    }\n  ],\n  \"u\": {\n\"x\": 1}\n}";
    let expected = json!({"n":1,"items":[{"k":"}\n{"},{"v":2.0}],"u":{"x":1}});
    for text in [
        format!("{pretty}\n{pretty}\n"),
        format!("\n{pretty}{pretty}"),
        format!("  {pretty}\r\n\r\n{pretty}\r\n").replace('\n', "\r\n"),
        format!("{pretty}\n").replace("\n ", "\n") + pretty,
    ] {
        let decoded = decode(&text);
        assert_eq!(rejects(&decoded), [], "{text}");
        assert_eq!(documents(&decoded), [expected.clone(), expected.clone()], "{text}");
    }
}

#[test]
fn a_broken_document_takes_no_other_along() {
    for (text, rows, broken) in [
        // Its end is certain: what follows on the line is not touched.
        (r#"{"n":1}{"s":"\ud800"}{"n":2}"#, vec![1, 2], vec![(1, r#"{"s":"\ud800"}"#)]),
        (r#"{"n":1} {"n":01} {"n":2}"#, vec![1, 2], vec![(1, r#"{"n":01}"#)]),
        // It is not: the rest of the line goes with it.
        ("{\"n\":1}{\"n\" 5}{\"n\":6}\n{\"n\":2}", vec![1, 2], vec![(1, "{\"n\" 5}{\"n\":6}")]),
        ("{\"n\":1}x{\"n\":5}\n{\"n\":2}", vec![2], vec![(1, "{\"n\":1}x{\"n\":5}")]),
        ("{\"n\":1}{\"n\":5},\n{\"n\":2}", vec![1, 2], vec![(1, "{\"n\":5},")]),
        // A line that breaks off, with and without another before it.
        ("{\"n\":1}\n{\"s\":\"a\n{\"n\":2}", vec![1, 2], vec![(2, "{\"s\":\"a")]),
        ("{\"n\":1}{\"n\":\n{\"n\":2}\n", vec![1, 2], vec![(1, "{\"n\":")]),
        ("{\"n\":1}\n{\"u\":[\n\n{\"n\":2}\n{\"n\":3}", vec![1, 2, 3], vec![(2, "{\"u\":[")]),
        ("{\"u\":\n  {\"n\":1}\n  {\"n\":2}", vec![1, 2], vec![(1, "{\"u\":")]),
        ("{\"u\":\n<html>\n{\"n\":2}", vec![2], vec![(1, "{\"u\":"), (2, "<html>")]),
        // Over several lines: one reject, and nothing within it is a row.
        (
            "{\n \"n\": 1,\n \"items\": [\n  {\n   \"n\": 5\n  },\n  {\n   \"n\": 6\n  }\n ],,\n \
             \"s\": \"x\"\n}\n{\n \"n\": 2\n}\n",
            vec![2],
            vec![(
                1,
                "{\n \"n\": 1,\n \"items\": [\n  {\n   \"n\": 5\n  },\n  {\n   \"n\": 6\n  }\n ],,\n \
                 \"s\": \"x\"\n}",
            )],
        ),
        (
            "{\n\"items\": [\n{\n\"n\": 5\n}\n],,\n}\n{\n\"n\": 2\n}\n",
            vec![2],
            vec![(1, "{\n\"items\": ["), (3, "{\n\"n\": 5\n}\n],,\n}")],
        ),
        ("{\n \"n\": 1\n}\n{\n \"n\": 2,\n", vec![1], vec![(4, "{\n \"n\": 2,")]),
        ("{\n \"n\": 5,\n{\n \"n\": 2\n}\n", vec![2], vec![(1, "{\n \"n\": 5,")]),
        (
            "{\n \"s\": \"\\x\",\n \"n\": 1\n}\n{\"n\": 2}",
            vec![2],
            vec![(1, "{\n \"s\": \"\\x\",\n \"n\": 1\n}")],
        ),
    ] {
        let decoded = decode(text);
        assert_eq!(numbers(&decoded), rows, "{text}");
        let found: Vec<_> =
            rejects(&decoded).into_iter().map(|(line, _, raw)| (line, raw)).collect();
        let broken: Vec<_> = broken.into_iter().map(|(line, raw)| (line, raw.to_owned())).collect();
        assert_eq!(found, broken, "{text}");
    }
}

#[test]
fn reasons_name_the_byte_within_what_was_rejected() {
    for (text, reason) in [
        ("{\n \"n\": 1,,\n \"s\": 2\n}\n{}", "expected a field name in quotes at byte 11"),
        ("{\n \"n\": 1\n", "unexpected end of the line at byte 10"),
        ("{\"n\":1} {\"n\":2,}", "expected a field name in quotes at byte 8"),
        ("{}{\"n\":1", "unexpected end of the line at byte 7"),
        ("{}{\"s\":\"\\ud800\"}{}", "lone surrogate escape at byte 7"),
        ("{\"n\":1}]", "trailing characters after the document at byte 8"),
    ] {
        let decoded = decode(text);
        assert_eq!(decoded.rejects[0].reason, reason, "{text}");
    }
    let decoded =
        decode(b"{\"s\":\"a\"}{\"s\":\"\xff\"}{\"s\":\"b\"}\n{\n\"s\":\"\xff\"\n}\n{\n\"n\":1}");
    assert_eq!(documents(&decoded), [json!({"s":"a"}), json!({"s":"b"}), json!({"n":1})]);
    let reasons: Vec<_> = decoded.rejects.iter().map(|r| (r.line, r.reason.as_str())).collect();
    assert_eq!(reasons, [(1, "not UTF-8 at byte 7"), (2, "not UTF-8 at byte 8")]);
}

#[test]
fn case_06_dumped_documents_may_stand_in_a_row_and_over_several_lines() {
    let one = r#"{"_index":"i","_id":"1","_source":{"n":1}}"#;
    let two = "{\n  \"_index\": \"i\",\n  \"_id\": \"2\",\n  \"_source\": {\n    \"n\": 2\n  }\n}";
    for text in [
        format!("{one}{two}"),
        format!("[{one},\n{two}]\n"),
        format!("{two}\n{one}\n"),
        format!("{one}\n{one}{two}{one}"),
    ] {
        let decoded = decode(&text);
        assert_eq!(rejects(&decoded), [], "{text}");
        let ids = texts(&decoded, EXTRA).into_iter().flatten();
        let ids: Vec<_> = ids.collect();
        let expected: Vec<_> =
            numbers(&decoded).iter().map(|n| format!("{{\"_id\":\"{n}\"}}")).collect();
        assert_eq!(ids, expected, "{text}");
    }
    let broken = decode("{\"_index\":\"i\",\n\"_source\":{\"s\":\"\\ud800\"}}\n{\"n\":1}");
    assert_eq!((numbers(&broken), broken.rejects.len()), (vec![1], 1));
}

#[test]
fn in_a_bulk_a_document_stays_one_line() {
    let text = "{\"index\":{}}\n{\"n\":1}{\"n\":2}\n{\"index\":{}}\n{\n\"n\":3}\n{\"n\":4}\n";
    let decoded = decode_form(Form::Elasticsearch, text.as_bytes());
    assert_eq!((numbers(&decoded), decoded.counts.rejects), (vec![4], 3));
    let decoded = decode(text);
    assert_eq!((numbers(&decoded), decoded.counts.actions), (vec![1, 2, 3, 4], 2));
}

/// A roll that an earlier build sealed has the rows and rejects of that build.
#[test]
fn earlier_revisions_take_one_document_a_line() {
    for revision in [Revision::First, Revision::Second] {
        let decoded = by(revision, Form::Ndjson, b"{\"n\":1}\n{\"n\":2}{\"n\":3}\n{\n\"n\":4\n}\n");
        assert_eq!(numbers(&decoded), [1], "{revision:?}");
        let hint = "trailing characters after the document at byte 8 (two documents in one line? \
                    send it with --data-binary)";
        let reasons: Vec<_> = rejects(&decoded).into_iter().map(|r| (r.0, r.1)).collect();
        let expected = [
            (2, hint),
            (3, "unexpected end of the line at byte 2"),
            (4, "not a JSON object at byte 1"),
            (5, "not a JSON object at byte 1"),
        ];
        assert_eq!(reasons, expected, "{revision:?}");
        let one = by(revision, Form::Ndjson, b"\n{\n\"n\":4\n}\n");
        assert_eq!(lines(&one), ["2"], "one document that is all of the body");
    }
}

#[test]
fn rows_without_a_value_in_any_column_are_counted() {
    let text = "{\"n\":1}\n{}{\"user.id\":1}\n{\"n\":null}\n{\"n\":\"text\"}\n{\"p\":{}}\nx\n";
    let counts = decode(text).counts;
    assert_eq!((counts.rows, counts.unmatched, counts.rejects), (6, 4, 1));
    assert_eq!(decode("[{},{\"n\":1}]").counts.unmatched, 1);
}

/// Bodies of lines that begin documents and never end them.
#[test]
fn hostile_bodies_are_read_a_bounded_number_of_times() {
    let size = 256 << 10;
    for line in [
        "{\n",
        "{\"a\":\n",
        "{\"a\":[\n",
        "{\"a\":{\"b\":[1,\n",
        "{\"a\":1,\n",
        "{\"a\":\"\\x\",\"b\":\n",
        "{\"a\":[{}\n",
        "{\"_index\":\n",
        "{\"_index\":\"i\",\"_source\":{\n",
        "{\"a\":[\n]},\n",
        "{\"index\":\n",
        " {\"a\":\n{\n",
        "{\"a\":01,\"b\":[\n",
        "{\"a\":01}",
        "{\"index\":1}",
        "{}",
        "{\"a\":\"\\x",
    ] {
        let body = body(Form::Ndjson, line.repeat(size / line.len()).as_bytes());
        let mut decoder = Decoder::new(small(), "node".into());
        let (mut progress, mut longest) = (Progress::NEW, 0);
        let limit = ReadLimit { lines: 32_768, bytes: 8 << 20, column_bytes: 8 << 20 };
        while !decoder.read(&body, &mut progress, limit) {
            longest = longest.max(decoder.finish().rejects.len());
        }
        let most = 5 * size + (4 << 20);
        assert!(progress.in_vain <= most, "{} bytes in vain: {line:?}", progress.in_vain);
    }
}

/// A way to join documents.
fn separators() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", " ", "\n", "\r\n", "\n\n", "\t", "\r", "\u{feff}", "\n\u{feff}"])
}

/// Rewrites a document with white space between its tokens.
fn pretty(text: &str, indent: &str) -> String {
    let (mut out, mut depth, mut string, mut escaped) = (String::new(), 0, false, false);
    for char in text.chars() {
        if string {
            out.push(char);
            string = escaped || char != '"';
            escaped = !escaped && char == '\\';
            continue;
        }
        string = char == '"';
        if matches!(char, '}' | ']') {
            depth -= 1;
            let _ = write!(out, "\n{}", indent.repeat(depth));
        }
        out.push(char);
        if matches!(char, '{' | '[') {
            depth += 1;
        }
        if matches!(char, '{' | '[' | ',') {
            let _ = write!(out, "\n{}", indent.repeat(depth));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The rows are those of one document a line, but for their positions.
    #[test]
    fn joined_documents_give_the_rows_of_one_a_line(
        seeds in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), separators(), 0..4_usize), 1..6),
    ) {
        let (mut lines, mut joined) = (String::new(), String::new());
        for (bytes, separator, form) in &seeds {
            let document = Source::new(bytes, false).document(&small().fields);
            let _ = writeln!(lines, "{document}");
            let document = match form {
                0 => pretty(&document, "  "),
                1 => pretty(&document, ""),
                2 => pretty(&document, "\t").replace('\n', "\r\n"),
                _ => document,
            };
            joined = joined + &document + separator;
        }
        let (one_a_line, joined) = (decode(&lines), decode(&joined));
        prop_assert_eq!(rejects(&joined), []);
        prop_assert_eq!(joined.counts, one_a_line.counts);
        let ids: std::collections::BTreeSet<_> = super::lines(&joined).into_iter().collect();
        prop_assert_eq!(ids.len(), seeds.len(), "positions are unique");
        // Values without a column keep the white space that they came with.
        prop_assert_eq!(documents(&joined), documents(&one_a_line));
    }

    /// Every byte that is no white space is in a row, a reject or an action, whatever the damage.
    #[test]
    fn damage_leaves_the_documents_around_it_alone(
        seeds in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 1..5),
        broken in prop::sample::select(vec![
            "{\"u\":[1,\n2", "{", "{\n\"s\": \"x", "{\"u\":{\n \"v\":", "nonsense", "{\"n\":1}}", "{\"n\":,\n\"s\":1\n}",
            "{\"u\":[\n  {\n    \"n\": 1\n  },,\n  {\n    \"n\": 2\n  }\n]\n}", "{\"s\":\"\\q\",\n\"n\":1}",
        ]),
    ) {
        let (mut text, mut good) = (String::new(), String::new());
        for (bytes, multiline) in &seeds {
            let document = Source::new(bytes, false).document(&small().fields);
            let _ = writeln!(good, "{document}");
            let document = if *multiline { pretty(&document, " ") } else { document };
            let _ = write!(text, "{document}\n{broken}\n");
        }
        let _ = writeln!(text, "{{\"n\":7}}\n");
        good += "{\"n\":7}\n";
        let decoded = decode(&text);
        prop_assert_eq!(documents(&decoded), documents(&decode(&good)), "{}", text);
        prop_assert!(decoded.counts.rejects >= seeds.len() as u64);
        let mut ids = super::lines(&decoded);
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), seeds.len() + 1, "positions are unique");
    }
}

#[test]
fn what_follows_an_array_on_the_last_line_is_read_once() {
    for (text, n) in [
        ("[{\"n\":1},\n{\"n\":2}] x", vec![1, 2]),
        ("[{\"n\":1},\n{\"n\":2}] x\n", vec![1, 2]),
        ("[{\"n\":1},\n{\"n\":2}] x\n{\"n\":3}", vec![1, 2, 3]),
    ] {
        let decoded = decode(text);
        assert_eq!((numbers(&decoded), rejects(&decoded).len()), (n, 1), "{text:?}");
    }
}
