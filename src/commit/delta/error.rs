//! Errors by what the caller does: gives up on the table, or tries again.

use std::fmt::Display;

use delta_kernel::KernelError;

use crate::commit::known_table::UnknownTable;

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
    /// Makes the error of the library's, after words for what was done.
    pub(super) fn of(done: impl Display, error: &KernelError) -> LogError {
        let cause = cause(error);
        match cause {
            KernelError::ObjectStore(object_store::Error::NotImplemented { .. }) => {
                LogError::Refused(format!(
                    "{done}: the store has no put that replaces nothing, so two writers could replace \
                     each other's commits. Use a store that has it (see aws_conditional_put), or \
                     format = \"plain\""
                ))
            }
            KernelError::Unsupported(_)
            | KernelError::Schema(_)
            | KernelError::InvalidProtocol(_)
            | KernelError::InvalidColumnMappingMode(_)
            | KernelError::InvalidTransactionState(_) => LogError::Refused(format!(
                "{done}: {cause}. This version does not write such a table: change the table, or give \
                 the rolls another one"
            )),
            _ => LogError::Unknown(format!("{done}: {cause}")),
        }
    }
}

impl LogError {
    /// Makes the error of a table, as people write it, that is not the known one.
    pub(in crate::commit) fn of_unknown(table: &str, error: UnknownTable) -> LogError {
        match error {
            UnknownTable::Refused(what) => LogError::Refused(format!("{table} {what}")),
            UnknownTable::Away(why) => {
                LogError::Unknown(format!("asking which table {table} is: {why}"))
            }
        }
    }
}

/// Tells whether there is no table, of the errors of reading one.
pub(super) fn is_missing(error: &KernelError) -> bool {
    matches!(cause(error), KernelError::EmptyLog)
}

fn cause(error: &KernelError) -> &KernelError {
    match error {
        KernelError::Backtraced { source, .. } => cause(source),
        error => error,
    }
}
