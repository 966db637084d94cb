//! The number of uploads under way at a time.

use std::sync::atomic::{AtomicU32, Ordering};

/// Files uploaded at a time, when all goes well.
const FILES: usize = 4;
/// Parts of a file under way at a time, when all goes well.
const PARTS: usize = 4;
/// Most halvings of both.
const MOST_HALVINGS: u32 = 2;

/// Limits of what is under way at a time. Uploads at one time share the uplink and the time-out of a
/// request: where four times four parts never end in time, one may.
#[derive(Debug, Default)]
pub(super) struct Concurrency {
    halvings: AtomicU32,
}

impl Concurrency {
    /// Returns the number of files, and of the parts of each.
    pub(super) fn get(&self) -> (usize, usize) {
        let halvings = self.halvings.load(Ordering::Relaxed);
        (FILES >> halvings, PARTS >> halvings)
    }

    /// Halves both, down to one.
    pub(super) fn halve(&self) {
        let halvings = self.halvings.load(Ordering::Relaxed) + 1;
        self.halvings.store(halvings.min(MOST_HALVINGS), Ordering::Relaxed);
    }

    /// Doubles both, up to the usual.
    pub(super) fn double(&self) {
        let halvings = self.halvings.load(Ordering::Relaxed).saturating_sub(1);
        self.halvings.store(halvings, Ordering::Relaxed);
    }
}
