//! Types that every station shares: bodies, rolls, sequence numbers, times.
//!
//! Nothing here does I/O by itself, reads a clock or knows a format.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use twox_hash::XxHash3_128;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// The documents, inflated, as they came; empty if they are `stored`.
    pub bytes: Bytes,
    /// The documents where they are stored, if they are too many bytes to be held.
    pub stored: Option<Arc<dyn StoredText>>,
}

impl Body {
    /// Returns the length of the documents in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.stored.as_ref().map_or(self.bytes.len() as u64, |text| text.text_bytes())
    }
}

/// The text of a body that is too large to be held in memory.
pub trait StoredText: fmt::Debug + Send + Sync {
    /// Returns its length in bytes.
    fn text_bytes(&self) -> u64;

    /// Returns the digest of its body.
    fn digest(&self) -> BodiesDigest;

    /// Returns its last byte that is no white space of JSON; `None` if all of it is.
    fn last_byte(&self) -> Option<u8>;

    /// Reads bytes at `offset` into all of `buffer`, or up to the end of the text. Returns their number.
    ///
    /// # Errors
    /// The text cannot be read, or is shorter than it was.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A text that is in memory, for tests.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct TextInMemory(pub(crate) Vec<u8>);

#[cfg(test)]
impl StoredText for TextInMemory {
    fn text_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn digest(&self) -> BodiesDigest {
        BodiesDigest::default()
    }

    fn last_byte(&self) -> Option<u8> {
        self.0.trim_ascii_end().last().copied()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[usize::try_from(offset).expect("in memory")..];
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// A part of a stored text.
#[derive(Clone, Debug)]
pub struct StoredRange {
    /// The text.
    pub text: Arc<dyn StoredText>,
    /// The part, in bytes.
    pub range: Range<u64>,
}

impl StoredRange {
    /// Reads the part piece by piece, each of at most `piece_bytes`.
    ///
    /// # Errors
    /// Reading fails, or `each` does.
    pub fn read(
        &self,
        piece_bytes: usize,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Range { start, end } = self.range;
        let mut buffer =
            vec![0; usize::try_from(end - start).unwrap_or(usize::MAX).min(piece_bytes)];
        let mut at = start;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let piece = buffer.get_mut(..want).unwrap_or_default();
            if self.text.read_at(piece, at)? < want {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            each(piece)?;
            at += want as u64;
        }
        Ok(())
    }
}

impl PartialEq for StoredRange {
    fn eq(&self, other: &StoredRange) -> bool {
        Arc::ptr_eq(&self.text, &other.text) && self.range == other.range
    }
}

impl Eq for StoredRange {}

/// Rows of one body that follow one another in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyRows {
    /// The body.
    pub seq: Seq,
    /// Time of its receipt.
    pub received_at: Micros,
    /// Bytes of the whole body, inflated.
    pub bytes: u64,
    /// Rows of it that are in the batch; at least one.
    pub rows: usize,
}

/// A digest of a set of bodies: the sum of a hash of each, of everything that decides its rows. It does
/// not depend on how the bodies are read, and no body is there twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodiesDigest(u128);

impl BodiesDigest {
    /// Returns the digest of one body.
    #[must_use]
    pub fn of(body: &Body) -> BodiesDigest {
        if let Some(text) = &body.stored {
            return text.digest();
        }
        let mut hasher = BodyHasher::new(body);
        hasher.update(&body.bytes);
        hasher.digest()
    }
}

/// Makes the digest of one body whose text comes piece by piece.
pub struct BodyHasher(XxHash3_128);

impl BodyHasher {
    /// Begins with all of `body` but its text.
    #[must_use]
    pub fn new(body: &Body) -> BodyHasher {
        let form: u8 = match body.form {
            Form::Ndjson => 0,
            Form::Elasticsearch => 1,
        };
        let mut hash = XxHash3_128::new();
        hash.write(&body.seq.0.to_le_bytes());
        hash.write(&body.received_at.0.to_le_bytes());
        hash.write(&body.first_line.to_le_bytes());
        hash.write(&[form]);
        hash.write(&(body.table.len() as u64).to_le_bytes());
        hash.write(body.table.as_bytes());
        BodyHasher(hash)
    }

    /// Adds the next piece of the text.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    /// Returns the digest.
    #[must_use]
    pub fn digest(&self) -> BodiesDigest {
        BodiesDigest(self.0.finish_128())
    }
}

impl std::ops::AddAssign for BodiesDigest {
    fn add_assign(&mut self, more: BodiesDigest) {
        self.0 = self.0.wrapping_add(more.0);
    }
}

impl fmt::Display for BodiesDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(seq: u64, at: i64, text: &'static str) -> Body {
        Body {
            seq: Seq(seq),
            received_at: Micros(at),
            table: "t".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: Bytes::from_static(text.as_bytes()),
            stored: None,
        }
    }

    fn digest(bodies: &[Body]) -> String {
        let mut sum = BodiesDigest::default();
        for body in bodies {
            sum += BodiesDigest::of(body);
        }
        sum.to_string()
    }

    #[test]
    fn a_digest_is_of_all_that_decides_rows_and_stays_the_same() {
        let all = digest(&[body(1, 5, "a"), body(2, 5, "b")]);
        // In footers and receipts: it never changes.
        assert_eq!(all, "018128362318277e8e6caf57502ad997");
        assert_eq!(digest(&[body(2, 5, "b"), body(1, 5, "a")]), all);
        for other in [body(2, 6, "b"), body(3, 5, "b"), body(2, 5, "c")] {
            assert_ne!(digest(&[body(1, 5, "a"), other]), all);
        }
        let mut pieces = BodyHasher::new(&body(2, 5, ""));
        pieces.update(b"b");
        let mut sum = BodiesDigest::of(&body(1, 5, "a"));
        sum += pieces.digest();
        assert_eq!(sum.to_string(), all);
        let bulk = Body { form: Form::Elasticsearch, ..body(2, 5, "b") };
        assert_ne!(digest(&[body(1, 5, "a"), bulk]), all);
    }
}
