//! The key of a file of the open roll.

use crate::table::TableId;

/// Identifies a file of the open roll: a table and a partition of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The table, by its id in the list of tables that the roll is made with.
    pub table: TableId,
    /// Hive path of the partition; empty for none.
    pub partition: String,
}
