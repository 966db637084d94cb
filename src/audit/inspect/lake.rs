//! A lake: tables, partitions, files.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::file::metadata::ParquetMetaData;
use serde::Serialize;

use super::{InspectError, codec, footer, show_time, span, time_column, times, unsigned};

/// Footers read at a time.
const AT_A_TIME: usize = 32;

/// What is in a lake.
#[derive(Debug, Serialize)]
pub struct LakeReport {
    /// The lake, as it was named.
    pub lake: String,
    /// Sums over all tables.
    #[serde(flatten)]
    pub totals: Totals,
    /// Its tables, by name.
    pub tables: Vec<TableReport>,
    /// What is not a file of a table, by its first directory.
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
    /// First time of the table's time column (RFC 3339), as far as statistics say.
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
    /// The column that first and last are about.
    pub time_column: Option<String>,
    /// How many different schemas its files have.
    pub schemas: usize,
    /// How its pages are compressed.
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

/// One file, in short.
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
    /// First time of the time column (RFC 3339), if statistics say.
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
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A file that could not be looked at.
#[derive(Debug, Serialize)]
pub struct Broken {
    /// Its path below the lake.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Looks at every Parquet file below `prefix` of `store`. `name` is what the report calls the lake.
///
/// # Errors
///
/// The store cannot be listed. A file that cannot be read or is broken is in the report instead.
///
/// # Cancel safety
///
/// Reads only; dropping the future leaves nothing behind.
pub async fn inspect_lake(
    store: &dyn ObjectStore,
    prefix: &Path,
    name: &str,
) -> Result<LakeReport, InspectError> {
    let listed: Vec<ObjectMeta> = store.list(Some(prefix)).try_collect().await?;
    let mut files = Vec::new();
    let mut other: BTreeMap<String, OtherReport> = BTreeMap::new();
    for meta in listed {
        match place(prefix, &meta.location) {
            Place::Table { table, partition } => files.push((table, partition, meta)),
            Place::Other(name) => {
                let entry =
                    other.entry(name.clone()).or_insert(OtherReport { name, files: 0, bytes: 0 });
                entry.files += 1;
                entry.bytes += meta.size;
            }
        }
    }
    let mut seen: Vec<_> = stream::iter(files)
        .map(|(table, partition, meta)| async move {
            let look = footer(store, &meta.location, meta.size).await;
            let path = below(prefix, &meta.location);
            let look = look.map(|footer| Look::new(&footer, path.clone(), meta.size));
            (table, partition, path, look)
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    seen.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));

    let mut tables: BTreeMap<String, TableSums> = BTreeMap::new();
    let mut broken = Vec::new();
    for (table, partition, path, look) in seen {
        let sums = tables.entry(table).or_default();
        match look {
            Ok(look) => sums.add(partition, look),
            Err(error) => broken.push(Broken { path, reason: error.to_string() }),
        }
    }
    let tables: Vec<TableReport> =
        tables.into_iter().map(|(table, sums)| sums.report(table)).collect();
    Ok(LakeReport {
        lake: name.to_owned(),
        totals: sum(tables.iter().map(|table| &table.totals)),
        tables,
        other: other.into_values().collect(),
        broken,
    })
}

enum Place {
    Table { table: String, partition: String },
    Other(String),
}

/// Which table and partition a path below `prefix` belongs to, by its name alone.
fn place(prefix: &Path, path: &Path) -> Place {
    let below = below(prefix, path);
    let parts: Vec<&str> = below.split('/').collect();
    let hidden = parts.iter().any(|part| part.starts_with(['_', '.']));
    let (Some(first), Some((name, directories))) = (parts.first(), parts.split_last()) else {
        return Place::Other(below);
    };
    if hidden || !name.ends_with(".parquet") {
        return Place::Other((*first).to_owned());
    }
    // A table's name ends where its partitions begin. The lake may be the table itself.
    let depth = directories.iter().position(|part| part.contains('='));
    let (table, partition) = directories.split_at(depth.unwrap_or(directories.len()));
    let table = match table.is_empty() {
        true => prefix.filename().unwrap_or(".").to_owned(),
        false => table.join("/"),
    };
    Place::Table { table, partition: partition.join("/") }
}

fn below(prefix: &Path, path: &Path) -> String {
    let whole = path.as_ref();
    let rest = whole.strip_prefix(prefix.as_ref()).unwrap_or(whole);
    rest.trim_start_matches('/').to_owned()
}

/// What is kept of a file's footer.
struct Look {
    file: FileSummary,
    time_column: Option<String>,
    schema: u64,
    codecs: BTreeSet<String>,
}

impl Look {
    fn new(footer: &ParquetMetaData, path: String, bytes: u64) -> Look {
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
        Look { file, time_column, schema: fingerprint(descriptor), codecs }
    }
}

/// Equal for equal names and types in equal order; within one run only.
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
    fn add(&mut self, partition: String, look: Look) {
        self.partitions.entry(partition).or_default().push(look.file);
        self.time_column = self.time_column.take().or(look.time_column);
        self.schemas.insert(look.schema);
        self.codecs.extend(look.codecs);
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

/// Sums over tables. Their times are of different columns: there is no first and last of them.
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
