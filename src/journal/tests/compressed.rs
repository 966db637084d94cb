//! Bodies that are written compressed are the bodies that came.

use std::ops::Range;
use std::time::Instant;

use super::*;
use crate::journal::codec::compression::{LEAST_BYTES, MOST_BYTES};

fn sessions(number: usize, bytes: usize) -> String {
    let line = format!("{{\"userSessionId\":\"S{number}\",\"duration\":1234}}\n");
    line.repeat(bytes.div_ceil(line.len()))
}

fn always() -> Bench {
    Bench::with(|options| options.compress_from_bytes = Some(0))
}

#[test]
fn they_come_back_and_take_less_space() {
    let bench = always();
    let (journal, _) = bench.open();
    let before = journal.status().backlog_bytes;
    let sent: Vec<String> = (1..=5).map(|number| sessions(number, 100_000)).collect();
    for text in &sent {
        bench.append(&journal, text);
    }
    let took = journal.status().backlog_bytes - before;
    assert!(took < 5 * 100_000 / 4, "{took} bytes");
    assert_eq!(texts(&journal, 1), sent);
    // The file is as large as is said.
    assert_eq!(bench.disk.bytes(&bench.last_segment()).len() as u64, before + took);
    drop(journal);
    let (journal, recovery) = bench.open();
    assert_eq!(recovery.next, Seq(6));
    assert_eq!(texts(&journal, 1), sent);
}

#[test]
fn a_retry_is_known_whether_it_was_compressed_or_would_be() {
    let mut bench = always();
    let text = sessions(1, 10_000);
    let (journal, _) = bench.open();
    bench.append(&journal, &text);
    let known = Receipt { seq: Seq(1), duplicate: true };
    assert_eq!(bench.try_append(&journal, &text), Ok(known));
    drop(journal);
    // From the frame, then from the checkpoint of the segment that followed.
    for from_bytes in [None, Some(0)] {
        bench.options.compress_from_bytes = from_bytes;
        let (journal, _) = bench.open();
        assert_eq!(bench.try_append(&journal, &text), Ok(known), "{from_bytes:?}");
    }
}

#[test]
fn compressed_and_plain_bodies_stand_side_by_side() {
    let mut bench = always();
    let mut sent = Vec::new();
    for (number, from_bytes) in (1..).zip([Some(0), None, Some(LEAST_BYTES), Some(0)]) {
        bench.options.compress_from_bytes = from_bytes;
        let (journal, _) = bench.open();
        for text in [sessions(number, 9_000), format!("{{\"n\":{number}}}\n")] {
            bench.append(&journal, &text);
            sent.push(text);
        }
        assert_eq!(texts(&journal, 1), sent);
    }
}

#[test]
fn a_body_that_is_too_long_to_be_compressed_is_left_alone() {
    let bench = always();
    let (journal, _) = bench.open();
    let mut longest = sessions(1, MOST_BYTES);
    longest.truncate(MOST_BYTES);
    bench.append(&journal, &longest);
    let took = journal.status().backlog_bytes;
    assert!(took < MOST_BYTES as u64 / 4, "{took}");
    let longer = longest.clone() + " ";
    bench.append(&journal, &longer);
    assert!(journal.status().backlog_bytes - took > longer.len() as u64);
    assert!(texts(&journal, 1) == [longest, longer]);
}

#[test]
fn small_bodies_and_those_that_do_not_become_smaller_are_left_alone() {
    let bench = Bench::with(|options| options.compress_from_bytes = Some(LEAST_BYTES));
    let (journal, _) = bench.open();
    let mut dice = crate::search::Dice(3);
    let noise: Vec<u8> = (0..100_000).map(|_| dice.byte()).collect();
    let mut small = sessions(1, LEAST_BYTES - 1);
    small.truncate(LEAST_BYTES - 1);
    for text in [&noise[..], small.as_bytes()] {
        let before = journal.status().backlog_bytes;
        bench.append(&journal, text);
        assert!(journal.status().backlog_bytes - before > text.len() as u64);
    }
    let before = journal.status().backlog_bytes;
    bench.append(&journal, sessions(2, LEAST_BYTES));
    assert!(journal.status().backlog_bytes - before < LEAST_BYTES as u64 / 2);
}

#[test]
fn a_body_that_does_not_decompress_is_damage_and_no_other_body() {
    let bench = always();
    let (journal, _) = bench.open();
    bench.append(&journal, sessions(1, 10_000));
    let path = bench.last_segment();
    let whole = bench.disk.bytes(&path);
    // The frame is made anew with a right checksum: what is wrong is only its content.
    let at = whole.windows(4).rposition(|bytes| bytes == frame::MAGIC).expect("a frame");
    let (head, _) = segment::SegmentHead::decode(&whole).expect("a head");
    let mut header = frame::Header::decode(&whole[at..], head.salt).expect("a header");
    assert!(header.flags.is_compressed);
    let (start, end) = (at + frame::HEADER_BYTES, at + header.frame_bytes() as usize);
    let mut payload = whole[start..end].to_vec();
    let inflated = payload.get_mut(25..29).expect("the length");
    let text_bytes = sessions(1, 10_000).len() as u32;
    assert_eq!(u32::from_le_bytes(inflated.try_into().expect("four")), text_bytes);
    inflated.copy_from_slice(&u32::MAX.to_le_bytes());
    header.payload_crc = crc32c::crc32c(&payload);
    let mut bytes = whole[..at].to_vec();
    bytes.extend_from_slice(&header.encode(head.salt));
    bytes.extend_from_slice(&payload);
    bytes.extend_from_slice(&whole[end..]);
    bench.disk.put(&path, &bytes);
    let mut reader = journal.reader(Seq(1));
    let error = reader.next(Duration::ZERO).expect_err("damage");
    assert_eq!(path_of(&error), path);
    assert!(error.to_string().contains("cannot be decompressed"), "{error}");
    assert_eq!(reader.position(), Seq(1));
}

/// Appends a body of sessions, and tells whether it was written compressed.
fn is_compressed(bench: &Bench, journal: &Journal, number: usize) -> bool {
    let before = journal.status().backlog_bytes;
    bench.append(journal, sessions(number, 10_000));
    journal.status().backlog_bytes - before < 5_000
}

#[test]
fn as_needed_bodies_are_compressed_while_much_has_not_landed() {
    let bench = Bench::with(|options| {
        options.compress_from_bytes = Some(0);
        options.compress_always = false;
        options.segment_bytes = 20_000;
        options.quota_bytes = 1 << 20;
    });
    let (journal, _) = bench.open();
    let plain = (1..=200).take_while(|number| !is_compressed(&bench, &journal, *number)).count();
    // An eighth of the quota.
    assert!((11..=15).contains(&plain), "{plain}");
    assert!(is_compressed(&bench, &journal, 300));
    let last = journal.status().last_seq;
    journal.seal(&seal(1, 1, last.0)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    assert!(!is_compressed(&bench, &journal, 400));
    assert_eq!(read_from(&journal, last.0 + 1)[0].bytes, sessions(400, 10_000));
}

#[test]
fn as_needed_bodies_are_compressed_while_the_disk_does_not_keep_up() {
    // Those that fill half of the queue are not, the others are.
    compressed_while_the_disk_waits(200_000, 0, 85_000..105_000);
    // Or seven eighths of the memory for bodies that are handed on.
    compressed_while_the_disk_waits(400_000, 130_000, 97_000..112_000);
}

fn compressed_while_the_disk_waits(queue_bytes: u64, hand_on_bytes: u64, expected: Range<u64>) {
    let bench = Bench::with(|options| {
        options.compress_from_bytes = Some(0);
        options.compress_always = false;
        options.queue_bytes = queue_bytes;
        options.hand_on_bytes = hand_on_bytes;
    });
    let (journal, _) = bench.open();
    let before = journal.status().backlog_bytes;
    let held = bench.disk.hold_syncs();
    std::thread::scope(|scope| {
        let (disk, journal) = (&bench.disk, &journal);
        let begun = disk.syncs_begun();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let all = scope.spawn(move || {
            let append = |number| journal.append(body(sessions(number, 10_000)));
            let all = (1..=16).map(append);
            runtime.block_on(futures::future::join_all(all))
        });
        disk.await_sync(begun);
        let deadline = Instant::now() + Duration::from_secs(60);
        let permits = &journal.inner.shared.queue_permits;
        while permits.available_permits() > (queue_bytes / 1024) as usize - 16 * 10 {
            assert!(Instant::now() < deadline, "sixteen do not wait: {permits:?}");
            std::thread::yield_now();
        }
        drop(held);
        for outcome in all.join().expect("no panic") {
            outcome.expect("taken");
        }
    });
    let took = journal.status().backlog_bytes - before;
    assert!(expected.contains(&took), "{took}");
    // Nobody waits any more.
    assert!(!is_compressed(&bench, &journal, 20));
}
