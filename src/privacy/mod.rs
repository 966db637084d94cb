//! Privacy rules, applied to personal data between the decoder and everything after it.
//!
//! # Promises
//! - A value that a rule is for is dropped, hashed or truncated before anything but the journal has
//!   seen it: before partitioning, staging, files and statistics.
//! - There is no way around a rule: a part of a column that landed in `_extra` (a value that did not fit, under the
//!   column's name or an older one) is treated as the column is, or left out where that cannot be
//!   decided; rejected lines, which may hold anything, go to quarantine sealed with the
//!   key ([`Key::seal`]) instead of in the clear.
//! - A sealed roll that is made again is treated in the same way: the rules are sealed with it.
//!
//! | rule | columns | a value becomes |
//! |---|---|---|
//! | `drop` | any | null |
//! | `hash` | string | 32 hex digits of HMAC-SHA256: equal values stay equal, in all columns |
//! | `truncate` | string | an IPv4 address to its /24, an IPv6 address to its /48 (one that is made of an IPv4 address, as 6to4, Teredo and NAT64 are, to that one's /24); else null |
//!
//! A rule names a column, one within it (`userActions.targetUrl`), or the value of a property by its
//! key (`stringProperties.email`). A property whose key is missing, no text or given twice could be
//! any: every rule for one is for it. `_extra` itself can be dropped.
//!
//! The rule for `userId` is one for the user tag, wherever the exporter puts it: in `userId`, under its
//! old name `sessionTag`, and in the `name` of `events` whose `type` is UserTag, UserTagFromMetaData
//! or VisitTag, or is no text.
//!
//! Where a schema names members of documents, a dot in such a name may as well be an object around it: the
//! rule for the member `a.b` is one for `{"a": {"b": …}}` too, which is in `_extra`. A column that was
//! promoted is treated as the rules treated its values in `_extra`: one beside the values of properties by
//! the rules for these, one whose member has the prefix of a map by those for the map.
//!
//! A rule that names a field by its JSON Pointer (`/userActions/*/newField`) is for it in `_extra`, as long as
//! no column has it, and for the column from then on: a column that is promoted is no way around. Other rules
//! do not reach a field that no schema has: such a value is in `_extra` as it came. The `_id` that
//! a bulk action gave a document, which the exporter makes of columns, is dropped under any rule.

mod address;
mod apply;
mod key;
#[cfg(test)]
mod tests;

pub use crate::table::{Action, Rules};
pub use apply::Applied;
pub use key::{Key, KeyError};

/// A rejected line as the rules leave it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Sealed {
    /// The text for [`Key::open`].
    #[serde(rename = "sealed")]
    pub text: String,
    /// The form of what it holds: `zstd` (compressed) or `packed` (several lines); `None` for the line's
    /// bytes.
    #[serde(default)]
    pub form: Option<String>,
}

/// Reads `raw`, if it is a rejected line as the rules leave it.
#[must_use]
pub fn sealed(raw: &str) -> Option<Sealed> {
    serde_json::from_str(raw).ok()
}
