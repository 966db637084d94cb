//! The body of `PUT /index` for Elasticsearch 8.3 and later: a mapping for documents as they are
//! exported, or as they are read back from the lake.
//!
//! - Lists of records are `nested`, so that a query for a slow action of one name finds sessions
//!   in which one action is both. As `object` the members of all records are mixed and
//!   the query would also find a fast action of that name beside some slow one, with no sign of
//!   it. The price is one hidden document a record. A record outside a list is an `object`.
//! - Maps of text are `flattened`: one field whatever keys come. Maps of other scalars are
//!   dynamic objects, since `flattened` compares everything as text and would order 9 after 10;
//!   each new key adds a field to the mapping. Their keys may hold dots (`subobjects` is off).
//! - Elsewhere nothing is dynamic: a field that the schema does not know is kept in `_source` and
//!   cannot make the mapping grow, or refuse a document because its type was guessed.
//! - `keyword` leaves out of the index what Lucene would refuse (32766 bytes); text is UTF-8, at
//!   most 4 bytes a character.
//!
//! Old names are not aliases here: Elasticsearch has them for queries only, and would refuse the
//! very documents that carry them. The lineage columns are not in documents.

use serde_json::Number;

use super::pretty::pretty;
use crate::schema::json::Node;
use crate::schema::{Field, Kind, TableSchema};

/// The longest text that surely fits a Lucene term, in characters.
const IGNORE_ABOVE: u32 = 32766 / 4;

/// Returns `{"mappings": …}` as JSON.
pub fn elasticsearch_mapping(schema: &TableSchema) -> String {
    let mut templates = Vec::new();
    let properties = properties(&schema.fields, "", &mut templates);
    let mut meta = vec![("table", text(&schema.name)), ("fingerprint", text(&schema.fingerprint))];
    if !schema.doc.is_empty() {
        meta.push(("doc", text(&schema.doc)));
    }
    let mut mappings = vec![("_meta", object(meta)), ("dynamic", Node::Bool(false))];
    if !templates.is_empty() {
        mappings.push(("dynamic_templates", Node::List(templates)));
    }
    mappings.push(("properties", properties));
    pretty(&object(vec![("mappings", object(mappings))]))
}

fn properties(fields: &[Field], path: &str, templates: &mut Vec<Node>) -> Node {
    let member = |field: &Field| {
        let path =
            if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
        (field.name.clone(), property(&field.kind, &path, false, templates))
    };
    Node::Object(fields.iter().map(member).collect())
}

/// Returns the mapping of a field. `listed` says that it is the item of a list, which in
/// Elasticsearch has no type of its own.
fn property(kind: &Kind, path: &str, listed: bool, templates: &mut Vec<Node>) -> Node {
    match kind {
        Kind::List(item) => property(item, path, true, templates),
        Kind::Struct(fields) => object(vec![
            ("type", text(if listed { "nested" } else { "object" })),
            ("properties", properties(fields, path, templates)),
        ]),
        Kind::Map(value) if **value == Kind::String => {
            object(vec![("type", text("flattened")), ("ignore_above", ignore_above())])
        }
        Kind::Map(value) => {
            let template = object(vec![
                ("path_match", text(&format!("{path}.*"))),
                ("mapping", scalar(value)),
            ]);
            templates.push(Node::Object(vec![(path.to_owned(), template)]));
            object(vec![
                ("type", text("object")),
                ("dynamic", Node::Bool(true)),
                ("subobjects", Node::Bool(false)),
            ])
        }
        _ => scalar(kind),
    }
}

fn scalar(kind: &Kind) -> Node {
    match kind {
        Kind::Long => object(vec![("type", text("long"))]),
        Kind::Double => object(vec![("type", text("double"))]),
        Kind::Boolean => object(vec![("type", text("boolean"))]),
        Kind::TimestampMillis => {
            object(vec![("type", text("date")), ("format", text("epoch_millis"))])
        }
        // The rest are no scalars, and do not come here.
        Kind::String | Kind::List(_) | Kind::Struct(_) | Kind::Map(_) => {
            object(vec![("type", text("keyword")), ("ignore_above", ignore_above())])
        }
    }
}

fn ignore_above() -> Node {
    Node::Number(Number::from(IGNORE_ABOVE))
}

fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

fn object(members: Vec<(&str, Node)>) -> Node {
    Node::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}
