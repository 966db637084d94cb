//! Values into columns, by the column's kind.

use chrono::{DateTime, Utc};

use super::columns::{Column, Full, Lists, Maps};
use super::extra::{Last, Path, Segment};
use super::number::{self, Token};
use super::parse::{Parsed, Parser};
use super::reject::What;

/// The times that a date can be made of, in milliseconds since the epoch. In microseconds they
/// are far within 64 bits.
const TIMES_MS: std::ops::RangeInclusive<i64> =
    DateTime::<Utc>::MIN_UTC.timestamp_millis()..=DateTime::<Utc>::MAX_UTC.timestamp_millis();

impl Parser<'_> {
    /// The value at `at`, which is no null and no white space, into row `row` of `column`, of
    /// which it has not heard. Gives the position after it; `None` when the value is of another
    /// kind (or no value): then the column is as before.
    #[inline(always)]
    pub(super) fn value(
        &mut self,
        column: &mut Column,
        row: usize,
        at: usize,
        parent: &Path<'_>,
        segment: Segment<'_>,
    ) -> Parsed<Option<usize>> {
        let byte = self.byte(at);
        match column {
            Column::Text(texts) => {
                if byte != b'"' {
                    return Ok(None);
                }
                texts.open(row);
                let end = self.text(at + 1, &mut texts.bytes)?;
                self.room(texts.close(), at)?;
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
            Column::Time(plain) => {
                if let Some((value, end)) = number::short_long(self.src, at)
                    && TIMES_MS.contains(&value)
                {
                    plain.push(row, value * 1000);
                    return Ok(Some(end));
                }
                let Some((value, end)) = self.any_long(at)? else { return Ok(None) };
                if !TIMES_MS.contains(&value) {
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
                self.list(lists, row, at, &parent.to(segment)).map(Some)
            }
            Column::Struct(structs) => {
                if byte != b'{' {
                    return Ok(None);
                }
                self.record(structs, row, at, &parent.to(segment)).map(Some)
            }
            Column::Map(maps) => {
                if byte != b'{' {
                    return Ok(None);
                }
                self.map(maps, row, at, &parent.to(segment)).map(Some)
            }
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

    pub(super) fn room(&mut self, room: Result<(), Full>, at: usize) -> Parsed<()> {
        room.or_else(|Full| self.fail(What::Full, at))
    }

    /// The array whose `[` is at `at`.
    #[inline(never)]
    fn list(&mut self, lists: &mut Lists, row: usize, at: usize, path: &Path<'_>) -> Parsed<usize> {
        lists.open(row);
        let start = at;
        if self.byte(at + 1) == b']' && self.depth < super::parse::MAX_DEPTH {
            self.room(lists.close(), start)?;
            return Ok(at + 2);
        }
        self.down(at)?;
        let mut at = self.blank(at + 1);
        let mut index = 0;
        if self.byte(at) != b']' {
            loop {
                if self.byte(at) <= b' ' {
                    at = self.blank(at);
                }
                if lists.items >= super::columns::LIMIT {
                    return self.fail(What::Full, at);
                }
                if self.byte(at) == b'n' {
                    at = self.literal(at, b"null")?;
                } else {
                    let (item, here) = (lists.items, Segment::Index(index));
                    at = match self.value(&mut lists.values, item, at, path, here)? {
                        Some(after) => after,
                        None => {
                            let end = self.skip(at)?;
                            self.scratch.extra.push(path, Last::Index(index), at..end);
                            self.weigh_extra(at)?;
                            end
                        }
                    };
                }
                self.weigh(lists.element_bytes, at)?;
                lists.items += 1;
                index += 1;
                if self.byte(at) <= b' ' {
                    at = self.blank(at);
                }
                match self.byte(at) {
                    b',' => at += 1,
                    b']' => break,
                    _ => return self.fail(What::CommaOrBracket, at),
                }
            }
        }
        self.room(lists.close(), start)?;
        self.depth -= 1;
        Ok(at + 1)
    }

    /// The object with free keys whose `{` is at `at`.
    #[inline(never)]
    fn map(&mut self, maps: &mut Maps, row: usize, at: usize, path: &Path<'_>) -> Parsed<usize> {
        self.down(at)?;
        maps.open(row);
        let start = at;
        self.scratch.keys.clear();
        let mut at = self.blank(at + 1);
        if self.byte(at) != b'}' {
            loop {
                at = self.blank(at);
                if self.byte(at) != b'"' {
                    return self.fail(What::Key, at);
                }
                at = self.entry(maps, at, path)?;
                at = self.blank(at);
                match self.byte(at) {
                    b',' => at += 1,
                    b'}' => break,
                    _ => return self.fail(What::CommaOrBrace, at),
                }
            }
        }
        self.room(maps.close(), start)?;
        self.depth -= 1;
        Ok(at + 1)
    }

    /// The entry whose key is at `at`. A value that does not fit leaves no key behind; of equal
    /// keys the first is kept.
    fn entry(&mut self, maps: &mut Maps, at: usize, path: &Path<'_>) -> Parsed<usize> {
        let Maps { keys, values, .. } = maps;
        let item = keys.len();
        if item >= super::columns::LIMIT {
            return self.fail(What::Full, at);
        }
        let key_bytes = keys.closed_bytes();
        let after = self.text(at + 1, &mut keys.bytes)?;
        let start = self.colon(after)?;
        let start = self.blank(start);
        let key = keys.bytes.get(key_bytes..).unwrap_or_default();
        let first = self.scratch.keys.insert(key);
        let placed = match self.byte(start) {
            _ if !first => None,
            b'n' => Some(self.literal(start, b"null")?),
            _ => self.value(values, item, start, path, Segment::Index(0))?,
        };
        match placed {
            Some(end) => {
                self.room(keys.close(), at)?;
                self.weigh(maps.entry_bytes, at)?;
                Ok(end)
            }
            None => {
                let end = self.skip(start)?;
                let key = keys.bytes.get(key_bytes..).unwrap_or_default();
                self.scratch.extra.push(path, Last::Key(key), start..end);
                keys.drop_open();
                self.weigh_extra(at)?;
                Ok(end)
            }
        }
    }

    /// The literal at `at`.
    #[inline]
    pub(super) fn literal(&mut self, at: usize, text: &[u8]) -> Parsed<usize> {
        if self.src.get(at..).is_some_and(|rest| rest.starts_with(text)) {
            return Ok(at + text.len());
        }
        self.fail(What::Literal, at)
    }
}

impl<'a> Parser<'a> {
    /// The number at `at`.
    pub(super) fn number(&mut self, at: usize) -> Parsed<Token<'a>> {
        match Token::read(self.src, at) {
            Ok(token) => Ok(token),
            Err(at) => self.fail(What::Number, at),
        }
    }
}
