//! Receipts: what a roll came to, beside the data, at `_receipts/<node>/<roll>.json`.
//!
//! A receipt accounts for every line of its roll: `lines = rows + rejects`. The files it names are
//! there when it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::columnar::statistics::FileStatistics;

/// Version of the form of receipts that is written. Optional keys are added without a new one.
pub const RECEIPT_VERSION: u32 = 1;

/// Counts, ranges and files of a roll: `_receipts/<node>/<roll>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Version of this form.
    pub version: u32,
    /// The node.
    pub node: String,
    /// The roll.
    pub roll: u64,
    /// First body of the roll.
    pub first_seq: u64,
    /// Last body of the roll.
    pub last_seq: u64,
    /// Documents and broken lines.
    pub lines: u64,
    /// Lines that became rows.
    pub rows: u64,
    /// Lines in quarantine.
    pub rejects: u64,
    /// Bulk action lines, not counted as lines.
    pub actions: u64,
    /// Bodies of the range, or right before it, that were acknowledged and are gone: their segment
    /// was damaged, and the start was told to go on without it. Usually none, and then left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostBodies>,
    /// What landed, by table.
    pub tables: Vec<TableReceipt>,
}

/// Bodies that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostBodies {
    /// The first of them.
    pub first_seq: u64,
    /// The last of them.
    pub last_seq: u64,
}

/// What a roll landed in one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableReceipt {
    /// The table.
    pub table: String,
    /// Fingerprint of its schema.
    pub schema: String,
    /// Its partition template.
    pub partition_template: String,
    /// Its rows were derived from those of another table: they are in none of the receipt's counts.
    /// Left out when false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub derived: bool,
    /// Its files.
    pub files: Vec<FileReceipt>,
    /// Its rejects, if there were any.
    pub quarantine: Option<QuarantineReceipt>,
}

/// One data file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileReceipt {
    /// Its name, relative to the lake.
    pub path: String,
    /// Hive path of its partition.
    pub partition: String,
    /// Values of its partition by column, whole and not escaped; none for null. Left out for a table
    /// without partitions, and by earlier versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partition_values: BTreeMap<String, Option<String>>,
    /// True when its rows are of several partitions, since the roll had too many: `partition_values`
    /// are nulls, which are not the values of all rows. Left out when false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overflow: bool,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Statistics of its columns, for table formats that keep them. Left out for plain tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<FileStatistics>,
}

/// The rejects of a roll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineReceipt {
    /// The file, relative to the lake.
    pub path: String,
    /// Its entries.
    pub entries: u64,
    /// Its size.
    pub bytes: u64,
}
