//! Schemas as text: for people, and for the engines that read the lake.
//!
//! Every format is made from the [`TableSchema`] alone, so it cannot drift from the files. The
//! same schema gives the same text, byte for byte.
//!
//! The DDL describes the lake as it is laid out by default: partitioned by `date`, the UTC day
//! of `startTime` (of `start_time` in the tables of Grail). For a schema without such a column, or with a `date` of its own, it names no
//! partition column and says so; the columns of a configuration's own template are for its owner to
//! add. Locations are those of the default lake, each on a line of its own to be changed.

mod arrow_text;
mod avro;
mod duckdb;
mod elasticsearch;
mod pretty;
mod reference;
mod spark;
mod trino;

pub use arrow_text::arrow_text;
pub use avro::avro;
pub use duckdb::duckdb_ddl;
pub(crate) use duckdb::sql_type as duckdb_type;
pub use elasticsearch::elasticsearch_mapping;
pub(super) use pretty::{one_line, pretty};
pub use reference::{flat_reference_page, reference_page};
pub use spark::spark_ddl;
pub(crate) use spark::{literal as spark_literal, sql_type as spark_type};
pub(crate) use trino::sql_type as trino_type;
pub use trino::trino_ddl;

use super::TableSchema;

/// The formats in which a schema can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The Avro schema itself, evenly laid out.
    Avro,
    /// The Arrow schema of batches and files, as an indented tree.
    Arrow,
    /// CREATE TABLE for Spark SQL, over the lake's files.
    Spark,
    /// CREATE TABLE for Trino's Hive connector, over the lake's files.
    Trino,
    /// CREATE VIEW over the lake's files, and CREATE TABLE for a copy, for DuckDB.
    Duckdb,
    /// The body of a request that creates an Elasticsearch index with a mapping.
    Elasticsearch,
    /// The reference page of the table, in Markdown.
    Reference,
}

/// Returns the text of `schema` in `format`, ending in a newline.
pub fn cli_text(schema: &TableSchema, format: Format) -> String {
    match format {
        Format::Avro => avro(schema),
        Format::Arrow => arrow_text(schema),
        Format::Spark => spark_ddl(schema),
        Format::Trino => trino_ddl(schema),
        Format::Duckdb => duckdb_ddl(schema),
        Format::Elasticsearch => elasticsearch_mapping(schema),
        Format::Reference => reference_page(schema),
    }
}

/// The partition column of the default layout.
const PARTITION: &str = "date";

/// The comment in place of a partition column.
const NO_PARTITION: &str = "-- The default partition (date, the UTC day of startTime) does not fit this schema: \
     add the\n-- partition columns of your own template.\n";

/// Returns whether the default layout fits the schema: see [`TableSchema::start_column`].
fn has_default_partition(schema: &TableSchema) -> bool {
    schema.start_column().is_some()
}

/// Returns the documentation of the partition column.
fn partition_doc(schema: &TableSchema) -> String {
    format!("UTC day of {}.", schema.start_column().unwrap_or_default())
}

/// Returns `text` as a comment of SQL: each line after `-- `.
pub(crate) fn sql_comment(text: &str) -> String {
    text.lines().map(|line| format!("-- {}\n", line.trim_end())).collect()
}

/// Quotes a name of standard SQL; always, since some are words of SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns a string literal of standard SQL, in which nothing but a quote is escaped.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests;
