//! The files that receipts name: there, readable, with the rows that the receipt says.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array as _, AsArray as _, StringArray};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::report::{Report, Trouble};
use super::{AT_A_TIME, WHOLE_AT_A_TIME, whole};
use crate::audit::inspect;
use crate::record::SeqRange;
use crate::schema::INGEST_ID;

/// What a receipt says of a file.
pub(super) struct Told {
    pub(super) receipt: String,
    pub(super) node: String,
    pub(super) table: String,
    pub(super) range: SeqRange,
    /// Rows, or entries of the quarantine.
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// Looks at every file that a receipt names.
pub(super) async fn check(
    report: &mut Report,
    store: &dyn ObjectStore,
    prefix: &Path,
    there: &BTreeMap<String, ObjectMeta>,
    told: BTreeMap<String, Told>,
    rows: bool,
) {
    let mut found = Vec::new();
    for (path, told) in told {
        let meta = match there.get(&path) {
            Some(meta) => Ok(Some(meta.clone())),
            None => ask(store, prefix, &path).await,
        };
        match meta {
            Ok(Some(meta)) => found.push((path, told, meta)),
            Err(error) => report.problem(Trouble::File, &path, error.to_string()),
            Ok(None) => {
                let why = format!("{} names it, and it is not there", told.receipt);
                report.problem(Trouble::NoFile, &path, why);
            }
        }
    }
    let at_a_time = if rows { WHOLE_AT_A_TIME } else { AT_A_TIME };
    // In the order of receipts, so that the rows of one roll are together.
    found.sort_by(|a, b| (&a.1.receipt, &a.1.table, &a.0).cmp(&(&b.1.receipt, &b.1.table, &b.0)));
    let mut looks = stream::iter(found)
        .map(|(path, told, meta)| async move {
            let look = look(store, &path, &meta, rows).await;
            (path, told, meta.size, look)
        })
        .buffered(at_a_time);
    let mut seen: (String, HashSet<String>) = Default::default();
    while let Some((path, told, size, look)) = looks.next().await {
        match look {
            Err(why) => report.problem(Trouble::File, &path, why),
            Ok(look) if look.count != told.count => {
                let why = format!("{} says {}, it has {}", told.receipt, told.count, look.count);
                report.problem(Trouble::File, &path, why);
            }
            Ok(look) => {
                report.resized += u64::from(size != told.bytes);
                report.rows_read += look.ids.len() as u64;
                let roll = format!("{} {}", told.receipt, told.table);
                if seen.0 != roll {
                    seen = (roll, HashSet::new());
                }
                for id in look.ids {
                    if let Some(why) = astray(&id, &told) {
                        report.problem(Trouble::File, &path, why);
                        break;
                    }
                    if let Some(twice) = seen.1.replace(id) {
                        let why = format!("row {twice} is in this roll twice");
                        report.problem(Trouble::Overlap, &path, why);
                        break;
                    }
                }
            }
        }
    }
}

/// A file that no list had: it may have come since.
async fn ask(
    store: &dyn ObjectStore,
    prefix: &Path,
    path: &str,
) -> Result<Option<ObjectMeta>, object_store::Error> {
    match store.head(&whole(prefix, path)?).await {
        Ok(meta) => Ok(Some(meta)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

struct Look {
    count: u64,
    /// Lineage of the rows, if asked for.
    ids: Vec<String>,
}

async fn look(
    store: &dyn ObjectStore,
    path: &str,
    meta: &ObjectMeta,
    rows: bool,
) -> Result<Look, String> {
    let get = || async { store.get(&meta.location).await.map_err(|error| error.to_string()) };
    if path.starts_with("_quarantine/") {
        let (mut count, mut bytes) = (0, get().await?.into_stream());
        while let Some(some) = bytes.try_next().await.map_err(|error| error.to_string())? {
            count += memchr::memchr_iter(b'\n', &some).count() as u64;
        }
        return Ok(Look { count, ids: Vec::new() });
    }
    if !rows {
        let footer = inspect::footer(store, &meta.location, meta.size).await;
        let count = footer.map_err(|error| error.to_string())?.file_metadata().num_rows();
        return Ok(Look { count: u64::try_from(count).unwrap_or(0), ids: Vec::new() });
    }
    let bytes = get().await?.bytes().await.map_err(|error| error.to_string())?;
    let ids = tokio::task::spawn_blocking(move || lineage(bytes)).await;
    let ids = ids.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    Ok(Look { count: ids.len() as u64, ids })
}

/// The lineage column of a file.
fn lineage(bytes: bytes::Bytes) -> Result<Vec<String>, parquet::errors::ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let mask = ProjectionMask::columns(reader.parquet_schema(), [INGEST_ID]);
    let mut ids = Vec::new();
    for batch in reader.with_projection(mask).build()? {
        let batch = batch?;
        let column: Option<&StringArray> =
            batch.column_by_name(INGEST_ID).and_then(|column| column.as_string_opt());
        let column = column.ok_or_else(|| {
            parquet::errors::ParquetError::General(format!("there is no column {INGEST_ID}"))
        })?;
        ids.extend((0..column.len()).map(|at| column.value(at).to_owned()));
    }
    Ok(ids)
}

/// Why a row does not belong in the roll.
fn astray(id: &str, told: &Told) -> Option<String> {
    let of_node = id.strip_prefix(&told.node).and_then(|rest| rest.strip_prefix('-'));
    let seq = of_node.and_then(|rest| rest.split_once('-')?.0.parse::<u64>().ok());
    let (first, last) = (told.range.first.0, told.range.last.0);
    match seq {
        Some(seq) if (first..=last).contains(&seq) => None,
        _ => Some(format!("row {id} is none of bodies {first} to {last} of {}", told.node)),
    }
}
