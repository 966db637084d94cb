//! Errors of publishing, by the action that they ask of the caller.

use std::path::PathBuf;

use crate::journal::JournalError;
use crate::lake::{DataFileError, FormatConflict, RecordError, StoreError};

/// The action that a failed step asks of its caller. Ordered: of several errors, the greatest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ErrorKind {
    /// Try the step again after a pause.
    Retry,
    /// Make the roll again: its staging files are of no use.
    Redo,
    /// Stop, until someone has looked: neither helps.
    Stop,
}

/// A step of publishing that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// The lake's store, or a file of the staging directory.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A staging file was removed by something else.
    #[error("the staging file {} is gone", .0.display())]
    StagingGone(PathBuf),
    /// The store answered that an object exists, and does not have it.
    #[error("the store says that {0} exists, and does not have it")]
    Vanished(String),
    /// An object stands under a name of the roll and is not one of this program's.
    #[error(
        "{name} stands in the lake under a name of this roll, and {why}; it is not replaced: look \
         where it comes from, and move it away"
    )]
    Foreign {
        /// The object.
        name: String,
        /// The finding.
        why: String,
    },
    /// An object that stands has other rows than the roll.
    #[error(
        "{name} was put by an earlier attempt with {stands} rows, and now the roll has {made} for \
         it: was it sealed by another version of this program? Nothing is replaced. The roll has no \
         receipt, so its objects may be moved away, all of them; it is then put whole"
    )]
    OtherRows {
        /// The object.
        name: String,
        /// Its rows.
        stands: u64,
        /// Rows that this attempt has for it.
        made: u64,
    },
    /// Two names of the roll are one file in the lake.
    #[error(
        "the lake takes {name} and {other} for one file, and nothing of the roll was put: its names \
         were made for a lake that tells them apart, by an earlier version or before the lake was \
         moved. Move the lake to a file system that tells the case of letters apart, and start again"
    )]
    OneName {
        /// One of the names.
        name: String,
        /// The other.
        other: String,
    },
    /// The lake is not the one that the state directory remembers.
    #[error("{0}")]
    WrongLake(String),
    /// The lake of a running process is not there any more.
    #[error("{0}")]
    LakeGone(String),
    /// Another state directory lands as this node, or has landed since.
    #[error("{0}")]
    Fenced(String),
    /// The fence has changed since it was read. Reading it again tells by whom.
    #[error("{0} has changed since it was read")]
    FenceMoved(String),
    /// The memory of the lake in the state directory cannot be read.
    #[error("{0:#}")]
    StateFile(anyhow::Error),
    /// The state directory is gone, or that cannot be found out.
    #[error("{0}")]
    StateDirectory(#[from] JournalError),
    /// A record in the lake cannot be read.
    #[error("{0}")]
    Record(String),
    /// The table has a log or catalog since this process runs. Bodies are taken and wait in the journal,
    /// for other settings or until the log is moved away.
    #[error("{0}")]
    OtherFormat(FormatConflict),
    /// The table has something else under the identity of the roll, or cannot take it.
    #[error("{0}")]
    NotCommitted(String),
}

impl PublishError {
    /// Returns the action that the error asks for.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            // A second sync of the same file would say that all is well.
            PublishError::Store(StoreError::Unsynced { .. }) | PublishError::StagingGone(_) => {
                ErrorKind::Redo
            }
            PublishError::Store(StoreError::Option { .. } | StoreError::NoLake { .. })
            | PublishError::Foreign { .. }
            | PublishError::OtherRows { .. }
            | PublishError::OneName { .. }
            | PublishError::WrongLake(_)
            | PublishError::Fenced(_)
            | PublishError::StateFile(_)
            | PublishError::StateDirectory(JournalError::Gone { .. })
            | PublishError::Record(_)
            | PublishError::NotCommitted(_) => ErrorKind::Stop,
            PublishError::Store(_)
            | PublishError::StateDirectory(_)
            | PublishError::LakeGone(_)
            | PublishError::OtherFormat(_)
            | PublishError::FenceMoved(_)
            | PublishError::Vanished(_) => ErrorKind::Retry,
        }
    }

    /// Makes the error of an object whose footer cannot be read.
    pub(super) fn of_footer(name: &str, error: DataFileError) -> PublishError {
        match error {
            DataFileError::Store(error) => PublishError::Store(error),
            other => PublishError::Foreign { name: name.to_owned(), why: other.to_string() },
        }
    }
}

impl From<RecordError> for PublishError {
    fn from(error: RecordError) -> PublishError {
        match error {
            RecordError::Store(error) => PublishError::Store(error),
            other => PublishError::Record(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_error_of_several_decides() {
        let io = || std::io::Error::other("I/O error");
        let unsynced = StoreError::Unsynced { path: "f".into(), source: io() };
        let away = StoreError::Io { path: "f".into(), source: io() };
        // Advice goes by the type of the cause.
        let wrapped = PublishError::from(StoreError::Io { path: "f".into(), source: io() });
        let cause = std::error::Error::source(&wrapped);
        assert!(cause.is_some_and(|cause| cause.is::<StoreError>()));
        let kinds = [
            PublishError::from(away),
            PublishError::from(unsynced),
            PublishError::NotCommitted("other bodies".into()),
        ]
        .map(|error| error.kind());
        assert_eq!(kinds, [ErrorKind::Retry, ErrorKind::Redo, ErrorKind::Stop]);
        assert_eq!(kinds.iter().max(), Some(&ErrorKind::Stop));
    }
}
