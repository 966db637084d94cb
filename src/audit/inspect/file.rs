//! The report on one Parquet file, by its footer.

use std::collections::BTreeSet;

use arrow::datatypes::Field;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;
use serde::Serialize;

use super::{codec, show_time, span, time_column, times, unsigned};
use crate::columnar::describe::describe as describe_type;
use crate::lake::{DataFileError, Lake, Object};

/// The report on a file.
#[derive(Debug, Serialize)]
pub struct FileReport {
    /// The file, as it was named.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of the pages, as stored.
    pub compressed_bytes: u64,
    /// Bytes of the pages before compression.
    pub uncompressed_bytes: u64,
    /// The program that wrote it.
    pub created_by: Option<String>,
    /// The column of `first` and `last`.
    pub time_column: Option<String>,
    /// First time of that column (RFC 3339), if there are statistics.
    pub first: Option<String>,
    /// Last time of that column.
    pub last: Option<String>,
    /// Its row groups, in order.
    pub row_groups: Vec<RowGroupReport>,
    /// Its leaf columns, in the order of the schema.
    pub columns: Vec<ColumnReport>,
    /// Its key-value metadata, in order.
    pub metadata: Vec<MetadataEntry>,
    /// Its schema, one entry a column or member, parents first.
    pub schema: Vec<SchemaLine>,
}

/// One row group.
#[derive(Debug, Serialize)]
pub struct RowGroupReport {
    /// Number of rows.
    pub rows: u64,
    /// Bytes of its pages, as stored.
    pub compressed_bytes: u64,
    /// Bytes of its pages before compression.
    pub uncompressed_bytes: u64,
}

/// One leaf column, over all row groups.
#[derive(Debug, Serialize)]
pub struct ColumnReport {
    /// Its path in the file: `userActions.list.element.name`.
    pub path: String,
    /// Its codecs: one, unless row groups differ.
    pub compression: BTreeSet<String>,
    /// Encodings of its pages.
    pub encodings: BTreeSet<String>,
    /// Bytes of its pages, as stored.
    pub compressed_bytes: u64,
    /// Bytes of its pages before compression.
    pub uncompressed_bytes: u64,
    /// Number of values, nulls among them.
    pub values: u64,
    /// Number of nulls, if statistics of every row group say.
    pub nulls: Option<u64>,
    /// True if every row group has a Bloom filter for it.
    pub bloom_filter: bool,
    /// True if every row group has a column index and an offset index for it.
    pub page_index: bool,
}

/// One entry of the key-value metadata.
#[derive(Debug, Serialize)]
pub struct MetadataEntry {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Option<String>,
}

/// One column or member of a struct.
#[derive(Debug, Serialize)]
pub struct SchemaLine {
    /// Number of its parents.
    pub depth: usize,
    /// Its name.
    pub name: String,
    /// Its type; the members of a struct, or of a list of structs, come after it, one deeper.
    #[serde(rename = "type")]
    pub kind: String,
    /// True if it may be null.
    pub nullable: bool,
}

/// Reports on the data file `object`. `name` is the report's name for it.
///
/// # Errors
/// [`DataFileError`].
pub async fn inspect_file(
    lake: &Lake,
    object: &Object,
    name: &str,
) -> Result<FileReport, DataFileError> {
    report(&lake.footer(object).await?, name, object.bytes)
}

fn report(footer: &ParquetMetaData, name: &str, bytes: u64) -> Result<FileReport, DataFileError> {
    let file = footer.file_metadata();
    let row_groups: Vec<RowGroupReport> = footer
        .row_groups()
        .iter()
        .map(|group| RowGroupReport {
            rows: unsigned(group.num_rows()),
            compressed_bytes: unsigned(group.compressed_size()),
            uncompressed_bytes: unsigned(group.total_byte_size()),
        })
        .collect();
    let column = time_column(footer);
    let groups = footer.row_groups().iter();
    let chunks = groups.filter_map(|group| group.columns().get(column?));
    let found = chunks.fold(None, |found, chunk| span(found, times(chunk)));
    let arrow = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    let mut schema = Vec::new();
    arrow.fields().iter().for_each(|field| describe(field, 0, &mut schema));
    let entries = file.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    Ok(FileReport {
        file: name.to_owned(),
        bytes,
        rows: unsigned(file.num_rows()),
        compressed_bytes: sum(row_groups.iter().map(|group| group.compressed_bytes)),
        uncompressed_bytes: sum(row_groups.iter().map(|group| group.uncompressed_bytes)),
        created_by: file.created_by().map(str::to_owned),
        time_column: column.map(|c| file.schema_descr().column(c).name().to_owned()),
        first: found.map(|(first, _)| show_time(first)),
        last: found.map(|(_, last)| show_time(last)),
        row_groups,
        columns: columns(footer),
        metadata: entries
            .iter()
            .map(|entry| MetadataEntry { key: entry.key.clone(), value: entry.value.clone() })
            .collect(),
        schema,
    })
}

/// Returns the sum of counts, which a broken footer may have of any size.
fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

fn columns(footer: &ParquetMetaData) -> Vec<ColumnReport> {
    let descriptors = footer.file_metadata().schema_descr().columns();
    let mut columns: Vec<ColumnReport> = descriptors
        .iter()
        .map(|descriptor| ColumnReport {
            path: descriptor.path().string(),
            compression: BTreeSet::new(),
            encodings: BTreeSet::new(),
            compressed_bytes: 0,
            uncompressed_bytes: 0,
            values: 0,
            nulls: Some(0),
            bloom_filter: footer.num_row_groups() > 0,
            page_index: footer.num_row_groups() > 0,
        })
        .collect();
    for group in footer.row_groups() {
        for (column, chunk) in columns.iter_mut().zip(group.columns()) {
            column.compression.insert(codec(chunk));
            column.encodings.extend(chunk.encodings().map(|encoding| encoding.to_string()));
            let counts = [
                (&mut column.compressed_bytes, chunk.compressed_size()),
                (&mut column.uncompressed_bytes, chunk.uncompressed_size()),
                (&mut column.values, chunk.num_values()),
            ];
            counts.into_iter().for_each(|(sum, more)| *sum = sum.saturating_add(unsigned(more)));
            let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
            column.nulls = column.nulls.zip(nulls).map(|(sum, more)| sum.saturating_add(more));
            column.bloom_filter &= chunk.bloom_filter_offset().is_some();
            column.page_index &=
                chunk.column_index_offset().is_some() && chunk.offset_index_offset().is_some();
        }
    }
    columns
}

/// Appends a line for `field`, and those of its members.
fn describe(field: &Field, depth: usize, lines: &mut Vec<SchemaLine>) {
    let (kind, members) = describe_type(field.data_type());
    let (name, nullable) = (field.name().clone(), field.is_nullable());
    lines.push(SchemaLine { depth, name, kind, nullable });
    for member in members {
        describe(member, depth + 1, lines);
    }
}
