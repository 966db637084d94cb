//! Segments that are damaged or missing: refused, or given up with `skip_damaged`.
//!
//! Which bodies have landed, and which numbers of rolls may have been used, is known only when all
//! segments are read: what a damaged segment says of rolls is held against the segments before it, as
//! they were read and not as they might have been.

use super::super::control::Control;
use super::super::frame::HEADER_BYTES;
use super::super::salvage::{missing, salvage};
use super::super::scan::{Fault, Scan, SegmentFile};
use super::super::segment;
use super::super::set_aside::{Aside, choose_name};
use super::super::{JournalError, SkippedSegment};
use super::Replay;
use crate::record::{Seq, SeqRange};

/// Rolls that may have been made before, for all that is known: two hundred years of a roll a minute.
const UNKNOWN_ROLLS: u64 = 100_000_000;

impl Replay {
    /// Returns the bodies missing between the last segment and this one.
    pub(super) fn gap_before(
        &mut self,
        first_seq: u64,
        known: &Control,
    ) -> Result<Option<SeqRange>, JournalError> {
        if first_seq <= self.next {
            return Ok(None);
        }
        let range = SeqRange { first: Seq(self.next), last: Seq(first_seq - 1) };
        if known.may_be_missing(range) {
            return Ok(None);
        }
        if !self.options.skip_damaged {
            let before = self.options.dir.join(segment::file_name(first_seq));
            return Err(JournalError::Missing { range, before });
        }
        let why = "the segment is missing".into();
        self.skipped.push(SkippedSegment { path: None, lost: vec![range], kept: 0, why });
        Ok(Some(range))
    }

    /// Refuses a damaged segment, or plans to set it aside and keep what is whole of it. Returns the
    /// bodies that are lost.
    pub(super) fn set_aside(
        &mut self,
        it: SegmentFile,
        scan: Option<Scan>,
        fault: Fault,
        following: Option<u64>,
    ) -> Result<Vec<SeqRange>, JournalError> {
        let Fault { offset, why, head, is_misplaced, .. } = fault;
        if !self.options.skip_damaged {
            return Err(JournalError::Damaged { path: it.path, offset, why });
        }
        if scan.is_some() {
            // Its checkpoint says what could not be read before it.
            self.unread = 0;
        }
        // Without its checkpoint, what was said before it is what there is to go on from.
        let scan = scan.or_else(|| {
            head.map(|(head, frames_at)| {
                let (control, window) = (self.control.clone(), self.window.clone());
                Scan::without_checkpoint(head, frames_at, control, window)
            })
        });
        let mut highest = it.first_seq - 1;
        // What cannot be read counts as the most frames that could stand there: none of their
        // numbers is used again, and neither are those of rolls, unless a later checkpoint knows them.
        let mut unread = it.len / HEADER_BYTES as u64;
        let mut unread_at_end = unread;
        let (mut runs, mut head) = (Vec::new(), None);
        if let Some(mut scan) = scan {
            let found = salvage(&it, &mut scan, following).map_err(it.cannot("read"))?;
            highest = scan.last_seq;
            (unread, unread_at_end) = (found.unread_frames, found.unread_frames_at_end);
            if !is_misplaced {
                runs = found.runs;
                self.tables.extend(std::mem::take(&mut scan.tables));
                let encrypted = scan.encrypted.map(|range| (range, it.path.clone()));
                self.encrypted.extend(encrypted);
            }
            (self.control, self.window, head) = (scan.control, scan.window, Some(scan.head));
        }
        // Only when all segments are read: what the next ones say must be held against what is known.
        self.unread += unread;
        highest += unread_at_end;
        let last = following.map_or(highest, |following| following - 1).max(it.first_seq);
        let lost = missing(it.first_seq..last + 1, &runs);
        self.next = last + 1;
        self.floor = self.next;
        let aside = choose_name(&it, &self.names)?;
        let why = format!("offset {offset}: {why}");
        tracing::warn!(path = %aside.display(), %why, "setting a damaged segment aside");
        let kept = runs.iter().map(|run| run.offsets.len() as u64).sum();
        let (path, lost_here) = (Some(aside.clone()), lost.clone());
        self.skipped.push(SkippedSegment { path, lost: lost_here, kept, why });
        self.asides.push(Aside { it, path: aside, head, runs });
        Ok(lost)
    }

    /// Returns the bodies before the first segment that a roll is made of which has not landed.
    pub(super) fn before_the_first(&mut self, first: Option<u64>) -> Option<SeqRange> {
        let from = self.control.committed_seq + 1;
        let first = first.filter(|first| *first > from && self.is_without_checkpoint)?;
        let range = SeqRange { first: Seq(from), last: Seq(first - 1) };
        let why = "the segment is missing".into();
        self.skipped.push(SkippedSegment { path: None, lost: vec![range], kept: 0, why });
        Some(range)
    }

    /// Neither names as lost nor keeps bodies that have landed. Which ones have is known when all
    /// segments are read.
    pub(super) fn pass_over_landed(&mut self) {
        let from = Seq(self.control.committed_seq + 1);
        for skipped in &mut self.skipped {
            skipped.lost.retain(|range| range.last >= from);
            for range in &mut skipped.lost {
                range.first = range.first.max(from);
            }
        }
        self.skipped.retain(|skipped| skipped.path.is_some() || !skipped.lost.is_empty());
        for aside in &mut self.asides {
            aside.runs.retain_mut(|run| run.begin_at(from));
            let kept = aside.runs.iter().map(|run| run.offsets.len() as u64).sum();
            let of_aside = |it: &&mut SkippedSegment| it.path.as_ref() == Some(&aside.path);
            if let Some(skipped) = self.skipped.iter_mut().find(of_aside) {
                skipped.kept = kept;
            }
        }
    }

    /// Passes over the numbers of rolls that may have been used and are not known.
    pub(super) fn settle_rolls(&mut self) {
        let control = &mut self.control;
        if control.is_guess && control.committed_roll == 0 && self.identity.is_some() {
            control.next_roll += UNKNOWN_ROLLS;
        }
        control.is_guess = false;
        control.next_roll += self.unread;
    }
}
