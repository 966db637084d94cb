//! A directory that is gone under a running journal.

use super::fake::{FaultEffect, PlannedFault};
use super::*;
use crate::clock::SystemClock;

fn is_gone(outcome: Result<Receipt, AppendError>) {
    match outcome {
        Err(AppendError::Poisoned { reason }) => {
            assert!(reason.contains("was deleted, unmounted or replaced"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_body_is_acknowledged_into_a_directory_that_is_gone() {
    for made_again in [false, true] {
        let mut bench = Bench::new();
        let (journal, _) = bench.open();
        bench.append(&journal, "acked");
        bench.disk.lose_directory(made_again);
        is_gone(bench.try_append(&journal, "into nowhere"));
        assert!(journal.poisoned().is_some());
        assert!(matches!(journal.status().accepting, Err(AppendError::Poisoned { .. })));
        drop(journal);
        // With the directory back as it was, all that was acked is there.
        bench.disk = Arc::new(bench.disk.power_cut(|| 0));
        let (journal, _) = bench.open();
        assert_eq!(texts(&journal, 1), ["acked"]);
    }
}

#[test]
fn a_directory_that_goes_at_any_call_of_a_group_takes_no_acknowledged_body_along() {
    for at in 1.. {
        let mut bench = Bench::with(|options| options.segment_bytes = 300);
        let (journal, _) = bench.open();
        let planned = PlannedFault { at, what: FaultEffect::Gone, seed: at };
        bench.disk.plan_fault(Some(planned));
        let mut acked = Vec::new();
        for number in 1..=6 {
            let text = format!("this is body {number}");
            match bench.try_append(&journal, &text) {
                Ok(_) => acked.push(text),
                // The next segment could not be made there: nothing was written.
                Err(AppendError::NoSegment { .. }) => {}
                refused => is_gone(refused),
            }
        }
        let came = bench.disk.is_gone();
        drop(journal);
        bench.disk = Arc::new(bench.disk.power_cut(|| 0));
        let (journal, _) = bench.open();
        assert_eq!(texts(&journal, 1), acked, "gone at call {at}");
        if !came {
            assert!(at > 12, "the calls of six bodies and of two segments");
            break;
        }
    }
}

#[test]
fn a_start_whose_directory_goes_at_any_call_reports_nothing_that_is_not_there() {
    for at in 1.. {
        let mut bench = Bench::new();
        let (journal, _) = bench.open();
        bench.append(&journal, "acked");
        // Its sync fails, so that it is read by the next start and may be on no disk.
        bench.disk.fail(super::fake::Fault::Sync);
        assert!(journal.seal(&seal(1, 1, 1)).is_err());
        drop(journal);
        let planned = PlannedFault { at, what: FaultEffect::Gone, seed: at };
        bench.disk.plan_fault(Some(planned));
        let reported = bench.try_open().map(|(_, recovery)| recovery.sealed);
        let came = bench.disk.is_gone();
        bench.disk = Arc::new(bench.disk.power_cut(|| 0));
        let (_, recovery) = bench.open();
        if let Ok(reported) = reported {
            assert_eq!(recovery.sealed, reported, "gone at call {at}");
        }
        if !came {
            assert!(at > 5, "the calls of a start");
            break;
        }
    }
}

#[test]
fn a_second_journal_in_the_directory_made_again_is_the_only_one_that_acknowledges() {
    let bench = Bench::with(|options| options.segment_bytes = 200);
    let (old, _) = bench.open();
    for number in 1..=4 {
        bench.append(&old, format!("this is body {number}"));
    }
    old.seal(&seal(1, 1, 3)).expect("sealed");
    bench.disk.lose_directory(true);
    let (new, recovery) = bench.open();
    assert_eq!(recovery.next, Seq(1));
    for number in 1..=5 {
        bench.append(&new, format!("another body {number}"));
    }
    let segments = bench.segments();
    // Neither deletes the old one what has the names of its segments, nor does it make others.
    assert!(matches!(old.committed(Roll(1)), Err(JournalError::Poisoned { .. })));
    is_gone(bench.try_append(&old, "this is body 5"));
    drop(old);
    assert_eq!(bench.segments(), segments);
    assert_eq!(texts(&new, 1).len(), 5);
    drop(new);
    let (new, _) = bench.open();
    assert_eq!(texts(&new, 1).len(), 5);
}

#[test]
fn a_next_segment_is_not_made_in_a_directory_that_is_somebody_elses() {
    let bench = Bench::with(|options| options.segment_bytes = 100);
    let (old, _) = bench.open();
    bench.append(&old, "this is body 1");
    bench.disk.lose_directory(true);
    is_gone(bench.try_append(&old, "this is body 2"));
    assert!(bench.segments().is_empty());
}

#[test]
fn a_directory_that_is_gone_is_noticed_without_any_body() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let mut reader = journal.reader(Seq(1));
    bench.disk.lose_directory(false);
    // The reader waits, and hears of it.
    match reader.next(Duration::from_secs(10)) {
        Err(JournalError::Poisoned { reason }) => assert!(reason.contains("deleted"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_on_a_real_disk() {
    let state = tempfile::tempdir().expect("a directory");
    let runtime = Bench::new().runtime;
    type Lose = fn(&Path);
    let cases: [(&str, Lose); 4] = [
        ("deleted", |dir| std::fs::remove_dir_all(dir).expect("deleted")),
        ("moved away", |dir| std::fs::rename(dir, dir.with_extension("away")).expect("moved")),
        ("replaced", |dir| {
            std::fs::rename(dir, dir.with_extension("old")).expect("moved");
            std::fs::create_dir(dir).expect("made");
            for entry in std::fs::read_dir(dir.with_extension("old")).expect("listed") {
                let from = entry.expect("an entry").path();
                std::fs::copy(&from, dir.join(from.file_name().expect("a name"))).expect("copied");
            }
        }),
        ("without its lock", |dir| {
            std::fs::remove_file(dir.join(LOCK)).expect("deleted");
        }),
    ];
    for (what, lose) in cases {
        let dir = state.path().join(what);
        let open = || Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), Options::new(&dir));
        let (journal, _) = open().expect("opens");
        assert!(runtime.block_on(journal.append(body("before"))).is_ok());
        lose(&dir);
        // A second one can begin where the name of the first one's lock is free.
        let second = open().expect("opens beside it").0;
        is_gone(runtime.block_on(journal.append(body("after"))));
        assert!(runtime.block_on(second.append(body("after"))).is_ok(), "{what}");
    }
}
