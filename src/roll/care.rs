//! Care with bodies of which no roll can be made, so that one body never stops another.
//!
//! # Promise
//! A body that cannot be made into rows and rejects is *set aside*: one entry of the quarantine, with
//! the code `set_aside`, holds all of its bytes, and nothing of it is a row. All other bodies land as
//! if it were not there. A body is set aside whole or not at all.
//!
//! # Exactly once
//! The bodies that a roll sets aside are in its seal, so that a redo makes the same. An engine decides
//! for itself only on rolls that are not sealed ([`Care::decides`]), and only where the decoder fails:
//! a body is tried by itself, and twice, before anything of it is handed on. A body of which a part was
//! handed on already ends the engine with a [`RollFailure`] that names it.
//!
//! Every other failure (a staging file, the encoder, a panic of either, the end of the process) is of
//! the roll and not of a body. The engine says which bodies the roll had, and which were being taken in
//! when it failed; which body it was is found by its caller, who makes smaller rolls of the
//! [`Suspects`].

use std::collections::BTreeMap;
use std::fmt;

use crate::record::{Seq, SeqRange};

/// Most bodies that a roll sets aside before it ends: its seal names them.
pub(super) const MOST_SET_ASIDE: usize = 1_000;

/// Bodies that are set aside, each with the reason.
pub(crate) type SetAside = BTreeMap<Seq, String>;

/// The care that an engine takes.
#[derive(Default)]
pub(crate) struct Care<'a> {
    /// Bodies that are set aside without a try.
    pub(crate) set_aside: SetAside,
    /// True when bodies that cannot be decoded may be set aside in rolls that are not sealed.
    pub(crate) decides: bool,
    /// Bodies that may be why a roll failed.
    pub(crate) suspects: Option<Suspects<'a>>,
}

/// The bodies up to one of them, any of which may be why a roll failed.
pub(crate) struct Suspects<'a> {
    /// The last suspect.
    pub(crate) until: Seq,
    /// Most bodies of a roll that begins with a suspect.
    pub(crate) roll_bodies: u64,
    /// Most bodies of a job that begins with a suspect.
    pub(crate) job_bodies: u64,
    /// The record of the work under way, when the process may die of it. One job is then under way at
    /// a time.
    pub(crate) record: Option<&'a dyn WorkRecord>,
}

/// Work on suspects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// These bodies are decoded and taken into the open roll.
    Job(SeqRange),
    /// The files of a roll of these bodies are finished.
    Finish(SeqRange),
}

/// A record of the work under way, which survives the process.
pub(crate) trait WorkRecord: Sync {
    /// Records that `work` begins. Durable on return, if the disk has room.
    fn begins(&self, work: Work);

    /// Records that no work is under way.
    fn ends(&self);
}

impl<'a> Care<'a> {
    /// Returns the suspects if `seq` is one.
    pub(super) fn suspects_at(&self, seq: Seq) -> Option<&Suspects<'a>> {
        self.suspects.as_ref().filter(|suspects| seq <= suspects.until)
    }

    /// Returns true when a roll of the bodies `open` takes no more bodies, or not those of `next`.
    pub(super) fn is_full(&self, open: SeqRange, next: Option<SeqRange>) -> bool {
        let Some(suspects) = self.suspects_at(open.first) else { return false };
        match next {
            None => count(open) >= suspects.roll_bodies,
            Some(next) => count(open).saturating_add(count(next)) > suspects.roll_bodies,
        }
    }

    /// Records the work on bodies from `seq` on, if that is asked for.
    pub(super) fn record_at(&self, seq: Seq) -> Option<&'a dyn WorkRecord> {
        self.suspects_at(seq)?.record
    }
}

/// Returns the number of bodies of a range.
pub(crate) fn count(range: SeqRange) -> u64 {
    range.last.0.saturating_sub(range.first.0).saturating_add(1)
}

/// A body that cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[error("body {seq} cannot be decoded: {why}")]
pub(crate) struct BodyFailure {
    /// The body.
    pub(crate) seq: Seq,
    /// The reason.
    pub(crate) why: String,
}

/// A body of a table that no configuration has named. It is never set aside: there is no quarantine
/// for it.
#[derive(Debug, thiserror::Error)]
#[error("body {seq} is for table {table}, which no configuration has named")]
pub(crate) struct UnknownTable {
    /// The body.
    pub(crate) seq: Seq,
    /// Name of the table.
    pub(crate) table: String,
}

/// A body that could not be read from where it is stored. That is no fault of a body, and no reason to
/// set one aside.
#[derive(Debug)]
pub(crate) struct SourceFailure(pub(crate) anyhow::Error);

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for SourceFailure {}

/// A roll that cannot be made, for a reason that is neither the source's nor the lake's.
#[derive(Debug)]
pub(crate) struct RollFailure {
    /// Bodies of the roll so far.
    pub(crate) range: SeqRange,
    /// Bodies that were being taken in; `None` while the files of the roll were finished.
    pub(crate) at: Option<SeqRange>,
    /// True when the decoder failed, by whatever else is in the roll.
    pub(crate) is_of_decoder: bool,
    /// True when the roll is sealed already.
    pub(crate) is_sealed: bool,
    /// Bytes of its bodies, inflated.
    pub(crate) source_bytes: u64,
    /// The cause.
    pub(crate) cause: anyhow::Error,
}

impl fmt::Display for RollFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SeqRange { first, last } = self.range;
        match self.at {
            Some(at) if at.first == at.last => {
                write!(f, "a roll of bodies {first} to {last} cannot be made at body {last}")
            }
            _ => write!(f, "a roll of bodies {first} to {last} cannot be made"),
        }
    }
}

impl std::error::Error for RollFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.cause.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> SeqRange {
        SeqRange { first: Seq(first), last: Seq(last) }
    }

    #[test]
    fn rolls_of_suspects_are_short_and_others_are_not() {
        let suspects = Suspects { until: Seq(20), roll_bodies: 4, job_bodies: 1, record: None };
        let care = Care { suspects: Some(suspects), ..Care::default() };
        assert!(!care.is_full(range(11, 13), None));
        assert!(care.is_full(range(11, 14), None));
        assert!(!care.is_full(range(11, 13), Some(range(14, 14))));
        assert!(care.is_full(range(11, 13), Some(range(14, 15))));
        assert!(!care.is_full(range(21, 90), None));
        assert!(!Care::default().is_full(range(1, 90), Some(range(91, 99))));
    }
}
