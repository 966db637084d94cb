//! A runtime for commands that read a lake.

use anyhow::Context as _;

/// Returns a runtime for a command that waits for a store and does nothing else meanwhile.
pub(super) fn current_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
}

/// Returns a runtime for a command that reads a lake and the logs of its tables: a log is read by a thread
/// that waits for others.
pub(super) fn with_log_threads() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
}
