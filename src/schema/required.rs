//! What a schema has that changes nothing: fields that are declared without null, and attributes that are
//! spelled almost as one is.
//!
//! Every column may be null, since a document may lack any value: a declaration of `"string"` and not
//! `["null", "string"]` changes nothing. An attribute that is not known is metadata. Its author may have meant
//! something else.

use serde_json::Value;

use crate::spelling;

/// The attributes of a field that are read.
const ATTRIBUTES: [&str; 13] = [
    "name",
    "aliases",
    "type",
    "default",
    "doc",
    "bloom",
    "promoted",
    "json",
    "json_aliases",
    "json_prefix",
    "nanos_of",
    "property",
    "from",
];
/// Attributes of Avro that are metadata here.
const AVRO: [&str; 2] = ["order", "logicalType"];

/// Returns the attributes of fields of the schema `text` that change nothing and are spelled almost as one
/// that does, each with the path of its field and that one; none for a text that is no schema.
#[must_use]
pub fn misspelt_attributes(text: &str) -> Vec<(String, String, &'static str)> {
    let mut found = Vec::new();
    if let Ok(schema) = serde_json::from_str::<Value>(text) {
        visit_record(&schema, "", &mut |field, path| {
            for attribute in field.as_object().into_iter().flat_map(|field| field.keys()) {
                let is_known = |known: &[&str]| known.contains(&attribute.as_str());
                if is_known(&ATTRIBUTES) || is_known(&AVRO) {
                    continue;
                }
                let known = ATTRIBUTES.map(|known| (known, known));
                if let Some(meant) = spelling::meant(attribute, known) {
                    found.push((path.to_owned(), attribute.clone(), meant));
                }
            }
        });
    }
    found
}

/// Returns the paths of the fields that the schema `text` declares without null, in its order, within
/// records of records and of lists too; none for a text that is no schema.
#[must_use]
pub fn declared_without_null(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(schema) = serde_json::from_str::<Value>(text) {
        visit_record(&schema, "", &mut |field, path| {
            let is_null = |branch: &Value| branch.as_str() == Some("null");
            let kind = field.get("type").unwrap_or(&Value::Null);
            if !kind.as_array().is_some_and(|branches| branches.iter().any(is_null)) {
                found.push(path.to_owned());
            }
        });
    }
    found
}

/// Calls `each` with every field that has a name and a type, and its path.
fn visit_record(record: &Value, path: &str, each: &mut impl FnMut(&Value, &str)) {
    for field in record.get("fields").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let Some(kind) = field.get("type") else { continue };
        each(field, &path);
        visit_type(kind, &path, each);
    }
}

fn visit_type(kind: &Value, path: &str, each: &mut impl FnMut(&Value, &str)) {
    match kind {
        Value::Array(branches) => {
            branches.iter().for_each(|branch| visit_type(branch, path, each));
        }
        Value::Object(members) => match members.get("type").and_then(Value::as_str) {
            Some("record") => visit_record(kind, path, each),
            Some("array") => {
                if let Some(items) = members.get("items") {
                    visit_type(items, path, each);
                }
            }
            _ => {}
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_without_null_are_found_at_every_depth() {
        let text = r#"{"type": "record", "name": "t", "fields": [
            {"name": "id", "type": "string"},
            {"name": "note", "type": ["null", "string"], "default": null},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "items", "type": ["null", {"type": "array", "items": ["null", {
                "type": "record", "name": "item", "fields": [
                    {"name": "count", "type": "long"},
                    {"name": "price", "type": ["double", "null"]}]}]}]},
            {"name": "labels", "type": ["null", {"type": "map", "values": "string"}]}]}"#;
        assert_eq!(declared_without_null(text), ["id", "at", "items.count"]);
        assert!(declared_without_null("no schema").is_empty());
    }

    #[test]
    fn attributes_that_are_spelled_almost_as_one_are_found() {
        let text = r#"{"type": "record", "name": "t", "fields": [
            {"name": "id", "type": "string", "jsn": "x", "owner": "me", "order": "ignore"},
            {"name": "items", "type": {"type": "array", "items": {
                "type": "record", "name": "item", "fields": [
                    {"name": "count", "type": "long", "form": ["text"], "jsonPrefix": "a."}]}}}]}"#;
        let found = misspelt_attributes(text);
        let found: Vec<_> = found.iter().map(|(at, is, meant)| (&**at, &**is, *meant)).collect();
        let expected = [
            ("id", "jsn", "json"),
            ("items.count", "form", "from"),
            ("items.count", "jsonPrefix", "json_prefix"),
        ];
        assert_eq!(found, expected);
        for built_in in [
            include_str!("../../schemas/user_sessions.avsc"),
            include_str!("../../schemas/grail_user_sessions.avsc"),
            include_str!("../../schemas/grail_user_events.avsc"),
        ] {
            assert_eq!(misspelt_attributes(built_in), []);
        }
    }

    #[test]
    fn built_in_schemas_have_none() {
        assert!(declared_without_null(include_str!("../../schemas/user_sessions.avsc")).is_empty());
        assert!(declared_without_null(include_str!("../../examples/orders.avsc")).is_empty());
    }
}
