//! Splitting an Elasticsearch bulk into a body for each table.
//!
//! `index` and `create` are stored; `update` and `delete` are not, as an append-only table cannot
//! do them, and neither is a document whose index no table is for. A bulk whose action lines cannot
//! be read is refused whole. Lines that a table does not get leave an empty line in their place, so
//! that the positions of the others are those of the bulk.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::bulk_action::{self, Verb};

use super::index_pattern::is_index_name;

/// Most actions of a bulk: the answer to an action of a few bytes has many times as many.
pub(crate) const MAX_ACTIONS: usize = 100_000;
/// The longest `_id` in bytes, as Elasticsearch has it.
pub(crate) const MAX_ID_BYTES: usize = 512;
/// The index of an action in a bulk that names none.
const UNNAMED_INDEX: &str = "sessionlake";
/// A byte order mark, which some clients put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The reason for which a bulk is refused whole.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// A line is not what its place in a bulk asks for.
    #[error("line {line} of the bulk {problem}: nothing was kept")]
    Line {
        /// Number of the line, counted from 1.
        line: u64,
        /// The end of a sentence about the line.
        problem: &'static str,
    },
    /// The bulk has more actions than a bulk may have.
    #[error("the bulk has more than {limit} actions: send smaller bulks")]
    TooManyActions {
        /// The most that it may have.
        limit: usize,
    },
}

/// An action of a bulk, and its outcome if the bulk is accepted.
#[derive(Debug)]
pub(crate) struct Action<'a> {
    /// Number of the action line, counted from 1.
    pub(crate) line: u64,
    pub(crate) verb: Verb,
    /// The index that the action names, or that of the bulk.
    pub(crate) index: &'a str,
    /// The `_id` that the action names.
    pub(crate) id: Option<&'a str>,
    pub(crate) outcome: Outcome<'a>,
}

/// The outcome of an action.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    /// Its document belongs to this table.
    Stored(&'a Arc<str>),
    /// An append-only table cannot do it.
    AppendOnly,
    /// Its index is no index name.
    InvalidIndex,
    /// Its index belongs to no table.
    NoTable,
}

/// The lines of a bulk that belong to one table: pairs of an action and its document.
#[derive(Debug, Default)]
pub(crate) struct TablePart {
    /// Positions in the body behind its byte order mark, in order.
    ranges: Vec<Range<usize>>,
    /// The number of documents.
    pub(crate) documents: u64,
    /// Bytes of [`TablePart::bytes`] if that is a copy; 0 if it is the body itself.
    pub(crate) copied_bytes: u64,
}

impl TablePart {
    /// Returns the lines, and a line feed for each of the others before them. Copies nothing if the
    /// body has no other lines.
    pub(crate) fn bytes(&self, body: &Bytes) -> Bytes {
        match self.copied_bytes {
            0 => body.clone(),
            len => self.copy(body, len),
        }
    }

    fn copy(&self, body: &[u8], len: u64) -> Bytes {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        let mut out = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
        let mut at = 0;
        for range in &self.ranges {
            out.resize(out.len() + line_feeds(body, at..range.start), b'\n');
            out.extend_from_slice(body.get(range.clone()).unwrap_or_default());
            at = range.end;
        }
        out.into()
    }

    /// Returns the length of a copy of the lines.
    fn copy_bytes(&self, body: &[u8]) -> u64 {
        let mut at = 0;
        let lengths = self.ranges.iter().map(|range| {
            let before = line_feeds(body, at..range.start);
            at = range.end;
            before + range.len()
        });
        lengths.sum::<usize>() as u64
    }
}

fn line_feeds(body: &[u8], range: Range<usize>) -> usize {
    memchr::memchr_iter(b'\n', body.get(range).unwrap_or_default()).count()
}

/// A line that is more than white space.
struct Line {
    number: u64,
    start: usize,
    end: usize,
}

/// Returns the lines of `body` that are more than white space.
fn lines(body: &[u8]) -> impl Iterator<Item = Line> {
    let ends = memchr::memchr_iter(b'\n', body).map(|end| end + 1).chain([body.len()]);
    let mut start = 0;
    let all = ends.zip(1..).map(move |(end, number)| {
        let line = Line { number, start, end };
        start = end;
        line
    });
    all.filter(|line| {
        let bytes = body.get(line.start..line.end).unwrap_or_default();
        !bulk_action::is_blank(bytes)
    })
}

/// Splits a bulk by table, and calls `each` with every action in order. Copies nothing.
///
/// Actions that name no index are about `index`; `table_of` returns the table of a checked index
/// name.
///
/// # Errors
/// A [`BulkError`], or the first error of `each`.
pub(crate) fn split<'t, E: From<BulkError>>(
    body: &[u8],
    index: Option<&str>,
    table_of: impl Fn(&str) -> Option<&'t Arc<str>>,
    mut each: impl FnMut(&Action<'_>) -> Result<(), E>,
) -> Result<BTreeMap<Arc<str>, TablePart>, E> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut parts: BTreeMap<Arc<str>, TablePart> = BTreeMap::new();
    let mut actions = 0;
    let mut lines = lines(text);
    while let Some(line) = lines.next() {
        let bad = |problem| Err(BulkError::Line { line: line.number, problem }.into());
        let Some(action) = bulk_action::read(text.get(line.start..line.end).unwrap_or_default())
        else {
            return bad("is no action (index or create, and what it is about)");
        };
        actions += 1;
        if actions > MAX_ACTIONS {
            return Err(BulkError::TooManyActions { limit: MAX_ACTIONS }.into());
        }
        let document = match action.verb {
            Verb::Delete => None,
            _ => match lines.next() {
                Some(document) => Some(document),
                None => return bad("has no document after it"),
            },
        };
        let named = action.text("_index");
        if action.get("_index").is_some() && named.is_none() {
            return bad("has an _index that is no text");
        }
        let index = named.as_deref().or(index).unwrap_or(UNNAMED_INDEX);
        let id = action.text("_id");
        if id.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
            return bad("has an _id of more than 512 bytes");
        }
        let outcome = match action.verb {
            Verb::Update | Verb::Delete => Outcome::AppendOnly,
            Verb::Index | Verb::Create if !is_index_name(index) => Outcome::InvalidIndex,
            Verb::Index | Verb::Create => table_of(index).map_or(Outcome::NoTable, Outcome::Stored),
        };
        if let (Outcome::Stored(table), Some(document)) = (outcome, &document) {
            let part = parts.entry(Arc::clone(table)).or_default();
            part.documents += 1;
            match part.ranges.last_mut() {
                // Neighbours are one range, so that a bulk for one table is one in the end.
                Some(last) if last.end == line.start => last.end = document.end,
                _ => part.ranges.push(line.start..document.end),
            }
        }
        let (line, verb, id) = (line.number, action.verb, id.as_deref());
        each(&Action { line, verb, index, id, outcome })?;
    }
    let marked = body.len() > text.len();
    let blank = |bytes: Option<&[u8]>| bulk_action::is_blank(bytes.unwrap_or_default());
    for part in parts.values_mut() {
        let whole = match part.ranges.as_slice() {
            [range] => blank(text.get(..range.start)) && blank(text.get(range.end..)),
            _ => false,
        };
        if marked || !whole {
            part.copied_bytes = part.copy_bytes(text);
        }
    }
    Ok(parts)
}

/// Returns the number of documents that a bulk stores if every index belongs to a table.
///
/// # Errors
/// [`BulkError`].
pub(super) fn count_documents(body: &[u8]) -> Result<u64, BulkError> {
    let table: Arc<str> = "".into();
    let parts = split(body, None, |_| Some(&table), |_| Ok::<_, BulkError>(()))?;
    Ok(parts.values().map(|part| part.documents).sum())
}
