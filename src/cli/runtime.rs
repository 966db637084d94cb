//! A runtime for commands that read a lake.

use anyhow::Context as _;

/// Returns a runtime for a command that waits for a store and does nothing else meanwhile.
pub(super) fn current_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
}
