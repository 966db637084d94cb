//! Reports on a lake or a Parquet file, by footers alone.
//!
//! Nothing but the ends of files is read, a bounded number at a time, and of each file of a lake
//! only a few numbers are kept, so that a lake of many files takes little memory. A file
//! that cannot be read is named in the report and the rest goes on. Nothing is written.
//!
//! ```text
//!  <lake>/<table>/<key>=<value>/…/<name>.parquet     a file of a table's partition
//!  <lake>/<table>/_delta_log/…                       log of a Delta table: its version and marks
//!  <lake>/_<name>/…, .…                              hidden: counted, not opened
//!  <lake>/…                                          anything else: counted, not opened
//! ```

mod file;
mod lake;
mod log;
#[cfg(test)]
mod tests;
mod text;

use chrono::{DateTime, SecondsFormat};
use parquet::basic::{Compression, LogicalType, TimeUnit, Type as Physical};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;

pub use file::{ColumnReport, FileReport, MetadataEntry, RowGroupReport, SchemaLine, inspect_file};
pub use lake::{
    Broken, FileSummary, LakeReport, OtherReport, PartitionReport, TableReport, Totals,
    inspect_lake,
};
pub use log::LogReport;
pub(crate) use text::human;
pub use text::{file_text, lake_text};

/// Converts a count of the format, which is signed, and may be anything in a broken file.
fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// Returns the column whose range of times is shown: `startTime`, or else the first top-level
/// timestamp that is not a lineage column.
fn time_column(footer: &ParquetMetaData) -> Option<usize> {
    let columns = footer.file_metadata().schema_descr().columns();
    let timestamp = |column: &ColumnDescriptor| {
        column.path().parts().len() == 1 && micros_of(column, 0).is_some()
    };
    let named = |column: &ColumnDescriptor| column.name() == "startTime" && timestamp(column);
    columns
        .iter()
        .position(|column| named(column))
        .or_else(|| columns.iter().position(|c| timestamp(c) && !c.name().starts_with('_')))
}

/// Returns a value of a timestamp column in microseconds since the epoch; `None` for other columns.
fn micros_of(column: &ColumnDescriptor, value: i64) -> Option<i64> {
    if column.physical_type() != Physical::INT64 {
        return None;
    }
    match column.logical_type_ref()? {
        LogicalType::Timestamp(kind) => match kind.unit {
            TimeUnit::MILLIS => value.checked_mul(1000),
            TimeUnit::MICROS => Some(value),
            TimeUnit::NANOS => Some(value.div_euclid(1000)),
        },
        _ => None,
    }
}

/// Returns the first and last time of a column chunk by its statistics, in microseconds since the
/// epoch.
pub(crate) fn times(chunk: &ColumnChunkMetaData) -> Option<(i64, i64)> {
    let Some(Statistics::Int64(statistics)) = chunk.statistics() else { return None };
    let (first, last) = (statistics.min_opt()?, statistics.max_opt()?);
    let column = chunk.column_descr();
    Some((micros_of(column, *first)?, micros_of(column, *last)?))
}

/// Returns the span of time that covers two spans.
fn span(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// Formats a time as RFC 3339.
fn show_time(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{micros} µs"),
    }
}

/// Returns the codec's name, as `zstd`, without the level, which is not in the file.
fn codec(chunk: &ColumnChunkMetaData) -> String {
    codec_name(chunk.compression())
}

fn codec_name(codec: Compression) -> String {
    match codec {
        Compression::UNCOMPRESSED => "none".to_owned(),
        other => {
            let name = other.to_string().to_lowercase();
            name.split('(').next().unwrap_or_default().to_owned()
        }
    }
}
