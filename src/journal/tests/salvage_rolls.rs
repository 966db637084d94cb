//! What is known of rolls when a segment is damaged.

use super::crash::frames;
use super::*;
use crate::journal::frame::Kind;

fn ranges(recovery: &Recovery) -> Vec<(u64, u64, u64)> {
    recovery.sealed.iter().map(|it| (it.roll.0, it.range.first.0, it.range.last.0)).collect()
}

/// Flips a bit of the byte that `at` chooses.
fn flip(bench: &Bench, path: &Path, at: impl FnOnce(&[u8]) -> usize) {
    let mut bytes = bench.disk.bytes(path);
    let at = at(&bytes);
    bytes[at] ^= 1;
    bench.disk.put(path, &bytes);
}

/// A byte of the payload of the checkpoint.
fn checkpoint(bytes: &[u8]) -> usize {
    frames(bytes)[0].0 + 50
}

fn body_at(bytes: &[u8], seq: u64) -> usize {
    let found = frames(bytes).into_iter().find(|it| it.1.kind == Kind::Body && it.1.seq == seq);
    found.expect("the body").0
}

/// Lands rolls `from` to `to`, of two bodies each.
fn land(bench: &Bench, journal: &Journal, from: u64, to: u64) {
    for roll in from..=to {
        let first = bench.append(journal, format!("first of roll {roll}"));
        let last = bench.append(journal, format!("last of roll {roll}"));
        journal.seal(&seal(roll, first, last)).expect("sealed");
        journal.committed(Roll(roll)).expect("committed");
    }
}

#[test]
fn what_had_landed_stays_landed_when_the_only_checkpoint_is_damaged() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    land(&bench, &journal, 1, 3);
    bench.append(&journal, "waits");
    drop(journal);
    assert_eq!(bench.segments().len(), 1);
    flip(&bench, &bench.last_segment(), checkpoint);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!(recovery.unsealed_from, Seq(7), "landed bodies would land again");
    assert!(recovery.next_roll > Roll(3) && recovery.next_roll < Roll(100), "{recovery:?}");
    assert_eq!(texts(&journal, 7), ["waits"]);
    assert!(bench.try_append(&journal, "first of roll 2").expect("known").duplicate);
}

#[test]
fn a_roll_that_begins_before_the_only_segment_is_the_first_that_is_known() {
    let bench = Bench::with(|options| options.segment_bytes = 400);
    let (journal, _) = bench.open();
    land(&bench, &journal, 1, 1);
    let first = 3;
    let mut last = first;
    bench.append(&journal, "the first of roll 2");
    while bench.segments().len() < 2 {
        last = bench.append(&journal, format!("a further one of roll 2 after {last}"));
    }
    journal.seal(&seal(2, first, last)).expect("sealed");
    // Or the commit would end the segment.
    let waiting = bench.append(&journal, "waits");
    journal.committed(Roll(2)).expect("committed");
    drop(journal);
    assert_eq!(bench.segments().len(), 1, "the first one is released");
    flip(&bench, &bench.last_segment(), checkpoint);
    let (_, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!(recovery.unsealed_from, Seq(waiting));
    assert_eq!((ranges(&recovery), recovery.skipped.len()), (vec![], 1), "{recovery:?}");
    assert!(recovery.next_roll > Roll(2) && recovery.next_roll < Roll(100), "{recovery:?}");
}

#[test]
fn a_roll_that_has_not_landed_tells_of_bodies_that_were_before_the_only_segment() {
    let bench = Bench::with(|options| options.segment_bytes = 400);
    let (journal, _) = bench.open();
    let mut last = bench.append(&journal, "the first of roll 1");
    while bench.segments().len() < 2 {
        last = bench.append(&journal, format!("a further one of roll 1 after {last}"));
    }
    journal.seal(&seal(1, 1, last)).expect("sealed");
    drop(journal);
    let segments = bench.segments();
    bench.disk.remove(&segments[0]).expect("removed");
    flip(&bench, &segments[1], checkpoint);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!(ranges(&recovery), [(1, 1, last)]);
    let lost = journal.lost(SeqRange { first: Seq(1), last: Seq(last) });
    assert_eq!(lost, [SeqRange { first: Seq(1), last: Seq(last - 1) }]);
}

#[test]
fn a_bit_of_the_only_head_costs_nothing_that_its_checkpoint_says() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    land(&bench, &journal, 1, 1);
    drop(journal);
    let (journal, _) = bench.open();
    land(&bench, &journal, 2, 3);
    drop(journal);
    assert_eq!(bench.segments().len(), 1);
    flip(&bench, &bench.last_segment(), |_| 30);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!((recovery.unsealed_from, recovery.next_roll), (Seq(7), Roll(4)));
    assert!(bench.try_append(&journal, "last of roll 1").expect("known").duplicate);
}

#[test]
fn a_seal_proves_that_the_rolls_before_it_have_landed() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    land(&bench, &journal, 1, 2);
    for text in ["first of roll 3", "last of roll 3"] {
        bench.append(&journal, text);
    }
    journal.seal(&seal(3, 5, 6)).expect("sealed");
    drop(journal);
    // The seals of rolls 1 and 2 and what lies between.
    let path = bench.last_segment();
    let mut bytes = bench.disk.bytes(&path);
    let all = frames(&bytes);
    let from = all.iter().find(|it| it.1.kind == Kind::Seal).expect("a seal").0;
    let to = all.iter().rfind(|it| it.1.kind == Kind::Committed).expect("a commit").2;
    bytes[from..to].fill(0);
    bench.disk.put(&path, &bytes);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!(
        ranges(&recovery),
        [(3, 5, 6)],
        "nobody knows where roll 1 ended, but it has landed"
    );
    assert_eq!(journal.status().committed_seq, Seq(4));
    journal.committed(Roll(3)).expect("committed");
}

#[test]
fn the_rolls_of_a_damaged_segment_do_not_depend_on_damage_before_it() {
    let bench = Bench::with(|options| options.segment_bytes = 600);
    let (journal, _) = bench.open();
    let mut last = 0;
    while bench.segments().len() < 2 {
        last = bench.append(&journal, format!("this is body {}", last + 1));
    }
    journal.seal(&seal(1, 1, last - 1)).expect("sealed");
    for roll in 2..=4 {
        journal.seal(&seal(roll, last, last)).expect("sealed");
        last = bench.append(&journal, format!("this is body {}", last + 1));
    }
    drop(journal);
    let paths = bench.segments();
    flip(&bench, &paths[0], |bytes| body_at(bytes, 2) + 12);
    flip(&bench, &paths[1], checkpoint);
    let (_, recovery) = bench.skip_damaged().expect("opens");
    let mut next = 1;
    for (roll, first, last) in ranges(&recovery) {
        assert_eq!(first, next, "roll {roll}: bodies {next} to {} are in no roll", first - 1);
        next = last + 1;
    }
    assert_eq!((recovery.sealed.len(), recovery.unsealed_from.0), (4, next));
}

#[test]
fn a_damaged_body_that_has_landed_is_not_lost() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    for number in 1..=4 {
        bench.append(&journal, format!("this is body {number}"));
    }
    journal.seal(&seal(1, 1, 2)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    drop(journal);
    let path = bench.last_segment();
    flip(&bench, &path, |bytes| body_at(bytes, 1) + 60);
    flip(&bench, &path, |bytes| body_at(bytes, 4) + 60);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    let lost = SeqRange { first: Seq(4), last: Seq(4) };
    assert_eq!(recovery.skipped[0].lost, [lost]);
    assert_eq!(recovery.skipped[0].kept, 1, "body 2 has landed");
    assert_eq!(texts(&journal, 3), ["this is body 3"]);
}

#[test]
fn lost_ranges_that_overlap_are_one() {
    let mut control = Control::new();
    for (first, last) in [(5, 9), (3, 6), (20, 30), (8, 12), (21, 22)] {
        control.lose(SeqRange { first: Seq(first), last: Seq(last) });
    }
    let lost: Vec<_> = control.lost.iter().map(|range| (range.first.0, range.last.0)).collect();
    assert_eq!(lost, [(3, 12), (20, 30)]);
}
