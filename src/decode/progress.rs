//! The position up to which a body has been read, and the most to read of it at a time.

use std::ops::Range;

/// The most to read of a body in one call. A short line takes many times its bytes once it is a
/// row, and so does a short element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Stop after this many lines.
    pub lines: u64,
    /// Stop at the first end of a document after this many bytes.
    pub bytes: usize,
    /// Stop at the first end of a document after elements of lists and fields without a column have
    /// taken this many bytes of columns.
    pub column_bytes: usize,
}

impl ReadLimit {
    /// No limit: the body is read to its end.
    pub const NONE: ReadLimit =
        ReadLimit { lines: u64::MAX, bytes: usize::MAX, column_bytes: usize::MAX };
}

/// The position up to which a body has been read.
#[derive(Clone, Debug)]
pub struct Progress {
    pub(super) state: State,
    /// True when all of the body is UTF-8; otherwise each document is checked.
    pub(super) utf8: bool,
    pub(super) at: usize,
    pub(super) line: u64,
    /// The number of documents and rejects that begin on the line before `at`.
    pub(super) on_line: u64,
    /// Bytes that were read in vain for the ends of documents: see [`super::documents`].
    pub(super) in_vain: usize,
    /// True after a reject: what follows may be the rest of its document.
    pub(super) in_doubt: bool,
    pub(super) expected: Expected,
}

/// The meaning of the next line that is not blank.
#[derive(Clone, Debug, Default)]
pub(super) enum Expected {
    /// A document or an action.
    #[default]
    Any,
    /// The document of an action, with the range of the `_id` that the action gave it.
    Document(Option<Range<usize>>),
    /// The document of an update.
    Updated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing has been read.
    New,
    /// All lines so far were blank.
    FirstLine,
    /// Within lines.
    Lines,
    /// Within documents, of which several may stand on a line and one over several.
    Documents,
    /// Within an array, before an element.
    Array,
    /// At the end of the body.
    Ended,
}

impl Progress {
    /// The beginning of a body.
    pub const NEW: Progress = Progress {
        state: State::New,
        utf8: false,
        at: 0,
        line: 0,
        on_line: 0,
        in_vain: 0,
        in_doubt: false,
        expected: Expected::Any,
    };

    pub(super) fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Returns the number of bytes that have been read.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.at
    }
}
