//! Values into columns, by the column's type: the JSON that each type takes.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};

use super::cost;
use super::extra::{LastStep, Path, PathStep};
use super::number::{self, Token};
use super::parser::{MAX_DEPTH, Parsed, Parser};
use super::plan::{Column, FieldIndex};
use super::reject::Defect;
use crate::columnar::builders::{ListBuilder, MAX_LEN, MapBuilder};
use crate::table::Revision;

/// Returns the times that fit a column, in milliseconds since the epoch: those of the years 1 to
/// 9999, from 0001-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z. Readers and their languages show
/// no others, and one of them makes a whole table unreadable. In microseconds they are far within 64
/// bits.
pub(super) fn times_ms(revision: Revision) -> RangeInclusive<i64> {
    match revision {
        Revision::First => {
            DateTime::<Utc>::MIN_UTC.timestamp_millis()
                ..=DateTime::<Utc>::MAX_UTC.timestamp_millis()
        }
        Revision::Second | Revision::Third | Revision::Fourth => {
            -62_135_596_800_000..=253_402_300_799_999
        }
    }
}

impl Parser<'_> {
    /// Reads the value at `at`, which is no null and no white space, into row `row` of `column`,
    /// which it lacks. Returns the position after it; `None` when the value is of another type (or
    /// no value): then the column is as before.
    #[inline(always)]
    pub(super) fn value(
        &mut self,
        column: &mut Column,
        row: usize,
        at: usize,
        parent: &Path<'_>,
        step: PathStep<'_>,
    ) -> Parsed<Option<usize>> {
        let byte = self.byte(at);
        match column {
            Column::String(strings) => {
                if byte != b'"' {
                    return Ok(None);
                }
                strings.open(row);
                let end = self.text(at + 1, &mut strings.bytes)?;
                self.check_full(strings.close(), at)?;
                Ok(Some(end))
            }
            Column::Long(plain) => {
                if let Some((value, end)) = number::short_long(self.src, at) {
                    plain.push(row, value);
                    return Ok(Some(end));
                }
                let Some((value, end)) = self.any_long(at)? else { return Ok(None) };
                plain.push(row, value);
                Ok(Some(end))
            }
            Column::Timestamp(plain) => {
                if let Some((value, end)) = number::short_long(self.src, at)
                    && self.times_ms.contains(&value)
                {
                    plain.push(row, value * 1000);
                    return Ok(Some(end));
                }
                let Some((value, end)) = self.any_long(at)? else { return Ok(None) };
                if !self.times_ms.contains(&value) {
                    return Ok(None);
                }
                plain.push(row, value * 1000);
                Ok(Some(end))
            }
            Column::Double(plain) => {
                if !matches!(byte, b'-' | b'0'..=b'9') {
                    return Ok(None);
                }
                let token = self.number(at)?;
                let Some(value) = token.double() else { return Ok(None) };
                plain.push(row, value);
                Ok(Some(at + token.len()))
            }
            Column::Boolean(plain) => {
                let value = match byte {
                    b't' => true,
                    b'f' => false,
                    _ => return Ok(None),
                };
                let end = self.literal(at, if value { b"true" } else { b"false" })?;
                plain.push(row, value);
                Ok(Some(end))
            }
            Column::List(lists) => {
                if byte != b'[' {
                    return Ok(None);
                }
                self.list(lists, row, at, &parent.to(step)).map(Some)
            }
            Column::Struct(structs) => {
                if byte != b'{' {
                    return Ok(None);
                }
                self.record(structs, row, at, &parent.to(step)).map(Some)
            }
            Column::Map(maps) => {
                if byte != b'{' {
                    return Ok(None);
                }
                self.map(maps, row, at, &parent.to(step)).map(Some)
            }
            Column::Formed(formed) => self.formed(formed, row, at),
            // It is written with its time, and no name leads to it.
            Column::NanosOf(_) => Ok(None),
        }
    }

    #[cold]
    #[inline(never)]
    fn any_long(&mut self, at: usize) -> Parsed<Option<(i64, usize)>> {
        if !matches!(self.byte(at), b'-' | b'0'..=b'9') {
            return Ok(None);
        }
        let token = self.number(at)?;
        Ok(token.long().map(|value| (value, at + token.len())))
    }

    /// Reads the array whose `[` is at `at` into row `row`; returns the position after it.
    #[inline(never)]
    fn list(
        &mut self,
        lists: &mut ListBuilder<FieldIndex>,
        row: usize,
        at: usize,
        path: &Path<'_>,
    ) -> Parsed<usize> {
        lists.open(row);
        let start = at;
        if self.byte(at + 1) == b']' && self.depth < MAX_DEPTH {
            self.check_full(lists.close(), start)?;
            return Ok(at + 2);
        }
        self.descend(at)?;
        let mut at = self.blank(at + 1);
        let mut index = 0;
        if self.byte(at) != b']' {
            loop {
                if self.byte(at) <= b' ' {
                    at = self.blank(at);
                }
                if lists.items >= MAX_LEN {
                    return self.fail(Defect::BatchFull, at);
                }
                if self.byte(at) == b'n' {
                    at = self.literal(at, b"null")?;
                } else {
                    let (item, here) = (lists.items, PathStep::Index(index));
                    at = match self.value(&mut lists.values, item, at, path, here)? {
                        Some(after) => after,
                        None => {
                            let end = self.skip(at)?;
                            self.scratch.extra.push(path, LastStep::Index(index), at..end);
                            self.check_extra_cost(at)?;
                            end
                        }
                    };
                }
                self.add_cost(lists.element_bytes, at)?;
                lists.items += 1;
                index += 1;
                if self.byte(at) <= b' ' {
                    at = self.blank(at);
                }
                match self.byte(at) {
                    b',' => at += 1,
                    b']' => break,
                    _ => return self.fail(Defect::CommaOrBracket, at),
                }
            }
        }
        self.check_full(lists.close(), start)?;
        self.depth -= 1;
        Ok(at + 1)
    }

    /// Reads the object with free keys whose `{` is at `at` into row `row`; returns the position
    /// after it.
    #[inline(never)]
    fn map(
        &mut self,
        maps: &mut MapBuilder<FieldIndex>,
        row: usize,
        at: usize,
        path: &Path<'_>,
    ) -> Parsed<usize> {
        self.descend(at)?;
        maps.open(row);
        let start = at;
        self.scratch.keys.clear();
        let mut at = self.blank(at + 1);
        if self.byte(at) != b'}' {
            loop {
                at = self.blank(at);
                if self.byte(at) != b'"' {
                    return self.fail(Defect::Key, at);
                }
                at = self.entry(maps, at, path)?;
                at = self.blank(at);
                match self.byte(at) {
                    b',' => at += 1,
                    b'}' => break,
                    _ => return self.fail(Defect::CommaOrBrace, at),
                }
            }
        }
        self.check_full(maps.close(), start)?;
        self.depth -= 1;
        Ok(at + 1)
    }

    /// Reads the entry whose key is at `at`; returns the position after it. A value of another type
    /// leaves no key behind; of equal keys the first is kept.
    fn entry(
        &mut self,
        maps: &mut MapBuilder<FieldIndex>,
        at: usize,
        path: &Path<'_>,
    ) -> Parsed<usize> {
        let MapBuilder { keys, values, .. } = maps;
        let item = keys.len();
        if item >= MAX_LEN {
            return self.fail(Defect::BatchFull, at);
        }
        let key_bytes = keys.closed_bytes();
        let after = self.text(at + 1, &mut keys.bytes)?;
        let start = self.colon(after)?;
        let start = self.blank(start);
        let key = keys.bytes.get(key_bytes..).unwrap_or_default();
        let first = self.scratch.keys.insert(key);
        let taken = match self.byte(start) {
            _ if !first => None,
            b'n' => Some(self.literal(start, b"null")?),
            _ => self.value(values, item, start, path, PathStep::Index(0))?,
        };
        match taken {
            Some(end) => {
                self.check_full(keys.close(), at)?;
                self.add_cost(cost::MAP_KEY_BYTES + maps.value_bytes, at)?;
                Ok(end)
            }
            None => {
                let end = self.skip(start)?;
                let key = keys.bytes.get(key_bytes..).unwrap_or_default();
                self.scratch.extra.push(path, LastStep::Key(key), start..end);
                keys.discard_open();
                self.check_extra_cost(at)?;
                Ok(end)
            }
        }
    }
}

impl<'a> Parser<'a> {
    /// Reads the number at `at`.
    pub(super) fn number(&mut self, at: usize) -> Parsed<Token<'a>> {
        match Token::read(self.src, at) {
            Ok(token) => Ok(token),
            Err(at) => self.fail(Defect::Number, at),
        }
    }
}
