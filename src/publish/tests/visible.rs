//! The search of [`super::search`] with a Delta table, or an Iceberg one: of each step that a row takes,
//! appended, sealed, put, landed, committed to the log, the process may die, and the next one goes on.
//!
//! While a life lands rolls, a thread commits them to the table, as the one of a server does, through
//! the same store, which dies with the process. Other processes that know nothing of the node commit
//! what it has landed, between lives and beside them, with faults of their own. The catalog of an Iceberg
//! table loses answers, carries requests out twice, later and once more, and goes away. At the end, the log
//! has each file of each receipt once, by node in the order of rolls, marks only grow, and what was in the
//! lake once is there as it was.
//!
//! The long one: `SESSIONLAKE_SEARCH_STEPS=200000 cargo test --release publish::tests::visible --
//! --nocapture`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use object_store::memory::InMemory;

use super::harness::{Harness, RUNTIME};
use super::search::{History, Tally};
use super::store::FakeStore;
use crate::clock::SystemClock;
use crate::commit::iceberg::table::tests::fake::{FakeCatalog, Faults};
use crate::lake::Lake;
use crate::publish::visibility::{LogTables, WaitingRolls};
use crate::record::{Micros, Roll};
use crate::search::{Dice, histories};
use crate::status::{Observer, Observers, RollEvent};
use crate::table::{Format, Spec, Tables};

/// Histories and steps of the search that every test run makes at least.
const HISTORIES: u64 = 30;
const STEPS: u64 = 4_000;
/// Attempts that a process makes while it ends, as one that may wait no longer.
const LAST_ATTEMPTS: usize = 3;

/// The tables, where their logs are.
#[derive(Clone)]
pub(super) struct Place {
    tables: Vec<Spec>,
    objects: Arc<InMemory>,
    catalog: Arc<FakeCatalog>,
}

impl Place {
    pub(super) fn of(harness: &Harness, seed: u64) -> Place {
        let objects = Arc::clone(&harness.store.objects);
        let catalog = FakeCatalog::new(seed, Arc::clone(&objects));
        Place { tables: harness.all_tables(), objects, catalog }
    }

    fn format(&self) -> Format {
        self.tables[0].format
    }

    pub(super) fn has_log(&self) -> bool {
        self.format() != Format::Plain
    }

    pub(super) fn faults(&self) -> Faults {
        self.catalog.state.lock().faults
    }

    /// Lets the catalog fail as in a new life.
    pub(super) fn plan_faults(&self, dice: &mut Dice) {
        if self.format() == Format::Iceberg {
            self.catalog.inject_faults([0, 2, 5, 10][dice.below(4) as usize]);
            if dice.one_in(6) {
                self.catalog.go_away(dice.below(60));
            }
        }
    }

    /// Returns the tables as a process has it that comes to the lake by `store`; `None` if it is plain.
    fn log_tables(&self, store: &FakeStore) -> Option<LogTables> {
        let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
        let client = self.catalog.client(Arc::new(SystemClock));
        let tables = Tables::new(self.tables.clone()).expect("tables");
        LogTables::in_catalog(&lake, tables.specs(), Some(&client), RUNTIME.handle())
            .expect("a name")
    }

    /// Another process commits once what it finds of all nodes, and may die of it.
    pub(super) fn catch_up(&self, dice: &mut Dice) {
        let store = FakeStore::over(Arc::clone(&self.objects), dice.roll());
        store.inject_faults([0, 2, 5][dice.below(3) as usize]);
        let nth = 1 + dice.below(20);
        store.die_at(dice.one_in(2).then_some(nth), &Arc::default());
        let Some(tables) = self.log_tables(&store) else { return };
        let _ = catch_unwind(AssertUnwindSafe(|| {
            for node in tables.nodes().into_iter().flatten() {
                tables.attempt(&mut WaitingRolls::of(node));
            }
        }));
        RUNTIME.block_on(store.settle());
    }

    /// Returns the paths that each commit to a table has added, from the folder of the table.
    fn added(&self, harness: &Harness, table: &str) -> Vec<Vec<String>> {
        match self.format() {
            Format::Plain => Vec::new(),
            Format::Delta => added_by_delta(harness, table),
            Format::Iceberg => {
                let below =
                    |path: &String| path.rsplit("/visits/").next().expect("a path").to_owned();
                let state = self.catalog.state.lock();
                state.added.iter().map(|paths| paths.iter().map(below).collect()).collect()
            }
        }
    }
}

struct Announcer(Sender<Roll>);

impl Observer for Announcer {
    fn observe(&self, _: Micros, event: &RollEvent) {
        if let RollEvent::Committed { roll, .. } = event {
            let _ = self.0.send(*roll);
        }
    }
}

/// Commits the rolls of a process, as long as it lives.
pub(super) struct Committing {
    tables: LogTables,
    node: Arc<str>,
    landed: Receiver<Roll>,
}

impl Committing {
    /// Returns what commits the rolls of `node`, and the observers that tell of them; `None` for plain
    /// tables.
    pub(super) fn of(
        harness: &Harness,
        place: &Place,
        node: &str,
    ) -> Option<(Committing, Observers)> {
        let tables = place.log_tables(&harness.store)?;
        let (tell, landed) = crossbeam_channel::unbounded();
        let observers = Observers::new(harness.clock.clone(), vec![Arc::new(Announcer(tell))]);
        Some((Committing { tables, node: node.into(), landed }, observers))
    }

    /// Commits what waits from before, and what lands, until nothing more does or the process dies.
    /// Returns the number of attempts that failed.
    pub(super) fn run(self) -> u64 {
        let mut failures = 0;
        // A process that dies ends here, in the middle of whatever it does.
        let _ = catch_unwind(AssertUnwindSafe(|| self.commit_all(&mut failures)));
        failures
    }

    fn commit_all(&self, failures: &mut u64) {
        let mut waiting = WaitingRolls::of(Arc::clone(&self.node));
        loop {
            let mut left = LAST_ATTEMPTS;
            while !self.tables.attempt(&mut waiting).is_empty() && left > 0 {
                *failures += 1;
                left -= 1;
                self.landed.try_iter().for_each(|roll| waiting.landed(roll, Micros(0)));
            }
            let Ok(roll) = self.landed.recv() else { return };
            waiting.landed(roll, Micros(0));
            self.landed.try_iter().for_each(|roll| waiting.landed(roll, Micros(0)));
        }
    }
}

/// What was in the lake before: receipts and entries of the log with their bytes, and the names of files.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<String, Bytes>);

impl Kept {
    /// Checks that nothing is gone and no receipt or object of the log is another, and remembers what is
    /// new.
    pub(super) fn check(&mut self, harness: &Harness) {
        let now = harness.all_objects();
        for (name, bytes) in &self.0 {
            let found = now.get(name);
            // A file of several parts may be completed late, over what stands.
            let is_same = found == Some(bytes) || found.is_some() && name.ends_with(".parquet");
            assert!(is_same, "{name} is not as it was");
        }
        let tables = harness.all_tables();
        let is_kept = |name: &str| {
            let is_log = name.contains("/_delta_log/");
            name.starts_with("lake/_receipts/")
                || is_log && name.ends_with(".json")
                || !is_log
                    && tables.iter().any(|spec| name.starts_with(&format!("lake/{}/", spec.name)))
        };
        self.0 = now.into_iter().filter(|(name, _)| is_kept(name)).collect();
    }
}

/// Checks the log of the table against the receipts, once the last process has made all visible.
/// Returns the number of commits.
pub(super) fn check(harness: &Harness, place: &Place) -> u64 {
    place.catalog.inject_faults(0);
    place.catalog.settle();
    // Another process: what was planned for the store of the last one is none of its.
    let store = FakeStore::over(Arc::clone(&harness.store.objects), 1);
    let Some(tables) = place.log_tables(&store) else { return 0 };
    for node in tables.nodes().expect("no faults") {
        tables.commit_all(&node).expect("committed");
    }
    place.tables.iter().map(|spec| check_table(harness, place, &spec.name)).sum()
}

/// Checks the log of one table against the receipts. Returns the number of commits.
fn check_table(harness: &Harness, place: &Place, table: &str) -> u64 {
    let commits = place.added(harness, table);
    let mut added: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in commits.iter().flatten() {
        let name = path.rsplit('/').next().and_then(|name| name.rsplit_once('-'));
        let (node, _) = name.expect("a node and a roll");
        added.entry(node.to_owned()).or_default().push(path.clone());
    }
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for receipt in harness.landed().receipts {
        let files = receipt.files_of(table).map(|file| file.path[table.len() + 1..].to_owned());
        let files: Vec<String> = files.collect();
        if !files.is_empty() {
            expected.entry(receipt.node.clone()).or_default().extend(files);
        }
    }
    for paths in added.values() {
        let rolls: Vec<&str> = paths.iter().map(|path| roll_of(path)).collect();
        assert!(rolls.is_sorted(), "rolls out of order: {paths:?}");
    }
    added.values_mut().chain(expected.values_mut()).for_each(|paths| paths.sort());
    assert_eq!(added, expected, "the log and the receipts differ");
    commits.len() as u64
}

/// Returns the paths that each version of the log of a Delta table adds. Versions have no gap, marks
/// grow, and nothing is removed.
fn added_by_delta(harness: &Harness, table: &str) -> Vec<Vec<String>> {
    let (mut added, mut marks) = (Vec::new(), BTreeMap::<String, i64>::new());
    let log = format!("/{table}/_delta_log/");
    let is_entry = |name: &str| name.contains(&log) && name.ends_with(".json");
    let all = harness.all_objects();
    for (version, (name, entry)) in all.iter().filter(|(name, _)| is_entry(name)).enumerate() {
        assert!(name.ends_with(&format!("/{version:020}.json")), "a version is missing: {name}");
        let mut paths = Vec::new();
        for line in entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let action: serde_json::Value = serde_json::from_slice(line).expect("an action");
            assert!(action["remove"].is_null(), "{action}");
            paths.extend(action["add"]["path"].as_str().map(str::to_owned));
            if let Some(node) = action["txn"]["appId"].as_str() {
                let mark = action["txn"]["version"].as_i64().expect("a number");
                let before = marks.insert(node.to_owned(), mark);
                assert!(before.is_none_or(|before| before < mark), "{node}: {before:?}, {mark}");
            }
        }
        added.push(paths);
    }
    added
}

fn roll_of(path: &str) -> &str {
    path.rsplit('-').next().expect("a roll")
}

fn search(format: Format) -> Option<Tally> {
    let mut tally = Tally::default();
    let all = histories(HISTORIES, STEPS, |seed| {
        History::new(seed, format).run(&mut tally);
        tally.histories += 1;
        tally.steps
    });
    println!("{tally:#?}");
    all.then_some(tally)
}

#[test]
fn no_history_loses_or_doubles_a_row_of_a_delta_table() {
    let Some(tally) = search(Format::Delta) else { return };
    let all = [tally.kills, tally.power_cuts, tally.commits, tally.commits_failed, tally.flat_rows];
    assert!(all.iter().all(|n| *n > 0), "{tally:?}");
    let store = tally.store;
    let all = [store.refused, store.lost_answers, store.late, store.exists, store.away];
    assert!(all.iter().all(|n| *n > 0) && store.deaths > 0, "{tally:?}");
}

#[test]
fn no_history_loses_or_doubles_a_row_of_an_iceberg_table() {
    let Some(tally) = search(Format::Iceberg) else { return };
    let all = [tally.kills, tally.power_cuts, tally.commits, tally.commits_failed];
    assert!(all.iter().all(|n| *n > 0), "{tally:?}");
    let catalog = tally.catalog;
    let all = [catalog.lost_answers, catalog.other_answers, catalog.doubled, catalog.late];
    assert!(all.iter().sum::<u64>() > 0 && catalog.away > 0, "{tally:?}");
    // A short search need not meet each kind.
    let is_short = tally.histories < 4 * HISTORIES;
    assert!(is_short || all.iter().all(|n| *n > 0), "{tally:?}");
}
