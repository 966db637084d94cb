//! Action lines of the Elasticsearch bulk form.
//!
//! `{"index":{"_index":"sessions","_id":"1"}}` is an action; `{"index":{"price":3}}`,
//! `{"index":5}` and `{"index":{},"name":"x"}` are documents.

use super::document::Pairs;

/// What an action line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `index` and `create`: the document on the next line is to be stored.
    Store,
    /// `update`: the next line says how to change one.
    Update,
    /// `delete`: nothing follows.
    Delete,
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

/// Whether an action line may begin with this key.
pub(super) fn is_verb(key: &[u8]) -> bool {
    verb(key).is_some()
}

fn verb(key: &[u8]) -> Option<Action> {
    match key {
        b"index" | b"create" => Some(Action::Store),
        b"update" => Some(Action::Update),
        b"delete" => Some(Action::Delete),
        _ => None,
    }
}

/// What `line` asks for, if it is an action line.
pub(super) fn read(line: &[u8]) -> Option<Action> {
    let outer: Pairs = serde_json::from_slice(line).ok()?;
    let [(key, value)] = outer.0.as_slice() else { return None };
    let action = verb(key.as_bytes())?;
    let inner: Pairs = serde_json::from_str(value.get()).ok()?;
    inner.0.iter().all(|(key, _)| METADATA.contains(&key.as_str())).then_some(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lone_verb_over_metadata_is_an_action() {
        for (line, action) in [
            (r#"{"index":{}}"#, Some(Action::Store)),
            (
                r#" { "create" : { "_index" : "i", "_type" : "_doc", "_id" : "1" } } "#,
                Some(Action::Store),
            ),
            (r#"{"update":{"_id":"1","retry_on_conflict":3}}"#, Some(Action::Update)),
            (r#"{"delete":{"_id":"1","version":3,"routing":"r"}}"#, Some(Action::Delete)),
            (r#"{"index":{"price":3}}"#, None),
            (r#"{"index":5}"#, None),
            (r#"{"index":null}"#, None),
            (r#"{"index":[]}"#, None),
            (r#"{"index":{},"name":"x"}"#, None),
            (r#"{"index":{},"index":{}}"#, None),
            (r#"{"insert":{}}"#, None),
            (r#"{"index":{}"#, None),
        ] {
            assert_eq!(read(line.as_bytes()), action, "{line}");
        }
    }
}
