//! DDL for Trino: an external table of its Hive connector over the lake's Parquet files.
//!
//! One statement, without a semicolon, as Trino's clients send it. Names are quoted, since some are
//! words of SQL; Trino shows them in small letters. Docs stand as COMMENTs of columns; members of a row
//! cannot have one.

use super::{
    NO_PARTITION, PARTITION, has_default_partition, literal, partition_doc, quoted, sql_comment,
};
use crate::schema::{EXTRA, Field, INGEST_ID, INGEST_TIME, Kind, TableSchema};

/// Returns CREATE TABLE … WITH (external_location = …).
pub fn trino_ddl(schema: &TableSchema) -> String {
    let mut text = sql_comment(&format!(
        "{}: schema {}. For Trino's Hive connector. Change external_location to where the\n\
         lake is. Names of columns, and within rows, show in small letters.",
        schema.name, schema.fingerprint
    ));
    let partitioned = has_default_partition(schema);
    if partitioned {
        text.push_str(&sql_comment(&format!(
            "Then, and when new partitions have landed:\n\
             CALL system.sync_partition_metadata('default', '{}', 'ADD')",
            schema.name.to_lowercase()
        )));
    } else {
        text.push_str(NO_PARTITION);
    }
    text.push_str(&format!("CREATE TABLE IF NOT EXISTS {} (\n", quoted(&schema.name)));
    for field in &schema.fields {
        column(&mut text, &field.name, &field.kind, &field.doc);
    }
    column(&mut text, INGEST_TIME, &Kind::TimestampMillis, "When the row was received.");
    column(&mut text, INGEST_ID, &Kind::String, "Origin of the row, unique: node-sequence-line.");
    column(&mut text, EXTRA, &Kind::String, "JSON object of what fits no column, by JSON Pointer.");
    if partitioned {
        // Partition columns are the last ones.
        text.push_str(&format!(
            "  {} DATE COMMENT '{}'\n",
            quoted(PARTITION),
            partition_doc(schema)
        ));
    } else {
        text.truncate(text.trim_end_matches([',', '\n']).len());
        text.push('\n');
    }
    text.push_str(")\n");
    if !schema.doc.is_empty() {
        text.push_str(&format!("COMMENT {}\n", literal(&schema.doc)));
    }
    text.push_str("WITH (\n");
    text.push_str(&format!("  external_location = 's3://data/lake/{}',\n", schema.name));
    if partitioned {
        text.push_str(&format!("  partitioned_by = ARRAY['{PARTITION}'],\n"));
    }
    text.push_str("  format = 'PARQUET'\n)\n");
    text
}

fn column(text: &mut String, column: &str, kind: &Kind, doc: &str) {
    let comment = match doc {
        "" => String::new(),
        doc => format!(" COMMENT {}", literal(doc)),
    };
    text.push_str(&format!("  {} {}{comment},\n", quoted(column), sql_type(kind, 1)));
}

/// Writes the name of a type, whose members are `depth` levels further in.
pub(crate) fn sql_type(kind: &Kind, depth: usize) -> String {
    match kind {
        Kind::String => "VARCHAR".to_owned(),
        Kind::Long => "BIGINT".to_owned(),
        Kind::Double => "DOUBLE".to_owned(),
        Kind::Boolean => "BOOLEAN".to_owned(),
        Kind::TimestampMillis => "TIMESTAMP(3)".to_owned(),
        Kind::List(item) => format!("ARRAY({})", sql_type(item, depth)),
        Kind::Map(value) => format!("MAP(VARCHAR, {})", sql_type(value, depth)),
        Kind::Struct(fields) => {
            let member = |field: &Field| {
                let kind = sql_type(&field.kind, depth + 1);
                format!("\n{}{} {kind}", "  ".repeat(depth + 1), quoted(&field.name))
            };
            let members: Vec<String> = fields.iter().map(member).collect();
            format!("ROW({}\n{})", members.join(","), "  ".repeat(depth))
        }
    }
}
