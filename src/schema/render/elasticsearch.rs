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
//! Names are those of members in documents, which Elasticsearch splits at their dots.
//!
//! Old names are not aliases here: Elasticsearch has them for queries only, and would refuse the
//! very documents that carry them. The lineage columns are not in documents.

use serde_json::Number;

use super::pretty::pretty;
use crate::schema::json::Node;
use crate::schema::{Field, Form, Kind, TableSchema};

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
    let mut properties = Vec::new();
    for field in fields {
        if let Some(prefix) = &field.json.prefix {
            prefixed(&mut properties, prefix, &field.kind, path, templates);
            continue;
        }
        let names = field.json_path();
        let below = names.iter().fold(path.to_owned(), |path, name| joined(&path, name));
        let property = property(&field.kind, &field.from, &below, false, templates);
        insert(&mut properties, names, property);
    }
    Node::Object(properties)
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Adds the property of the member at `names`, within objects of its own if there are several.
fn insert(properties: &mut Vec<(String, Node)>, names: &[String], property: Node) {
    match names {
        [] => {}
        [name] => properties.push((name.clone(), property)),
        [name, below @ ..] => {
            let place = properties.iter().position(|(known, _)| known == name);
            let place = place.unwrap_or_else(|| {
                let none = ("properties", Node::Object(Vec::new()));
                properties.push((name.clone(), object(vec![("type", text("object")), none])));
                properties.len() - 1
            });
            if let Some((_, Node::Object(members))) = properties.get_mut(place)
                && let Some((_, Node::Object(within))) = members.last_mut()
            {
                insert(within, below, property);
            }
        }
    }
}

/// Adds the object that members with a prefix make, to Elasticsearch, whose names have dots. A prefix
/// without a dot at its end makes none, and such members are in `_source` only.
fn prefixed(
    properties: &mut Vec<(String, Node)>,
    prefix: &str,
    kind: &Kind,
    path: &str,
    templates: &mut Vec<Node>,
) {
    let (Some(name), Kind::Map(value)) = (prefix.strip_suffix('.'), kind) else { return };
    if properties.iter().all(|(known, _)| known != name) {
        properties.push((name.to_owned(), free_object()));
    }
    let found: &[&str] = match **value {
        Kind::Long => &["long"],
        Kind::Double => &["long", "double"],
        Kind::Boolean => &["boolean"],
        _ => &["string"],
    };
    for found in found {
        let path = joined(path, name);
        let template = object(vec![
            ("path_match", text(&format!("{path}.*"))),
            ("match_mapping_type", text(found)),
            ("mapping", scalar(value, &[])),
        ]);
        templates.push(Node::Object(vec![(format!("{path}.{found}"), template)]));
    }
}

fn free_object() -> Node {
    object(vec![
        ("type", text("object")),
        ("dynamic", Node::Bool(true)),
        ("subobjects", Node::Bool(false)),
    ])
}

/// Returns the mapping of a field. `listed` says that it is the item of a list, which in
/// Elasticsearch has no type of its own.
fn property(
    kind: &Kind,
    from: &[Form],
    path: &str,
    listed: bool,
    templates: &mut Vec<Node>,
) -> Node {
    match kind {
        Kind::List(item) => property(item, from, path, true, templates),
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
                ("mapping", scalar(value, from)),
            ]);
            templates.push(Node::Object(vec![(path.to_owned(), template)]));
            free_object()
        }
        _ => scalar(kind, from),
    }
}

fn scalar(kind: &Kind, from: &[Form]) -> Node {
    match kind {
        Kind::Long => object(vec![("type", text("long"))]),
        Kind::Double => object(vec![("type", text("double"))]),
        Kind::Boolean => object(vec![("type", text("boolean"))]),
        // It has times of 1970 to 2262 only, and reads no numbers of all units.
        Kind::TimestampMillis if from.contains(&Form::Iso8601) => object(vec![
            ("type", text("date_nanos")),
            ("format", text(&date_format(from))),
            ("ignore_malformed", Node::Bool(true)),
        ]),
        // Elasticsearch reads no numbers of these units as times.
        Kind::TimestampMillis if from.contains(&Form::Micros) || from.contains(&Form::Nanos) => {
            object(vec![("type", text("long"))])
        }
        Kind::TimestampMillis => {
            object(vec![("type", text("date")), ("format", text(&date_format(from)))])
        }
        // The rest are no scalars, and do not come here.
        Kind::String | Kind::List(_) | Kind::Struct(_) | Kind::Map(_) => {
            object(vec![("type", text("keyword")), ("ignore_above", ignore_above())])
        }
    }
}

fn date_format(from: &[Form]) -> String {
    let format = |form: &Form| match form {
        Form::Seconds => Some("epoch_second"),
        Form::Millis => Some("epoch_millis"),
        Form::Iso8601 => Some("strict_date_optional_time_nanos"),
        _ => None,
    };
    let formats: Vec<&str> = from.iter().filter_map(format).collect();
    if formats.is_empty() { "epoch_millis".to_owned() } else { formats.join("||") }
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
