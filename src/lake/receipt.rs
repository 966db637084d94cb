//! Receipts: the account of a roll beside its data, at `_receipts/<node>/<roll>.json`.
//!
//! A receipt accounts for every line of its roll: `lines = rows + rejects + doubled`. It is created once all of
//! its files are in the lake, and never replaced. Keys may be added, but not renamed or taken away:
//! every version reads the receipts of every other. A number above 2^53 − 1 is no receipt's: what reads
//! them can add to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::columnar::statistics::FileStatistics;
use crate::fields;
use crate::json::number;

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
    #[serde(deserialize_with = "number")]
    pub roll: u64,
    /// Sequence number of the first body of the roll.
    #[serde(deserialize_with = "number")]
    pub first_seq: u64,
    /// Sequence number of the last body of the roll.
    #[serde(deserialize_with = "number")]
    pub last_seq: u64,
    /// Number of documents and of rejects, which are broken lines or documents.
    #[serde(deserialize_with = "number")]
    pub lines: u64,
    /// Number of documents that became rows.
    #[serde(deserialize_with = "number")]
    pub rows: u64,
    /// Number of entries in quarantine.
    #[serde(deserialize_with = "number")]
    pub rejects: u64,
    /// Number of bulk action lines, which are not counted as lines.
    #[serde(deserialize_with = "number")]
    pub actions: u64,
    /// Number of the rows that are null in every column, as their documents have no name of the table's,
    /// or none with a value that fits.
    /// Usually 0, and then left out.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "is_zero")]
    pub unmatched: u64,
    /// Number of the documents that were left out, since they equal one that has landed. Usually 0, and then
    /// left out.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "is_zero")]
    pub doubled: u64,
    /// Digest of its bodies; left out if some are gone, and by earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bodies: Option<String>,
    /// Bodies of the range, or right before it, that were acknowledged and are gone: their segment
    /// was damaged, and the options said to go on without it. Usually none, and then left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostBodies>,
    /// Files and counts by table; tables without any are left out.
    pub tables: Vec<TableReceipt>,
}

impl Receipt {
    /// Returns its data files of `table`.
    pub fn files_of<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a FileReceipt> {
        self.tables.iter().filter(move |of| of.table == table).flat_map(|of| &of.files)
    }

    /// Tells whether `path` is one of its files.
    #[must_use]
    pub fn names(&self, path: &str) -> bool {
        self.tables.iter().any(|table| {
            let rejects = table.quarantine.iter().map(|file| &file.path);
            table.files.iter().map(|file| &file.path).chain(rejects).any(|name| name == path)
        })
    }
}

#[cfg(test)]
impl FileReceipt {
    /// Makes the receipt of a file of 10 rows in the partition of one column.
    pub(crate) fn in_partition(path: String, column: &str, value: &str) -> FileReceipt {
        let values = [(column.to_owned(), Some(value.to_owned()))];
        FileReceipt {
            path,
            partition: format!("{column}={value}"),
            partition_values: values.into(),
            rows: 10,
            bytes: 1_000,
            ..FileReceipt::default()
        }
    }
}

#[cfg(test)]
impl Receipt {
    /// Makes the receipt of a roll of one body with `files` of one table.
    pub(crate) fn of_files(node: &str, roll: u64, table: &str, files: Vec<FileReceipt>) -> Receipt {
        let rows = files.iter().map(|file| file.rows).sum();
        let table = TableReceipt {
            table: table.to_owned(),
            schema: String::new(),
            partition_template: String::new(),
            derived: false,
            doubled: 0,
            files,
            quarantine: None,
            fields: None,
        };
        Receipt {
            version: RECEIPT_VERSION,
            node: node.to_owned(),
            roll,
            first_seq: roll,
            last_seq: roll,
            lines: rows,
            rows,
            rejects: 0,
            actions: 0,
            unmatched: 0,
            doubled: 0,
            bodies: None,
            lost: Vec::new(),
            tables: vec![table],
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Bodies that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostBodies {
    /// Sequence number of the first of them.
    #[serde(deserialize_with = "number")]
    pub first_seq: u64,
    /// Sequence number of the last of them.
    #[serde(deserialize_with = "number")]
    pub last_seq: u64,
}

/// Files of a roll in one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableReceipt {
    /// Name of the table.
    pub table: String,
    /// Fingerprint of its schema.
    pub schema: String,
    /// Its partition template.
    pub partition_template: String,
    /// Its rows were derived from those of another table: they are in none of the receipt's counts.
    /// Left out when false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub derived: bool,
    /// Number of its rows that were left out, since they equal one that has landed. Usually 0, and then
    /// left out.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "is_zero")]
    pub doubled: u64,
    /// Data files.
    pub files: Vec<FileReceipt>,
    /// Quarantine file, if there were rejects.
    pub quarantine: Option<QuarantineReceipt>,
    /// Counts of the fields that the table has no column for, and of values that did not fit. Left out when
    /// there were none, and by earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<fields::Counts>,
}

/// One data file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileReceipt {
    /// Name of the object, relative to the lake.
    pub path: String,
    /// Hive path of the partition; empty for a table without partitions.
    pub partition: String,
    /// Values of its partition by column, whole and not escaped; none for null. Left out for a table
    /// without partitions, and by earlier versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partition_values: BTreeMap<String, Option<String>>,
    /// True for the overflow file: its rows are of several partitions, which the roll has not opened, and
    /// `partition_values` are not theirs. Left out when false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overflow: bool,
    /// Number of rows.
    #[serde(deserialize_with = "number")]
    pub rows: u64,
    /// Size in bytes.
    #[serde(deserialize_with = "number")]
    pub bytes: u64,
    /// Statistics of its columns, for table formats that keep them. Left out for plain tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<FileStatistics>,
}

/// One quarantine file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineReceipt {
    /// Name of the object, relative to the lake.
    pub path: String,
    /// Number of lines that its entries have.
    #[serde(deserialize_with = "number")]
    pub entries: u64,
    /// Size in bytes.
    #[serde(deserialize_with = "number")]
    pub bytes: u64,
}
