//! The end of a batch: builders are padded, their buffers handed to Arrow as they are, and begun
//! anew.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, MapArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::{ColumnBuilder, NullRuns, PrimitiveBuilder, StringBuilder, StructBuilder, pad_offsets};
use crate::columnar::null_arrays::{is_null, null_array};
use crate::columnar::types::UTC;

impl NullRuns {
    /// Returns the Arrow validity of `len` rows, and forgets all runs.
    pub(super) fn finish(&mut self, len: usize) -> Option<NullBuffer> {
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

/// Takes the vector, and leaves an empty one with capacity for as much again.
fn fresh<T>(old: &mut Vec<T>) -> Vec<T> {
    let capacity = old.len() + old.len() / 16;
    std::mem::replace(old, Vec::with_capacity(capacity))
}

impl<T: Copy + Default> PrimitiveBuilder<T> {
    pub(super) fn finish(&mut self, rows: usize) -> (Vec<T>, Option<NullBuffer>) {
        self.pad(rows);
        (fresh(&mut self.values), self.nulls.finish(rows))
    }
}

fn finish_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = fresh(offsets);
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(taken))
}

impl StringBuilder {
    /// Returns the array of `rows` rows, and begins anew.
    ///
    /// # Errors
    /// Bytes that are no UTF-8.
    pub(crate) fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        pad_offsets(&mut self.offsets, &mut self.nulls, rows);
        let bytes = Buffer::from_vec(fresh(&mut self.bytes));
        let (offsets, nulls) = (finish_offsets(&mut self.offsets), self.nulls.finish(rows));
        Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls)?))
    }
}

impl<R> StructBuilder<R> {
    /// Returns the arrays of `rows` rows, one for each field, and begins anew. `types` are those
    /// that [`Kind::arrow`](crate::schema::Kind::arrow) gives the fields.
    ///
    /// # Errors
    /// A type that is not the field's, or strings that are no UTF-8.
    pub(crate) fn finish<'a>(
        &mut self,
        rows: usize,
        types: impl Iterator<Item = &'a DataType>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        self.len = 0;
        let mut nanos: Vec<(usize, PrimitiveBuilder<i64>)> = Vec::new();
        for (place, column) in self.columns.iter_mut().enumerate() {
            if let ColumnBuilder::Formed(formed) = column
                && let Some(beyond) = &mut formed.nanos
            {
                nanos.push((place, std::mem::take(beyond)));
            }
        }
        let column = |(column, kind): (&mut ColumnBuilder<R>, &DataType)| match column {
            ColumnBuilder::NanosOf(time) => {
                let of = nanos.iter_mut().find(|(place, _)| place == time);
                let Some((_, beyond)) = of.filter(|(_, beyond)| beyond.len() > 0) else {
                    return null_array(kind, rows);
                };
                let (values, nulls) = beyond.finish(rows);
                let array: ArrayRef = Arc::new(Int64Array::try_new(values.into(), nulls)?);
                Ok(array)
            }
            column => column.finish(rows, kind),
        };
        self.columns.iter_mut().zip(types).map(column).collect()
    }
}

impl<R> ColumnBuilder<R> {
    /// Returns the array of `rows` rows of type `kind`, and begins anew.
    fn finish(&mut self, rows: usize, kind: &DataType) -> Result<ArrayRef, ArrowError> {
        if self.len() == 0 {
            self.release();
            return null_array(kind, rows);
        }
        let array = self.finish_values(rows, kind)?;
        // Values that were cut back may have left buffers of any size behind.
        if is_null(&array) { null_array(kind, rows) } else { Ok(array) }
    }

    /// Frees the buffers of values that were all cut back.
    fn release(&mut self) {
        match self {
            ColumnBuilder::String(strings) => *strings = StringBuilder::default(),
            ColumnBuilder::Long(plain) | ColumnBuilder::Timestamp(plain) => {
                plain.values = Vec::new()
            }
            ColumnBuilder::Double(plain) => plain.values = Vec::new(),
            ColumnBuilder::Boolean(plain) => plain.values = Vec::new(),
            ColumnBuilder::List(lists) => {
                lists.offsets = vec![0];
                lists.items = 0;
                lists.values.release();
            }
            ColumnBuilder::Struct(structs) => {
                structs.columns.iter_mut().for_each(ColumnBuilder::release)
            }
            ColumnBuilder::Map(maps) => {
                maps.offsets = vec![0];
                maps.keys = StringBuilder::default();
                maps.values.release();
            }
            ColumnBuilder::Formed(formed) => formed.column.release(),
            ColumnBuilder::NanosOf(_) => {}
        }
    }

    fn finish_values(&mut self, rows: usize, kind: &DataType) -> Result<ArrayRef, ArrowError> {
        Ok(match (self, kind) {
            (ColumnBuilder::String(strings), _) => strings.finish(rows)?,
            (ColumnBuilder::Formed(formed), _) => formed.column.finish_values(rows, kind)?,
            (ColumnBuilder::Long(plain), _) => {
                let (values, nulls) = plain.finish(rows);
                Arc::new(Int64Array::try_new(values.into(), nulls)?)
            }
            (ColumnBuilder::Timestamp(plain), DataType::Timestamp(_, zone)) => {
                let (values, nulls) = plain.finish(rows);
                let array = TimestampMicrosecondArray::try_new(values.into(), nulls)?;
                Arc::new(array.with_timezone_opt(zone.clone()))
            }
            (ColumnBuilder::Double(plain), _) => {
                let (values, nulls) = plain.finish(rows);
                Arc::new(Float64Array::try_new(values.into(), nulls)?)
            }
            (ColumnBuilder::Boolean(plain), _) => {
                let (values, nulls) = plain.finish(rows);
                Arc::new(BooleanArray::new(values.into(), nulls))
            }
            (ColumnBuilder::List(lists), DataType::List(element)) => {
                pad_offsets(&mut lists.offsets, &mut lists.nulls, rows);
                let values = lists.values.finish(lists.items, element.data_type())?;
                lists.items = 0;
                let (offsets, nulls) =
                    (finish_offsets(&mut lists.offsets), lists.nulls.finish(rows));
                Arc::new(ListArray::try_new(element.clone(), offsets, values, nulls)?)
            }
            (ColumnBuilder::Struct(structs), DataType::Struct(fields)) => {
                structs.pad(rows);
                let nulls = structs.nulls.finish(rows);
                let columns = structs.finish(rows, fields.iter().map(|field| field.data_type()))?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, rows)?)
            }
            (ColumnBuilder::Map(maps), DataType::Map(entries, sorted)) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(mismatch(kind));
                };
                let [_, value] = fields.as_ref() else { return Err(mismatch(kind)) };
                pad_offsets(&mut maps.offsets, &mut maps.nulls, rows);
                let count = maps.keys.len();
                let values = maps.values.finish(count, value.data_type())?;
                let columns = vec![maps.keys.finish(count)?, values];
                let pairs = StructArray::try_new_with_length(fields.clone(), columns, None, count)?;
                let (offsets, nulls) = (finish_offsets(&mut maps.offsets), maps.nulls.finish(rows));
                Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted)?)
            }
            _ => return Err(mismatch(kind)),
        })
    }
}

fn mismatch(kind: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("a column builder of another type than {kind}"))
}

/// Returns `micros`, microseconds since the epoch, as an array of the type that
/// [`Kind::TimestampMillis`](crate::schema::Kind::TimestampMillis) has.
pub(crate) fn timestamps(micros: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone(UTC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_nulls_become_validity_bits() {
        for (len, runs) in [
            (1, vec![(0, 1)]),
            (20, vec![(0, 3), (7, 9), (10, 20)]),
            (64, vec![(1, 2), (3, 4), (8, 40), (63, 64)]),
            (9, vec![(8, 9)]),
            (8, vec![(7, 8)]),
        ] {
            let mut kept = NullRuns::default();
            for (start, end) in &runs {
                kept.add(*start, *end);
            }
            let nulls = kept.finish(len).unwrap();
            let is_null = |row| runs.iter().any(|(start, end)| (*start..*end).contains(&row));
            for row in 0..len {
                assert_eq!(nulls.is_null(row), is_null(row), "row {row} of {runs:?}");
            }
            assert_eq!(nulls.len(), len);
        }
    }
}
