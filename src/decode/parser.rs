//! The parser's state, and the small steps that all of its parts take.
//!
//! A failure is recorded once, in [`Parser::fault`]; the caller then cuts the columns back.

use std::ops::{Range, RangeInclusive};

use super::cost;
use super::extra::Extra;
use super::keys::Keys;
use super::reject::{Defect, Fault};
use crate::columnar::builders::Full;

/// The most levels of objects and arrays that a document may have.
pub(super) const MAX_DEPTH: u32 = 128;

/// The parser gave up; the reason is in [`Parser::fault`].
#[derive(Debug)]
pub(super) struct Failed;

pub(super) type Parsed<T> = Result<T, Failed>;

/// Buffers that the parser keeps from one document to the next, so as not to allocate them again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) extra: Extra,
    /// The columns of the open records that hold the value of an alias.
    pub(super) aliased: Vec<AliasedColumn>,
    /// The keys of the open map.
    pub(super) keys: Keys,
    /// A key that was written with escapes.
    pub(super) key: Vec<u8>,
}

/// A column that was filled, or made null, under an alias. The current name, if it comes, displaces
/// the value.
#[derive(Debug)]
pub(super) struct AliasedColumn {
    /// The index of the column in its record.
    pub(super) field: usize,
    /// The number of the alias among the names of its record.
    pub(super) alias: usize,
    /// True when the value was of the column's type; if not, it is in `_extra` under the alias
    /// already.
    pub(super) fitted: bool,
    /// Entries of `_extra`: the first is reserved for the value, the others lie within it.
    pub(super) entries: Range<usize>,
    /// The value, in the body.
    pub(super) value: Range<usize>,
}

/// A parser of one body.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    pub(super) src: &'a [u8],
    /// True when a document may extend over several lines.
    pub(super) multiline: bool,
    /// True when faults within a value are passed over, where its end is certain all the same: see
    /// [`Parser::pass_over`].
    pub(super) lenient: bool,
    pub(super) fault: Fault,
    pub(super) scratch: Scratch,
    /// The times that fit a column, in milliseconds since the epoch.
    pub(super) times_ms: RangeInclusive<i64>,
    pub(super) depth: u32,
    /// The position where the document begins.
    pub(super) start: usize,
    /// The cost of the document so far, without that of `_extra`: see [`cost`].
    pub(super) cost: usize,
}

impl<'a> Parser<'a> {
    /// Creates a parser of `src` for times in the range `times_ms`.
    pub(super) fn new(
        src: &'a [u8],
        scratch: Scratch,
        times_ms: RangeInclusive<i64>,
    ) -> Parser<'a> {
        Parser {
            src,
            multiline: false,
            lenient: false,
            fault: Fault { defect: Defect::Value, at: 0 },
            scratch,
            times_ms,
            depth: 0,
            start: 0,
            cost: 0,
        }
    }

    /// Returns the byte at `at`; past the end, 0, which JSON has nowhere outside of strings.
    #[inline]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.src.get(at).copied().unwrap_or(0)
    }

    /// Records a fault at `at`.
    #[cold]
    #[inline(never)]
    pub(super) fn fail<T>(&mut self, defect: Defect, at: usize) -> Parsed<T> {
        let defect = match (defect, self.src.get(at)) {
            (
                Defect::BatchFull | Defect::Amplification | Defect::TooDeep | Defect::Surrogate,
                _,
            ) => defect,
            (_, None) if self.multiline => Defect::EndOfBody,
            (_, None) => Defect::EndOfLine,
            (_, Some(b'\n')) if !self.multiline => Defect::EndOfLine,
            _ => defect,
        };
        self.fault = Fault { defect, at };
        Err(Failed)
    }

    /// Returns the first position from `at` on that is no white space. A line's end is white space
    /// only where a document may extend over several lines.
    #[inline]
    pub(super) fn blank(&self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\t' | b'\r')
            || (self.byte(at) == b'\n' && self.multiline)
        {
            at += 1;
        }
        at
    }

    /// Enters the object or array at `at`.
    #[inline]
    pub(super) fn descend(&mut self, at: usize) -> Parsed<()> {
        if self.depth >= MAX_DEPTH {
            return self.fail(Defect::TooDeep, at);
        }
        self.depth += 1;
        Ok(())
    }

    /// Returns the position after the colon that follows a key.
    #[inline]
    pub(super) fn colon(&mut self, at: usize) -> Parsed<usize> {
        let at = self.blank(at);
        if self.byte(at) != b':' {
            return self.fail(Defect::Colon, at);
        }
        Ok(at + 1)
    }

    /// Reads the literal `text` at `at`; returns the position after it.
    #[inline]
    pub(super) fn literal(&mut self, at: usize, text: &[u8]) -> Parsed<usize> {
        if self.src.get(at..).is_some_and(|rest| rest.starts_with(text)) {
            return Ok(at + text.len());
        }
        self.fail(Defect::Literal, at)
    }

    /// Records a fault if a builder is full.
    #[inline]
    pub(super) fn check_full(&mut self, closed: Result<(), Full>, at: usize) -> Parsed<()> {
        closed.or_else(|Full| self.fail(Defect::BatchFull, at))
    }

    /// Adds `bytes` to the cost, for a value at `at`.
    #[inline]
    pub(super) fn add_cost(&mut self, bytes: usize, at: usize) -> Parsed<()> {
        self.cost += bytes;
        if self.cost > cost::ALLOWANCE_BYTES { self.check_cost(at) } else { Ok(()) }
    }

    /// Checks the cost of `_extra` once in 256 entries. It is called after each entry, for the
    /// value at `at`.
    #[inline]
    pub(super) fn check_extra_cost(&mut self, at: usize) -> Parsed<()> {
        if self.scratch.extra.len() & 255 == 0 { self.check_cost(at) } else { Ok(()) }
    }

    #[cold]
    fn check_cost(&mut self, at: usize) -> Parsed<()> {
        let limit = cost::limit(at.saturating_sub(self.start));
        if self.total_cost() > limit { self.fail(Defect::Amplification, at) } else { Ok(()) }
    }

    /// Returns the cost of the document so far.
    #[inline]
    pub(super) fn total_cost(&self) -> usize {
        self.cost + self.scratch.extra.cost()
    }
}
