//! Delta tables: rolls become visible by a commit to the log of their table.
//!
//! A roll has landed once its receipt is in the lake; no reader of the Delta table sees its files yet.
//! A commit adds the files of one or several rolls of a node to the log, all at once, with the
//! transaction `sessionlake/<node>` and the number of the last of them: the mark. Rolls of a node are
//! committed in the order of their numbers, so a mark that is not below a roll proves that its files
//! were added.
//!
//! # Promise
//! A roll is in the log once or not at all, whatever an attempt was told. Every attempt reads the log
//! anew, with nothing kept from the one before but the id of the table, and looks at the mark; any
//! outcome but a commit is unknown, also a conflict, which may be with this process's own write. Nothing
//! is deleted, and no file of a roll is read.
//!
//! # What stops a table
//! Each is an answer ([`LogError::Refused`]) that names the table, what it has and what to do:
//! * Another table under the name (another id than before), or none any more.
//! * Files in `_delta_log` without a log: a new table is never created over the remains of another.
//! * A table that forgets transactions (`delta.setTransactionRetentionDuration`): a mark that is gone
//!   would be an invitation to add files twice.
//! * Partition columns or column types other than those of the rolls, a column that may not be null or
//!   has a default and that the rolls lack, and a column whose name is written in other letters.
//! * Columns that are named otherwise in files (`delta.columnMapping.mode`), files that have to hold the
//!   partition columns, and any other feature that this version does not write.
//! * A store without puts that replace nothing.
//!
//! A log that cannot be read is [`LogError::Unknown`]: it is tried again, and nothing is created.
//!
//! Times of commits are in the log (in-commit timestamps). A checksum is written with every commit, so
//! that the next one reads little, and a checkpoint every 100 commits; both are of use to readers and
//! not needed: a failure is logged. Logs are never cleaned up here.
//!
//! # Partitions
//! Readers take the values of partition columns from the log. The overflow file of a roll has rows of
//! several partitions and stands under the values of the overflow partition, as in the path of a plain
//! table: a query for one date passes over it. The time column itself is in the file, with statistics.
//!
//! Format: <https://github.com/delta-io/delta/blob/master/PROTOCOL.md>.

mod actions;
mod error;
mod evolve;
mod log;
mod marks;
mod path;
mod schema;
mod statistics;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use self::table::DeltaTable;
pub(crate) use self::view::{LiveFile, LogView};
