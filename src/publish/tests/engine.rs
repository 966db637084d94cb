//! The engine with a source and a log of its own: threads that fall silent, and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::harness::{Harness, line};
use crate::batch::RollLimits;
use crate::clock::SystemClock;
use crate::journal::Seal;
use crate::publish::publisher::RollLog;
use crate::publish::supervisor::Supervisor;
use crate::record::{Body, Form, Micros, Roll, Seq, SeqRange};
use crate::roll::care::Care;
use crate::roll::engine::{Engine, Mode};
use crate::roll::source::{Next, Source};

/// The wait after which a test takes a thread for dead.
const LONG: Duration = Duration::from_secs(20);

/// A source that is a function of the number of bodies it gave.
struct Given<F>(u64, F);

impl<F: FnMut(u64) -> Option<String> + Send> Source for Given<F> {
    fn next(&mut self, timeout: Duration) -> anyhow::Result<Next> {
        let Some(text) = (self.1)(self.0 + 1) else {
            std::thread::sleep(timeout);
            return Ok(Next::TimedOut);
        };
        self.0 += 1;
        Ok(Next::Body(Body {
            seq: Seq(self.0),
            received_at: Micros(0),
            table: "visits".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: Bytes::from(text),
            stored: None,
        }))
    }
}

/// Tells of seals, and fails or not.
struct Log(Sender<(Instant, Seal)>, bool);

impl RollLog for Log {
    fn seal(&mut self, seal: &Seal) -> anyhow::Result<()> {
        let _ = self.0.send((Instant::now(), seal.clone()));
        if self.1 { Err(anyhow::anyhow!("the log is broken")) } else { Ok(()) }
    }

    fn committed(&mut self, _roll: Roll) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A supervisor whose rolls have an age and nothing else, and a log.
fn aged(
    harness: &Harness,
    age_us: i64,
    fails: bool,
) -> (Supervisor, Log, Receiver<(Instant, Seal)>) {
    let (journal, recovery) = harness.open().expect("opens");
    let mut supervisor = harness.supervisor(&journal, &recovery);
    supervisor.limits =
        RollLimits { age_us, file_bytes: u64::MAX, rows: u64::MAX, source_bytes: u64::MAX };
    let (seals, seen) = channel();
    (supervisor, Log(seals, fails), seen)
}

fn run(
    supervisor: &Supervisor,
    source: &mut dyn Source,
    log: &mut Log,
    mode: Mode,
) -> anyhow::Result<()> {
    let engine = Engine {
        options: &supervisor.options,
        node: supervisor.journal.node().into(),
        limits: supervisor.limits,
        tables: &supervisor.tables,
        privacy_key: None,
        staging: &supervisor.staging,
        clock: Arc::new(SystemClock),
        observers: &supervisor.observers,
        dedup: crate::roll::doubles::Dedup::Off,
        control: &supervisor.control,
        care: &Care::default(),
        is_last: None,
    };
    let publisher = supervisor.publisher(&supervisor.tables);
    let again = matches!(mode, Mode::Redo(..));
    engine.run(source, mode, &mut |manifest| publisher.publish(log, manifest, again).map(drop))?;
    Ok(())
}

#[test]
fn bodies_that_trickle_in_do_not_put_off_the_roll() {
    let harness = Harness::new(1);
    let (supervisor, mut log, seen) = aged(&harness, 300_000, false);
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    // For as long as it takes, a body every 5 ms.
    let mut source = Given(0, |number| {
        std::thread::sleep(Duration::from_millis(5));
        assert!(!stop.load(Ordering::Relaxed), "the end of the test");
        Some(line(&format!("b{number}"), 1, false))
    });
    let first = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run(&supervisor, &mut source, &mut log, Mode::Live(Roll::FIRST))
            }));
        });
        let first = seen.recv_timeout(LONG);
        stop.store(true, Ordering::Relaxed);
        first
    });
    let (at, _) = first.expect("a roll, although bodies keep coming");
    assert!(at - began < Duration::from_secs(5), "{:?}", at - began);
}

#[test]
fn a_source_that_panics_is_no_end_of_the_bodies() {
    let harness = Harness::new(2);
    let (supervisor, mut log, seen) = aged(&harness, i64::MAX, false);
    let range = SeqRange { first: Seq(1), last: Seq(4) };
    let mut source = Given(0, |number| {
        assert!(number < 3, "the source has a bug");
        Some(line(&format!("b{number}"), 1, false))
    });
    for mode in [Mode::Redo(Roll::FIRST, range), Mode::Live(Roll::FIRST)] {
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(&supervisor, &mut source, &mut log, mode)
        }));
        assert!(!matches!(died, Ok(Ok(()))), "{mode:?}");
        let landed = harness.landed();
        assert!(landed.files.is_empty() && landed.receipts.is_empty(), "{mode:?}: {landed:?}");
        assert!(seen.try_recv().is_err(), "{mode:?}: sealed");
        source.0 = 0;
    }
}

#[test]
fn a_publisher_that_died_is_noticed_with_nothing_coming_in() {
    let harness = Harness::new(3);
    let (supervisor, mut log, seen) = aged(&harness, 100_000, true);
    let (done, ended) = channel();
    std::thread::spawn(move || {
        // One body, and then silence.
        let mut source = Given(0, |number| (number == 1).then(|| line("b1", 1, false)));
        let ran = run(&supervisor, &mut source, &mut log, Mode::Live(Roll::FIRST));
        let _ = done.send(ran);
    });
    seen.recv_timeout(LONG).expect("a seal");
    let error = ended.recv_timeout(LONG).expect("it ends").expect_err("the log is broken");
    assert!(error.to_string().contains("the log is broken"), "{error:#}");
}

#[test]
fn a_roll_that_cannot_be_staged_leaves_no_files_while_the_publisher_waits() {
    let mut harness = Harness::new(4);
    harness.rows = 2;
    let (journal, recovery) = harness.open().expect("opens");
    let supervisor = harness.supervisor(&journal, &recovery);
    supervisor.take_fence().expect("taken");
    harness.store.go_away(u64::MAX);
    harness.append(&journal, &line("a1", 1, false)).expect("taken");
    harness.append(&journal, &line("a2", 1, false)).expect("taken");
    let staging = harness.staging();
    let of_roll = |roll: u64| {
        let names = std::fs::read_dir(&staging).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(&format!("{roll}-"))).collect::<Vec<_>>()
    };
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < LONG, "{what}: {:?} {:?}", of_roll(1), of_roll(2));
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    std::thread::scope(|scope| {
        let supervisor = scope.spawn(|| supervisor.run());
        until("roll 1 waits for the store", &|| harness.store.faults().away > 10);
        // The second file of the next roll cannot be made. (A full disk would refuse it too.)
        let taken = staging.join("2-3.parquet");
        std::fs::write(&taken, b"in the way").expect("written");
        harness.append(&journal, &line("b1", 1, false)).expect("taken");
        harness.append(&journal, &line("b2", 2, false)).expect("taken");
        until("the files of roll 2 go", &|| of_roll(2).is_empty());
        assert_eq!(of_roll(1).len(), 1);
        harness.store.go_away(0);
        journal.close();
        supervisor.join().expect("no panic").expect("landed");
    });
    let landed = harness.landed();
    assert_eq!(landed.rows.len(), 4);
    landed.check_receipts();
}

/// The syncs of a lake, of which one fails.
#[derive(Clone, Debug, Default)]
struct FailsOnce {
    /// The end of the path whose sync fails.
    of: &'static str,
    /// The file. It is held open, so that its inode is not given to another one.
    file: Arc<Mutex<Option<std::fs::File>>>,
}

impl crate::lake::Syncs for FailsOnce {
    fn sync(&self, path: &std::path::Path) -> std::io::Result<()> {
        let mut failed = self.file.lock();
        if failed.is_none() && path.to_string_lossy().ends_with(self.of) {
            *failed = Some(std::fs::File::open(path)?);
            return Err(std::io::Error::other("I/O error"));
        }
        std::fs::File::open(path)?.sync_all()
    }
}

/// Opens a lake in the directory `root`.
fn directory(root: &std::path::Path) -> crate::lake::Lake {
    let lake = crate::lake::Options {
        location: crate::lake::Location::Local(root.to_owned()),
        options: Vec::new(),
        timeout: LONG,
    };
    crate::lake::Lake::open(&lake).expect("a lake")
}

#[test]
fn a_file_whose_sync_failed_is_made_again_and_not_synced_again() {
    use std::os::unix::fs::MetadataExt as _;
    let harness = Harness::new(5);
    let (journal, recovery) = harness.open().expect("opens");
    let mut supervisor = harness.supervisor(&journal, &recovery);
    let root = harness.staging().with_file_name("lake");
    let syncs = FailsOnce { of: ".parquet.tmp", ..FailsOnce::default() };
    supervisor.lake = directory(&root).syncing(Box::new(syncs.clone()));
    for number in 1..=3 {
        harness.append(&journal, &line(&format!("b{number}"), 1, false)).expect("taken");
    }
    journal.close();
    supervisor.run().expect("landed");
    let failed = syncs.file.lock().take().expect("a sync failed");
    let failed = failed.metadata().expect("open").ino();
    let name = crate::lake::names::data("visits", "day=1", journal.node(), Roll::FIRST);
    assert_ne!(root.join(name).metadata().expect("landed").ino(), failed);
}

/// A file system that takes names for one that differ in the case of ASCII.
#[derive(Debug)]
struct FoldsCase(std::path::PathBuf);

impl crate::lake::Syncs for FoldsCase {
    fn sync(&self, path: &std::path::Path) -> std::io::Result<()> {
        std::fs::File::open(path)?.sync_all()
    }

    fn stored(&self, path: std::path::PathBuf) -> std::path::PathBuf {
        let below = path.strip_prefix(&self.0).expect("within the lake");
        self.0.join(below.to_str().expect("text").to_ascii_lowercase())
    }
}

/// As a roll that was sealed for another file system, or by an earlier build.
#[test]
fn a_roll_of_which_two_names_are_one_file_is_not_put() {
    let harness = Harness::new(7);
    let (journal, recovery) = harness.open().expect("opens");
    let mut supervisor = harness.supervisor(&journal, &recovery);
    let root = harness.staging().with_file_name("lake");
    supervisor.lake = directory(&root).syncing(Box::new(FoldsCase(root.clone())));
    for (id, land) in [("a", "Germany"), ("b", "GERMANY"), ("c", "germany")] {
        let line = format!("{{\"id\":\"{id}\",\"on\":\"{land}\"}}\n");
        harness.append(&journal, &line).expect("taken");
    }
    journal.close();
    let error = format!("{:#}", supervisor.run().expect_err("somebody has to look"));
    assert!(error.contains("for one file, and nothing of the roll was put"), "{error}");
    assert!(!root.join("visits").exists() && journal.status().committed_seq == Seq(0));
}

#[test]
fn a_staging_file_is_synced_before_it_is_read_for_a_bucket() {
    let harness = Harness::new(6);
    let (journal, recovery) = harness.open().expect("opens");
    let mut supervisor = harness.supervisor(&journal, &recovery);
    let syncs = FailsOnce { of: "1-1.parquet", ..FailsOnce::default() };
    supervisor.lake = supervisor.lake.syncing(Box::new(syncs.clone()));
    harness.append(&journal, &line("b1", 1, false)).expect("taken");
    journal.close();
    supervisor.attempt().expect_err("the file may have holes");
    assert!(harness.landed().files.is_empty());
    supervisor.run().expect("landed");
    assert_eq!(harness.landed().rows.len(), 1);
}
