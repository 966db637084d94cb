//! What is kept of damaged segments.

use super::crash::frames;
use super::fake::{FakeDisk, Fault, FaultEffect, PlannedFault};
use super::*;
use crate::journal::frame::{HEADER_BYTES, Kind};

fn text(number: u64) -> String {
    format!("this is body {number}")
}

/// A journal of bodies 1 to `count` in one segment, sealed by fours, and that segment's bytes.
fn journal_of(bench: &Bench, count: u64) -> (PathBuf, Vec<u8>) {
    let (journal, _) = bench.open();
    for number in 1..=count {
        bench.append(&journal, text(number));
        if number % 4 == 0 {
            journal.seal(&seal(number / 4, number - 3, number)).expect("sealed");
        }
    }
    drop(journal);
    let path = bench.last_segment();
    let bytes = bench.disk.bytes(&path);
    (path, bytes)
}

/// The offset of the frame of this kind and number.
fn at(bytes: &[u8], kind: Kind, seq: u64) -> usize {
    let found = frames(bytes).into_iter().find(|it| it.1.kind == kind && it.1.seq == seq);
    found.expect("the frame").0
}

fn seqs(journal: &Journal) -> Vec<u64> {
    let bodies = read_from(journal, 1);
    for body in &bodies {
        assert_eq!(body.bytes, text(body.seq.0));
    }
    bodies.iter().map(|body| body.seq.0).collect()
}

fn lost(recovery: &Recovery) -> Vec<(u64, u64)> {
    let lost = recovery.skipped.iter().flat_map(|skipped| &skipped.lost);
    lost.map(|range| (range.first.0, range.last.0)).collect()
}

#[test]
fn whole_bodies_between_damaged_ones_stay_under_their_numbers() {
    let bench = Bench::new();
    let (path, whole) = journal_of(&bench, 50);
    let mut bytes = whole.clone();
    for seq in [1, 7, 8, 30, 50] {
        let frame = at(&whole, Kind::Body, seq);
        // In the header and in the payload in turn: a length that is damaged says nothing.
        bytes[frame + if seq % 2 == 0 { 12 } else { 60 }] ^= 16;
    }
    bench.disk.put(&path, &bytes);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!(lost(&recovery), [(1, 1), (7, 8), (30, 30), (50, 50)]);
    assert_eq!(recovery.skipped[0].kept, 45);
    assert_eq!((recovery.next, recovery.sealed.len()), (Seq(51), 12));
    assert_eq!(seqs(&journal).len(), 45);
    // The lost ones are new when they come again; kept ones are known.
    assert_eq!(bench.append(&journal, text(7)), 51);
    let known = bench.try_append(&journal, text(9)).expect("known");
    assert_eq!(known, Receipt { seq: Seq(9), duplicate: true });
    for roll in 1..=12 {
        journal.committed(Roll(roll)).expect("committed");
    }
    let roll = recovery.next_roll;
    journal.seal(&seal(roll.0, 49, 51)).expect("sealed");
    journal.committed(roll).expect("committed");
    drop(journal);
    let (_, again) = bench.open();
    assert_eq!((again.skipped.len(), again.unsealed_from), (0, Seq(52)));
    assert_eq!(bench.segments().len(), 1, "what was kept is released as any other");
}

#[test]
fn a_hole_costs_the_frames_that_it_touches_wherever_it_is() {
    let whole = {
        let bench = Bench::new();
        journal_of(&bench, 12).1
    };
    let begin = frames(&whole)[1].0;
    for hole in (begin..whole.len() - 300).step_by(37) {
        for (what, change) in [
            ("zeroed", (|bytes, hole| bytes[hole..hole + 200].fill(0)) as fn(&mut Vec<u8>, usize)),
            ("taken out", |bytes, hole| drop(bytes.drain(hole..hole + 200))),
            ("put in", |bytes, hole| drop(bytes.splice(hole..hole, [7; 200]))),
        ] {
            let bench = Bench::new();
            let (path, mut bytes) = journal_of(&bench, 12);
            let touched: Vec<u64> = frames(&bytes)
                .into_iter()
                .filter(|(from, _, to)| {
                    let end = if what == "put in" { hole + 1 } else { hole + 200 };
                    *from < end && hole < *to
                })
                .filter(|(_, header, _)| header.kind == Kind::Body)
                .map(|(_, header, _)| header.seq)
                .collect();
            change(&mut bytes, hole);
            bench.disk.put(&path, &bytes);
            if bench.try_open().is_ok() {
                // Between two frames, or what is behind could never be acknowledged.
                continue;
            }
            let (journal, recovery) = bench.skip_damaged().expect("opens");
            let kept = seqs(&journal);
            for seq in 1..=12 {
                let is_touched = touched.contains(&seq);
                assert!(is_touched || kept.contains(&seq), "{what} at {hole}: {seq} is gone");
                let is_named = lost(&recovery).iter().any(|it| (it.0..=it.1).contains(&seq));
                assert_ne!(is_named, kept.contains(&seq), "{what} at {hole}: {seq}");
            }
        }
    }
}

#[test]
fn a_start_that_skips_may_be_cut_off_at_any_call() {
    for cut in [false, true] {
        for call in 1.. {
            let bench = Bench::new();
            let (path, mut bytes) = journal_of(&bench, 10);
            for seq in [3, 6] {
                let frame = at(&bytes, Kind::Body, seq);
                bytes[frame + 50] ^= 1;
            }
            bench.disk.put(&path, &bytes);
            let planned = PlannedFault { at: call, what: FaultEffect::Off, seed: call };
            bench.disk.plan_fault(Some(planned));
            let outcome = bench.skip_damaged().map(|(_, recovery)| recovery);
            let done = !bench.disk.is_off();
            let mut byte = call as u8;
            let after = match cut {
                false => bench.disk.killed(),
                true => bench.disk.power_cut(|| {
                    byte = byte.wrapping_mul(77).wrapping_add(31);
                    byte
                }),
            };
            let after = Arc::new(after);
            check_again(&bench, &after, &bytes);
            if done {
                outcome.expect("opens");
                assert!(call > 10, "the calls of three segments and two names");
                break;
            }
        }
    }
}

/// Whatever the cut-off start did, the journal is as damaged as it was, or skipped for good.
fn check_again(bench: &Bench, disk: &Arc<FakeDisk>, bytes: &[u8]) {
    let open = |skip_damaged| {
        let options = Options { skip_damaged, ..bench.options.clone() };
        Journal::open(disk.clone(), bench.clock.clone(), options)
    };
    let opened = match open(false) {
        Err(JournalError::Damaged { .. }) => open(true),
        opened => opened,
    };
    let (journal, recovery) = opened.expect("opens");
    assert_eq!(seqs(&journal), [1, 2, 4, 5, 7, 8, 9, 10]);
    assert!(recovery.next >= Seq(11) && recovery.next_roll == Roll(3), "{recovery:?}");
    assert_eq!(journal.lost(SeqRange { first: Seq(1), last: Seq(10) }).len(), 2);
    drop(journal);
    let names = disk.list(&bench.options.dir).expect("listed");
    let asides: Vec<_> = names.iter().filter(|name| name.contains("damaged")).collect();
    assert_eq!(asides, ["00000000000000000001.seg.damaged"]);
    assert_eq!(disk.bytes(&bench.options.dir.join(asides[0])), bytes);
}

#[test]
fn a_seal_that_is_lost_is_what_lies_before_the_next_one() {
    let bench = Bench::new();
    let (path, mut bytes) = journal_of(&bench, 16);
    let frame = at(&bytes, Kind::Seal, 8);
    bytes[frame + 50] ^= 1;
    bench.disk.put(&path, &bytes);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!(lost(&recovery), []);
    let ranges: Vec<_> =
        recovery.sealed.iter().map(|it| (it.roll.0, it.range.first.0, it.range.last.0)).collect();
    assert_eq!(ranges, [(1, 1, 4), (2, 5, 8), (3, 9, 12), (4, 13, 16)]);
    assert!(recovery.next_roll > Roll(4));
    assert_eq!(seqs(&journal).len(), 16);
}

#[test]
fn where_a_file_has_one_name_only_it_is_renamed() {
    let bench = Bench::new();
    let (path, mut bytes) = journal_of(&bench, 6);
    let frame = at(&bytes, Kind::Body, 3);
    bytes[frame + 50] ^= 1;
    bench.disk.put(&path, &bytes);
    bench.disk.fail(Fault::Link);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!(lost(&recovery), [(3, 3)]);
    assert_eq!(seqs(&journal), [1, 2, 4, 5, 6]);
    drop(journal);
    assert_eq!(seqs(&bench.open().0), [1, 2, 4, 5, 6]);
}

#[test]
fn a_link_that_fails_for_another_reason_takes_no_name_away() {
    let bench = Bench::new();
    let (path, mut bytes) = journal_of(&bench, 6);
    let frame = at(&bytes, Kind::Body, 3);
    bytes[frame + 50] ^= 1;
    bench.disk.put(&path, &bytes);
    bench.disk.fail(Fault::LinkOnce);
    let error = bench.skip_damaged().err().expect("an error");
    assert!(error.to_string().contains("cannot give a second name to"), "{error}");
    assert_eq!(bench.disk.bytes(&path), bytes, "it has its name");
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!(lost(&recovery), [(3, 3)]);
    assert_eq!(seqs(&journal), [1, 2, 4, 5, 6]);
}

#[test]
fn a_whole_body_whose_head_makes_no_sense_is_lost_and_not_met_again() {
    use crate::journal::segment::SegmentHead;
    let bench = Bench::new();
    let (path, mut bytes) = journal_of(&bench, 6);
    let salt = SegmentHead::decode(&bytes).expect("a head").0.salt;
    let (from, mut header, to) =
        *frames(&bytes).iter().find(|it| it.1.kind == Kind::Body && it.1.seq == 3).expect("body 3");
    // The form of its documents.
    bytes[from + HEADER_BYTES + 24] = 9;
    header.payload_crc = crc32c::crc32c(&bytes[from + HEADER_BYTES..to]);
    bytes[from..from + HEADER_BYTES].copy_from_slice(&header.encode(salt));
    bench.disk.put(&path, &bytes);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!(lost(&recovery), [(3, 3)]);
    drop(journal);
    assert_eq!(seqs(&bench.open().0), [1, 2, 4, 5, 6]);
}

#[test]
fn a_file_that_was_set_aside_before_is_not_written_over() {
    let bench = Bench::new();
    let (path, mut bytes) = journal_of(&bench, 6);
    let aside = path.with_extension("seg.damaged");
    bench.disk.put(&aside, b"of last year");
    let frame = at(&bytes, Kind::Body, 3);
    bytes[frame + 50] ^= 1;
    bench.disk.put(&path, &bytes);
    let (_, recovery) = bench.skip_damaged().expect("opens");
    let second = recovery.skipped[0].path.clone().expect("a file");
    assert!(second.to_string_lossy().ends_with("01.seg.damaged-2"), "{}", second.display());
    assert_eq!(bench.disk.bytes(&aside), b"of last year");
    assert_eq!(bench.disk.bytes(&second), bytes);
}

#[test]
fn the_only_segment_without_its_checkpoint_keeps_its_bodies_and_uses_no_number_again() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let node = journal.node().to_owned();
    bench.append(&journal, text(1));
    journal.seal(&seal(1, 1, 1)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    drop(journal);
    // The segment that begins at 2, with its checkpoint alone before it.
    let (journal, _) = bench.open();
    for number in 2..=4 {
        bench.append(&journal, text(number));
    }
    drop(journal);
    let path = bench.last_segment();
    let mut bytes = bench.disk.bytes(&path);
    let checkpoint = frames(&bytes)[0];
    bytes[checkpoint.0 + 46] ^= 1;
    bytes[checkpoint.0 + 20] ^= 1;
    bench.disk.put(&path, &bytes);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!(journal.node(), node);
    assert_eq!(lost(&recovery), []);
    assert_eq!((recovery.unsealed_from, recovery.next), (Seq(2), Seq(5)));
    assert!(recovery.next_roll > Roll(1_000_000), "none that may have been used");
    assert_eq!(texts(&journal, 2), [text(2), text(3), text(4)]);
}
