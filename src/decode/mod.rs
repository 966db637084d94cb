//! JSON documents → Arrow columns, by the table's schema.
//!
//! The parser is direct: each value goes from the bytes of the body into the buffer of its column;
//! there is no tree of the document, and nothing is allocated for a value. The schema is compiled
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
//!   takes no more memory than its own bytes some times over and 8 MiB (`cost.rs`): one that has
//!   a million empty records is a reject.
//!
//! # Bodies
//! ```text
//!  {"a":1}⏎{"a":2}⏎⏎{"a":3}        one document a line: lines 1, 2 and 4; blank lines do not count
//!  {"a":1}{"a":2} {"a":3}          several on a line: 1, 1.2 and 1.3 in `_ingest_id`
//!  {⏎  "a": 1⏎}⏎{⏎  "a": 2⏎}⏎      documents over several lines: lines 1 and 4
//!  {"index":{"_id":"1"}}⏎{"a":1}⏎   bulk actions before documents: `index` and `create` are left
//!                                   out, `delete` and `update` are rejects, and what follows one of
//!                                   the first three is its document, whatever it says
//!  {"_index":"i","_id":"1","_source":{"a":1}}⏎   a line of an index's dump: `_source` is the document
//!  [{"a":1},{"a":2}]                an array: elements 1 and 2
//! ```
//! LF or CRLF, a UTF-8 byte order mark, no final newline: all the same. Documents are strict RFC
//! 8259 in UTF-8, at most 128 levels deep, with no lone surrogate escapes. In an array of several
//! lines, a reject whose end cannot be told takes everything after it along; what follows an array,
//! or a first line that only begins like one, is read as any other body. Where documents end, and what
//! a broken one takes along, is in `documents.rs`. In the Elasticsearch form a document is one line,
//! since the answer to the sender has counted lines, and an array is none; of revisions before
//! [`Revision::Third`](crate::table::Revision::Third) the same holds for plain bodies, but that one
//! document over several lines may be all of the body.
//!
//! A line or document that is longer than the limit of the table (`line_limit`) is a reject, unparsed and
//! whole (`long.rs`). Of documents in a row and of an array's elements, each has that limit. A body that is
//! stored is read in windows of little more than it ([`Progress::slide`]): of revisions before
//! [`Revision::Fourth`](crate::table::Revision::Fourth), which have no limit, bodies are read whole.
//!
//! A *line*, in the counts of batches, rolls and receipts, is a document or a reject, whatever number
//! of lines it has as text. It is here that documents are counted, once: the intake, which looks at no
//! document, counts lines of text. Of text that was not read, lines of text count here as well.
//!
//! A body that is made of rejects is not read to its end: what follows is kept as it is, in rejects of
//! megabytes (`unread.rs`).
//!
//! The `_id` of an action or of a dumped line is no part of the document. It goes to the column `_id`,
//! if the table has one and the document nothing for it; else to `_extra` as `_id`, a key that is no
//! pointer.
//!
//! A dumped line is an object that begins with `_index`, a string, and has one `_source`, an object;
//! what else it says (`_score`, `_type`, `sort`) is about the index and left out, like the metadata of
//! an action. No line is one where the table has a column `_index` or `_source`, or after an action. It
//! may be an element of an array, but for earlier revisions.
//!
//! # Values
//! | column | takes | else `_extra` |
//! |---|---|---|
//! | string | strings | |
//! | long | numbers that are integers of 64 bits: `5`, `5.0`, `1e3`, `-0` | `5.7`, `"42"`, `1e19` |
//! | double | decimal numbers, rounded to the nearest; integers that are exact | `1e999`, `9007199254740993` |
//! | time | integers, milliseconds since the epoch, of the years 1 to 9999 | `-62135596800001`, microseconds |
//! | list | arrays; an element that does not fit is null, and in `_extra` by its number | |
//! | record | objects | |
//! | map | objects; a value that does not fit leaves no key | |
//!
//! A field of the schema may take other forms besides (`"from"`), or instead:
//!
//! | form | column | takes | else `_extra` |
//! |---|---|---|---|
//! | `text` | long, double, boolean, time | a string that is the JSON of the other form: `"42"` | `" 42"`, `"042"` |
//! | `seconds` | time | numbers, with a fraction too | |
//! | `micros`, `nanos` | time | integers | nanoseconds that no field has |
//! | `iso8601` | time | text by RFC 3339, with an offset | `2026-11-25`, a time without an offset |
//!
//! A time has microseconds; the nanoseconds beyond go to the field that has them (`"nanos_of"`), and without
//! one such a time does not fit. A value in one of several forms comes back in the first of them that can
//! say it, times in UTC: like the spelling of a number, that is no difference. Values are read from the
//! members that the schema names (`"json"`), objects without a column of their own among their paths, and
//! by the beginning of their names (`"json_prefix"`): see `members.rs`.
//!
//! Repeated names and aliases: see `conflicts.rs`; in short, the first value of a name has the
//! column, and a current name comes before its aliases.

//!
//! # Files
//! ```text
//!  decoder ─▶ body (+ array, documents, unread) ─▶ record ⇄ value ─▶ {string, number, skip} ─▶ scan
//!                │                │  conflicts: repeated names, aliases, other types
//!                │                │  members: groups, prefixes; formed: forms of values
//!                ▼                ▼
//!        rows, progress       parser: state, faults, cost ─▶ {extra, keys, plan, reject}
//! ```
//! Records, values and conflicts call one another, as deep as the schema: the only recursion.

mod array;
mod body;
mod conflicts;
mod cost;
mod decoder;
mod document;
mod documents;
mod dumped;
mod extra;
mod formed;
mod guess;
mod keys;
mod long;
mod long_text;
mod members;
mod number;
mod parser;
mod plan;
mod progress;
mod quick;
mod reading;
mod record;
mod reject;
mod rows;
mod scan;
mod skip;
mod string;
#[cfg(test)]
mod tests;
mod unread;
mod value;

pub use decoder::Decoder;
pub use document::{Document, DocumentError, to_document};
pub use progress::{Progress, ReadLimit};
pub use reject::{RawForm, Reject, RejectCode};
pub use rows::{Counts, Decoded};
