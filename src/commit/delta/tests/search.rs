//! Many processes over one store that fails as real ones do: each roll is in the log once and in order.

use std::collections::BTreeSet;
use std::sync::Barrier;

use super::*;
use crate::publish::tests::store::FakeStore;
use crate::search::{Dice, histories, inputs};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// A process: its view of the store, and its table.
struct Process {
    store: FakeStore,
    table: DeltaTable,
}

fn process(objects: &Arc<InMemory>, seed: u64, runtime: &tokio::runtime::Runtime) -> Process {
    let store = FakeStore::over(Arc::clone(objects), seed);
    let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
    Process { table: table(&lake, FIELDS, runtime), store }
}

fn landed(dice: &mut Dice, node: &str, roll: u64) -> Receipt {
    let files = receipt(node, roll).tables.remove(0).files;
    let number = dice.below(3) as usize;
    receipt_of(node, roll, files.into_iter().take(number).collect())
}

/// Commits a part of the rolls of a node that have landed, as `visible` does: from the mark on, or from
/// before it. Returns false if the outcome is unknown.
fn step(process: &Process, dice: &mut Dice, node: &str, rolls: &[Receipt]) -> bool {
    let mark = match process.table.mark(node) {
        Ok(mark) => mark.map_or(0, |(roll, _)| roll.0),
        Err(Visible::Unknown(_)) => return false,
        Err(outcome) => panic!("{outcome:?}"),
    };
    let from = mark.saturating_sub(dice.below(3));
    let waiting = rolls.iter().filter(|roll| roll.roll > from).cloned().collect::<Vec<_>>();
    let some = waiting.get(..1 + dice.below(waiting.len() as u64) as usize).unwrap_or_default();
    let Some(last) = some.last() else { return true };
    match process.table.commit(node, some) {
        Visible::At { roll, added, .. } => {
            assert!(roll.0 >= last.roll && (!added || roll.0 == last.roll), "{roll} of {last:?}");
            true
        }
        Visible::Unknown(_) => false,
        outcome @ Visible::Refused(_) => panic!("{outcome:?}"),
    }
}

/// Checks that the log has the files of all rolls once, by node in the order of rolls.
fn check(objects: &InMemory, landed: &BTreeMap<&str, Vec<Receipt>>) {
    let added = added(objects);
    for (node, rolls) in landed {
        let files = rolls.iter().flat_map(|roll| &roll.tables[0].files);
        let expected: Vec<&str> = files.map(|file| &file.path["t/".len()..]).collect();
        let theirs = added.iter().map(String::as_str).filter(|path| path.contains(node));
        assert_eq!(theirs.collect::<Vec<_>>(), expected, "files of {node} in the log");
    }
}

#[test]
fn rolls_are_in_the_log_once_whatever_the_store_answers() {
    let runtime = runtime();
    let (mut steps, mut unknown, mut faults) = (0, 0, 0);
    let whole = histories(4, inputs(400), |seed| {
        let mut dice = Dice(seed);
        let objects = Arc::new(InMemory::new());
        let mut processes: Vec<Process> =
            (0..4).map(|nth| process(&objects, seed * 8 + nth, &runtime)).collect();
        let mut rolls: BTreeMap<&str, Vec<Receipt>> =
            NODES.into_iter().map(|node| (node, Vec::new())).collect();
        let mut names = BTreeSet::new();
        for _ in 0..100 {
            steps += 1;
            let node = NODES[dice.below(3) as usize];
            let at = dice.below(4) as usize;
            match dice.below(12) {
                0 => processes[at].store.inject_faults([0, 3, 12][dice.below(3) as usize]),
                1 => {
                    faults += processes[at].store.faults().all();
                    // Puts of the process before may still be on their way.
                    let late = processes[at].store.clone();
                    processes[at] = process(&objects, dice.roll(), &runtime);
                    processes[at].store.inject_faults(6);
                    runtime.block_on(late.settle());
                }
                2 => runtime.block_on(processes[at].store.settle()),
                3..6 => {
                    let all = rolls.get_mut(node).expect("a node");
                    let last = all.last().map_or(0, |roll| roll.roll);
                    let roll = last + 1 + dice.below(2);
                    all.push(landed(&mut dice, node, roll));
                }
                _ => unknown += u64::from(!step(&processes[at], &mut dice, node, &rolls[node])),
            }
            let now: BTreeSet<String> = super::objects(&objects).into_keys().collect();
            assert!(now.is_superset(&names), "an object was deleted");
            names = now;
        }
        for Process { store, .. } in &processes {
            store.inject_faults(0);
            store.go_away(0);
            runtime.block_on(store.settle());
            faults += store.faults().all();
        }
        for node in NODES {
            let Some(last) = rolls[node].last() else { continue };
            let outcome = processes[0].table.commit(node, &rolls[node]);
            assert!(matches!(outcome, Visible::At { .. }), "{outcome:?}");
            let mark = processes[1].table.mark(node).expect("no faults").expect("a mark");
            assert_eq!(mark.0, Roll(last.roll));
        }
        check(&objects, &rolls);
        steps
    });
    assert!(!whole || (unknown > 20 && faults > 50), "{unknown} unknown of {faults} faults");
}

/// A store that says of every commit that it exists already, though it has just put it: as with a proxy
/// that replays requests.
#[test]
fn a_conflict_with_its_own_commit_is_no_second_commit() {
    let runtime = runtime();
    let objects = Arc::new(InMemory::new());
    let first = process(&objects, 1, &runtime);
    assert!(matches!(first.table.commit("n1", &[receipt("n1", 1)]), Visible::At { .. }));
    for seed in 0..60 {
        let echo = process(&objects, seed, &runtime);
        echo.store.inject_faults(2);
        let all = [receipt("n1", 1), receipt("n1", seed + 2)];
        while !matches!(echo.table.commit("n1", &all), Visible::At { .. }) {}
        runtime.block_on(echo.store.settle());
    }
    let added = added(&objects);
    assert_eq!(added.len(), 122);
    assert_eq!(added.iter().collect::<BTreeSet<_>>().len(), 122);
}

#[test]
fn several_writers_of_one_roll_add_it_once() {
    let runtime = runtime();
    for writers in [2, 6] {
        let objects = Arc::new(InMemory::new());
        let barrier = Barrier::new(writers);
        let rolls: Vec<Receipt> = (1..=10).map(|roll| receipt("n1", roll)).collect();
        let added_by: usize = std::thread::scope(|scope| {
            let work = |_| {
                scope.spawn(|| {
                    let Process { table, .. } = process(&objects, 0, &runtime);
                    let (mut mine, mut refused) = (0, None);
                    for end in 1..=rolls.len() {
                        barrier.wait();
                        loop {
                            match table.commit("n1", &rolls[..end]) {
                                Visible::At { added, .. } => break mine += usize::from(added),
                                Visible::Unknown(_) => {}
                                // The others wait for this one before each roll.
                                outcome @ Visible::Refused(_) => break refused = Some(outcome),
                            }
                        }
                    }
                    assert!(refused.is_none(), "{refused:?}");
                    mine
                })
            };
            let all: Vec<_> = (0..writers).map(work).collect();
            all.into_iter().map(|one| one.join().expect("a writer")).sum()
        });
        assert_eq!(added_by, 10, "of {writers} writers one adds each roll");
        check(&objects, &BTreeMap::from([("n1", rolls)]));
    }
}
