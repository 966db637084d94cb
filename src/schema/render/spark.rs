//! DDL for Spark SQL: an external table over the lake's Parquet files.
//!
//! One statement, so that `spark.sql(text)` takes it as it is. Names are quoted, since some are
//! words of SQL. Docs stand as COMMENTs at every level. Nothing is NOT NULL: Spark makes every
//! column of a table over files nullable, whatever is said.

use super::{NO_PARTITION, PARTITION, has_default_partition, partition_doc, sql_comment};
use crate::schema::{EXTRA, Field, INGEST_ID, INGEST_TIME, Kind, TableSchema};

/// Returns CREATE TABLE … USING parquet.
pub fn spark_ddl(schema: &TableSchema) -> String {
    let mut text = sql_comment(&format!(
        "{}: schema {}. Change LOCATION to where the lake is, s3a://bucket/lake/… or an\n\
         absolute path: Spark looks for a relative one in its warehouse.\n\
         When new partitions have landed: MSCK REPAIR TABLE `{}`\n\
         It is for plain tables. A Delta table needs none: SELECT * FROM delta.`data/lake/{}`",
        schema.name, schema.fingerprint, schema.name, schema.name
    ));
    let partitioned = has_default_partition(schema);
    if !partitioned {
        text.push_str(NO_PARTITION);
    }
    text.push_str(&format!("CREATE TABLE IF NOT EXISTS `{}` (\n", schema.name));
    for field in &schema.fields {
        column(&mut text, &field.name, &field.kind, &field.doc);
    }
    column(&mut text, INGEST_TIME, &Kind::TimestampMillis, "When the row was received.");
    column(&mut text, INGEST_ID, &Kind::String, "Origin of the row, unique: node-sequence-line.");
    column(&mut text, EXTRA, &Kind::String, "JSON object of what fits no column, by JSON Pointer.");
    // The last column's comma.
    text.truncate(text.trim_end_matches([',', '\n']).len());
    text.push_str("\n)\nUSING parquet\n");
    if partitioned {
        text.push_str(&format!(
            "PARTITIONED BY (`{PARTITION}` DATE COMMENT '{}')\n",
            partition_doc(schema)
        ));
    }
    text.push_str(&format!("LOCATION 'data/lake/{}'\n", schema.name));
    if !schema.doc.is_empty() {
        text.push_str(&format!("COMMENT {}\n", literal(&schema.doc)));
    }
    text
}

fn column(text: &mut String, name: &str, kind: &Kind, doc: &str) {
    text.push_str(&format!("  `{name}` {}{},\n", sql_type(kind, 1), comment(doc)));
}

/// Writes the name of a type, whose members are `depth` levels further in.
pub(crate) fn sql_type(kind: &Kind, depth: usize) -> String {
    match kind {
        Kind::String => "STRING".to_owned(),
        Kind::Long => "BIGINT".to_owned(),
        Kind::Double => "DOUBLE".to_owned(),
        Kind::Boolean => "BOOLEAN".to_owned(),
        Kind::TimestampMillis => "TIMESTAMP".to_owned(),
        Kind::List(item) => format!("ARRAY<{}>", sql_type(item, depth)),
        Kind::Map(value) => format!("MAP<STRING, {}>", sql_type(value, depth)),
        Kind::Struct(fields) => {
            let member = |f: &Field| {
                let kind = sql_type(&f.kind, depth + 1);
                format!("\n{}`{}`: {kind}{}", "  ".repeat(depth + 1), f.name, comment(&f.doc))
            };
            let members: Vec<String> = fields.iter().map(member).collect();
            format!("STRUCT<{}\n{}>", members.join(","), "  ".repeat(depth))
        }
    }
}

fn comment(doc: &str) -> String {
    if doc.is_empty() { String::new() } else { format!(" COMMENT {}", literal(doc)) }
}

/// Returns a string literal of Spark SQL, in which a backslash escapes.
pub(crate) fn literal(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
    // Spark replaces `${name}` in the text of a statement, wherever it stands.
    let text = text.replace("${", "\\u0024{");
    format!("'{text}'")
}
