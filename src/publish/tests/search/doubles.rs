//! The treatment of doubles in a history.
//!
//! Every table leaves them out within a window, or lands them. The file of the index fails and dies at any
//! of its calls; in some histories it is lost, an older one comes back, or a life has no `dedup`, after
//! which doubles may land, and nothing else may happen. Some have room for few rows. In some, time passes.
//!
//! Its dice are its own: histories are as they would be without it.

use std::sync::Arc;

use super::super::harness::Harness;
use super::Tally;
use crate::dedup::tests::fake::FakeFile;
use crate::search::Dice;

const DAY_MS: u64 = 86_400_000;

pub(super) struct Doubles {
    pub(super) dice: Dice,
    /// The window of each table, in milliseconds; none for a table that lands doubles.
    pub(super) windows_ms: [Option<u64>; 2],
    /// Doubles of each table may have landed.
    pub(super) lost: [bool; 2],
    may_lose: bool,
    /// Time passes between lives.
    passes: bool,
    has_sessions: bool,
    /// Older files of the index.
    copies: Vec<FakeFile>,
    /// Bodies that were asked for before this life.
    asked_before: usize,
}

impl Doubles {
    /// Decides what tables there are, and which of them leave doubles out.
    pub(super) fn new(seed: u64, harness: &mut Harness, is_one: bool) -> Doubles {
        let mut dice = Dice(seed ^ 0x0064_6f75_626c_6573);
        if !is_one && dice.one_in(2) {
            harness.add_second();
        }
        let has_second = harness.second.is_some();
        let mut window = |on| on && !dice.one_in(3);
        let on = [window(true), window(has_second)];
        let mut windows_ms = on.map(|on| on.then(|| [DAY_MS, DAY_MS / 3][dice.below(2) as usize]));
        if on == [true; 2] {
            // Two tables have two windows.
            windows_ms[1] = windows_ms[0].map(|ms| if ms == DAY_MS { DAY_MS / 3 } else { DAY_MS });
        }
        let is_on = on.contains(&true);
        if is_on {
            harness.with_sessions();
        }
        let few = dice.one_in(8);
        if few {
            harness.max_rows = 10 + dice.below(20);
        }
        let doubles = Doubles {
            windows_ms,
            lost: [few; 2],
            may_lose: dice.one_in(5),
            passes: dice.one_in(4),
            has_sessions: is_on || dice.one_in(2),
            copies: Vec::new(),
            asked_before: 0,
            dice,
        };
        doubles.set(harness, windows_ms);
        doubles
    }

    fn set(&self, harness: &mut Harness, windows_ms: [Option<u64>; 2]) {
        harness.table.dedup_window_ms = windows_ms[0];
        if let Some(second) = &mut harness.second {
            second.dedup_window_ms = windows_ms[1];
        }
    }

    fn is_on(&self) -> bool {
        self.windows_ms.iter().any(Option::is_some)
    }

    /// Returns the number of bodies that are not sent again: when time passes, those of earlier lives, since
    /// they would be new bodies.
    pub(super) fn asked_since(&self) -> usize {
        if self.passes { self.asked_before } else { 0 }
    }

    /// Returns the numbers of the sessions that a body has besides its own lines.
    pub(super) fn sessions(&mut self) -> Vec<u64> {
        let count = if self.has_sessions { self.dice.below(7) } else { 0 };
        (0..count).map(|_| self.dice.below(30)).collect()
    }

    /// Time passes, settings change, and faults are planned.
    pub(super) fn begin_life(&mut self, harness: &mut Harness, asked: usize, tally: &mut Tally) {
        self.asked_before = asked;
        if self.passes {
            let ms = self.dice.below(DAY_MS);
            harness.clock.advance(i64::try_from(ms).expect("a day") * 1_000);
        }
        if !self.is_on() {
            return;
        }
        let mut windows_ms = self.windows_ms;
        for (window_ms, lost) in windows_ms.iter_mut().zip(&mut self.lost) {
            if window_ms.is_some() && self.may_lose && self.dice.one_in(6) {
                (*window_ms, *lost) = (None, true);
                tally.doubles.off += 1;
            }
        }
        self.set(harness, windows_ms);
        if windows_ms == [None; 2] {
            // As a start without the setting does.
            self.lost = [true; 2];
            harness.index = FakeFile::default();
        }
        let (disk, store) = (Arc::clone(&harness.disk), harness.store.clone());
        let dies: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            disk.turn_off();
            store.die();
        });
        // A write that fails while the process lives lets doubles land.
        let fails = self.may_lose && self.dice.one_in(3);
        if fails {
            self.lost = [true; 2];
        }
        let nth = 1 + self.dice.below(120);
        let planned = fails || self.dice.one_in(3);
        harness.index.fail_at(planned.then_some(nth), (!fails).then_some(dies));
    }

    /// The process is gone, perhaps with the power.
    pub(super) fn die(&mut self, harness: &mut Harness, is_killed: bool, tally: &mut Tally) {
        tally.doubles.index_faults += harness.index.hits();
        harness.index = if is_killed {
            harness.index.killed()
        } else {
            let (all, dice) = (self.dice.below(3), &mut self.dice);
            harness.index.power_cut(|| all > 0 && (all == 1 || dice.one_in(2)))
        };
        if !self.is_on() {
            return;
        }
        if self.may_lose && self.dice.one_in(3) {
            self.lost = [true; 2];
            tally.doubles.index_lost += 1;
            // An older index is as good as one that lacks rows.
            let older = self.copies.pop().unwrap_or_default();
            harness.index = if self.dice.one_in(2) { older } else { FakeFile::default() };
        }
        if self.dice.one_in(3) {
            self.copies.push(harness.index.killed());
        }
    }
}
