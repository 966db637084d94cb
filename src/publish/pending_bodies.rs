//! The age of what has not landed: the time at which the oldest such body was received.
//!
//! Bodies land in order, so the oldest one is the first after the last committed roll. Times are kept
//! for one body a second: the answer is right to a second, always on the early side, and an engine
//! that reads millions of bodies ahead keeps one entry for each second of them.

use std::collections::VecDeque;

use crate::record::{Micros, Seq};

/// Least time between two bodies that are kept.
const EVERY_US: i64 = 1_000_000;

/// Bodies that were read from the journal and are not committed.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingBodies {
    /// Some of them, in order.
    kept: VecDeque<(Seq, Micros)>,
    /// The last one that was read.
    last: Option<Seq>,
}

impl PendingBodies {
    /// Takes note of a body that was read. One that was read before, by an earlier engine, changes
    /// nothing.
    pub(super) fn read(&mut self, seq: Seq, received_at: Micros) {
        if self.last.is_some_and(|last| seq <= last) {
            return;
        }
        self.last = Some(seq);
        let since_us = self.kept.back().map(|(_, at)| received_at.0.saturating_sub(at.0));
        // Also one from before: the clock was set back.
        if since_us.is_none_or(|us| !(0..EVERY_US).contains(&us)) {
            self.kept.push_back((seq, received_at));
        }
    }

    /// Takes note of a commit: bodies up to `last` have landed.
    pub(super) fn committed(&mut self, last: Seq) {
        if self.last.is_none_or(|read| read <= last) {
            self.kept.clear();
            return;
        }
        while self.kept.get(1).is_some_and(|(seq, _)| *seq <= last.next()) {
            self.kept.pop_front();
        }
    }

    /// Returns the time at which the oldest body that has not landed was received; `None` if all that
    /// were read have landed.
    pub(super) fn oldest(&self) -> Option<Micros> {
        self.kept.front().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: f64) -> Micros {
        Micros((seconds * 1e6) as i64)
    }

    #[test]
    fn the_oldest_is_the_first_after_the_last_commit() {
        let mut bodies = PendingBodies::default();
        assert_eq!(bodies.oldest(), None);
        for (seq, at) in [(1, 10.0), (2, 11.0), (3, 25.0)] {
            bodies.read(Seq(seq), s(at));
        }
        assert_eq!(bodies.oldest(), Some(s(10.0)));
        bodies.committed(Seq(2));
        assert_eq!(bodies.oldest(), Some(s(25.0)));
        bodies.committed(Seq(3));
        assert_eq!(bodies.oldest(), None);
        bodies.read(Seq(4), s(26.0));
        assert_eq!(bodies.oldest(), Some(s(26.0)));
    }

    #[test]
    fn many_bodies_take_an_entry_a_second_and_are_never_made_younger() {
        let mut bodies = PendingBodies::default();
        for seq in 1..=100_000 {
            bodies.read(Seq(seq), s(seq as f64 / 10_000.0));
        }
        assert_eq!(bodies.kept.len(), 10);
        for committed in [5_000, 9_999, 10_000, 10_001, 55_555, 99_999] {
            bodies.committed(Seq(committed));
            let (oldest, right) = (bodies.oldest().unwrap(), s((committed + 1) as f64 / 10_000.0));
            assert!(oldest <= right && right.0 - oldest.0 <= EVERY_US, "{committed}: {oldest:?}");
        }
        bodies.committed(Seq(100_000));
        assert_eq!(bodies.oldest(), None);
    }

    #[test]
    fn bodies_that_are_read_again_change_nothing() {
        let mut bodies = PendingBodies::default();
        for seq in [1, 2, 3, 1, 2, 3] {
            bodies.read(Seq(seq), s(seq as f64 * 2.0));
        }
        bodies.committed(Seq(1));
        assert_eq!(bodies.oldest(), Some(s(4.0)));
        bodies.committed(Seq(3));
        assert_eq!(bodies.oldest(), None);
    }
}
