//! A search for histories in which a session is lost or doubled, with `dedup` on and doubles sent in any
//! order over rolls, deaths and restarts.
//!
//! As [`super::search`], and besides: bodies share sessions; the file of the index fails and dies at any of
//! its calls; in some histories it is lost, an older one comes back, or a life has no `dedup`, after which
//! doubles may land and nothing else may happen. In some, time passes: a session then lands once more for
//! each window at most. Some have room for few rows. The table has a flat one, whose rows go with their
//! sessions.
//!
//! `SESSIONLAKE_SEARCH_STEPS=100000 cargo test --release doubles_search -- --nocapture` is a long one.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::doubles::{WINDOW_MS, harness, session};
use super::harness::{Harness, land};
use crate::dedup::tests::fake::FakeFile;
use crate::encode::Compression;
use crate::journal::tests::fake::{FaultEffect, PlannedFault};
use crate::journal::{AppendError, Journal, JournalError};
use crate::search::{Dice, histories};

const HISTORIES: u64 = 80;
const STEPS: u64 = 4_000;

#[derive(Debug, Default)]
struct Tally {
    steps: u64,
    acked: u64,
    rolls: u64,
    kills: u64,
    power_cuts: u64,
    index_faults: u64,
    index_lost: u64,
    doubled: u64,
    set_aside: u64,
    landed_doubles: u64,
    /// Lives without the setting.
    off: u64,
    /// Doubles that landed as the window had passed.
    after_window: u64,
}

struct Body {
    text: String,
    /// A line that no other body has.
    marker: String,
    /// The sessions, and the lines.
    sessions: Vec<String>,
    lines: u64,
    acked: bool,
    faulty: bool,
}

struct History {
    dice: Dice,
    harness: Harness,
    bodies: Vec<Body>,
    faults: Vec<&'static str>,
    /// Older files of the index.
    copies: Vec<FakeFile>,
    /// The index was lost: doubles may land.
    lost: bool,
    may_lose: bool,
    /// Time passes between lives.
    passes: bool,
    passed_ms: u64,
    deaths: u64,
}

impl History {
    fn new(seed: u64) -> History {
        let mut dice = Dice(seed);
        let mut harness = harness(dice.roll());
        harness.options.segment_bytes = if dice.one_in(2) { 600 } else { 20_000 };
        harness.rows = 1 + dice.below(30);
        harness.roll.memory_bytes = if dice.one_in(2) { 1 << 26 } else { 1 << 14 };
        let faults = match dice.below(8) {
            0 => vec!["!decode"],
            1 => vec!["!decode", "!push", "!finish"],
            2 => vec!["!die"],
            _ => Vec::new(),
        };
        let may_lose = dice.one_in(5);
        let passes = dice.one_in(3);
        let few = dice.one_in(6);
        if few {
            harness.max_rows = 10 + dice.below(20);
        }
        History {
            dice,
            harness,
            bodies: Vec::new(),
            faults,
            copies: Vec::new(),
            lost: few,
            may_lose,
            passes,
            passed_ms: 0,
            deaths: 0,
        }
    }

    fn body(&mut self) -> usize {
        let number = self.bodies.len();
        let among = self.faults.len() as u64;
        let faulty = among > 0 && self.dice.one_in(10);
        let fault = if faulty { self.faults[self.dice.below(among) as usize] } else { "" };
        let marker = format!("m{number}{fault}");
        let (mut lines, mut sessions) = (vec![session(&marker, 1)], Vec::new());
        for _ in 0..self.dice.below(6) {
            let id = self.dice.below(40);
            let (id, day) = (format!("s{id}"), id % 3);
            lines.push(session(&id, day));
            sessions.push(id);
        }
        if !faulty && self.dice.one_in(6) {
            lines.push(format!("{{\"id\":\"x{number}\"\n"));
        }
        if self.dice.one_in(2) {
            lines.rotate_left(1);
        }
        let (text, count) = (lines.concat(), lines.len() as u64);
        self.bodies.push(Body { text, marker, sessions, lines: count, acked: false, faulty });
        number
    }

    fn append(&mut self, journal: &Journal, tally: &mut Tally) -> bool {
        let count = if self.dice.one_in(3) { 1 + self.dice.below(5) } else { 1 };
        let bodies: Vec<usize> = (0..count).map(|_| self.body()).collect();
        let texts: Vec<String> = bodies.iter().map(|at| self.bodies[*at].text.clone()).collect();
        tally.steps += count;
        let mut healthy = true;
        for (at, outcome) in bodies.into_iter().zip(self.harness.append_all(journal, &texts)) {
            match outcome {
                Ok(_) => {
                    tally.acked += 1;
                    self.bodies[at].acked = true;
                }
                Err(AppendError::Poisoned { .. }) => healthy = false,
                Err(AppendError::NoSegment { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        healthy
    }

    fn plan_faults(&mut self) {
        let disk = Arc::clone(&self.harness.disk);
        let kinds = [FaultEffect::Off, FaultEffect::Off, FaultEffect::Fail(ErrorKind::Other)];
        let what = kinds[self.dice.below(kinds.len() as u64) as usize];
        let planned = PlannedFault { at: 1 + self.dice.below(60), what, seed: self.dice.roll() };
        disk.plan_fault(self.dice.one_in(3).then_some(planned));
        let nth = 1 + self.dice.below(40);
        self.harness.store.die_at(self.dice.one_in(3).then_some(nth), &disk);
        self.harness.store.inject_faults([0, 3, 6, 12][self.dice.below(4) as usize]);
        let nth = 1 + self.dice.below(120);
        let store = self.harness.store.clone();
        let dies: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            disk.turn_off();
            store.die();
        });
        // A write that fails while the process lives lets doubles land.
        let fails = self.may_lose && self.dice.one_in(3);
        self.lost |= fails;
        let on_failure = (!fails).then_some(dies);
        let planned = fails || self.dice.one_in(2);
        self.harness.index.fail_at(planned.then_some(nth), on_failure);
    }

    fn live(&mut self, tally: &mut Tally) {
        tally.steps += 1;
        self.plan_faults();
        if self.passes {
            let ms = self.dice.below(WINDOW_MS);
            self.harness.clock.advance(i64::try_from(ms).expect("a day") * 1_000);
            self.passed_ms += ms;
        }
        let is_off = self.may_lose && self.dice.one_in(6);
        self.harness.table.dedup_window_ms = (!is_off).then_some(WINDOW_MS);
        if is_off {
            // As a start without the setting does.
            self.lost = true;
            self.harness.index = FakeFile::default();
            tally.off += 1;
        }
        if self.dice.one_in(2) {
            let roll = &mut self.harness.roll;
            roll.memory_bytes = if self.dice.one_in(2) { 1 << 26 } else { 1 << 14 };
            let codecs = [Compression::None, Compression::Zstd(3), Compression::Snappy];
            roll.compression = codecs[self.dice.below(codecs.len() as u64) as usize];
        }
        let (journal, recovery) = match self.harness.open() {
            Ok(opened) => opened,
            Err(JournalError::Io { .. } | JournalError::Gone { .. }) => {
                return self.die(tally);
            }
            Err(other) => panic!("{other}"),
        };
        let supervisor = self.harness.supervisor(&journal, &recovery);
        let disk = Arc::clone(&self.harness.disk);
        let (bodies, in_order) = (self.dice.below(16), self.dice.one_in(2));
        let ended = std::thread::scope(|scope| {
            let disk = &disk;
            let supervisor = scope.spawn(move || land(&supervisor, disk));
            let mut healthy = true;
            for _ in 0..bodies {
                healthy = healthy && !disk.is_off() && self.append(&journal, tally);
            }
            if !in_order {
                disk.turn_off();
                self.harness.store.die();
            }
            if disk.is_off() {
                let steps = tally.steps;
                while self.append(&journal, tally) {
                    std::thread::sleep(std::time::Duration::from_micros(100));
                }
                tally.steps = steps;
            }
            journal.close();
            supervisor.join().expect("the supervisor thread")
        });
        drop(journal);
        if ended.is_err() || disk.is_off() || self.dice.one_in(2) {
            self.die(tally);
        }
    }

    fn die(&mut self, tally: &mut Tally) {
        self.deaths += 1;
        tally.index_faults += self.harness.index.hits();
        let dice = &mut self.dice;
        let (disk, index) = if dice.one_in(2) {
            tally.kills += 1;
            (self.harness.disk.killed(), self.harness.index.killed())
        } else {
            tally.power_cuts += 1;
            let disk = match dice.below(3) {
                0 => self.harness.disk.power_cut(|| 0),
                _ => self.harness.disk.power_cut(|| dice.byte()),
            };
            let (all, mut dice) = (dice.below(3), dice.clone());
            (disk, self.harness.index.power_cut(|| all > 0 && (all == 1 || dice.one_in(2))))
        };
        (self.harness.disk, self.harness.index) = (Arc::new(disk), index);
        self.harness.store.next_process();
        if self.may_lose && self.dice.one_in(3) {
            self.lost = true;
            tally.index_lost += 1;
            let older = self.copies.pop().unwrap_or_default();
            // An older index is as good as one that lacks rows.
            self.harness.index = if self.dice.one_in(2) { older } else { FakeFile::default() };
        }
        if self.dice.one_in(3) {
            self.copies.push(self.harness.index.killed());
        }
    }

    fn run(&mut self, tally: &mut Tally) {
        for _ in 0..1 + self.dice.below(8) {
            self.live(tally);
        }
        self.harness.disk.plan_fault(None);
        self.harness.index.fail_at(None, None);
        if self.harness.disk.is_off() {
            self.die(tally);
        }
        self.harness.index.fail_at(None, None);
        self.harness.store.die_at(None, &self.harness.disk);
        self.harness.store.inject_faults(0);
        while let Err(error) = self.land_calmly() {
            assert!(self.harness.disk.is_off(), "{error:?}");
            assert!(self.deaths < 100, "it dies for ever");
            self.die(tally);
        }
        self.check(tally);
    }

    fn land_calmly(&self) -> anyhow::Result<()> {
        let (journal, recovery) = self.harness.open().expect("opens");
        let supervisor = self.harness.supervisor(&journal, &recovery);
        journal.close();
        land(&supervisor, &self.harness.disk)
    }

    /// Each session is there once if a body of it is in the lake and not set aside, and every line is
    /// accounted for.
    fn check(&self, tally: &mut Tally) {
        let mut landed = self.harness.landed();
        landed.check_flat(true);
        let (mut lines, mut expected) = (0, BTreeMap::<&str, u64>::new());
        for body in &self.bodies {
            let count = landed.count(&body.marker);
            assert!(count <= 1, "{} is doubled", body.marker);
            assert!(!body.acked || count == 1, "{} was acked and is lost", body.marker);
            let set_aside = landed.set_aside.contains(&body.marker);
            assert!(!body.faulty || set_aside == (count == 1), "{} is faulty", body.marker);
            tally.set_aside += u64::from(set_aside);
            if count == 1 {
                lines += body.lines;
                for session in body.sessions.iter().filter(|_| !set_aside) {
                    *expected.entry(session).or_default() += 1;
                }
            }
        }
        for (session, sent) in &expected {
            let rows = landed.rows.get(*session).copied().unwrap_or_default();
            assert!(rows >= 1, "{session} is lost: it was sent {sent} times");
            assert!(rows <= *sent, "{session} is there more often than it was sent");
            let most = 1 + self.passed_ms / WINDOW_MS;
            assert!(rows <= most || self.lost, "{session} is there {rows} times, of {most}");
            tally.landed_doubles += rows - 1;
            tally.after_window += if self.lost { 0 } else { rows - 1 };
        }
        landed.check_receipts();
        landed.check_sizes();
        let sum =
            |of: fn(&crate::lake::Receipt) -> u64| landed.receipts.iter().map(of).sum::<u64>();
        assert_eq!(
            sum(|receipt| receipt.lines),
            lines,
            "received = landed + quarantined + doubled"
        );
        tally.doubled += sum(|receipt| receipt.doubled);
        tally.rolls += landed.receipts.len() as u64;
        tally.index_faults += self.harness.index.hits();
    }
}

#[test]
fn no_history_loses_a_session_or_lands_it_twice() {
    let mut tally = Tally::default();
    let all = histories(HISTORIES, STEPS, |seed| {
        History::new(seed).run(&mut tally);
        tally.steps
    });
    println!("{tally:#?}");
    if all {
        let faults = [tally.kills, tally.power_cuts, tally.index_faults, tally.index_lost];
        assert!(faults.iter().all(|n| *n > 0), "{tally:?}");
        let seen = [tally.doubled, tally.set_aside, tally.landed_doubles];
        assert!(tally.off > 0 && tally.after_window > 0, "{tally:?}");
        assert!(seen.iter().all(|n| *n > 0), "{tally:?}");
    }
}
