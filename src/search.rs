//! Tools of the searches in tests: numbers from a seed, mutated bytes, and the length of a search.
//!
//! `SESSIONLAKE_SEARCH_STEPS` makes a search long; `SESSIONLAKE_SEARCH_SEED` runs one history again
//! alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A small generator of numbers that are the same for the same seed, everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.roll() as u8
    }
}

/// Changes some bytes: flips, cuts or doubles them, or sets them to values that lengths often have.
pub(crate) fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(bytes.len() as u64 + 1) as usize;
        let to = (at + dice.below(40) as usize).min(bytes.len());
        match dice.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = [0, 0xff, 0x7f, 0x80, 1][dice.below(5) as usize],
            2 => drop(bytes.drain(at..to)),
            3 => {
                let copy = bytes[at..to].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes.truncate(at),
            _ => bytes.insert(at, dice.byte()),
        }
    }
}

/// Returns the number of inputs or steps to make: `usual`, unless the environment says otherwise.
pub(crate) fn inputs(usual: u64) -> u64 {
    number("SESSIONLAKE_SEARCH_STEPS").unwrap_or(usual)
}

/// Runs histories by seed, 0 and up, until there were enough of them and of their steps; `one` runs
/// one, and says how many steps there were by then. Prints the seed of one that panics. False when
/// only the one of the environment was run, which says nothing of how many faults there were.
///
/// Steps alone would not do: where threads take turns, a few histories can make as many as the
/// search is asked for, by trying again and again, and leave some kind of fault out.
pub(crate) fn histories(at_least: u64, usual_steps: u64, mut one: impl FnMut(u64) -> u64) -> bool {
    let only = number("SESSIONLAKE_SEARCH_SEED");
    let enough = inputs(usual_steps);
    let mut seed = only.unwrap_or(0);
    let mut steps = 0;
    while steps < enough || seed < at_least {
        match catch_unwind(AssertUnwindSafe(|| one(seed))) {
            Ok(by_then) => steps = by_then,
            Err(panic) => {
                eprintln!("this history breaks: run it again with SESSIONLAKE_SEARCH_SEED={seed}");
                resume_unwind(panic);
            }
        }
        seed += 1;
        if only.is_some() {
            break;
        }
    }
    only.is_none()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}
