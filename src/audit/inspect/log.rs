//! The log of a table: its version, and the rolls that it has and lacks.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{TryStreamExt as _, pin_mut};
use serde::Serialize;

use super::super::table_log::TableLogs;
use crate::error_text::shown;
use crate::lake::{Lake, StoreError};
use crate::record::Roll;
use crate::table::Format;

/// The log of a table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogReport {
    /// The format of the table: `delta` or `iceberg`.
    pub format: &'static str,
    /// Its version, or the sequence number of the snapshot; `None` if it cannot be read.
    pub version: Option<u64>,
    /// The snapshot of an Iceberg table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<i64>,
    /// The address of an Iceberg table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Delete files of an Iceberg table, which other writers have added.
    #[serde(skip_serializing_if = "is_zero")]
    pub delete_files: u64,
    /// Rows in these: positions that are deleted, or values of rows that are.
    #[serde(skip_serializing_if = "is_zero")]
    pub deletes: u64,
    /// The last roll of each node that it has.
    pub marks: BTreeMap<String, u64>,
    /// Rolls of each node that have landed and that it does not have yet.
    pub waiting_rolls: BTreeMap<String, u64>,
    /// The reason that it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Reports on the log of the table in the folder `table`. Returns `None` if it has none, or no commit.
///
/// # Errors
/// Receipts cannot be listed or read. A log that cannot be read is in the report.
pub(super) async fn report(
    lake: &Lake,
    logs: &TableLogs,
    table: &str,
) -> Result<Option<LogReport>, StoreError> {
    let (format, why) = logs.format(table).await?;
    let Some(format) = format.filter(|format| *format != Format::Plain) else {
        let error = why.map(|why| shown(&why));
        return Ok(error.map(|why| LogReport { error: Some(why), ..LogReport::default() }));
    };
    let mut report = LogReport { format: format.as_str(), ..LogReport::default() };
    let log = match logs.open(table, format).await {
        Ok(Some(log)) => log,
        Ok(None) => return Ok(None),
        Err(why) => {
            report.error = Some(shown(&why.to_string()));
            return Ok(Some(report));
        }
    };
    report.version = Some(log.version);
    if let Some(snapshot) = log.snapshot() {
        report.snapshot_id = snapshot.id;
        report.location = Some(snapshot.location);
        (report.delete_files, report.deletes) = snapshot.deletes;
    }
    report.marks = log.marks.iter().map(|(node, roll)| (node.clone(), roll.0)).collect();
    for node in lake.receipt_nodes().await? {
        let rolls = lake.rolls_after(&node, log.mark(&node)).await?;
        let name: Arc<str> = node.as_str().into();
        let receipts =
            lake.read_receipts(rolls.into_iter().map(|roll| (Arc::clone(&name), Roll(roll))));
        pin_mut!(receipts);
        let mut waiting = 0;
        while let Some(chunk) = receipts.try_next().await? {
            let read = chunk.iter().filter_map(|read| read.receipt.as_ref().ok()?.as_ref());
            waiting +=
                read.filter(|receipt| receipt.files_of(table).next().is_some()).count() as u64;
        }
        if waiting > 0 {
            report.waiting_rolls.insert(node, waiting);
        }
    }
    Ok(Some(report))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
