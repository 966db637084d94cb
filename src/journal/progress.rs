//! The progress of a replay, read and stopped from other threads.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The progress of [`Journal::replay`](super::Journal::replay). A figure for people: nothing is
/// decided by it.
///
/// A stop leaves the journal as a crash at that moment would, which the next start recovers from.
#[derive(Debug, Default)]
pub struct ReplayProgress {
    total: AtomicU64,
    /// Bytes of the segments that are done.
    done: AtomicU64,
    /// Bytes of the segment that is being read.
    current: AtomicU64,
    is_stopped: AtomicBool,
}

impl ReplayProgress {
    /// Returns the bytes that were read, and the bytes that are there to be read: 0 before they are
    /// known. The newest segment is read twice, and counted so.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let total = self.total.load(Ordering::Relaxed);
        let read = self.done.load(Ordering::Relaxed) + self.current.load(Ordering::Relaxed);
        (read.min(total), total)
    }

    /// Ends the replay at the next megabyte, with [`JournalError::Stopped`](super::JournalError).
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Returns whether [`stop`](Self::stop) was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    pub(super) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that the segment being read has been read up to `offset`.
    ///
    /// # Errors
    /// The replay is to stop.
    pub(super) fn at(&self, offset: u64) -> io::Result<()> {
        self.current.store(offset, Ordering::Relaxed);
        match self.is_stopped() {
            true => Err(io::Error::other("the replay was stopped")),
            false => Ok(()),
        }
    }

    /// Notes that a segment of `bytes` is done.
    pub(super) fn finish(&self, bytes: u64) {
        self.current.store(0, Ordering::Relaxed);
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}
