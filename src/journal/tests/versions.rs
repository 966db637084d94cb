//! Journals that earlier versions wrote stay readable.
//!
//! `tests/data/journal-v1` was written by the first version of format 1: four segments, six
//! bodies, roll 1 (bodies 1 and 2) sealed and not committed. It is never written again; a new
//! format gets a directory of its own beside it.

use super::*;

macro_rules! segment {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../../tests/data/journal-v1/", $name)))
    };
}

const V1: [(&str, &[u8]); 4] = [
    segment!("00000000000000000001.seg"),
    segment!("00000000000000000003.seg"),
    segment!("00000000000000000004.seg"),
    segment!("00000000000000000006.seg"),
];

#[test]
fn format_1_is_readable() {
    let bench = Bench::new();
    for (name, bytes) in V1 {
        bench.disk.put(&bench.options.dir.join(name), bytes);
    }
    let (journal, recovery) = bench.open();
    assert_eq!(journal.node(), "fixture-o2n3kiuv");
    assert_eq!((recovery.next, recovery.next_roll), (Seq(7), Roll(2)));
    assert_eq!((recovery.torn_bytes, recovery.unsealed_from), (0, Seq(3)));
    assert_eq!(recovery.sealed, [seal(1, 1, 2)]);
    let bodies = read_from(&journal, 1);
    for (number, body) in (1..).zip(&bodies) {
        assert_eq!(body.seq, Seq(number));
        assert_eq!(&*body.table, "user_sessions");
        assert_eq!(body.first_line, 1);
        assert_eq!(body.received_at, Micros(1_000_000_000));
        assert_eq!(body.bytes, format!("this is body {number}"));
    }
    assert_eq!(bodies.len(), 6);
    // Its retry window as well.
    let known = bench.try_append(&journal, "this is body 6").expect("known");
    assert_eq!(known, Receipt { seq: Seq(6), duplicate: true });
}
