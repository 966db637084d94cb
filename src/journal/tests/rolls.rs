//! Seals, commits and what they release.

use super::fake::Fault;
use super::*;

fn out_of_order(outcome: Result<(), JournalError>) -> String {
    match outcome {
        Err(JournalError::OutOfOrder(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_segment_is_worth_its_checkpoint() {
    use crate::journal::active_segment::enough_bytes;
    assert_eq!(enough_bytes(1_000, 900_000), 1_000);
    assert_eq!(enough_bytes(64 << 20, 36 << 20), 72 << 20);
    assert_eq!(enough_bytes(64 << 20, 2 << 20), 64 << 20);
}

#[test]
fn seals_and_commits_survive_restarts() {
    let bench = Bench::with(|options| options.segment_bytes = 300);
    let (journal, _) = bench.open();
    for number in 1..=12 {
        bench.append(&journal, format!("body {number}"));
    }
    let seals = [seal(1, 1, 3), seal(2, 4, 4), seal(3, 5, 9)];
    for seal in &seals {
        journal.seal(seal).expect("sealed");
    }
    journal.committed(Roll(1)).expect("committed");
    drop(journal);
    for _ in 0..2 {
        let (_, recovery) = bench.open();
        assert_eq!(recovery.sealed, seals[1..]);
        assert_eq!((recovery.next, recovery.next_roll), (Seq(13), Roll(4)));
        assert_eq!(recovery.unsealed_from, Seq(10));
    }
    let (journal, _) = bench.open();
    journal.committed(Roll(2)).expect("committed");
    journal.committed(Roll(3)).expect("committed");
    journal.seal(&seal(4, 10, 12)).expect("sealed");
    journal.committed(Roll(4)).expect("committed");
    assert_eq!(journal.status().committed_seq, Seq(12));
    drop(journal);
    // All bodies are gone, and no number is used again.
    let (journal, recovery) = bench.open();
    assert_eq!((recovery.next, recovery.next_roll), (Seq(13), Roll(5)));
    assert_eq!((recovery.unsealed_from, recovery.sealed), (Seq(13), vec![]));
    assert_eq!(bench.append(&journal, "next"), 13);
    assert_eq!(bench.segments().len(), 1);
}

#[test]
fn a_seal_or_commit_that_does_not_follow_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    for number in 1..=5 {
        bench.append(&journal, format!("body {number}"));
    }
    out_of_order(journal.committed(Roll(1)));
    out_of_order(journal.seal(&seal(2, 1, 3)));
    out_of_order(journal.seal(&seal(1, 2, 3)));
    out_of_order(journal.seal(&seal(1, 1, 6)));
    out_of_order(journal.seal(&seal(1, 1, 0)));
    let large = Seal { settings: vec![0; MAX_SETTINGS_BYTES + 1], ..seal(1, 1, 3) };
    out_of_order(journal.seal(&large));
    journal.seal(&seal(1, 1, 3)).expect("sealed");
    assert!(out_of_order(journal.seal(&seal(1, 1, 3))).contains("the next roll is 2"));
    out_of_order(journal.seal(&seal(2, 3, 4)));
    out_of_order(journal.seal(&seal(2, 5, 5)));
    journal.seal(&seal(2, 4, 5)).expect("sealed");
    assert!(out_of_order(journal.committed(Roll(2))).contains("the oldest sealed one is 1"));
    journal.committed(Roll(1)).expect("committed");
    out_of_order(journal.committed(Roll(1)));
    assert_eq!(journal.status().committed_seq, Seq(3));
}

#[test]
fn a_release_removes_only_segments_whose_bodies_are_all_committed() {
    let bench = Bench::with(|options| {
        options.segment_bytes = 350;
        options.retry_window = Duration::ZERO;
    });
    let (journal, _) = bench.open();
    for number in 1..=20 {
        bench.append(&journal, format!("body {number}"));
    }
    let before = bench.segments().len();
    assert!(before >= 5);
    journal.seal(&seal(1, 1, 7)).expect("sealed");
    assert_eq!(bench.segments().len(), before);
    journal.committed(Roll(1)).expect("committed");
    assert!(bench.segments().len() < before);
    assert_eq!(texts(&journal, 8).len(), 13);
    let first: u64 = bench.segments()[0].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert!(first <= 8, "segment {first} holds what is not committed");
}

#[test]
fn a_segment_that_cannot_be_removed_is_tried_again() {
    let bench = Bench::with(|options| options.segment_bytes = 100);
    let (journal, _) = bench.open();
    for number in 1..=4 {
        bench.append(&journal, format!("body {number}"));
    }
    journal.seal(&seal(1, 1, 2)).expect("sealed");
    bench.disk.fail(Fault::Remove);
    journal.committed(Roll(1)).expect("committed all the same");
    assert_eq!(bench.segments().len(), 4);
    let bytes: usize = bench.segments().iter().map(|path| bench.disk.bytes(path).len()).sum();
    assert_eq!(journal.status().backlog_bytes, bytes as u64);
    journal.seal(&seal(2, 3, 3)).expect("sealed");
    journal.committed(Roll(2)).expect("committed");
    assert_eq!(bench.segments().len(), 1);
}

#[test]
fn a_start_finishes_a_release_that_was_cut_off() {
    let bench = Bench::with(|options| options.segment_bytes = 100);
    let (journal, _) = bench.open();
    for number in 1..=5 {
        bench.append(&journal, format!("body {number}"));
    }
    let before = bench.disk.copy();
    journal.seal(&seal(1, 1, 4)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    drop(journal);
    // Removals may reach the disk in any order: here the second one did not.
    let back = bench.options.dir.join("00000000000000000002.seg");
    bench.disk.put(&back, &before.bytes(&back));
    let (journal, recovery) = bench.open();
    assert_eq!((recovery.next, recovery.skipped.len()), (Seq(6), 0));
    assert!(!bench.segments().contains(&back));
    assert_eq!(texts(&journal, 5), ["body 5"]);
}
