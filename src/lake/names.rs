//! Names of the objects of a lake, made and parsed here and nowhere else.
//!
//! ```text
//! <table>/<partition>/<node>-<roll>.parquet      data of a roll; the partition is empty or a path
//!                                                of `key=value`
//! <table>/<partition>/<any other>.parquet        data that another program wrote
//! <table>/_delta_log/…                           log of a Delta table
//! <table>/metadata/….avro, ….metadata.json       metadata of an Iceberg table
//! <table>/_change_data/…                         changes of a Delta table, by other writers
//! <table>/…/deletion_vector_<id>.bin             deleted rows of a Delta table, by other writers
//! _quarantine/<table>/<node>-<roll>.ndjson       rejects of a roll
//! _receipts/<node>/<roll>.json                   receipt of a roll
//! _imports/<node>.json                           manifest of an import
//! _imports/<node>/<roll>.json                    chunks of an import's roll
//! _imports/files/<content>.json                  first claim of a file, by the hash of its content
//! _imports/files/<content>-<number>.json         the claims after it: 2, 3 …
//! _imports/tables/<hash>.json                    tables of imports, by the hash of their JSON
//! _imports/open/<node>.json                      an import that has begun and is not done
//! _imports/index.json                            marks of all imports have claims
//! _leases/<name>/<epoch>.json                    holder of a lease
//! _verified/<node>.json                          the roll up to which a node was verified
//! _tables/<table>.json                           partition columns of a table
//! _tables/<table>/identity.json                  format and id of a table with a log
//! _tables/<table>/columns/<hash>.json            a column that was promoted, by the hash of its pointer
//! _nodes/<node>.json                             fence of a node
//! _lake.json                                     identity of the lake
//! _sessionlake_check/<token>                     written, read and deleted by `check` and `serve`
//! …/.<name>.tmp                                  a local file that is being written
//! ```
//! Names are relative to the lake. A roll is written with at least eight digits. The name of an
//! object holds the node, the roll and the partition, and nothing that a second attempt might do
//! otherwise: a roll that is made again has the same names.

use std::fmt;

pub(super) use self::parse::receipt_number;
use crate::record::Roll;

/// Folder of the log in a Delta table.
pub const TABLE_LOG: &str = "_delta_log";
/// Folder of the metadata in an Iceberg table.
pub const TABLE_METADATA: &str = "metadata";
/// Folder of the changes in a Delta table.
const TABLE_CHANGES: &str = "_change_data";
/// Folder of the quarantine.
pub const QUARANTINE: &str = "_quarantine";
/// Folder of the receipts.
pub const RECEIPTS: &str = "_receipts";
/// Folder of the manifests of imports.
pub const IMPORTS: &str = "_imports";
/// Last part of the name of [`ObjectName::ImportIndex`].
const INDEX: &str = "index.json";
/// Folder of the claims of files.
pub const IMPORT_CLAIMS: &str = "_imports/files";
/// Folder of the notes of imports that are not done.
pub const OPEN_IMPORTS: &str = "_imports/open";
/// Folder of the leases.
pub const LEASES: &str = "_leases";
/// Folder of the checkpoints of verifications.
pub const VERIFIED: &str = "_verified";
/// Folder of the records of tables.
pub const TABLES: &str = "_tables";
/// Last part of the name of [`ObjectName::TableIdentity`].
const TABLE_IDENTITY: &str = "identity.json";
/// Folder of [`ObjectName::PromotedColumn`] in that of a table's records.
const PROMOTED: &str = "columns";
/// Folder of the fences.
pub const NODES: &str = "_nodes";
/// The identity of a lake.
pub const IDENTITY: &str = "_lake.json";
/// Folder of the objects that `check` writes.
pub const PROBES: &str = "_sessionlake_check";

/// The name of an object, by its parts. `to_string` makes the name, [`ObjectName::parse`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectName<'a> {
    /// The rows of a roll in one partition.
    Data {
        /// The table's folder; may have several parts, or be empty in a lake that is a table.
        table: &'a str,
        /// Path of `key=value`; empty for a table without partitions.
        partition: &'a str,
        /// The node that made the roll.
        node: &'a str,
        /// The roll.
        roll: Roll,
    },
    /// A Parquet file of a table whose name is none that a roll is given.
    ForeignData {
        /// The table's folder, as in [`ObjectName::Data`].
        table: &'a str,
        /// Path of `key=value`.
        partition: &'a str,
        /// The last part of the name.
        file: &'a str,
    },
    /// An object of a table's log: a commit, a checkpoint (which is Parquet and holds no rows of the
    /// table), a checksum.
    TableLog {
        /// The table's folder.
        table: &'a str,
        /// The rest of the name; may have several parts.
        file: &'a str,
    },
    /// Metadata of an Iceberg table: a manifest, a list of them, or what a catalog writes beside them.
    TableMetadata {
        /// The table's folder.
        table: &'a str,
        /// The last part of the name.
        file: &'a str,
    },
    /// An object that only a table's log gives a meaning: changes, or deleted rows.
    LogCompanion(&'a str),
    /// The rejects of a roll.
    Quarantine {
        /// The table that they were sent to.
        table: &'a str,
        /// The node that made the roll.
        node: &'a str,
        /// The roll.
        roll: Roll,
    },
    /// The receipt of a roll.
    Receipt {
        /// The node that made the roll.
        node: &'a str,
        /// The roll.
        roll: Roll,
    },
    /// The manifest of an import.
    ImportManifest {
        /// The node that the import lands as.
        node: &'a str,
    },
    /// The chunks of an import's roll.
    ImportSeal {
        /// The node that the import lands as.
        node: &'a str,
        /// The roll.
        roll: Roll,
    },
    /// A claim of a file by an import.
    ImportClaim {
        /// Hash of the file's content: 32 hexadecimal digits.
        content: &'a str,
        /// Number of the claim among those of the file: 1, 2, 3 …
        number: u64,
    },
    /// Tables of imports.
    ImportTables {
        /// Hash of their JSON: 32 hexadecimal digits.
        hash: &'a str,
    },
    /// The note that an import has begun and is not done.
    ImportOpen {
        /// The node that the import lands as.
        node: &'a str,
    },
    /// The mark that the manifests of all imports have claims.
    ImportIndex,
    /// One holding of a lease.
    Lease {
        /// The lease.
        name: &'a str,
        /// Number of the holding.
        epoch: u64,
    },
    /// The roll up to which a node was verified.
    Verified {
        /// The node.
        node: &'a str,
    },
    /// The record of a table.
    Table {
        /// The table.
        table: &'a str,
    },
    /// The identity of a table with a log.
    TableIdentity {
        /// The table.
        table: &'a str,
    },
    /// A column that was promoted.
    PromotedColumn {
        /// The table.
        table: &'a str,
        /// Hash of its pointer: 32 hexadecimal digits.
        hash: &'a str,
    },
    /// The fence of a node.
    Fence {
        /// The node.
        node: &'a str,
    },
    /// The identity of the lake.
    Identity,
    /// An object that tries the lake out.
    Probe {
        /// Token that no other probe has.
        token: &'a str,
    },
    /// A local file that is being written, or that a killed process left.
    Staging(&'a str),
    /// Any other name.
    Other(&'a str),
}

impl fmt::Display for ObjectName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_table = |f: &mut fmt::Formatter<'_>, table: &str, partition: &str| {
            for folder in [table, partition].into_iter().filter(|folder| !folder.is_empty()) {
                write!(f, "{folder}/")?;
            }
            Ok(())
        };
        match self {
            ObjectName::Data { table, partition, node, roll } => {
                in_table(f, table, partition)?;
                write!(f, "{node}-{:08}.parquet", roll.0)
            }
            ObjectName::ForeignData { table, partition, file } => {
                in_table(f, table, partition)?;
                f.write_str(file)
            }
            ObjectName::TableMetadata { table, file } => {
                write!(f, "{table}/{TABLE_METADATA}/{file}")
            }
            ObjectName::TableLog { table, file } => write!(f, "{table}/{TABLE_LOG}/{file}"),
            ObjectName::Quarantine { table, node, roll } => {
                write!(f, "{QUARANTINE}/{table}/{node}-{:08}.ndjson", roll.0)
            }
            ObjectName::Receipt { node, roll } => {
                write!(f, "{RECEIPTS}/{node}/{:08}.json", roll.0)
            }
            ObjectName::ImportManifest { node } => write!(f, "{IMPORTS}/{node}.json"),
            ObjectName::ImportSeal { node, roll } => {
                write!(f, "{IMPORTS}/{node}/{:08}.json", roll.0)
            }
            ObjectName::ImportClaim { content, number: 1 } => {
                write!(f, "{IMPORTS}/files/{content}.json")
            }
            ObjectName::ImportClaim { content, number } => {
                write!(f, "{IMPORTS}/files/{content}-{number}.json")
            }
            ObjectName::ImportTables { hash } => write!(f, "{IMPORTS}/tables/{hash}.json"),
            ObjectName::ImportOpen { node } => write!(f, "{IMPORTS}/open/{node}.json"),
            ObjectName::ImportIndex => write!(f, "{IMPORTS}/{INDEX}"),
            ObjectName::Lease { name, epoch } => write!(f, "{LEASES}/{name}/{epoch:08}.json"),
            ObjectName::Verified { node } => write!(f, "{VERIFIED}/{node}.json"),
            ObjectName::Table { table } => write!(f, "{TABLES}/{table}.json"),
            ObjectName::TableIdentity { table } => {
                write!(f, "{TABLES}/{table}/{TABLE_IDENTITY}")
            }
            ObjectName::PromotedColumn { table, hash } => {
                write!(f, "{TABLES}/{table}/{PROMOTED}/{hash}.json")
            }
            ObjectName::Fence { node } => write!(f, "{NODES}/{node}.json"),
            ObjectName::Identity => f.write_str(IDENTITY),
            ObjectName::Probe { token } => write!(f, "{PROBES}/{token}"),
            ObjectName::LogCompanion(name)
            | ObjectName::Staging(name)
            | ObjectName::Other(name) => f.write_str(name),
        }
    }
}

/// Returns the name of a roll's data file in one partition.
#[must_use]
pub fn data(table: &str, partition: &str, node: &str, roll: Roll) -> String {
    ObjectName::Data { table, partition, node, roll }.to_string()
}

/// Returns the name of a roll's quarantine file of one table.
#[must_use]
pub fn quarantine(table: &str, node: &str, roll: Roll) -> String {
    ObjectName::Quarantine { table, node, roll }.to_string()
}

/// Returns the name of a roll's receipt.
#[must_use]
pub fn receipt(node: &str, roll: Roll) -> String {
    ObjectName::Receipt { node, roll }.to_string()
}

/// Returns the name of the checkpoint of a node's verification.
#[must_use]
pub fn verified(node: &str) -> String {
    ObjectName::Verified { node }.to_string()
}

/// Returns the name of an import's manifest.
#[must_use]
pub fn import_manifest(node: &str) -> String {
    ObjectName::ImportManifest { node }.to_string()
}

/// Returns the name of the seal of an import's roll.
#[must_use]
pub fn import_seal(node: &str, roll: Roll) -> String {
    ObjectName::ImportSeal { node, roll }.to_string()
}

/// Returns the name of the record of a table.
#[must_use]
pub fn table(table: &str) -> String {
    ObjectName::Table { table }.to_string()
}

/// Returns the name of the identity of a table with a log.
#[must_use]
pub fn table_identity(table: &str) -> String {
    ObjectName::TableIdentity { table }.to_string()
}

/// Returns the folder of the columns of a table that were promoted.
#[must_use]
pub fn promoted_columns(table: &str) -> String {
    format!("{TABLES}/{table}/{PROMOTED}")
}

/// Returns the name of a node's fence.
#[must_use]
pub fn fence(node: &str) -> String {
    ObjectName::Fence { node }.to_string()
}

/// Tells whether readers of a lake pass over `name`: a part of it begins with `_` or `.`.
#[must_use]
pub fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with(['_', '.']))
}

/// Returns the hidden name under which a local file is written before it gets the name `file`.
pub(super) fn staging(file: &str) -> String {
    format!(".{file}.tmp")
}

mod parse;
#[cfg(test)]
mod tests;
