//! The answer to a bulk: one item for each action.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use warp::http::StatusCode;

use super::response::{cause, with_product};
use crate::http::body_budget::Reservation;
use crate::http::endpoint::Endpoint;
use crate::http::refusal::Refusal;
use crate::http::reply::{self, Response};
use crate::intake::bulk::{self, Action, MAX_ACTIONS, Outcome, TablePart};
use crate::intake::is_index_name;

/// The longest answer, in bytes.
pub(in crate::http) const MAX_ANSWER_BYTES: usize = 32 << 20;
/// The most bytes of an item besides its `_id` and an index that the action itself names.
const MAX_ITEM_BYTES: u64 = 400;
/// The bytes of an answer around its items.
pub(super) const HEAD_BYTES: usize = 64;

/// The parameters of a bulk that are not in its body.
#[derive(Clone, Debug)]
pub(in crate::http) struct Bulk {
    /// The index of actions that name none.
    pub(in crate::http) index: Option<String>,
    /// The client wants errors and statuses only.
    pub(in crate::http) brief: bool,
}

/// The answer to a bulk.
#[derive(Debug)]
pub(in crate::http) struct BulkAnswer {
    /// The items: JSON objects with commas between them.
    pub(super) items: String,
    pub(super) errors: bool,
    brief: bool,
    /// Prefix of the ids of documents that came without one.
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
        if items.len() > MAX_ANSWER_BYTES - HEAD_BYTES {
            return Err(Refusal::AnswerTooLong { limit_bytes: MAX_ANSWER_BYTES });
        }
        Ok(())
    }

    /// Returns the bytes of memory that the answer takes.
    pub(in crate::http) fn memory_bytes(&self) -> u64 {
        (self.items.capacity() + HEAD_BYTES) as u64
    }

    /// Returns the response, to be sent once all parts are durable. It holds `reservation` until its
    /// last byte has been sent.
    pub(in crate::http) fn into_response(
        self,
        took: Duration,
        reservation: Reservation,
    ) -> Response {
        let BulkAnswer { items: mut text, errors, .. } = self;
        let took = took.as_millis();
        text.reserve_exact(HEAD_BYTES);
        text.insert_str(0, &format!(r#"{{"took":{took},"errors":{errors},"items":["#));
        text.push_str("]}");
        with_product(reply::json(StatusCode::OK, Arc::new(reservation).hold(text.into())))
    }
}

/// Returns the most bytes of memory that the answer to `body` can take.
pub(in crate::http) fn max_answer_bytes(body: &[u8]) -> u64 {
    let lines = memchr::memchr_iter(b'\n', body).count().min(MAX_ACTIONS) as u64;
    let most = (lines + 1) * MAX_ITEM_BYTES + body.len() as u64;
    most.min(MAX_ANSWER_BYTES as u64)
}

/// Splits a bulk by table, and writes its answer. Copies nothing of the bulk.
///
/// # Errors
/// [`Refusal`]: the bulk is refused whole.
pub(in crate::http) fn split(
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
