//! Column buffers: what rows are written to, and how they become Arrow arrays.
//!
//! A column may be shorter than its table: rows it has not heard of are null. They are filled in
//! when the column is next written, or at the end, so that a field that is absent costs its row
//! nothing. Nulls are kept as runs, not bits: a value that follows its predecessor touches its
//! own buffer only. A column never holds anything beyond its last row but string bytes of a value
//! that was not closed, so that cutting it back to a row needs no log of what was done.

use std::sync::Arc;

use crate::schema::{Field, Kind};

use super::cost;
use super::plan::Scope;

mod arrays;

/// Offsets are 32 bits: neither rows, elements nor string bytes of one batch go beyond.
pub(super) const LIMIT: usize = i32::MAX as usize - 1;

/// The buffers of a column are at their limit.
#[derive(Debug)]
pub(super) struct Full;

/// One column, or the elements of a list, or the members of a record.
#[derive(Debug)]
pub(super) enum Column {
    /// Strings.
    Text(Texts),
    /// Integers.
    Long(Plain<i64>),
    /// Doubles.
    Double(Plain<f64>),
    /// Booleans.
    Boolean(Plain<bool>),
    /// Microseconds since the epoch.
    Time(Plain<i64>),
    /// Lists.
    List(Box<Lists>),
    /// Records.
    Struct(Box<Structs>),
    /// Objects with free keys.
    Map(Box<Maps>),
}

/// Runs of null rows, in order, not touching one another.
#[derive(Debug, Default)]
struct Gaps(Vec<(u32, u32)>);

/// Values of one size.
#[derive(Debug, Default)]
pub(super) struct Plain<T> {
    values: Vec<T>,
    gaps: Gaps,
}

/// Strings: where each ends, and their bytes.
#[derive(Debug)]
pub(super) struct Texts {
    /// One more than rows: where each begins, and where the last ends.
    offsets: Vec<i32>,
    /// Bytes of the rows, and of one that is being written.
    pub(super) bytes: Vec<u8>,
    gaps: Gaps,
}

/// Lists: where the elements of each end, and the elements.
#[derive(Debug)]
pub(super) struct Lists {
    offsets: Vec<i32>,
    gaps: Gaps,
    /// How many elements there are, the lagging column's missing nulls among them.
    pub(super) items: usize,
    /// What an element takes, see [`super::cost`].
    pub(super) element_bytes: usize,
    /// The elements.
    pub(super) values: Column,
}

/// Maps: where the entries of each end, and the entries.
#[derive(Debug)]
pub(super) struct Maps {
    offsets: Vec<i32>,
    gaps: Gaps,
    /// What an entry takes, see [`super::cost`].
    pub(super) entry_bytes: usize,
    /// The keys; as many as there are entries.
    pub(super) keys: Texts,
    /// The values; may lag behind the keys.
    pub(super) values: Column,
}

/// Records: one column for each field.
#[derive(Debug)]
pub(super) struct Structs {
    /// Their names.
    pub(super) scope: Arc<Scope>,
    /// For each name, which followed it in the record before; last, which came first.
    pub(super) guesses: Vec<u16>,
    /// The columns, in the schema's order. They may lag behind.
    pub(super) columns: Vec<Column>,
    len: usize,
    gaps: Gaps,
}

impl Gaps {
    /// Makes the rows from `start` up to `end` null; they follow all rows before.
    fn add(&mut self, start: usize, end: usize) {
        // Rows are below LIMIT, which a u32 holds.
        let (start, end) = (start as u32, end as u32);
        match self.0.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => self.0.push((start, end)),
        }
    }

    fn truncate(&mut self, len: usize) {
        let len = len as u32;
        while self.0.last().is_some_and(|gap| gap.0 >= len) {
            self.0.pop();
        }
        if let Some(last) = self.0.last_mut() {
            last.1 = last.1.min(len);
        }
    }
}

impl<T: Copy + Default> Plain<T> {
    /// How many rows it has heard of.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Writes row `row`, which it has not heard of.
    #[inline]
    pub(super) fn push(&mut self, row: usize, value: T) {
        if self.values.len() != row {
            self.pad(row);
        }
        self.values.push(value);
    }

    fn pad(&mut self, rows: usize) {
        if self.values.len() < rows {
            self.gaps.add(self.values.len(), rows);
            self.values.resize(rows, T::default());
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.gaps.truncate(rows);
    }
}

impl Default for Texts {
    fn default() -> Self {
        Texts { offsets: vec![0], bytes: Vec::new(), gaps: Gaps::default() }
    }
}

/// The offset for `len`, which is at most [`LIMIT`].
fn offset(len: usize) -> Result<i32, Full> {
    if len > LIMIT { Err(Full) } else { Ok(len as i32) }
}

/// Repeats the last offset until there are `rows` rows, all null.
fn pad_offsets(offsets: &mut Vec<i32>, gaps: &mut Gaps, rows: usize) {
    let len = offsets.len() - 1;
    if len < rows {
        gaps.add(len, rows);
        let last = offsets.last().copied().unwrap_or(0);
        offsets.resize(rows + 1, last);
    }
}

/// Cuts back to `rows` rows, and says where the last one ends.
fn truncate_offsets(offsets: &mut Vec<i32>, gaps: &mut Gaps, rows: usize) -> usize {
    offsets.truncate(rows + 1);
    gaps.truncate(rows);
    offsets.last().map_or(0, |last| *last as usize)
}

impl Texts {
    /// How many rows it has heard of.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Makes everything before row `row` known, so that its bytes may be written.
    #[inline]
    pub(super) fn open(&mut self, row: usize) {
        if self.len() != row {
            pad_offsets(&mut self.offsets, &mut self.gaps, row);
        }
    }

    /// Ends the row that was opened, with the bytes written since.
    #[inline]
    pub(super) fn close(&mut self) -> Result<(), Full> {
        self.offsets.push(offset(self.bytes.len())?);
        Ok(())
    }

    /// Drops the bytes of a row that was opened and not closed.
    pub(super) fn drop_open(&mut self) {
        self.bytes.truncate(self.closed_bytes());
    }

    /// Where the bytes of the last closed row end, and those of an open one begin.
    pub(super) fn closed_bytes(&self) -> usize {
        self.offsets.last().map_or(0, |last| *last as usize)
    }

    fn truncate(&mut self, rows: usize) {
        let end = truncate_offsets(&mut self.offsets, &mut self.gaps, rows);
        self.bytes.truncate(end);
    }

    /// Cuts back to `rows` rows, if there are more.
    pub(super) fn cut(&mut self, rows: usize) {
        self.truncate(rows);
    }
}

impl Lists {
    /// Makes everything before row `row` known, so that its elements may be written.
    #[inline]
    pub(super) fn open(&mut self, row: usize) {
        if self.offsets.len() - 1 != row {
            pad_offsets(&mut self.offsets, &mut self.gaps, row);
        }
    }

    /// Ends the row that was opened, with the elements written since.
    #[inline]
    pub(super) fn close(&mut self) -> Result<(), Full> {
        self.offsets.push(offset(self.items)?);
        Ok(())
    }
}

impl Maps {
    /// Makes everything before row `row` known, so that its entries may be written.
    pub(super) fn open(&mut self, row: usize) {
        pad_offsets(&mut self.offsets, &mut self.gaps, row);
    }

    /// Ends the row that was opened, with the entries written since.
    pub(super) fn close(&mut self) -> Result<(), Full> {
        self.offsets.push(offset(self.keys.len())?);
        Ok(())
    }
}

impl Structs {
    /// Columns for records with these fields.
    pub(super) fn new(fields: &[Field]) -> Structs {
        let scope = Scope::new(fields);
        Structs {
            guesses: scope.first_guesses(),
            scope: Arc::new(scope),
            columns: fields.iter().map(|field| Column::new(&field.kind)).collect(),
            len: 0,
            gaps: Gaps::default(),
        }
    }

    /// How many rows it has heard of; its columns have heard of no more.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Makes row `row` known, and not null.
    #[inline]
    pub(super) fn open(&mut self, row: usize) {
        self.pad(row);
        self.len = row + 1;
    }

    fn pad(&mut self, rows: usize) {
        if self.len < rows {
            self.gaps.add(self.len, rows);
            self.len = rows;
        }
    }

    /// Cuts all columns back to `rows` rows, those that have more.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.len = self.len.min(rows);
        self.gaps.truncate(rows);
        for column in &mut self.columns {
            column.truncate(rows);
        }
    }
}

impl Column {
    /// An empty column for values of this kind.
    pub(super) fn new(kind: &Kind) -> Column {
        match kind {
            Kind::String => Column::Text(Texts::default()),
            Kind::Long => Column::Long(Plain::default()),
            Kind::Double => Column::Double(Plain::default()),
            Kind::Boolean => Column::Boolean(Plain::default()),
            Kind::TimestampMillis => Column::Time(Plain::default()),
            Kind::List(element) => Column::List(Box::new(Lists {
                offsets: vec![0],
                gaps: Gaps::default(),
                items: 0,
                element_bytes: cost::element_bytes(element),
                values: Column::new(element),
            })),
            Kind::Struct(fields) => Column::Struct(Box::new(Structs::new(fields))),
            Kind::Map(value) => Column::Map(Box::new(Maps {
                offsets: vec![0],
                gaps: Gaps::default(),
                entry_bytes: cost::map_entry_bytes(value),
                keys: Texts::default(),
                values: Column::new(value),
            })),
        }
    }

    /// How many rows it has heard of.
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Column::Text(texts) => texts.len(),
            Column::Long(plain) | Column::Time(plain) => plain.len(),
            Column::Double(plain) => plain.len(),
            Column::Boolean(plain) => plain.len(),
            Column::List(lists) => lists.offsets.len() - 1,
            Column::Struct(structs) => structs.len,
            Column::Map(maps) => maps.offsets.len() - 1,
        }
    }

    /// Makes everything before row `rows` known: null where it was not.
    pub(super) fn pad(&mut self, rows: usize) {
        match self {
            Column::Text(texts) => pad_offsets(&mut texts.offsets, &mut texts.gaps, rows),
            Column::Long(plain) | Column::Time(plain) => plain.pad(rows),
            Column::Double(plain) => plain.pad(rows),
            Column::Boolean(plain) => plain.pad(rows),
            Column::List(lists) => pad_offsets(&mut lists.offsets, &mut lists.gaps, rows),
            Column::Struct(structs) => structs.pad(rows),
            Column::Map(maps) => pad_offsets(&mut maps.offsets, &mut maps.gaps, rows),
        }
    }

    /// Cuts back to `rows` rows, if there are more, and drops what was not closed.
    pub(super) fn truncate(&mut self, rows: usize) {
        match self {
            Column::Text(texts) => texts.truncate(rows),
            Column::Long(plain) | Column::Time(plain) => plain.truncate(rows),
            Column::Double(plain) => plain.truncate(rows),
            Column::Boolean(plain) => plain.truncate(rows),
            Column::List(lists) => {
                lists.items = truncate_offsets(&mut lists.offsets, &mut lists.gaps, rows);
                lists.values.truncate(lists.items);
            }
            Column::Struct(structs) => structs.truncate(rows),
            Column::Map(maps) => {
                let entries = truncate_offsets(&mut maps.offsets, &mut maps.gaps, rows);
                maps.keys.truncate(entries);
                maps.values.truncate(entries);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_back_cuts_runs_of_nulls_too() {
        let mut column = Plain::default();
        column.push(3, 7i64);
        column.push(9, 8);
        column.truncate(6);
        column.push(6, 9);
        let (values, nulls) = column.take(8);
        assert_eq!(values, [0, 0, 0, 7, 0, 0, 9, 0]);
        let valid: Vec<usize> = nulls.unwrap().valid_indices().collect();
        assert_eq!(valid, [3, 6]);
    }
}
