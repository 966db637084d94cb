//! Members of a record that are no columns as they are: objects without a column whose members have
//! one (groups), and members that are entries of a map by their prefix.
//!
//! A group is no value of its own. Of its members, one without a column is in `_extra` under its pointer.
//! Where columns cannot show what the group was, `_extra` has all of it: a value that is no object, a
//! group that has no value, one that comes again. It covers then what the columns say (as the last of
//! equal keys wins), so a value that came under an alias from elsewhere leaves its column for `_extra`.
//!
//! Of members with a prefix, the first of equal names is the entry, of the first map whose values take
//! it; a null is as good as missing.

use super::cost;
use super::extra::{self, LastStep, PathStep};
use super::parser::{Parsed, Parser};
use super::plan::{Beyond, Column, FieldNames, Group, GroupState, Prefix};
use super::reading::{Key, Reading};
use super::reject::Defect;
use crate::columnar::builders::MAX_LEN;

impl Parser<'_> {
    /// Reads the value at `at` of a group; returns the position after it.
    #[cold]
    #[inline(never)]
    pub(super) fn group(
        &mut self,
        group: &mut Group,
        columns: &mut [Column],
        at: usize,
        record: Reading<'_>,
    ) -> Parsed<usize> {
        let start = self.blank(at);
        let byte = self.byte(start);
        if group.state == GroupState::Absent && byte == b'n' {
            return self.literal(start, b"null");
        }
        if group.state == GroupState::Absent && byte == b'{' {
            group.state = GroupState::Taken;
            let entries = self.scratch.extra.len();
            let path = record.path.to(PathStep::Field(&group.pointer));
            self.descend(start)?;
            let end = self.members(&mut group.index, columns, start, &path, record)?;
            self.depth -= 1;
            if self.scratch.extra.len() > entries || self.shows(group, columns, record) {
                return Ok(end);
            }
        }
        group.state = GroupState::Whole;
        let end = self.skip(start)?;
        self.scratch.extra.push(record.path, LastStep::Field(&group.pointer), start..end);
        self.check_extra_cost(start)?;
        Ok(end)
    }

    /// Returns whether a column has a value that came under its current name through the group.
    fn shows(&self, group: &Group, columns: &[Column], record: Reading<'_>) -> bool {
        let aliased = self.scratch.aliased.get(record.first_aliased..).unwrap_or_default();
        group.fields.iter().any(|field| {
            let has_value = columns.get(*field).is_some_and(|column| column.has_value(record.row));
            has_value && !aliased.iter().any(|aliased| aliased.field == *field)
        })
    }

    /// Reads the value of a member without a column, whose key is at `key_at` and whose colon ends at
    /// `at`, into a map by the prefix of its name or into `_extra`; returns the position after it.
    #[cold]
    #[inline(never)]
    pub(super) fn beyond(
        &mut self,
        key: Key,
        key_at: usize,
        at: usize,
        beyond: &mut Beyond,
        columns: &mut [Column],
        record: Reading<'_>,
    ) -> Parsed<usize> {
        let escaped = std::mem::take(&mut self.scratch.key);
        let src = self.src;
        let name = match &key {
            Key::Plain(range) => src.get(range.clone()).unwrap_or_default(),
            _ => &escaped,
        };
        let found = beyond.prefixes.iter_mut().find(|prefix| name.starts_with(&prefix.text));
        let taken = match found {
            Some(prefix) => {
                let key = name.get(prefix.text.len()..).unwrap_or_default();
                self.prefixed(key, at, prefix, columns, record)
            }
            None => Ok(None),
        };
        self.scratch.key = escaped;
        match taken? {
            Some(end) => Ok(end),
            None => self.unknown(key, key_at, at, record.path, &mut extra::Prefix::default()),
        }
    }

    /// Reads the value at `at` of the entry `key`; `None` when it goes to `_extra`.
    fn prefixed(
        &mut self,
        key: &[u8],
        at: usize,
        prefix: &mut Prefix,
        columns: &mut [Column],
        Reading { row, path, .. }: Reading<'_>,
    ) -> Parsed<Option<usize>> {
        let start = self.blank(at);
        if self.byte(start) == b'n' && !prefix.keys.contains(key) {
            return self.literal(start, b"null").map(Some);
        }
        if !prefix.keys.insert(key) {
            return Ok(None);
        }
        for column in &prefix.columns {
            let Some(Column::Map(maps)) = columns.get_mut(*column) else { continue };
            let item = maps.keys.len();
            if item >= MAX_LEN {
                return self.fail(Defect::BatchFull, start);
            }
            maps.open(row);
            if let Some(end) =
                self.value(&mut maps.values, item, start, path, PathStep::Index(0))?
            {
                maps.keys.open(item);
                maps.keys.bytes.extend_from_slice(key);
                let closed = maps.keys.close();
                self.check_full(closed, start)?;
                self.add_cost(cost::MAP_KEY_BYTES + maps.value_bytes, start)?;
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// Ends a record.
    #[cold]
    #[inline(never)]
    pub(super) fn settle(
        &mut self,
        beyond: &Beyond,
        names: &FieldNames,
        columns: &mut [Column],
        at: usize,
        record: Reading<'_>,
    ) -> Parsed<()> {
        let mut number = record.first_aliased;
        while let Some(aliased) = self.scratch.aliased.get(number) {
            if !aliased.fitted || !beyond.covers(aliased.field) {
                number += 1;
                continue;
            }
            let aliased = self.scratch.aliased.swap_remove(number);
            self.displace_alias(&aliased, names, record.path);
            if let Some(column) = columns.get_mut(aliased.field) {
                column.truncate(record.row);
            }
        }
        for column in beyond.prefixes.iter().flat_map(|prefix| &prefix.columns) {
            if let Some(Column::Map(maps)) = columns.get_mut(*column)
                && maps.has_open_entries()
            {
                let closed = maps.close();
                self.check_full(closed, at)?;
            }
        }
        Ok(())
    }
}
