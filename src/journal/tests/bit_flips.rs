//! Every byte of a segment flipped in turn.

use super::*;

/// The encoding of the stored bodies.
#[derive(Clone, Copy)]
enum BodyEncoding {
    Plain,
    Compressed,
    Encrypted,
    Both,
}

const FORMS: [BodyEncoding; 4] =
    [BodyEncoding::Plain, BodyEncoding::Compressed, BodyEncoding::Encrypted, BodyEncoding::Both];

impl BodyEncoding {
    fn compressed(self) -> bool {
        matches!(self, BodyEncoding::Compressed | BodyEncoding::Both)
    }
}

/// Three segments of two bodies, the last one closed in order, as files.
fn bench(form: BodyEncoding) -> (Bench, Vec<PathBuf>) {
    let mut bench = Bench::with(|options| {
        options.segment_bytes = match form {
            BodyEncoding::Plain => 230,
            BodyEncoding::Compressed => 330,
            BodyEncoding::Encrypted => 300,
            BodyEncoding::Both => 380,
        };
        options.compress_from_bytes = form.compressed().then_some(0);
    });
    if matches!(form, BodyEncoding::Encrypted | BodyEncoding::Both) {
        bench.encrypt(7, true);
    }
    let (journal, _) = bench.open();
    for number in 1..=6 {
        bench.append(&journal, text(number, form));
        if number == 2 {
            journal.seal(&seal(1, 1, 2)).expect("sealed");
        }
    }
    drop(journal);
    let segments = bench.segments();
    assert_eq!(segments.len(), 3);
    (bench, segments)
}

/// One that becomes smaller, where that matters.
fn text(number: u64, form: BodyEncoding) -> String {
    let text = format!("this is body {number}");
    if form.compressed() { text.repeat(100) } else { text }
}

/// Counts of what starts made of flipped bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    refused: usize,
    cut: usize,
}

/// Flips each byte of a segment. Whatever a start makes of it, it hands out no body that is not as
/// it was written, and says so when one is missing.
fn flip_each(which: usize, form: BodyEncoding) -> Seen {
    let (bench, segments) = bench(form);
    let whole = bench.disk.bytes(&segments[which]);
    assert!(whole.len() < 1_400, "neither of two bodies of 1,400 bytes is here as it came");
    let mut seen = Seen::default();
    for at in 0..whole.len() {
        let disk = bench.disk.copy();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        disk.put(&segments[which], &bytes);
        let disk = Arc::new(disk);
        let opened = Journal::open(disk.clone(), bench.clock.clone(), bench.options.clone());
        match opened {
            Err(JournalError::Damaged { path, offset, .. }) => {
                assert_eq!(path, segments[which], "byte {at}");
                assert!(offset <= at as u64, "byte {at}: reported at offset {offset}");
                seen.refused += 1;
                skipped(&bench, disk, which, at);
            }
            // The format's number is under the head's checksum, so this is damage as well.
            Err(other) => panic!("byte {at}: {other}"),
            Ok((journal, recovery)) => {
                assert!(recovery.torn_bytes > 0, "byte {at}: changed, and nobody noticed");
                let texts = texts(&journal, 1);
                let lost = 6 - texts.len();
                assert!(lost <= 1, "byte {at}: more than the last group is gone");
                for (number, found) in (1..).zip(&texts) {
                    assert_eq!(*found, text(number, form), "byte {at}");
                }
                seen.cut += 1;
            }
        }
    }
    seen
}

/// With `skip_damaged`, exactly the segment's bodies are missing, and are named.
fn skipped(bench: &Bench, disk: Arc<fake::FakeDisk>, which: usize, at: usize) {
    let options = Options { skip_damaged: true, ..bench.options.clone() };
    let (journal, recovery) =
        Journal::open(disk, bench.clock.clone(), options).expect("opens without the segment");
    let [skipped] = &recovery.skipped[..] else { panic!("byte {at}: {recovery:?}") };
    let first = 2 * which as u64 + 1;
    assert_eq!(skipped.lost.first, Seq(first), "byte {at}");
    if which < 2 {
        assert_eq!(skipped.lost.last, Seq(first + 1), "byte {at}");
    } else {
        assert!(skipped.lost.last >= Seq(first + 1), "byte {at}");
        assert_eq!(recovery.next, skipped.lost.last.next(), "byte {at}");
    }
    let seqs: Vec<u64> = read_from(&journal, 1).iter().map(|body| body.seq.0).collect();
    let left: Vec<u64> = (1..=6).filter(|seq| *seq != first && *seq != first + 1).collect();
    assert_eq!(seqs, left, "byte {at}");
}

#[test]
fn every_flipped_byte_of_an_earlier_segment_is_refused() {
    for form in FORMS {
        for which in [0, 1] {
            let seen = flip_each(which, form);
            assert!(seen.refused > 300, "{seen:?}");
            assert_eq!(seen.cut, 0, "{seen:?}");
        }
    }
}

#[test]
fn every_flipped_byte_of_the_last_segment_is_refused_or_a_torn_tail_of_the_last_group() {
    for form in FORMS {
        let seen = flip_each(2, form);
        // Behind the last body stands the record of the orderly close: only that can pass for torn.
        assert_eq!(seen.cut, frame::HEADER_BYTES, "{seen:?}");
        assert!(seen.refused > 300, "{seen:?}");
    }
}
