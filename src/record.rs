//! Types that every station shares: bodies, rolls, sequence numbers, times.
//!
//! Nothing here does I/O, reads a clock or knows a format.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Sequence number of a body: 1, 2, 3 … within one node, never used twice, gapless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The first sequence number of a new journal.
    pub const FIRST: Seq = Seq(1);

    /// Returns the sequence number after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A contiguous, inclusive range of sequence numbers. Never empty: `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqRange {
    /// The first body of the range.
    pub first: Seq,
    /// The last body of the range.
    pub last: Seq,
}

/// Number of a roll: 1, 2, 3 … within one node. It names the files of the roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Roll(pub u64);

impl Roll {
    /// The first roll of a new journal.
    pub const FIRST: Roll = Roll(1);

    /// Returns the roll after this one.
    #[must_use]
    pub fn next(self) -> Roll {
        Roll(self.0 + 1)
    }
}

impl fmt::Display for Roll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

impl Micros {
    /// Returns the time as RFC 3339 text, in whole seconds; `None` beyond the years that it has.
    #[must_use]
    pub fn rfc3339(self) -> Option<String> {
        let time = chrono::DateTime::from_timestamp_micros(self.0)?;
        Some(time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    }
}

/// The form of the documents of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// One document a line, or a JSON array of documents.
    Ndjson,
    /// Elasticsearch bulk: an action line before each document.
    Elasticsearch,
}

/// One received body, as the journal hands it on.
#[derive(Clone, Debug)]
pub struct Body {
    /// Its number in the journal.
    pub seq: Seq,
    /// Time of its receipt (by the clock of the receiver, written with the body): `_ingest_time`.
    pub received_at: Micros,
    /// The table its documents belong to. Checked when it was configured: `[a-z0-9_]{1,64}`.
    pub table: Arc<str>,
    /// The form of its documents.
    pub form: Form,
    /// Number of the body's first line, counted from 1. Above 1 only for the later chunks of an
    /// imported file, so that positions are those of the file.
    pub first_line: u64,
    /// The documents, inflated, as they came.
    pub bytes: Bytes,
}
