//! The parts of a damaged segment that are whole.
//!
//! Every frame has checksums of its own, salted for its segment, so a whole one can be told wherever it
//! stands. Behind a bad frame the search goes on at the next whole header. A header that is whole says
//! how long its frame is: if that leads to another whole header, nothing is between them. Otherwise
//! bytes were lost or put in, and every byte is tried.
//!
//! A damaged bit costs the frame it is in. In the head of the segment it costs nothing, since the
//! head's checksum says which bit it was (of some hundred bits, of which at most one is wrong: more are
//! not corrected). In the checkpoint it costs what only that says; the segment before says the same, if
//! it is there.

use std::io;
use std::ops::Range;

use super::control;
use super::frame::{HEADER_BYTES, Header, Kind};
use super::scan::{Scan, SegmentFile, add_body};
use super::segment::{FrameScanner, ScannedFrame};
use crate::record::{Seq, SeqRange};

/// Whole bodies with consecutive numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) range: SeqRange,
    /// Offset of each frame.
    pub(crate) offsets: Vec<u64>,
}

impl Run {
    /// Leaves out the bodies before `from`. Returns false if none is left.
    pub(crate) fn begin_at(&mut self, from: Seq) -> bool {
        if self.range.last < from {
            return false;
        }
        let before = from.0.saturating_sub(self.range.first.0);
        self.offsets.drain(..usize::try_from(before).unwrap_or(usize::MAX).min(self.offsets.len()));
        self.range.first = self.range.first.max(from);
        true
    }
}

/// The yield of a damaged segment. Rolls and retry keys are in its [`Scan`].
#[derive(Debug, Default)]
pub(crate) struct Salvage {
    /// Whole bodies, in order.
    pub(crate) runs: Vec<Run>,
    /// Bodies whose header is whole and whose payload is not, or makes no sense.
    pub(crate) broken: Vec<Seq>,
    /// Most frames that could stand where nothing can be read.
    pub(crate) unread_frames: u64,
    /// The same, behind the last whole header: their numbers are above all others.
    pub(crate) unread_frames_at_end: u64,
}

/// Finds what is whole in a segment. Adds to `scan` the rolls, retry keys and numbers behind its end,
/// and returns the bodies. Bodies with numbers from `end` on are not this segment's.
pub(crate) fn salvage(it: &SegmentFile, scan: &mut Scan, end: Option<u64>) -> io::Result<Salvage> {
    let mut scanner = FrameScanner::new(&*it.file, it.len, scan.head.salt);
    let mut found = Salvage::default();
    let mut bodies = std::collections::BTreeMap::new();
    let (mut offset, mut unread_bytes) = (scan.frames_at, 0);
    let known_to = scan.end;
    while let Some((at, header)) = scanner.next_header(offset)? {
        unread_bytes += at - offset;
        scan.last_seq = scan.last_seq.max(header.seq);
        match scanner.frame(at)? {
            Ok(frame) => {
                offset = frame.end;
                // One whose head makes no sense could not be read where it is copied to either.
                let makes_sense = at < known_to || add(scan, &frame).is_some();
                if header.kind == Kind::Body {
                    if !makes_sense {
                        found.broken.push(Seq(header.seq));
                    } else if end.is_none_or(|end| header.seq < end) {
                        bodies.entry(header.seq).or_insert(at);
                    }
                }
            }
            Err(_) => {
                if header.kind == Kind::Body {
                    found.broken.push(Seq(header.seq));
                } else {
                    found.unread_frames += 1;
                }
                offset = behind_bad_frame(&mut scanner, it.len, at, &header)?;
            }
        }
    }
    let at_end = it.len.saturating_sub(offset);
    found.unread_frames_at_end = at_end / HEADER_BYTES as u64;
    found.unread_frames += (unread_bytes + at_end) / HEADER_BYTES as u64;
    for (seq, at) in bodies {
        match found.runs.last_mut() {
            Some(run) if run.range.last.0 + 1 == seq => {
                run.range.last = Seq(seq);
                run.offsets.push(at);
            }
            _ => {
                let range = SeqRange { first: Seq(seq), last: Seq(seq) };
                found.runs.push(Run { range, offsets: vec![at] });
            }
        }
    }
    Ok(found)
}

/// Returns where to look for the next frame, behind one at `at` whose header is whole.
fn behind_bad_frame(
    scanner: &mut FrameScanner<'_>,
    len: u64,
    at: u64,
    header: &Header,
) -> io::Result<u64> {
    let end = at + header.frame_bytes();
    let follows = match end < len {
        true => scanner.next_header(end)?.is_some_and(|(next, _)| next == end),
        false => end == len,
    };
    Ok(if follows { end } else { at + HEADER_BYTES as u64 })
}

/// Adds a whole frame that stands behind a damaged one. `None` if it makes no sense.
fn add(scan: &mut Scan, frame: &ScannedFrame) -> Option<()> {
    let header = &frame.header;
    match header.kind {
        Kind::Seal => {
            scan.control.salvage_seal(control::decode_seal(&frame.kept)?);
        }
        Kind::Committed => {
            scan.control.salvage_commit(control::decode_committed(&frame.kept)?);
        }
        // The number follows from none before it.
        Kind::Body => add_body(scan, frame)?,
        Kind::Checkpoint | Kind::Closed => {}
    }
    Some(())
}

/// Returns the numbers of `all` that are in none of the runs, which are in order.
pub(crate) fn missing(all: Range<u64>, runs: &[Run]) -> Vec<SeqRange> {
    let mut missing = Vec::new();
    let mut next = all.start;
    for run in runs {
        if run.range.first.0 > next {
            missing.push(SeqRange { first: Seq(next), last: Seq(run.range.first.0 - 1) });
        }
        next = next.max(run.range.last.0 + 1);
    }
    if next < all.end {
        missing.push(SeqRange { first: Seq(next), last: Seq(all.end - 1) });
    }
    missing
}
