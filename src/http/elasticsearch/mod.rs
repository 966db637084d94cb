//! The Elasticsearch form: bulks, and the inquiries that clients make around them.
//!
//! | request | response |
//! |---|---|
//! | `PUT`, `POST` `/_bulk`, `/{index}/_bulk` | an item for each action, in order |
//! | `GET`, `HEAD` `/` | name and version |
//! | `GET` `/_cluster/health`, `/_license` | green, active |
//! | `HEAD`, `GET`, `PUT` of index templates and the like | there, or acknowledged: the lake's schema is what counts |
//! | `HEAD` `/{index}`, `PUT` `/{index}` | there, acknowledged |
//! | anything else | 404 |
//!
//! `index` and `create` are stored (201). `update` and `delete` are errors of their items, as an
//! append-only table cannot do them, and so is an index that no table is for. Documents are not
//! looked at: one that is no JSON goes to quarantine. [`crate::intake::bulk`] splits a bulk; the
//! items of its answer are written here.

mod bulk_answer;
pub(super) mod client_request;
mod inquiry;
mod response;
#[cfg(test)]
mod tests;

pub(super) use bulk_answer::{Bulk, MAX_ANSWER_BYTES, max_answer_bytes, split};
pub(super) use client_request::ClientRequest;
pub(super) use inquiry::answer;
pub(super) use response::refused;
