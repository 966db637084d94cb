//! DDL for DuckDB: a view over the lake's files, and a table for a copy of them.
//!
//! The view has the table's name and reads the files that exist when it is queried; it can be made
//! once the first file has landed, since DuckDB looks at the files to know the columns. The table,
//! `…_local`, has every column of the schema in its exact type, and the docs as COMMENTs.

use super::{NO_PARTITION, PARTITION, has_default_partition, literal, quoted, sql_comment};
use crate::schema::{EXTRA, INGEST_ID, INGEST_TIME, Kind, TableSchema};

/// Returns CREATE VIEW over `read_parquet`, CREATE TABLE, and COMMENTs on its columns.
pub fn duckdb_ddl(schema: &TableSchema) -> String {
    let name = &schema.name;
    let partitioned = has_default_partition(schema);
    let types = if partitioned { ", hive_types = {'date': DATE}" } else { "" };
    let mut text = sql_comment(&format!(
        "{name}: schema {}. Change the place to where the lake is (s3://bucket/lake/…).\n\
         The view reads the lake's files; it can be made once the first one has landed.\n\
         It is for plain tables. A Delta table: SELECT * FROM delta_scan('data/lake/{name}')",
        schema.fingerprint
    ));
    text.push_str(&format!(
        "CREATE OR REPLACE VIEW {} AS\nSELECT * FROM read_parquet(\n  'data/lake/{name}/**/*.parquet',\n  \
         hive_partitioning = true{types}, union_by_name = true\n);\n\n",
        quoted(name)
    ));
    let table = quoted(&format!("{name}_local"));
    text.push_str(&sql_comment(&format!(
        "A copy in the database: INSERT INTO {table} BY NAME SELECT * FROM {};",
        quoted(name)
    )));
    if !partitioned {
        text.push_str(NO_PARTITION);
    }
    text.push_str(&format!("CREATE TABLE IF NOT EXISTS {table} (\n"));
    for field in &schema.fields {
        text.push_str(&format!("  {} {},\n", quoted(&field.name), sql_type(&field.kind, 1)));
    }
    text.push_str(&format!("  {} TIMESTAMPTZ NOT NULL,\n", quoted(INGEST_TIME)));
    text.push_str(&format!("  {} VARCHAR NOT NULL,\n", quoted(INGEST_ID)));
    text.push_str(&format!("  {} VARCHAR", quoted(EXTRA)));
    if partitioned {
        text.push_str(&format!(",\n  {} DATE", quoted(PARTITION)));
    }
    text.push_str("\n);\n");
    if !schema.doc.is_empty() {
        text.push_str(&format!("COMMENT ON TABLE {table} IS {};\n", literal(&schema.doc)));
    }
    for field in schema.fields.iter().filter(|f| !f.doc.is_empty()) {
        let column = quoted(&field.name);
        text.push_str(&format!("COMMENT ON COLUMN {table}.{column} IS {};\n", literal(&field.doc)));
    }
    text
}

/// Writes the name of a type, whose members are `depth` levels further in.
pub(crate) fn sql_type(kind: &Kind, depth: usize) -> String {
    match kind {
        Kind::String => "VARCHAR".to_owned(),
        Kind::Long => "BIGINT".to_owned(),
        Kind::Double => "DOUBLE".to_owned(),
        Kind::Boolean => "BOOLEAN".to_owned(),
        Kind::TimestampMillis => "TIMESTAMPTZ".to_owned(),
        Kind::List(item) => format!("{}[]", sql_type(item, depth)),
        Kind::Map(value) => format!("MAP(VARCHAR, {})", sql_type(value, depth)),
        Kind::Struct(fields) => {
            let indent = "  ".repeat(depth + 1);
            let members: Vec<String> = fields
                .iter()
                .map(|f| format!("\n{indent}{} {}", quoted(&f.name), sql_type(&f.kind, depth + 1)))
                .collect();
            format!("STRUCT({}\n{})", members.join(","), "  ".repeat(depth))
        }
    }
}
