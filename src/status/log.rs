//! The log of rolls.

use parking_lot::Mutex;

use super::events::RollEvent;
use super::observers::Observer;
use super::repeated_failure::RepeatedFailure;
use crate::record::Micros;

/// Logs the steps of rolls that an operator reads about: commits, retries, rolls made again,
/// failures of the engine. A failure that repeats is logged once a minute, and its end once.
#[derive(Debug)]
pub struct LogObserver {
    commits: Level,
    // Mutexes: changed by the thread that publishes, a few times a second at most.
    store: Mutex<RepeatedFailure>,
    engine: Mutex<RepeatedFailure>,
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
        LogObserver::with(Level::Info)
    }

    /// Logs commits for debugging only: for a command that prints a summary of its own.
    #[must_use]
    pub fn quiet() -> LogObserver {
        LogObserver::with(Level::Debug)
    }

    fn with(commits: Level) -> LogObserver {
        LogObserver { commits, store: Mutex::default(), engine: Mutex::default() }
    }
}

impl Default for LogObserver {
    fn default() -> LogObserver {
        LogObserver::new()
    }
}

impl Observer for LogObserver {
    fn observe(&self, at: Micros, event: &RollEvent) {
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
                if let Some(run) = self.store.lock().failed(at) {
                    let since = run.text(at);
                    tracing::warn!(
                        "cannot {step} roll {roll}, trying again within {pause:?}{since}: {error}"
                    );
                }
            }
            RollEvent::Recovered { roll, step, .. } => {
                if let Some(run) = self.store.lock().succeeded() {
                    let (tries, lasted) = (run.count, run.lasted(at));
                    tracing::info!(
                        "the lake answers again: could {step} roll {roll} after {tries} failures in \
                         {lasted:?}"
                    );
                }
            }
            RollEvent::Committed { roll, rows, rejects, doubled, files, bytes } => {
                if let Some(run) = self.engine.lock().succeeded() {
                    let (failures, lasted) = (run.count, run.lasted(at));
                    tracing::info!(
                        "landing goes on after {failures} failures in {lasted:?}: roll {roll} has landed"
                    );
                }
                match self.commits {
                    Level::Info => {
                        let roll = roll.0;
                        tracing::info!(roll, rows, rejects, doubled, files, bytes, "landed");
                    }
                    Level::Debug => {
                        let roll = roll.0;
                        tracing::debug!(roll, rows, rejects, doubled, files, bytes, "landed");
                    }
                }
            }
            RollEvent::Unmatched { roll, rows, unmatched } => {
                tracing::warn!(
                    "{unmatched} of the {rows} rows of roll {roll} are null in every column: their \
                     documents have no field of the table's, or none with a value that fits. Do they \
                     belong to another table, or does its schema need their fields?"
                );
            }
            RollEvent::UnknownFields { roll, table, rows, fields, .. } => {
                let most = fields.first().map_or("", |(pointer, _)| pointer.as_str());
                tracing::debug!(
                    "{rows} rows of table {table} in roll {roll} have fields without a column, most \
                     of them {most}: `sessionlake fields` lists them"
                );
            }
            RollEvent::Overflowed { roll, table, partition, rows } => {
                tracing::warn!(
                    "{rows} rows of table {table} in roll {roll} are in its overflow partition \
                     {partition}: their times are further from when they were received than \
                     time_window (in an import, further from their session than a day), or their bodies \
                     have more partitions than max_partitions lets them open. Is a clock wrong, or does \
                     somebody send old data? `sessionlake import` takes sessions of any time"
                );
            }
            RollEvent::SetAside { roll, seq, why } => {
                tracing::error!(
                    "body {seq} was set aside: no roll could be made of it ({why}). It is whole in \
                     the quarantine of roll {roll}; `sessionlake quarantine replay` lands it, \
                     with all of its lines, after an upgrade that takes it"
                );
            }
            RollEvent::EngineFailed { error, pause } => {
                if let Some(run) = self.engine.lock().failed(at) {
                    let since = run.text(at);
                    tracing::error!(
                        "landing failed, beginning anew from the journal in {pause:?}{since}: {error}"
                    );
                }
            }
            RollEvent::EngineStopped { reason } => {
                tracing::error!("landing stopped: {reason}");
            }
            RollEvent::Opened { .. }
            | RollEvent::Filling { .. }
            | RollEvent::Rejected { .. }
            | RollEvent::Stage { .. }
            | RollEvent::Sealed { .. }
            | RollEvent::Landed { .. }
            | RollEvent::TableLanded { .. } => {}
        }
    }
}
