//! A search for histories that lose or double acknowledged lines, in everything behind the receiver:
//! the real journal, engine and publisher, with their threads, on a crashing disk and a crashing
//! store.
//!
//! A history is a row of lives of one process. In each, bodies are appended, alone and together,
//! some of them again, while rolls are made and landed; a life ends in order, or the disk or the
//! store ends it at any of their calls, or fails it. After a last life without faults, the oracle
//! holds what was acknowledged against what is in the lake.
//!
//! Between lives, state directories are copied: an older copy is brought back, a clone runs beside its
//! original, and a start finds another lake. Of all copies one goes on. What the others have
//! acknowledged alone is in their journals, and never in the lake.
//!
//! Some bodies are faulty: the decoder panics on them, a roll of them cannot be made, or the process
//! dies of them whenever they are decoded. These are set aside, each once and whole, and all others land
//! as rows and rejects.
//!
//! Half of the tables have a flat one, which some lives are configured without: a session's row has all
//! of its flat rows or, sealed without that table, none. In half of the histories there is a second table.
//!
//! Bodies share sessions. Tables with `dedup`, of two tables one or both, land one of them and leave the
//! others out ([`doubles`]): of each line of each body it is known whether it is there, is in quarantine or
//! was left out, and receipts count each. The file of the index is as mortal as the journal.
//!
//! A short search runs with every `cargo test`. The long one: `SESSIONLAKE_SEARCH_STEPS=200000 cargo
//! test --release publish::tests::search -- --nocapture`. A history that breaks something is
//! printed with its seed, and run again alone with `SESSIONLAKE_SEARCH_SEED` (its threads may take
//! turns in another order then: try some times).

mod bodies;
mod copies;
mod doubles;
mod oracle;
mod tally;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use self::bodies::Asked;
use self::copies::Copy;
use self::doubles::Doubles;
pub(super) use self::tally::Tally;
use super::harness::{Harness, body_of, land};
use super::visible::{Committing, Kept, Place};
use crate::encode::Compression;
use crate::journal::tests::fake::{FaultEffect, PlannedFault};
use crate::journal::{AppendError, Journal, JournalError};
use crate::search::{Dice, histories};
use crate::table::Format;

/// Histories and steps of the search that every test run makes at least.
const HISTORIES: u64 = 150;
const STEPS: u64 = 20_000;

pub(super) struct History {
    dice: Dice,
    harness: Harness,
    doubles: Doubles,
    /// All of its rolls are sealed with the flat table.
    always_flat: bool,
    asked: Vec<Asked>,
    /// Bodies by the sequence numbers of their acks.
    acked: BTreeMap<u64, usize>,
    copies: Vec<Copy>,
    /// Faults that bodies may have.
    faults: Vec<&'static str>,
    deaths: u64,
    kept: Kept,
    place: Place,
}

impl History {
    pub(super) fn new(seed: u64, format: Format) -> History {
        let mut dice = Dice(seed);
        let mut harness = Harness::new(dice.roll());
        harness.table.format = format;
        // The catalog that is made for tests has one table.
        let is_one = format == Format::Iceberg;
        let doubles = Doubles::new(seed, &mut harness, is_one);
        if !is_one && dice.one_in(2) {
            harness.flatten();
        }
        let always_flat = harness.is_flat && dice.one_in(2);
        harness.options.segment_bytes = if dice.one_in(2) { 600 } else { 20_000 };
        // With little memory, some bodies go to the decoder in it and others through the disk.
        harness.options.hand_on_bytes = [0, 900, 3_000, 1 << 20][dice.below(4) as usize];
        harness.rows = 1 + dice.below(30);
        // With little memory, rows are spilled.
        harness.roll.memory_bytes = if dice.one_in(2) { 1 << 26 } else { 1 << 14 };
        harness.part_bytes = if dice.one_in(2) { 1_000 } else { 1 << 20 };
        // A field becomes a column in the middle of a history.
        let promotes = format == Format::Plain && dice.one_in(3);
        harness.promote_after = promotes.then(|| 1 + dice.below(40));
        let faults = match dice.below(8) {
            0 => vec!["!decode"],
            1 => vec!["!decode", "!push", "!finish"],
            2 => vec!["!die"],
            _ => Vec::new(),
        };
        let (asked, acked, copies) = (Vec::new(), BTreeMap::new(), Vec::new());
        let (kept, place) = (Kept::default(), Place::of(&harness, seed));
        History {
            dice,
            harness,
            doubles,
            always_flat,
            asked,
            acked,
            copies,
            faults,
            deaths: 0,
            kept,
            place,
        }
    }

    /// Appends some bodies at a time. False: the journal is poisoned.
    fn append(&mut self, journal: &Journal, tally: &mut Tally) -> bool {
        let count = if self.dice.one_in(3) { 1 + self.dice.below(5) } else { 1 };
        let bodies: Vec<usize> = (0..count).map(|_| self.body()).collect();
        let new = bodies.iter().map(|at| &self.asked[*at]).map(|b| body_of(b.table, &b.text));
        let outcomes = self.harness.append_bodies(journal, new);
        tally.steps += count;
        let mut healthy = true;
        for (at, outcome) in bodies.into_iter().zip(outcomes) {
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
        self.doubles.begin_life(&mut self.harness, self.asked.len(), tally);
        // A start with other settings: a roll that is made again has other bytes.
        if self.dice.one_in(2) {
            let roll = &mut self.harness.roll;
            roll.memory_bytes = if self.dice.one_in(2) { 1 << 26 } else { 1 << 14 };
            let codecs = [Compression::None, Compression::Zstd(3), Compression::Snappy];
            roll.compression = codecs[self.dice.below(codecs.len() as u64) as usize];
        }
        if !self.harness.flat.is_empty() && !self.always_flat {
            self.harness.is_flat = self.dice.one_in(2);
        }
        let (journal, recovery) = match self.harness.open() {
            Ok(opened) => opened,
            Err(JournalError::Io { .. } | JournalError::Gone { .. }) => {
                return self.die(None, tally);
            }
            Err(other) => panic!("{other}"),
        };
        let mut supervisor = self.harness.supervisor(&journal, &recovery);
        let disk = Arc::clone(&self.harness.disk);
        let bodies = self.dice.below(16);
        let in_order = self.dice.one_in(2);
        self.place.plan_faults(&mut self.dice);
        let committing = Committing::of(&self.harness, &self.place, journal.node());
        let beside =
            committing.as_ref().and_then(|_| self.dice.one_in(4).then(|| self.dice.roll()));
        let (ended, failed) = std::thread::scope(|scope| {
            let stop = supervisor.stop.clone();
            let committing = committing.map(|(committing, observers)| {
                supervisor.observers = observers;
                scope.spawn(|| committing.run())
            });
            let place = self.place.clone();
            let beside = beside.map(|seed| scope.spawn(move || place.catch_up(&mut Dice(seed))));
            let disk = &disk;
            // Dropped at its end, of which the thread that commits hears.
            let supervisor = scope.spawn(move || land(&supervisor, disk));
            let mut healthy = true;
            for _ in 0..bodies {
                healthy = healthy && !disk.is_off() && self.append(&journal, tally);
            }
            if !in_order {
                disk.turn_off();
                self.harness.store.die();
            }
            if disk.is_off() || disk.is_gone() {
                // The reader of the journal has to hear of it. The journal may refuse bodies for a
                // while before it looks after its directory: that is waiting, and no step.
                let steps = tally.steps;
                while self.append(&journal, tally) {
                    std::thread::sleep(std::time::Duration::from_micros(100));
                }
                tally.steps = steps;
            }
            journal.close();
            while !supervisor.is_finished() {
                if disk.is_gone() {
                    // As a server does whose journal is poisoned: what it keeps beside the journal
                    // cannot be written any more.
                    stop.cancel();
                }
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
            let ended = supervisor.join().expect("the supervisor thread");
            let failed = committing.map_or(0, |thread| thread.join().expect("no panic"));
            beside.into_iter().for_each(|thread| thread.join().expect("no panic"));
            (ended, failed)
        });
        tally.handed += journal.handed_bodies();
        tally.commits_failed += failed;
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
        self.deaths += 1;
        let is_killed = self.dice.one_in(2);
        self.doubles.die(&mut self.harness, is_killed, tally);
        let after = if is_killed {
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

    pub(super) fn run(&mut self, tally: &mut Tally) {
        for _ in 0..1 + self.dice.below(8) {
            // Beside a directory of which its process dies, no other one is told from it.
            let dies = self.faults.contains(&"!die");
            let copied = self.dice.one_in(2) && !self.harness.disk.is_off() && !dies;
            if copied && !self.harness.segments().is_empty() {
                self.copies.push(Copy::of(&self.harness, &self.acked));
            }
            self.live(tally);
            match self.dice.below(12) {
                _ if dies => {}
                0 | 1 => self.bring_back(tally),
                2 => self.clone_beside(tally),
                3 => self.find_another_lake(tally),
                _ => {}
            }
            if self.place.has_log() {
                if self.dice.one_in(3) {
                    self.place.catch_up(&mut self.dice);
                }
                self.kept.check(&self.harness);
            }
        }
        self.harness.disk.plan_fault(None);
        self.harness.index.fail_at(None, None);
        if self.harness.disk.is_off() || self.harness.disk.is_gone() {
            // The last life's end in order met it.
            self.die(None, tally);
        }
        self.harness.store.die_at(None, &self.harness.disk);
        self.harness.store.inject_faults(0);
        if self.dice.one_in(3) {
            self.harness.store.go_away(self.dice.below(200));
        }
        while let Err(error) = self.land_calmly() {
            assert!(self.harness.disk.is_off(), "{error:?}");
            assert!(self.deaths < 100, "it dies for ever");
            self.die(None, tally);
        }
        self.check(tally);
    }

    /// Starts without faults of disk and store, and lands everything.
    fn land_calmly(&self) -> anyhow::Result<()> {
        let (journal, recovery) = self.harness.open().expect("opens");
        let supervisor = self.harness.supervisor(&journal, &recovery);
        journal.close();
        land(&supervisor, &self.harness.disk)
    }
}

#[test]
fn no_history_loses_or_doubles_a_line() {
    let mut tally = Tally::default();
    let all = histories(HISTORIES, STEPS, |seed| {
        History::new(seed, Format::Plain).run(&mut tally);
        tally.histories += 1;
        tally.steps
    });
    println!("{tally:#?}");
    if all {
        let all = [tally.kills, tally.power_cuts, tally.disk_faults, tally.duplicates];
        assert!(all.iter().all(|n| *n > 0), "{tally:?}");
        let all = [tally.copies_refused, tally.copies_taken, tally.clones, tally.other_lakes];
        assert!(all.iter().all(|n| *n > 0), "{tally:?}");
        assert!(tally.handed > 0, "{tally:?}");
        assert!(tally.set_aside > 0 && tally.promoted > 0, "{tally:?}");
        let doubles = tally.doubles;
        let all = [doubles.left_out, doubles.landed, doubles.after_window, doubles.off];
        assert!(all.iter().all(|n| *n > 0), "{tally:?}");
        let all = [doubles.of_two_tables, doubles.index_faults, doubles.index_lost];
        assert!(all.iter().all(|n| *n > 0), "{tally:?}");
        let store = tally.store;
        let all = [store.refused, store.lost_answers, store.late, store.exists, store.away];
        assert!(all.iter().all(|n| *n > 0) && store.deaths > 0, "{tally:?}");
    }
}
