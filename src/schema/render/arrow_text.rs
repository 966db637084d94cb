//! The Arrow schema as an indented tree, a field a line.

use arrow::datatypes::{DataType, Field};

use crate::schema::TableSchema;

/// The Arrow schema, with the lineage columns; fields are nullable unless `not null` is said.
pub fn arrow_text(schema: &TableSchema) -> String {
    let mut text = format!("{} (fingerprint {})\n", schema.name, schema.fingerprint);
    for column in schema.arrow().fields() {
        write_field(&mut text, column, 1);
    }
    text
}

fn write_field(text: &mut String, field: &Field, depth: usize) {
    let (name, children) = match field.data_type() {
        DataType::List(item) => ("List".to_owned(), vec![item]),
        DataType::Map(entries, _) => ("Map".to_owned(), vec![entries]),
        DataType::Struct(fields) => ("Struct".to_owned(), fields.iter().collect()),
        leaf => (leaf.to_string(), Vec::new()),
    };
    let null = if field.is_nullable() { "" } else { " not null" };
    text.push_str(&format!("{}{}: {name}{null}\n", "  ".repeat(depth), field.name()));
    for child in children {
        write_field(text, child, depth + 1);
    }
}
