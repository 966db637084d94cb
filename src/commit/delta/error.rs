//! Errors of the library, by what the caller does.

use std::fmt::Display;

use delta_kernel::KernelError;

use crate::commit::LogError;

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
