//! The parser: bytes of a document straight into columns.
//!
//! It goes down with the schema, never with the document: a field that the schema does not know
//! is passed over by a loop, so that no input makes the call stack deeper than the schema is.
//! What fails says so once, in [`Parser::fault`]; the columns are then cut back by the caller.

use std::mem;
use std::ops::Range;

use super::columns::Structs;
use super::conflicts::Fill;
use super::extra::{Extra, Last, Path, Segment};
use super::keys::Keys;
use super::plan::Scope;
use super::reject::{Fault, What};

/// Levels of objects and arrays that a document may have.
pub(super) const MAX_DEPTH: u32 = 128;

/// The parser gave up; why is in [`Parser::fault`].
#[derive(Debug)]
pub(super) struct Failed;

pub(super) type Parsed<T> = Result<T, Failed>;

/// What the parser keeps from one document to the next, so as not to allocate it again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) extra: Extra,
    /// Columns of the open records that hold the value of an alias.
    pub(super) fills: Vec<Fill>,
    /// The keys of the open map.
    pub(super) keys: Keys,
    /// A key that was written with escapes.
    key: Vec<u8>,
}

/// A parser of one body.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    pub(super) src: &'a [u8],
    /// Whether a document may go over several lines.
    pub(super) multiline: bool,
    /// Whether what is wrong within a value is passed over, where its end is sure all the same: see
    /// [`Parser::pass_over`].
    pub(super) lenient: bool,
    pub(super) fault: Fault,
    pub(super) scratch: Scratch,
    pub(super) depth: u32,
    /// Where the document begins.
    pub(super) start: usize,
    /// Bytes of columns that the elements of its lists take.
    pub(super) weight: usize,
}

/// A key of a record.
enum Key {
    Known(u16),
    /// Its place, without quotes, and no escapes in it.
    Plain(Range<usize>),
    /// Decoded in [`Scratch::key`].
    Escaped,
}

impl<'a> Parser<'a> {
    pub(super) fn new(src: &'a [u8], scratch: Scratch) -> Parser<'a> {
        Parser {
            src,
            multiline: false,
            lenient: false,
            fault: Fault { what: What::Value, at: 0 },
            scratch,
            depth: 0,
            start: 0,
            weight: 0,
        }
    }

    /// The byte at `at`; 0, which JSON has nowhere outside of strings, past the end.
    #[inline]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.src.get(at).copied().unwrap_or(0)
    }

    #[cold]
    #[inline(never)]
    pub(super) fn fail<T>(&mut self, what: What, at: usize) -> Parsed<T> {
        let what = match (what, self.src.get(at)) {
            (What::Full | What::Heavy | What::Depth | What::Surrogate, _) => what,
            (_, None) if self.multiline => What::EndOfBody,
            (_, None) => What::EndOfLine,
            (_, Some(b'\n')) if !self.multiline => What::EndOfLine,
            _ => what,
        };
        self.fault = Fault { what, at };
        Err(Failed)
    }

    /// The first position from `at` on that is no white space (a line's end is some only where a
    /// document may go over several).
    #[inline]
    pub(super) fn blank(&self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\t' | b'\r')
            || (self.byte(at) == b'\n' && self.multiline)
        {
            at += 1;
        }
        at
    }

    /// The document at `at`, as row `row`. Gives the position after it.
    pub(super) fn document(&mut self, root: &mut Structs, row: usize, at: usize) -> Parsed<usize> {
        self.depth = 0;
        (self.start, self.weight) = (at, 0);
        self.scratch.extra.clear();
        self.scratch.fills.clear();
        if self.byte(at) != b'{' {
            return self.fail(What::NotObject, at);
        }
        self.record(root, row, at, &Path::ROOT)
    }

    /// The object whose `{` is at `at`, into row `row` of `into`.
    #[inline(never)]
    pub(super) fn record(
        &mut self,
        into: &mut Structs,
        row: usize,
        at: usize,
        path: &Path<'_>,
    ) -> Parsed<usize> {
        self.down(at)?;
        into.open(row);
        let Structs { scope, guesses, columns, .. } = into;
        let scope: &Scope = scope;
        let fills = self.scratch.fills.len();
        let mut before = scope.start();
        let mut at = at + 1;
        if self.byte(at) != b'"' {
            at = self.blank(at);
            if self.byte(at) == b'}' {
                self.depth -= 1;
                return Ok(at + 1);
            }
        }
        loop {
            if self.byte(at) == b' ' {
                at += 1;
            }
            let guess = guesses.get(before).copied().unwrap_or(0);
            let hit = scope.name(guess).and_then(|name| Some((name, name.guess(self.src, at)?)));
            let known = match hit {
                Some((name, after)) if self.byte(after) == b':' => {
                    before = usize::from(guess);
                    at = after + 1;
                    Some((guess, name))
                }
                _ => {
                    let (key, after) = self.key(scope, at)?;
                    match key {
                        Key::Known(id) => {
                            if let Some(guess) = guesses.get_mut(before) {
                                *guess = id;
                            }
                            before = usize::from(id);
                            at = after;
                            scope.name(id).map(|name| (id, name))
                        }
                        unknown => {
                            at = self.unknown(unknown, at, after, path)?;
                            None
                        }
                    }
                }
            };
            if let Some((id, name)) = known
                && let Some(column) = columns.get_mut(name.field)
            {
                if self.byte(at) <= b' ' {
                    at = self.blank(at);
                }
                at = if name.alias || column.len() > row {
                    self.odd(scope, id, column, row, at, path, fills)?
                } else if self.byte(at) == b'n' {
                    self.literal(at, b"null")?
                } else {
                    match self.value(column, row, at, path, Segment::Field(name))? {
                        Some(after) => after,
                        None => self.misfit(name, column, row, at, path)?,
                    }
                };
            }
            if self.byte(at) <= b' ' {
                at = self.blank(at);
            }
            match self.byte(at) {
                b',' => at += 1,
                b'}' => break,
                _ => return self.fail(What::CommaOrBrace, at),
            }
        }
        self.scratch.fills.truncate(fills);
        self.depth -= 1;
        Ok(at + 1)
    }

    #[inline]
    pub(super) fn down(&mut self, at: usize) -> Parsed<()> {
        if self.depth >= MAX_DEPTH {
            return self.fail(What::Depth, at);
        }
        self.depth += 1;
        Ok(())
    }

    /// The key at `at`, after white space, and the position after its colon.
    #[inline(never)]
    fn key(&mut self, scope: &Scope, at: usize) -> Parsed<(Key, usize)> {
        let at = self.blank(at);
        if self.byte(at) != b'"' {
            return self.fail(What::Key, at);
        }
        let end = super::scan::skip_plain(self.src, at + 1);
        let (key, after) = if self.byte(end) == b'"' {
            let text = self.src.get(at + 1..end).unwrap_or_default();
            (scope.find(text).map_or(Key::Plain(at + 1..end), Key::Known), end + 1)
        } else {
            let mut text = mem::take(&mut self.scratch.key);
            text.clear();
            let after = self.text(at + 1, &mut text);
            let found = scope.find(&text);
            self.scratch.key = text;
            (found.map_or(Key::Escaped, Key::Known), after?)
        };
        let after = self.colon(after)?;
        Ok((key, after))
    }

    /// The position after the colon that follows a key.
    pub(super) fn colon(&mut self, at: usize) -> Parsed<usize> {
        let at = self.blank(at);
        if self.byte(at) != b':' {
            return self.fail(What::Colon, at);
        }
        Ok(at + 1)
    }

    /// The value of a field that the record does not know, into `_extra`.
    fn unknown(&mut self, key: Key, key_at: usize, at: usize, path: &Path<'_>) -> Parsed<usize> {
        let start = self.blank(at);
        if let Key::Plain(place) = key {
            let text = self.src.get(place).unwrap_or_default();
            let end = self.skip(start)?;
            self.scratch.extra.push(path, Last::Key(text), start..end);
            self.weigh_extra(key_at)?;
            return Ok(end);
        }
        let end = self.skip(start)?;
        let Scratch { extra, key, .. } = &mut self.scratch;
        extra.push(path, Last::Key(key), start..end);
        self.weigh_extra(key_at)?;
        Ok(end)
    }
}
