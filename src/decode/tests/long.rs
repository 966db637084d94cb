//! Lines and documents beyond the limit, in memory and in windows.

use arrow::array::RecordBatch;

use super::*;
use crate::record::{StoredText, TextInMemory};
use crate::search::Dice;

const LIMIT: usize = 100;

/// A reject: line, code, bytes.
type Short = (u64, RejectCode, String);

fn decoder() -> Decoder {
    Decoder::new(small(), "node".into()).with_line_limit(Some(LIMIT as u64))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Decodes a body that is in memory.
fn whole(form: Form, bytes: &[u8]) -> (RecordBatch, Vec<Short>, Counts) {
    let mut decoder = decoder();
    decoder.push(&body(form, bytes));
    let decoded = decoder.finish();
    let short = |reject: &Reject| (reject.line, reject.code, text(&reject.raw));
    let rejects = decoded.rejects.iter().map(short).collect();
    (decoded.batch, rejects, decoded.counts)
}

/// Decodes a body in windows of `more` bytes beyond the least.
fn in_windows(
    form: Form,
    bytes: &[u8],
    more: usize,
    limit: ReadLimit,
) -> (RecordBatch, Vec<Short>, Counts) {
    let stored: Arc<dyn StoredText> = Arc::new(TextInMemory(bytes.to_vec()));
    let (mut decoder, mut progress) = (decoder(), Progress::NEW);
    let (mut batches, mut rejects, mut counts) = (Vec::new(), Vec::new(), Counts::default());
    let (mut most, mut calls) = (0, 0);
    loop {
        if progress.is_starved() || progress.window().is_empty() {
            let rest = progress.slide();
            let start = usize::try_from(progress.window_start()).unwrap();
            assert_eq!(rest, bytes[start..start + rest.len()]);
            let least = rest.len().max(LIMIT + 200);
            let end = bytes.len().min(start + least + more);
            most = most.max(end - start);
            progress.set_window(Bytes::copy_from_slice(&bytes[start..end]));
        }
        let head = body(form, b"");
        let bytes_of = progress.window().clone();
        let window = Body { bytes: bytes_of, stored: Some(Arc::clone(&stored)), ..head };
        let ended = decoder.read(&window, &mut progress, limit);
        let part = decoder.finish();
        counts += part.counts;
        batches.push(part.batch);
        for reject in part.rejects {
            let mut raw = reject.raw.to_vec();
            if let Some(stored) = &reject.stored {
                assert!(raw.is_empty());
                stored
                    .read(7, |piece| {
                        raw.extend_from_slice(piece);
                        Ok(())
                    })
                    .unwrap();
            }
            rejects.push((reject.line, reject.code, text(&raw)));
        }
        calls += 1;
        assert!(calls < 10 * bytes.len() + 10, "it does not get on");
        if ended {
            break;
        }
    }
    assert!(most <= 2 * (LIMIT + 200) + more, "a window of {most}");
    (concat_batches(&small().arrow(), &batches).unwrap(), rejects, counts)
}

/// Decodes a body, and checks that it does not matter how.
fn decode_by_limit(form: Form, bytes: &[u8]) -> (RecordBatch, Vec<Short>) {
    let expected = whole(form, bytes);
    let (batch, rejects, counts) = &expected;
    assert_eq!(counts.rows, batch.num_rows() as u64);
    assert_eq!(counts.rejects, rejects.len() as u64);
    for (more, limit) in [
        (1, ReadLimit::NONE),
        (37, ReadLimit { lines: 1, ..ReadLimit::NONE }),
        (300, ReadLimit { lines: 7, bytes: 50, ..ReadLimit::NONE }),
    ] {
        let found = in_windows(form, bytes, more, limit);
        assert_eq!(found.1, expected.1, "{}", text(bytes));
        assert_eq!(found.2, expected.2, "{}", text(bytes));
        assert_eq!(found.0, expected.0, "{}", text(bytes));
    }
    (expected.0, expected.1)
}

/// Returns a document of `bytes` bytes.
fn document(bytes: usize) -> String {
    format!("{{\"s\":\"{}\"}}", "x".repeat(bytes - 8))
}

fn ids(batch: &RecordBatch) -> Vec<String> {
    let ids = batch.column_by_name(INGEST_ID).unwrap().as_string::<i32>();
    ids.iter().flatten().map(|id| id.strip_prefix("node-7-").unwrap().to_owned()).collect()
}

#[test]
fn a_line_of_the_limit_is_a_row_and_a_longer_one_is_none() {
    let (most, more) = (document(LIMIT), document(LIMIT + 1));
    for end in ["", "\n", "\r\n", "\n{}", " \n", "{}\n"] {
        for form in [Form::Ndjson, Form::Elasticsearch] {
            // There, all of the line counts.
            if form == Form::Elasticsearch && end.starts_with(['{', ' ']) {
                continue;
            }
            let rows = 1 + usize::from(end.contains('{'));
            let (batch, rejects) = decode_by_limit(form, format!("{most}{end}").as_bytes());
            assert_eq!((batch.num_rows(), rejects.len()), (rows, 0), "{end:?}");
            let (batch, rejects) = decode_by_limit(form, format!("{more}{end}").as_bytes());
            assert_eq!(batch.num_rows(), rows - 1, "{end:?}");
            let [(1, RejectCode::TooLong, raw)] = &rejects[..] else { panic!("{rejects:?}") };
            assert_eq!(raw.trim_end(), more);
        }
    }
}

#[test]
fn what_is_too_long_takes_nothing_else_along() {
    let long = document(1000);
    let pretty = format!("{{\n  \"s\": \"{}\",\n  \"items\": [\n{{}}\n]\n}}", "x".repeat(300));
    let text = format!("{{}}\n{long}\n{{}}{long}{{}}\n{pretty}\n{{}}\n{}\n{{}}", "x".repeat(777));
    let (batch, rejects) = decode_by_limit(Form::Ndjson, text.as_bytes());
    assert_eq!(ids(&batch), ["1", "3", "3.3", "10", "12"]);
    let expected = [(2, &long), (3, &long), (4, &pretty), (11, &"x".repeat(777))];
    let expected = expected.map(|(line, text)| (line, RejectCode::TooLong, text.clone()));
    assert_eq!(rejects, expected);
}

#[test]
fn one_line_that_never_ends_is_one_reject() {
    for begin in ["x", "{\"s\":\"", "{\"s\":[1,", "[", "[1,\"", "\"", "{\"index\":{}}\n{\"a\":\""] {
        for form in [Form::Ndjson, Form::Elasticsearch] {
            let text = format!("{begin}{}", "1".repeat(5000));
            let (batch, rejects) = decode_by_limit(form, text.as_bytes());
            assert_eq!(batch.num_rows(), 0);
            assert!(rejects.len() <= 3, "{begin}: {rejects:?}");
            assert!(rejects.iter().any(|(.., raw)| raw.len() >= 5000), "{begin}");
        }
    }
}

#[test]
fn each_element_of_an_array_has_the_limit() {
    let (short, long) = (document(LIMIT), document(500));
    let text = format!("[{short},{long}, {short} ,\n{short},{long}]\n{short}");
    let (batch, rejects) = decode_by_limit(Form::Ndjson, text.as_bytes());
    assert_eq!(ids(&batch), ["1", "3", "4", "6"]);
    let codes: Vec<_> = rejects.iter().map(|(line, code, raw)| (*line, *code, &**raw)).collect();
    assert_eq!(codes, [(2, RejectCode::TooLong, &*long), (5, RejectCode::TooLong, &*long)]);
    let many = vec![short; 50].join(",");
    let (batch, rejects) = decode_by_limit(Form::Ndjson, format!("[{many}]").as_bytes());
    assert_eq!((batch.num_rows(), rejects.len()), (50, 0), "of an array that is longer");
}

#[test]
fn bulk_actions_and_their_documents_may_be_too_long() {
    let long = document(500);
    let text = format!(
        "{{\"index\":{{\"_id\":\"1\"}}}}\n{long}\n{{\"index\":{{\"_id\":\"{}\"}}}}\n{{}}\n\
         {{\"index\":{{\"_id\":\"3\"}}}}\n{{\"n\":3}}\n",
        "y".repeat(500)
    );
    for form in [Form::Ndjson, Form::Elasticsearch] {
        let (batch, rejects) = decode_by_limit(form, text.as_bytes());
        assert_eq!(ids(&batch), ["4", "6"]);
        assert_eq!(rejects.iter().map(|(line, ..)| *line).collect::<Vec<_>>(), [2, 3]);
    }
}

#[test]
fn earlier_revisions_have_no_limit() {
    let long = document(3 << 20);
    let mut decoder =
        Decoder::new(small(), "node".into()).by_revision(crate::table::Revision::Third);
    decoder.push(&body(Form::Ndjson, long.as_bytes()));
    assert_eq!(decoder.finish().counts.rows, 1);
}

#[test]
fn in_windows_any_body_is_what_it_is_in_memory() {
    for seed in 0..400 {
        let mut dice = Dice(seed * 7919 + 1);
        let mut text = String::new();
        let array = dice.one_in(4);
        if array {
            text.push('[');
        }
        for _ in 0..20 {
            let size = if dice.one_in(4) {
                90 + usize::from(dice.byte()) * 4
            } else {
                9 + usize::from(dice.byte()) / 4
            };
            let piece = match (array, dice.byte() % 12) {
                (true, 0) => format!("\"{}\"", "y".repeat(size)),
                (_, 0) => "x".repeat(size),
                (false, 1) => format!("{{\"s\": \"{}", "z".repeat(size)),
                (false, 2) => {
                    format!("{{\n\"s\":\"{}\",\n\"ss\":[\"a\",\n\"b\"]\n}}", "p".repeat(size))
                }
                (false, 3) => "{\"index\":{\"_id\":\"7\"}}".into(),
                (false, 4) => "{\"delete\":{\"_id\":\"7\"}}".into(),
                (_, 5) => format!("{{\"ss\":[{}]}}", vec!["\"a,]\\\"}\""; size / 9 + 1].join(", ")),
                (_, 6) => format!("{{\"ü\":{{\"q\":\"{}\"}}}}", "ü".repeat(size / 2)),
                (_, 7) => {
                    format!("{{\"_index\":\"i\",\"_id\":\"1\",\"_source\":{}}}", document(size))
                }
                _ => document(size),
            };
            text.push_str(&piece);
            text.push_str(match (array, dice.byte() % 8) {
                (true, n) => {
                    if n == 0 {
                        " ,\n"
                    } else {
                        ","
                    }
                }
                (_, 0) => "",
                (_, 1) => "\n\n \n",
                (_, 2) => "\r\n",
                _ => "\n",
            });
        }
        if array {
            text.push_str("{}]\n{}\n");
        }
        let form = if dice.one_in(4) { Form::Elasticsearch } else { Form::Ndjson };
        decode_by_limit(form, text.as_bytes());
    }
}
