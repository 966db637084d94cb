//! Errors of tables with a log, by what the caller does: gives up on the table, or tries again.

use super::known_table::UnknownTable;
use super::visible::Visible;
use crate::lake::Receipt;
use crate::record::Roll;

/// The reason that a log was not read or not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogError {
    /// The table cannot take the rolls, or cannot be read by this version. Trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// The store failed, or another commit was first. After a write it is unknown whether it happened.
    /// Trying again finds out.
    #[error("{0}")]
    Unknown(String),
}

impl LogError {
    /// Makes the error of a table, as people write it, that is not the known one.
    pub(super) fn of_unknown(table: &str, error: UnknownTable) -> LogError {
        match error {
            UnknownTable::Refused(what) => LogError::Refused(format!("{table} {what}")),
            UnknownTable::Away(why) => {
                LogError::Unknown(format!("asking which table {table} is: {why}"))
            }
        }
    }
}

impl From<LogError> for Visible {
    fn from(error: LogError) -> Visible {
        match error {
            LogError::Refused(why) => Visible::Refused(why),
            LogError::Unknown(why) => Visible::Unknown(why),
        }
    }
}

/// Checks that `rolls` for `table`, as people write it, are receipts of `node` in the order of their numbers,
/// without which a mark proves nothing. Returns the last one.
///
/// # Errors
/// [`LogError::Refused`]: they are not, or there is none.
pub(super) fn last_in_order(table: &str, node: &str, rolls: &[Receipt]) -> Result<Roll, LogError> {
    let wrong = |what: &str| LogError::Refused(format!("rolls for {table}: {what}"));
    let ascending = rolls.is_sorted_by(|a, b| a.roll < b.roll);
    if !ascending || rolls.iter().any(|receipt| receipt.node != node) {
        return Err(wrong("receipts are of several nodes, or not in the order of their rolls"));
    }
    let last = rolls.last().ok_or_else(|| wrong("there is none"))?;
    Ok(Roll(last.roll))
}
