//! The report on a lake: tables, partitions, files.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;

use futures::{StreamExt as _, stream};
use parquet::file::metadata::ParquetMetaData;
use serde::Serialize;

use super::{codec, show_time, span, time_column, times, unsigned};
use crate::lake::names::ObjectName;
use crate::lake::{Lake, StoreError};

/// Footers read at a time.
const AT_A_TIME: usize = 32;

/// The report on a lake.
#[derive(Debug, Serialize)]
pub struct LakeReport {
    /// The lake, as it was named.
    pub lake: String,
    /// Sums over all tables.
    #[serde(flatten)]
    pub totals: Totals,
    /// Its tables, by name.
    pub tables: Vec<TableReport>,
    /// Files that belong to no table, by their first directory.
    pub other: Vec<OtherReport>,
    /// Files that should be Parquet and are not, or could not be read.
    pub broken: Vec<Broken>,
}

/// Sums over files. Broken files are in none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Number of Parquet files.
    pub files: u64,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Bytes of the pages before compression.
    pub uncompressed_bytes: u64,
    /// Number of row groups.
    pub row_groups: u64,
    /// First time of the table's time column (RFC 3339), of files that have statistics.
    pub first: Option<String>,
    /// Last time of the table's time column.
    pub last: Option<String>,
}

/// One table.
#[derive(Debug, Serialize)]
pub struct TableReport {
    /// Its directory.
    pub table: String,
    /// Sums over its files.
    #[serde(flatten)]
    pub totals: Totals,
    /// The column of `first` and `last`.
    pub time_column: Option<String>,
    /// Number of different schemas of its files.
    pub schemas: usize,
    /// Codecs of its pages.
    pub compression: BTreeSet<String>,
    /// Its partitions, by name.
    pub partitions: Vec<PartitionReport>,
}

/// One partition.
#[derive(Debug, Serialize)]
pub struct PartitionReport {
    /// Its directories, as they are: `date=2026-11-23`; empty for a table without partitions.
    pub partition: String,
    /// Sums over its files.
    #[serde(flatten)]
    pub totals: Totals,
    /// Its files, by name.
    pub file_list: Vec<FileSummary>,
}

/// The totals of one file.
#[derive(Debug, Serialize)]
pub struct FileSummary {
    /// Its path below the lake.
    pub path: String,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of the pages before compression.
    pub uncompressed_bytes: u64,
    /// Number of row groups.
    pub row_groups: u64,
    /// First time of the time column (RFC 3339), if there are statistics.
    pub first: Option<String>,
    /// Last time of the time column.
    pub last: Option<String>,
    #[serde(skip)]
    times: Option<(i64, i64)>,
}

/// Files that belong to no table.
#[derive(Debug, Serialize)]
pub struct OtherReport {
    /// The first directory, or the file.
    pub name: String,
    /// Number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A file that could not be read.
#[derive(Debug, Serialize)]
pub struct Broken {
    /// Its path below the lake.
    pub path: String,
    /// The error.
    pub reason: String,
}

/// Reports on every Parquet file of a lake.
///
/// # Errors
/// The store cannot be listed. A file that cannot be read or is broken is in the report instead.
///
/// # Cancel safety
/// Reads only; dropping the future leaves nothing behind.
pub async fn inspect_lake(lake: &Lake) -> Result<LakeReport, StoreError> {
    let mut files = Vec::new();
    let mut other: BTreeMap<String, OtherReport> = BTreeMap::new();
    for object in lake.list("").await? {
        match data_folder(&object.name) {
            Some((table, partition)) => {
                // The lake may be the table itself.
                let table = if table.is_empty() { own_name(lake) } else { table };
                files.push((table.to_owned(), partition.to_owned(), object));
            }
            None => {
                let name = object.name.split('/').next().unwrap_or_default().to_owned();
                let entry =
                    other.entry(name.clone()).or_insert(OtherReport { name, files: 0, bytes: 0 });
                entry.files += 1;
                entry.bytes += object.bytes;
            }
        }
    }
    let mut seen: Vec<_> = stream::iter(files)
        .map(|(table, partition, object)| async move {
            let footer = lake.footer(&object).await;
            let summary =
                footer.map(|footer| Summary::new(&footer, object.name.clone(), object.bytes));
            (table, partition, object.name, summary)
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    seen.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));

    let mut tables: BTreeMap<String, TableSums> = BTreeMap::new();
    let mut broken = Vec::new();
    for (table, partition, path, summary) in seen {
        let sums = tables.entry(table).or_default();
        match summary {
            Ok(summary) => sums.add(partition, summary),
            Err(error) => broken.push(Broken { path, reason: error.to_string() }),
        }
    }
    let tables: Vec<TableReport> =
        tables.into_iter().map(|(table, sums)| sums.report(table)).collect();
    Ok(LakeReport {
        lake: lake.location().to_string(),
        totals: sum(tables.iter().map(|table| &table.totals)),
        tables,
        other: other.into_values().collect(),
        broken,
    })
}

/// Returns the folders of the table and the partition of a data file, by its name.
fn data_folder(name: &str) -> Option<(&str, &str)> {
    match ObjectName::parse(name) {
        ObjectName::Data { table, partition, .. }
        | ObjectName::ForeignData { table, partition, .. } => Some((table, partition)),
        _ => None,
    }
}

/// Returns the last part of the lake's prefix.
fn own_name(lake: &Lake) -> &str {
    let prefix = lake.location().prefix().unwrap_or("");
    let name = prefix.rsplit('/').next().unwrap_or("");
    if name.is_empty() { "." } else { name }
}

/// The part of a footer that a report needs.
struct Summary {
    file: FileSummary,
    time_column: Option<String>,
    schema: u64,
    codecs: BTreeSet<String>,
}

impl Summary {
    fn new(footer: &ParquetMetaData, path: String, bytes: u64) -> Summary {
        let column = time_column(footer);
        let mut file = FileSummary {
            path,
            rows: unsigned(footer.file_metadata().num_rows()),
            bytes,
            uncompressed_bytes: 0,
            row_groups: footer.num_row_groups() as u64,
            first: None,
            last: None,
            times: None,
        };
        let mut codecs = BTreeSet::new();
        for group in footer.row_groups() {
            file.uncompressed_bytes += unsigned(group.total_byte_size());
            codecs.extend(group.columns().iter().map(codec));
            let chunk = column.and_then(|column| group.columns().get(column));
            file.times = span(file.times, chunk.and_then(times));
        }
        file.first = file.times.map(|(first, _)| show_time(first));
        file.last = file.times.map(|(_, last)| show_time(last));
        let descriptor = footer.file_metadata().schema_descr();
        let time_column = column.map(|column| descriptor.column(column).name().to_owned());
        Summary { file, time_column, schema: fingerprint(descriptor), codecs }
    }
}

/// Returns a number that is equal for equal names and types in equal order, within one run.
fn fingerprint(schema: &parquet::schema::types::SchemaDescriptor) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    hash.write(format!("{:?}", schema.root_schema()).as_bytes());
    hash.finish()
}

#[derive(Default)]
struct TableSums {
    partitions: BTreeMap<String, Vec<FileSummary>>,
    time_column: Option<String>,
    schemas: BTreeSet<u64>,
    codecs: BTreeSet<String>,
}

impl TableSums {
    fn add(&mut self, partition: String, summary: Summary) {
        self.partitions.entry(partition).or_default().push(summary.file);
        self.time_column = self.time_column.take().or(summary.time_column);
        self.schemas.insert(summary.schema);
        self.codecs.extend(summary.codecs);
    }

    fn report(self, table: String) -> TableReport {
        let totals = sum_files(self.partitions.values().flatten());
        let partitions = self
            .partitions
            .into_iter()
            .map(|(partition, file_list)| PartitionReport {
                partition,
                totals: sum_files(file_list.iter()),
                file_list,
            })
            .collect();
        TableReport {
            table,
            totals,
            time_column: self.time_column,
            schemas: self.schemas.len(),
            compression: self.codecs,
            partitions,
        }
    }
}

fn sum_files<'a>(files: impl Iterator<Item = &'a FileSummary>) -> Totals {
    let mut totals = Totals::default();
    let mut times = None;
    for file in files {
        totals.files += 1;
        totals.rows += file.rows;
        totals.bytes += file.bytes;
        totals.uncompressed_bytes += file.uncompressed_bytes;
        totals.row_groups += file.row_groups;
        times = span(times, file.times);
    }
    totals.first = times.map(|(first, _)| show_time(first));
    totals.last = times.map(|(_, last)| show_time(last));
    totals
}

/// Returns the sums over tables. Their times are of different columns: there is no first and last of
/// them.
fn sum<'a>(parts: impl Iterator<Item = &'a Totals>) -> Totals {
    parts.fold(Totals::default(), |sum, part| Totals {
        files: sum.files + part.files,
        rows: sum.rows + part.rows,
        bytes: sum.bytes + part.bytes,
        uncompressed_bytes: sum.uncompressed_bytes + part.uncompressed_bytes,
        row_groups: sum.row_groups + part.row_groups,
        first: None,
        last: None,
    })
}
