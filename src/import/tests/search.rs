//! A search for histories of imports that lose or double lines: the real planner, claims, engine and
//! publisher, on a store that fails and dies.
//!
//! A history is a row of commands over a few files, each with some of them, alone or two at once, of
//! one machine or of two. The store refuses calls, loses answers, carries calls out late, or ends the
//! process at any of them; files are missing, or are cut or appended to while they are landed; imports are given up;
//! marks are deleted. After a last command with all files and without faults, every line is in the
//! lake once, and after any command that ended well each line of its files is. Half of the tables have a flat
//! one, with all rows of each line as often as the line is there. Half of them have `dedup`: files share
//! documents then, which are left out for one another within an import.
//!
//! A short search runs with every `cargo test`. The long one: `SESSIONLAKE_SEARCH_STEPS=200000 cargo
//! test --release import::tests::search -- --nocapture`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use object_store::ObjectMeta;

use super::*;
use crate::publish::pauses::Pauses;
use crate::publish::tests::store::FakeStore;
use crate::search::{Dice, histories};

/// Histories and steps of the search that every test run makes at least.
const HISTORIES: u64 = 30;
const STEPS: u64 = 2_000;

/// Counts over all histories.
#[derive(Debug, Default)]
struct Tally {
    histories: u64,
    commands: u64,
    in_order: u64,
    failed: u64,
    deaths: u64,
    pairs: u64,
    disturbed: u64,
    missing: u64,
    appended: u64,
    given_up: u64,
    marks_deleted: u64,
    all_marks_deleted: u64,
    refused: u64,
    lost_answers: u64,
    late: u64,
    /// Documents that were left out.
    doubled: u64,
    /// Commands, and calls to the store.
    steps: u64,
}

struct File {
    name: String,
    text: String,
    ids: Vec<String>,
    /// Most times that each of its lines may be there.
    most: u64,
}

struct History {
    dice: Dice,
    bench: Bench,
    /// Stores of two machines, over the same objects.
    machines: [FakeStore; 2],
    files: Vec<File>,
    chunk_bytes: usize,
    /// All marks were deleted: what is in is not known any more.
    forgotten: bool,
    /// Data files may be there that no receipt accounts for.
    orphans: bool,
}

/// The marks that are deleted, and the index with them or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    Claims,
    All,
    /// The oldest ones.
    ByAge,
    /// Any.
    Any,
}

/// The outcome of a command.
enum Ended {
    /// What has not landed, each with the reason.
    Told(Vec<String>),
    Failed,
    Died,
}

impl History {
    fn new(seed: u64) -> History {
        let mut dice = Dice(seed);
        let mut bench = Bench::new(&format!("search-{seed}"));
        bench.is_flat = seed % 2 == 1;
        bench.has_dedup = seed % 4 >= 2;
        let machine = |dice: &mut Dice| FakeStore::over(Arc::clone(&bench.store), dice.roll());
        let machines = [machine(&mut dice), machine(&mut dice)];
        let mut files = Vec::new();
        for file in 0..3 + dice.below(5) {
            let (mut text, mut ids) = (String::new(), Vec::new());
            for line in 0..1 + dice.below(7) {
                let mut id = format!("f{file}-{line}");
                let is_broken = line > 0 && dice.one_in(6);
                // Others have it too, or this one once more. No two files are equal.
                if bench.has_dedup && line > 0 && !is_broken && dice.one_in(2) {
                    id = format!("s{}", dice.below(4));
                }
                let whole = match bench.is_flat {
                    true => with_events(&id),
                    false => format!("{{\"id\":\"{id}\"}}\n"),
                };
                text += &match is_broken {
                    true => format!("{{broken \"{id}\"\n"),
                    false if bench.has_dedup => keyed(&whole),
                    false => whole,
                };
                ids.push(id);
            }
            let name = format!("file-{file}");
            bench.file(&name, &text);
            files.push(File { name, text, ids, most: 1 });
        }
        let chunk_bytes = 1 + dice.below(60) as usize;
        let (forgotten, orphans) = (false, false);
        History { dice, bench, machines, files, chunk_bytes, forgotten, orphans }
    }

    fn importer(
        &mut self,
        machine: usize,
        files: &[&str],
        lock: usize,
    ) -> anyhow::Result<Importer> {
        let mut options = self.bench.options(files);
        options.lake.location =
            Location::S3 { bucket: format!("{}-{lock}", self.bench.bucket), prefix: "l".into() };
        options.roll.roll_rows = Some(1 + self.dice.below(8));
        let part_bytes = if self.dice.one_in(2) { 1 << 20 } else { 700 };
        let lake = Lake::on(Arc::new(self.machines[machine].clone()), part_bytes);
        let runtime = self.bench.runtime.handle().clone();
        let mut importer = Importer::with_lake(options, lake, runtime)?;
        let none = Duration::ZERO;
        importer.pauses = Pauses { store: none, restart: none, most: none };
        importer.chunk_bytes = self.chunk_bytes;
        Ok(importer)
    }

    /// Some of the files, in any order.
    fn some(&mut self) -> Vec<String> {
        let mut names: Vec<String> = self.files.iter().map(|file| file.name.clone()).collect();
        if self.dice.one_in(3) {
            return names;
        }
        for at in (1..names.len()).rev() {
            names.swap(at, self.dice.below(at as u64 + 1) as usize);
        }
        names.truncate(1 + self.dice.below(names.len() as u64) as usize);
        names
    }

    fn plan_faults(&mut self, machine: usize) {
        let store = &self.machines[machine];
        store.next_process();
        let nth = 1 + self.dice.below(35);
        store.die_at(self.dice.one_in(2).then_some(nth), &Arc::default());
        store.inject_faults([0, 0, 5, 12][self.dice.below(4) as usize]);
    }

    fn command(&mut self, tally: &mut Tally) {
        let pair = self.dice.one_in(3);
        let same_machine = self.dice.one_in(8);
        let mut commands = Vec::new();
        for machine in 0..if pair { 2 } else { 1 } {
            let names = self.some();
            self.plan_faults(machine);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let lock = if same_machine { 0 } else { machine };
            let importer = self.importer(machine, &names, lock).unwrap();
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            commands.push((machine, names, importer));
        }
        tally.commands += commands.len() as u64;
        tally.pairs += u64::from(pair);
        let disturbed = (!pair && self.dice.one_in(4)).then(|| self.disturbance());
        let outcomes: Vec<(Vec<String>, Ended)> = std::thread::scope(|scope| {
            let threads: Vec<_> = commands
                .into_iter()
                .map(|(machine, names, importer)| {
                    let (store, disturbed) = (self.machines[machine].clone(), disturbed.clone());
                    scope.spawn(move || (names, run(&importer, &store, disturbed.as_ref())))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        if let Some((path, text)) = disturbed {
            tally.disturbed += 1;
            tally.missing += u64::from(!path.exists());
            tally.appended += u64::from(text.is_some_and(|text| text.contains("more-")));
            for file in &self.files {
                self.bench.file(&file.name, &file.text);
            }
        }
        for (names, ended) in outcomes {
            match ended {
                Ended::Told(failed) if failed.is_empty() => {
                    tally.in_order += 1;
                    self.check_in(&names);
                }
                Ended::Told(_) | Ended::Failed => tally.failed += 1,
                Ended::Died => tally.deaths += 1,
            }
        }
        self.check_counts();
    }

    /// A file, and its text after the plan: cut, with more behind it, or gone.
    fn disturbance(&mut self) -> (PathBuf, Option<String>) {
        let at = self.dice.below(self.files.len() as u64) as usize;
        let file = &self.files[at];
        let cut = self.dice.below(file.text.len() as u64) as usize;
        let text = match self.dice.below(3) {
            0 => None,
            1 => Some(file.text[..cut].to_owned()),
            _ => {
                let more = (0..1 + cut % 20).map(|n| format!("{{\"id\":\"more-{n}\"}}\n"));
                Some(file.text.clone() + &more.collect::<String>())
            }
        };
        (self.bench.path(&file.name), text)
    }

    /// Gives up an import that is open, if there is one and the lake is well.
    fn give_up(&mut self, tally: &mut Tally) {
        let faults = self.dice.one_in(3);
        self.plan_faults(0);
        if !faults {
            self.calm(0);
        }
        let import = self.importer(0, &[], 0).unwrap();
        let Ok(Ok(nodes)) = catch_unwind(AssertUnwindSafe(|| import.manifests.open_nodes())) else {
            return;
        };
        if nodes.is_empty() {
            return;
        }
        let node = &nodes[self.dice.below(nodes.len() as u64) as usize];
        let manifests = self.bench.manifests().unwrap();
        let Some(manifest) = manifests.get(node) else { return };
        // Whether it was heard of or not: a file of it may be imported once more from here on.
        for file in &manifest.files {
            for own in self.files.iter_mut().filter(|own| file.name.ends_with(&own.name)) {
                own.most += 1;
            }
        }
        self.orphans = true;
        let given_up = catch_unwind(AssertUnwindSafe(|| import.give_up(node)));
        if let Ok(Ok(GivenUp { imported, unfinished, .. })) = given_up {
            tally.given_up += 1;
            self.orphans |= unfinished.is_some();
            for own in &mut self.files {
                // In whole, and so remembered.
                own.most -= u64::from(imported.iter().any(|name| name.ends_with(&own.name)));
            }
        }
    }

    fn delete_marks(&mut self, tally: &mut Tally) {
        let gone = [Gone::Claims, Gone::All, Gone::ByAge, Gone::Any][self.dice.below(4) as usize];
        let index_too = self.dice.one_in(2);
        tally.marks_deleted += 1;
        tally.all_marks_deleted += u64::from(gone == Gone::All);
        self.forgotten |= gone != Gone::Claims;
        self.orphans |= gone != Gone::Claims;
        let mut marks: Vec<_> = self.bench.runtime.block_on(async {
            for machine in &self.machines {
                machine.settle().await;
            }
            let listed: Vec<_> = self.bench.store.list(None).try_collect().await.unwrap();
            let mark = |object: &ObjectMeta| object.location.as_ref().starts_with("lake/_imports/");
            listed.into_iter().filter(mark).collect()
        });
        marks.sort_by_key(|mark| (mark.last_modified, mark.location.clone()));
        let oldest = self.dice.below(marks.len() as u64 + 1) as usize;
        let index = ObjectName::ImportIndex.to_string();
        let lake = &self.bench.import(&[]).manifests.lake;
        let canaries = self.bench.runtime.block_on(lake.get(&index)).unwrap().unwrap_or_default();
        let canaries = String::from_utf8(canaries).unwrap();
        // Of any others, one of the canaries is: what leaves both is not noticed.
        let mut canary = true;
        for (at, mark) in marks.iter().enumerate() {
            let name = mark.location.as_ref().strip_prefix("lake/").unwrap();
            let is_claim = name.starts_with("_imports/files/");
            let is_gone = match gone {
                _ if name == index && gone != Gone::ByAge => index_too || gone == Gone::All,
                Gone::All => true,
                Gone::Claims => is_claim,
                Gone::ByAge => at < oldest,
                Gone::Any if canary && canaries.contains(name) => {
                    canary = false;
                    true
                }
                Gone::Any => self.dice.one_in(2),
            };
            if is_gone {
                self.bench.runtime.block_on(self.bench.store.delete(&mark.location)).unwrap();
            }
        }
    }

    fn calm(&self, machine: usize) {
        let store = &self.machines[machine];
        store.next_process();
        store.inject_faults(0);
        store.go_away(0);
    }

    fn run(&mut self, tally: &mut Tally) {
        for _ in 0..2 + self.dice.below(7) {
            match self.dice.below(14) {
                0 | 1 => self.give_up(tally),
                2 => self.delete_marks(tally),
                _ => self.command(tally),
            }
        }
        for machine in 0..2 {
            self.calm(machine);
            self.bench.runtime.block_on(self.machines[machine].settle());
        }
        self.drain();
        self.check_counts();
        tally.doubled += self.doubled();
        for machine in &self.machines {
            let faults = machine.faults();
            tally.steps += faults.calls;
            tally.refused += faults.refused;
            tally.lost_answers += faults.lost_answers;
            tally.late += faults.late;
        }
        tally.steps = tally.steps.max(tally.commands);
    }

    /// Imports all files until they are all known.
    fn drain(&mut self) {
        let names: Vec<String> = self.files.iter().map(|file| file.name.clone()).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut told = Vec::new();
        for _ in 0..8 {
            let importer = self.importer(0, &all, 0).unwrap();
            told = match land_all(&importer) {
                Ok(told) if told.is_empty() => {
                    self.check_in(&names);
                    continue;
                }
                Ok(told) => told,
                Err(error) => vec![format!("{error:#}")],
            };
            if told.len() == 1 && told[0].starts_with("imported before, and left out: ") {
                self.check_in(&names);
                return;
            }
        }
        assert!(self.forgotten, "it does not come to an end: {told:?}");
        // The last: a file of a roll whose marks are gone stands, and what was imported has changed since.
        let says = [
            "imported before, in whole",
            "whose records are gone",
            "was something removed",
            "it is of other bodies",
        ];
        let known = says.iter().any(|says| told.iter().any(|told| told.contains(says)));
        assert!(known, "it does not say that marks are gone: {told:?}");
    }

    /// Lines by id: in data files and quarantine files that a receipt accounts for.
    fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        let (accounted, all) = self.bench.lines();
        for id in accounted {
            *counts.entry(id).or_default() += 1;
        }
        if !self.orphans {
            let total: u64 = counts.values().sum();
            assert!(all >= total as usize, "a receipt without its files");
        }
        counts
    }

    /// Every line of the files is in.
    fn check_in(&self, names: &[String]) {
        let counts = self.counts();
        for file in self.files.iter().filter(|file| names.contains(&file.name)) {
            for id in &file.ids {
                assert!(counts.contains_key(id), "{id} is lost: {counts:?}");
            }
        }
    }

    fn check_counts(&self) {
        let counts = self.counts();
        let more = counts.keys().find(|id| id.starts_with("more-"));
        assert_eq!(more, None, "was appended after the files were hashed");
        let mut most = BTreeMap::<&str, u64>::new();
        for file in &self.files {
            file.ids.iter().for_each(|id| *most.entry(id).or_default() += file.most);
        }
        for (id, most) in most {
            let count = counts.get(id).copied().unwrap_or(0);
            assert!(count <= most, "{id} is there {count} times, of {most}");
        }
    }

    /// Returns the documents that were left out, and checks that receipts account for all, and that a roll
    /// leaves out what its seal says, whoever has made it.
    fn doubled(&self) -> u64 {
        let (receipts, manifests) = (self.bench.receipts(), self.bench.import(&[]).manifests);
        for receipt in &receipts {
            assert_eq!(receipt.lines, receipt.rows + receipt.rejects + receipt.doubled);
            let seal = manifests.sealed(&receipt.node, Roll(receipt.roll)).unwrap();
            // Marks may have been deleted.
            let Some(Sealed::Roll(sealed)) = seal else { continue };
            assert_eq!(receipt.doubled, sealed.left_out.len() as u64, "{receipt:?}");
        }
        receipts.iter().map(|receipt| receipt.doubled).sum()
    }
}

/// Runs a command as a process of its own. A file that is disturbed is so after the plan.
fn run(
    importer: &Importer,
    store: &FakeStore,
    disturbed: Option<&(PathBuf, Option<String>)>,
) -> Ended {
    let command = || match disturbed {
        None => land_all(importer),
        Some((path, text)) => {
            let plan = planner::plan(importer, &importer.options.inputs)?;
            match text {
                Some(text) => std::fs::write(path, text)?,
                None => std::fs::remove_file(path)?,
            }
            let mut failed = [plan.refused, plan.known].concat();
            for planned in plan.imports {
                match importer.run(planned, &Report::new(&[], true)) {
                    Ok(run) => {
                        failed.extend(run.failed);
                        failed.extend(run.retry.iter().map(report::name));
                    }
                    Err(error) => failed.push(format!("{error:#}")),
                }
            }
            Ok(failed)
        }
    };
    match catch_unwind(AssertUnwindSafe(command)) {
        _ if store.is_dead() => Ended::Died,
        Ok(Ok(failed)) => Ended::Told(failed),
        Ok(Err(_)) => Ended::Failed,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[test]
fn no_history_loses_or_doubles_a_line_of_a_file() {
    let mut tally = Tally::default();
    let all = histories(HISTORIES, STEPS, |seed| {
        History::new(seed).run(&mut tally);
        tally.histories += 1;
        tally.steps
    });
    println!("{tally:#?}");
    if all {
        let all = [tally.deaths, tally.pairs, tally.disturbed, tally.missing, tally.given_up];
        assert!(tally.appended > 0 && tally.doubled > 0, "{tally:?}");
        assert!(all.iter().all(|n| *n > 0), "{tally:?}");
        let marks = [tally.marks_deleted, tally.in_order, tally.failed];
        assert!(marks.iter().all(|n| *n > 0), "{tally:?}");
        // One kind of four of what happens in some histories only.
        assert!(tally.histories < 4 * HISTORIES || tally.all_marks_deleted > 0, "{tally:?}");
        let store = [tally.refused, tally.lost_answers, tally.late];
        assert!(store.iter().all(|n| *n > 0), "{tally:?}");
    }
}
