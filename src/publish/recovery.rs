//! A roll that was sealed, and what the lake has of it.
//!
//! With its receipt there it is over, and nothing of it is put again. Without, a roll is made again under the same names, which is safe because it has the same rows. When a
//! segment was given up since the seal (`--skip-damaged`), it has fewer: writing them over files
//! that an attempt before the damage has put would take rows out of the lake. An object appears
//! whole, and was made of the whole range; so what is there stays, and only the rest is put.

use std::path::PathBuf;

use crate::batch::FileKey;
use crate::decode::Counts;
use crate::encode::Staged;
use crate::lake::Receipt;
use crate::lake::names::ObjectName;
use crate::lake::{self, DataFileError, Lake, StoreError};
use crate::roll::open_roll::Finished;
use crate::table::Tables;

/// What the lake has of the roll.
pub(crate) enum Again {
    /// All of it: there is its receipt.
    Landed(Receipt),
    /// Some or none of it. The roll as it will be: what is there is counted as it is, and needs no
    /// staging file.
    Rest(Finished),
}

/// Looks for the receipt of the roll. It is put last: with it there, everything is.
pub(crate) async fn receipt(
    lake: &Lake,
    node: &str,
    finished: &Finished,
) -> Result<Option<Receipt>, StoreError> {
    let bytes = lake.get(&lake::names::receipt(node, finished.roll)).await?;
    let receipt = bytes.and_then(|bytes| serde_json::from_slice::<Receipt>(&bytes).ok());
    let (first, last) = (finished.range.first.0, finished.range.last.0);
    Ok(receipt.filter(|receipt| (receipt.first_seq, receipt.last_seq) == (first, last)))
}

/// The roll with the files that an earlier attempt has put. Lists the tables of the roll: slow in a
/// large lake, and rare.
pub(crate) async fn files(
    lake: &Lake,
    tables: &Tables,
    node: &str,
    finished: &Finished,
) -> Result<Finished, StoreError> {
    let mut rest = finished.clone();
    for (id, spec) in tables.iter() {
        let table = &spec.name;
        for object in lake.list(table).await? {
            let ObjectName::Data { table: of, partition, node: by, roll } =
                ObjectName::parse(&object.name)
            else {
                continue;
            };
            if (of, by, roll) != (&**table, node, finished.roll) {
                continue;
            }
            let key = FileKey { table: id, partition: partition.to_owned() };
            let footer = match lake.footer(&object).await {
                Ok(footer) => footer,
                Err(DataFileError::Store(error)) => return Err(error),
                // What is no Parquet file is none of ours, and is replaced.
                Err(_) => continue,
            };
            let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0);
            let statistics = crate::columnar::statistics::FileStatistics::of(&footer);
            let staged = Staged { path: PathBuf::new(), bytes: object.bytes, rows, statistics };
            rest.files.retain(|(other, _)| *other != key);
            rest.files.push((key, staged));
        }
        let name = lake::names::quarantine(table, node, finished.roll);
        if let Some(bytes) = lake.get(&name).await? {
            let entries = memchr::memchr_iter(b'\n', &bytes).count() as u64;
            let bytes = bytes.len() as u64;
            let statistics = crate::columnar::statistics::FileStatistics::default();
            let staged = Staged { path: PathBuf::new(), bytes, rows: entries, statistics };
            rest.rejects.retain(|(other, _)| *other != id);
            rest.rejects.push((id, staged));
        }
    }
    let derived = |id| tables.get(id).is_some_and(|spec| spec.rows.is_derived());
    let documents = rest.files.iter().filter(|(key, _)| !derived(key.table));
    let rows = documents.map(|(_, staged)| staged.rows).sum();
    let rejects = rest.rejects.iter().map(|(_, staged)| staged.rows).sum();
    rest.counts = Counts { lines: rows + rejects, rows, rejects, ..rest.counts };
    Ok(rest)
}
