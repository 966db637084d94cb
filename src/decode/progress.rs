//! The position up to which a body has been read, and the most to read of it at a time.
//!
//! Of a stored body the decoder is given windows, one after the other, each from the first byte on that
//! is still needed. Positions are those in the window; what the window lacks is in [`Progress::base`].

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::long_text::LongText;
use crate::record::StoredText;

/// The white space before a document that a window keeps, in bytes; more of it belongs to nothing.
pub(super) const MOST_BLANK_BYTES: usize = 64 << 10;
/// The bytes behind the `_id` of an action for which a window keeps it until its document comes.
/// Elasticsearch has ids of 512 bytes at most.
const MOST_ACTION_BYTES: usize = 512 << 10;
/// The bytes of a window beyond the longest line.
pub(super) const WINDOW_SLACK_BYTES: usize = 2 * (MOST_BLANK_BYTES + MOST_ACTION_BYTES);

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
    /// The number of rejects before `at`.
    pub(super) rejects: u64,
    pub(super) expected: Expected,
    /// The text of a body that is read in windows.
    pub(super) stored: Option<Arc<dyn StoredText>>,
    /// Bytes of the body before the window.
    pub(super) base: u64,
    /// Line feeds before the window.
    pub(super) line_feeds: u64,
    /// The window of a stored body.
    pub(super) window: Bytes,
    /// Bytes of the window.
    pub(super) window_bytes: usize,
    /// A long text that is being passed over.
    pub(super) long: Option<Box<LongText>>,
    /// True when the last call ended for want of bytes.
    pub(super) starved: bool,
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
    /// Within an array, after an element.
    AfterElement,
    /// After the end of an array.
    AfterArray,
    /// Within text that is not read: see [`super::unread`].
    Unread,
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
        rejects: 0,
        expected: Expected::Any,
        stored: None,
        base: 0,
        line_feeds: 0,
        window: Bytes::new(),
        window_bytes: 0,
        long: None,
        starved: false,
    };

    /// Returns the window of a stored body, which is empty before the first one.
    #[must_use]
    pub fn window(&self) -> &Bytes {
        &self.window
    }

    /// Returns whether the last call of [`Decoder::read`](super::Decoder::read) ended because the window
    /// is too short.
    #[must_use]
    pub fn is_starved(&self) -> bool {
        self.starved
    }

    /// Gives up the beginning of the window as far as it is done with. Returns the rest, with which the
    /// next one begins.
    pub fn slide(&mut self) -> Bytes {
        let window = std::mem::take(&mut self.window);
        let mut done = self.at.min(window.len());
        if let Expected::Document(kept) = &mut self.expected {
            *kept = kept.take().filter(|id| done.saturating_sub(id.start) <= MOST_ACTION_BYTES);
            if let Some(id) = kept {
                done = done.min(id.start);
                *id = id.start - done..id.end - done;
            }
        }
        let passed = window.get(..done).unwrap_or_default();
        self.line_feeds += memchr::memchr_iter(b'\n', passed).count() as u64;
        self.base += done as u64;
        self.at -= done;
        window.slice(done..)
    }

    /// Takes the next window: what [`Progress::slide`] returned, and the bytes of the body behind that.
    pub fn set_window(&mut self, window: Bytes) {
        self.window = window;
    }

    /// Returns the position of the window in the body, in bytes.
    #[must_use]
    pub fn window_start(&self) -> u64 {
        self.base
    }

    /// Returns whether the body goes on behind the window.
    pub(super) fn more(&self) -> bool {
        let end = self.base + self.window_bytes as u64;
        self.stored.as_ref().is_some_and(|text| end < text.text_bytes())
    }

    /// Returns the last byte of the body, of which `window` is all unless it is stored, that is no white
    /// space.
    pub(super) fn last_byte(&self, window: &[u8]) -> Option<u8> {
        match &self.stored {
            Some(text) => text.last_byte(),
            None => window.trim_ascii_end().last().copied(),
        }
    }

    pub(super) fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Returns the number of bytes that have been read.
    #[must_use]
    pub fn bytes(&self) -> usize {
        usize::try_from(self.base).unwrap_or(usize::MAX).saturating_add(self.at)
    }
}
