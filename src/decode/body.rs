//! Bodies → documents: their form, and what each of their lines is for.

use std::ops::Range;

use super::extra::ACTION_ID;
use super::long_text::{Extent, too_long};
use super::parser::{Failed, Parsed, Parser, Scratch};
use super::plan::{Column, FieldIndex, RecordBuilder};
use super::progress::{Expected, MOST_BLANK_BYTES, Progress, ReadLimit, State};
use super::reject::{Defect, Fault, RawForm, Reject};
use super::rows::{Position, Rows};
use super::value;
use crate::bulk_action::{self, BYTE_ORDER_MARK, Verb};
use crate::record::{Body, Form};
use crate::table::Revision;

/// Reads one body into rows.
pub(super) struct BodyReader<'a> {
    pub(super) rows: &'a mut Rows,
    pub(super) body: &'a Body,
    pub(super) parser: Parser<'a>,
    pub(super) progress: &'a mut Progress,
    /// The whole window; the parser sees no more of it than a line may have.
    pub(super) full: &'a [u8],
    /// True when the parser does not see all of the body's rest.
    pub(super) cut: bool,
    /// True when what was read last is longer than a line may be, and has left no trace.
    pub(super) too_long: bool,
    limit: ReadLimit,
    start: Start,
}

/// The longest token whose fault, if it is cut off, is at its beginning: an escaped pair of surrogates.
const LONGEST_TOKEN_BYTES: usize = 12;

/// The bytes of a line's end.
const LINE_END_BYTES: usize = 2;

/// The counts when a call began; its limit is counted from here.
struct Start {
    at: usize,
    lines: u64,
    column_bytes: usize,
}

impl<'a> BodyReader<'a> {
    /// Reads documents of `body` into `rows` until it ends or the limit is reached. Returns the
    /// scratch buffers.
    pub(super) fn read(
        rows: &'a mut Rows,
        body: &'a Body,
        progress: &'a mut Progress,
        limit: ReadLimit,
        scratch: Scratch,
    ) -> Scratch {
        let parser = Parser::new(&body.bytes, scratch, value::times_ms(rows.revision));
        rows.begin(body);
        let start = Start { at: 0, lines: rows.counts.lines, column_bytes: rows.column_bytes };
        (progress.window_bytes, progress.starved) = (body.bytes.len(), false);
        progress.stored.clone_from(&body.stored);
        let (full, cut, too_long) = (&*body.bytes, false, false);
        let mut reader =
            BodyReader { rows, body, parser, progress, full, cut, too_long, limit, start };
        if reader.progress.state == State::New {
            reader.begin();
        }
        reader.start.at = reader.progress.at;
        if !reader.pass_long() {
            reader.rows.end(body);
            return reader.parser.scratch;
        }
        match reader.progress.state {
            State::Array | State::AfterElement => reader.array(),
            State::AfterArray => {
                let (at, line) = (reader.progress.at, reader.progress.line);
                reader.after_array(at, line);
            }
            State::Documents => reader.documents(),
            State::Unread => reader.unread(),
            _ => reader.lines(),
        }
        reader.rows.end(body);
        reader.parser.scratch
    }

    /// Decides the form of a body by its beginning.
    fn begin(&mut self) {
        let bytes = &self.body.bytes;
        // A later chunk of a file begins with whatever line is its first.
        let begins = self.body.first_line == 1;
        let marked = begins && bytes.starts_with(BYTE_ORDER_MARK);
        let start = if marked { BYTE_ORDER_MARK.len() } else { 0 };
        let blank = |b: &&u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        let first = start + self.rest(start).iter().take_while(blank).count();
        let array = begins && self.body.form == Form::Ndjson && self.parser.byte(first) == b'[';
        // A bulk was taken apart by its lines when it was answered.
        let lines = match self.body.form {
            Form::Ndjson if self.rows.revision >= Revision::Third => State::Documents,
            Form::Ndjson => State::FirstLine,
            Form::Elasticsearch => State::Lines,
        };
        self.progress.state = if array { State::Array } else { lines };
        self.progress.utf8 = !self.progress.more() && simdutf8::basic::from_utf8(bytes).is_ok();
        self.progress.at = if array { first + 1 } else { start };
        self.progress.line = self.body.first_line;
    }

    /// Has the parser see what may be read of a line or document that begins at `start`. Returns false if
    /// the window is too short for that.
    pub(super) fn see(&mut self, start: usize) -> bool {
        let Some(limit) = self.rows.line_limit else { return true };
        let (end, len) =
            (start.saturating_add(limit).saturating_add(LINE_END_BYTES), self.full.len());
        let more = self.progress.more();
        if more && end > len {
            return false;
        }
        self.cut = end < len || more;
        self.parser.src = self.full.get(..end).unwrap_or(self.full);
        true
    }

    /// Has the parser see all of the window.
    pub(super) fn see_all(&mut self) {
        (self.parser.src, self.cut) = (self.full, self.progress.more());
    }

    /// Suspends the body before `at`, whose first byte that is not blank is at `start`, until there is
    /// another window.
    pub(super) fn starve(&mut self, at: usize, start: usize, line: u64) {
        let blank = start.saturating_sub(at) > MOST_BLANK_BYTES;
        self.progress.at = if blank { start } else { at };
        (self.progress.line, self.progress.starved) = (line, true);
        self.parser.src = self.full;
    }

    /// Returns whether the fault is that the parser has seen all that it may see.
    pub(super) fn runs_out(&self, fault: Fault) -> bool {
        self.cut && fault.at.saturating_add(LONGEST_TOKEN_BYTES) >= self.parser.src.len()
    }

    /// Returns whether the bytes from `start` up to `end` are more than a line may have.
    pub(super) fn exceeds(&self, start: usize, end: usize) -> bool {
        self.rows.line_limit.is_some_and(|limit| end.saturating_sub(start) > limit)
    }

    /// Returns whether to stop before `at`.
    pub(super) fn at_limit(&self, at: usize) -> bool {
        at > self.start.at
            && (at - self.start.at >= self.limit.bytes
                || self.rows.counts.lines - self.start.lines >= self.limit.lines
                || self.rows.column_bytes - self.start.column_bytes >= self.limit.column_bytes)
    }

    pub(super) fn rest(&self, at: usize) -> &'a [u8] {
        self.parser.src.get(at..).unwrap_or_default()
    }

    /// Returns the end of the line that `at` is in, without and with its carriage return.
    pub(super) fn line_end(&self, at: usize) -> (usize, usize) {
        let end = memchr::memchr(b'\n', self.rest(at)).map_or(self.parser.src.len(), |n| at + n);
        let kept = if end > at && self.parser.byte(end - 1) == b'\r' { end - 1 } else { end };
        (kept, end)
    }

    /// Returns the position of the first byte of the line at `at` that is no white space. A byte order
    /// mark at the beginning of a line counts as such: files that begin with one are joined.
    pub(super) fn line_start(&self, at: usize) -> usize {
        let marked = self.rest(at).starts_with(BYTE_ORDER_MARK);
        let marked = marked && self.rows.revision >= Revision::Second;
        self.parser.blank(if marked { at + BYTE_ORDER_MARK.len() } else { at })
    }

    /// Reads lines from the progress on: each is a document, an action or a reject, unless the first
    /// begins a document that is all of the body.
    pub(super) fn lines(&mut self) {
        let Progress { state, mut at, mut line, .. } = *self.progress;
        let mut first = state == State::FirstLine;
        while at < self.full.len() || self.progress.more() {
            if self.at_limit(at) {
                let state = if first { State::FirstLine } else { State::Lines };
                self.progress.state = state;
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
            if matches!(self.parser.src.get(start), None | Some(b'\n')) {
                at = start + 1;
                line = line.saturating_add(1);
                continue;
            }
            if self.cut && self.line_end(start).1 >= self.parser.src.len()
                || self.exceeds(start, self.line_end(start).0)
            {
                self.progress.expected = Expected::Any;
                (self.progress.at, self.progress.line) = (at, line);
                self.begin_long(Extent::Line, None);
                if !self.pass_long() {
                    return;
                }
                (at, line) = (self.progress.at, self.progress.line);
                first = false;
                continue;
            }
            at = match std::mem::take(&mut self.progress.expected) {
                Expected::Any => match self.action(at, start, line) {
                    Some(next) => next,
                    None => match self.dumped_line(at, start) {
                        Some(dumped) => self.dumped_document(dumped, at, line),
                        None => self.document(None, first, at, start, line),
                    },
                },
                Expected::Document(id) => self.document(id, first, at, start, line),
                Expected::Updated => {
                    self.reject_line(at, line, Fault { defect: Defect::UpdateDocument, at })
                }
            };
            first = false;
            line = line.saturating_add(1);
        }
        self.end();
    }

    /// Reads the line at `at`, which is no action, whatever it says, into a row or a reject.
    /// Returns the beginning of the next line.
    fn document(
        &mut self,
        id: Option<Range<usize>>,
        first: bool,
        at: usize,
        start: usize,
        line: u64,
    ) -> usize {
        if let Ok(end) = self.line(at, start) {
            if self.complete_with_id(id, start, line) {
                return end + 1;
            }
        } else if self.parser.fault.defect == Defect::EndOfLine
            && first
            && self.one_document(start, line)
        {
            return self.full.len();
        }
        self.reject_line(at, line, self.parser.fault)
    }

    /// Ends the body.
    pub(super) fn end(&mut self) {
        self.progress.state = State::Ended;
        self.progress.at = self.full.len();
    }

    /// Parses the document at `start` of the line at `at`; returns the position of its line feed.
    fn line(&mut self, at: usize, start: usize) -> Parsed<usize> {
        if !self.progress.utf8 {
            let (kept, _) = self.line_end(at);
            self.check_utf8(start, kept)?;
        }
        let end = self.parser.document(&mut self.rows.root, self.rows.count, start)?;
        let end = self.parser.blank(end);
        match self.parser.src.get(end) {
            None | Some(b'\n') => Ok(end),
            Some(_) => self.parser.fail(Defect::Trailing, end),
        }
    }

    /// Checks that the bytes from `start` up to `end` are UTF-8.
    pub(super) fn check_utf8(&mut self, start: usize, end: usize) -> Parsed<()> {
        let bytes = self.parser.src.get(start..end).unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.parser.fault =
                    Fault { defect: Defect::NotUtf8, at: start + error.valid_up_to() };
                Err(Failed)
            }
        }
    }

    /// Completes the row that was parsed; returns false, and records a fault, when a column is
    /// full, or a time of the row is outside of the window.
    pub(super) fn complete(&mut self, start: usize, line: u64) -> bool {
        if self.rows.is_far(self.body.received_at) {
            self.parser.fault = Fault { defect: Defect::FarTime, at: start };
            return false;
        }
        let position = Position { line, before: self.progress.on_line };
        let extra = &self.parser.scratch.extra;
        let completed = self.rows.complete(self.parser.src, extra, position).is_ok();
        if completed {
            self.rows.column_bytes += self.parser.total_cost();
        } else {
            self.parser.fault = Fault { defect: Defect::BatchFull, at: start };
        }
        completed
    }

    /// Completes the row of a document whose action may have given it an `_id`. That goes to the
    /// column of its name, if there is one and the document has nothing for it, else to `_extra`.
    pub(super) fn complete_with_id(
        &mut self,
        id: Option<Range<usize>>,
        start: usize,
        line: u64,
    ) -> bool {
        if let Some(id) = id
            && !self.fills_column(&id)
        {
            self.parser.scratch.extra.push_named(ACTION_ID, id);
        }
        self.complete(start, line)
    }

    /// Writes the `_id` at `id` to its column; returns false if that cannot be.
    fn fills_column(&mut self, id: &Range<usize>) -> bool {
        let RecordBuilder { reader: FieldIndex { names, .. }, columns, .. } = &mut self.rows.root;
        let found = names.find(ACTION_ID.as_bytes()).and_then(|id| names.name(id));
        let column = found.and_then(|name| columns.get_mut(name.field));
        let Some(Column::String(strings)) = column else { return false };
        if strings.len() > self.rows.count {
            return false;
        }
        strings.open(self.rows.count);
        // It has been read once, as a string.
        let filled = self.parser.text(id.start + 1, &mut strings.bytes).is_ok();
        let filled = filled && strings.close().is_ok();
        if !filled {
            strings.discard_open();
        }
        filled
    }

    /// Reads the line at `at` if it is a bulk action: it is left out, or a reject. Returns the
    /// beginning of the next line.
    pub(super) fn action(&mut self, at: usize, start: usize, line: u64) -> Option<usize> {
        let text = self.rest(start);
        if text.starts_with(BYTE_ORDER_MARK) || !bulk_action::begins(text) {
            return None;
        }
        let (kept, end) = self.line_end(at);
        let text = self.parser.src.get(at..kept).unwrap_or_default();
        let action = bulk_action::read(text)?;
        // Among plain documents, a field of the schema is one, whatever is in it.
        let field = self.rows.root.reader.names.find(action.verb.name().as_bytes());
        if self.body.form == Form::Ndjson && field.is_some() {
            return None;
        }
        let defect = match action.verb {
            Verb::Index | Verb::Create => {
                self.rows.counts.actions += 1;
                self.progress.expected = Expected::Document(id_in(&action, text, at));
                return Some(end + 1);
            }
            Verb::Update => {
                self.progress.expected = Expected::Updated;
                Defect::UpdateAction
            }
            Verb::Delete => Defect::DeleteAction,
        };
        Some(self.reject_line(at, line, Fault { defect, at }))
    }

    /// Reads everything from `start` on as one document; returns false if it is none.
    fn one_document(&mut self, start: usize, line: u64) -> bool {
        let fault = self.parser.fault;
        self.rows.discard();
        self.parser.multiline = true;
        let parsed = self.parser.document(&mut self.rows.root, self.rows.count, start);
        let whole = parsed.is_ok_and(|end| self.parser.blank(end) >= self.parser.src.len());
        self.parser.multiline = false;
        if self.progress.utf8 && whole && self.complete(start, line) {
            return true;
        }
        self.parser.fault = fault;
        false
    }

    /// Rejects the line at `at`; returns the beginning of the next one.
    pub(super) fn reject_line(&mut self, at: usize, line: u64, fault: Fault) -> usize {
        let (kept, end) = self.line_end(at);
        self.reject(at, kept, line, fault);
        end + 1
    }

    /// Rejects the bytes from `start` up to `end`. If the parser does not see what is behind them, they
    /// are the beginning of something too long instead.
    pub(super) fn reject(&mut self, start: usize, end: usize, line: u64, fault: Fault) {
        if self.cut && end >= self.parser.src.len() {
            self.rows.discard();
            self.too_long = true;
            return;
        }
        self.reject_as(start, end, (line, line), 1, fault);
    }

    /// Rejects the bytes from `start` up to `end`, which count for `lines`: the first and the last of
    /// them begin on `line` and `last_line`.
    pub(super) fn reject_as(
        &mut self,
        start: usize,
        end: usize,
        (line, last_line): (u64, u64),
        lines: u64,
        fault: Fault,
    ) {
        self.progress.rejects += 1;
        self.rows.reject(Reject {
            seq: self.body.seq,
            lines,
            line,
            last_line,
            code: fault.code(),
            reason: self.reason(fault, start),
            // Within the body: `start` is at most its length, and `end` no less.
            raw: self.body.bytes.slice(start.min(end)..end),
            stored: None,
            form: RawForm::Text,
        });
    }

    /// Returns the reason for people, with the byte counted from `start`.
    pub(super) fn reason(&self, fault: Fault, start: usize) -> String {
        match (fault.defect, self.rows.line_limit) {
            (Defect::TooLong, Some(limit)) => too_long(limit),
            _ => fault.reason(start),
        }
    }
}

/// Returns the range, in the body, of the `_id` of `action`, whose line `text` begins at `at`. Only
/// a string counts, so that it is one in `_extra`.
fn id_in(action: &bulk_action::Action, text: &[u8], at: usize) -> Option<Range<usize>> {
    action.text("_id")?;
    let raw = action.get("_id")?.get().as_bytes();
    let found = memchr::memmem::find(text, raw)?;
    Some(at + found..at + found + raw.len())
}
