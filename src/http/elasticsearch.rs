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

use serde_json::Value;
use warp::http::StatusCode;
use warp::http::header::HeaderValue;

use crate::intake::bulk::{self, Action, MAX_ACTIONS, Outcome, TablePart};
use crate::intake::is_index_name;

use super::body_budget::Reserved;
use super::endpoint::Endpoint;
use super::reply::{self, Refusal, Response};

pub(super) use asked::{Asked, asked};

/// The longest answer.
pub(super) const MOST_ANSWER_BYTES: usize = 32 << 20;
/// What an action costs in the answer besides its `_id` and the index that it names itself.
const MOST_ITEM_BYTES: u64 = 400;

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

/// The answer to a bulk: an item for each action, in order.
#[derive(Debug)]
pub(super) struct BulkAnswer {
    items: String,
    errors: bool,
    brief: bool,
    /// Begins the ids of documents that came without one.
    salt: u64,
}

impl BulkAnswer {
    fn new(bulk: &Bulk, body: &[u8]) -> BulkAnswer {
        let salt = xxhash_rust::xxh3::xxh3_64(body);
        BulkAnswer { items: String::new(), errors: false, brief: bulk.brief, salt }
    }

    /// Appends the item of an action.
    ///
    /// # Errors
    /// [`Refusal::AnswerTooLong`].
    fn push(&mut self, action: &Action<'_>) -> Result<(), Refusal> {
        let error = match action.outcome {
            Outcome::Stored(_) => None,
            Outcome::AppendOnly => Some((
                StatusCode::BAD_REQUEST,
                "illegal_argument_exception",
                "an append-only table takes index and create",
            )),
            Outcome::InvalidIndex => Some((
                StatusCode::BAD_REQUEST,
                "invalid_index_name_exception",
                "no name that is taken here",
            )),
            Outcome::NoTable => Some((
                StatusCode::NOT_FOUND,
                "index_not_found_exception",
                "no table is for this index",
            )),
        };
        self.errors |= error.is_some();
        let items = &mut self.items;
        let between = if items.is_empty() { "" } else { "," };
        // Writing to a String cannot fail, here and below.
        let _ = write!(items, r#"{between}{{"{}":{{"#, action.verb.name());
        if !self.brief {
            // An index that is no index name can have any length, and is not repeated.
            let index = if is_index_name(action.index) { action.index } else { "" };
            let id = match action.id {
                Some(id) => Value::from(id),
                None => Value::from(format!("{:016x}-{}", self.salt, action.line)),
            };
            let _ = write!(items, r#""_index":{},"_id":{id},"#, Value::from(index));
        }
        let _ = match error {
            None if !self.brief => {
                write!(items, r#""_version":1,"result":"created","status":201}}}}"#)
            }
            None => write!(items, r#""status":201}}}}"#),
            Some((status, kind, reason)) => {
                let (status, cause) = (status.as_u16(), cause(kind, reason));
                write!(items, r#""status":{status},"error":{{{cause}}}}}}}"#)
            }
        };
        if items.len() > MOST_ANSWER_BYTES - HEAD_BYTES {
            return Err(Refusal::AnswerTooLong { limit_bytes: MOST_ANSWER_BYTES });
        }
        Ok(())
    }

    /// Returns the bytes of memory that the answer takes.
    pub(super) fn memory_bytes(&self) -> u64 {
        (self.items.capacity() + HEAD_BYTES) as u64
    }

    /// Returns the response, to be sent once all parts are durable. It holds `reserved` until its
    /// last byte has been sent.
    pub(super) fn into_response(self, took: Duration, reserved: Reserved) -> Response {
        let BulkAnswer { items: mut text, errors, .. } = self;
        let took = took.as_millis();
        text.reserve_exact(HEAD_BYTES);
        text.insert_str(0, &format!(r#"{{"took":{took},"errors":{errors},"items":["#));
        text.push_str("]}");
        product(reply::json(StatusCode::OK, Arc::new(reserved).hold(text.into())))
    }
}

/// What the answer has around its items.
const HEAD_BYTES: usize = 64;

/// Returns the most bytes of memory that the answer to `body` can take.
pub(super) fn most_answer_bytes(body: &[u8]) -> u64 {
    let lines = memchr::memchr_iter(b'\n', body).count().min(MAX_ACTIONS) as u64;
    let most = (lines + 1) * MOST_ITEM_BYTES + body.len() as u64;
    most.min(MOST_ANSWER_BYTES as u64)
}

/// Splits a bulk by table, and writes its answer. Copies nothing of the bulk.
///
/// # Errors
/// [`Refusal`]: the bulk is refused whole.
pub(super) fn split(
    endpoint: &Endpoint,
    bulk: &Bulk,
    body: &[u8],
) -> Result<(BTreeMap<Arc<str>, TablePart>, BulkAnswer), Refusal> {
    let mut answer = BulkAnswer::new(bulk, body);
    let index = bulk.index.as_deref();
    let table_of = |index: &str| endpoint.table_of(index);
    let parts = bulk::split(body, index, table_of, |action| answer.push(action))?;
    answer.items.shrink_to_fit();
    Ok((parts, answer))
}

#[cfg(test)]
mod tests;
