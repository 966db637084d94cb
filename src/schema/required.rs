//! Fields that a schema declares without null.
//!
//! Every column may be null, since a document may lack any value: a declaration of `"string"` and not
//! `["null", "string"]` changes nothing. Its author may have meant that it does.

use serde_json::Value;

/// Returns the paths of the fields that the schema `text` declares without null, in its order, within
/// records of records and of lists too; none for a text that is no schema.
#[must_use]
pub fn declared_without_null(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(schema) = serde_json::from_str::<Value>(text) {
        visit_record(&schema, "", &mut found);
    }
    found
}

fn visit_record(record: &Value, path: &str, found: &mut Vec<String>) {
    for field in record.get("fields").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let Some(kind) = field.get("type") else { continue };
        let is_null = |branch: &Value| branch.as_str() == Some("null");
        if !kind.as_array().is_some_and(|branches| branches.iter().any(is_null)) {
            found.push(path.clone());
        }
        visit_type(kind, &path, found);
    }
}

fn visit_type(kind: &Value, path: &str, found: &mut Vec<String>) {
    match kind {
        Value::Array(branches) => {
            branches.iter().for_each(|branch| visit_type(branch, path, found));
        }
        Value::Object(members) => match members.get("type").and_then(Value::as_str) {
            Some("record") => visit_record(kind, path, found),
            Some("array") => {
                if let Some(items) = members.get("items") {
                    visit_type(items, path, found);
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
    fn built_in_schemas_have_none() {
        assert!(declared_without_null(include_str!("../../schemas/user_sessions.avsc")).is_empty());
        assert!(declared_without_null(include_str!("../../examples/orders.avsc")).is_empty());
    }
}
