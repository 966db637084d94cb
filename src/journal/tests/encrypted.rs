//! Bodies that are written encrypted are the bodies that came, to whoever has the key.

use std::task::{Context, Waker};

use super::*;
use crate::journal::codec::encryption::FORMAT_2_PREFIX;
use crate::journal::frame::RetryKey;
use crate::journal::segment::SegmentHead;

const MINUTE_US: i64 = 60_000_000;

fn sessions(number: usize, bytes: usize) -> String {
    let line = format!("{{\"userSessionId\":\"S{number}\",\"userId\":\"ann\"}}\n");
    line.repeat(bytes.div_ceil(line.len()))
}

fn encrypted(change: impl FnOnce(&mut Options)) -> Bench {
    let mut bench = Bench::with(change);
    bench.encrypt(7, true);
    bench
}

fn on_disk(bench: &Bench) -> Vec<u8> {
    bench.segments().iter().flat_map(|path| bench.disk.bytes(path)).collect()
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

/// Turns the segments into those of an earlier format, whose frames are laid out in the same way.
fn become_format(bench: &Bench, format: u32) {
    for path in bench.segments() {
        let mut bytes = bench.disk.bytes(&path);
        let (head, length) = SegmentHead::decode(&bytes).expect("a head");
        let head = SegmentHead { format, ..head }.encode();
        bytes.splice(..length as usize, head);
        bench.disk.put(&path, &bytes);
    }
}

#[test]
fn they_come_back_and_tell_nothing() {
    for compress_from_bytes in [None, Some(0)] {
        let bench = encrypted(|options| options.compress_from_bytes = compress_from_bytes);
        let (journal, _) = bench.open();
        // Also one that is encrypted on another thread.
        let sent = [sessions(1, 300), sessions(2, 50_000), sessions(3, 3 << 20), "{}".to_owned()];
        for text in &sent {
            bench.append(&journal, text);
        }
        assert!(texts(&journal, 1) == sent);
        drop(journal);
        let (journal, recovery) = bench.open();
        assert_eq!(recovery.next, Seq(5));
        assert!(texts(&journal, 1) == sent);
        let disk = on_disk(&bench);
        assert!(!holds(&disk, b"\"ann\"") && !holds(&disk, b"userSessionId"));
        // Nor by a hash that a guess could be tested with.
        let (head, _) = SegmentHead::decode(&disk).expect("a head");
        for text in &sent {
            let key = RetryKey::of(head.seed, "user_sessions", text.as_bytes());
            assert!(!holds(&disk, &key.hash.to_le_bytes()));
        }
        let sent_bytes: usize = sent.iter().map(String::len).sum();
        match compress_from_bytes {
            Some(_) => assert!(disk.len() < sent_bytes / 8, "compressed before encrypted"),
            None => assert!(disk.len() > sent_bytes),
        }
    }
}

#[test]
fn a_retry_is_known_when_encryption_was_turned_on_or_off() {
    for first in [false, true] {
        let mut bench = Bench::with(|options| options.segment_bytes = 300);
        bench.encrypt(7, first);
        let (journal, _) = bench.open();
        for number in 1..=4 {
            bench.append(&journal, sessions(number, 200));
        }
        // Bodies 1 to 4 are in the checkpoint only.
        journal.seal(&seal(1, 1, 4)).expect("sealed");
        journal.committed(Roll(1)).expect("committed");
        bench.append(&journal, sessions(5, 200));
        drop(journal);
        for encrypt in [!first, first, !first] {
            bench.encrypt(7, encrypt);
            let (journal, _) = bench.open();
            for number in 1..=5 {
                let known = bench.try_append(&journal, sessions(number, 200)).expect("known");
                assert_eq!(known, Receipt { seq: Seq(number as u64), duplicate: true });
            }
        }
        bench.clock.advance(10 * MINUTE_US);
        let (journal, _) = bench.open();
        assert_eq!(bench.append(&journal, sessions(1, 200)), 6);
    }
}

#[test]
fn a_start_without_the_key_is_refused_while_bodies_wait_for_it() {
    let mut bench = encrypted(|_| {});
    let (journal, _) = bench.open();
    bench.append(&journal, "landed");
    bench.append(&journal, "waits");
    journal.seal(&seal(1, 1, 1)).expect("sealed");
    journal.committed(Roll(1)).expect("committed");
    drop(journal);
    let path = bench.segments().remove(0);
    bench.options.cipher = None;
    bench.options.encrypt = false;
    let error = bench.try_open().map(drop).expect_err("no key");
    assert!(matches!(&error, JournalError::NoKey { seq: Seq(2), path: at } if *at == path));
    assert!(error.to_string().contains("body 2") && error.to_string().contains("privacy_key"));
    bench.encrypt(8, true);
    let error = bench.try_open().map(drop).expect_err("another key");
    assert!(matches!(&error, JournalError::WrongKey { seq: Seq(2), path: at } if *at == path));
    assert!(error.to_string().contains("privacy_key does not open it"), "{error}");
    // With the key all is well, whether new bodies are encrypted or not; then no key is needed.
    bench.encrypt(7, false);
    let (journal, _) = bench.open();
    assert_eq!(texts(&journal, 2), ["waits"]);
    assert_eq!(bench.append(&journal, "plain"), 3);
    journal.seal(&seal(2, 2, 2)).expect("sealed");
    journal.committed(Roll(2)).expect("committed");
    drop(journal);
    bench.options.cipher = None;
    let (journal, _) = bench.open();
    assert_eq!(texts(&journal, 3), ["plain"]);
}

#[test]
fn encryption_needs_a_cipher() {
    let bench = Bench::with(|options| options.encrypt = true);
    assert!(matches!(bench.try_open().map(drop), Err(JournalError::Options(_))));
}

#[test]
fn a_body_with_another_head_does_not_open() {
    let bench = encrypted(|_| {});
    let (journal, _) = bench.open();
    bench.append(&journal, "the body");
    let path = bench.last_segment();
    let whole = bench.disk.bytes(&path);
    let (head, _) = SegmentHead::decode(&whole).expect("a head");
    let at = whole.windows(4).rposition(|bytes| bytes == frame::MAGIC).expect("a frame");
    let mut header = frame::Header::decode(&whole[at..], head.salt).expect("a header");
    assert!(header.flags.is_encrypted && !header.flags.is_compressed);
    let start = at + frame::HEADER_BYTES;
    let end = at + header.frame_bytes() as usize;
    // Retry key, first line, form, table: each changed, and the checksums made right.
    for changed in [0, 16, 24, 25] {
        let mut payload = whole[start..end].to_vec();
        payload[changed] ^= 1;
        header.payload_crc = crc32c::crc32c(&payload);
        let mut bytes = whole[..at].to_vec();
        bytes.extend_from_slice(&header.encode(head.salt));
        bytes.extend_from_slice(&payload);
        bench.disk.put(&path, &bytes);
        let error = journal.reader(Seq(1)).next(Duration::ZERO).expect_err("another head");
        assert!(matches!(error, JournalError::WrongKey { .. }), "{changed}: {error}");
    }
}

#[test]
fn bodies_that_the_receiver_encrypted_are_gone_on_with() {
    let mut bench = Bench::new();
    let sent: Vec<String> = (1..=3).map(|number| sessions(number, 300)).collect();
    let (journal, _) = bench.open();
    for text in &sent {
        let sealed = cipher(7).seal_format_2(text.as_bytes()).expect("sealed");
        bench.append(&journal, sealed);
    }
    drop(journal);
    become_format(&bench, 2);
    let error = bench.try_open().map(drop).expect_err("no key");
    assert!(matches!(error, JournalError::NoKey { seq: Seq(1), .. }), "{error}");
    bench.encrypt(8, true);
    let error = bench.try_open().map(drop).expect_err("another key");
    assert!(matches!(error, JournalError::WrongKey { seq: Seq(1), .. }), "{error}");
    bench.encrypt(7, true);
    // Also when a second start within the window finds the entries in a checkpoint of this format.
    for _ in 0..2 {
        let (journal, recovery) = bench.open();
        assert_eq!(recovery.next, Seq(4));
        assert_eq!(texts(&journal, 1), sent);
        for (number, text) in (1..).zip(&sent) {
            let known = bench.try_append(&journal, text).expect("known");
            assert_eq!(known, Receipt { seq: Seq(number), duplicate: true });
        }
    }
}

#[test]
fn a_body_is_encrypted_to_be_recognised_within_its_share_of_the_queue() {
    let mut bench = Bench::with(|options| options.queue_bytes = 1024);
    let (journal, _) = bench.open();
    let sealed = cipher(7).seal_format_2(b"came before").expect("sealed");
    bench.append(&journal, sealed);
    drop(journal);
    become_format(&bench, 2);
    bench.encrypt(7, true);
    let (journal, _) = bench.open();
    let held = bench.disk.hold_syncs();
    bench.runtime.block_on(async {
        let mut context = Context::from_waker(Waker::noop());
        let mut first = Box::pin(journal.append(body("takes the queue")));
        assert!(first.as_mut().poll(&mut context).is_pending());
        let mut again = Box::pin(journal.append(body("came before")));
        assert!(again.as_mut().poll(&mut context).is_pending(), "a copy that nothing bounds");
        drop(held);
        assert_eq!(first.await, Ok(Receipt { seq: Seq(2), duplicate: false }));
        assert_eq!(again.await, Ok(Receipt { seq: Seq(1), duplicate: true }));
    });
}

#[test]
fn only_in_earlier_formats_a_body_is_recognised_by_its_beginning() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let text = [FORMAT_2_PREFIX, b" and no more"].concat();
    bench.append(&journal, &text);
    drop(journal);
    let (journal, _) = bench.open();
    assert_eq!(texts(&journal, 1), [String::from_utf8(text).expect("text")]);
    drop(journal);
    become_format(&bench, 2);
    assert!(matches!(bench.try_open().map(drop), Err(JournalError::NoKey { .. })));
}
