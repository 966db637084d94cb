//! The Avro schema, evenly laid out.
//!
//! The text is the one that the schema was made from, with its own order, names of records and
//! attributes; only the layout is ours. The compiled-in schemas are kept in this very layout.

use super::pretty::pretty;
use crate::schema::TableSchema;
use crate::schema::json::Node;

/// Returns the Avro schema as JSON.
pub fn avro(schema: &TableSchema) -> String {
    let text = schema.avsc.strip_prefix('\u{feff}').unwrap_or(&schema.avsc);
    match serde_json::from_str::<Node>(text) {
        Ok(node) => pretty(&node),
        // Only a TableSchema that was not parsed can come here; its text is still the best answer.
        Err(_) => format!("{}\n", schema.avsc.trim_end()),
    }
}
