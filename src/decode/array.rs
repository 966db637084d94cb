//! Bodies that are an array of documents, or begin like one.
//!
//! A line that begins with `[` may stand before lines that are documents. After the end of the
//! array, or of a first line in which it breaks off, the body is read line by line, so that no
//! document is lost with it. A line keeps its number then, unless elements have it: no two have the
//! same.

use super::body::BodyReader;
use super::long_text::Extent;
use super::progress::State;
use super::reject::{Defect, Fault};
use crate::table::Revision;

impl BodyReader<'_> {
    /// Reads elements from the progress on.
    pub(super) fn array(&mut self) {
        self.parser.multiline = true;
        loop {
            if self.progress.state == State::Array && !self.next_element() {
                return;
            }
            if !self.separator() {
                return;
            }
        }
    }

    /// Reads the element at the progress. Returns false if there is none to go on behind, or not yet.
    fn next_element(&mut self) -> bool {
        let (at, line) = (self.progress.at, self.progress.line);
        self.see_all();
        let first = self.parser.blank(at);
        if line == self.body.first_line && self.parser.byte(first) == b']' {
            self.after_array(first + 1, line);
            return false;
        }
        if self.at_limit(first) {
            self.progress.at = first;
            return false;
        }
        if self.gives_up(first) {
            self.give_up(first, line);
            return false;
        }
        if !self.see(first) {
            // Where the limit of a part is reached as well, so that the windows depend on no part.
            self.starve(first, first, line);
            return false;
        }
        let read = self.element(first, line);
        self.progress.at = first;
        match read {
            _ if self.too_long => {
                self.progress.state = State::AfterElement;
                self.begin_long(Extent::Element, None);
                self.pass_long()
            }
            Ok(end) => {
                (self.progress.at, self.progress.line) = (end, line.saturating_add(1));
                self.progress.state = State::AfterElement;
                true
            }
            Err(fault) => {
                self.see_all();
                self.broken(first, line, fault);
                false
            }
        }
    }

    /// Reads the comma after an element, at the progress. Returns false if the array does not go on, or
    /// not yet.
    fn separator(&mut self) -> bool {
        let (end, line) = (self.progress.at, self.progress.line);
        self.see_all();
        let at = self.parser.blank(end);
        if at >= self.full.len() && self.cut {
            self.starve(end, at, line);
            return false;
        }
        let defect = match self.parser.src.get(at) {
            Some(b',') => {
                (self.progress.at, self.progress.state) = (at + 1, State::Array);
                return true;
            }
            Some(b']') => {
                self.after_array(at + 1, line);
                return false;
            }
            // The byte that follows decides how the rest is read.
            Some(_) if !self.see(at) => {
                self.starve(end, at, line);
                return false;
            }
            Some(_) => Defect::CommaOrBracket,
            None => Defect::OpenArray,
        };
        self.see_all();
        match self.next_line(end, at) {
            Some(next) if self.lines_follow(next) => self.by_lines(next, line),
            _ => self.broken(at, line, Fault { defect, at }),
        }
        false
    }

    /// Reads the element at `start` into a row or a reject; returns the position after it.
    ///
    /// # Errors
    /// The fault, when the element's end is not known; then there is neither row nor reject.
    fn element(&mut self, start: usize, line: u64) -> Result<usize, Fault> {
        if self.rows.revision >= Revision::Third
            && self.may_be_dumped(start)
            && let Some(end) = self.dumped_element(start, line)
        {
            return Ok(end);
        }
        let parsed = self.parser.document(&mut self.rows.root, self.rows.count, start);
        let checked = parsed.and_then(|end| {
            if !self.progress.utf8 {
                self.check_utf8(start, end)?;
            }
            Ok(end)
        });
        match checked {
            Ok(end) if self.exceeds(start, end) => {
                self.reject(start, end, line, Fault { defect: Defect::TooLong, at: start });
                return Ok(end);
            }
            Ok(end) if self.complete(start, line) => return Ok(end),
            Ok(_) => {}
            Err(_) if self.runs_out(self.parser.fault) => {
                self.too_long = true;
                return Err(self.parser.fault);
            }
            Err(_) => {}
        }
        let fault = self.parser.fault;
        let passed = match fault.defect {
            // The fault leaves the element's end certain: no quote or bracket is missing.
            Defect::NotObject
            | Defect::NotUtf8
            | Defect::BatchFull
            | Defect::Amplification
            | Defect::FarTime => self.parser.pass_over(start),
            Defect::TooDeep
            | Defect::Surrogate
            | Defect::Escape
            | Defect::Control
            | Defect::Number => self.parser.pass_over(start),
            _ => return Err(fault),
        };
        let Ok(end) = passed else {
            if self.runs_out(self.parser.fault) {
                self.too_long = true;
            }
            // For an element that is empty, the better fault is the missing value.
            let nothing = fault.defect == Defect::NotObject;
            return Err(if nothing { self.parser.fault } else { fault });
        };
        self.reject(start, end, line, fault);
        Ok(end)
    }

    /// Reads the element at `start`, if it is a line of an index's dump, into a row or a reject; returns
    /// the position after it.
    fn dumped_element(&mut self, start: usize, line: u64) -> Option<usize> {
        self.parser.depth = 0;
        let end = self.parser.skip(start).ok()?;
        if self.exceeds(start, end) {
            return None;
        }
        let dumped = self.dumped(start, end)?;
        let parsed = self.source(&dumped.source);
        if parsed.is_err() || !self.complete_with_id(dumped.id, dumped.source.start, line) {
            self.reject(start, end, line, self.parser.fault);
        }
        Some(end)
    }

    /// Handles bytes from `start` on that are no array, because of `fault`.
    fn broken(&mut self, start: usize, line: u64, fault: Fault) {
        let len = self.parser.src.len();
        let (kept, end) = self.line_end(start);
        // On a later line, it was an array over several lines that broke off.
        let first = memchr::memchr(b'\n', self.parser.src.get(..fault.at).unwrap_or_default());
        let first = first.is_none() && self.progress.line_feeds == 0;
        if first && end < len && self.lines_follow(end + 1) {
            self.reject(start, kept, line, fault);
            return self.by_lines(end + 1, line.saturating_add(1));
        }
        if self.progress.more() {
            (self.progress.at, self.progress.line) = (start, line);
            self.progress.state = State::Documents;
            // The rest is not held.
            self.begin_long(Extent::Rest, Some(fault));
            self.pass_long();
            return;
        }
        self.reject(start, len, line, fault);
        self.end();
    }

    /// Handles the bytes at `at`, after the array's end.
    pub(super) fn after_array(&mut self, at: usize, line: u64) {
        self.parser.multiline = true;
        self.see_all();
        let after = self.parser.blank(at);
        if after >= self.full.len() {
            if self.cut {
                self.progress.state = State::AfterArray;
                return self.starve(at, after, line);
            }
            return self.end();
        }
        if let Some(next) = self.next_line(at, after) {
            return self.by_lines(next, line);
        }
        let (kept, end) = self.line_end(after);
        let fault = Fault { defect: Defect::AfterArray, at: after };
        if self.cut && end >= self.full.len() {
            self.parser.multiline = false;
            (self.progress.at, self.progress.line) = (after, line);
            self.progress.state = State::Documents;
            self.begin_long(Extent::Line, Some(fault));
            if self.pass_long() {
                self.documents();
            }
            return;
        }
        self.reject(after, kept, line, fault);
        // Earlier revisions read the last line once more.
        if self.rows.revision >= Revision::Third && end >= self.parser.src.len() {
            return self.end();
        }
        self.by_lines(end + 1, line.saturating_add(1));
    }

    /// Returns the beginning of the first line after `from`, if that is at most `to`.
    fn next_line(&self, from: usize, to: usize) -> Option<usize> {
        let between = self.parser.src.get(from..to).unwrap_or_default();
        memchr::memchr(b'\n', between).map(|n| from + n + 1)
    }

    /// Returns whether the bytes at `at` are rather lines of documents than the rest of an array.
    fn lines_follow(&self, at: usize) -> bool {
        let first = self.parser.blank(at);
        let (end, _) = self.line_end(first);
        let line = self.parser.src.get(first..end).unwrap_or_default().trim_ascii();
        let document = line.starts_with(b"{") && line.ends_with(b"}");
        document || self.progress.last_byte(self.full) != Some(b']')
    }

    /// Continues line by line from `at`; the number `line` and those after it are free.
    fn by_lines(&mut self, at: usize, line: u64) {
        // Blank lines take no number that a later line may have.
        let before = self.parser.src.get(..self.parser.blank(at)).unwrap_or(self.parser.src);
        self.progress.state = State::Lines;
        self.progress.on_line = 0;
        self.progress.at = memchr::memrchr(b'\n', before).map_or(at, |end| end + 1);
        let before = memchr::memchr_iter(b'\n', before).count() as u64 + self.progress.line_feeds;
        self.progress.line = line.max(self.body.first_line.saturating_add(before));
        self.parser.multiline = false;
        if self.rows.revision >= Revision::Third { self.documents() } else { self.lines() }
    }
}
