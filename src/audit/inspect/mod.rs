//! Looking at a lake or a Parquet file, by footers alone.
//!
//! Nothing but the ends of files is read, a bounded number at a time, and of each file of a lake
//! only a few numbers are kept, so that a lake of many files is looked at in little memory. A file
//! that cannot be read is named in the report and the rest goes on. Nothing is written.
//!
//! ```text
//!  <lake>/<table>/<key>=<value>/…/<name>.parquet     a file of a table's partition
//!  <lake>/_<name>/…, .…                              hidden: counted, not opened
//!  <lake>/…                                          anything else: counted, not opened
//! ```

mod file;
mod lake;
#[cfg(test)]
mod tests;
mod text;

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::DecodeResult;
use parquet::basic::{LogicalType, TimeUnit, Type as Physical};
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder,
};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;

pub use file::{ColumnReport, FileReport, MetadataEntry, RowGroupReport, SchemaLine, inspect_file};
pub use lake::{
    Broken, FileSummary, LakeReport, OtherReport, PartitionReport, TableReport, Totals,
    inspect_lake,
};
pub(crate) use text::human;
pub use text::{file_text, lake_text};

/// Bytes of a file's end that are asked for at first: enough for most footers in one request.
const TAIL_BYTES: u64 = 64 * 1024;

/// Why a file could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The store would not list or read.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// The file is no Parquet, or a broken one.
    #[error("this is no whole Parquet file: {}", plain(.0))]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The file is shorter than any Parquet file.
    #[error("this is no Parquet file: it has {0} bytes")]
    TooShort(u64),
    /// The footer points outside of the file.
    #[error("this is no whole Parquet file: its footer asks for bytes {0:?} of {1}")]
    Outside(Range<u64>, u64),
}

/// What the reader says, without its own "Parquet error:" before it.
fn plain(error: &parquet::errors::ParquetError) -> String {
    match error {
        parquet::errors::ParquetError::General(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Reads the footer of the file at `path`, which has `bytes` bytes, without page indexes.
pub(crate) async fn footer(
    store: &dyn ObjectStore,
    path: &Path,
    bytes: u64,
) -> Result<ParquetMetaData, InspectError> {
    // The magic at both ends, and the length of the footer.
    if bytes < 12 {
        return Err(InspectError::TooShort(bytes));
    }
    let mut decoder =
        ParquetMetaDataPushDecoder::try_new(bytes)?.with_page_index_policy(PageIndexPolicy::Skip);
    let tail = bytes.saturating_sub(TAIL_BYTES)..bytes;
    let read = store.get_range(path, tail.clone()).await?;
    decoder.push_range(tail, read)?;
    loop {
        match decoder.try_decode()? {
            DecodeResult::Data(footer) => return Ok(footer),
            DecodeResult::Finished => return Err(InspectError::TooShort(bytes)),
            DecodeResult::NeedsData(ranges) => {
                if let Some(outside) = ranges.iter().find(|range| range.end > bytes) {
                    return Err(InspectError::Outside(outside.clone(), bytes));
                }
                let read: Vec<Bytes> = store.get_ranges(path, &ranges).await?;
                decoder.push_ranges(ranges, read)?;
            }
        }
    }
}

/// A count as the format has it: signed, and in a broken file anything.
fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// The column whose range of times is shown: `startTime`, or else the first top-level timestamp
/// that is not a lineage column.
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

/// A value of a timestamp column in microseconds since the epoch; `None` for other columns.
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

/// First and last time in the statistics of a column chunk, in microseconds since the epoch.
pub(crate) fn times(chunk: &ColumnChunkMetaData) -> Option<(i64, i64)> {
    let Some(Statistics::Int64(statistics)) = chunk.statistics() else { return None };
    let (first, last) = (statistics.min_opt()?, statistics.max_opt()?);
    let column = chunk.column_descr();
    Some((micros_of(column, *first)?, micros_of(column, *last)?))
}

/// The wider of two spans of time.
fn span(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// `2026-11-23T10:00:00.000000Z`
fn show_time(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{micros} µs"),
    }
}

/// `zstd`, `snappy`, … without the level, which is not in the file.
fn codec(chunk: &ColumnChunkMetaData) -> String {
    use parquet::basic::Compression;
    match chunk.compression() {
        Compression::UNCOMPRESSED => "none".to_owned(),
        other => {
            let name = other.to_string().to_lowercase();
            name.split('(').next().unwrap_or_default().to_owned()
        }
    }
}
