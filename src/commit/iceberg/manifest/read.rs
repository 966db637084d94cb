//! Reading of manifests, whoever wrote them.

use super::ADDED;
use crate::commit::iceberg::avro::{self, Value};

/// Status of an entry whose file is there no longer.
const DELETED: i64 = 2;

/// An entry whose file is in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commit::iceberg) struct Entry {
    /// The whole address of the file.
    pub(in crate::commit::iceberg) path: String,
    pub(in crate::commit::iceberg) rows: u64,
    pub(in crate::commit::iceberg) bytes: u64,
    /// Sequence number of its rows; none: the manifest's.
    #[cfg_attr(not(test), allow(dead_code, reason = "for tests"))]
    pub(in crate::commit::iceberg) sequence_number: Option<i64>,
    /// The snapshot of the manifest has added it.
    #[cfg_attr(not(test), allow(dead_code, reason = "for tests"))]
    pub(in crate::commit::iceberg) is_added: bool,
}

/// Reads the entries of a manifest whose files are in the table, in their order.
///
/// # Errors
/// It is no manifest that this version reads.
pub(in crate::commit::iceberg) fn read(file: &[u8]) -> Result<Vec<Entry>, String> {
    let rows = avro::read(file).map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    for row in &rows {
        match entry(row) {
            Some((DELETED, _)) => {}
            Some((_, entry)) => entries.push(entry),
            None => return Err("it has an entry without a file or its counts".to_owned()),
        }
    }
    Ok(entries)
}

fn entry(row: &Value) -> Option<(i64, Entry)> {
    let Value::Record(fields) = row else { return None };
    let (Some(Value::Long(status)), Some(Value::Record(file))) = (fields.get(&0), fields.get(&2))
    else {
        return None;
    };
    let number = |id: i64| match file.get(&id) {
        Some(Value::Long(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let path = match file.get(&100)? {
        Value::Bytes(path) => String::from_utf8(path.clone()).ok()?,
        _ => return None,
    };
    let sequence_number = match fields.get(&3) {
        Some(Value::Long(number)) => Some(*number),
        _ => None,
    };
    let (rows, bytes, is_added) = (number(103)?, number(104)?, *status == ADDED);
    Some((*status, Entry { path, rows, bytes, sequence_number, is_added }))
}
