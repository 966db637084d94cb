//! Rolls of several nodes into one Delta table, by processes that die and a store that loses answers.
//!
//! A history is a row of steps: a node lands a roll (its receipt is put; files are of no account here),
//! a process commits what waits of some node, processes die in the middle and start anew, two commit
//! the rolls of one node at once. The oracle reads the log as JSON: each file of each receipt is added
//! once and never removed, marks of a node grow, and no object of the lake was deleted or replaced.
//!
//! A short search runs with every `cargo test`. The long one: `SESSIONLAKE_SEARCH_STEPS=200000 cargo
//! test --release publish::visibility -- --nocapture`.

mod iceberg;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;

use super::log_tables::LogTables;
use super::waiting_rolls::WaitingRolls;
use super::{Keeper, Looked, keeper};
use crate::commit::Committer;
use crate::journal::tests::fake::FakeDisk;
use crate::lake::{FileReceipt, Lake, Receipt, names};
use crate::publish::tests::store::{FakeStore, Faults, objects};
use crate::record::{Micros, Roll};
use crate::schema::TableSchema;
use crate::search::{Dice, histories};
use crate::status::{Readiness, RollControl, RollEvent};
use crate::table::{Format, Spec, Tables, Template};

const TABLE: &str = "visits";
const SCHEMA: &str = r#"{"type": "record", "name": "visits", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null},
    {"name": "on", "type": ["null", "string"], "default": null}
]}"#;
const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Histories and steps of the search that every test run makes at least.
const HISTORIES: u64 = 12;
const STEPS: u64 = 400;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
});

fn tables() -> Tables {
    let schema = Arc::new(TableSchema::parse(SCHEMA).expect("a schema"));
    let partition = Template::parse("day={on}", &schema).expect("a template");
    let table = Spec { format: Format::Delta, ..Spec::new(TABLE, schema, partition) };
    Tables::new(vec![table]).expect("one table")
}

fn log_tables(store: &FakeStore) -> LogTables {
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    LogTables::of(&lake, tables().specs(), None, RUNTIME.handle())
        .expect("a name")
        .expect("one with a log")
}

/// A receipt with a file for each of `days`.
fn receipt(node: &str, roll: Roll, days: u64) -> Receipt {
    let file = |day: u64| {
        let path = names::data(TABLE, &format!("day={day}"), node, roll);
        FileReceipt::in_partition(path, "day", &day.to_string())
    };
    Receipt::of_files(node, roll.0, TABLE, (0..days).map(file).collect())
}

fn land(lake: &Lake, receipt: &Receipt) {
    use crate::commit::Outcome;
    let outcome = RUNTIME.block_on(Committer::Plain.commit(lake, receipt));
    assert!(matches!(outcome, Outcome::Committed), "{outcome:?}");
}

/// The paths that the log adds, in the order of versions. Checks marks and versions on the way.
fn added(objects: &BTreeMap<String, Bytes>) -> Vec<String> {
    let folder = format!("lake/{TABLE}/_delta_log/");
    let versions = objects.iter().filter_map(|(name, bytes)| {
        let version = name.strip_prefix(&folder)?.strip_suffix(".json")?;
        Some((version.parse::<u64>().ok()?, bytes))
    });
    let (mut added, mut marks) = (Vec::new(), BTreeMap::<String, i64>::new());
    for ((version, bytes), expected) in versions.zip(0..) {
        assert_eq!(version, expected, "a version is missing");
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let action: serde_json::Value = serde_json::from_slice(line).expect("an action");
            assert!(action["remove"].is_null(), "{action}");
            added.extend(action["add"]["path"].as_str().map(str::to_owned));
            if let Some(node) = action["txn"]["appId"].as_str() {
                let mark = action["txn"]["version"].as_i64().expect("a number");
                let before = marks.insert(node.to_owned(), mark);
                assert!(before.is_none_or(|before| before < mark), "{node}: {before:?}, {mark}");
            }
        }
    }
    added
}

fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort();
    paths
}

#[derive(Debug, Default)]
struct Tally {
    steps: u64,
    rolls: u64,
    deaths: u64,
    together: u64,
    faults: u64,
    lost_answers: u64,
    late: u64,
    exists: u64,
}

impl Tally {
    fn add(&mut self, faults: Faults) {
        self.faults += faults.all();
        self.lost_answers += faults.lost_answers;
        self.late += faults.late;
        self.exists += faults.exists;
        self.deaths += faults.deaths;
    }
}

/// A process, with what it has seen of the table and of the rolls of its node.
struct Process {
    store: FakeStore,
    tables: LogTables,
    waiting: WaitingRolls,
    node: usize,
}

impl Process {
    fn start(objects: &Arc<InMemory>, dice: &mut Dice, node: usize) -> Process {
        let store = FakeStore::over(Arc::clone(objects), dice.roll());
        let tables = log_tables(&store);
        Process { tables, waiting: WaitingRolls::of(NODES[node].into()), store, node }
    }

    /// True when it has died.
    fn attempt(&mut self) -> bool {
        let tried = AssertUnwindSafe(|| self.tables.attempt(&mut self.waiting));
        catch_unwind(tried).is_err() || self.store.is_dead()
    }
}

fn history(seed: u64, tally: &mut Tally) {
    let mut dice = Dice(seed);
    let objects_of = Arc::new(InMemory::new());
    let clean = Lake::on(objects_of.clone(), 1 << 20);
    let mut landed = [Roll(0); NODES.len()];
    let mut expected = Vec::new();
    let mut processes: Vec<Process> =
        (0..4).map(|at| Process::start(&objects_of, &mut dice, at % NODES.len())).collect();
    for _ in 0..20 + dice.below(40) {
        tally.steps += 1;
        let node = dice.below(NODES.len() as u64) as usize;
        let at = dice.below(processes.len() as u64) as usize;
        match dice.below(8) {
            0..3 => {
                landed[node] = landed[node].next();
                let roll = receipt(NODES[node], landed[node], dice.below(3));
                expected.extend(roll.tables[0].files.iter().map(|file| file.path.clone()));
                land(&clean, &roll);
                tally.rolls += 1;
                for process in processes.iter_mut().filter(|process| process.node == node) {
                    // Not every process is told, and one that is not finds the roll by its mark.
                    if dice.one_in(2) {
                        process.waiting = WaitingRolls::of(NODES[node].into());
                    } else {
                        process.waiting.landed(landed[node], Micros(0));
                    }
                }
            }
            3 => {
                tally.add(processes[at].store.faults());
                processes[at] = Process::start(&objects_of, &mut dice, node);
            }
            4 => {
                tally.together += 1;
                let mut pair: Vec<Process> =
                    (0..2).map(|_| Process::start(&objects_of, &mut dice, node)).collect();
                std::thread::scope(|scope| {
                    for process in &mut pair {
                        scope.spawn(|| process.attempt());
                    }
                });
            }
            _ => {
                let process = &mut processes[at];
                process.store.inject_faults([0, 2, 4, 10][dice.below(4) as usize]);
                let nth = 1 + dice.below(12);
                process.store.die_at(dice.one_in(4).then_some(nth), &Arc::new(FakeDisk::default()));
                if process.attempt() {
                    tally.add(process.store.faults());
                    *process = Process::start(&objects_of, &mut dice, node);
                }
            }
        }
    }
    for process in &processes {
        tally.add(process.store.faults());
        RUNTIME.block_on(process.store.settle());
    }
    let last = log_tables(&FakeStore::over(Arc::clone(&objects_of), 1));
    let before = objects(&objects_of);
    for node in NODES {
        last.commit_all(&node.into()).expect("a last attempt");
    }
    let objects = objects(&objects_of);
    for (name, bytes) in before {
        let is_replaced = name.ends_with("_last_checkpoint") || name.ends_with(".crc");
        assert!(is_replaced || objects.get(&name) == Some(&bytes), "{name} was changed");
    }
    let ours = expected.into_iter().map(|path| path.trim_start_matches("visits/").to_owned());
    assert_eq!(sorted(added(&objects)), sorted(ours.collect()));
}

#[test]
fn no_history_loses_or_doubles_a_roll_in_the_table() {
    let mut tally = Tally::default();
    let all = histories(HISTORIES, STEPS, |seed| {
        history(seed, &mut tally);
        tally.steps
    });
    println!("{tally:#?}");
    if all {
        let all = [tally.deaths, tally.together, tally.lost_answers, tally.late, tally.exists];
        assert!(all.iter().all(|n| *n > 0), "{tally:?}");
    }
}

#[test]
fn all_rolls_that_wait_are_one_commit() {
    let store = FakeStore::new(1);
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    for roll in 1..=30 {
        land(&lake, &receipt("n1", Roll(roll), roll % 3));
    }
    let tables = log_tables(&store);
    tables.commit_all(&"n1".into()).expect("committed");
    let all = objects(&store.objects);
    let versions = |all: &BTreeMap<String, Bytes>| {
        all.keys().filter(|name| name.contains("_delta_log/") && name.ends_with(".json")).count()
    };
    // The first creates the table.
    assert_eq!(versions(&all), 2);
    assert_eq!(added(&all).len(), 30);
    // Nothing new is no commit; nor is a roll without a file of the table.
    land(&lake, &receipt("n1", Roll(31), 0));
    tables.commit_all(&"n1".into()).expect("committed");
    assert_eq!(versions(&objects(&store.objects)), 2);
}

#[test]
fn a_receipt_that_is_gone_from_the_middle_is_passed_over_and_a_broken_one_stops_its_node() {
    let store = FakeStore::new(1);
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    for roll in [1, 3, 4] {
        land(&lake, &receipt("n1", Roll(roll), 1));
    }
    let tables = log_tables(&store);
    tables.commit_all(&"n1".into()).expect("committed");
    assert_eq!(added(&objects(&store.objects)).len(), 3);
    let broken = object_store::path::Path::from(format!("lake/{}", names::receipt("n1", Roll(5))));
    RUNTIME.block_on(store.objects.put(&broken, "{".into())).expect("memory");
    land(&lake, &receipt("n1", Roll(6), 1));
    land(&lake, &receipt("n2", Roll(1), 1));
    let refused = tables.commit_all(&"n1".into()).expect_err("a broken receipt").to_string();
    assert!(refused.contains("_receipts/n1/00000005.json"), "{refused}");
    tables.commit_all(&"n2".into()).expect("another node");
    assert_eq!(added(&objects(&store.objects)).len(), 4);
}

#[test]
fn the_thread_commits_what_lands_and_what_waits_of_all_nodes_and_survives_an_outage() {
    let store = FakeStore::new(1);
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    for node in ["n1", "gone"] {
        land(&lake, &receipt(node, Roll(1), 1));
    }
    let (readiness, control) = (Arc::new(Readiness::new()), Arc::new(RollControl::default()));
    let (tables, of_keeper) = (log_tables(&store), Arc::clone(&control));
    let keeper = Keeper::start(tables, "n1".into(), Arc::clone(&readiness), of_keeper);
    let keeper = keeper.expect("a thread");
    let wait_for_visible = |roll| {
        let until = std::time::Instant::now() + Duration::from_secs(30);
        while control.visible() != Roll(roll) {
            assert!(std::time::Instant::now() < until, "{} and not {roll}", control.visible());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for_visible(1);
    let wait_for = |files: usize| {
        let seen = || added(&objects(&store.objects)).len();
        let until = std::time::Instant::now() + Duration::from_secs(30);
        while seen() != files {
            assert!(std::time::Instant::now() < until, "{} files of {files}", seen());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for(2);
    let observer = keeper.observer();
    let committed = |roll| {
        let event = RollEvent::Committed {
            roll: Roll(roll),
            rows: 1,
            rejects: 0,
            doubled: 0,
            files: 1,
            bytes: 1,
        };
        observer.observe(Micros(7), &event);
    };
    land(&lake, &receipt("n1", Roll(2), 2));
    committed(2);
    wait_for(4);
    wait_for_visible(2);
    store.go_away(6);
    // With the store back; the thread alone meets the outage.
    let clean = Lake::on(store.objects.clone(), 1 << 20);
    land(&clean, &receipt("n1", Roll(3), 1));
    committed(3);
    wait_for(5);
    land(&clean, &receipt("n1", Roll(4), 1));
    committed(4);
    assert!(RUNTIME.block_on(keeper.finish(Duration::from_secs(30))));
    assert_eq!(added(&objects(&store.objects)).len(), 6);
    assert_eq!((readiness.trouble(), control.visible()), (vec![], Roll(4)));
    let names: BTreeSet<String> = objects(&store.objects).into_keys().collect();
    assert!(names.iter().any(|name| name.ends_with(".crc")), "{names:?}");
}

#[test]
fn a_table_that_is_made_anew_on_purpose_gets_all_rolls_from_a_process_that_runs() {
    let store = FakeStore::new(1);
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    let tables = log_tables(&store);
    let mut waiting = WaitingRolls::of("n1".into());
    for roll in 1..=3 {
        land(&lake, &receipt("n1", Roll(roll), 1));
        waiting.landed(Roll(roll), Micros(1));
        assert_eq!(tables.attempt(&mut waiting), []);
    }
    RUNTIME.block_on(async {
        for name in objects(&store.objects).keys().filter(|name| name.contains("_delta_log")) {
            store.objects.delete(&(&**name).into()).await.expect("memory");
        }
    });
    land(&lake, &receipt("n1", Roll(4), 1));
    waiting.landed(Roll(4), Micros(1));
    let refused = tables.attempt(&mut waiting);
    assert!(matches!(&refused[..], [failure] if failure.is_final), "{refused:?}");
    assert_eq!(added(&objects(&store.objects)).len(), 0);
    // As `table create --anew` of another process.
    let others = log_tables(&store);
    let [other] = others.tables() else { panic!("one table") };
    assert_eq!(other.forget_id(), Ok(()));
    assert!(other.prepare().is_ok());
    for _ in 0..2 {
        tables.attempt(&mut waiting);
    }
    assert_eq!(tables.attempt(&mut waiting), []);
    assert_eq!(added(&objects(&store.objects)).len(), 4);
}

#[test]
fn the_thread_ends_with_its_server_and_tells_of_a_panic() {
    let store = FakeStore::new(1);
    land(&Lake::on(store.objects.clone(), 1 << 20), &receipt("n1", Roll(1), 1));
    store.go_away(u64::MAX);
    let readiness = Arc::new(Readiness::new());
    let keeper =
        Keeper::start(log_tables(&store), "n1".into(), Arc::clone(&readiness), Arc::default());
    let wait_for = |what: &str, holds: &dyn Fn() -> bool| {
        let until = std::time::Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(std::time::Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for("trouble", &|| !readiness.trouble().is_empty());
    drop(keeper);
    // The server is dropped, and the store is away for good.
    std::thread::sleep(Duration::from_millis(500));
    let calls = store.faults().calls;
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(store.faults().calls, calls, "it goes on");
    let store = FakeStore::over(Arc::clone(&store.objects), 1);
    store.die_at(Some(1), &Arc::new(FakeDisk::default()));
    let readiness = Arc::new(Readiness::new());
    let keeper =
        Keeper::start(log_tables(&store), "n1".into(), Arc::clone(&readiness), Arc::default());
    wait_for("a panic", &|| readiness.trouble().iter().any(|(_, why)| why.contains("panicked")));
    assert!(!RUNTIME.block_on(keeper.expect("a thread").finish(Duration::from_secs(30))));
}

#[test]
fn a_table_that_is_set_back_gets_again_what_it_lacks() {
    let store = FakeStore::new(1);
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    let tables = log_tables(&store);
    let mut waiting = WaitingRolls::of("n1".into());
    let land = |roll, waiting: &mut WaitingRolls| {
        land(&lake, &receipt("n1", Roll(roll), 1));
        waiting.landed(Roll(roll), Micros(1));
    };
    for roll in 1..=3 {
        land(roll, &mut waiting);
        assert_eq!(tables.attempt(&mut waiting), []);
    }
    // The log as it was after the first roll, as from a copy.
    RUNTIME.block_on(async {
        for name in objects(&store.objects).keys().filter(|name| name.contains("_delta_log")) {
            if ["2.json", "3.json", "2.crc", "3.crc"].iter().any(|end| name.ends_with(end)) {
                store.objects.delete(&(&**name).into()).await.expect("memory");
            }
        }
    });
    land(4, &mut waiting);
    // A mark at 4 would hide that 2 and 3 are not there.
    tables.attempt(&mut waiting);
    assert_eq!(tables.attempt(&mut waiting), []);
    assert_eq!(added(&objects(&store.objects)).len(), 4);
}

#[test]
fn a_table_that_refuses_is_reported_and_the_thread_ends_all_the_same() {
    let store = FakeStore::new(1);
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    land(&lake, &receipt("n1", Roll(1), 1));
    let first = log_tables(&store);
    first.commit_all(&"n1".into()).expect("committed");
    // The same table by another template.
    let schema = Arc::new(TableSchema::parse(SCHEMA).expect("a schema"));
    let partition = Template::parse("d={on}", &schema).expect("a template");
    let table = Spec { format: Format::Delta, ..Spec::new(TABLE, schema, partition) };
    let other = Tables::new(vec![table]).expect("one table");
    let other = LogTables::of(&lake, other.specs(), None, RUNTIME.handle())
        .expect("a name")
        .expect("a log");
    let readiness = Arc::new(Readiness::new());
    let keeper = Keeper::start(other, "n1".into(), Arc::clone(&readiness), Arc::default())
        .expect("a thread");
    assert!(RUNTIME.block_on(keeper.finish(Duration::from_secs(30))));
    let trouble = readiness.trouble();
    let [(part, why)] = &trouble[..] else { panic!("{trouble:?}") };
    assert_eq!(*part, keeper::PART);
    assert!(why.contains("visits") && why.contains("partitioned by"), "{why}");
    assert_eq!(readiness.check(), Ok(()));
}
