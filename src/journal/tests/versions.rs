//! Journals that earlier versions wrote stay readable.
//!
//! `tests/data/journal-v1` was written by the first version of format 1: four segments, six
//! bodies, roll 1 (bodies 1 and 2) sealed and not committed. `journal-v2` by the first version of
//! format 2: six segments of a body each, those with even numbers compressed, roll 1 as before.
//! `journal-v3` by the first version of format 3: the same, and bodies 3 to 6 encrypted, of which 5
//! and 6 were appended last. They are never written again; a new format gets a directory of its own beside them.

use super::*;

macro_rules! segment {
    ($version:literal, $name:literal) => {
        ($name, include_bytes!(concat!("../../../tests/data/journal-v", $version, "/", $name)))
    };
}

type Segments = &'static [(&'static str, &'static [u8])];

const V1: Segments = &[
    segment!("1", "00000000000000000001.seg"),
    segment!("1", "00000000000000000003.seg"),
    segment!("1", "00000000000000000004.seg"),
    segment!("1", "00000000000000000006.seg"),
];

const V2: Segments = &[
    segment!("2", "00000000000000000001.seg"),
    segment!("2", "00000000000000000002.seg"),
    segment!("2", "00000000000000000003.seg"),
    segment!("2", "00000000000000000004.seg"),
    segment!("2", "00000000000000000005.seg"),
    segment!("2", "00000000000000000006.seg"),
];

const V3: Segments = &[
    segment!("3", "00000000000000000001.seg"),
    segment!("3", "00000000000000000002.seg"),
    segment!("3", "00000000000000000003.seg"),
    segment!("3", "00000000000000000004.seg"),
    segment!("3", "00000000000000000005.seg"),
    segment!("3", "00000000000000000006.seg"),
];

#[test]
fn format_1_is_readable() {
    readable(V1, "fixture-o2n3kiuv", |number| format!("this is body {number}"));
}

#[test]
fn format_2_is_readable() {
    assert!(V2[1].1.len() < 40 * 15, "the second is compressed");
    readable(V2, "fixture-kiqclhna", |number| format!("this is body {number}\n").repeat(40));
}

#[test]
fn format_3_is_readable() {
    assert!(V3[1].1.len() < 40 * 15 && V3[5].1.len() < 40 * 20, "even numbers are compressed");
    let clear = |(_, bytes): &(&str, &[u8])| memchr::memmem::find(bytes, b"this is body").is_some();
    assert!(!V3[2..].iter().any(clear), "those from 3 on are encrypted");
    let bench = with_segments(V3);
    let error = bench.try_open().map(drop).expect_err("no key");
    assert!(matches!(error, JournalError::NoKey { seq: Seq(3), .. }), "{error}");
    readable(V3, "fixture-m7kl73ji", |number| format!("this is body {number}\n").repeat(40));
}

fn with_segments(segments: Segments) -> Bench {
    let bench = Bench::new();
    for (name, bytes) in segments {
        bench.disk.put(&bench.options.dir.join(name), bytes);
    }
    bench
}

/// Reads a journal of six bodies, with the key that some of them may need.
fn readable(segments: Segments, node: &str, text: impl Fn(u64) -> String) {
    let mut bench = with_segments(segments);
    bench.encrypt(7, false);
    let (journal, recovery) = bench.open();
    assert_eq!(journal.node(), node);
    assert_eq!((recovery.next, recovery.next_roll), (Seq(7), Roll(2)));
    assert_eq!((recovery.torn_bytes, recovery.unsealed_from), (0, Seq(3)));
    assert_eq!(recovery.sealed, [seal(1, 1, 2)]);
    let bodies = read_from(&journal, 1);
    for (number, body) in (1..).zip(&bodies) {
        assert_eq!(body.seq, Seq(number));
        assert_eq!(&*body.table, "user_sessions");
        assert_eq!(body.first_line, 1);
        assert_eq!(body.received_at, Micros(1_000_000_000));
        assert_eq!(body.bytes, text(number));
    }
    assert_eq!(bodies.len(), 6);
    // Its retry window as well.
    let known = bench.try_append(&journal, text(6)).expect("known");
    assert_eq!(known, Receipt { seq: Seq(6), duplicate: true });
}
