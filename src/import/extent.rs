//! Extents: the chunks of a roll by file, and from them how far each file of an import is in.
//!
//! Chunks are numbered through an import in the order in which they are handed out. Usually that is
//! file after file; but a file that cannot be read any more is passed over, and its rest comes after
//! the others when it is given again. So the seal of a roll names the chunks of each file in it, and
//! what the rolls with a receipt name is in the lake.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::dedup::LeftOut;
use crate::json::number;
use crate::record::{Roll, Seq, SeqRange};

/// Successive chunks of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    /// Index of the file in the manifest.
    pub(super) file: usize,
    /// Chunks of the file before these.
    #[serde(deserialize_with = "number")]
    pub(super) skip: u64,
    /// Number of chunks.
    #[serde(deserialize_with = "number")]
    pub(super) chunks: u64,
    /// True when nothing of the file comes after them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ends: bool,
}

impl Extent {
    /// Appends the chunk after `extents`, as an extent of its own or to the last one.
    pub(super) fn push(extents: &mut Vec<Extent>, chunk: Extent) {
        match extents.last_mut() {
            Some(last) if last.file == chunk.file && last.skip + last.chunks == chunk.skip => {
                last.chunks += chunk.chunks;
                last.ends = chunk.ends;
            }
            _ => extents.push(chunk),
        }
    }
}

/// The chunks that were handed out and are not sealed yet. Clones share them: the source writes, and
/// the log of rolls reads.
#[derive(Clone, Debug, Default)]
pub(super) struct ExtentLog(Arc<Mutex<Vec<(Seq, Extent)>>>);

impl ExtentLog {
    /// Notes that chunk `seq` is the one of `extent`.
    pub(super) fn push(&self, seq: Seq, extent: Extent) {
        self.0.lock().push((seq, extent));
    }

    /// Returns the extents of the chunks of `range`, and forgets the chunks before it.
    pub(super) fn of(&self, range: SeqRange) -> Vec<Extent> {
        let mut chunks = self.0.lock();
        chunks.retain(|(seq, _)| *seq >= range.first);
        let mut extents = Vec::new();
        for (_, chunk) in chunks.iter().take_while(|(seq, _)| *seq <= range.last) {
            Extent::push(&mut extents, *chunk);
        }
        extents
    }
}

/// A roll that was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SealedRoll {
    pub(super) range: SeqRange,
    /// Its chunks by file; empty before version 3 of manifests, and for lines of the quarantine.
    pub(super) extents: Vec<Extent>,
    /// Rows that it leaves out, since they equal others of the import.
    pub(super) left_out: LeftOut,
}

impl SealedRoll {
    /// Returns a roll that leaves nothing out.
    pub(super) fn new(range: SeqRange, extents: Vec<Extent>) -> SealedRoll {
        SealedRoll { range, extents, left_out: LeftOut::default() }
    }
}

/// The part of a file that is in the lake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileProgress {
    /// Chunks that are in.
    pub(super) chunks: u64,
    /// All of it is in.
    pub(super) ended: bool,
    /// Numbers of its chunks in the import, as ranges from first to last.
    pub(super) ranges: Vec<(u64, u64)>,
}

/// The progress of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Its files, in the order of the manifest.
    pub(super) files: Vec<FileProgress>,
    /// The first roll without a receipt.
    pub(super) next_roll: Roll,
    /// The first chunk that is in none of the rolls with a receipt.
    pub(super) next: Seq,
    /// The first roll without a receipt, if it was sealed: it can only land as it was sealed.
    pub(super) sealed: Option<SealedRoll>,
    /// The import was given up: no roll of it is sealed any more.
    pub(super) closed: bool,
}

impl Progress {
    /// The progress of an import of `files` files of which nothing is in.
    pub(super) fn none(files: usize) -> Progress {
        Progress {
            files: vec![FileProgress::default(); files],
            next_roll: Roll::FIRST,
            next: Seq::FIRST,
            sealed: None,
            closed: false,
        }
    }

    /// Counts the next roll, which has a receipt.
    pub(super) fn landed(&mut self, roll: &SealedRoll) {
        let mut first = roll.range.first.0;
        for extent in &roll.extents {
            let next = first.saturating_add(extent.chunks);
            if let Some(file) = self.files.get_mut(extent.file).filter(|_| next > first) {
                file.chunks = extent.skip.saturating_add(extent.chunks);
                file.ended = extent.ends;
                match file.ranges.last_mut() {
                    Some((_, last)) if *last + 1 == first => *last = next - 1,
                    _ => file.ranges.push((first, next - 1)),
                }
            }
            first = next;
        }
        self.next_roll = self.next_roll.next();
        self.next = roll.range.last.next();
    }

    /// Counts chunks that have landed in rolls of their own, after all others.
    pub(super) fn landed_all(&mut self, extents: &[Extent]) {
        let chunks: u64 = extents.iter().map(|extent| extent.chunks).sum();
        let (first, last) = (self.next, Seq((self.next.0 + chunks).saturating_sub(1)));
        if chunks > 0 {
            let range = SeqRange { first, last };
            self.landed(&SealedRoll::new(range, extents.to_vec()));
        }
    }

    /// Notes that nothing of the file comes after what is in.
    pub(super) fn ended(&mut self, file: usize) {
        if let Some(file) = self.files.get_mut(file) {
            file.ended = true;
        }
    }

    /// Returns whether the file is in, whole.
    pub(super) fn is_in(&self, file: usize) -> bool {
        self.files.get(file).is_some_and(|file| file.ended)
    }

    /// Returns the files of which the sealed roll has chunks.
    pub(super) fn sealed_files(&self) -> HashSet<usize> {
        let extents = self.sealed.iter().flat_map(|roll| &roll.extents);
        extents.map(|extent| extent.file).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> SeqRange {
        SeqRange { first: Seq(first), last: Seq(last) }
    }

    fn chunk(file: usize, skip: u64, ends: bool) -> Extent {
        Extent { file, skip, chunks: 1, ends }
    }

    #[test]
    fn progress_is_counted_from_what_was_handed_out() {
        let log = ExtentLog::default();
        // The second file breaks off after its first chunk, and is given again later.
        let chunks = [
            chunk(0, 0, false),
            chunk(0, 1, true),
            chunk(1, 0, false),
            chunk(2, 0, true),
            chunk(1, 1, false),
            chunk(1, 2, true),
        ];
        for (seq, chunk) in (1..).zip(chunks) {
            log.push(Seq(seq), chunk);
        }
        let mut progress = Progress::none(3);
        let roll = |first, last| {
            let range = range(first, last);
            SealedRoll::new(range, log.of(range))
        };
        let one = roll(1, 4);
        let extent = |file, skip, chunks, ends| Extent { file, skip, chunks, ends };
        assert_eq!(
            one.extents,
            [extent(0, 0, 2, true), extent(1, 0, 1, false), extent(2, 0, 1, true)]
        );
        progress.landed(&one);
        assert!(progress.is_in(0) && !progress.is_in(1) && progress.is_in(2));
        assert_eq!((progress.next_roll, progress.next), (Roll(2), Seq(5)));
        progress.landed(&roll(5, 5));
        assert_eq!((progress.files[1].chunks, progress.is_in(1)), (2, false));
        progress.landed(&roll(6, 6));
        assert_eq!(progress.files[1].ranges, [(3, 3), (5, 6)]);
        assert!(progress.is_in(1));
    }
}
