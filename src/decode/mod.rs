//! JSON documents into Arrow columns, by the table's schema.
//!
//! A direct parser: each value goes from the bytes of the body into the buffer of its column;
//! there is no tree of the document and nothing is allocated for a value. The schema is compiled
//! once ([`Decoder::new`]); the decoder then learns which field follows which in the documents it
//! meets, so that most keys cost one comparison.
//!
//! # What it promises
//! - *Every line ends in one place*: a row, or a [`Reject`] with the reason, the position and the
//!   bytes. A line that is no row leaves no trace in the columns and never touches its neighbours.
//! - *Every value ends in one place*: its column, or `_extra`, a JSON object keyed by JSON Pointer
//!   that has the value's text as it stood. Unknown fields and values that do not fit go there.
//!   Nothing is coerced: `5.0` and `1e3` are integers, `5.7` and `"42"` are not.
//! - [`to_document`] gives the document back.
//! - Whatever the bytes are, it neither panics nor recurses deeper than the schema, and a document
//!   takes no more memory than its own bytes some times over and 8 MiB (`cost.rs`): one that is
//!   a hundred thousand empty records is a reject.
//!
//! # Bodies
//! ```text
//!  {"a":1}⏎{"a":2}⏎⏎{"a":3}        one document a line: lines 1, 2 and 4; blank lines do not count
//!  {"index":{"_id":"1"}}⏎{"a":1}⏎   bulk actions before documents: `index` and `create` are left
//!                                   out, `delete` and `update` are rejects, and what follows one of
//!                                   the first three is its document, whatever it says
//!  [{"a":1},{"a":2}]                an array: elements 1 and 2
//!  {⏎  "a": 1⏎}⏎                    one document over several lines, if it is all of the body
//! ```
//! LF or CRLF, a UTF-8 byte order mark, no final newline: all the same. Documents are strict RFC
//! 8259 in UTF-8, at most 128 levels deep, with no lone surrogate escapes. In an array of several
//! lines, a reject whose end cannot be told takes everything after it along; what follows an array,
//! or a first line that only begins like one, is read line by line.
//!
//! The `_id` of an action is no part of the document. It goes to the column `_id`, if the table has
//! one and the document nothing for it; else to `_extra` as `_id`, a key that is no pointer.
//!
//! # Values
//! | column | takes | else `_extra` |
//! |---|---|---|
//! | string | strings | |
//! | long | numbers that are integers of 64 bits: `5`, `5.0`, `1e3`, `-0` | `5.7`, `"42"`, `1e19` |
//! | double | decimal numbers, rounded to the nearest; integers that are exact | `1e999`, `9007199254740993` |
//! | time | integers, milliseconds since the epoch, in the range of dates | |
//! | list | arrays; an element that does not fit is null, and in `_extra` by its number | |
//! | record | objects | |
//! | map | objects; a value that does not fit leaves no key | |
//!
//! Repeated names and aliases: see `conflicts.rs`; in short, the first value of a name has the column,
//! and a current name comes before its aliases.

mod array;
mod body;
mod columns;
mod conflicts;
mod cost;
mod document;
mod extra;
mod keys;
mod number;
mod parse;
mod plan;
mod reject;
mod rows;
mod scan;
mod skip;
mod string;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::record::Body;
use crate::schema::TableSchema;

pub use body::Progress;
pub use document::{Document, DocumentError, to_document};
pub use reject::Reject;

/// Turns the bodies of one table into batches.
///
/// It does no I/O and reads no clock: the same bodies give the same batches. Not shared between
/// threads; each has its own.
///
/// One batch holds at most 2³¹ − 2 rows, and as many bytes in one string column; lines beyond are
/// rejects that say so. [`Decoder::finish`] well before: some tens of megabytes of documents make
/// a good batch.
#[derive(Debug)]
pub struct Decoder {
    rows: rows::Rows,
    scratch: parse::Scratch,
}

/// How much of a body to read at a time. A short line costs many times its bytes once it is a row,
/// and so does a short element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Lines after which to stop.
    pub lines: u64,
    /// Bytes after which to stop, at the next end of a document.
    pub bytes: usize,
    /// The same for bytes of columns that elements of lists and fields without a column take.
    pub column_bytes: usize,
}

impl Room {
    /// For everything.
    pub const ALL: Room = Room { lines: u64::MAX, bytes: usize::MAX, column_bytes: usize::MAX };
}

/// What [`Decoder::push`] made of the bodies since the last [`Decoder::finish`].
#[derive(Debug)]
pub struct Decoded {
    /// The rows, in the order of the bodies and their lines. Its schema is
    /// [`TableSchema::arrow`].
    pub batch: RecordBatch,
    /// The lines that are no rows, in order.
    pub rejects: Vec<Reject>,
    /// How many there were of each.
    pub counts: Counts,
}

/// What became of lines. `lines == rows + rejects`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents, and lines that are none.
    pub lines: u64,
    /// Documents in the batch.
    pub rows: u64,
    /// Lines that are not in the batch.
    pub rejects: u64,
    /// Bulk action lines that were left out. Not among `lines`.
    pub actions: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.lines += more.lines;
        self.rows += more.rows;
        self.rejects += more.rejects;
        self.actions += more.actions;
    }
}

impl Decoder {
    /// A decoder of documents of the table `schema`. `node` is the journal's name, for
    /// `_ingest_id`.
    pub fn new(schema: Arc<TableSchema>, node: Arc<str>) -> Decoder {
        Decoder { rows: rows::Rows::new(&schema, node), scratch: parse::Scratch::default() }
    }

    /// Adds the documents of `body`. Its table is not looked at.
    pub fn push(&mut self, body: &Body) {
        self.read(body, &mut Progress::NEW.clone(), Room::ALL);
    }

    /// Adds documents of `body` from `progress` on, until it ends (true) or there is no room for
    /// more (false). At least one line is read. In parts or at once, the rows are the same.
    pub fn read(&mut self, body: &Body, progress: &mut Progress, room: Room) -> bool {
        let scratch = std::mem::take(&mut self.scratch);
        self.scratch = body::Run::read(&mut self.rows, body, progress, room, scratch);
        progress.ended()
    }

    /// Lines (rows and rejects) since the last batch.
    pub fn lines(&self) -> u64 {
        self.rows.counts.lines
    }

    /// Bytes of columns since the last batch, counted as [`Room::column_bytes`] is.
    pub fn column_bytes(&self) -> usize {
        self.rows.column_bytes
    }

    /// Ends the batch and begins a new one.
    pub fn finish(&mut self) -> Decoded {
        self.rows.finish()
    }
}
