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

/// Where the marks of imports are.
pub const IMPORTS: &str = "_imports";

/// `_imports/<node>.json`: what an import goes by.
#[must_use]
pub fn import(node: &str) -> String {
    format!("{IMPORTS}/{node}.json")
}

/// The node of the mark `name`; none when it is something else.
#[must_use]
pub fn import_node(name: &str) -> Option<&str> {
    let node = name.strip_prefix(IMPORTS)?.strip_prefix('/')?.strip_suffix(".json")?;
    (!node.contains('/')).then_some(node)
}

/// `_imports/<node>/<roll>.json`: the range of an import's roll, before it is written.
#[must_use]
pub fn sealed(node: &str, roll: Roll) -> String {
    format!("{IMPORTS}/{node}/{:08}.json", roll.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_seals_are_told_apart() {
        assert_eq!(import_node(&import("import-ab")), Some("import-ab"));
        assert_eq!(import_node(&sealed("import-ab", Roll(3))), None);
        assert_eq!(import_node("_imports/x.tmp"), None);
    }

    #[test]
    fn a_table_without_partitions_has_no_empty_folder() {
        assert_eq!(data("t", "", "n", Roll(7)), "t/n-00000007.parquet");
        assert_eq!(data("t", "a=1/b=2", "n", Roll(7)), "t/a=1/b=2/n-00000007.parquet");
    }
}
