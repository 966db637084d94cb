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

use crate::bulk_action::{self, Verb};

use super::body_budget::Reserved;
use super::endpoint::{Endpoint, index_name};
use super::reply::{self, Refusal, Response};

pub(super) use asked::{Asked, asked};

/// Most actions of a bulk: an action of a few bytes costs many times that in the answer.
const MOST_ACTIONS: usize = 100_000;
/// The longest answer.
pub(super) const MOST_ANSWER_BYTES: usize = 32 << 20;
/// What an action costs in the answer besides its `_id` and the index that it names itself.
const MOST_ITEM_BYTES: u64 = 400;
/// A byte order mark, which some clients put before the first line.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// The longest `_id`, as Elasticsearch has it.
const MOST_ID_BYTES: usize = 512;

/// How a bulk was asked for.
#[derive(Clone, Debug)]
pub(super) struct Bulk {
    pub(super) index: Option<String>,
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
}

/// The lines for one table: where they are in the body, pairs of an action and its document.
#[derive(Debug, Default)]
pub(super) struct Part {
    pieces: Vec<(usize, usize)>,
    pub(super) documents: u64,
    /// What a copy of them has; none where the body is nothing else.
    pub(super) copied_bytes: u64,
}

impl Part {
    /// The lines, and a line feed for each of the others before them.
    pub(super) fn bytes(&self, body: &Bytes) -> Bytes {
        match self.copied_bytes {
            0 => body.clone(),
            _ => pick(body, &self.pieces),
        }
    }
}

impl Split {
    /// What the answer holds.
    pub(super) fn answer_bytes(&self) -> u64 {
        (self.items.capacity() + HEAD_BYTES) as u64
    }

    /// The most that is held at one time besides the body and the answer: a copy for one table.
    pub(super) fn copied_bytes(&self) -> u64 {
        self.parts.values().map(|part| part.copied_bytes).max().unwrap_or_default()
    }

    /// The answer, once the parts are durable; it holds `reserved` until it has gone out.
    pub(super) fn response(self, took: Duration, reserved: Reserved) -> Response {
        let Split { items: mut text, errors, .. } = self;
        let took = took.as_millis();
        text.reserve_exact(HEAD_BYTES);
        text.insert_str(0, &format!(r#"{{"took":{took},"errors":{errors},"items":["#));
        text.push_str("]}");
        product(reply::json(StatusCode::OK, Arc::new(reserved).hold(text.into())))
    }
}

/// What the answer has around its items.
const HEAD_BYTES: usize = 64;

/// The most that [`split`] can make the answer to `body` hold, if it is no more than that.
pub(super) fn most_answer_bytes(body: &[u8]) -> u64 {
    let lines = memchr::memchr_iter(b'\n', body).count().min(MOST_ACTIONS) as u64;
    let most = (lines + 1) * MOST_ITEM_BYTES + body.len() as u64;
    most.min(MOST_ANSWER_BYTES as u64)
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
        !bulk_action::is_blank(bytes)
    })
}

/// Takes a bulk apart, and writes the items of its answer. Copies nothing of it.
pub(super) fn split(endpoint: &Endpoint, bulk: &Bulk, body: &[u8]) -> Result<Split, Refusal> {
    let body_ = body.strip_prefix(BOM).unwrap_or(body);
    let skipped = body.len() - body_.len();
    let salt = xxhash_rust::xxh3::xxh3_64(body);
    let mut parts: BTreeMap<Arc<str>, Part> = BTreeMap::new();
    let (mut items, mut errors, mut actions) = (String::new(), false, 0);
    let mut lines = lines(body_);
    while let Some(line) = lines.next() {
        let text = body_.get(line.start..line.end).unwrap_or_default();
        let bad = |what| Err(Refusal::Bulk { line: line.number, what });
        let Some(action) = bulk_action::read(text) else {
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
        let index = named.as_deref().or(bulk.index.as_deref()).unwrap_or("sessionlake");
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
            let part = parts.entry(Arc::clone(table)).or_default();
            part.documents += 1;
            match part.pieces.last_mut() {
                // Neighbours are one piece: a bulk for one table is one piece in the end.
                Some((_, end)) if *end == line.start => *end = document.end,
                _ => part.pieces.push((line.start, document.end)),
            }
        }
        errors |= outcome.is_err();
        // What is no name of an index is of any length, and is not repeated.
        let told = if index_name(index) { index } else { "" };
        item(&mut items, action.verb, (!bulk.brief).then_some((told, &*id)), &outcome);
        if items.len() > MOST_ANSWER_BYTES - HEAD_BYTES {
            return Err(Refusal::AnswerTooLong { limit_bytes: MOST_ANSWER_BYTES });
        }
    }
    let blank = |piece: Option<&[u8]>| bulk_action::is_blank(piece.unwrap_or_default());
    for part in parts.values_mut() {
        let whole = match part.pieces.as_slice() {
            [(start, end)] => blank(body_.get(..*start)) && blank(body_.get(*end..)),
            _ => false,
        };
        if !whole || skipped > 0 {
            part.copied_bytes = picked_bytes(body_, &part.pieces);
        }
    }
    items.shrink_to_fit();
    Ok(Split { parts, items, errors })
}

/// What [`pick`] makes of `pieces`.
fn picked_bytes(body: &[u8], pieces: &[(usize, usize)]) -> u64 {
    let mut at = 0;
    let counted = pieces.iter().map(|(start, end)| {
        let between = body.get(at..*start).unwrap_or_default();
        at = *end;
        memchr::memchr_iter(b'\n', between).count() + (end - start)
    });
    counted.sum::<usize>() as u64
}

/// The pieces of `body`, with the line feeds of what is between them.
fn pick(body: &[u8], pieces: &[(usize, usize)]) -> Bytes {
    let body = body.strip_prefix(BOM).unwrap_or(body);
    let mut out = Vec::with_capacity(picked_bytes(body, pieces) as usize);
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
