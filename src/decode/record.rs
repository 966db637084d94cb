//! Documents and the records within them: the bytes of their fields straight into columns.
//!
//! The parser descends with the schema, never with the document: a field that the schema does not
//! know is passed over by a loop, so that no input makes the call stack deeper than the schema is.
//! Records and values ([`Parser::value`]) call each other, as JSON has one within the other.

use super::conflicts::Conflict;
use super::extra::{LastStep, Path, PathStep, Prefix};
use super::parser::{MAX_DEPTH, Parsed, Parser, Scratch};
use super::plan::{Column, FieldIndex, FieldNames, RecordBuilder};
use super::quick;
use super::reading::{Key, Reading};
use super::reject::Defect;
use super::scan;

impl Parser<'_> {
    /// Reads the document at `at` into row `row`; returns the position after it.
    pub(super) fn document(
        &mut self,
        root: &mut RecordBuilder,
        row: usize,
        at: usize,
    ) -> Parsed<usize> {
        self.depth = 0;
        (self.start, self.cost) = (at, 0);
        self.scratch.extra.clear();
        self.scratch.aliased.clear();
        if self.byte(at) != b'{' {
            return self.fail(Defect::NotObject, at);
        }
        self.record(root, row, at, &Path::ROOT)
    }

    /// Reads the object whose `{` is at `at` into row `row` of `into`; returns the position after
    /// it.
    #[inline(never)]
    pub(super) fn record(
        &mut self,
        into: &mut RecordBuilder,
        row: usize,
        at: usize,
        path: &Path<'_>,
    ) -> Parsed<usize> {
        self.descend(at)?;
        into.open(row);
        let RecordBuilder { reader: index, columns, .. } = into;
        let first_aliased = self.scratch.aliased.len();
        if let Some(beyond) = &mut index.beyond {
            beyond.begin();
        }
        let reading = Reading { row, path, first_aliased };
        let at = self.members(index, columns, at, path, reading)?;
        if let Some(beyond) = &index.beyond {
            self.settle(beyond, &index.names, columns, at, reading)?;
        }
        self.scratch.aliased.truncate(first_aliased);
        self.depth -= 1;
        Ok(at)
    }

    /// Reads the members of the object whose `{` is at `at` and whose path is `own` into columns of the
    /// record: it is the record's object, or one of its groups. Returns the position after it.
    #[inline(always)]
    pub(super) fn members(
        &mut self,
        index: &mut FieldIndex,
        columns: &mut [Column],
        at: usize,
        own: &Path<'_>,
        record: Reading<'_>,
    ) -> Parsed<usize> {
        let Reading { row, path, first_aliased } = record;
        let FieldIndex { names, guesses, strangers, beyond } = index;
        let names: &FieldNames = names;
        let (src, may_descend) = (self.src, self.depth < MAX_DEPTH);
        let byte = |at: usize| src.get(at).copied().unwrap_or(0);
        let mut prefix = Prefix::default();
        let (mut before, mut since) = (names.start(), 0);
        let mut at = at + 1;
        if self.byte(at) != b'"' {
            at = self.blank(at);
            if self.byte(at) == b'}' {
                return Ok(at + 1);
            }
        }
        'members: loop {
            let guess = guesses.get(before).copied().unwrap_or(0);
            let known = 'known: {
                let (mut hit, mut key_at) = (names.guess(guess, src, at), at);
                if hit.is_none() && byte(at) != b'"' {
                    key_at += usize::from(byte(at) == b' ');
                    hit = names.guess(guess, src, self.blank(key_at));
                }
                if let Some((guessed, after)) = hit {
                    (before, since) = (usize::from(guess), 0);
                    at = after + usize::from(byte(after) == b' ');
                    if let Some(column) = columns.get_mut(guessed.column())
                        && let Some(end) =
                            quick::value(src, &self.times_ms, may_descend, column, row, at)
                    {
                        if byte(end) == b',' {
                            at = end + 1;
                            continue 'members;
                        }
                        at = end;
                        break 'known None;
                    }
                    break 'known names.name(guess).map(|name| (guess, name));
                }
                let slot = strangers.slot(before, since);
                let (key, after) = match strangers.after(slot, src, key_at) {
                    Some(after) => (Key::Plain(key_at + 1..after - 2), after),
                    None => self.key(names, key_at)?,
                };
                match key {
                    Key::Known(id) => {
                        if let Some(guess) = guesses.get_mut(before) {
                            *guess = id;
                        }
                        (before, since) = (usize::from(id), 0);
                        at = after;
                        names.name(id).map(|name| (id, name))
                    }
                    unknown => {
                        if matches!(&unknown, Key::Plain(name) if name.start == key_at + 1 && name.end + 2 == after)
                        {
                            strangers.remember(slot, src, key_at, after);
                        }
                        since += 1;
                        at = match beyond {
                            Some(beyond) if !beyond.prefixes.is_empty() => {
                                self.beyond(unknown, key_at, after, beyond, columns, record)?
                            }
                            _ => self.unknown(unknown, key_at, after, own, &mut prefix)?,
                        };
                        None
                    }
                }
            };
            if let Some((id, name)) = known {
                if let Some(column) = columns.get_mut(name.field) {
                    if self.byte(at) <= b' ' {
                        at = self.blank(at);
                    }
                    at = if name.alias || column.len() > row {
                        let start = at;
                        let conflict =
                            Conflict { names, id, column, row, start, path, first_aliased };
                        self.conflict(conflict)?
                    } else if self.byte(at) == b'n' {
                        self.literal(at, b"null")?
                    } else {
                        match self.value(column, row, at, path, PathStep::Field(&name.pointer))? {
                            Some(after) => after,
                            None => self.type_mismatch(name, column, row, at, path)?,
                        }
                    };
                } else if let Some(group) =
                    beyond.as_mut().and_then(|b| b.groups.get_mut(name.group))
                {
                    at = self.group(group, columns, at, record)?;
                } else {
                    // No name is without a column or a group.
                    let start = self.blank(at);
                    at = self.skip(start)?;
                }
            }
            if self.byte(at) <= b' ' {
                at = self.blank(at);
            }
            match self.byte(at) {
                b',' => at += 1,
                b'}' => break,
                _ => return self.fail(Defect::CommaOrBrace, at),
            }
        }
        Ok(at + 1)
    }

    /// Reads the key at `at`, after white space; returns it and the position after its colon.
    #[inline(never)]
    fn key(&mut self, names: &FieldNames, at: usize) -> Parsed<(Key, usize)> {
        let at = self.blank(at);
        if self.byte(at) != b'"' {
            return self.fail(Defect::Key, at);
        }
        let end = scan::skip_plain(self.src, at + 1);
        let (key, after) = if self.byte(end) == b'"' {
            let text = self.src.get(at + 1..end).unwrap_or_default();
            (names.find(text).map_or(Key::Plain(at + 1..end), Key::Known), end + 1)
        } else {
            let mut text = std::mem::take(&mut self.scratch.key);
            text.clear();
            let after = self.text(at + 1, &mut text);
            let found = names.find(&text);
            self.scratch.key = text;
            (found.map_or(Key::Escaped, Key::Known), after?)
        };
        let after = self.colon(after)?;
        Ok((key, after))
    }

    /// Reads the value of a field without a column into `_extra`; returns the position after it.
    /// `prefix` is that of the record at `path`.
    pub(super) fn unknown(
        &mut self,
        key: Key,
        key_at: usize,
        at: usize,
        path: &Path<'_>,
        prefix: &mut Prefix,
    ) -> Parsed<usize> {
        let start = self.blank(at);
        if let Key::Plain(range) = key {
            let end = self.skip(start)?;
            self.scratch.extra.push_member(path, prefix, self.src, range, start..end);
            self.check_extra_cost(key_at)?;
            return Ok(end);
        }
        let end = self.skip(start)?;
        let Scratch { extra, key, .. } = &mut self.scratch;
        extra.push(path, LastStep::Key(key), start..end);
        self.check_extra_cost(key_at)?;
        Ok(end)
    }
}
