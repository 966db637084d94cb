//! Columns at the end of a batch: padded, handed to Arrow as they are, and begun anew.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, MapArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::columnar::arrays::{is_null, null_array};

use super::{Column, Gaps, Plain, Structs, Texts, pad_offsets};

impl Gaps {
    /// The Arrow validity of `len` rows, and no gaps any more.
    pub(super) fn take(&mut self, len: usize) -> Option<NullBuffer> {
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
    pub(super) fn take(&mut self, rows: usize) -> (Vec<T>, Option<NullBuffer>) {
        self.pad(rows);
        (fresh(&mut self.values), self.gaps.take(rows))
    }
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = fresh(offsets);
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(taken))
}

impl Texts {
    /// The array of `rows` rows.
    pub(in crate::decode) fn take(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        pad_offsets(&mut self.offsets, &mut self.gaps, rows);
        let bytes = Buffer::from_vec(fresh(&mut self.bytes));
        let (offsets, nulls) = (take_offsets(&mut self.offsets), self.gaps.take(rows));
        Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls)?))
    }
}

impl Structs {
    /// The arrays of `rows` rows, of these types.
    pub(in crate::decode) fn take<'a>(
        &mut self,
        rows: usize,
        types: impl Iterator<Item = &'a DataType>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        self.len = 0;
        self.columns.iter_mut().zip(types).map(|(column, kind)| column.take(rows, kind)).collect()
    }
}

impl Column {
    /// The array of `rows` rows of this type, which is the one that the schema gives the column.
    fn take(&mut self, rows: usize, kind: &DataType) -> Result<ArrayRef, ArrowError> {
        if self.len() == 0 {
            self.release();
            return null_array(kind, rows);
        }
        let array = self.take_values(rows, kind)?;
        // Values that were taken back may have left buffers of any size behind.
        if is_null(&array) { null_array(kind, rows) } else { Ok(array) }
    }

    /// Lets go of what buffers there are, of values that were all taken back.
    fn release(&mut self) {
        match self {
            Column::Text(texts) => *texts = Texts::default(),
            Column::Long(plain) | Column::Time(plain) => plain.values = Vec::new(),
            Column::Double(plain) => plain.values = Vec::new(),
            Column::Boolean(plain) => plain.values = Vec::new(),
            Column::List(lists) => {
                lists.offsets = vec![0];
                lists.items = 0;
                lists.values.release();
            }
            Column::Struct(structs) => structs.columns.iter_mut().for_each(Column::release),
            Column::Map(maps) => {
                maps.offsets = vec![0];
                maps.keys = Texts::default();
                maps.values.release();
            }
        }
    }

    fn take_values(&mut self, rows: usize, kind: &DataType) -> Result<ArrayRef, ArrowError> {
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
}
