//! Arrays of nulls that share one buffer.
//!
//! Of some 170 columns, a document fills thirty. The others are null in all rows of a batch, and
//! Arrow wants a value for each null: within `userActions`, three quarters of a batch would be
//! zeros. All of them are parts of one buffer of zeros that the process has once and that nobody
//! writes to, so that a column without values costs no memory and no page faults. Code that copies
//! rows returns such arrays again ([`null_array`]), and code that writes them elsewhere leaves them
//! out.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Float64Array, Int64Array, ListArray, MapArray,
    StringArray, StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use super::run_ends;

/// The shared zeros. They are so many that the allocator maps them, as it does with any larger
/// allocation: zeros of the system that nobody touches take no memory.
static ZEROS: LazyLock<Buffer> = LazyLock::new(|| fresh_zeros(SHARED_BYTES));
const SHARED_BYTES: usize = 64 << 20;

fn fresh_zeros(bytes: usize) -> Buffer {
    Buffer::from_vec(vec![0_u64; bytes.div_ceil(8)])
}

fn zeros(bytes: usize) -> Buffer {
    if bytes > SHARED_BYTES {
        return fresh_zeros(bytes).slice_with_length(0, bytes);
    }
    ZEROS.slice_with_length(0, bytes)
}

/// Returns the number of rows, of `rows`, in which each of these columns is null.
pub(crate) fn null_rows(columns: &[ArrayRef], rows: usize) -> usize {
    let mut filled: Option<BooleanBuffer> = None;
    for column in columns {
        match (column.nulls(), &filled) {
            (None, _) => return 0,
            (Some(nulls), _) if nulls.null_count() == rows => {}
            (Some(nulls), None) => filled = Some(nulls.inner().clone()),
            (Some(nulls), Some(before)) => filled = Some(before | nulls.inner()),
        }
    }
    rows - filled.map_or(0, |filled| filled.count_set_bits())
}

/// Returns an array of `len` nulls of type `kind`, which takes next to no memory.
///
/// # Errors
/// `kind` has no nulls, as a record with a member that must not be null has when it is not null
/// itself.
pub(crate) fn null_array(kind: &DataType, len: usize) -> Result<ArrayRef, ArrowError> {
    let nulls =
        || (len > 0).then(|| NullBuffer::new(BooleanBuffer::new(zeros(len.div_ceil(8)), 0, len)));
    let offsets = || OffsetBuffer::new(ScalarBuffer::<i32>::new(zeros((len + 1) * 4), 0, len + 1));
    Ok(match kind {
        DataType::Int64 => {
            Arc::new(Int64Array::try_new(ScalarBuffer::new(zeros(len * 8), 0, len), nulls())?)
        }
        DataType::Float64 => {
            Arc::new(Float64Array::try_new(ScalarBuffer::new(zeros(len * 8), 0, len), nulls())?)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = ScalarBuffer::new(zeros(len * 8), 0, len);
            let array = TimestampMicrosecondArray::try_new(values, nulls())?;
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        DataType::Boolean => {
            Arc::new(BooleanArray::new(BooleanBuffer::new(zeros(len.div_ceil(8)), 0, len), nulls()))
        }
        DataType::Utf8 => Arc::new(StringArray::try_new(offsets(), zeros(0), nulls())?),
        DataType::Struct(fields) => {
            let members = fields.iter().map(|field| null_array(field.data_type(), len));
            let members = members.collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), members, nulls(), len)?)
        }
        DataType::List(element) => {
            let none = null_array(element.data_type(), 0)?;
            Arc::new(ListArray::try_new(Arc::clone(element), offsets(), none, nulls())?)
        }
        DataType::Map(entries, sorted) => {
            let none = null_array(entries.data_type(), 0)?.as_struct().clone();
            Arc::new(MapArray::try_new(Arc::clone(entries), offsets(), none, nulls(), *sorted)?)
        }
        DataType::RunEndEncoded(_, values) => {
            let one = usize::from(len > 0);
            let rows = (len > 0).then_some(len);
            run_ends::encode(&null_array(values.data_type(), one)?, rows)?
        }
        // No schema compiles to another type: correct is enough.
        _ => new_null_array(kind, len),
    })
}

/// Returns whether `array` has rows and no value.
pub(crate) fn is_null(array: &dyn Array) -> bool {
    !array.is_empty() && array.null_count() == array.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::sizes::{array_bytes, part_bytes};
    use crate::schema::TableSchema;

    #[test]
    fn rows_without_a_value_are_counted() {
        let longs =
            |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let nulls = null_array(&DataType::Utf8, 3).unwrap();
        let (first, last) = (longs(&[Some(1), None, None]), longs(&[None, None, Some(3)]));
        // Arrays of batches may begin within their buffers.
        let middle = longs(&[Some(7), None, Some(0), None]).slice(1, 3);
        let all = longs(&[Some(1), Some(2), Some(3)]);
        for (columns, rows) in [
            (vec![], 3),
            (vec![&nulls], 3),
            (vec![&first], 2),
            (vec![&nulls, &first, &first], 2),
            (vec![&first, &last], 1),
            (vec![&first, &nulls, &middle, &last], 0),
            (vec![&first, &all], 0),
        ] {
            let columns: Vec<ArrayRef> = columns.into_iter().cloned().collect();
            assert_eq!(null_rows(&columns, 3), rows, "{columns:?}");
        }
        assert_eq!(null_rows(&[nulls.slice(0, 0)], 0), 0);
    }

    #[test]
    fn nulls_are_those_of_arrow_and_take_nothing() {
        let schema = TableSchema::builtin("user_sessions").unwrap().arrow();
        for len in [0, 1, 7, 64, 5000, 300_000, 10_000_000] {
            for field in schema.fields().iter().filter(|field| field.is_nullable()) {
                let array = null_array(field.data_type(), len).unwrap();
                assert_eq!(array.data_type(), field.data_type());
                assert_eq!((array.len(), array.null_count()), (len, len));
                assert_eq!(is_null(&array), len > 0);
                assert_eq!(array_bytes(&array), 0, "{field}");
                assert_eq!(part_bytes(&array, &(0..len)), 0, "{field}");
                if len < 10_000 {
                    assert_eq!(&array, &new_null_array(field.data_type(), len), "{field}");
                    array.to_data().validate_full().unwrap();
                }
            }
        }
    }
}
