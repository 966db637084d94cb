//! Why a line is no row.

use bytes::Bytes;

use crate::record::Seq;

/// A line that did not become a row, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The body it came in.
    pub seq: Seq,
    /// Its line in the body or the imported file, counted from 1; of an array, its element.
    pub line: u64,
    /// What is wrong, and at which byte of `raw` (counted from 1).
    pub reason: String,
    /// Its bytes, without the line's end: a part of the body, not a copy.
    pub raw: Bytes,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    NotObject,
    EndOfLine,
    EndOfBody,
    Key,
    Colon,
    CommaOrBrace,
    CommaOrBracket,
    Value,
    Number,
    Literal,
    Escape,
    Surrogate,
    Control,
    Depth,
    Trailing,
    AfterArray,
    OpenArray,
    Utf8,
    Full,
    Amplification,
    Delete,
    Update,
    Updated,
}

/// What is wrong, and at which byte of the body (counted from 0).
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) what: What,
    pub(super) at: usize,
}

impl Fault {
    /// The reason for people, with the place counted from `start`, where the kept bytes begin.
    pub(super) fn reason(self, start: usize) -> String {
        let byte = self.at.saturating_sub(start).saturating_add(1);
        let (text, hint) = match self.what {
            What::NotObject => ("not a JSON object", ""),
            What::EndOfLine => ("unexpected end of the line", ""),
            What::EndOfBody => ("unexpected end of the body", ""),
            What::Key => ("expected a field name in quotes", ""),
            What::Colon => ("expected ':' after the field name", ""),
            What::CommaOrBrace => ("expected ',' or '}'", ""),
            What::CommaOrBracket => ("expected ',' or ']'", ""),
            What::Value => ("expected a value", ""),
            What::Number => ("malformed number", ""),
            What::Literal => ("expected true, false or null", ""),
            What::Escape => ("unknown escape in a string", ""),
            What::Surrogate => ("lone surrogate escape", ""),
            What::Control => ("control character in a string", ""),
            What::Depth => ("nested deeper than 128 levels", ""),
            What::Trailing => (
                "trailing characters after the document",
                " (two documents in one line? send it with --data-binary)",
            ),
            What::AfterArray => ("trailing characters after the array", ""),
            What::OpenArray => ("the array is not closed: unexpected end of the body", ""),
            What::Utf8 => ("not UTF-8", ""),
            What::Full => ("no room: the batch holds 2 GiB in one column", ""),
            What::Amplification => (
                "too many elements and fields without a column for so short a document",
                " (as columns they would take hundreds of times its bytes)",
            ),
            What::Delete => {
                return "a delete action: an append-only table takes index and create".into();
            }
            What::Update => {
                return "an update action: an append-only table takes index and create".into();
            }
            What::Updated => return "the document of an update action, which is not taken".into(),
        };
        format!("{text} at byte {byte}{hint}")
    }
}
