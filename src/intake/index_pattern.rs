//! Names of Elasticsearch indices, and patterns of them.

/// The longest index name.
const MAX_NAME_BYTES: usize = 128;

/// An index name, or the beginning of one and `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPattern {
    prefix: String,
    wildcard: bool,
}

impl IndexPattern {
    /// Parses a pattern; returns `None` for text that can match no index name.
    #[must_use]
    pub fn parse(text: &str) -> Option<IndexPattern> {
        let (prefix, wildcard) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        ((wildcard && prefix.is_empty()) || is_index_name(prefix))
            .then(|| IndexPattern { prefix: prefix.to_owned(), wildcard })
    }

    /// Returns whether the pattern matches `name`.
    pub(crate) fn matches(&self, name: &str) -> bool {
        if self.wildcard { name.starts_with(&self.prefix) } else { name == self.prefix }
    }

    /// Returns the order in which matching patterns are preferred: the longest prefix first, and a
    /// whole name before a wildcard of the same length.
    pub(crate) fn specificity(&self) -> (usize, bool) {
        (self.prefix.len(), !self.wildcard)
    }
}

/// Returns whether `name` can be the name of an index: 1 to 128 of a-z, 0-9, `-`, `_` and `.`,
/// beginning with a letter or digit, without `..`.
pub(crate) fn is_index_name(name: &str) -> bool {
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(b);
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|b| plain(&b))
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_are_strict() {
        for name in ["a", "sessions", "sessions-2026.11.23", "a_b", "0"] {
            assert!(is_index_name(name), "{name}");
        }
        for name in [
            "", ".", "..", "a/b", "../a", "a..b", "A", "_all", "-a", ".kibana", "a*", "a b", "a\0",
            "ä",
        ] {
            assert!(!is_index_name(name), "{name}");
        }
        assert!(!is_index_name(&"a".repeat(129)));
        assert_eq!(IndexPattern::parse("**"), None);
        assert!(IndexPattern::parse("*").unwrap().matches("x"));
        assert!(IndexPattern::parse("s-*").unwrap().matches("s-1"));
        assert!(!IndexPattern::parse("s-*").unwrap().matches("t-1"));
    }
}
