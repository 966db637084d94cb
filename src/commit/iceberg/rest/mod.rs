//! A client of Iceberg REST catalogs.
//!
//! # Promise
//! - An answer is what it proves ([`RestError`]): of a commit, only 409 says that another was first, and
//!   400, 403 and 404 that it did not happen. Anything else, a cut answer, a time-out and a success that is
//!   no answer of a catalog among them, leaves the outcome unknown; the caller loads the table and looks.
//! - Nothing is sent twice but after a 401 (or 419), once, with a new token: a request that was refused so was not
//!   carried out, and a commit names the snapshot that it follows.
//! - Every request ends: connecting and the whole exchange have time-outs. Of an answer,
//!   64 MiB are read at most, and of a refusal what people need.
//! - An outage is over when it is over: no failure is kept. A token that cannot be renewed is used while
//!   it is valid; one that is missing is asked for by every request anew.
//! - Credentials go to the addresses that the options name, and nowhere else: redirects are not followed, a
//!   catalog cannot send the client to another address, and without TLS only loopback is asked, unless
//!   the options say otherwise. They are in no log and no message.
//!
//! Requests hold no lock but that of the token's renewal. Dropping a future of a commit leaves its outcome
//! unknown.
//!
//! * `client`: requests and answers (`answer`, `bounded_body`). `options`: addresses and credentials. `tokens`: OAuth2.
//! * `sigv4`: AWS. `names`: names in paths. `protocol`: JSON. `error`: outcomes.
//!
//! Format: <https://github.com/apache/iceberg/blob/main/open-api/rest-catalog-open-api.yaml>.

mod answer;
mod bounded_body;
mod client;
mod error;
mod names;
mod options;
pub(super) mod protocol;
mod sigv4;
#[cfg(test)]
mod tests;
mod tokens;

pub(crate) use client::Catalog;
pub(super) use error::RestError;
pub use options::{Credentials, OAuth2, Options};
pub use sigv4::Keys;
