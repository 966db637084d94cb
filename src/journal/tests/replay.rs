//! The progress of a replay, and its stop.

use super::*;

/// A journal of several segments.
fn bench() -> Bench {
    let bench = Bench::with(|options| options.segment_bytes = 20_000);
    let (journal, _) = bench.open();
    for number in 0..20 {
        bench.append(&journal, format!("{number} ").repeat(2_000));
    }
    journal.close();
    bench
}

fn replay(
    bench: &Bench,
    progress: &Arc<ReplayProgress>,
) -> Result<(Journal, Recovery), JournalError> {
    Journal::replay(bench.disk.clone(), bench.clock.clone(), bench.options.clone(), progress)
}

#[test]
fn all_bytes_that_are_there_have_been_read_at_the_end() {
    let bench = bench();
    let there: u64 = bench.segments().iter().map(|path| bench.disk.bytes(path).len() as u64).sum();
    let progress = Arc::new(ReplayProgress::default());
    assert_eq!(progress.bytes(), (0, 0));
    replay(&bench, &progress).expect("it opens");
    let (read, total) = progress.bytes();
    assert!(total > there && total < there + 60_000, "{total} of {there}, the newest one twice");
    assert_eq!(read, total);
}

#[test]
fn a_replay_that_is_stopped_says_so_and_the_next_one_finds_all() {
    let bench = bench();
    let progress = Arc::new(ReplayProgress::default());
    progress.stop();
    let error = replay(&bench, &progress).map(|_| ()).expect_err("it was stopped");
    assert!(matches!(error, JournalError::Stopped), "{error}");
    let (journal, recovery) = bench.open();
    assert_eq!((recovery.next, recovery.torn_bytes), (Seq(21), 0));
    assert_eq!(read_from(&journal, 1).len(), 20);
}
