//! Reasons for which the intake does not accept a body, grouped by what the sender must do.

use std::time::Duration;

use crate::journal::AppendError;

use super::bulk::BulkError;

/// The time after which a body whose processing was aborted is worth sending again.
const ABORTED_RETRY: Duration = Duration::from_secs(2);
/// The time after which a body is worth sending again to a receiver that starts or stops.
const STARTING_RETRY: Duration = Duration::from_secs(5);

/// The reason for which a body was not accepted. Nothing of it was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The bulk cannot be split.
    #[error(transparent)]
    Bulk(#[from] BulkError),
    /// The journal did not record it.
    #[error(transparent)]
    Journal(#[from] AppendError),
    /// The journal is not open yet.
    #[error("the receiver is starting: nothing was kept; send it again a little later")]
    Starting,
    /// The journal is being closed.
    #[error(
        "the receiver is stopping: nothing was kept; send it again a little later, or to another one"
    )]
    Stopping,
    /// The thread that worked on the body did not finish.
    #[error("the body could not be processed: nothing was kept; send it again a little later")]
    Aborted,
}

/// The sender's part after a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// Correct the body: it is refused however often it is sent.
    Invalid,
    /// Send less at a time.
    TooLarge,
    /// Send the same body again later.
    Unavailable,
}

impl Refusal {
    /// Returns what the sender must do.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        match self {
            Refusal::Bulk(BulkError::Line { .. }) => RefusalKind::Invalid,
            Refusal::Bulk(BulkError::TooManyActions { .. })
            | Refusal::Journal(AppendError::TooLarge { .. }) => RefusalKind::TooLarge,
            Refusal::Journal(_) | Refusal::Starting | Refusal::Stopping | Refusal::Aborted => {
                RefusalKind::Unavailable
            }
        }
    }

    /// Returns the time after which sending it again is worth it; `None` unless the kind is
    /// [`RefusalKind::Unavailable`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::Journal(error) => error.retry_after(),
            Refusal::Starting | Refusal::Stopping => Some(STARTING_RETRY),
            Refusal::Aborted => Some(ABORTED_RETRY),
            Refusal::Bulk(_) => None,
        }
    }
}
