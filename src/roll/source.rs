//! The source that an engine takes bodies from.

use std::time::Duration;

use crate::record::Body;

/// A source of bodies in sequence order: the journal, or files that are imported.
pub(crate) trait Source: Send {
    /// Returns the next body, waiting up to `timeout` for it.
    ///
    /// # Errors
    /// The body cannot be read. The engine stops, and the caller begins anew from what is landed.
    fn next(&mut self, timeout: Duration) -> anyhow::Result<Next>;
}

/// The outcome of [`Source::next`].
#[derive(Debug)]
pub(crate) enum Next {
    /// The next body.
    Body(Body),
    /// No body came within the timeout.
    TimedOut,
    /// There are no more bodies.
    Ended,
}
