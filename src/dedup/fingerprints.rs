//! Fingerprints of rows.

use arrow::array::{Array as _, RecordBatch};

use crate::columnar::row_bytes::{OtherType, RowBytes, RowKey};
use crate::schema::{INGEST_ID, INGEST_TIME, TableSchema};

/// A hash of the table and the values of a row.
pub(crate) type Fingerprint = u128;

/// Columns that a row must have a value in to be compared.
pub(crate) const KEY: [&str; 3] = ["tenantId", "userSessionId", "startTime"];

/// Checks that rows of a table with the columns of `schema` can be compared.
///
/// # Errors
/// A column of the key is missing: its name.
pub(crate) fn check_table(schema: &TableSchema) -> Result<(), &'static str> {
    let has = |name: &str| schema.fields.iter().any(|field| field.name == name);
    KEY.iter().find(|name| !has(name)).map_or(Ok(()), |name| Err(name))
}

/// Makes the fingerprints of the rows of a table.
#[derive(Clone, Debug)]
pub(crate) struct Fingerprints {
    key: RowKey,
    /// Name of the table, and its end.
    table: Vec<u8>,
}

impl Fingerprints {
    /// Makes fingerprints of rows of `table` with the key `key`.
    pub(crate) fn new(table: &str, key: [u64; 2]) -> Fingerprints {
        Fingerprints { key: RowKey::new(key), table: [table.as_bytes(), b"\n"].concat() }
    }

    /// Returns the fingerprint of each row; none of rows that are not compared.
    ///
    /// # Errors
    /// A column has a type that no table has.
    pub(crate) fn of(&self, batch: &RecordBatch) -> Result<Vec<Option<Fingerprint>>, OtherType> {
        let rows = RowBytes::new(batch, &[INGEST_TIME, INGEST_ID], self.key)?;
        let columns: Option<Vec<_>> = KEY.iter().map(|name| batch.column_by_name(name)).collect();
        let Some(columns) = columns else { return Ok(vec![None; batch.num_rows()]) };
        let mut bytes = self.table.clone();
        let all = (0..batch.num_rows()).map(|row| {
            if columns.iter().any(|column| column.is_null(row)) {
                return None;
            }
            bytes.truncate(self.table.len());
            rows.write(row, &mut bytes);
            Some(self.key.hash(&bytes))
        });
        Ok(all.collect())
    }
}
