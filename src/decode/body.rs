//! A body cut into documents: lines, an array, or one document over many lines.

use std::ops::Range;

use crate::bulk_action::{self, Verb};
use crate::record::{Body, Form};

use super::Room;
use super::columns::{Column, Structs};
use super::parse::{Parsed, Parser, Scratch};
use super::reject::{Fault, Reject, What};
use super::rows::Rows;

/// The bytes that some senders put before everything else.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The key in `_extra` of the `_id` that an action gave its document: no pointer, since it has no
/// slash.
pub(super) const ACTION_ID: &str = "_id";

/// How far a body has been read.
#[derive(Clone, Debug)]
pub struct Progress {
    pub(super) state: State,
    /// Whether all of the body is UTF-8; otherwise each document is checked.
    pub(super) utf8: bool,
    pub(super) at: usize,
    pub(super) line: u64,
    next: Next,
}

/// What the next line is that is not blank.
#[derive(Clone, Debug, Default)]
enum Next {
    /// A document or an action.
    #[default]
    Any,
    /// The document of an action, and where the `_id` stands that it was given.
    Document(Option<Range<usize>>),
    /// That of an update.
    Updated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    New,
    /// No line so far but blank ones.
    FirstLine,
    Lines,
    /// Before an element.
    Array,
    Ended,
}

impl Progress {
    /// Nothing of the body has been read.
    pub const NEW: Progress =
        Progress { state: State::New, utf8: false, at: 0, line: 0, next: Next::Any };

    pub(super) fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Bytes of the body that have been read.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.at
    }
}

/// One body on its way into rows.
pub(super) struct Run<'a> {
    pub(super) rows: &'a mut Rows,
    pub(super) body: &'a Body,
    pub(super) parser: Parser<'a>,
    pub(super) progress: &'a mut Progress,
    room: Room,
    from: From,
}

/// Where a call began: what there is room for is counted from here.
struct From {
    at: usize,
    lines: u64,
    column_bytes: usize,
}

impl<'a> Run<'a> {
    /// Reads documents of `body` into `rows` until it ends or there is no room. Gives back the
    /// scratch space.
    pub(super) fn read(
        rows: &'a mut Rows,
        body: &'a Body,
        progress: &'a mut Progress,
        room: Room,
        scratch: Scratch,
    ) -> Scratch {
        let parser = Parser::new(&body.bytes, scratch);
        rows.begin(body);
        let from = From { at: 0, lines: rows.counts.lines, column_bytes: rows.column_bytes };
        let mut run = Run { rows, body, parser, progress, room, from };
        if run.progress.state == State::New {
            run.begin();
        }
        run.from.at = run.progress.at;
        match run.progress.state {
            State::Array => run.array(),
            _ => run.lines(),
        }
        run.rows.end(body);
        run.parser.scratch
    }

    fn begin(&mut self) {
        let bytes = &self.body.bytes;
        // A later piece of a file begins with whatever line is its first.
        let begins = self.body.first_line == 1;
        let marked = begins && bytes.starts_with(BYTE_ORDER_MARK);
        let start = if marked { BYTE_ORDER_MARK.len() } else { 0 };
        let blank = |b: &&u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        let first = start + self.rest(start).iter().take_while(blank).count();
        let array = begins && self.body.form == Form::Ndjson && self.parser.byte(first) == b'[';
        // A bulk was taken apart by its lines when it was answered.
        let lines = match self.body.form {
            Form::Ndjson => State::FirstLine,
            Form::Elasticsearch => State::Lines,
        };
        *self.progress = Progress {
            state: if array { State::Array } else { lines },
            utf8: simdutf8::basic::from_utf8(bytes).is_ok(),
            at: if array { first + 1 } else { start },
            line: self.body.first_line,
            next: Next::Any,
        };
    }

    /// Whether to stop before `at`.
    pub(super) fn full(&self, at: usize) -> bool {
        at > self.from.at
            && (at - self.from.at >= self.room.bytes
                || self.rows.counts.lines - self.from.lines >= self.room.lines
                || self.rows.column_bytes - self.from.column_bytes >= self.room.column_bytes)
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.parser.src.get(at..).unwrap_or_default()
    }

    /// The end of the line that `at` is in: of its last byte, and of its line feed.
    pub(super) fn line_end(&self, at: usize) -> (usize, usize) {
        let end = memchr::memchr(b'\n', self.rest(at)).map_or(self.parser.src.len(), |n| at + n);
        let kept = if end > at && self.parser.byte(end - 1) == b'\r' { end - 1 } else { end };
        (kept, end)
    }

    pub(super) fn lines(&mut self) {
        let Progress { state, mut at, mut line, .. } = *self.progress;
        let mut first = state == State::FirstLine;
        while at < self.parser.src.len() {
            if self.full(at) {
                let state = if first { State::FirstLine } else { State::Lines };
                self.progress.state = state;
                (self.progress.at, self.progress.line) = (at, line);
                return;
            }
            let start = self.parser.blank(at);
            if matches!(self.parser.src.get(start), None | Some(b'\n')) {
                at = start + 1;
                line = line.saturating_add(1);
                continue;
            }
            at = match std::mem::take(&mut self.progress.next) {
                Next::Any => match self.action(at, start, line) {
                    Some(next) => next,
                    None => self.document(None, first, at, start, line),
                },
                Next::Document(id) => self.document(id, first, at, start, line),
                Next::Updated => self.reject_line(at, line, Fault { what: What::Updated, at }),
            };
            first = false;
            line = line.saturating_add(1);
        }
        self.end();
    }

    /// The line at `at`, which is no action, whatever it says: a row or a reject. Gives where the
    /// next line begins.
    fn document(
        &mut self,
        id: Option<Range<usize>>,
        first: bool,
        at: usize,
        start: usize,
        line: u64,
    ) -> usize {
        if let Ok(end) = self.line(at, start) {
            if self.land_as(id, start, line) {
                return end + 1;
            }
        } else if self.parser.fault.what == What::EndOfLine && first && self.whole(start, line) {
            return self.parser.src.len();
        }
        self.reject_line(at, line, self.parser.fault)
    }

    pub(super) fn end(&mut self) {
        self.progress.state = State::Ended;
        self.progress.at = self.parser.src.len();
    }

    /// Parses the document at `start` of the line at `at`; gives the position of its line feed.
    fn line(&mut self, at: usize, start: usize) -> Parsed<usize> {
        if !self.progress.utf8 {
            let (kept, _) = self.line_end(at);
            self.check_utf8(start, kept)?;
        }
        let end = self.parser.document(&mut self.rows.root, self.rows.count, start)?;
        let end = self.parser.blank(end);
        match self.parser.src.get(end) {
            None | Some(b'\n') => Ok(end),
            Some(_) => self.parser.fail(What::Trailing, end),
        }
    }

    pub(super) fn check_utf8(&mut self, start: usize, end: usize) -> Parsed<()> {
        let bytes = self.parser.src.get(start..end).unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.parser.fault = Fault { what: What::Utf8, at: start + error.valid_up_to() };
                Err(super::parse::Failed)
            }
        }
    }

    /// Completes the row that was parsed; false (and a fault) when it has no room.
    pub(super) fn land(&mut self, start: usize, line: u64) -> bool {
        let landed = self.rows.land(self.parser.src, &self.parser.scratch.extra, line).is_ok();
        if landed {
            self.rows.column_bytes += self.parser.column_bytes();
        } else {
            self.parser.fault = Fault { what: What::Full, at: start };
        }
        landed
    }

    /// The same for a document whose action gave it an `_id`: it goes to the column of that name, if
    /// there is one and the document has nothing for it, else to `_extra`.
    fn land_as(&mut self, id: Option<Range<usize>>, start: usize, line: u64) -> bool {
        if let Some(id) = id
            && !self.fills_column(&id)
        {
            self.parser.scratch.extra.note(ACTION_ID, id);
        }
        self.land(start, line)
    }

    fn fills_column(&mut self, id: &Range<usize>) -> bool {
        let Structs { scope, columns, .. } = &mut self.rows.root;
        let found = scope.find(ACTION_ID.as_bytes()).and_then(|id| scope.name(id));
        let column = found.and_then(|name| columns.get_mut(name.field));
        let Some(Column::Text(texts)) = column else { return false };
        if texts.len() > self.rows.count {
            return false;
        }
        texts.open(self.rows.count);
        // It was read once before, and is a string.
        let filled = self.parser.text(id.start + 1, &mut texts.bytes).is_ok();
        let filled = filled && texts.close().is_ok();
        if !filled {
            texts.drop_open();
        }
        filled
    }

    /// The line at `at` if it is a bulk action: it is left out, or a reject. Gives where the next
    /// line begins.
    fn action(&mut self, at: usize, start: usize, line: u64) -> Option<usize> {
        if !bulk_action::begins(self.rest(start)) {
            return None;
        }
        let (kept, end) = self.line_end(at);
        let text = self.parser.src.get(at..kept).unwrap_or_default();
        let action = bulk_action::read(text)?;
        // Among plain documents, a field of the schema is one, whatever is in it.
        let field = self.rows.root.scope.find(action.verb.name().as_bytes());
        if self.body.form == Form::Ndjson && field.is_some() {
            return None;
        }
        let what = match action.verb {
            Verb::Index | Verb::Create => {
                self.rows.counts.actions += 1;
                self.progress.next = Next::Document(id_in(&action, text, at));
                return Some(end + 1);
            }
            Verb::Update => {
                self.progress.next = Next::Updated;
                What::Update
            }
            Verb::Delete => What::Delete,
        };
        Some(self.reject_line(at, line, Fault { what, at }))
    }

    /// Whether everything from `start` on is one document; if so it is a row now.
    fn whole(&mut self, start: usize, line: u64) -> bool {
        let fault = self.parser.fault;
        self.rows.cut();
        self.parser.multiline = true;
        let parsed = self.parser.document(&mut self.rows.root, self.rows.count, start);
        let whole = parsed.is_ok_and(|end| self.parser.blank(end) >= self.parser.src.len());
        self.parser.multiline = false;
        if self.progress.utf8 && whole && self.land(start, line) {
            return true;
        }
        self.parser.fault = fault;
        false
    }

    /// Keeps the line at `at` as a reject; gives where the next one begins.
    fn reject_line(&mut self, at: usize, line: u64, fault: Fault) -> usize {
        let (kept, end) = self.line_end(at);
        self.reject(at, kept, line, fault);
        end + 1
    }

    pub(super) fn reject(&mut self, start: usize, end: usize, line: u64, fault: Fault) {
        self.rows.reject(Reject {
            seq: self.body.seq,
            line,
            reason: fault.reason(start),
            // Within the body: `start` is at most its length, and `end` no less.
            raw: self.body.bytes.slice(start.min(end)..end),
        });
    }
}

/// Where in the body the `_id` of `action` stands, whose line `text` begins at `at`: a string, so
/// that it is one in `_extra`.
fn id_in(action: &bulk_action::Action, text: &[u8], at: usize) -> Option<Range<usize>> {
    action.text("_id")?;
    let raw = action.get("_id")?.get().as_bytes();
    let found = memchr::memmem::find(text, raw)?;
    Some(at + found..at + found + raw.len())
}
