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
                skipped(&bench, disk, which, at, form);
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

/// With `skip_damaged`, at most the body whose frame the byte is in is missing, and named.
fn skipped(bench: &Bench, disk: Arc<fake::FakeDisk>, which: usize, at: usize, form: BodyEncoding) {
    let path = &bench.segments()[which];
    let damaged = disk.bytes(path);
    let hit = body_at(&bench.disk.bytes(path), at);
    let options = Options { skip_damaged: true, ..bench.options.clone() };
    let opened = Journal::open(disk.clone(), bench.clock.clone(), options);
    let (journal, recovery) = opened.expect("opens without the frame");
    let [skipped] = &recovery.skipped[..] else { panic!("byte {at}: {recovery:?}") };
    let lost: Vec<SeqRange> =
        hit.map(|seq| SeqRange { first: Seq(seq), last: Seq(seq) }).into_iter().collect();
    assert_eq!(skipped.lost, lost, "byte {at} of segment {which}");
    assert_eq!(skipped.kept, 2 - lost.len() as u64, "byte {at}");
    let aside = skipped.path.as_ref().expect("a file");
    assert_eq!(disk.bytes(aside), damaged, "byte {at}: the evidence");
    let check = |journal: &Journal| {
        let bodies = read_from(journal, 1);
        let left: Vec<u64> = (1..=6).filter(|seq| Some(*seq) != hit).collect();
        assert_eq!(bodies.iter().map(|body| body.seq.0).collect::<Vec<_>>(), left, "byte {at}");
        for body in bodies {
            assert_eq!(body.bytes, text(body.seq.0, form), "byte {at}");
        }
    };
    check(&journal);
    assert_eq!(recovery.sealed, [seal(1, 1, 2)], "byte {at}");
    assert!(recovery.next_roll >= Roll(2) && recovery.next >= Seq(7), "byte {at}: {recovery:?}");
    drop(journal);
    // The next start finds the same, without any damage.
    let opened = Journal::open(disk, bench.clock.clone(), bench.options.clone());
    let (journal, again) = opened.expect("opens");
    assert!(again.skipped.is_empty());
    assert_eq!((again.next, again.next_roll), (recovery.next, recovery.next_roll), "byte {at}");
    check(&journal);
}

/// The body whose frame has this byte of a whole segment.
fn body_at(bytes: &[u8], at: usize) -> Option<u64> {
    let (head, length) = segment::SegmentHead::decode(bytes).expect("a head");
    let mut offset = length as usize;
    while let Some(header) = frame::Header::decode(&bytes[offset..], head.salt) {
        let end = offset + header.frame_bytes() as usize;
        if (offset..end).contains(&at) {
            return (header.kind == frame::Kind::Body).then_some(header.seq);
        }
        offset = end;
    }
    None
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
