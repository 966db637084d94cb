//! Column builders: append-only buffers by [`Kind`] that become Arrow arrays without a copy.
//!
//! A builder may be shorter than its table: the rows that it lacks are null. They are padded when a
//! later row is written, or at the end, so that an absent field costs its row nothing. Nulls are
//! kept as runs, not bits: a value that follows its predecessor touches its own buffer only.
//! A builder never holds anything beyond its last row but the string bytes of a value that was not
//! closed, so that cutting it back to a row needs no undo log.
//!
//! `R` is what the reader of records keeps with each of them, such as an index of its field names.

use crate::schema::{Field, Form, Kind};

use super::sizes::element_bytes;

mod finish;
mod formed;

pub(crate) use finish::timestamps;
pub(crate) use formed::FormedBuilder;

/// The most rows, elements and string bytes of one column: Arrow's offsets have 32 bits.
pub(crate) const MAX_LEN: usize = i32::MAX as usize - 1;

/// The buffers of a column are at [`MAX_LEN`].
#[derive(Debug)]
pub(crate) struct Full;

/// The builder of one column, of the elements of a list, or of a member of a record.
#[derive(Debug)]
pub(crate) enum ColumnBuilder<R> {
    /// UTF-8 text.
    String(StringBuilder),
    /// 64-bit integers.
    Long(PrimitiveBuilder<i64>),
    /// IEEE 754 doubles.
    Double(PrimitiveBuilder<f64>),
    /// Booleans.
    Boolean(PrimitiveBuilder<bool>),
    /// Microseconds since the epoch.
    Timestamp(PrimitiveBuilder<i64>),
    /// Lists.
    List(Box<ListBuilder<R>>),
    /// Records.
    Struct(Box<StructBuilder<R>>),
    /// Objects with free keys.
    Map(Box<MapBuilder<R>>),
    /// Numbers, booleans or times that come in the forms of their field.
    Formed(Box<FormedBuilder<R>>),
    /// The nanoseconds of the time in the column of this index, which the builder of that one has.
    NanosOf(usize),
}

/// Runs of null rows, in order, not touching one another.
#[derive(Debug, Default)]
struct NullRuns(Vec<(u32, u32)>);

/// Values of one size.
#[derive(Debug, Default)]
pub(crate) struct PrimitiveBuilder<T> {
    values: Vec<T>,
    nulls: NullRuns,
}

/// Strings: their bytes, and the offsets where they end.
#[derive(Debug)]
pub(crate) struct StringBuilder {
    /// One more than rows: the beginning of each, and the end of the last.
    offsets: Vec<i32>,
    /// The bytes of the rows, and of one that is open.
    pub(crate) bytes: Vec<u8>,
    nulls: NullRuns,
}

/// Lists: their elements, and the offsets where they end.
#[derive(Debug)]
pub(crate) struct ListBuilder<R> {
    offsets: Vec<i32>,
    nulls: NullRuns,
    /// The number of elements, the nulls that `values` lacks among them.
    pub(crate) items: usize,
    /// Memory of one element, null or not; see [`element_bytes`].
    pub(crate) element_bytes: usize,
    /// The elements; it may be shorter than `items`.
    pub(crate) values: ColumnBuilder<R>,
}

/// Maps: their entries, and the offsets where they end.
#[derive(Debug)]
pub(crate) struct MapBuilder<R> {
    offsets: Vec<i32>,
    nulls: NullRuns,
    /// Memory of one value, null or not; see [`element_bytes`].
    pub(crate) value_bytes: usize,
    /// The keys, one for each entry.
    pub(crate) keys: StringBuilder,
    /// The values; it may be shorter than `keys`.
    pub(crate) values: ColumnBuilder<R>,
}

/// Records: a builder for each field.
#[derive(Debug)]
pub(crate) struct StructBuilder<R> {
    /// The state of the reader for records of this type.
    pub(crate) reader: R,
    /// The fields, in the schema's order. They may be shorter than the record.
    pub(crate) columns: Vec<ColumnBuilder<R>>,
    len: usize,
    nulls: NullRuns,
}

impl NullRuns {
    /// Makes the rows from `start` up to `end` null; they follow all rows before.
    fn add(&mut self, start: usize, end: usize) {
        // Rows are at most MAX_LEN, which a u32 holds.
        let (start, end) = (start as u32, end as u32);
        match self.0.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => self.0.push((start, end)),
        }
    }

    /// Tells whether the last of `len` rows is null.
    fn end_at(&self, len: usize) -> bool {
        self.0.last().is_some_and(|run| run.1 as usize == len)
    }

    fn truncate(&mut self, len: usize) {
        let len = len as u32;
        while self.0.last().is_some_and(|run| run.0 >= len) {
            self.0.pop();
        }
        if let Some(last) = self.0.last_mut() {
            last.1 = last.1.min(len);
        }
    }
}

impl<T: Copy + Default> PrimitiveBuilder<T> {
    /// Returns the number of rows so far.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Appends row `row`; the rows that are missing before it become null.
    #[inline]
    pub(crate) fn push(&mut self, row: usize, value: T) {
        if self.values.len() != row {
            self.pad(row);
        }
        self.values.push(value);
    }

    /// Returns the value of the last row if that is `row`, and has one.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<T> {
        let null = self.nulls.end_at(self.values.len());
        self.values.get(row).copied().filter(|_| self.values.len() == row + 1 && !null)
    }

    fn pad(&mut self, rows: usize) {
        if self.values.len() < rows {
            self.nulls.add(self.values.len(), rows);
            self.values.resize(rows, T::default());
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }
}

impl Default for StringBuilder {
    fn default() -> Self {
        StringBuilder { offsets: vec![0], bytes: Vec::new(), nulls: NullRuns::default() }
    }
}

/// Returns `len` as an offset, if it is at most [`MAX_LEN`].
fn offset(len: usize) -> Result<i32, Full> {
    if len > MAX_LEN { Err(Full) } else { Ok(len as i32) }
}

/// Repeats the last offset until there are `rows` rows, all null.
fn pad_offsets(offsets: &mut Vec<i32>, nulls: &mut NullRuns, rows: usize) {
    let len = offsets.len() - 1;
    if len < rows {
        nulls.add(len, rows);
        let last = offsets.last().copied().unwrap_or(0);
        offsets.resize(rows + 1, last);
    }
}

/// Cuts back to `rows` rows, and returns the end of the last one.
fn truncate_offsets(offsets: &mut Vec<i32>, nulls: &mut NullRuns, rows: usize) -> usize {
    offsets.truncate(rows + 1);
    nulls.truncate(rows);
    offsets.last().map_or(0, |last| *last as usize)
}

impl StringBuilder {
    /// Returns the number of closed rows.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Opens row `row` for bytes; the rows that are missing before it become null.
    #[inline]
    pub(crate) fn open(&mut self, row: usize) {
        if self.len() != row {
            pad_offsets(&mut self.offsets, &mut self.nulls, row);
        }
    }

    /// Ends the open row after the bytes written so far.
    ///
    /// # Errors
    /// [`Full`]; the row is still open then.
    #[inline]
    pub(crate) fn close(&mut self) -> Result<(), Full> {
        self.offsets.push(offset(self.bytes.len())?);
        Ok(())
    }

    /// Drops the bytes of the open row.
    pub(crate) fn discard_open(&mut self) {
        self.bytes.truncate(self.closed_bytes());
    }

    /// Returns the bytes of all closed rows, after which those of the open one begin.
    pub(crate) fn closed_bytes(&self) -> usize {
        self.offsets.last().map_or(0, |last| *last as usize)
    }

    /// Cuts back to `rows` rows, if there are more, and drops the bytes of an open row.
    pub(crate) fn truncate(&mut self, rows: usize) {
        let end = truncate_offsets(&mut self.offsets, &mut self.nulls, rows);
        self.bytes.truncate(end);
    }
}

impl<R> ListBuilder<R> {
    /// Returns the number of closed rows.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Opens row `row` for elements; the rows that are missing before it become null.
    #[inline]
    pub(crate) fn open(&mut self, row: usize) {
        if self.offsets.len() - 1 != row {
            pad_offsets(&mut self.offsets, &mut self.nulls, row);
        }
    }

    /// Ends the open row after the elements counted so far.
    ///
    /// # Errors
    /// [`Full`]; the row is still open then.
    #[inline]
    pub(crate) fn close(&mut self) -> Result<(), Full> {
        self.offsets.push(offset(self.items)?);
        Ok(())
    }
}

impl<R> MapBuilder<R> {
    /// Opens row `row` for entries; the rows that are missing before it become null.
    pub(crate) fn open(&mut self, row: usize) {
        pad_offsets(&mut self.offsets, &mut self.nulls, row);
    }

    /// Tells whether entries were written since the last row was closed.
    pub(crate) fn has_open_entries(&self) -> bool {
        self.offsets.last().is_some_and(|end| self.keys.len() > *end as usize)
    }

    /// Ends the open row after the keys written so far.
    ///
    /// # Errors
    /// [`Full`]; the row is still open then.
    pub(crate) fn close(&mut self) -> Result<(), Full> {
        self.offsets.push(offset(self.keys.len())?);
        Ok(())
    }
}

impl<R> StructBuilder<R> {
    /// Creates the builders of records with `fields`. `reader` makes the state of the reader for
    /// each type of record, here and below.
    pub(crate) fn new(fields: &[Field], reader: &impl Fn(&[Field]) -> R) -> StructBuilder<R> {
        StructBuilder {
            reader: reader(fields),
            columns: fields.iter().map(|field| ColumnBuilder::of(field, fields, reader)).collect(),
            len: 0,
            nulls: NullRuns::default(),
        }
    }

    /// Returns the number of rows so far; no column has more.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends row `row`, not null; the rows that are missing before it become null.
    #[inline]
    pub(crate) fn open(&mut self, row: usize) {
        self.pad(row);
        self.len = row + 1;
    }

    #[inline]
    fn pad(&mut self, rows: usize) {
        if self.len < rows {
            self.nulls.add(self.len, rows);
            self.len = rows;
        }
    }

    /// Cuts back to `rows` rows, if there are more, with all columns.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.len = self.len.min(rows);
        self.nulls.truncate(rows);
        for column in &mut self.columns {
            column.truncate(rows);
        }
    }
}

impl<R> ColumnBuilder<R> {
    /// Creates an empty builder for `field`, one of `fields`; for `reader` see [`StructBuilder::new`].
    fn of(field: &Field, fields: &[Field], reader: &impl Fn(&[Field]) -> R) -> ColumnBuilder<R> {
        if let Some(time) = &field.json.nanos_of {
            let time = fields.iter().position(|other| other.name == *time);
            return ColumnBuilder::NanosOf(time.unwrap_or(usize::MAX));
        }
        let mut builder = ColumnBuilder::new(&field.kind, &field.from, reader);
        if let ColumnBuilder::Formed(formed) = &mut builder {
            let has_nanos =
                fields.iter().any(|other| other.json.nanos_of.as_ref() == Some(&field.name));
            formed.nanos = has_nanos.then(PrimitiveBuilder::default);
        }
        builder
    }

    /// Creates an empty builder for values of `kind`, whose scalars come in the forms `from`; for
    /// `reader` see [`StructBuilder::new`].
    fn new(kind: &Kind, from: &[Form], reader: &impl Fn(&[Field]) -> R) -> ColumnBuilder<R> {
        match kind {
            Kind::Long | Kind::Double | Kind::Boolean | Kind::TimestampMillis
                if !from.is_empty() =>
            {
                let column = ColumnBuilder::new(kind, &[], reader);
                ColumnBuilder::Formed(Box::new(FormedBuilder::new(column, from)))
            }
            Kind::String => ColumnBuilder::String(StringBuilder::default()),
            Kind::Long => ColumnBuilder::Long(PrimitiveBuilder::default()),
            Kind::Double => ColumnBuilder::Double(PrimitiveBuilder::default()),
            Kind::Boolean => ColumnBuilder::Boolean(PrimitiveBuilder::default()),
            Kind::TimestampMillis => ColumnBuilder::Timestamp(PrimitiveBuilder::default()),
            Kind::List(element) => ColumnBuilder::List(Box::new(ListBuilder {
                offsets: vec![0],
                nulls: NullRuns::default(),
                items: 0,
                element_bytes: element_bytes(element),
                values: ColumnBuilder::new(element, from, reader),
            })),
            Kind::Struct(fields) => {
                ColumnBuilder::Struct(Box::new(StructBuilder::new(fields, reader)))
            }
            Kind::Map(value) => ColumnBuilder::Map(Box::new(MapBuilder {
                offsets: vec![0],
                nulls: NullRuns::default(),
                value_bytes: element_bytes(value),
                keys: StringBuilder::default(),
                values: ColumnBuilder::new(value, from, reader),
            })),
        }
    }

    /// Returns the number of rows so far.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            ColumnBuilder::String(strings) => strings.len(),
            ColumnBuilder::Long(plain) | ColumnBuilder::Timestamp(plain) => plain.len(),
            ColumnBuilder::Double(plain) => plain.len(),
            ColumnBuilder::Boolean(plain) => plain.len(),
            ColumnBuilder::List(lists) => lists.offsets.len() - 1,
            ColumnBuilder::Struct(structs) => structs.len,
            ColumnBuilder::Map(maps) => maps.offsets.len() - 1,
            ColumnBuilder::Formed(formed) => formed.column.len(),
            ColumnBuilder::NanosOf(_) => 0,
        }
    }

    /// Tells whether row `row` is the last one, and not null.
    pub(crate) fn has_value(&self, row: usize) -> bool {
        let nulls = match self {
            ColumnBuilder::String(strings) => &strings.nulls,
            ColumnBuilder::Long(plain) | ColumnBuilder::Timestamp(plain) => &plain.nulls,
            ColumnBuilder::Double(plain) => &plain.nulls,
            ColumnBuilder::Boolean(plain) => &plain.nulls,
            ColumnBuilder::List(lists) => &lists.nulls,
            ColumnBuilder::Struct(structs) => &structs.nulls,
            ColumnBuilder::Map(maps) => &maps.nulls,
            ColumnBuilder::Formed(formed) => return formed.column.has_value(row),
            ColumnBuilder::NanosOf(_) => return false,
        };
        self.len() == row + 1 && !nulls.end_at(row + 1)
    }

    /// Returns the time in row `row`, in microseconds since the epoch, if that is the last row.
    pub(crate) fn time(&self, row: usize) -> Option<i64> {
        match self {
            ColumnBuilder::Timestamp(times) => times.get(row),
            ColumnBuilder::Formed(formed) => formed.column.time(row),
            _ => None,
        }
    }

    /// Appends nulls until there are `rows` rows.
    pub(crate) fn pad(&mut self, rows: usize) {
        match self {
            ColumnBuilder::String(strings) => {
                pad_offsets(&mut strings.offsets, &mut strings.nulls, rows);
            }
            ColumnBuilder::Long(plain) | ColumnBuilder::Timestamp(plain) => plain.pad(rows),
            ColumnBuilder::Double(plain) => plain.pad(rows),
            ColumnBuilder::Boolean(plain) => plain.pad(rows),
            ColumnBuilder::List(lists) => pad_offsets(&mut lists.offsets, &mut lists.nulls, rows),
            ColumnBuilder::Struct(structs) => structs.pad(rows),
            ColumnBuilder::Map(maps) => pad_offsets(&mut maps.offsets, &mut maps.nulls, rows),
            ColumnBuilder::Formed(formed) => formed.column.pad(rows),
            ColumnBuilder::NanosOf(_) => {}
        }
    }

    /// Cuts back to `rows` rows, if there are more, and drops what was not closed.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match self {
            ColumnBuilder::String(strings) => strings.truncate(rows),
            ColumnBuilder::Long(plain) | ColumnBuilder::Timestamp(plain) => plain.truncate(rows),
            ColumnBuilder::Double(plain) => plain.truncate(rows),
            ColumnBuilder::Boolean(plain) => plain.truncate(rows),
            ColumnBuilder::List(lists) => {
                lists.items = truncate_offsets(&mut lists.offsets, &mut lists.nulls, rows);
                lists.values.truncate(lists.items);
            }
            ColumnBuilder::Struct(structs) => structs.truncate(rows),
            ColumnBuilder::Map(maps) => {
                let entries = truncate_offsets(&mut maps.offsets, &mut maps.nulls, rows);
                maps.keys.truncate(entries);
                maps.values.truncate(entries);
            }
            ColumnBuilder::Formed(formed) => formed.truncate(rows),
            ColumnBuilder::NanosOf(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_back_cuts_runs_of_nulls_too() {
        let mut column = PrimitiveBuilder::default();
        column.push(3, 7i64);
        column.push(9, 8);
        column.truncate(6);
        column.push(6, 9);
        let (values, nulls) = column.finish(8);
        assert_eq!(values, [0, 0, 0, 7, 0, 0, 9, 0]);
        let valid: Vec<usize> = nulls.unwrap().valid_indices().collect();
        assert_eq!(valid, [3, 6]);
    }
}
