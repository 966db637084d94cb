//! The time of the last commit of a roll.

use std::sync::atomic::{AtomicI64, Ordering};

use super::events::RollEvent;
use super::observers::Observer;
use crate::record::Micros;

/// Keeps the time of the last commit.
#[derive(Debug, Default)]
pub struct LastRoll(AtomicI64);

impl LastRoll {
    /// Returns the time of the last commit, if there was one.
    #[must_use]
    pub fn get(&self) -> Option<Micros> {
        Some(Micros(self.0.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// Sets the time, as an earlier start has left it.
    pub fn set(&self, at: Micros) {
        self.0.store(at.0, Ordering::Relaxed);
    }
}

impl Observer for LastRoll {
    fn observe(&self, at: Micros, event: &RollEvent) {
        if let RollEvent::Committed { .. } = event {
            self.set(at);
        }
    }
}
