//! The report on a lake: tables, partitions, files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use parking_lot::RwLock;
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::TypePtr;
use serde::Serialize;

use super::super::table_log::TableLogs;
use super::log::{self, LogReport};
use super::{codec_name, show_time, span, time_column, times, unsigned};
use crate::error_text::shown;
use crate::lake::names::ObjectName;
use crate::lake::{Detail, FooterPart, Lake, Object, Skipped, StoreError};

/// Footers read at a time.
const AT_A_TIME: usize = 64;

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
    /// Links and directories that were not looked into.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
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
    /// Its log, if it has one (Delta).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogReport>,
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
    /// Its files, by name, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
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

/// Reports on every Parquet file of a lake; with `files`, with an entry for each.
///
/// Without `files`, a file takes some 70 bytes of memory until its footer has been read, and none
/// afterwards.
///
/// # Errors
/// The store cannot be listed. A file that cannot be read or is broken is in the report instead.
///
/// # Cancel safety
/// Reads only; dropping the future leaves nothing behind.
pub async fn inspect_lake(
    lake: &Lake,
    table_logs: &TableLogs,
    files: bool,
) -> Result<LakeReport, StoreError> {
    let mut listed = Listed::default();
    let skipped = lake.list_each("", Detail::Size, |_| true, |object| listed.add(&object)).await?;
    let Listed { folders, files: found, other, logs, .. } = listed;
    let schemas = Arc::new(Schemas::default());
    let mut footers = stream::iter(found)
        .map(|file| {
            let folder = folders.get(file.folder).map_or("", |folder| folder);
            let name = match folder {
                "" => file.name.into_string(),
                _ => format!("{folder}/{}", file.name),
            };
            let object = Object { name, bytes: file.bytes };
            let schemas = Arc::clone(&schemas);
            async move {
                let (name, bytes) = (object.name.clone(), object.bytes);
                let make = move |footer| Summary::new(&footer, name, bytes, &schemas);
                let summary = lake.read_footer(&object, FooterPart::Columns, make).await;
                (object.name, summary)
            }
        })
        .buffer_unordered(AT_A_TIME);
    let mut tables: BTreeMap<String, TableSums> = BTreeMap::new();
    let mut broken = Vec::new();
    while let Some((path, summary)) = footers.next().await {
        let Some((table, partition)) = data_folder(&path) else { continue };
        // The lake may be the table itself.
        let table = if table.is_empty() { own_name(lake) } else { table };
        if !tables.contains_key(table) {
            tables.insert(table.to_owned(), TableSums::default());
        }
        match summary {
            Ok(summary) => {
                if let Some(sums) = tables.get_mut(table) {
                    sums.add(partition, summary, files);
                }
            }
            Err(error) => broken.push(Broken { path, reason: shown(&error.to_string()) }),
        }
    }
    for table in logs {
        let report = log::report(lake, table_logs, &table).await?;
        tables.entry(table).or_default().log = report;
    }
    broken.sort_by(|a, b| a.path.cmp(&b.path));
    let tables: Vec<TableReport> =
        tables.into_iter().map(|(table, sums)| sums.report(table)).collect();
    Ok(LakeReport {
        lake: lake.location().to_string(),
        totals: sum(tables.iter().map(|table| &table.totals)),
        tables,
        other: other.into_values().collect(),
        broken,
        skipped,
    })
}

/// The files of a listing, with each folder once.
#[derive(Default)]
struct Listed {
    ids: HashMap<Arc<str>, usize>,
    folders: Vec<Arc<str>>,
    files: Vec<File>,
    other: BTreeMap<String, OtherReport>,
    /// Tables that have a log.
    logs: BTreeSet<String>,
}

struct File {
    folder: usize,
    /// The last part of its name.
    name: Box<str>,
    bytes: u64,
}

impl Listed {
    fn add(&mut self, object: &Object) {
        if let ObjectName::TableLog { table, .. }
        | ObjectName::TableMetadata { table, .. }
        | ObjectName::TableIdentity { table } = ObjectName::parse(&object.name)
            && !self.logs.contains(table)
        {
            self.logs.insert(table.to_owned());
        }
        if data_folder(&object.name).is_none() {
            let name = object.name.split('/').next().unwrap_or_default();
            if !self.other.contains_key(name) {
                let none = OtherReport { name: name.to_owned(), files: 0, bytes: 0 };
                self.other.insert(name.to_owned(), none);
            }
            if let Some(other) = self.other.get_mut(name) {
                other.files += 1;
                other.bytes = other.bytes.saturating_add(object.bytes);
            }
            return;
        }
        let (folder, name) = object.name.rsplit_once('/').unwrap_or(("", &object.name));
        let folder = match self.ids.get(folder) {
            Some(id) => *id,
            None => {
                let shared: Arc<str> = folder.into();
                self.folders.push(Arc::clone(&shared));
                self.ids.insert(shared, self.folders.len() - 1);
                self.folders.len() - 1
            }
        };
        self.files.push(File { folder, name: name.into(), bytes: object.bytes });
    }
}

/// The schemas that were seen, each once.
#[derive(Default)]
struct Schemas(RwLock<Vec<TypePtr>>);

impl Schemas {
    /// Returns a number that is equal for equal names and types in equal order.
    fn number(&self, schema: &TypePtr) -> usize {
        let known = |known: &[TypePtr]| known.iter().position(|one| one == schema);
        if let Some(number) = known(&self.0.read()) {
            return number;
        }
        let mut all = self.0.write();
        known(&all).unwrap_or_else(|| {
            all.push(Arc::clone(schema));
            all.len() - 1
        })
    }
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
    schema: usize,
    codecs: BTreeSet<String>,
}

impl Summary {
    fn new(footer: &ParquetMetaData, path: String, bytes: u64, schemas: &Schemas) -> Summary {
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
        let mut compressions = Vec::new();
        for group in footer.row_groups() {
            let bytes = unsigned(group.total_byte_size());
            file.uncompressed_bytes = file.uncompressed_bytes.saturating_add(bytes);
            for chunk in group.columns() {
                if !compressions.contains(&chunk.compression()) {
                    compressions.push(chunk.compression());
                }
            }
            let chunk = column.and_then(|column| group.columns().get(column));
            file.times = span(file.times, chunk.and_then(times));
        }
        file.first = file.times.map(|(first, _)| show_time(first));
        file.last = file.times.map(|(_, last)| show_time(last));
        let descriptor = footer.file_metadata().schema_descr();
        let time_column = column.map(|column| descriptor.column(column).name().to_owned());
        let schema = schemas.number(&descriptor.root_schema_ptr());
        let codecs = compressions.into_iter().map(codec_name).collect();
        Summary { file, time_column, schema, codecs }
    }
}

#[derive(Default)]
struct TableSums {
    partitions: BTreeMap<String, PartitionSums>,
    time_column: Option<String>,
    schemas: BTreeSet<usize>,
    codecs: BTreeSet<String>,
    log: Option<LogReport>,
}

#[derive(Default)]
struct PartitionSums {
    totals: Totals,
    times: Option<(i64, i64)>,
    files: Vec<FileSummary>,
}

impl TableSums {
    /// Adds a file, and keeps its entry with `keep`.
    fn add(&mut self, partition: &str, summary: Summary, keep: bool) {
        if !self.partitions.contains_key(partition) {
            self.partitions.insert(partition.to_owned(), PartitionSums::default());
        }
        if let Some(sums) = self.partitions.get_mut(partition) {
            sums.add(summary.file, keep);
        }
        self.time_column = self.time_column.take().or(summary.time_column);
        self.schemas.insert(summary.schema);
        self.codecs.extend(summary.codecs);
    }

    fn report(self, table: String) -> TableReport {
        let times = self.partitions.values().fold(None, |times, sums| span(times, sums.times));
        let totals = sum(self.partitions.values().map(|sums| &sums.totals)).with_times(times);
        let partitions = self.partitions.into_iter().map(|(partition, sums)| {
            let mut file_list = sums.files;
            file_list.sort_by(|a, b| a.path.cmp(&b.path));
            PartitionReport { partition, totals: sums.totals.with_times(sums.times), file_list }
        });
        let partitions = partitions.collect();
        TableReport {
            table,
            totals,
            time_column: self.time_column,
            schemas: self.schemas.len(),
            compression: self.codecs,
            log: self.log,
            partitions,
        }
    }
}

impl PartitionSums {
    fn add(&mut self, file: FileSummary, keep: bool) {
        self.totals.files += 1;
        let counts = [
            (&mut self.totals.rows, file.rows),
            (&mut self.totals.bytes, file.bytes),
            (&mut self.totals.uncompressed_bytes, file.uncompressed_bytes),
            (&mut self.totals.row_groups, file.row_groups),
        ];
        // Footers may say anything.
        counts.into_iter().for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self.times = span(self.times, file.times);
        if keep {
            self.files.push(file);
        }
    }
}

impl Totals {
    fn with_times(self, times: Option<(i64, i64)>) -> Totals {
        Totals {
            first: times.map(|(first, _)| show_time(first)),
            last: times.map(|(_, last)| show_time(last)),
            ..self
        }
    }
}

/// Returns the sums of parts, without their times: those of tables are of different columns.
fn sum<'a>(parts: impl Iterator<Item = &'a Totals>) -> Totals {
    parts.fold(Totals::default(), |sum, part| Totals {
        files: sum.files + part.files,
        rows: sum.rows.saturating_add(part.rows),
        bytes: sum.bytes.saturating_add(part.bytes),
        uncompressed_bytes: sum.uncompressed_bytes.saturating_add(part.uncompressed_bytes),
        row_groups: sum.row_groups.saturating_add(part.row_groups),
        first: None,
        last: None,
    })
}
