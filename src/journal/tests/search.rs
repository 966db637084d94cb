//! A search for histories that break a promise: appends alone and together, seals, commits, time,
//! restarts, kills and power cuts, with an error, a full disk, a short write, the end of the power or
//! the loss of the directory at any call to the disk, also while a start is under way, and times in
//! which no file can be made.
//!
//! A short search runs with every `cargo test`. The long one:
//! `SESSIONLAKE_SEARCH_STEPS=1000000 cargo test --release journal::tests::search -- --nocapture`.
//! A history that breaks something is printed with its seed, and run again alone with
//! `SESSIONLAKE_SEARCH_SEED`.

use std::io::ErrorKind;

use super::fake::{FakeDisk, FaultEffect, PlannedFault};
use super::*;
use crate::search::{Dice, histories};

/// Steps of the search that every test run makes.
const STEPS: u64 = 30_000;

/// Histories that it makes at least.
const HISTORIES: u64 = 50;

/// Counts of the steps over all histories.
#[derive(Default, Debug)]
struct Tally {
    histories: u64,
    steps: u64,
    starts: u64,
    kills: u64,
    power_cuts: u64,
    faults: u64,
    directories_lost: u64,
    refused: u64,
    surfaced: u64,
    /// Bodies that the landing reader took from memory, and those that it read.
    handed: u64,
    read: u64,
}

/// Bodies that were asked for and not acked: their text and when.
type Maybe = Vec<(Vec<u8>, u64)>;

struct History {
    dice: Dice,
    bench: Bench,
    /// Texts of bodies 1, 2, 3 … and when they were acked, in minutes.
    bodies: Vec<(Vec<u8>, u64)>,
    maybe: Maybe,
    sealed: Vec<Seal>,
    maybe_sealed: Option<Seal>,
    maybe_committed: bool,
    next_roll: u64,
    sealed_seq: u64,
    committed_seq: u64,
    minute: u64,
    made: u64,
    /// The reader that lands, of the journal that is open.
    landing: Option<Reader>,
}

impl History {
    fn new(seed: u64) -> History {
        let mut dice = Dice(seed);
        let segment_bytes = if dice.one_in(2) { dice.below(2_000) + 1 } else { 20_000 };
        History {
            bench: Bench::with(|options| {
                options.segment_bytes = segment_bytes;
                if dice.one_in(2) {
                    options.compress_from_bytes = Some(0);
                }
                options.hand_on_bytes = [0, 900, 4_000, 1 << 20][dice.below(4) as usize];
                if dice.one_in(3) {
                    (options.cipher, options.encrypt) = (Some(cipher(7)), true);
                }
            }),
            dice,
            bodies: Vec::new(),
            maybe: Vec::new(),
            sealed: Vec::new(),
            maybe_sealed: None,
            maybe_committed: false,
            next_roll: 1,
            sealed_seq: 0,
            committed_seq: 0,
            minute: 0,
            made: 0,
            landing: None,
        }
    }

    fn text(&mut self) -> Vec<u8> {
        if self.dice.one_in(4) && !self.bodies.is_empty() {
            let recent = self.bodies.len() as u64;
            let at = recent - 1 - self.dice.below(recent.min(5));
            return self.bodies[at as usize].0.clone();
        }
        self.made += 1;
        let mut text = format!("body {} ", self.made).into_bytes();
        let size = if self.dice.one_in(8) { 3_000 } else { 200 };
        let fill = self.dice.byte();
        text.resize(text.len() + self.dice.below(size) as usize, fill);
        text
    }

    fn known(&self, text: &[u8]) -> Option<u64> {
        let recent = |(body, acked): &(Vec<u8>, u64)| body == text && self.minute - acked < 10;
        self.bodies.iter().rposition(recent).map(|at| at as u64 + 1)
    }

    /// Appends some bodies at a time. False: the journal is poisoned.
    fn append(&mut self, journal: &Journal, count: u64, tally: &mut Tally) -> bool {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        for _ in 0..count {
            let text = self.text();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let all = texts.iter().map(|text| journal.append(body(text)));
        let outcomes = self.bench.runtime.block_on(futures::future::join_all(all));
        let (mut acked, mut healthy) = (Vec::new(), true);
        for (text, outcome) in texts.into_iter().zip(outcomes) {
            let known = self.known(&text);
            match outcome {
                Ok(Receipt { seq, duplicate: true }) => assert_eq!(known, Some(seq.0)),
                Ok(Receipt { seq, duplicate: false }) => {
                    assert_eq!(known, None, "stored twice");
                    acked.push((seq.0, text));
                }
                Err(AppendError::Poisoned { .. }) => {
                    healthy = false;
                    self.maybe.push((text, self.minute));
                }
                // Nothing of it is anywhere.
                Err(AppendError::NoSegment { .. }) => tally.refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        acked.sort();
        for (seq, text) in acked {
            self.bodies.push((text, self.minute));
            assert_eq!(seq, self.bodies.len() as u64, "a number was left out or used twice");
        }
        healthy
    }

    /// Lets the landing reader go on: it has each acked body in its turn, and nothing else.
    fn land(&mut self, journal: &Journal, tally: &mut Tally) {
        let from = self.committed_seq + 1;
        let mut reader = match self.landing.take() {
            Some(reader) if reader.position().0 >= from => reader,
            // None yet, or another reader's bodies have landed; or an engine that failed has a successor.
            _ => journal.reader(Seq(from)).taking_handed(),
        };
        let taken = journal.inner.shared.handed.taken();
        for _ in 0..self.dice.below(12) {
            let seq = reader.position();
            match reader.next(Duration::ZERO) {
                Ok(Next::Body(body)) => {
                    assert_eq!(body.seq, seq);
                    let acked = self.bodies.get(seq.0 as usize - 1);
                    let (text, _) = acked.expect("a body that was not acked was handed on");
                    assert!(body.bytes == *text, "body {seq} is another");
                    tally.read += 1;
                }
                Ok(_) | Err(JournalError::Poisoned { .. } | JournalError::Io { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        }
        let handed = journal.inner.shared.handed.taken() - taken;
        (tally.handed, tally.read) = (tally.handed + handed, tally.read - handed);
        assert!(journal.handed_bytes() <= self.bench.options.hand_on_bytes);
        self.landing = (!self.dice.one_in(10)).then_some(reader);
    }

    fn seal(&mut self, journal: &Journal) -> bool {
        let open = self.bodies.len() as u64 - self.sealed_seq;
        if open == 0 {
            return true;
        }
        let last = self.sealed_seq + 1 + self.dice.below(open);
        let seal = seal(self.next_roll, self.sealed_seq + 1, last);
        match journal.seal(&seal) {
            Ok(()) => {
                self.has_sealed(seal);
                true
            }
            Err(JournalError::Poisoned { .. }) => {
                self.maybe_sealed = Some(seal);
                false
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn has_sealed(&mut self, seal: Seal) {
        self.next_roll += 1;
        self.sealed_seq = seal.range.last.0;
        self.sealed.push(seal);
    }

    fn commit(&mut self, journal: &Journal) -> bool {
        let Some(front) = self.sealed.first() else { return true };
        match journal.committed(front.roll) {
            Ok(()) => {
                self.has_committed();
                // What was released may have failed to be synced.
                journal.status().poisoned.is_none()
            }
            Err(JournalError::Poisoned { .. }) => {
                self.maybe_committed = true;
                false
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn has_committed(&mut self) {
        self.committed_seq = self.sealed.remove(0).range.last.0;
    }

    /// Ends the process: in order, killed, or with the power.
    fn end(&mut self, journal: Option<Journal>, tally: &mut Tally) {
        // It keeps the journal open.
        self.landing = None;
        let broken = self.bench.disk.is_off() || self.bench.disk.is_gone();
        tally.directories_lost += u64::from(self.bench.disk.is_gone());
        let after: FakeDisk = match self.dice.below(3) {
            0 if !broken => {
                drop(journal);
                self.bench.disk.plan_fault(None);
                self.bench.disk.fail_read(None);
                if self.bench.disk.is_gone() {
                    // It went in the last calls.
                    tally.directories_lost += 1;
                    self.bench.disk = Arc::new(self.bench.disk.killed());
                }
                return;
            }
            0 | 1 => {
                tally.kills += 1;
                self.bench.disk.killed()
            }
            _ => {
                tally.power_cuts += 1;
                let dice = &mut self.dice;
                match dice.below(3) {
                    0 => self.bench.disk.power_cut(|| 0),
                    _ => self.bench.disk.power_cut(|| dice.byte()),
                }
            }
        };
        drop(journal);
        tally.faults += self.bench.disk.hits();
        self.bench.disk = Arc::new(after);
    }

    fn maybe_plan_fault(&mut self, among: u64) {
        let kinds = [
            FaultEffect::Off,
            FaultEffect::Off,
            FaultEffect::Gone,
            FaultEffect::Short,
            FaultEffect::Fail(ErrorKind::Other),
            FaultEffect::Fail(ErrorKind::StorageFull),
        ];
        let what = kinds[self.dice.below(kinds.len() as u64) as usize];
        let planned = PlannedFault { at: 1 + self.dice.below(among), what, seed: self.dice.roll() };
        self.bench.disk.plan_fault(self.dice.one_in(2).then_some(planned));
        let read = 1 + self.dice.below(among);
        self.bench.disk.fail_read(self.dice.one_in(8).then_some(read));
    }

    /// Starts until it works. The first tries may meet faults.
    fn start(&mut self, tally: &mut Tally) -> Journal {
        for attempt in 0.. {
            tally.starts += 1;
            if attempt < 3 {
                self.maybe_plan_fault(12);
            } else {
                self.bench.disk.plan_fault(None);
                self.bench.disk.fail_read(None);
            }
            if self.bench.options.cipher.is_some() {
                self.bench.options.encrypt = !self.dice.one_in(4);
            }
            match self.bench.try_open() {
                Ok((journal, recovery)) => {
                    self.bench.disk.fail_read(None);
                    self.check(&journal, &recovery, tally);
                    return journal;
                }
                Err(JournalError::Io { .. } | JournalError::Gone { .. }) if attempt < 3 => {
                    self.end(None, tally);
                }
                Err(other) => panic!("start {attempt}: {other}"),
            }
        }
        unreachable!("a start without faults works or has panicked")
    }

    /// A start finds all that was acked, and of what was not acked each at most once.
    fn check(&mut self, journal: &Journal, recovery: &Recovery, tally: &mut Tally) {
        assert!(recovery.skipped.is_empty());
        if self.maybe_committed && journal.status().committed_seq.0 != self.committed_seq {
            self.has_committed();
        }
        assert_eq!(journal.status().committed_seq.0, self.committed_seq);
        if let Some(seal) = self.maybe_sealed.take()
            && recovery.next_roll.0 != self.next_roll
        {
            self.has_sealed(seal);
        }
        (self.maybe_committed, self.maybe_sealed) = (false, None);
        assert_eq!(recovery.sealed, self.sealed);
        assert_eq!(recovery.next_roll.0, self.next_roll);
        assert_eq!(recovery.unsealed_from.0, self.sealed_seq + 1);

        let is_away = self.bench.disk.is_off() || self.bench.disk.is_gone();
        let found = match is_away {
            // The power or the directory went in the start's last calls.
            true => Vec::new(),
            false => all_from(journal, self.committed_seq + 1),
        };
        let acked = self.bodies.len();
        let mut seq = self.committed_seq;
        for body in &found {
            seq += 1;
            assert_eq!(body.seq.0, seq);
            if let Some((text, _)) = self.bodies.get(seq as usize - 1) {
                assert!(body.bytes == *text, "body {seq} is another");
                continue;
            }
            let at = self.maybe.iter().position(|(text, _)| body.bytes == *text);
            let at = at.unwrap_or_else(|| panic!("body {seq} was never asked for, or is doubled"));
            self.bodies.push(self.maybe.swap_remove(at));
            tally.surfaced += 1;
        }
        if is_away {
            return;
        }
        assert!(self.bodies.len() >= acked.max(seq as usize), "an acked body is gone");
        assert_eq!(seq, self.bodies.len() as u64, "an acked body is gone");
        assert_eq!(recovery.next.0, self.bodies.len() as u64 + 1);
        self.maybe.clear();
    }

    fn run(&mut self, tally: &mut Tally) {
        let mut journal = self.start(tally);
        for _ in 0..self.dice.below(60) {
            tally.steps += 1;
            let healthy = match self.dice.below(20) {
                0..9 => {
                    let count = if self.dice.one_in(3) { 1 + self.dice.below(6) } else { 1 };
                    self.append(&journal, count, tally)
                }
                9..12 => self.seal(&journal),
                12..15 => self.commit(&journal),
                15 => {
                    let minutes = self.dice.below(8);
                    self.minute += minutes;
                    self.bench.clock.advance(minutes as i64 * 60_000_000);
                    true
                }
                16..18 => {
                    self.maybe_plan_fault(30);
                    self.bench.disk.fail_read(None);
                    true
                }
                _ => false,
            };
            if self.dice.one_in(3) {
                self.land(&journal, tally);
            }
            if !healthy {
                self.end(Some(journal), tally);
                journal = self.start(tally);
            }
        }
        self.end(Some(journal), tally);
        drop(self.start(tally));
        tally.faults += self.bench.disk.hits();
    }
}

/// All durable bodies, also of a journal that a failed release has poisoned.
fn all_from(journal: &Journal, from: u64) -> Vec<Body> {
    let mut reader = journal.reader(Seq(from));
    let mut bodies = Vec::new();
    loop {
        match reader.next(Duration::ZERO) {
            Ok(Next::Body(body)) => bodies.push(body),
            Ok(_) | Err(JournalError::Poisoned { .. }) => return bodies,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn no_history_loses_or_doubles_a_body() {
    let mut tally = Tally::default();
    let all = histories(HISTORIES, STEPS, |seed| {
        History::new(seed).run(&mut tally);
        tally.histories += 1;
        tally.steps
    });
    println!("{tally:?}");
    if all {
        assert!(tally.kills > 0 && tally.power_cuts > 0 && tally.surfaced > 0);
        assert!(tally.handed > 100 && tally.read > 100, "{tally:?}");
        assert!(tally.directories_lost > 0 && tally.refused > 0, "{tally:?}");
        assert!(tally.faults * 20 > tally.steps, "too few faults: {tally:?}");
    }
}
