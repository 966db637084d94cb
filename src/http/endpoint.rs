//! Endpoints: the paths that take sessions, and the rules that hold there.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use warp::http::Method;

use crate::auth::Rules;
use crate::intake::IndexPattern;
use crate::record::Form;

/// A path that takes sessions, and the rules that hold there.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The label of its metrics; unique.
    pub name: Arc<str>,
    /// The path: begins with `/`, as it stands in the request (not decoded). A trailing slash makes
    /// no difference. With the form `elasticsearch` everything below it belongs to it as well.
    pub path: String,
    /// PUT is accepted.
    pub put: bool,
    /// POST is accepted.
    pub post: bool,
    /// The layout of bodies.
    pub form: Form,
    /// The table that documents belong to.
    pub table: Arc<str>,
    /// Tables by index name, the longest that fits; without any, `table` takes all. Only for the
    /// form `elasticsearch`.
    pub indices: Vec<(IndexPattern, Arc<str>)>,
    /// The longest body as sent, in bytes.
    pub body_limit_bytes: u64,
    /// The longest body once inflated, in bytes. Applies to bodies that are not encoded as well.
    pub inflated_limit_bytes: u64,
    /// Most requests of a peer in a second; at least 1.
    pub requests_per_second: Option<u32>,
    /// The networks that senders may come from; all if there is none.
    pub peers: Vec<IpNet>,
    /// The credentials that senders need.
    pub auth: Rules,
}

impl Endpoint {
    /// Returns whether `path` (without a trailing slash) belongs to this endpoint.
    pub(super) fn owns(&self, path: &str) -> bool {
        let own = trimmed(&self.path);
        match self.form {
            Form::Ndjson => path == own,
            Form::Elasticsearch => self.below(path).is_some(),
        }
    }

    /// Returns the rest of `path` below this endpoint's path: `""`, or text that begins with `/`;
    /// `None` for a path elsewhere.
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

    /// Returns whether a request could be for both endpoints.
    pub(crate) fn overlaps(&self, other: &Endpoint) -> bool {
        // Of paths that begin alike, the longest is preferred.
        trimmed(&self.path) == trimmed(&other.path)
    }

    /// Returns whether bodies are accepted by `method`.
    pub(super) fn takes(&self, method: &Method) -> bool {
        (*method == Method::PUT && self.put) || (*method == Method::POST && self.post)
    }

    /// Returns the value of `Allow`.
    pub(super) fn methods(&self) -> &'static str {
        match (self.put, self.post) {
            (true, false) => "PUT",
            (false, true) => "POST",
            _ => "PUT, POST",
        }
    }

    /// Returns whether a sender may come from `address`.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.peers.is_empty() || self.peers.iter().any(|net| net.contains(&address))
    }

    /// Returns every table that documents can belong to.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<str>> {
        let all = self.indices.is_empty().then_some(&self.table);
        all.into_iter().chain(self.indices.iter().map(|(_, table)| table))
    }

    /// Returns the table of the index `name`, a checked name.
    pub(super) fn table_of(&self, name: &str) -> Option<&Arc<str>> {
        if self.indices.is_empty() {
            return Some(&self.table);
        }
        let fits = self.indices.iter().filter(|(pattern, _)| pattern.matches(name));
        let found = fits.max_by_key(|(pattern, _)| pattern.specificity());
        found.map(|(_, table)| table)
    }
}

/// Returns `path` without one trailing slash.
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
