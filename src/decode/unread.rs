//! Text that is not read: the rest of a body that is made of rejects.
//!
//! A reject costs a hundred times its bytes when it has two of them: time, an entry of the quarantine
//! with a reason, and memory on the way there. Sessions have a thousand bytes and more, so that a body
//! with a reject for every [`BYTES_A_REJECT`] bytes, beyond the first [`MOST_REJECTS`], is no body of
//! documents. Its rest is kept as it came, in rejects of about [`UNREAD_BYTES`]: the code says that it
//! was not read, and `quarantine replay` reads it line by line.
//!
//! The part that is read depends on nothing but the body and the revision, so that a roll that is made again has
//! the same rows.

use super::body::BodyReader;
use super::progress::{Expected, State};
use super::reject::{Defect, Fault};
use crate::table::Revision;

/// The rejects that any body may have.
const MOST_REJECTS: u64 = 100;
/// The bytes of a body that each further reject needs before it.
const BYTES_A_REJECT: u64 = 16;
/// The bytes of a reject that was not read. It ends with a line.
pub(super) const UNREAD_BYTES: usize = 4 << 20;
/// The bytes of a reject that was not read and has a line without an end.
const MOST_UNREAD_BYTES: usize = 2 * UNREAD_BYTES;

impl BodyReader<'_> {
    /// Returns whether to read nothing from `at` on. The document of an action is read in any case.
    pub(super) fn gives_up(&self, at: usize) -> bool {
        let read = self.progress.base.saturating_add(at as u64);
        self.progress.rejects > MOST_REJECTS
            && self.progress.rejects > MOST_REJECTS + read / BYTES_A_REJECT
            && matches!(self.progress.expected, Expected::Any)
            && self.rows.revision >= Revision::Fourth
    }

    /// Reads nothing from `at` on, which is on the line `line`.
    pub(super) fn give_up(&mut self, at: usize, line: u64) {
        self.parser.multiline = false;
        self.progress.state = State::Unread;
        (self.progress.at, self.progress.line) = (at, line);
        self.unread();
    }

    /// Rejects text from the progress on, unread.
    pub(super) fn unread(&mut self) {
        self.see_all();
        let (mut at, mut line) = (self.progress.at, self.progress.line);
        while at < self.parser.src.len() || self.progress.more() {
            if self.at_limit(at) {
                (self.progress.at, self.progress.line) = (at, line);
                return;
            }
            // Where a reject ends depends on no window.
            if self.progress.more() && self.rest(at).len() < MOST_UNREAD_BYTES {
                return self.starve(at, at, line);
            }
            let end = self.unread_end(at);
            let text = self.parser.src.get(at..end).unwrap_or_default();
            let kept = at + text.trim_ascii_end().len();
            let lines = text_lines(text);
            if lines > 0 {
                let kept_text = self.parser.src.get(at..kept).unwrap_or_default();
                let last_line = line.saturating_add(line_feeds(kept_text));
                let fault = Fault { defect: Defect::NotRead, at };
                self.reject_as(at, kept, (line, last_line), lines, fault);
            }
            line = line.saturating_add(line_feeds(text));
            at = end;
        }
        self.end();
    }

    /// Returns the end of the next reject of unread text from `at` on.
    fn unread_end(&self, at: usize) -> usize {
        let rest = self.rest(at);
        let within = rest.get(UNREAD_BYTES..MOST_UNREAD_BYTES.min(rest.len())).unwrap_or_default();
        match memchr::memchr(b'\n', within) {
            Some(end) => at + UNREAD_BYTES + end + 1,
            None => at + rest.len().min(MOST_UNREAD_BYTES),
        }
    }
}

fn line_feeds(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// Returns the number of lines of `text` that are not blank.
fn text_lines(text: &[u8]) -> u64 {
    text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count() as u64
}
