//! Rows of rolls that are not stored yet.

use std::collections::{HashMap, VecDeque};

use super::Fingerprint;
use crate::record::{Micros, Roll, Seq};

/// The first row with a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    /// Its body.
    pub(super) seq: Seq,
    /// Time of the body's receipt.
    pub(super) at: Micros,
}

impl First {
    /// Tells whether a row that was received at `at` is within the window, in microseconds. One that was
    /// received before its first, as the clock has it, is.
    pub(super) fn covers(&self, at: Micros, window_us: i64) -> bool {
        at.0.saturating_sub(self.at.0) <= window_us
    }
}

/// The rows of one roll.
#[derive(Debug)]
pub(super) struct OpenRoll {
    pub(super) roll: Roll,
    pub(super) rows: HashMap<Fingerprint, First>,
    /// Rows that are not held, as there were too many.
    pub(super) unheld: u64,
}

/// The rolls, in order; the last one is being filled.
#[derive(Debug, Default)]
pub(super) struct OpenRolls(VecDeque<OpenRoll>);

impl OpenRolls {
    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the first with a fingerprint within the window, and its roll.
    pub(super) fn find(
        &self,
        fingerprint: Fingerprint,
        at: Micros,
        window_us: i64,
    ) -> Option<(Roll, First)> {
        let found = self.0.iter().rev().find_map(|open| {
            let first = open.rows.get(&fingerprint)?;
            Some((open.roll, *first))
        });
        found.filter(|(_, first)| first.covers(at, window_us))
    }

    /// Adds a row of `roll`, which is the last one or comes after it, unless `most` of it are held.
    pub(super) fn add(&mut self, roll: Roll, fingerprint: Fingerprint, first: First, most: usize) {
        if self.0.back().is_none_or(|last| last.roll != roll) {
            self.0.push_back(OpenRoll { roll, rows: HashMap::new(), unheld: 0 });
        }
        let Some(last) = self.0.back_mut() else { return };
        if last.rows.len() < most || last.rows.contains_key(&fingerprint) {
            last.rows.insert(fingerprint, first);
        } else {
            last.unheld += 1;
        }
    }

    /// Returns the number of rows of `roll` that are not held.
    pub(super) fn unheld(&self, roll: Roll) -> u64 {
        self.0.iter().filter(|open| open.roll == roll).map(|open| open.unheld).sum()
    }

    /// Returns the number of rows of `roll`.
    pub(super) fn rows(&self, roll: Roll) -> usize {
        self.0.iter().filter(|open| open.roll == roll).map(|open| open.rows.len()).sum()
    }

    /// Returns the rows of `roll`, in the order of their fingerprints.
    pub(super) fn sorted(&self, roll: Roll) -> Vec<(Fingerprint, First)> {
        let rolls = self.0.iter().filter(|open| open.roll == roll);
        let mut rows: Vec<_> =
            rolls.flat_map(|open| open.rows.iter().map(|(row, first)| (*row, *first))).collect();
        rows.sort_unstable_by_key(|(fingerprint, _)| *fingerprint);
        rows
    }

    /// Forgets the rows of `roll`.
    pub(super) fn remove(&mut self, roll: Roll) {
        self.0.retain(|open| open.roll != roll);
    }
}
