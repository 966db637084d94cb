//! Names of objects, relative to the lake. Nothing else makes one.
//!
//! A name holds the node and the roll and nothing that a second attempt might do otherwise: doing
//! a roll again writes the same names.

use crate::record::Roll;

/// `user_sessions/date=2026-11-23/<node>-<roll>.parquet`.
#[must_use]
pub fn data(table: &str, partition: &str, node: &str, roll: Roll) -> String {
    match partition {
        "" => format!("{table}/{node}-{:08}.parquet", roll.0),
        partition => format!("{table}/{partition}/{node}-{:08}.parquet", roll.0),
    }
}

/// `_quarantine/<table>/<node>-<roll>.ndjson`.
#[must_use]
pub fn quarantine(table: &str, node: &str, roll: Roll) -> String {
    format!("_quarantine/{table}/{node}-{:08}.ndjson", roll.0)
}

/// `_receipts/<node>/<roll>.json`.
#[must_use]
pub fn receipt(node: &str, roll: Roll) -> String {
    format!("_receipts/{node}/{:08}.json", roll.0)
}

/// `_imports/<node>/<roll>.json`: the range of an import's roll, before it is written.
#[must_use]
pub fn sealed(node: &str, roll: Roll) -> String {
    format!("_imports/{node}/{:08}.json", roll.0)
}

/// `_imports/<node>.json`: what an import goes by.
#[must_use]
pub fn import(node: &str) -> String {
    format!("_imports/{node}.json")
}
