//! Action lines of the Elasticsearch bulk form, for the receiver and the decoder.
//!
//! `{"index":{"_index":"sessions","_id":"1"}}` is an action; `{"index":{"price":3}}`, `{"index":5}`
//! and `{"index":{},"name":"x"}` are documents, and so is whatever stands on the line after an
//! `index` or a `create`, blank lines left out. The receiver, which answers for each item, and the
//! decoder, which leaves action lines out, must agree on every line; this module decides for both.

use serde_json::value::RawValue;

use crate::json::Members;

/// The operation that an action line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Stores the document on the next line.
    Index,
    /// Stores the document on the next line if there is none of its id.
    Create,
    /// Changes a document as the next line says.
    Update,
    /// Deletes a document; no document follows.
    Delete,
}

impl Verb {
    /// Returns the verb that `key` names.
    pub(crate) fn of(key: &[u8]) -> Option<Verb> {
        Some(match key {
            b"index" => Verb::Index,
            b"create" => Verb::Create,
            b"update" => Verb::Update,
            b"delete" => Verb::Delete,
            _ => return None,
        })
    }

    /// Returns the verb as it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Index => "index",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Delete => "delete",
        }
    }
}

/// An action line, parsed.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) verb: Verb,
    metadata: Members,
}

impl Action {
    /// Returns the JSON text of the metadata field `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&RawValue> {
        let found = self.metadata.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| &**value)
    }

    /// Returns the metadata field `key` if it is a string.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.get(key)?.get()).ok()
    }
}

const METADATA: [&str; 22] = [
    "_id",
    "_index",
    "_parent",
    "_retry_on_conflict",
    "_routing",
    "_source",
    "_type",
    "_version",
    "_version_type",
    "dynamic_templates",
    "if_primary_term",
    "if_seq_no",
    "list_executed_pipelines",
    "op_type",
    "parent",
    "pipeline",
    "require_alias",
    "require_data_stream",
    "retry_on_conflict",
    "routing",
    "version",
    "version_type",
];

/// The UTF-8 byte order mark. At the beginning of any line it counts as white space: files that begin
/// with one are joined.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns `line` without its byte order mark.
fn unmarked(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
}

/// Returns whether `line` holds nothing but JSON white space.
pub(crate) fn is_blank(line: &[u8]) -> bool {
    unmarked(line).iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Returns whether the line that `text` begins with may be an action, by its first key. It is cheap
/// and has false positives, which [`read`] tells apart, but no false negatives.
pub(crate) fn begins(text: &[u8]) -> bool {
    let after = |text: &'_ [u8], byte| -> Option<usize> {
        let blank = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
        (text.get(blank) == Some(&byte)).then_some(blank + 1)
    };
    let text = unmarked(text);
    let Some(open) = after(text, b'{') else { return false };
    let Some(quote) = after(text.get(open..).unwrap_or_default(), b'"') else { return false };
    let key = text.get(open + quote..).unwrap_or_default();
    if !matches!(key.first(), Some(b'i' | b'c' | b'u' | b'd' | b'\\')) {
        return false;
    }
    // A verb all in escapes has 36 bytes.
    let key = key.iter().take(40).position(|byte| *byte == b'"').and_then(|end| key.get(..end));
    key.is_some_and(|key| key.contains(&b'\\') || Verb::of(key).is_some())
}

/// Parses `line`; returns `None` if it is no action line.
pub(crate) fn read(line: &[u8]) -> Option<Action> {
    let outer: Members = serde_json::from_slice(unmarked(line)).ok()?;
    let [(key, value)] = outer.0.as_slice() else { return None };
    let verb = Verb::of(key.as_bytes())?;
    let metadata: Members = serde_json::from_str(value.get()).ok()?;
    let known = metadata.0.iter().all(|(key, _)| METADATA.contains(&key.as_str()));
    known.then_some(Action { verb, metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lone_verb_over_metadata_is_an_action() {
        for (line, verb) in [
            (r#"{"index":{}}"#, Some(Verb::Index)),
            (
                r#" { "create" : { "_index" : "i", "_type" : "_doc", "_id" : "1" } } "#,
                Some(Verb::Create),
            ),
            (r#"{"update":{"_id":"1","retry_on_conflict":3}}"#, Some(Verb::Update)),
            (r#"{"delete":{"_id":"1","version":3,"routing":"r"}}"#, Some(Verb::Delete)),
            (r#"{"index":{"price":3}}"#, None),
            (r#"{"index":5}"#, None),
            (r#"{"index":null}"#, None),
            (r#"{"index":[]}"#, None),
            (r#"{"index":{},"name":"x"}"#, None),
            (r#"{"index":{},"index":{}}"#, None),
            (r#"{"insert":{}}"#, None),
            (r#"{"index":{}"#, None),
        ] {
            assert_eq!(read(line.as_bytes()).map(|action| action.verb), verb, "{line}");
            assert!(verb.is_none() || begins(line.as_bytes()), "{line}");
        }
        let escaped: String = "delete".bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let escaped = format!(r#"{{ "{escaped}":{{}}}}"#);
        assert_eq!(read(escaped.as_bytes()).map(|action| action.verb), Some(Verb::Delete));
        assert!(begins(escaped.as_bytes()));
        for line in ["", "{}", "{\"name\":1}", "{\"index", "[\"index\"]", "{\n\"index\":{}}"] {
            assert!(!begins(line.as_bytes()), "{line}");
        }
        let action = read(br#"{"index":{"_id":"a\u0062","_index":7}}"#).unwrap();
        assert_eq!(action.text("_id").as_deref(), Some("ab"));
        assert_eq!(action.text("_index"), None);
        assert_eq!(action.get("_id").unwrap().get(), r#""a\u0062""#);
    }
}
