//! Landed rolls into the tables that have a log: Delta tables, and Iceberg tables in a catalog.
//!
//! A roll has landed once its receipt is in the lake, and its bodies leave the journal then. Readers of
//! a table with a log see its files once they are committed there, which is done here, apart from
//! landing: a log that cannot be written, or a catalog that is away, costs neither answers nor journal.
//!
//! # Promise
//! The rolls of a node are committed to a table in the order of their numbers, all that wait in one
//! commit, each once. A commit reads receipts and nothing else. The mark of the node in the log says
//! where to go on, so nothing is remembered elsewhere: after a crash, the rolls after the mark are
//! listed. Any process may commit the rolls of any node; two at once find each other's marks.
//!
//! # Failure modes
//! * The log or the catalog cannot be read or written, or another commit was first: tried again, for as
//!   long as it takes. The outcome of an attempt is never trusted; the next one looks at the mark.
//! * The table cannot take the rolls ([`Visible::Refused`](crate::commit::Visible)): reported,
//!   and tried again at leisure, since somebody may mend the table. Landing goes on.
//! * A receipt that cannot be read keeps the rolls of its node after it from the table.
//! * A receipt that is not there, between others: the roll is passed over, with an error in the log.
//!   Receipts are created in order, so it was there and was removed.
//! * The process ends: the next start of any node goes on.
//!
//! * `table_log`: the log of one table, by its format.
//! * `log_table`: one table. `waiting_rolls`: rolls of a node, and marks.
//! * `log_tables`: one attempt at the rolls of a node.
//! * `left_behind`: nodes whose rolls landed before the table had a log.
//! * `keeper`: the thread of a running server. `other_nodes`: the rolls of other nodes, which it commits after
//!   its own.

mod keeper;
mod left_behind;
mod log_table;
mod log_tables;
mod other_nodes;
mod table_log;
#[cfg(test)]
mod tests;
mod waiting_rolls;

pub(crate) use self::keeper::Keeper;
pub(crate) use self::log_table::Failure;
pub(crate) use self::log_tables::{LogTables, Looked};
#[cfg(test)]
pub(crate) use self::waiting_rolls::WaitingRolls;
