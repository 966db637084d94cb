//! Segments that cannot be made, and room that is made by ending one.

use std::io::ErrorKind;

use super::fake::Fault;
use super::*;

fn is_refused(outcome: Result<Receipt, AppendError>, fault: Fault) {
    match outcome {
        Err(error @ AppendError::NoSegment { .. }) => {
            assert!(error.to_string().contains("cannot"), "{error}");
            assert!(error.retry_after().is_some());
        }
        other => panic!("{fault:?}: {other:?}"),
    }
}

#[test]
fn a_segment_that_cannot_be_made_is_a_refusal_and_tried_again() {
    for fault in [Fault::NoFiles, Fault::Write(ErrorKind::StorageFull), Fault::Sync, Fault::Rename]
    {
        let bench = Bench::with(|options| options.segment_bytes = 400);
        let (journal, _) = bench.open();
        bench.append(&journal, [b'a'; 150]);
        bench.disk.fail(fault);
        is_refused(bench.try_append(&journal, [b'b'; 200]), fault);
        let accepting = journal.status().accepting;
        assert!(
            matches!(accepting, Err(AppendError::NoSegment { .. })),
            "{fault:?}: {accepting:?}"
        );
        assert_eq!(journal.poisoned(), None, "{fault:?}");
        // What fits goes into the old segment, and control records do.
        assert_eq!(bench.append(&journal, "small"), 2);
        journal.seal(&seal(1, 1, 1)).expect("sealed");
        journal.committed(Roll(1)).expect("committed");
        bench.disk.heal();
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(bench.append(&journal, [b'b'; 200]), 3, "{fault:?}");
        assert_eq!(journal.status().accepting, Ok(()));
        let after = Arc::new(bench.disk.power_cut(|| 0));
        drop(journal);
        let opened = Journal::open(after, bench.clock.clone(), bench.options.clone());
        let (journal, recovery) = opened.expect("opens");
        assert_eq!((recovery.next, recovery.next_roll), (Seq(4), Roll(2)), "{fault:?}");
        assert_eq!(read_from(&journal, 2).len(), 2);
    }
}

#[test]
fn a_segment_is_made_again_without_any_body() {
    let bench = Bench::with(|options| options.segment_bytes = 300);
    let (journal, _) = bench.open();
    bench.append(&journal, [b'a'; 150]);
    bench.disk.fail(Fault::NoFiles);
    is_refused(bench.try_append(&journal, [b'b'; 200]), Fault::NoFiles);
    bench.disk.heal();
    // A load balancer sends nothing to who is not ready.
    let began = std::time::Instant::now();
    while journal.status().accepting.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "not ready for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(bench.segments().len(), 2);
}

#[test]
fn a_segment_whose_name_is_not_synced_is_final() {
    let bench = Bench::with(|options| options.segment_bytes = 200);
    let (journal, _) = bench.open();
    bench.append(&journal, [b'a'; 150]);
    bench.disk.fail(Fault::SyncDir);
    let refused = bench.try_append(&journal, [b'b'; 150]);
    assert!(matches!(refused, Err(AppendError::Poisoned { .. })), "{refused:?}");
    drop(journal);
    let (journal, recovery) = bench.open();
    assert_eq!((recovery.next, recovery.torn_bytes), (Seq(2), 0));
    assert_eq!(bench.append(&journal, [b'b'; 150]), 2);
}

/// A journal with one committed segment, too small by itself to be ended for that.
fn all_committed(bench: &Bench) -> Journal {
    let (journal, _) = bench.open();
    bench.append(&journal, [b'a'; 5_000]);
    journal.seal(&seal(1, 1, 1)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    assert!(journal.status().backlog_bytes > 5_000);
    journal
}

#[test]
fn refused_room_ends_and_releases_a_segment_that_is_committed() {
    let bench = Bench::with(|options| options.reserve_bytes = 100_000);
    bench.disk.set_free_bytes(10_000_000);
    let journal = all_committed(&bench);
    let mut reader = journal.reader(Seq(2));
    bench.disk.set_capacity(106_000);
    std::thread::sleep(Duration::from_millis(300));
    // There are 6,000 bytes above the reserve less what the segment has; a new one has 1,000.
    assert_eq!(bench.append(&journal, [b'b'; 2_000]), 2);
    assert_eq!(bench.segments().len(), 1);
    assert!(matches!(reader.next(Duration::ZERO), Ok(Next::Body(_))));
}

#[test]
fn room_is_made_without_any_body() {
    let bench = Bench::with(|options| options.reserve_bytes = 100_000);
    bench.disk.set_free_bytes(10_000_000);
    let journal = all_committed(&bench);
    bench.disk.set_capacity(100_000 + (1 << 20) + 2_000);
    assert!(matches!(journal.status().accepting, Err(AppendError::DiskReserve { .. })));
    let began = std::time::Instant::now();
    while journal.status().accepting.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "not ready for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(journal.status().backlog_bytes < 1_000);
}

#[test]
fn a_segment_that_is_not_committed_stays_when_room_is_refused() {
    let bench = Bench::with(|options| options.reserve_bytes = 100_000);
    bench.disk.set_free_bytes(10_000_000);
    let journal = all_committed(&bench);
    bench.append(&journal, "waits");
    bench.disk.set_capacity(103_000);
    std::thread::sleep(Duration::from_millis(1500));
    let refused = bench.try_append(&journal, [b'b'; 2_000]);
    assert!(matches!(refused, Err(AppendError::DiskReserve { .. })), "{refused:?}");
    assert_eq!(texts(&journal, 2), ["waits"]);
    assert_eq!(bench.segments().len(), 1);
}

#[test]
fn a_reader_lets_go_of_a_released_segment() {
    let state = tempfile::tempdir().expect("a directory");
    let options = Options { segment_bytes: 1, ..Options::new(state.path()) };
    let clock = Arc::new(crate::clock::SystemClock);
    let (journal, _) = Journal::open(Arc::new(RealDisk), clock, options).expect("opens");
    let runtime = Bench::new().runtime;
    runtime.block_on(journal.append(body("one"))).expect("taken");
    let mut reader = journal.reader(Seq(1));
    assert!(matches!(reader.next(Duration::ZERO), Ok(Next::Body(_))));
    journal.seal(&seal(1, 1, 1)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    assert!(matches!(reader.next(Duration::ZERO), Ok(Next::TimedOut)));
    let held = || {
        let open = std::fs::read_dir("/proc/self/fd").expect("a list").flatten();
        let mut open = open.filter_map(|it| std::fs::read_link(it.path()).ok());
        let first = state.path().join("00000000000000000001.seg");
        open.any(|path| path.to_string_lossy().starts_with(&*first.to_string_lossy()))
    };
    assert!(!held(), "its space is not free before it is closed");
}

#[test]
fn readiness_asks_for_room_for_a_usual_bulk() {
    let bench = Bench::with(|options| options.reserve_bytes = 10_000);
    let (journal, _) = bench.open();
    bench.disk.set_free_bytes(10_000 + 500_000);
    let accepting = journal.status().accepting;
    assert!(matches!(accepting, Err(AppendError::DiskReserve { .. })), "{accepting:?}");
    bench.append(&journal, "a small one is taken");
    bench.disk.set_free_bytes(10_000 + (1 << 20));
    assert_eq!(journal.status().accepting, Ok(()));
}

#[test]
fn a_segment_is_made_again_although_bodies_keep_coming() {
    let bench = Bench::with(|options| options.segment_bytes = 5000);
    let (journal, _) = bench.open();
    bench.append(&journal, [b'a'; 150]);
    bench.disk.fail(Fault::NoFiles);
    is_refused(bench.try_append(&journal, [b'b'; 4990]), Fault::NoFiles);
    bench.disk.heal();
    for number in 0..20 {
        std::thread::sleep(Duration::from_millis(200));
        bench.append(&journal, format!("small {number}"));
    }
    assert_eq!(journal.status().accepting, Ok(()), "4 s after it was healed");
}
