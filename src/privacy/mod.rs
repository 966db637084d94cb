//! What is done to personal data between the decoder and everything after it.
//!
//! # What it promises
//! - A value that a rule is for is dropped, hashed or truncated before anything but the journal has
//!   seen it: before partitioning, staging, files and statistics.
//! - It has no way around: what of a column landed in `_extra` (a value that did not fit, under the
//!   column's name or an older one) is treated as the column is, or left out where that cannot be
//!   told; rejected lines, of which nobody can say what they hold, go to quarantine sealed with the
//!   key ([`Key::seal`]) instead of in the clear.
//! - It is the same when a sealed roll is made again: the rules are sealed with it.
//!
//! | rule | columns | what becomes of a value |
//! |---|---|---|
//! | `drop` | any | null |
//! | `hash` | string | 32 hex digits of HMAC-SHA256: equal values stay equal, in all columns |
//! | `truncate` | string | an IPv4 address to its /24, an IPv6 address to its /48; else null |
//!
//! A rule names a column, one within it (`userActions.targetUrl`), or the value of a property by its
//! key (`stringProperties.email`). A property whose key is missing, no text or given twice could be
//! any: every rule for one is for it. `_extra` itself can be dropped.
//!
//! It does not know a field that no schema has: such a value is in `_extra` as it came. The `_id` that
//! a bulk action gave a document, which the exporter makes of columns, is dropped under any rule.

mod apply;
mod key;
#[cfg(test)]
mod tests;

pub use crate::table::{Action, Rules};
pub use apply::Applied;
pub use key::{Key, KeyError};

/// What [`Key::open`] opens, if `raw` is the text of a rejected line as the rules leave it.
#[must_use]
pub fn sealed(raw: &str) -> Option<String> {
    let raw: serde_json::Value = serde_json::from_str(raw).ok()?;
    raw.get("sealed")?.as_str().map(str::to_owned)
}
