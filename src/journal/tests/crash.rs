//! Starts after crashes and damage: one test a crash shape, one a kind of damage.

use std::task::{Context, Waker};

use super::fake::{FakeDisk, Fault};
use super::*;
use crate::journal::frame::{HEADER_BYTES, Header};
use crate::journal::segment::SegmentHead;

/// Returns the offsets where the frames of a segment begin and end, the checkpoint among them.
pub(super) fn frames(bytes: &[u8]) -> Vec<(usize, Header, usize)> {
    let (head, length) = SegmentHead::decode(bytes).expect("a head");
    let mut offset = length as usize;
    let mut found = Vec::new();
    while let Some(header) = Header::decode(&bytes[offset..], head.salt) {
        let end = offset + header.frame_bytes() as usize;
        found.push((offset, header, end));
        offset = end;
    }
    found
}

/// The last segment as a kill leaves it: without the record of an orderly close.
fn without_close(bench: &Bench) -> (PathBuf, Vec<u8>) {
    let path = bench.last_segment();
    let mut bytes = bench.disk.bytes(&path);
    let (offset, header, _) = *frames(&bytes).last().expect("a frame");
    assert_eq!(header.kind, frame::Kind::Closed);
    bytes.truncate(offset);
    bench.disk.put(&path, &bytes);
    (path, bytes)
}

fn open_on(bench: &Bench, disk: FakeDisk) -> Result<(Journal, Recovery), JournalError> {
    Journal::open(Arc::new(disk), bench.clock.clone(), bench.options.clone())
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_reported() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "first");
    bench.append(&journal, "the last one");
    drop(journal);
    let (path, whole) = without_close(&bench);
    let (start, _, end) = *frames(&whole).last().expect("a frame");
    assert_eq!(end, whole.len());
    for cut in start..end {
        // Cut short, and then as long as it was but with zeros.
        for fill in [false, true] {
            let disk = bench.disk.copy();
            let mut bytes = whole[..cut].to_vec();
            if fill {
                bytes.resize(end + 100, 0);
            }
            let torn = (bytes.len() - start) as u64;
            disk.put(&path, &bytes);
            let (journal, recovery) = open_on(&bench, disk.clone()).expect("opens");
            assert_eq!((recovery.next, recovery.torn_bytes), (Seq(2), torn), "cut at {cut}");
            assert_eq!(texts(&journal, 1), ["first"]);
            // The torn body was never acked: it is not known, and its number is free.
            assert_eq!(bench.append(&journal, "the last one"), 2);
            drop(journal);
            let (journal, recovery) = open_on(&bench, disk).expect("opens again");
            assert_eq!((recovery.next, recovery.torn_bytes), (Seq(3), 0));
            assert_eq!(texts(&journal, 1), ["first", "the last one"]);
        }
    }
}

/// A journal whose last group has three bodies; the first and a fourth came alone.
fn with_a_group_of_three(bench: &Bench, and_one_more: bool) -> (PathBuf, Vec<u8>) {
    let (journal, _) = bench.open();
    bench.append(&journal, "alone");
    let before = bench.disk.syncs_begun();
    let held = bench.disk.hold_syncs();
    bench.runtime.block_on(async {
        let mut context = Context::from_waker(Waker::noop());
        let mut first = Box::pin(journal.append(body("goes ahead")));
        assert!(first.as_mut().poll(&mut context).is_pending());
        // The writer has taken that one, and waits with it for the held sync.
        bench.disk.await_sync(before);
        let mut others: Vec<_> = ["one", "two", "three"]
            .map(|text| Box::pin(journal.append(body(text))))
            .into_iter()
            .collect();
        for other in &mut others {
            assert!(other.as_mut().poll(&mut context).is_pending());
        }
        drop(held);
        first.await.expect("taken");
        for other in others {
            other.await.expect("taken");
        }
    });
    if and_one_more {
        bench.append(&journal, "one more");
    }
    drop(journal);
    let (path, bytes) = without_close(bench);
    let frames = frames(&bytes);
    assert_eq!(frames[3].1.group_start, frames[3].0 as u64);
    assert_eq!(frames[5].1.group_start, frames[3].0 as u64);
    (path, bytes)
}

#[test]
fn a_whole_frame_behind_a_hole_in_the_same_group_is_part_of_a_torn_tail() {
    let bench = Bench::new();
    let (path, mut bytes) = with_a_group_of_three(&bench, false);
    let frames = frames(&bytes);
    // The second body of the group never reached the disk, the third did.
    bytes[frames[4].0..frames[4].2].fill(0);
    bench.disk.put(&path, &bytes);
    let (journal, recovery) = bench.open();
    assert_eq!(recovery.torn_bytes, (bytes.len() - frames[4].0) as u64);
    assert_eq!(texts(&journal, 1), ["alone", "goes ahead", "one"]);
    assert_eq!(recovery.next, Seq(4));
    assert_eq!(bench.append(&journal, "three"), 4);
}

#[test]
fn the_same_hole_with_a_later_group_behind_it_is_damage() {
    let bench = Bench::new();
    let (path, mut bytes) = with_a_group_of_three(&bench, true);
    let frames = frames(&bytes);
    bytes[frames[4].0..frames[4].2].fill(0);
    bench.disk.put(&path, &bytes);
    match bench.try_open() {
        Err(JournalError::Damaged { path: found, offset, .. }) => {
            assert_eq!((found, offset), (path, frames[4].0 as u64));
        }
        other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
    }
}

#[test]
fn a_flipped_bit_anywhere_below_the_durable_mark_stops_the_start_with_its_place() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "first");
    bench.append(&journal, "second");
    drop(journal);
    let path = bench.last_segment();
    let whole = bench.disk.bytes(&path);
    let frames = frames(&whole);
    // The closing record proves everything before it.
    let proven = frames.last().expect("a frame").0;
    for at in 0..proven {
        let disk = bench.disk.copy();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        disk.put(&path, &bytes);
        let frame = frames.iter().rev().find(|frame| frame.0 <= at).map_or(0, |frame| frame.0);
        let error = open_on(&bench, disk.clone()).err().expect("refused");
        match &error {
            JournalError::Damaged { path: found, offset, .. } => {
                assert_eq!((found, *offset), (&path, frame as u64), "byte {at}");
            }
            other => panic!("byte {at}: {other}"),
        }
        assert!(error.to_string().contains("--skip-damaged"), "{error}");
        assert_eq!(disk.bytes(&path), bytes, "a refused start changes nothing");
    }
}

#[test]
fn damage_in_an_earlier_segment_is_damage_even_at_its_end() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "first");
    drop(journal);
    let (path, mut bytes) = without_close(&bench);
    let (journal, _) = bench.open();
    bench.append(&journal, "second");
    drop(journal);
    bytes.pop();
    bench.disk.put(&path, &bytes);
    assert_eq!(path_of(&bench.try_open().err().expect("refused")), path);
}

#[test]
fn a_frame_of_another_segment_inside_a_torn_body_proves_nothing() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, [b'x'; 500]);
    bench.append(&journal, "frames with a late group_start");
    // A sender sends the journal's own bytes back to it.
    let segment = bench.disk.bytes(&bench.last_segment());
    drop(journal);
    let (journal, _) = bench.open();
    bench.append(&journal, segment.repeat(3));
    drop(journal);
    let (path, bytes) = without_close(&bench);
    bench.disk.put(&path, &bytes[..bytes.len() - 1]);
    let (_, recovery) = bench.open();
    assert_eq!(recovery.next, Seq(3));
    assert!(recovery.torn_bytes > 3 * segment.len() as u64);
}

#[test]
fn a_half_made_segment_is_removed() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "first");
    drop(journal);
    let whole = bench.disk.bytes(&bench.last_segment());
    let half = bench.options.dir.join("00000000000000000002.seg.new");
    let other = bench.options.dir.join("notes.txt.new");
    bench.disk.put(&other, b"not ours");
    for length in [0, 1, 40, whole.len() / 2, whole.len()] {
        bench.disk.put(&half, &whole[..length]);
        let (journal, recovery) = bench.open();
        assert_eq!((recovery.next, recovery.torn_bytes), (Seq(2), 0));
        assert_eq!(texts(&journal, 1), ["first"]);
        drop(journal);
        let names = bench.disk.list(&bench.options.dir).expect("listed");
        assert!(!names.iter().any(|name| name.ends_with(".seg.new")));
        assert!(names.contains(&"notes.txt.new".to_owned()));
    }
}

#[test]
fn starts_without_bodies_leave_one_segment() {
    let bench = Bench::new();
    for _ in 0..5 {
        drop(bench.open());
    }
    assert_eq!(bench.segments().len(), 1);
    let (journal, recovery) = bench.open();
    assert_eq!(recovery.next, Seq(1));
    bench.append(&journal, "first");
}

/// Ten bodies in segments of two, and the paths of these.
fn ten(bench: &Bench) -> Vec<PathBuf> {
    let (journal, _) = bench.open();
    for number in 1..=10 {
        bench.append(&journal, format!("this is body {number}"));
    }
    drop(journal);
    bench.segments()
}

fn two_a_segment() -> Bench {
    Bench::with(|options| options.segment_bytes = 230)
}

#[test]
fn a_damaged_segment_in_the_middle_is_set_aside_when_asked_and_stays_so() {
    let bench = two_a_segment();
    let segments = ten(&bench);
    assert_eq!(segments.len(), 5);
    let mut bytes = bench.disk.bytes(&segments[2]);
    let at = bytes.len() - 3;
    bytes[at] ^= 64;
    bench.disk.put(&segments[2], &bytes);
    assert_eq!(path_of(&bench.try_open().err().expect("refused")), segments[2]);

    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_eq!((recovery.next, recovery.skipped.len()), (Seq(11), 1));
    let skipped = &recovery.skipped[0];
    assert_eq!(skipped.lost, [SeqRange { first: Seq(6), last: Seq(6) }]);
    assert_eq!(skipped.kept, 1);
    assert!(skipped.why.contains("checksum"), "{}", skipped.why);
    let aside = skipped.path.clone().expect("a file");
    assert!(aside.to_string_lossy().ends_with("05.seg.damaged"));
    assert_eq!(bench.disk.bytes(&aside), bytes);
    let seqs: Vec<u64> = read_from(&journal, 1).iter().map(|body| body.seq.0).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 7, 8, 9, 10]);
    assert_eq!(read_from(&journal, 6).first().map(|body| body.seq), Some(Seq(7)));
    // A lost body that comes again is new; one that is held is known, whole beside it or not.
    assert_eq!(bench.append(&journal, "this is body 6"), 11);
    for seq in [5, 7] {
        let known = bench.try_append(&journal, format!("this is body {seq}")).expect("known");
        assert_eq!(known, Receipt { seq: Seq(seq), duplicate: true });
    }
    drop(journal);

    // The next start needs no leave: the gap is written down.
    let (journal, recovery) = bench.open();
    assert_eq!((recovery.next, recovery.skipped.len()), (Seq(12), 0));
    assert_eq!(read_from(&journal, 1).len(), 10);
    journal.seal(&seal(1, 1, 6)).expect("a roll may end in the gap");
    journal.seal(&seal(2, 7, 11)).expect("and the next begin behind it");
    journal.committed(Roll(1)).expect("committed");
    journal.committed(Roll(2)).expect("committed");
    drop(journal);
    assert_eq!(bench.open().1.unsealed_from, Seq(12));
}

#[test]
fn a_missing_segment_is_refused_unless_asked() {
    for missing in [0, 2] {
        let bench = two_a_segment();
        let segments = ten(&bench);
        bench.disk.remove(&segments[missing]).expect("removed");
        let first = Seq(2 * missing as u64 + 1);
        let gone = SeqRange { first, last: first.next() };
        match bench.try_open() {
            Err(JournalError::Missing { range, before }) => {
                assert_eq!((range, before), (gone, segments[missing + 1].clone()));
            }
            other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
        }
        let (journal, recovery) = bench.skip_damaged().expect("opens");
        assert_eq!(recovery.skipped.len(), 1);
        assert_eq!(
            (&recovery.skipped[0].path, &recovery.skipped[0].lost[..]),
            (&None, &[gone][..])
        );
        assert_eq!(read_from(&journal, 1).len(), 8);
        drop(journal);
        assert!(bench.open().1.skipped.is_empty());
    }
}

#[test]
fn a_damaged_last_segment_gives_up_no_number_and_no_roll_for_a_second_use() {
    // In a body before a seal, in the seal itself, in the header.
    for damage in ["body", "seal", "head"] {
        let bench = Bench::new();
        let (journal, _) = bench.open();
        bench.append(&journal, "first");
        journal.seal(&seal(1, 1, 1)).expect("sealed");
        drop(journal);
        let (journal, _) = bench.open();
        bench.append(&journal, "second");
        bench.append(&journal, "third");
        journal.seal(&seal(2, 2, 2)).expect("sealed");
        bench.append(&journal, "fourth");
        drop(journal);
        let path = bench.last_segment();
        let mut bytes = bench.disk.bytes(&path);
        let frames = frames(&bytes);
        let at = match damage {
            "body" => frames[1].2 - 1,
            "seal" => frames[3].2 - 1,
            _ => 10,
        };
        bytes[at] ^= 1;
        bench.disk.put(&path, &bytes);
        let node = match bench.try_open() {
            Err(JournalError::Damaged { .. }) => bench.skip_damaged(),
            other => panic!("{damage}: {:?}", other.map(|(_, recovery)| recovery)),
        };
        let (journal, recovery) = node.expect("opens");
        assert!(recovery.next >= Seq(5), "{damage}: {recovery:?}");
        assert!(recovery.next_roll >= Roll(3), "{damage}: {recovery:?}");
        assert_eq!(recovery.sealed[0], seal(1, 1, 1));
        let lost: &[SeqRange] = match damage {
            "body" => &[SeqRange { first: Seq(2), last: Seq(2) }],
            // All bodies are whole; or one bit of the head was wrong, and is known.
            _ => &[],
        };
        assert_eq!(recovery.skipped[0].lost, lost, "{damage}");
        let all = ["first", "second", "third", "fourth"];
        let left: Vec<&str> =
            all.into_iter().filter(|text| damage != "body" || *text != "second").collect();
        assert_eq!(texts(&journal, 1), left, "{damage}");
        let sent = if damage == "body" { "second" } else { "fifth" };
        assert_eq!(bench.append(&journal, sent), recovery.next.0);
        drop(journal);
        let again = bench.open().1;
        assert_eq!((again.next, again.next_roll), (recovery.next.next(), recovery.next_roll));
    }
}

#[test]
fn a_last_segment_without_a_head_behind_one_that_is_committed_sets_nothing_back() {
    let bench = Bench::with(|options| options.segment_bytes = 230);
    let (journal, _) = bench.open();
    bench.append(&journal, "first");
    bench.append(&journal, "second");
    journal.seal(&seal(1, 1, 2)).expect("sealed");
    // The segment stays, although all of it is committed.
    bench.disk.fail(Fault::Remove);
    journal.committed(Roll(1)).expect("committed");
    bench.append(&journal, "third");
    drop(journal);
    assert_eq!(bench.segments().len(), 2);
    let path = bench.last_segment();
    let mut bytes = bench.disk.bytes(&path);
    // Two bits: which they were cannot be told.
    bytes[10] ^= 3;
    bench.disk.put(&path, &bytes);
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert!(recovery.next_roll >= Roll(2), "{recovery:?}");
    assert!(recovery.unsealed_from >= Seq(3) && recovery.next > Seq(3), "{recovery:?}");
    assert!(recovery.sealed.is_empty(), "{recovery:?}");
    assert_eq!(journal.status().committed_seq, Seq(2));
    // What was landed is known as a retry, what was lost is new.
    let receipt = bench.try_append(&journal, "second").expect("known");
    assert_eq!(receipt, Receipt { seq: Seq(2), duplicate: true });
    assert_eq!(bench.append(&journal, "third"), recovery.next.0);
    drop(journal);
    let (journal, again) = bench.open();
    assert_eq!((again.next, again.next_roll), (recovery.next.next(), recovery.next_roll));
    assert_eq!(texts(&journal, recovery.next.0), ["third"]);
}

#[test]
fn a_kill_while_a_segment_is_set_aside_leaves_no_number_for_a_second_use() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "first");
    bench.append(&journal, "second");
    journal.seal(&seal(1, 1, 1)).expect("sealed");
    drop(journal);
    let path = bench.last_segment();
    let mut bytes = bench.disk.bytes(&path);
    let at = frames(&bytes)[1].2 - 1;
    bytes[at] ^= 1;
    bench.disk.put(&path, &bytes);
    // The first rename of that start is the new segment's, the second is that of what is kept.
    for fault in [Fault::Rename, Fault::SecondRename] {
        bench.disk.fail(fault);
        assert!(matches!(bench.skip_damaged(), Err(JournalError::Io { what: "rename", .. })));
        assert!(matches!(bench.try_open(), Err(JournalError::Damaged { .. })), "{fault:?}");
    }
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert!(recovery.next >= Seq(3) && recovery.next_roll >= Roll(2), "{recovery:?}");
    assert_eq!(bench.append(&journal, "first"), recovery.next.0);
    drop(journal);
    assert!(bench.open().1.skipped.is_empty());
}

#[test]
fn a_journal_with_no_readable_head_begins_anew_under_another_name() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    bench.append(&journal, "first");
    let node = journal.node().to_owned();
    drop(journal);
    bench.disk.put(&bench.last_segment(), b"");
    assert!(matches!(bench.try_open(), Err(JournalError::Damaged { offset: 0, .. })));
    let (journal, recovery) = bench.skip_damaged().expect("opens");
    assert_ne!(journal.node(), node);
    assert_eq!(recovery.next, Seq(2));
}

#[test]
fn a_later_format_is_refused_and_never_set_aside() {
    let bench = Bench::new();
    drop(bench.open());
    let path = bench.last_segment();
    let mut bytes = bench.disk.bytes(&path);
    let (_, length) = SegmentHead::decode(&bytes).expect("a head");
    bytes[8] = segment::FORMAT as u8 + 1;
    let crc_at = length as usize - 4;
    let crc = crc32c::crc32c(&bytes[..crc_at]).to_le_bytes();
    bytes[crc_at..crc_at + 4].copy_from_slice(&crc);
    bench.disk.put(&path, &bytes);
    for outcome in [bench.try_open(), bench.skip_damaged()] {
        match outcome {
            Err(JournalError::Version { found: 4, known: 3, .. }) => {}
            other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
        }
    }
}

#[test]
fn a_segment_of_another_journal_is_damage() {
    let bench = two_a_segment();
    let segments = ten(&bench);
    let other = two_a_segment();
    let others = ten(&other);
    bench.disk.put(&segments[1], &other.disk.bytes(&others[1]));
    let error = bench.try_open().err().expect("refused");
    assert_eq!(path_of(&error), segments[1]);
    assert!(error.to_string().contains("belongs to node"), "{error}");
}

#[test]
fn a_large_frame_is_scanned_in_chunks() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    for number in 0..5_u8 {
        bench.append(&journal, vec![number; (1 << 20) * usize::from(number) + 17]);
    }
    drop(journal);
    let (path, bytes) = without_close(&bench);
    // Torn in the middle of the largest, megabytes behind its header.
    bench.disk.put(&path, &bytes[..bytes.len() - (3 << 20)]);
    let (_, recovery) = bench.open();
    assert_eq!(recovery.next, Seq(5));
    assert_eq!(recovery.torn_bytes, frames(&bytes)[5].1.frame_bytes() - (3 << 20));
    assert!(recovery.torn_bytes > HEADER_BYTES as u64);
}
