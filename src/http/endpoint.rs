//! One place where sessions are taken, and what holds there.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::auth::Rules;
use crate::record::Form;

use super::body::Limits;
use super::elasticsearch::MOST_ANSWER_BYTES;

/// One place where sessions are taken.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Label of its metrics; unique.
    pub name: Arc<str>,
    /// Begins with `/`, as it stands in the request (not decoded). A trailing slash makes no
    /// difference. With the form `elasticsearch` everything below it belongs to it as well.
    pub path: String,
    /// Whether PUT is taken.
    pub put: bool,
    /// Whether POST is taken.
    pub post: bool,
    /// How documents are laid out.
    pub form: Form,
    /// The table that documents belong to.
    pub table: Arc<str>,
    /// Tables by index name, the longest that fits; without any, `table` takes all. Only for the
    /// form `elasticsearch`.
    pub indices: Vec<(IndexPattern, Arc<str>)>,
    /// The longest body, as sent.
    pub body_limit_bytes: u64,
    /// The longest body, inflated. Applies to bodies that need no inflating as well.
    pub inflated_limit_bytes: u64,
    /// Most requests of a peer in a second; at least 1.
    pub requests_per_second: Option<u32>,
    /// Who may come, by address; all if there is none.
    pub peers: Vec<IpNet>,
    /// Who may come, by name.
    pub auth: Rules,
}

impl Endpoint {
    /// Whether `path` (without a trailing slash) is this endpoint's.
    pub(super) fn owns(&self, path: &str) -> bool {
        let own = trimmed(&self.path);
        match self.form {
            Form::Ndjson => path == own,
            Form::Elasticsearch => self.below(path).is_some(),
        }
    }

    /// What of `path` is below this endpoint's path: `""` or something that begins with `/`.
    pub(super) fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let own = match trimmed(&self.path) {
            "/" => "",
            own => own,
        };
        let rest = path.strip_prefix(own)?;
        match rest {
            "/" => Some(""),
            rest if rest.is_empty() || rest.starts_with('/') => Some(rest),
            _ => None,
        }
    }

    /// Whether a request could be for both.
    pub(crate) fn overlaps(&self, other: &Endpoint) -> bool {
        // The root is tried last: whatever has a path of its own goes before it.
        trimmed(&self.path) == trimmed(&other.path)
    }

    /// The most of the memory budget that one request can need; `sealed`, if bodies are on their
    /// way to the journal.
    pub(super) fn most_memory(&self, sealed: bool) -> u64 {
        let (part, answer_bytes) = match self.form {
            Form::Ndjson => (0, 0),
            Form::Elasticsearch => (1, MOST_ANSWER_BYTES as u64),
        };
        self.limits().most_memory(part + u64::from(sealed), answer_bytes)
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            body_limit_bytes: self.body_limit_bytes,
            inflated_limit_bytes: self.inflated_limit_bytes,
        }
    }

    /// What `Allow` says.
    pub(super) fn methods(&self) -> &'static str {
        match (self.put, self.post) {
            (true, false) => "PUT",
            (false, true) => "POST",
            _ => "PUT, POST",
        }
    }

    /// Whether who comes from `address` may.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.peers.is_empty() || self.peers.iter().any(|net| net.contains(&address))
    }

    /// Every table that documents can go to.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<str>> {
        let all = self.indices.is_empty().then_some(&self.table);
        all.into_iter().chain(self.indices.iter().map(|(_, table)| table))
    }

    /// The table of the index `name`, a checked name.
    pub(super) fn table_of(&self, name: &str) -> Option<&Arc<str>> {
        if self.indices.is_empty() {
            return Some(&self.table);
        }
        let fits = self.indices.iter().filter(|(pattern, _)| pattern.fits(name));
        let found = fits.max_by_key(|(pattern, _)| (pattern.begin.len(), !pattern.more));
        found.map(|(_, table)| table)
    }
}

/// An index name, or the beginning of one and `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPattern {
    begin: String,
    more: bool,
}

impl IndexPattern {
    /// `None` for what is no index name.
    #[must_use]
    pub fn parse(text: &str) -> Option<IndexPattern> {
        let (begin, more) = match text.strip_suffix('*') {
            Some(begin) => (begin, true),
            None => (text, false),
        };
        ((more && begin.is_empty()) || index_name(begin))
            .then(|| IndexPattern { begin: begin.to_owned(), more })
    }

    fn fits(&self, name: &str) -> bool {
        if self.more { name.starts_with(&self.begin) } else { name == self.begin }
    }
}

/// Whether `name` is the name of an index: 1 to 128 of a-z, 0-9, `-`, `_` and `.`, beginning with a
/// letter or digit, without `..`.
pub(super) fn index_name(name: &str) -> bool {
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(b);
    (1..=128).contains(&name.len())
        && name.bytes().all(|b| plain(&b))
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && !name.contains("..")
}

/// Without one trailing slash.
pub(super) fn trimmed(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some("") | None => path,
        Some(path) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_are_strict() {
        for name in ["a", "sessions", "sessions-2026.11.23", "a_b", "0"] {
            assert!(index_name(name), "{name}");
        }
        for name in [
            "", ".", "..", "a/b", "../a", "a..b", "A", "_all", "-a", ".kibana", "a*", "a b", "a\0",
            "ä",
        ] {
            assert!(!index_name(name), "{name}");
        }
        assert!(!index_name(&"a".repeat(129)));
        assert_eq!(IndexPattern::parse("**"), None);
        assert!(IndexPattern::parse("*").unwrap().fits("x"));
        assert!(IndexPattern::parse("s-*").unwrap().fits("s-1"));
        assert!(!IndexPattern::parse("s-*").unwrap().fits("t-1"));
    }

    #[test]
    fn one_trailing_slash_makes_no_difference() {
        for (path, expected) in [("/", "/"), ("/a", "/a"), ("/a/", "/a"), ("/a//", "/a/")] {
            assert_eq!(trimmed(path), expected);
        }
    }
}
