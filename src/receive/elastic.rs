//! The Elasticsearch form: what its clients ask, and their bulks.
//!
//! | asked | answered |
//! |---|---|
//! | `PUT`, `POST` `/_bulk`, `/{index}/_bulk` | an item for each action, in order |
//! | `GET`, `HEAD` `/` | name and version |
//! | `GET` `/_cluster/health`, `/_license` | green, active |
//! | `HEAD`, `GET`, `PUT` of index templates and the like | there, or acknowledged: the lake's schema is what counts |
//! | `HEAD` `/{index}`, `PUT` `/{index}` | there, acknowledged |
//! | anything else | 404 |
//!
//! `index` and `create` are stored (201); `update` and `delete` are errors of their items, as an
//! append-only table cannot do them, and so is an index that no table is for. A bulk whose action
//! lines cannot be read is refused whole. Documents are not looked at: one that is no JSON goes to
//! quarantine. Lines that are not stored leave an empty line in their place, so that the positions
//! of the others are those of the bulk.
//!
//! Where the receiver answers 503 for want of room, clients of this form get 429, which they take
//! for what it is.

mod asked;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use warp::http::StatusCode;
use warp::http::header::HeaderValue;

use crate::bulk::{self, Verb};

use super::endpoint::{Endpoint, index_name};
use super::reply::{self, Refusal, Response};

pub(super) use asked::{Asked, asked};

/// Most actions of a bulk: an action of a few bytes costs many times that in the answer.
const MOST_ACTIONS: usize = 100_000;
/// The longest `_id`, as Elasticsearch has it.
const MOST_ID_BYTES: usize = 512;

/// How a bulk was asked for.
pub(super) struct Bulk<'a> {
    pub(super) index: Option<&'a str>,
    /// Only errors and statuses are wanted.
    pub(super) brief: bool,
}

/// A refusal in this form.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let status = match refusal.retry_after() {
        // Fluent Bit, Logstash and the official clients send it again later.
        Some(_) if refusal.status() == StatusCode::SERVICE_UNAVAILABLE => {
            StatusCode::TOO_MANY_REQUESTS
        }
        _ => refusal.status(),
    };
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "es_rejected_execution_exception",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "security_exception",
        StatusCode::PAYLOAD_TOO_LARGE => "content_too_long_exception",
        status if status.is_server_error() => "unavailable_exception",
        _ => "illegal_argument_exception",
    };
    let mut response = error(status, kind, &refusal.to_string());
    if let Some((name, value)) = refusal.header() {
        response.headers_mut().insert(name, value);
    }
    response
}

fn error(status: StatusCode, kind: &str, reason: &str) -> Response {
    let cause = cause(kind, reason);
    let text = format!(
        r#"{{"error":{{"root_cause":[{{{cause}}}],{cause}}},"status":{}}}"#,
        status.as_u16()
    );
    product(reply::json(status, text))
}

/// `"type":…,"reason":…`
fn cause(kind: &str, reason: &str) -> String {
    format!(r#""type":{},"reason":{}"#, Value::from(kind), Value::from(reason))
}

/// Clients believe that they speak to what they were made for only with this header.
fn product(mut response: Response) -> Response {
    let value = HeaderValue::from_static("Elasticsearch");
    response.headers_mut().insert("x-elastic-product", value);
    response
}

/// A bulk taken apart.
#[derive(Debug)]
pub(super) struct Split {
    /// What goes to each table.
    pub(super) parts: BTreeMap<Arc<str>, Part>,
    items: String,
    errors: bool,
    copied_bytes: u64,
}

/// The lines for one table.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) documents: u64,
}

impl Split {
    /// Memory that is held besides the body.
    pub(super) fn held_bytes(&self) -> u64 {
        self.copied_bytes + self.items.capacity() as u64
    }

    /// The answer, once the parts are durable.
    pub(super) fn response(self, took: Duration) -> Response {
        let Split { items, errors, .. } = self;
        let took = took.as_millis();
        let text = format!(r#"{{"took":{took},"errors":{errors},"items":[{items}]}}"#);
        product(reply::json(StatusCode::OK, text))
    }
}

/// A line of the bulk with more than white space in it.
struct Line {
    number: u64,
    start: usize,
    end: usize,
}

/// Lines that have more than white space.
fn lines(body: &[u8]) -> impl Iterator<Item = Line> {
    let ends = memchr::memchr_iter(b'\n', body).map(|end| end + 1).chain([body.len()]);
    let mut start = 0;
    let all = ends.zip(1..).map(move |(end, number)| {
        let line = Line { number, start, end };
        start = end;
        line
    });
    all.filter(|line| {
        let bytes = body.get(line.start..line.end).unwrap_or_default();
        !bulk::is_blank(bytes)
    })
}

/// Where the lines of a table are in the body: pairs of an action and its document.
struct Chosen {
    pieces: Vec<(usize, usize)>,
    documents: u64,
}

/// Takes a bulk apart, and writes the items of its answer.
pub(super) fn split(endpoint: &Endpoint, bulk: &Bulk<'_>, body: &Bytes) -> Result<Split, Refusal> {
    let body_ = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let skipped = body.len() - body_.len();
    let salt = xxhash_rust::xxh3::xxh3_64(body);
    let mut chosen: BTreeMap<Arc<str>, Chosen> = BTreeMap::new();
    let (mut items, mut errors, mut actions) = (String::new(), false, 0);
    let mut lines = lines(body_);
    while let Some(line) = lines.next() {
        let text = body_.get(line.start..line.end).unwrap_or_default();
        let bad = |what| Err(Refusal::Bulk { line: line.number, what });
        let Some(action) = bulk::read(text) else {
            return bad("is no action (index or create, and what it is about)");
        };
        actions += 1;
        if actions > MOST_ACTIONS {
            return Err(Refusal::TooManyActions { limit: MOST_ACTIONS });
        }
        let document = match action.verb {
            Verb::Delete => None,
            _ => match lines.next() {
                Some(document) => Some(document),
                None => return bad("has no document after it"),
            },
        };
        let named = action.text("_index");
        if action.get("_index").is_some() && named.is_none() {
            return bad("has an _index that is no text");
        }
        let index = named.as_deref().or(bulk.index).unwrap_or("sessionlake");
        let id = match action.text("_id") {
            Some(id) if id.len() > MOST_ID_BYTES => {
                return bad("has an _id of more than 512 bytes");
            }
            Some(id) => id,
            None => format!("{salt:016x}-{}", line.number),
        };
        let outcome = match (action.verb, index_name(index)) {
            (Verb::Update | Verb::Delete, _) => Err((
                StatusCode::BAD_REQUEST,
                "illegal_argument_exception",
                "an append-only table takes index and create",
            )),
            (_, false) => Err((
                StatusCode::BAD_REQUEST,
                "invalid_index_name_exception",
                "no name that is taken here",
            )),
            (_, true) => endpoint.table_of(index).ok_or((
                StatusCode::NOT_FOUND,
                "index_not_found_exception",
                "no table is for this index",
            )),
        };
        if let (Ok(table), Some(document)) = (&outcome, &document) {
            let chosen = chosen
                .entry(Arc::clone(table))
                .or_insert_with(|| Chosen { pieces: Vec::new(), documents: 0 });
            chosen.documents += 1;
            match chosen.pieces.last_mut() {
                // Neighbours are one piece: a bulk for one table is one piece in the end.
                Some((_, end)) if *end == line.start => *end = document.end,
                _ => chosen.pieces.push((line.start, document.end)),
            }
        }
        errors |= outcome.is_err();
        item(&mut items, action.verb, (!bulk.brief).then_some((index, &*id)), &outcome);
    }
    let mut split = Split { parts: BTreeMap::new(), items, errors, copied_bytes: 0 };
    for (table, chosen) in chosen {
        let documents = chosen.documents;
        let whole = match chosen.pieces.as_slice() {
            [(start, end)] => {
                bulk::is_blank(body_.get(..*start).unwrap_or_default())
                    && bulk::is_blank(body_.get(*end..).unwrap_or_default())
            }
            _ => false,
        };
        let bytes = if whole && skipped == 0 { body.clone() } else { pick(body_, &chosen.pieces) };
        if !whole {
            split.copied_bytes += bytes.len() as u64;
        }
        split.parts.insert(table, Part { bytes, documents });
    }
    Ok(split)
}

/// The pieces of `body`, with the line feeds of what is between them.
fn pick(body: &[u8], pieces: &[(usize, usize)]) -> Bytes {
    let mut out = Vec::new();
    let mut at = 0;
    for (start, end) in pieces {
        let between = body.get(at..*start).unwrap_or_default();
        out.resize(out.len() + memchr::memchr_iter(b'\n', between).count(), b'\n');
        out.extend_from_slice(body.get(*start..*end).unwrap_or_default());
        at = *end;
    }
    out.into()
}

/// Writes one item of the answer.
fn item(
    out: &mut String,
    verb: Verb,
    named: Option<(&str, &str)>,
    outcome: &Result<&Arc<str>, (StatusCode, &str, &str)>,
) {
    let between = if out.is_empty() { "" } else { "," };
    // Writing to a String cannot fail, here and below.
    let _ = write!(out, r#"{between}{{"{}":{{"#, verb.name());
    if let Some((index, id)) = named {
        let _ = write!(out, r#""_index":{},"_id":{},"#, Value::from(index), Value::from(id));
    }
    let _ = match outcome {
        Ok(_) if named.is_some() => {
            write!(out, r#""_version":1,"result":"created","status":201}}}}"#)
        }
        Ok(_) => write!(out, r#""status":201}}}}"#),
        Err((status, kind, reason)) => {
            write!(out, r#""status":{},"error":{{{}}}}}}}"#, status.as_u16(), cause(kind, reason))
        }
    };
}

#[cfg(test)]
mod tests;
