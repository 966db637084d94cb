//! Segments that are read by themselves.

use super::crash::frames;
use super::*;
use crate::journal::frame::Kind;

#[test]
fn whole_bodies_of_any_segment_are_read_and_told_from_damaged_ones() {
    for (secret, compress_from_bytes) in [(None, None), (None, Some(0)), (Some(7), Some(0))] {
        let mut bench = Bench::with(|options| options.compress_from_bytes = compress_from_bytes);
        if let Some(secret) = secret {
            bench.encrypt(secret, true);
        }
        let text = |number: u64| format!("this is body {number} ").repeat(50);
        let (journal, _) = bench.open();
        for number in 1..=6 {
            bench.append(&journal, text(number));
        }
        journal.seal(&seal(1, 1, 2)).expect("sealed");
        journal.committed(Roll(1)).expect("committed");
        drop(journal);
        let mut bytes = bench.disk.bytes(&bench.last_segment());
        let is_four =
            |it: &&(usize, frame::Header, usize)| it.1.kind == Kind::Body && it.1.seq == 4;
        let four = frames(&bytes).iter().find(is_four).expect("a frame").0;
        // In the head too, which is one bit from what it was.
        bytes[four + 60] ^= 1;
        bytes[9] ^= 1;
        let path = PathBuf::from("/elsewhere/any name");
        bench.disk.put(&path, &bytes);
        let mut found = Vec::new();
        let cipher = bench.options.cipher.clone();
        let rescued = rescue::<JournalError>(&*bench.disk, &path, cipher.as_ref(), |body| {
            assert_eq!(body.bytes, text(body.seq.0));
            found.push(body.seq.0);
            Ok(())
        });
        let rescued = rescued.expect("read");
        assert_eq!(
            found,
            if rescued.landed_to == Seq(2) { vec![3, 5, 6] } else { vec![1, 2, 3, 5, 6] }
        );
        let four = SeqRange { first: Seq(4), last: Seq(4) };
        assert_eq!((rescued.damaged, rescued.unknown_at_end), (vec![four], 0));
        assert_eq!(bench.disk.bytes(&path), bytes);
        if cipher.is_some() {
            let locked = rescue::<JournalError>(&*bench.disk, &path, None, |_| Ok(()));
            assert!(matches!(locked, Err(JournalError::NoKey { .. })), "{locked:?}");
        }
    }
}

#[test]
fn a_file_that_is_no_segment_is_an_error_that_names_it() {
    let bench = Bench::new();
    let path = PathBuf::from("/elsewhere/notes");
    bench.disk.put(&path, b"not a segment");
    let error = rescue::<JournalError>(&*bench.disk, &path, None, |_| Ok(()));
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("/elsewhere/notes cannot be read as a segment"), "{error}");
}
