//! The Arrow schema of a table's batches as an indented tree, a field a line.
//!
//! It is written from the [`TableSchema`], as all texts are; a test of `columnar::types` holds it
//! to the Arrow schema that batches have.

use crate::schema::{EXTRA, INGEST_ID, INGEST_TIME, Kind, TableSchema};

/// Returns the Arrow schema with the lineage columns; fields are nullable unless `not null` is
/// said.
pub fn arrow_text(schema: &TableSchema) -> String {
    let mut text = format!("{} (fingerprint {})\n", schema.name, schema.fingerprint);
    for field in &schema.fields {
        write_field(&mut text, &field.name, &field.kind, "", 1);
    }
    write_field(&mut text, INGEST_TIME, &Kind::TimestampMillis, " not null", 1);
    write_field(&mut text, INGEST_ID, &Kind::String, " not null", 1);
    write_field(&mut text, EXTRA, &Kind::String, "", 1);
    text
}

fn write_field(text: &mut String, name: &str, kind: &Kind, null: &str, depth: usize) {
    write_line(text, name, type_name(kind), null, depth);
    match kind {
        Kind::List(item) => write_field(text, "element", item, "", depth + 1),
        Kind::Struct(fields) => {
            for field in fields {
                write_field(text, &field.name, &field.kind, "", depth + 1);
            }
        }
        Kind::Map(value) => {
            write_line(text, "entries", "Struct", " not null", depth + 1);
            write_field(text, "key", &Kind::String, " not null", depth + 2);
            write_field(text, "value", value, "", depth + 2);
        }
        Kind::String | Kind::Long | Kind::Double | Kind::Boolean | Kind::TimestampMillis => {}
    }
}

fn write_line(text: &mut String, name: &str, type_name: &str, null: &str, depth: usize) {
    text.push_str(&format!("{}{name}: {type_name}{null}\n", "  ".repeat(depth)));
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::String => "Utf8",
        Kind::Long => "Int64",
        Kind::Double => "Float64",
        Kind::Boolean => "Boolean",
        Kind::TimestampMillis => r#"Timestamp(µs, "UTC")"#,
        Kind::List(_) => "List",
        Kind::Struct(_) => "Struct",
        Kind::Map(_) => "Map",
    }
}
