//! The fingerprint of a schema: equal for schemas that give the same columns from the same
//! documents, different for any others.
//!
//! It is taken over the table's name and, in order, each field's name, aliases, type, Bloom
//! filter, members and forms; not over docs, whitespace, namespaces, names of nested records, or the order of
//! aliases. It is written into files and control records, so the text below must not change:
//! `tests.rs` pins the value of a small schema.

use xxhash_rust::xxh3::xxh3_64;

use super::{Field, Kind, Member, Property};

/// Returns the fingerprint of a schema: 16 hex digits.
pub(super) fn fingerprint(table: &str, fields: &[Field]) -> String {
    // Names hold only letters, digits and `_`, and other text is quoted, so the punctuation is
    // unambiguous.
    let mut text = format!("1 {table}");
    write_fields(&mut text, fields);
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

fn write_fields(text: &mut String, fields: &[Field]) {
    text.push('{');
    for field in fields {
        text.push_str(&field.name);
        let mut aliases: Vec<&str> = field.aliases.iter().map(String::as_str).collect();
        aliases.sort_unstable();
        for alias in aliases {
            text.push('|');
            text.push_str(alias);
        }
        write_member(text, field);
        text.push_str(if field.bloom { "*:" } else { ":" });
        write_kind(text, &field.kind);
        text.push(';');
    }
    text.push('}');
}

/// Writes nothing for a field that is read from the members of its names, in the form of its kind.
fn write_member(text: &mut String, field: &Field) {
    let quoted = |names: &[String]| serde_json::Value::from(names).to_string();
    let Member { path, aliases, prefix, nanos_of, property } = &field.json;
    if let Some(path) = path {
        text.push_str(&format!("={}", quoted(path)));
    }
    let mut aliases: Vec<_> = aliases.iter().collect();
    aliases.sort_unstable();
    for alias in aliases {
        text.push_str(&format!("|{}", quoted(alias)));
    }
    if let Some(prefix) = prefix {
        text.push_str(&format!("^{}", serde_json::Value::from(prefix.as_str())));
    }
    if let Some(time) = nanos_of {
        text.push_str(&format!("%{time}"));
    }
    if let Some(Property { of, key }) = property {
        text.push_str(&format!("@{}{}", of.as_str(), serde_json::Value::from(key.as_str())));
    }
    for form in &field.from {
        text.push_str(&format!("~{}", form.as_str()));
    }
}

fn write_kind(text: &mut String, kind: &Kind) {
    match kind {
        Kind::String => text.push_str("string"),
        Kind::Long => text.push_str("long"),
        Kind::Double => text.push_str("double"),
        Kind::Boolean => text.push_str("boolean"),
        Kind::TimestampMillis => text.push_str("timestamp-millis"),
        Kind::List(item) => {
            text.push('[');
            write_kind(text, item);
            text.push(']');
        }
        Kind::Struct(fields) => write_fields(text, fields),
        Kind::Map(value) => {
            text.push('<');
            write_kind(text, value);
            text.push('>');
        }
    }
}
