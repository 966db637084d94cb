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
//! of its flat rows or, sealed without that table, none.
//!
//! A short search runs with every `cargo test`. The long one: `SESSIONLAKE_SEARCH_STEPS=200000 cargo
//! test --release publish::tests::search -- --nocapture`. A history that breaks something is
//! printed with its seed, and run again alone with `SESSIONLAKE_SEARCH_SEED` (its threads may take
//! turns in another order then: try some times).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::harness::{Harness, land, line, line_with_events, with_plan};
use super::store::Faults;
use super::visible::{self, Committing, Kept, Place};
use crate::commit::iceberg::table::tests::fake::Faults as CatalogFaults;
use crate::encode::Compression;
use crate::journal::tests::fake::{FakeDisk, FaultEffect, PlannedFault};
use crate::journal::{AppendError, Journal, JournalError};
use crate::lake::{Lake, LakeId};
use crate::publish::lake_file::LakeFile;
use crate::search::{Dice, histories};
use crate::table::Format;

/// Histories and steps of the search that every test run makes at least.
const HISTORIES: u64 = 150;
const STEPS: u64 = 20_000;

/// Counts over all histories.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) histories: u64,
    lives: u64,
    /// Bodies asked for, starts, and calls to the store; not those of a life that is over.
    pub(super) steps: u64,
    acked: u64,
    duplicates: u64,
    refused: u64,
    rolls: u64,
    pub(super) kills: u64,
    pub(super) power_cuts: u64,
    disk_faults: u64,
    store_faults: u64,
    pub(super) store: Faults,
    /// Older copies that were refused, and those that nothing was sealed since.
    copies_refused: u64,
    copies_taken: u64,
    clones: u64,
    other_lakes: u64,
    /// Bodies that were set aside, and those of them that had no fault.
    set_aside: u64,
    wrongly_set_aside: u64,
    /// Histories in which a field became a column.
    promoted: u64,
    /// Commits to the log of the table, and attempts of the landing process that failed.
    pub(super) commits: u64,
    pub(super) commits_failed: u64,
    /// Rows of flat tables.
    pub(super) flat_rows: u64,
    /// Faults of the catalog.
    pub(super) catalog: CatalogFaults,
}

/// A copy of the state directory.
struct Copy {
    disk: FakeDisk,
    /// The bodies that were acknowledged by then.
    acked: BTreeMap<u64, usize>,
}

/// A body, and its outcome.
struct Asked {
    text: String,
    ids: Vec<String>,
    acked: bool,
    faulty: bool,
}

pub(super) struct History {
    dice: Dice,
    harness: Harness,
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
        if format != Format::Iceberg && dice.one_in(2) {
            harness.flatten();
        }
        let always_flat = harness.is_flat && dice.one_in(2);
        harness.options.segment_bytes = if dice.one_in(2) { 600 } else { 20_000 };
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
        let deaths = 0;
        History { dice, harness, always_flat, asked, acked, copies, faults, deaths, kept, place }
    }

    fn line(&self, id: &str, day: u64, broken: bool) -> String {
        let line = match self.harness.flat {
            Some(_) => line_with_events(id, day, broken),
            None => line(id, day, broken),
        };
        match self.harness.promote_after {
            Some(_) if !broken => with_plan(&line, id),
            _ => line,
        }
    }

    /// A new body, or one that was asked for before.
    fn body(&mut self) -> usize {
        if self.dice.one_in(4) && !self.asked.is_empty() {
            let among = self.asked.len() as u64;
            return (among - 1 - self.dice.below(among.min(6))) as usize;
        }
        let number = self.asked.len();
        let among = self.faults.len() as u64;
        let faulty = among > 0 && self.dice.one_in(12);
        let fault =
            if faulty { self.faults[self.dice.below(among) as usize] } else { Default::default() };
        let (mut text, mut ids) = (String::new(), Vec::new());
        for at in 0..1 + self.dice.below(6) {
            let id = format!("b{number}{fault}-{at}");
            let (day, broken) = (self.dice.below(3), !faulty && self.dice.one_in(8));
            text.push_str(&self.line(&id, day, broken));
            ids.push(id);
        }
        self.asked.push(Asked { text, ids, acked: false, faulty });
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
        if self.harness.flat.is_some() && !self.always_flat {
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

    /// A body that was not asked for before.
    fn fresh(&mut self) -> usize {
        let (number, id) = (self.asked.len(), format!("c{}-0", self.asked.len()));
        let day = self.dice.below(3);
        let text = self.line(&id, day, false);
        self.asked.push(Asked { text, ids: vec![id], acked: false, faulty: false });
        number
    }

    /// Starts on `disk`, appends fresh bodies and lands, beside the state directory of the history.
    /// Returns the outcome and the bodies by number.
    fn beside(
        &self,
        disk: &Arc<FakeDisk>,
        fresh: &[usize],
        lake: Option<Lake>,
    ) -> (anyhow::Result<()>, BTreeMap<u64, usize>) {
        let (clock, options) = (self.harness.clock.clone(), self.harness.options.clone());
        let (journal, recovery) = Journal::open(disk.clone(), clock, options).expect("opens");
        let mut supervisor = self.harness.supervisor(&journal, &recovery);
        supervisor.lake_file = LakeFile::new(disk.clone(), &self.harness.options.dir);
        supervisor.staging = self.harness.staging().with_file_name("beside");
        supervisor.lake = lake.unwrap_or(supervisor.lake);
        let texts: Vec<String> = fresh.iter().map(|at| self.asked[*at].text.clone()).collect();
        let acked = self.harness.append_all(&journal, &texts);
        let acked = acked.into_iter().map(|acked| acked.expect("taken").seq.0);
        let acked = acked.zip(fresh.iter().copied()).collect();
        journal.close();
        (land(&supervisor, disk), acked)
    }

    /// Goes on with `disk`, by which `acked` were acknowledged.
    fn go_on_with(&mut self, disk: FakeDisk, acked: BTreeMap<u64, usize>) {
        self.harness.disk = Arc::new(disk);
        self.acked = acked;
        self.asked.iter_mut().for_each(|asked| asked.acked = false);
        for at in self.acked.values() {
            self.asked[*at].acked = true;
        }
    }

    /// Ends faults. Nothing of a life is under way.
    fn calm(&mut self) {
        self.harness.disk.plan_fault(None);
        self.harness.store.die_at(None, &self.harness.disk);
        self.harness.store.inject_faults(0);
        self.harness.block_on(self.harness.store.settle());
    }

    /// An older copy of the state directory is brought back, and its original is started after it.
    fn bring_back(&mut self, tally: &mut Tally) {
        let among = self.copies.len() as u64;
        if among == 0 || self.harness.disk.is_off() {
            return;
        }
        self.calm();
        let Copy { disk, acked } = self.copies.swap_remove(self.dice.below(among) as usize);
        let (disk, objects) = (Arc::new(disk), self.harness.objects());
        let before = fences(&self.harness);
        let fresh = [self.fresh()];
        let (landed, more) = self.beside(&disk, &fresh, None);
        if landed.is_err() {
            tally.copies_refused += 1;
            assert_eq!(self.harness.objects(), objects, "an older copy has put something");
            // It may have taken the fence before it was refused. Its original is told what to do then.
            if fences(&self.harness) != before {
                self.harness.delete(|name| name.contains("_nodes/"));
            }
            return;
        }
        tally.copies_taken += 1;
        let overtaken = Arc::new(self.harness.disk.killed());
        let (fresh, objects) = ([self.fresh()], self.harness.objects());
        let (landed, _) = self.beside(&overtaken, &fresh, None);
        assert!(landed.is_err(), "two copies of one state directory go on");
        assert_eq!(self.harness.objects(), objects, "the overtaken one has put something");
        let acked = acked.into_iter().chain(more).collect();
        self.go_on_with(disk.killed(), acked);
        self.copies.clear();
    }

    /// A clone is started beside its original. One of them lands.
    fn clone_beside(&mut self, tally: &mut Tally) {
        // Without a segment both would be new nodes.
        if self.harness.disk.is_off() || self.harness.segments().is_empty() {
            return;
        }
        self.calm();
        self.harness.store.inject_faults([0, 6][self.dice.below(2) as usize]);
        tally.clones += 1;
        let disks = [Arc::new(self.harness.disk.killed()), Arc::new(self.harness.disk.killed())];
        let fresh = [[self.fresh()], [self.fresh()]];
        let this = &*self;
        let ended = std::thread::scope(|scope| {
            let [one, other] = [0, 1].map(|at| {
                let (disk, fresh) = (&disks[at], &fresh[at]);
                scope.spawn(move || this.beside(disk, fresh, None))
            });
            [one, other].map(|thread| thread.join().expect("no panic"))
        });
        let went_on: Vec<bool> = ended.iter().map(|(landed, _)| landed.is_ok()).collect();
        assert_eq!(went_on.iter().filter(|on| **on).count(), 1, "{went_on:?}");
        let winner = usize::from(went_on[1]);
        let mut acked = self.acked.clone();
        acked.extend(&ended[winner].1);
        self.go_on_with(disks[winner].killed(), acked);
        self.copies.clear();
    }

    /// A start finds another lake, or none.
    fn find_another_lake(&mut self, tally: &mut Tally) {
        let there = self.harness.disk.bytes_if_there(&self.harness.options.dir.join("lake.json"));
        // A start that died early may have remembered an epoch, and no lake yet.
        let remembers = |bytes: Vec<u8>| {
            let memory: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            memory["lake"].is_string()
        };
        if self.harness.disk.is_off() || !there.is_some_and(remembers) {
            return;
        }
        self.calm();
        tally.other_lakes += 1;
        let other = Lake::below(Arc::new(self.harness.store.clone()), "other");
        if self.dice.one_in(2) {
            let id = LakeId::random().expect("random");
            let identified = other.identify(&id);
            // The store may be away still.
            let _ = self.harness.block_on(identified);
        }
        let (disk, objects) = (Arc::new(self.harness.disk.killed()), self.harness.all_objects());
        let fresh = [self.fresh()];
        let (landed, _) = self.beside(&disk, &fresh, Some(other));
        assert!(landed.is_err(), "it lands in another lake");
        assert_eq!(self.harness.all_objects(), objects, "something was put in another lake");
        self.harness.delete(|name| name.starts_with("other/"));
    }

    /// The process is gone, perhaps with the power.
    fn die(&mut self, journal: Option<Journal>, tally: &mut Tally) {
        self.deaths += 1;
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

    pub(super) fn run(&mut self, tally: &mut Tally) {
        for _ in 0..1 + self.dice.below(8) {
            // Beside a directory of which its process dies, no other one is told from it.
            let dies = self.faults.contains(&"!die");
            let copied = self.dice.one_in(2) && !self.harness.disk.is_off() && !dies;
            if copied && !self.harness.segments().is_empty() {
                let disk = self.harness.disk.killed();
                self.copies.push(Copy { disk, acked: self.acked.clone() });
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

    /// Acked ⊆ landed ∪ quarantined, each once, whole, and nothing that was never asked for.
    fn check(&mut self, tally: &mut Tally) {
        let mut landed = self.harness.landed();
        if self.harness.flat.is_some() {
            landed.check_flat(self.always_flat);
            tally.flat_rows += landed.flat.values().map(|rows| rows.len() as u64).sum::<u64>();
        }
        let mut known = 0;
        for asked in &self.asked {
            let counts: Vec<u64> = asked.ids.iter().map(|id| landed.count(id)).collect();
            known += counts.iter().filter(|count| **count > 0).count();
            let (what, counts) = (&asked.ids[0], counts);
            assert!(counts.iter().all(|count| *count <= 1), "{what} is doubled: {counts:?}");
            assert!(counts.iter().all(|count| *count == counts[0]), "{what} is torn: {counts:?}");
            assert!(!asked.acked || counts[0] == 1, "{what} was acked and is lost");
            let set_aside = asked.ids.iter().any(|id| landed.set_aside.contains(id));
            let there = counts[0] == 1;
            assert!(!asked.faulty || set_aside == there, "{what} is faulty and landed");
            tally.set_aside += u64::from(set_aside);
            let wrongly = set_aside && !asked.faulty;
            tally.wrongly_set_aside += u64::from(wrongly);
            // A process that died three times of something else is all that may look like a body's.
            assert!(!wrongly || self.deaths >= 4, "{what} has no fault and is set aside");
        }
        assert_eq!(known, landed.rows.len() + landed.rejects.len(), "never asked for");
        landed.check_receipts();
        // A value is in its column or in `_extra`, and in one of them.
        for (id, plans) in landed.plans.iter().filter(|_| self.harness.promote_after.is_some()) {
            assert!(id.starts_with('c') || *plans == [id.clone()], "{id}: {plans:?}");
        }
        tally.promoted += u64::from(!landed.in_column.is_empty());
        // An object of several parts may be completed late, over what stands.
        if self.harness.part_bytes > 1_000 {
            landed.check_sizes();
        }
        tally.rolls += landed.receipts.len() as u64;
        tally.commits += visible::check(&self.harness, &self.place);
        tally.catalog.add(self.place.faults());
        self.kept.check(&self.harness);
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
        assert!(tally.set_aside > 0 && tally.promoted > 0, "{tally:?}");
        let store = tally.store;
        let all = [store.refused, store.lost_answers, store.late, store.exists, store.away];
        assert!(all.iter().all(|n| *n > 0) && store.deaths > 0, "{tally:?}");
    }
}

/// Returns the fences of the lake, by name.
fn fences(harness: &Harness) -> Vec<(String, Vec<u8>)> {
    let all = harness.all_objects().into_iter();
    let fences = all.filter(|(name, _)| name.contains("_nodes/"));
    fences.map(|(name, bytes)| (name, bytes.to_vec())).collect()
}
