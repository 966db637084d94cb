//! The state of rolls, and the bytes of control records. Pure: no I/O, no clock.
//!
//! A roll is first *sealed* (its range is fixed), then *committed* (it is in the lake, and its bodies
//! may be deleted). Rolls are sealed and committed in order, and their ranges follow one another.
//!
//! ```text
//!  seal       roll u64 | first u64 | last u64 | settings u32 + bytes
//!  committed  roll u64
//!  closed     nothing
//!  checkpoint next_roll u64 | committed_roll u64 | committed_seq u64 | sealed_seq u64
//!             | count u32, seals … | count u32, lost ranges (first u64, last u64) …
//!             | count u32, retry entries (hash u128, length u32, seq u64, at i64 µs) …
//! ```

use std::collections::VecDeque;

use super::frame::{ByteReader, RetryKey};
use super::{Seal, retry_window::RetryEntry};
use crate::record::{Micros, Roll, Seq, SeqRange};

/// Maximum bytes of the settings of a seal.
pub const MAX_SETTINGS_BYTES: usize = 16 << 20;

/// Sealed and committed rolls, and lost bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) next_roll: u64,
    /// The last committed roll; 0 if none.
    pub(crate) committed_roll: u64,
    /// The last body of the last committed roll; 0 if none.
    pub(crate) committed_seq: u64,
    /// The last body in any seal; 0 if none.
    pub(crate) sealed_seq: u64,
    /// Sealed and not committed, in order.
    pub(crate) sealed: VecDeque<Seal>,
    /// Bodies given up by `skip_damaged`, in order, until committed rolls have passed them.
    pub(crate) lost: Vec<SeqRange>,
    /// Set while a start has read no checkpoint: the first record of a roll is the first that is known.
    pub(crate) is_guess: bool,
}

impl Control {
    pub(crate) fn new() -> Control {
        Control {
            next_roll: Roll::FIRST.0,
            committed_roll: 0,
            committed_seq: 0,
            sealed_seq: 0,
            sealed: VecDeque::new(),
            lost: Vec::new(),
            is_guess: false,
        }
    }

    /// Nothing is known of rolls, and no body before `first` is there.
    pub(crate) fn guess(first: u64) -> Control {
        let before = first.saturating_sub(1);
        Control { committed_seq: before, sealed_seq: before, is_guess: true, ..Control::new() }
    }

    /// Returns the first body that is in no seal and not lost.
    pub(crate) fn unsealed_from(&self) -> Seq {
        skip_lost(&self.lost, Seq(self.sealed_seq + 1))
    }

    /// Adds a seal, if it is of the next roll, begins where the last one ended (lost bodies may
    /// be left out or in) and ends at a durable body.
    pub(crate) fn seal(&mut self, seal: Seal, last_durable: u64) -> Result<(), String> {
        let Seal { roll, range, .. } = &seal;
        if roll.0 != self.next_roll {
            return Err(format!("seal of roll {roll}, the next roll is {}", self.next_roll));
        }
        let from = Seq(self.sealed_seq + 1);
        if range.first != from && range.first != self.unsealed_from() {
            let first = range.first;
            return Err(format!("roll {roll} begins at body {first}, the next unsealed is {from}"));
        }
        if range.last < range.first || range.last.0 > last_durable {
            let (first, last) = (range.first, range.last);
            return Err(format!(
                "roll {roll} ends at body {last}, it must lie between {first} and {last_durable}"
            ));
        }
        self.next_roll = roll.0 + 1;
        self.sealed_seq = range.last.0;
        self.sealed.push_back(seal);
        Ok(())
    }

    /// Marks the oldest sealed roll committed.
    pub(crate) fn commit(&mut self, roll: Roll) -> Result<(), String> {
        match self.sealed.front() {
            Some(front) if front.roll == roll => {
                self.committed_roll = roll.0;
                self.committed_seq = front.range.last.0;
                self.sealed.pop_front();
                self.forget_passed();
                Ok(())
            }
            Some(front) => {
                Err(format!("commit of roll {roll}, the oldest sealed one is {}", front.roll))
            }
            None => Err(format!("commit of roll {roll}, no roll is sealed")),
        }
    }

    /// Adds a seal that was read from a damaged segment, so that its numbers are not used again.
    ///
    /// Ranges follow one another, so a seal that begins later than the next body was preceded by
    /// others, which are lost. If by number it is one, it said just what lies between, and is made
    /// again. Otherwise nobody can say how they divided their bodies, and nobody has to: the publisher
    /// commits a roll before it seals the next, and what a start finds sealed before it seals anything,
    /// so a roll that is sealed proves that all before it have landed. The same goes for the first seal
    /// of a journal whose checkpoints cannot be read.
    pub(crate) fn salvage_seal(&mut self, seal: Seal) {
        let from = Seq(self.sealed_seq + 1);
        if seal.roll.0 < self.next_roll || (seal.range.first < from && !self.is_guess) {
            return;
        }
        // Lost bodies may be left out of a roll.
        let first = self.unsealed_from();
        if !self.is_guess && seal.range.first > first && seal.roll.0 == self.next_roll + 1 {
            self.sealed.push_back(Seal {
                roll: Roll(self.next_roll),
                range: SeqRange { first, last: Seq(seal.range.first.0 - 1) },
                // All seals of a segment are of one start and have its settings.
                settings: seal.settings.clone(),
            });
        } else if self.is_guess || seal.range.first > first {
            self.sealed.clear();
            self.committed_roll = seal.roll.0.saturating_sub(1);
            self.committed_seq = seal.range.first.0.saturating_sub(1);
            self.forget_passed();
        }
        self.is_guess = false;
        self.next_roll = seal.roll.0 + 1;
        self.sealed_seq = seal.range.last.0;
        self.sealed.push_back(seal);
    }

    /// Adds a commit that was read from a damaged segment. Its seal may be lost: where the roll ended
    /// is then known by the next seal.
    pub(crate) fn salvage_commit(&mut self, roll: Roll) {
        self.next_roll = self.next_roll.max(roll.0 + 1);
        self.committed_roll = self.committed_roll.max(roll.0);
        while self.sealed.front().is_some_and(|front| front.roll <= roll) {
            let Some(front) = self.sealed.pop_front() else { break };
            self.committed_seq = front.range.last.0;
        }
        self.forget_passed();
    }

    /// Adds lost bodies, unless they are committed or known to be lost.
    pub(crate) fn lose(&mut self, range: SeqRange) {
        if self.may_be_missing(range) {
            return;
        }
        let first = Seq(range.first.0.max(self.committed_seq + 1));
        self.lost.push(SeqRange { first, last: range.last });
        self.lost.sort_by_key(|range| range.first);
        self.lost.dedup_by(|next, range| {
            let overlaps = next.first <= range.last;
            if overlaps {
                range.last = range.last.max(next.last);
            }
            overlaps
        });
    }

    /// Forgets lost bodies that committed rolls have passed.
    fn forget_passed(&mut self) {
        let passed = self.committed_seq;
        self.lost.retain(|range| range.last.0 > passed);
    }

    /// Tells whether every body of the range is committed or known to be lost.
    pub(crate) fn may_be_missing(&self, range: SeqRange) -> bool {
        let from = Seq(range.first.0.max(self.committed_seq + 1));
        skip_lost(&self.lost, from) > range.last
    }
}

/// Returns the first body from `seq` on that is not lost. `lost` is in order.
pub(crate) fn skip_lost(lost: &[SeqRange], mut seq: Seq) -> Seq {
    for range in lost {
        if range.first <= seq && seq <= range.last {
            seq = range.last.next();
        }
    }
    seq
}

pub(crate) fn encode_seal(seal: &Seal) -> Vec<u8> {
    let mut out = Vec::with_capacity(28 + seal.settings.len());
    put_seal(&mut out, seal);
    out
}

pub(crate) fn decode_seal(payload: &[u8]) -> Option<Seal> {
    let mut rest = ByteReader(payload);
    let seal = take_seal(&mut rest)?;
    rest.0.is_empty().then_some(seal)
}

pub(crate) fn encode_committed(roll: Roll) -> Vec<u8> {
    roll.0.to_le_bytes().to_vec()
}

pub(crate) fn decode_committed(payload: &[u8]) -> Option<Roll> {
    Some(Roll(u64::from_le_bytes(payload.try_into().ok()?)))
}

pub(crate) fn encode_checkpoint(control: &Control, window: &[RetryEntry]) -> Vec<u8> {
    let settings: usize = control.sealed.iter().map(|seal| 28 + seal.settings.len()).sum();
    let mut out = Vec::with_capacity(44 + settings + 16 * control.lost.len() + 36 * window.len());
    for number in
        [control.next_roll, control.committed_roll, control.committed_seq, control.sealed_seq]
    {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&(control.sealed.len() as u32).to_le_bytes());
    for seal in &control.sealed {
        put_seal(&mut out, seal);
    }
    out.extend_from_slice(&(control.lost.len() as u32).to_le_bytes());
    for range in &control.lost {
        out.extend_from_slice(&range.first.0.to_le_bytes());
        out.extend_from_slice(&range.last.0.to_le_bytes());
    }
    out.extend_from_slice(&(window.len() as u32).to_le_bytes());
    for entry in window {
        out.extend_from_slice(&entry.key.hash.to_le_bytes());
        out.extend_from_slice(&entry.key.body_bytes.to_le_bytes());
        out.extend_from_slice(&entry.seq.0.to_le_bytes());
        out.extend_from_slice(&entry.at.0.to_le_bytes());
    }
    out
}

pub(crate) fn decode_checkpoint(payload: &[u8]) -> Option<(Control, Vec<RetryEntry>)> {
    let mut rest = ByteReader(payload);
    let mut control = Control {
        next_roll: rest.u64()?,
        committed_roll: rest.u64()?,
        committed_seq: rest.u64()?,
        sealed_seq: rest.u64()?,
        sealed: VecDeque::new(),
        lost: Vec::new(),
        is_guess: false,
    };
    for _ in 0..rest.u32()? {
        control.sealed.push_back(take_seal(&mut rest)?);
    }
    for _ in 0..rest.u32()? {
        control.lost.push(SeqRange { first: Seq(rest.u64()?), last: Seq(rest.u64()?) });
    }
    let mut window = Vec::new();
    for _ in 0..rest.u32()? {
        let hash = u128::from_le_bytes(rest.array()?);
        let key = RetryKey { hash, body_bytes: rest.u32()? };
        window.push(RetryEntry { key, seq: Seq(rest.u64()?), at: Micros(rest.i64()?) });
    }
    rest.0.is_empty().then_some((control, window))
}

fn put_seal(out: &mut Vec<u8>, seal: &Seal) {
    for number in [seal.roll.0, seal.range.first.0, seal.range.last.0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&(seal.settings.len() as u32).to_le_bytes());
    out.extend_from_slice(&seal.settings);
}

fn take_seal(rest: &mut ByteReader<'_>) -> Option<Seal> {
    let roll = Roll(rest.u64()?);
    let range = SeqRange { first: Seq(rest.u64()?), last: Seq(rest.u64()?) };
    let settings_bytes = rest.u32()? as usize;
    Some(Seal { roll, range, settings: rest.bytes(settings_bytes)?.to_vec() })
}
