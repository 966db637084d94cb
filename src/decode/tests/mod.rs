//! Tests of the decoder as a whole: the outcome of lines, of values, and of any bytes at all.

mod cost;
mod documents;
mod forms;
mod fuzz;
mod generate;
mod long;
mod members;
mod property;
mod unread;
mod values;

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::record::{Body, Form, Micros, Seq};
use crate::schema::{EXTRA, Field, INGEST_ID, Kind, TableSchema};

fn field(name: &str, aliases: &[&str], kind: Kind) -> Field {
    Field { aliases: aliases.iter().map(|a| (*a).into()).collect(), ..Field::new(name, kind) }
}

/// A small schema that has everything.
fn small() -> Arc<TableSchema> {
    let list = |kind| Kind::List(Box::new(kind));
    let item = vec![
        field("k", &[], Kind::String),
        field("v", &["value"], Kind::Double),
        field("tags", &[], list(Kind::String)),
        field("subs", &[], list(Kind::Struct(vec![field("q", &[], Kind::Long)]))),
    ];
    let record = vec![
        field("x", &["old_x"], Kind::Long),
        field("y", &[], Kind::String),
        field("z", &[], Kind::Struct(vec![field("w", &[], Kind::Double)])),
    ];
    let fields = vec![
        field("s", &["old_s", "older_s"], Kind::String),
        field("n", &["old_n"], Kind::Long),
        field("d", &[], Kind::Double),
        field("b", &[], Kind::Boolean),
        field("t", &["time"], Kind::TimestampMillis),
        field("ss", &[], list(Kind::String)),
        field("ll", &[], list(list(Kind::Long))),
        field("m", &["old_m"], Kind::Map(Box::new(Kind::String))),
        field("mn", &[], Kind::Map(Box::new(Kind::Long))),
        field("p", &[], Kind::Struct(record)),
        field("items", &["old_items"], list(Kind::Struct(item))),
    ];
    Arc::new(TableSchema {
        name: "small".into(),
        doc: String::new(),
        fields,
        fingerprint: String::new(),
        avsc: String::new(),
    })
}

fn body(form: Form, bytes: &[u8]) -> Body {
    Body {
        seq: Seq(7),
        received_at: Micros(1_700_000_000_000_001),
        table: "small".into(),
        form,
        first_line: 1,
        bytes: Bytes::copy_from_slice(bytes),
        stored: None,
    }
}

/// Decodes a body, whole and in parts; checks the sums.
fn decode_form(form: Form, bytes: &[u8]) -> Decoded {
    let mut decoder = Decoder::new(small(), "node".into());
    decoder.push(&body(form, bytes));
    let decoded = decoder.finish();
    assert_eq!(decoded.counts.rows, decoded.batch.num_rows() as u64);
    assert_eq!(decoded.counts.rejects, decoded.rejects.iter().map(|r| r.lines).sum::<u64>());
    assert_eq!(decoded.counts.lines, decoded.counts.rows + decoded.counts.rejects);
    for limit in [
        ReadLimit { lines: 1, ..ReadLimit::NONE },
        ReadLimit { lines: 7, bytes: 5, ..ReadLimit::NONE },
        ReadLimit { column_bytes: 40, ..ReadLimit::NONE },
    ] {
        same_in_parts(&decoded, &body(form, bytes), limit);
    }
    decoded
}

/// Decodes lines by `schema`.
fn decode_as(schema: &Arc<TableSchema>, bytes: &[u8]) -> Decoded {
    let mut decoder = Decoder::new(schema.clone(), "node".into());
    decoder.push(&body(Form::Ndjson, bytes));
    decoder.finish()
}

/// Reads `body` as the engine does, in parts of a batch each; checks that rows and rejects are
/// those of `whole`.
fn same_in_parts(whole: &Decoded, body: &Body, limit: ReadLimit) {
    let mut decoder = Decoder::new(small(), "node".into());
    let mut progress = Progress::NEW;
    let (mut batches, mut rejects, mut counts) = (Vec::new(), Vec::new(), Counts::default());
    loop {
        let before = progress.bytes();
        let ended = decoder.read(body, &mut progress, limit);
        let part = decoder.finish();
        assert!(ended || progress.bytes() > before, "a part that reads nothing");
        // Lines that are not read cost nothing each.
        let unread = part.rejects.iter().filter(|reject| reject.code == RejectCode::NotRead);
        let read = part.counts.lines - unread.map(|reject| reject.lines).sum::<u64>();
        assert!(read <= limit.lines.saturating_add(1));
        counts += part.counts;
        batches.push(part.batch);
        rejects.extend(part.rejects);
        if ended {
            break;
        }
    }
    assert_eq!(progress.bytes(), body.bytes.len());
    assert_eq!(concat_batches(&small().arrow(), &batches).unwrap(), whole.batch);
    assert_eq!((rejects, counts), (whole.rejects.clone(), whole.counts));
}

fn decode(bytes: impl AsRef<[u8]>) -> Decoded {
    decode_form(Form::Ndjson, bytes.as_ref())
}

/// The documents of the rows.
fn documents(decoded: &Decoded) -> Vec<Value> {
    let rows = 0..decoded.batch.num_rows();
    let document = |row| to_document(&decoded.batch, row, &small()).unwrap();
    rows.map(|row| serde_json::to_value(document(row)).unwrap()).collect()
}

/// The rejects, shortly: line, reason, bytes.
fn rejects(decoded: &Decoded) -> Vec<(u64, &str, String)> {
    let short = |r: &'_ Reject| String::from_utf8_lossy(&r.raw).into_owned();
    decoded.rejects.iter().map(|r| (r.line, r.reason.as_str(), short(r))).collect()
}

fn texts(decoded: &Decoded, column: &str) -> Vec<Option<String>> {
    let column = decoded.batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.map(String::from)).collect()
}

/// `_extra` of the only row.
fn extra(document: &str) -> Option<String> {
    let decoded = decode(document);
    assert_eq!(rejects(&decoded), [], "{document}");
    texts(&decoded, EXTRA).remove(0)
}

fn lines(decoded: &Decoded) -> Vec<String> {
    let ids = texts(decoded, INGEST_ID).into_iter().flatten();
    ids.map(|id| id.strip_prefix("node-7-").unwrap().to_owned()).collect()
}
