//! Documents among lines: one a line, several in a row, one over several lines.
//!
//! # Rules
//! - A document ends where its last brace closes. The next one begins behind it, on the same line or
//!   a later one. A byte order mark before a document is white space.
//! - Text is a *reject* from where a document fails on. The reject ends with the document, if its end
//!   is certain all the same; else with the line; else, for a document that its first line does not
//!   end, before the next line on which another one begins.
//! - A line begins another document if it begins with `{` and is indented no deeper than the broken
//!   one, or stands between documents: JSON has nowhere a `{` right after a `}`. A line that no
//!   document can go on with ends the reject as well. So the damage of one line takes its own document
//!   along and no other.
//! - An object over several lines that comes after a reject and before `,`, `]`, `}` or `:` is a part of
//!   what was rejected, and no document.
//!
//! # Positions
//! The line of a document or reject is the one that it begins on. The second document that begins on
//! line 7 is `7.2` in `_ingest_id`: unique within the body, the same in every attempt.
//!
//! # Cost
//! Every byte is read a bounded number of times. Lines that fail to be documents of several lines, which
//! may each read on to the end of the body, are no longer tried when they have read [`MOST_IN_VAIN`]
//! times the bytes before them; a reject's end is sought among bytes that belong to it.

use std::ops::Range;

use super::body::BodyReader;
use super::long_text::Extent;
use super::parser::Parser;
use super::progress::{Expected, State};
use super::reject::{Defect, Fault};
use crate::bulk_action::BYTE_ORDER_MARK;

/// The bytes that may be read in vain for each byte of the body before.
const MOST_IN_VAIN: usize = 4;
/// The bytes that may be read in vain in any body.
const IN_VAIN_ALLOWANCE_BYTES: usize = 1 << 20;

/// The place of a document that is being read.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The beginning of what is rejected if it is none: its line, or what follows the document before.
    at: usize,
    /// Its first byte that is not blank.
    start: usize,
    line: u64,
}

/// The bytes that were read.
enum Read {
    /// A line, up to this position.
    Line(usize),
    /// Anything, up to this position.
    To(usize),
}

impl BodyReader<'_> {
    /// Reads documents from the progress on.
    pub(super) fn documents(&mut self) {
        self.progress.state = State::Documents;
        let (mut at, mut line) = (self.progress.at, self.progress.line);
        while at < self.full.len() || self.progress.more() {
            if self.at_limit(at) {
                (self.progress.at, self.progress.line) = (at, line);
                return;
            }
            if self.gives_up(at) {
                return self.give_up(at, line);
            }
            self.see_all();
            let start = self.line_start(at);
            if !self.see(start) {
                return self.starve(at, start, line);
            }
            let read = match self.parser.src.get(start) {
                None | Some(b'\n') => Read::Line(start + 1),
                Some(_) => self.next(Place { at, start, line }),
            };
            if self.too_long {
                (self.progress.at, self.progress.line) = (at, line);
                let extent = self.long_extent(start);
                self.begin_long(extent, None);
                if !self.pass_long() {
                    return;
                }
                (at, line) = (self.progress.at, self.progress.line);
                continue;
            }
            // Behind that there may be more than the parser has seen.
            let seen = if self.cut { self.parser.src.len() } else { usize::MAX };
            match read {
                Read::Line(end) => {
                    line = line.saturating_add(1);
                    (at, self.progress.on_line) = (end.min(seen), 0);
                }
                Read::To(end) => {
                    let end = end.min(seen);
                    let read = self.parser.src.get(at..end).unwrap_or_default();
                    let line_feeds = memchr::memchr_iter(b'\n', read).count() as u64;
                    line = line.saturating_add(line_feeds);
                    let before = if line_feeds == 0 { self.progress.on_line + 1 } else { 0 };
                    (at, self.progress.on_line) = (end, before);
                }
            }
        }
        self.end();
    }

    /// Returns how far what is too long at `start` reaches: an object that is whole as far as it was
    /// seen, or has several lines, to its end.
    fn long_extent(&self, start: usize) -> Extent {
        let lines = memchr::memchr(b'\n', self.rest(start)).is_some();
        match self.parser.byte(start) {
            b'{' if lines || self.runs_out(self.parser.fault) => Extent::Object,
            _ => Extent::Line,
        }
    }

    /// Reads the action, document or reject at `place`.
    fn next(&mut self, place: Place) -> Read {
        let Place { at, start, line } = place;
        let id = match std::mem::take(&mut self.progress.expected) {
            Expected::Any => {
                if self.progress.on_line == 0
                    && let Some(next) = self.action(at, start, line)
                {
                    return Read::Line(next);
                }
                if self.may_be_dumped(start)
                    && let Some(read) = self.dumped_object(place)
                {
                    return read;
                }
                None
            }
            Expected::Document(id) => id,
            Expected::Updated => {
                let fault = Fault { defect: Defect::UpdateDocument, at };
                return Read::Line(self.reject_line(at, line, fault));
            }
        };
        if let Some(at) = self.opens_only(start) {
            return self.broken_document(id, place, Fault { defect: Defect::EndOfLine, at });
        }
        let Ok(end) = self.parser.document(&mut self.rows.root, self.rows.count, start) else {
            return self.broken_document(id, place, self.parser.fault);
        };
        let after = self.parser.blank(end);
        match self.after_document(after) {
            // Most often: its line feeds need no counting.
            Some(Read::To(next)) if next > after => self.take(id, place, end, Read::Line(next)),
            Some(read) => self.take(id, place, end, read),
            None => {
                let fault = Fault { defect: Defect::AfterDocument, at: after };
                self.broken_document(id, place, fault)
            }
        }
    }

    /// Returns the end of the line at `start` if it is a brace and nothing else, as pretty-printed
    /// documents begin: no row need be opened, and discarded, to find that the line does not end it.
    fn opens_only(&self, start: usize) -> Option<usize> {
        let begins = self.parser.byte(start) == b'{' && self.parser.byte(start + 1) != b'"';
        let at = if begins { self.parser.blank(start + 1) } else { return None };
        (self.parser.src.get(at) == Some(&b'\n')).then_some(at)
    }

    /// Returns how far a document reaches behind which the first byte that is not blank is at `after`;
    /// `None` if neither its line nor the body ends there, nor the next document begins.
    fn after_document(&self, after: usize) -> Option<Read> {
        match self.parser.src.get(after) {
            None | Some(b'\n') => Some(Read::To(after + 1)),
            Some(b'{') => Some(Read::To(after)),
            Some(_) => {
                let marked = self.rest(after).starts_with(BYTE_ORDER_MARK);
                let next = self.parser.blank(after + BYTE_ORDER_MARK.len());
                let ends = matches!(self.parser.src.get(next), None | Some(b'\n' | b'{'));
                (marked && ends).then_some(Read::To(after))
            }
        }
    }

    /// Completes the row of the document at `place`, which was parsed up to `end`, or rejects it.
    fn take(&mut self, id: Option<Range<usize>>, place: Place, end: usize, read: Read) -> Read {
        if self.exceeds(place.start, end) {
            self.rows.discard();
            self.reject_object(place, end, Fault { defect: Defect::TooLong, at: place.start });
            return read;
        }
        let utf8 = self.progress.utf8 || self.check_utf8(place.start, end).is_ok();
        if utf8 && self.complete_with_id(id, place.start, place.line) {
            self.progress.in_doubt = false;
        } else {
            self.reject_object(place, end, self.parser.fault);
        }
        read
    }

    /// Reads the object at `place` if it is a line of an index's dump, however many lines it has.
    fn dumped_object(&mut self, place: Place) -> Option<Read> {
        let end = self.object_end(place.start).ok()?;
        let read = self.after_document(self.parser.blank(end))?;
        if self.exceeds(place.start, end) {
            return None;
        }
        let dumped = self.dumped(place.start, end)?;
        self.parser.multiline = true;
        let parsed = self.source(&dumped.source);
        self.parser.multiline = false;
        let start = dumped.source.start;
        if parsed.is_ok() && self.complete_with_id(dumped.id, start, place.line) {
            self.progress.in_doubt = false;
        } else {
            self.reject_object(place, end, self.parser.fault);
        }
        Some(read)
    }

    /// Reads what is at `place`, which is no document within its line because of `fault`.
    fn broken_document(&mut self, id: Option<Range<usize>>, place: Place, fault: Fault) -> Read {
        self.rows.discard();
        if self.too_long {
            return Read::To(place.at);
        }
        if !is_certain(fault.defect) && fault.defect != Defect::EndOfLine {
            return Read::Line(self.reject_text(place, fault));
        }
        let found = self.object_end(place.start);
        if self.too_long {
            return Read::To(place.at);
        }
        let (end, fault) = match (found, fault.defect) {
            (Ok(end), Defect::EndOfLine) => (end, None),
            (Ok(end), _) => (end, Some(fault)),
            (Err(found), defect) => {
                let fault = if defect == Defect::EndOfLine { found } else { fault };
                let passed = is_certain(fault.defect).then(|| self.faulty_end(place.start));
                match passed.unwrap_or(Err(fault)) {
                    _ if self.too_long => return Read::To(place.at),
                    Ok(end) => (end, Some(fault)),
                    // The line does not end within the object.
                    Err(at) if at.at < self.line_end(place.start).1 => {
                        return Read::Line(self.reject_text(place, fault));
                    }
                    Err(_) => return self.reject_lines(place, fault),
                }
            }
        };
        let Some(read) = self.after_object(place.start, end) else {
            self.progress.in_vain += end - place.start;
            let after = Fault { defect: Defect::AfterDocument, at: self.parser.blank(end) };
            return self.reject_lines(place, fault.unwrap_or(after));
        };
        if let Some(fault) = fault {
            self.reject_object(place, end, fault);
            return read;
        }
        self.parser.multiline = true;
        let parsed = self.parser.document(&mut self.rows.root, self.rows.count, place.start);
        self.parser.multiline = false;
        if parsed.is_ok() {
            return self.take(id, place, end, read);
        }
        self.reject_object(place, end, self.parser.fault);
        read
    }

    /// Returns how far the object from `start` up to `end` reaches, if it may be a document: see
    /// [`BodyReader::after_document`].
    fn after_object(&self, start: usize, end: usize) -> Option<Read> {
        let read = self.after_document(self.parser.blank(end))?;
        let object = self.parser.src.get(start..end).unwrap_or_default();
        if self.progress.in_doubt && memchr::memchr(b'\n', object).is_some() {
            let next = self.rest(end).trim_ascii_start().first();
            if matches!(next, Some(b',' | b']' | b'}' | b':')) {
                return None;
            }
        }
        Some(read)
    }

    /// Returns the position after the object at `start`, whichever line it ends on.
    ///
    /// # Errors
    /// It is no JSON, or too much has been read in vain.
    fn object_end(&mut self, start: usize) -> Result<usize, Fault> {
        self.seek_end(start, |parser| {
            parser.depth = 0;
            parser.skip(start).ok()
        })
    }

    /// Returns the position after the object at `start`, which has a fault that leaves its end certain.
    ///
    /// # Errors
    /// It does not, or too much has been read in vain.
    fn faulty_end(&mut self, start: usize) -> Result<usize, Fault> {
        self.seek_end(start, |parser| parser.pass_over(start).ok())
    }

    fn seek_end(
        &mut self,
        start: usize,
        seek: impl FnOnce(&mut Parser<'_>) -> Option<usize>,
    ) -> Result<usize, Fault> {
        let before = usize::try_from(self.progress.base).unwrap_or(usize::MAX);
        let before = before.saturating_add(start + IN_VAIN_ALLOWANCE_BYTES);
        if self.progress.in_vain / MOST_IN_VAIN > before {
            // Behind everything: nothing of the line is known to be at fault.
            return Err(Fault { defect: Defect::EndOfLine, at: usize::MAX });
        }
        self.parser.multiline = true;
        let end = seek(&mut self.parser);
        self.parser.multiline = false;
        if end.is_none() && self.runs_out(self.parser.fault) {
            self.too_long = true;
        }
        end.ok_or_else(|| {
            self.progress.in_vain += self.parser.fault.at.saturating_sub(start);
            self.parser.fault
        })
    }

    /// Rejects the object at `place`, which ends at `end`.
    fn reject_object(&mut self, place: Place, end: usize, fault: Fault) {
        // As it came, if nothing else is on its line.
        let after = self.parser.blank(end);
        let kept = match self.parser.src.get(after) {
            None | Some(b'\n') if after > end && self.parser.byte(after - 1) == b'\r' => after - 1,
            None | Some(b'\n') => after,
            Some(_) => end,
        };
        self.reject_range(place, kept, fault);
    }

    /// Rejects the rest of the line at `place`; returns the beginning of the next line.
    fn reject_text(&mut self, place: Place, fault: Fault) -> usize {
        let (kept, end) = self.line_end(place.at);
        self.reject_range(place, kept, fault);
        end + 1
    }

    /// Rejects the lines from `place` on, up to the first that is none of its document.
    fn reject_lines(&mut self, place: Place, fault: Fault) -> Read {
        let (first_kept, first_end) = self.line_end(place.at);
        let (mut kept, mut end) = (first_kept, first_end);
        let indent = self.indent(place.start);
        let first = self.parser.src.get(place.at..kept).unwrap_or_default();
        let mut closed = first.trim_ascii_end().ends_with(b"}");
        let mut next = end + 1;
        while next < self.parser.src.len() {
            let start = self.parser.blank(next);
            let (next_kept, next_end) = self.line_end(next);
            let text = self.parser.src.get(start..next_kept).unwrap_or_default().trim_ascii_end();
            let open = text.starts_with(b"{");
            if open && (closed || start - next <= indent || self.stands_alone(text, next_end))
                || !open && !goes_on(text)
            {
                break;
            }
            if !text.is_empty() {
                (kept, end) = (next_kept, next_end);
                closed = text.ends_with(b"}");
            }
            next = next_end + 1;
        }
        let fault = match fault {
            // A line that is broken off, and perhaps others that do not go on with it.
            _ if fault.at == first_end || end == first_end && fault.at > end => {
                Fault { defect: Defect::EndOfLine, at: first_end }
            }
            _ if fault.at > kept => Fault { defect: Defect::EndOfLine, at: kept },
            _ => fault,
        };
        self.reject_range(place, kept, fault);
        Read::To((end + 1).min(self.parser.src.len()))
    }

    /// Returns the white space before `start` on its line, in bytes.
    fn indent(&self, start: usize) -> usize {
        let before = self.parser.src.get(..start).unwrap_or_default();
        let blank = before.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t'));
        blank.count()
    }

    /// Returns whether `text`, all of a line that ends at `end`, begins with a brace, ends with one, and
    /// stands before a document.
    fn stands_alone(&self, text: &[u8], end: usize) -> bool {
        let next = self.rest(end).trim_ascii_start();
        text.ends_with(b"}") && next.starts_with(b"{")
    }

    /// Rejects the bytes from `place` up to `end`.
    fn reject_range(&mut self, place: Place, end: usize, fault: Fault) {
        self.progress.in_doubt = true;
        let mut fault = fault;
        if !self.progress.utf8
            && let bytes = self.parser.src.get(place.at..end).unwrap_or_default()
            && let Err(error) = std::str::from_utf8(bytes)
        {
            fault = Fault { defect: Defect::NotUtf8, at: place.at + error.valid_up_to() };
        }
        self.reject(place.at, end, place.line, fault);
    }
}

/// Returns whether the end of an object is certain although it has the defect: no quote or bracket is
/// missing.
fn is_certain(defect: Defect) -> bool {
    matches!(
        defect,
        Defect::NotUtf8
            | Defect::BatchFull
            | Defect::Amplification
            | Defect::TooDeep
            | Defect::Surrogate
            | Defect::Escape
            | Defect::Control
            | Defect::Number
    )
}

/// Returns whether a document of several lines can go on with the line `text`.
fn goes_on(text: &[u8]) -> bool {
    matches!(
        text.first(),
        None | Some(b'"' | b'{' | b'}' | b'[' | b']' | b',' | b':' | b'-' | b'0'..=b'9')
            | Some(b't' | b'f' | b'n')
    )
}
