//! The log of rolls.

use super::events::RollEvent;
use super::observers::Observer;
use crate::record::Micros;

/// Logs the steps of rolls that an operator reads about: commits, retries, rolls made again,
/// failures of the engine.
#[derive(Clone, Copy, Debug)]
pub struct LogObserver {
    commits: Level,
}

#[derive(Clone, Copy, Debug)]
enum Level {
    Info,
    Debug,
}

impl LogObserver {
    /// Logs commits as information: for a server, where nothing else tells of them.
    #[must_use]
    pub fn new() -> LogObserver {
        LogObserver { commits: Level::Info }
    }

    /// Logs commits for debugging only: for a command that prints a summary of its own.
    #[must_use]
    pub fn quiet() -> LogObserver {
        LogObserver { commits: Level::Debug }
    }
}

impl Default for LogObserver {
    fn default() -> LogObserver {
        LogObserver::new()
    }
}

impl Observer for LogObserver {
    fn observe(&self, _at: Micros, event: &RollEvent) {
        match event {
            RollEvent::Finished { roll, reason, .. } => {
                tracing::debug!(roll = roll.0, reason, "rolling");
            }
            RollEvent::Redone { roll, .. } => {
                tracing::info!("roll {roll} was sealed and not committed: making it again");
            }
            RollEvent::AlreadyLanded { roll } => {
                tracing::info!("roll {roll} is in the lake already");
            }
            RollEvent::BodiesLost { roll, lost } => {
                tracing::warn!(
                    "roll {roll} is made again, and of its bodies some are lost: {lost:?}"
                );
            }
            RollEvent::Retrying { roll, step, pause, error, .. } => {
                tracing::warn!("cannot {step} roll {roll}, trying again within {pause:?}: {error}");
            }
            RollEvent::Committed { roll, rows, rejects, files, bytes } => match self.commits {
                Level::Info => tracing::info!(roll = roll.0, rows, rejects, files, bytes, "landed"),
                Level::Debug => {
                    tracing::debug!(roll = roll.0, rows, rejects, files, bytes, "landed");
                }
            },
            RollEvent::EngineFailed { error, pause } => {
                tracing::error!(
                    "landing failed, beginning anew from the journal in {pause:?}: {error}"
                );
            }
            RollEvent::EngineStopped { reason } => {
                tracing::error!("landing stopped: {reason}");
            }
            RollEvent::Opened { .. }
            | RollEvent::Filling { .. }
            | RollEvent::Sealed { .. }
            | RollEvent::Landed { .. } => {}
        }
    }
}
