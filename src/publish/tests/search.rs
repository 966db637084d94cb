//! A search for histories that lose or double acknowledged lines, in everything behind the receiver:
//! the real journal, engine and publisher, with their threads, on a crashing disk and a crashing
//! store.
//!
//! A history is a row of lives of one process. In each, bodies are appended, alone and together,
//! some of them again, while rolls are made and landed; a life ends in order, or the disk or the
//! store ends it at any of their calls, or fails it. After a last life without faults, the oracle
//! holds what was acknowledged against what is in the lake.
//!
//! A short search runs with every `cargo test`. The long one: `SESSIONLAKE_SEARCH_STEPS=200000 cargo
//! test --release publish::tests::search -- --nocapture`. A history that breaks something is
//! printed with its seed, and run again alone with `SESSIONLAKE_SEARCH_SEED` (its threads may take
//! turns in another order then: try some times).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::harness::{Harness, land, line};
use super::store::Faults;
use crate::encode::Compression;
use crate::journal::tests::fake::{FaultEffect, PlannedFault};
use crate::journal::{AppendError, Journal, JournalError};
use crate::search::{Dice, histories};

/// Histories and steps of the search that every test run makes at least.
const HISTORIES: u64 = 150;
const STEPS: u64 = 20_000;

/// Counts over all histories.
#[derive(Debug, Default)]
struct Tally {
    histories: u64,
    lives: u64,
    /// Bodies asked for, starts, and calls to the store.
    steps: u64,
    acked: u64,
    duplicates: u64,
    refused: u64,
    rolls: u64,
    kills: u64,
    power_cuts: u64,
    disk_faults: u64,
    store_faults: u64,
    store: Faults,
}

/// A body, and its outcome.
struct Asked {
    text: String,
    ids: Vec<String>,
    acked: bool,
}

struct History {
    dice: Dice,
    harness: Harness,
    asked: Vec<Asked>,
    /// Bodies by the sequence numbers of their acks.
    acked: BTreeMap<u64, usize>,
}

impl History {
    fn new(seed: u64) -> History {
        let mut dice = Dice(seed);
        let mut harness = Harness::new(dice.roll());
        harness.options.segment_bytes = if dice.one_in(2) { 600 } else { 20_000 };
        harness.rows = 1 + dice.below(30);
        // With little memory, rows are spilled.
        harness.roll.memory_bytes = if dice.one_in(2) { 1 << 26 } else { 1 << 14 };
        harness.part_bytes = if dice.one_in(2) { 1_000 } else { 1 << 20 };
        History { dice, harness, asked: Vec::new(), acked: BTreeMap::new() }
    }

    /// A new body, or one that was asked for before.
    fn body(&mut self) -> usize {
        if self.dice.one_in(4) && !self.asked.is_empty() {
            let among = self.asked.len() as u64;
            return (among - 1 - self.dice.below(among.min(6))) as usize;
        }
        let number = self.asked.len();
        let (mut text, mut ids) = (String::new(), Vec::new());
        for at in 0..1 + self.dice.below(6) {
            let id = format!("b{number}-{at}");
            text.push_str(&line(&id, self.dice.below(3), self.dice.one_in(8)));
            ids.push(id);
        }
        self.asked.push(Asked { text, ids, acked: false });
        number
    }

    /// Appends some bodies at a time. False: the journal is poisoned.
    fn append(&mut self, journal: &Journal, tally: &mut Tally) -> bool {
        let count = if self.dice.one_in(3) { 1 + self.dice.below(5) } else { 1 };
        let bodies: Vec<usize> = (0..count).map(|_| self.body()).collect();
        let texts: Vec<String> = bodies.iter().map(|at| self.asked[*at].text.clone()).collect();
        tally.steps += count;
        let mut healthy = true;
        for (at, outcome) in bodies.into_iter().zip(self.harness.append_all(journal, &texts)) {
            match outcome {
                Ok(receipt) => {
                    let whose = *self.acked.entry(receipt.seq.0).or_insert(at);
                    assert_eq!(whose, at, "two bodies with one number");
                    tally.duplicates += u64::from(receipt.duplicate);
                    tally.acked += u64::from(!receipt.duplicate);
                    self.asked[at].acked = true;
                }
                Err(AppendError::Poisoned { .. }) => {
                    tally.refused += 1;
                    healthy = false;
                }
                // The next segment could not be made: nothing of it is anywhere.
                Err(AppendError::NoSegment { .. }) => tally.refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        healthy
    }

    fn plan_faults(&mut self) {
        let disk = Arc::clone(&self.harness.disk);
        let kinds = [
            FaultEffect::Off,
            FaultEffect::Off,
            FaultEffect::Gone,
            FaultEffect::Fail(ErrorKind::Other),
            FaultEffect::Fail(ErrorKind::StorageFull),
        ];
        let what = kinds[self.dice.below(kinds.len() as u64) as usize];
        let planned = PlannedFault { at: 1 + self.dice.below(60), what, seed: self.dice.roll() };
        disk.plan_fault(self.dice.one_in(2).then_some(planned));
        let nth = 1 + self.dice.below(40);
        self.harness.store.die_at(self.dice.one_in(3).then_some(nth), &disk);
        self.harness.store.inject_faults([0, 3, 6, 12][self.dice.below(4) as usize]);
    }

    /// One life of the process.
    fn live(&mut self, tally: &mut Tally) {
        tally.lives += 1;
        tally.steps += 1;
        self.plan_faults();
        // A start with other settings: a roll that is made again has other bytes.
        if self.dice.one_in(2) {
            let roll = &mut self.harness.roll;
            roll.memory_bytes = if self.dice.one_in(2) { 1 << 26 } else { 1 << 14 };
            let codecs = [Compression::None, Compression::Zstd(3), Compression::Snappy];
            roll.compression = codecs[self.dice.below(codecs.len() as u64) as usize];
        }
        let (journal, recovery) = match self.harness.open() {
            Ok(opened) => opened,
            Err(JournalError::Io { .. }) => return self.die(None, tally),
            Err(other) => panic!("{other}"),
        };
        let supervisor = self.harness.supervisor(&journal, &recovery);
        let disk = Arc::clone(&self.harness.disk);
        let bodies = self.dice.below(16);
        let in_order = self.dice.one_in(2);
        let ended = std::thread::scope(|scope| {
            let supervisor = scope.spawn(|| land(&supervisor, &disk));
            let mut healthy = true;
            for _ in 0..bodies {
                healthy = healthy && !disk.is_off() && self.append(&journal, tally);
            }
            if !in_order {
                disk.turn_off();
                self.harness.store.die();
            }
            if disk.is_off() || disk.is_gone() {
                // The reader of the journal has to hear of it.
                while self.append(&journal, tally) {}
            }
            journal.close();
            supervisor.join().expect("the supervisor thread")
        });
        drop(supervisor);
        let healthy = ended.is_ok() && !disk.is_off() && !disk.is_gone();
        if healthy && self.dice.one_in(2) {
            drop(journal);
            if disk.is_gone() {
                // It went with the last record.
                self.die(None, tally);
            }
        } else {
            self.die(Some(journal), tally);
        }
    }

    /// The process is gone, perhaps with the power.
    fn die(&mut self, journal: Option<Journal>, tally: &mut Tally) {
        let after = if self.dice.one_in(2) {
            tally.kills += 1;
            self.harness.disk.killed()
        } else {
            tally.power_cuts += 1;
            let dice = &mut self.dice;
            match dice.below(3) {
                0 => self.harness.disk.power_cut(|| 0),
                _ => self.harness.disk.power_cut(|| dice.byte()),
            }
        };
        drop(journal);
        tally.disk_faults += self.harness.disk.hits();
        self.harness.disk = Arc::new(after);
        self.harness.store.next_process();
    }

    fn run(&mut self, tally: &mut Tally) {
        for _ in 0..1 + self.dice.below(8) {
            self.live(tally);
        }
        self.harness.disk.plan_fault(None);
        if self.harness.disk.is_off() || self.harness.disk.is_gone() {
            // The last life's end in order met it.
            self.die(None, tally);
        }
        self.harness.store.die_at(None, &self.harness.disk);
        self.harness.store.inject_faults(0);
        if self.dice.one_in(3) {
            self.harness.store.go_away(self.dice.below(200));
        }
        self.harness.drain();
        self.check(tally);
    }

    /// Acked ⊆ landed ∪ quarantined, each once, whole, and nothing that was never asked for.
    fn check(&self, tally: &mut Tally) {
        let landed = self.harness.landed();
        let mut known = 0;
        for asked in &self.asked {
            let counts: Vec<u64> = asked.ids.iter().map(|id| landed.count(id)).collect();
            known += counts.iter().filter(|count| **count > 0).count();
            let (what, counts) = (&asked.ids[0], counts);
            assert!(counts.iter().all(|count| *count <= 1), "{what} is doubled: {counts:?}");
            assert!(counts.iter().all(|count| *count == counts[0]), "{what} is torn: {counts:?}");
            assert!(!asked.acked || counts[0] == 1, "{what} was acked and is lost");
        }
        assert_eq!(known, landed.rows.len() + landed.rejects.len(), "never asked for");
        landed.check_receipts();
        // An object of several parts may be completed late, over what stands.
        if self.harness.part_bytes > 1_000 {
            landed.check_sizes();
        }
        tally.rolls += landed.receipts.len() as u64;
        let faults = self.harness.store.faults();
        tally.steps += faults.calls;
        tally.store_faults += faults.all();
        tally.store.calls += faults.calls;
        tally.store.refused += faults.refused;
        tally.store.lost_answers += faults.lost_answers;
        tally.store.late += faults.late;
        tally.store.exists += faults.exists;
        tally.store.away += faults.away;
        tally.store.deaths += faults.deaths;
        tally.disk_faults += self.harness.disk.hits();
    }
}

#[test]
fn no_history_loses_or_doubles_a_line() {
    let mut tally = Tally::default();
    let all = histories(HISTORIES, STEPS, |seed| {
        History::new(seed).run(&mut tally);
        tally.histories += 1;
        tally.steps
    });
    println!("{tally:#?}");
    if all {
        let all = [tally.kills, tally.power_cuts, tally.disk_faults, tally.duplicates];
        assert!(all.iter().all(|n| *n > 0), "{tally:?}");
        let store = tally.store;
        let all = [store.refused, store.lost_answers, store.late, store.exists, store.away];
        assert!(all.iter().all(|n| *n > 0) && store.deaths > 0, "{tally:?}");
    }
}
