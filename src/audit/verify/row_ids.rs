//! The ids of a file's rows: what no two rows of a roll and table have in common.

use arrow::array::{Array as _, RecordBatch};
use parquet::errors::ParquetError;

use crate::columnar::values::{longs, strings};
use crate::lake::{DataFile, DataFileError, Lake, Object};
use crate::schema::INGEST_ID;
use crate::table::flat::POSITION;

/// Columns with which a property is one of its session: those that its position is not unique without.
const OF_PROPERTY: [&str; 3] = ["level", "actionPosition", "type"];

/// Returns the ids of a file's rows: `n-1-2`, the lineage column. Rows of a flat table have their place in
/// the session as well: `n-1-2/0`, or of a property `n-1-2/session//string/0`.
pub(super) async fn row_ids(
    lake: &Lake,
    object: &Object,
    derived: bool,
) -> Result<Vec<String>, DataFileError> {
    let file = DataFile::open(lake, object.clone()).await?;
    let mut columns = vec![INGEST_ID];
    if derived {
        columns.extend(OF_PROPERTY.iter().chain([&POSITION]));
    }
    let mut batches = file.batches(lake, Some(&columns), None)?;
    let mut ids = Vec::new();
    while let Some(batch) = batches.next().await? {
        let column = batch.column_by_name(INGEST_ID).and_then(|column| strings(column));
        let column = column
            .ok_or_else(|| ParquetError::General(format!("there is no column {INGEST_ID}")))?;
        let first = ids.len();
        ids.extend((0..column.len()).map(|at| column.value(at).to_owned()));
        if derived {
            for (at, id) in ids.iter_mut().skip(first).enumerate() {
                add_place(id, &batch, at);
            }
        }
    }
    Ok(ids)
}

/// Adds the place of a row of a flat table in its session.
fn add_place(id: &mut String, batch: &RecordBatch, row: usize) {
    // An element may have one of these by itself: a field of its own.
    let is_property = OF_PROPERTY.iter().all(|name| batch.column_by_name(name).is_some());
    let places = OF_PROPERTY.iter().filter(|_| is_property).chain([&POSITION]);
    for name in places {
        let Some(column) = batch.column_by_name(name) else { continue };
        id.push('/');
        if column.is_null(row) {
            continue;
        }
        if let Some(texts) = strings(column) {
            id.push_str(texts.value(row));
        } else if let Some(numbers) = longs(column) {
            id.push_str(&numbers.value(row).to_string());
        }
    }
}
