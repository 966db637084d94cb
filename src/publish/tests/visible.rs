//! The search of [`super::search`] with a Delta table: of each step that a row takes, appended, sealed,
//! put, landed, committed to the log, the process may die, and the next one goes on.
//!
//! While a life lands rolls, a thread commits them to the table, as the one of a server does, through
//! the same store, which dies with the process. Other processes that know nothing of the node commit
//! what it has landed, between lives and beside them, with faults of their own. At the end, the log has
//! each file of each receipt once, by node in the order of rolls, marks only grow, and what was in the
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

/// Returns the table as one with a log, if it is one, through `store`.
fn log_tables(table: &Spec, store: &FakeStore) -> Option<LogTables> {
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    let tables = Tables::new(vec![table.clone()]).expect("one table");
    LogTables::of(&lake, tables.specs(), None, RUNTIME.handle()).expect("a name")
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
    pub(super) fn of(harness: &Harness, node: &str) -> Option<(Committing, Observers)> {
        let tables = log_tables(&harness.table, &harness.store)?;
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

/// Another process commits once what it finds of all nodes, and may die of it.
pub(super) fn catch_up(objects: &Arc<InMemory>, table: &Spec, dice: &mut Dice) {
    let store = FakeStore::over(Arc::clone(objects), dice.roll());
    store.inject_faults([0, 2, 5][dice.below(3) as usize]);
    let nth = 1 + dice.below(20);
    store.die_at(dice.one_in(2).then_some(nth), &Arc::default());
    let Some(tables) = log_tables(table, &store) else { return };
    let _ = catch_unwind(AssertUnwindSafe(|| {
        for node in tables.nodes().into_iter().flatten() {
            tables.attempt(&mut WaitingRolls::of(node));
        }
    }));
    RUNTIME.block_on(store.settle());
}

/// What was in the lake before: receipts and entries of the log with their bytes, and the names of files.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<String, Bytes>);

impl Kept {
    /// Checks that nothing is gone and no receipt or entry of the log is another, and remembers what is
    /// new.
    pub(super) fn check(&mut self, harness: &Harness) {
        let now = harness.all_objects();
        for (name, bytes) in &self.0 {
            let found = now.get(name);
            // A file of several parts may be completed late, over what stands.
            let is_same = found == Some(bytes) || found.is_some() && name.ends_with(".parquet");
            assert!(is_same, "{name} is not as it was");
        }
        let is_kept = |name: &str| {
            let is_log = name.contains("/_delta_log/");
            name.starts_with("lake/_receipts/")
                || is_log && name.ends_with(".json")
                || !is_log && name.starts_with("lake/visits/")
        };
        self.0 = now.into_iter().filter(|(name, _)| is_kept(name)).collect();
    }
}

/// Checks the log of the table against the receipts, once the last process has made all visible.
/// Returns the number of commits.
pub(super) fn check(harness: &Harness) -> u64 {
    // Another process: what was planned for the store of the last one is none of its.
    let store = FakeStore::over(Arc::clone(&harness.store.objects), 1);
    let Some(tables) = log_tables(&harness.table, &store) else { return 0 };
    for node in tables.nodes().expect("no faults") {
        tables.commit_all(&node).expect("committed");
    }
    let all = harness.all_objects();
    let mut added: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut marks = BTreeMap::<String, i64>::new();
    let mut commits = 0;
    let is_entry = |name: &str| name.contains("visits/_delta_log/") && name.ends_with(".json");
    for (version, (name, entry)) in all.iter().filter(|(name, _)| is_entry(name)).enumerate() {
        assert!(name.ends_with(&format!("/{version:020}.json")), "a version is missing: {name}");
        commits += 1;
        for line in entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let action: serde_json::Value = serde_json::from_slice(line).expect("an action");
            assert!(action["remove"].is_null(), "{action}");
            if let Some(path) = action["add"]["path"].as_str() {
                let (node, _) =
                    path.rsplit('/').next().and_then(|name| name.rsplit_once('-')).expect("a name");
                added.entry(node.to_owned()).or_default().push(path.to_owned());
            }
            if let Some(node) = action["txn"]["appId"].as_str() {
                let mark = action["txn"]["version"].as_i64().expect("a number");
                let before = marks.insert(node.to_owned(), mark);
                assert!(before.is_none_or(|before| before < mark), "{node}: {before:?}, {mark}");
            }
        }
    }
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for receipt in harness.landed().receipts {
        let files = receipt.files_of("visits").map(|file| file.path["visits/".len()..].to_owned());
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
    commits
}

fn roll_of(path: &str) -> &str {
    path.rsplit('-').next().expect("a roll")
}

#[test]
fn no_history_loses_or_doubles_a_row_of_a_table_with_a_log() {
    let mut tally = Tally::default();
    let all = histories(HISTORIES, STEPS, |seed| {
        History::new(seed, Format::Delta).run(&mut tally);
        tally.histories += 1;
        tally.steps
    });
    println!("{tally:#?}");
    if all {
        let all = [tally.kills, tally.power_cuts, tally.commits, tally.commits_failed];
        assert!(all.iter().all(|n| *n > 0), "{tally:?}");
        let store = tally.store;
        let all = [store.refused, store.lost_answers, store.late, store.exists, store.away];
        assert!(all.iter().all(|n| *n > 0) && store.deaths > 0, "{tally:?}");
    }
}
