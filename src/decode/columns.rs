//! Column buffers: what rows are written to, and how they become Arrow arrays.
//!
//! A column may be shorter than its table: rows it has not heard of are null. They are filled in
//! when the column is next written, or at the end, so that a field that is absent costs its row
//! nothing. Nulls are kept as runs, not bits: a value that follows its predecessor touches its
//! own buffer only. A column never holds anything beyond its last row but string bytes of a value
//! that was not closed, so that cutting it back to a row needs no log of what was done.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, MapArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::schema::{Field, Kind};

use super::plan::Scope;

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
    /// The elements.
    pub(super) values: Column,
}

/// Maps: where the entries of each end, and the entries.
#[derive(Debug)]
pub(super) struct Maps {
    offsets: Vec<i32>,
    gaps: Gaps,
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

    /// The Arrow validity of `len` rows, and no gaps any more.
    fn take(&mut self, len: usize) -> Option<NullBuffer> {
        if self.0.is_empty() {
            return None;
        }
        if matches!(self.0.as_slice(), [(0, end)] if *end as usize >= len) {
            self.0.clear();
            return Some(NullBuffer::new_null(len));
        }
        let mut bits = vec![u8::MAX; len.div_ceil(8)];
        for (start, end) in self.0.drain(..) {
            clear(&mut bits, start as usize, end as usize);
        }
        Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, len)))
    }
}

/// Clears the bits from `start` up to `end`.
fn clear(bits: &mut [u8], start: usize, end: usize) {
    let (first, last) = (start / 8, end / 8);
    let (below, above) = (!(u8::MAX << (start % 8)), u8::MAX << (end % 8));
    if first == last {
        bits[first] &= below | above;
        return;
    }
    bits[first] &= below;
    bits[first + 1..last].fill(0);
    if let Some(byte) = bits.get_mut(last) {
        *byte &= above;
    }
}

/// An empty vector with room for what the last one held.
fn fresh<T>(old: &mut Vec<T>) -> Vec<T> {
    let room = old.len() + old.len() / 16;
    std::mem::replace(old, Vec::with_capacity(room))
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

    fn take(&mut self, rows: usize) -> (Vec<T>, Option<NullBuffer>) {
        self.pad(rows);
        (fresh(&mut self.values), self.gaps.take(rows))
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

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = fresh(offsets);
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(taken))
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

    /// The array of `rows` rows.
    pub(super) fn take(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        pad_offsets(&mut self.offsets, &mut self.gaps, rows);
        let bytes = Buffer::from_vec(fresh(&mut self.bytes));
        let (offsets, nulls) = (take_offsets(&mut self.offsets), self.gaps.take(rows));
        Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls)?))
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

    /// The arrays of `rows` rows, of these types.
    pub(super) fn take<'a>(
        &mut self,
        rows: usize,
        types: impl Iterator<Item = &'a DataType>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        self.len = 0;
        self.columns.iter_mut().zip(types).map(|(column, kind)| column.take(rows, kind)).collect()
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
                values: Column::new(element),
            })),
            Kind::Struct(fields) => Column::Struct(Box::new(Structs::new(fields))),
            Kind::Map(value) => Column::Map(Box::new(Maps {
                offsets: vec![0],
                gaps: Gaps::default(),
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

    /// The array of `rows` rows of this type, which is the one that the schema gives the column.
    fn take(&mut self, rows: usize, kind: &DataType) -> Result<ArrayRef, ArrowError> {
        Ok(match (self, kind) {
            (Column::Text(texts), _) => texts.take(rows)?,
            (Column::Long(plain), _) => {
                let (values, nulls) = plain.take(rows);
                Arc::new(Int64Array::try_new(values.into(), nulls)?)
            }
            (Column::Time(plain), DataType::Timestamp(_, zone)) => {
                let (values, nulls) = plain.take(rows);
                let array = TimestampMicrosecondArray::try_new(values.into(), nulls)?;
                Arc::new(array.with_timezone_opt(zone.clone()))
            }
            (Column::Double(plain), _) => {
                let (values, nulls) = plain.take(rows);
                Arc::new(Float64Array::try_new(values.into(), nulls)?)
            }
            (Column::Boolean(plain), _) => {
                let (values, nulls) = plain.take(rows);
                Arc::new(BooleanArray::new(values.into(), nulls))
            }
            (Column::List(lists), DataType::List(element)) => {
                pad_offsets(&mut lists.offsets, &mut lists.gaps, rows);
                let values = lists.values.take(lists.items, element.data_type())?;
                lists.items = 0;
                let (offsets, nulls) = (take_offsets(&mut lists.offsets), lists.gaps.take(rows));
                Arc::new(ListArray::try_new(element.clone(), offsets, values, nulls)?)
            }
            (Column::Struct(structs), DataType::Struct(fields)) => {
                structs.pad(rows);
                let nulls = structs.gaps.take(rows);
                let columns = structs.take(rows, fields.iter().map(|field| field.data_type()))?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, rows)?)
            }
            (Column::Map(maps), DataType::Map(entries, sorted)) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(mismatch(kind));
                };
                let [_, value] = fields.as_ref() else { return Err(mismatch(kind)) };
                pad_offsets(&mut maps.offsets, &mut maps.gaps, rows);
                let count = maps.keys.len();
                let values = maps.values.take(count, value.data_type())?;
                let columns = vec![maps.keys.take(count)?, values];
                let pairs = StructArray::try_new_with_length(fields.clone(), columns, None, count)?;
                let (offsets, nulls) = (take_offsets(&mut maps.offsets), maps.gaps.take(rows));
                Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted)?)
            }
            _ => return Err(mismatch(kind)),
        })
    }
}

fn mismatch(kind: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("a column that is no {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_become_validity_bits() {
        for (len, gaps) in [
            (1, vec![(0, 1)]),
            (20, vec![(0, 3), (7, 9), (10, 20)]),
            (64, vec![(1, 2), (3, 4), (8, 40), (63, 64)]),
            (9, vec![(8, 9)]),
            (8, vec![(7, 8)]),
        ] {
            let mut kept = Gaps::default();
            for (start, end) in &gaps {
                kept.add(*start, *end);
            }
            let nulls = kept.take(len).unwrap();
            let is_gap = |row| gaps.iter().any(|(start, end)| (*start..*end).contains(&row));
            for row in 0..len {
                assert_eq!(nulls.is_null(row), is_gap(row), "row {row} of {gaps:?}");
            }
            assert_eq!(nulls.len(), len);
        }
    }

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
