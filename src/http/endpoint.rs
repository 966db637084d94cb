//! One place where sessions are taken, and what holds there.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::auth::Rules;
use crate::intake::{IndexPattern, Intake};
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

    /// The most of the memory budget that one request can need.
    pub(super) fn most_memory(&self, intake: &Intake) -> u64 {
        let copied = u64::from(intake.copy_bytes(1) > 0);
        let (part, answer_bytes) = match self.form {
            Form::Ndjson => (0, 0),
            Form::Elasticsearch => (1, MOST_ANSWER_BYTES as u64),
        };
        self.limits().most_memory(part + copied, answer_bytes)
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
        let fits = self.indices.iter().filter(|(pattern, _)| pattern.matches(name));
        let found = fits.max_by_key(|(pattern, _)| pattern.specificity());
        found.map(|(_, table)| table)
    }
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
    fn one_trailing_slash_makes_no_difference() {
        for (path, expected) in [("/", "/"), ("/a", "/a"), ("/a/", "/a"), ("/a//", "/a/")] {
            assert_eq!(trimmed(path), expected);
        }
    }
}
