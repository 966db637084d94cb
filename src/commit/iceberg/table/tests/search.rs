//! Many processes over one store and one catalog that fail as real ones do, and other writers beside them:
//! each roll is in the table once and in order.

use super::fake::Faults;
use super::others::Others;
use super::*;

use crate::publish::tests::store::FakeStore;
use crate::search::{Dice, histories, inputs};

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const PROCESSES: usize = 4;

/// A process: its view of the store, and its table.
struct Process {
    store: FakeStore,
    table: IcebergTable,
}

/// All that lives through a history.
struct History<'a> {
    dice: Dice,
    objects: Arc<InMemory>,
    catalog: Arc<FakeCatalog>,
    runtime: &'a tokio::runtime::Runtime,
    processes: Vec<Arc<Process>>,
    landed: BTreeMap<&'static str, Vec<Receipt>>,
    others: Others,
}

impl History<'_> {
    fn process(&mut self) -> Arc<Process> {
        let store = FakeStore::over(Arc::clone(&self.objects), self.dice.roll());
        let lake = Lake::on(Arc::new(store.clone()), 1 << 20);
        // Clocks of machines are hours apart.
        let at = 1_000_000_000 * self.dice.below(40) as i64;
        // Receivers have two versions of the schema.
        let fields = match self.dice.below(6) {
            0 => FIELDS.to_owned() + r#",{"name":"more","type":["null","long"]}"#,
            _ => FIELDS.to_owned(),
        };
        let table = table(&lake, &fields, &self.catalog, at, self.runtime);
        Arc::new(Process { store, table })
    }

    fn land(&mut self, node: &'static str) {
        let all = self.landed.get_mut(node).expect("a node");
        let roll = all.last().map_or(0, |roll| roll.roll) + 1 + self.dice.below(2);
        let days = ["2026-11-28", "2026-11-29", "0001-01-01"];
        let number = self.dice.below(4) as usize;
        let files = days.iter().take(number).map(|day| file(node, roll, day)).collect();
        all.push(receipt_of(node, roll, files));
    }

    /// Returns a part of the rolls of a node that have landed, as `visible` takes them: from the mark on, or
    /// from before it.
    fn part(&mut self, node: &str, mark: u64) -> Vec<Receipt> {
        let from = mark.saturating_sub(self.dice.below(3));
        let waiting: Vec<_> = self.landed[node].iter().filter(|r| r.roll > from).cloned().collect();
        let number = 1 + self.dice.below(waiting.len() as u64) as usize;
        waiting.into_iter().take(number).collect()
    }

    /// Commits rolls of a node, perhaps while another process does. False if the outcome is unknown.
    fn commit(&mut self, at: usize, node: &'static str) -> bool {
        let process = Arc::clone(&self.processes[at]);
        let mark = match process.table.mark(node) {
            Ok(mark) => mark.map_or(0, |(roll, _)| roll.0),
            Err(Visible::Unknown(_)) => return false,
            Err(outcome) => panic!("{outcome:?}"),
        };
        let rolls = self.part(node, mark);
        let Some(last) = rolls.last().map(|last| last.roll) else { return true };
        if self.dice.one_in(4) {
            let other = Arc::clone(&self.processes[self.dice.below(PROCESSES as u64) as usize]);
            let (node, mark) = if self.dice.one_in(3) { (NODES[0], 0) } else { (node, mark) };
            let rolls = self.part(node, mark);
            if !rolls.is_empty() {
                // Two at once: the other one is whole between a load and a commit of the first.
                let work = move || {
                    let outcome = other.table.commit(node, &rolls);
                    assert!(!matches!(outcome, Visible::Refused(_)), "{outcome:?}");
                };
                let work = || std::thread::spawn(work).join().expect("a commit");
                self.catalog.meanwhile(Box::new(work));
            }
        }
        if rolls.len() > 1 && self.dice.one_in(12) {
            let reversed: Vec<Receipt> = rolls.iter().rev().cloned().collect();
            let refused = process.table.commit(node, &reversed);
            assert!(matches!(refused, Visible::Refused(_)), "rolls out of order: {refused:?}");
        }
        let stale = self.catalog.state.lock().faults.stale;
        match process.table.commit(node, &rolls) {
            Visible::At { roll, added, .. } => {
                assert!(roll.0 >= last && (!added || roll.0 == last), "{roll} of {last}");
                true
            }
            Visible::Unknown(_) => false,
            // It was refused for one state of long ago, which another load has shown again.
            Visible::Refused(_) if self.catalog.state.lock().faults.stale >= stale + 2 => false,
            outcome @ Visible::Refused(_) => panic!("{outcome:?}"),
        }
    }

    fn step(&mut self) -> bool {
        let node = NODES[self.dice.below(3) as usize];
        let at = self.dice.below(PROCESSES as u64) as usize;
        match self.dice.below(16) {
            0 => self.processes[at].store.inject_faults([0, 6, 20][self.dice.below(3) as usize]),
            1 => self.catalog.inject_faults([0, 2, 3, 6][self.dice.below(4) as usize]),
            2 => {
                // What the process before has sent may still be on its way.
                let late = self.processes[at].store.clone();
                self.processes[at] = self.process();
                self.processes[at].store.inject_faults(12);
                self.runtime.block_on(late.settle());
            }
            3 => self.catalog.settle(),
            4 => self.others.act(&mut self.dice, &self.catalog, &self.objects),
            5..9 => self.land(node),
            _ => return self.commit(at, node),
        }
        true
    }

    /// Ends all faults, commits all that has landed, and checks that the table has it once.
    fn end(&mut self) {
        self.catalog.inject_faults(0);
        self.catalog.settle();
        for process in &self.processes {
            process.store.inject_faults(0);
            process.store.go_away(0);
            self.runtime.block_on(process.store.settle());
        }
        let (first, second) = (&self.processes[0].table, &self.processes[1].table);
        for node in NODES {
            let Some(last) = self.landed[node].last() else { continue };
            let outcome = first.commit(node, &self.landed[node]);
            assert!(matches!(outcome, Visible::At { .. }), "{outcome:?}");
            let mark = second.mark(node).expect("no faults").expect("a mark");
            assert_eq!(mark.0, Roll(last.roll));
        }
        self.check();
    }

    fn check(&self) {
        let address = |file: &FileReceipt| format!("s3://bucket/lake/{}", file.path);
        let mut all = BTreeSet::new();
        let added = self.catalog.state.lock().added.clone();
        for (node, rolls) in &self.landed {
            let files = rolls.iter().flat_map(|roll| &roll.tables[0].files).map(address);
            let expected: BTreeSet<String> = files.collect();
            let (mut theirs, mut last) = (Vec::new(), 0);
            for commit in &added {
                let ours: Vec<&String> =
                    commit.iter().filter(|path| path.contains(&format!("/{node}-"))).collect();
                let rolls = ours.iter().map(|path| {
                    let roll = path.rsplit_once('-').expect("a roll").1;
                    roll.trim_end_matches(".parquet").parse::<u64>().expect("a roll")
                });
                if let Some((first, most)) = rolls.clone().min().zip(rolls.max()) {
                    assert!(first > last, "{node}: roll {first} after {last}");
                    last = most;
                }
                theirs.extend(ours);
            }
            assert_eq!(theirs.len(), expected.len(), "files of {node} that were added");
            assert_eq!(theirs.into_iter().cloned().collect::<BTreeSet<_>>(), expected);
            all.extend(expected);
        }
        let Some(view) = self.processes[0].table.view().expect("no faults") else { return };
        let mut live = BTreeSet::new();
        let (mut rows, mut files) = (0, 0);
        view.each_file(|file| {
            (rows, files) = (rows + file.rows.expect("rows"), files + 1);
            let path = match file.path.starts_with("s3:") {
                true => file.path,
                false => format!("s3://bucket/lake/t/{}", file.path),
            };
            for path in self.others.files_in(&path) {
                assert!(live.insert(path.clone()), "{path} is in the table twice");
            }
        })
        .expect("manifests");
        all.extend(self.others.own.iter().cloned());
        assert_eq!(live, all, "files in the table");
        let (metadata, numbers) = {
            let state = self.catalog.state.lock();
            (state.table.clone().expect("a table"), state.numbers.clone())
        };
        let main = &metadata["refs"]["main"]["snapshot-id"];
        let snapshots = metadata["snapshots"].as_array().expect("snapshots");
        let Some(main) = snapshots.iter().find(|s| s["snapshot-id"] == *main) else { return };
        for manifest in objects_at::manifests(&self.objects, &main["manifest-list"]) {
            for entry in objects_at::entries(&self.objects, &manifest) {
                let number = entry.sequence_number.unwrap_or(manifest.sequence_number);
                let expected = numbers.get(&entry.path).copied();
                assert_eq!(number, expected.unwrap_or(number), "the number of {}", entry.path);
            }
        }
        assert_eq!(main["summary"]["total-records"], rows.to_string());
        assert_eq!(main["summary"]["total-data-files"], files.to_string());
    }
}

#[test]
fn rolls_are_in_the_table_once_whatever_store_and_catalog_answer() {
    let runtime = runtime();
    let (mut steps, mut unknown, mut faults, mut acts, mut merges) = (0, 0, Vec::new(), 0, 0);
    let whole = histories(6, inputs(900), |seed| {
        let objects = Arc::new(InMemory::new());
        let mut history = History {
            dice: Dice(seed),
            catalog: FakeCatalog::new(seed ^ 0x5eed, Arc::clone(&objects)),
            objects,
            runtime: &runtime,
            processes: Vec::new(),
            landed: NODES.into_iter().map(|node| (node, Vec::new())).collect(),
            others: Others::default(),
        };
        history.processes = (0..PROCESSES).map(|_| history.process()).collect();
        history.catalog.inject_faults(4);
        let mut names = BTreeSet::new();
        for step in 0..150 {
            steps += 1;
            unknown += u64::from(!history.step());
            if step % 10 == 0 {
                let now = objects_at::names(&history.objects);
                names.retain(|name| !history.others.deleted.contains(name));
                assert!(now.is_superset(&names), "an object was deleted");
                names = now;
            }
        }
        history.end();
        acts += history.others.acts;
        let state = history.catalog.state.lock();
        faults.push(state.faults);
        merges += state.merges;
        steps
    });
    let all = |of: fn(&Faults) -> u64| faults.iter().map(of).sum::<u64>();
    let kinds = [
        all(|f| f.refused),
        all(|f| f.lost_answers),
        all(|f| f.other_answers),
        all(|f| f.doubled),
        all(|f| f.late),
        all(|f| f.replayed),
        all(|f| f.stale),
        all(|f| f.away),
        unknown,
        acts,
        merges,
    ];
    println!("{steps} steps; {kinds:?}");
    let all: u64 = kinds[..8].iter().sum();
    assert!(!whole || (all > 60 && [unknown, acts, merges].iter().all(|n| *n > 5)), "{kinds:?}");
    // A short search has not always one of each.
    assert!(!whole || steps < 5_000 || !kinds.contains(&0), "{kinds:?}");
}
