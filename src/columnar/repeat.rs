//! Rows repeated: of each row of a column, as many as are wanted.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray as _, BooleanArray, BooleanBufferBuilder,
    PrimitiveArray, StringArray, UInt32Array, make_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;

use super::null_arrays::{is_null, null_array};

/// A row, and the number of times that it is wanted.
pub(crate) type Repeat = (usize, usize);

/// Returns the rows of `array` that `wanted` names, in their order.
///
/// # Errors
/// More than 2 GiB of text; a row beyond the array.
pub(crate) fn repeat(array: &ArrayRef, wanted: &[Repeat]) -> Result<ArrayRef, ArrowError> {
    let len = wanted.iter().map(|(_, times)| times).sum();
    if len == 0 || is_null(array) {
        return null_array(array.data_type(), len);
    }
    if wanted.iter().any(|(row, _)| *row >= array.len()) {
        let why = "a row is to be repeated that the column has not";
        return Err(ArrowError::InvalidArgumentError(why.to_owned()));
    }
    Ok(match array.data_type() {
        DataType::Utf8 => text(array.as_string::<i32>(), wanted, len)?,
        DataType::Int64 => primitive::<Int64Type>(array, wanted, len)?,
        DataType::Float64 => primitive::<Float64Type>(array, wanted, len)?,
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(array, wanted, len)?
        }
        DataType::Boolean => {
            let (from, mut values) = (array.as_boolean(), BooleanBufferBuilder::new(len));
            for (row, times) in wanted {
                values.append_n(*times, from.value(*row));
            }
            Arc::new(BooleanArray::new(values.finish(), validity(array, wanted, len)))
        }
        // Only columns with one value are repeated: correct is enough.
        _ => {
            let rows = wanted.iter().flat_map(|(row, times)| {
                let row = u32::try_from(*row).unwrap_or(u32::MAX);
                std::iter::repeat_n(row, *times)
            });
            take(array, &UInt32Array::from_iter_values(rows), None)?
        }
    })
}

fn primitive<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    wanted: &[Repeat],
    len: usize,
) -> Result<ArrayRef, ArrowError> {
    let from = array.as_primitive::<T>();
    let mut values: Vec<T::Native> = Vec::with_capacity(len);
    for (row, times) in wanted {
        values.resize(values.len() + times, from.value(*row));
    }
    let repeated = PrimitiveArray::<T>::try_new(values.into(), validity(array, wanted, len))?;
    Ok(make_array(repeated.with_data_type(array.data_type().clone()).into()))
}

fn text(array: &StringArray, wanted: &[Repeat], len: usize) -> Result<ArrayRef, ArrowError> {
    // A null may have a text below it, which is nobody's.
    let value = |row: usize| if array.is_null(row) { "" } else { array.value(row) };
    let total = wanted.iter().map(|(row, times)| value(*row).len().saturating_mul(*times));
    let total = total.fold(0, usize::saturating_add);
    if i32::try_from(total).is_err() {
        return Err(ArrowError::OffsetOverflowError(total));
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(total);
    let mut offsets: Vec<i32> = Vec::with_capacity(len + 1);
    offsets.push(0);
    for (row, times) in wanted {
        let value = value(*row).as_bytes();
        for _ in 0..*times {
            bytes.extend_from_slice(value);
            // Within an i32: the sum of all is.
            offsets.push(bytes.len() as i32);
        }
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let nulls = validity(array, wanted, len);
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls)?))
}

fn validity(array: &dyn Array, wanted: &[Repeat], len: usize) -> Option<NullBuffer> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0)?;
    let mut valid = BooleanBufferBuilder::new(len);
    for (row, times) in wanted {
        valid.append_n(*times, nulls.is_valid(*row));
    }
    Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, ListArray, TimestampMicrosecondArray};
    use arrow::compute::nullif;

    use super::*;

    #[test]
    fn rows_are_those_that_take_gives_for_columns_of_all_types_and_slices_of_them() {
        let texts = StringArray::from(vec![Some("a"), None, Some(""), Some("größer"), Some("x")]);
        let longs = Int64Array::from(vec![Some(1), None, Some(-3), Some(4), Some(5)]);
        let doubles = Float64Array::from(vec![Some(1.5), None, Some(-3.0), None, Some(5.0)]);
        let times = TimestampMicrosecondArray::from(vec![Some(1), None, Some(3), None, Some(5)]);
        let flags = BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None]);
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1)]),
            None,
            Some(vec![]),
            Some(vec![None, Some(2)]),
            None,
        ]);
        let columns: [ArrayRef; 8] = [
            Arc::new(texts),
            Arc::new(longs),
            Arc::new(doubles),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(flags),
            Arc::new(lists),
            Arc::new(Int64Array::from(vec![None; 5])),
            Arc::new(Int64Array::from(vec![7; 5])),
        ];
        let wanted = [(0, 2), (1, 1), (2, 0), (3, 3), (1, 2)];
        let rows = UInt32Array::from(vec![0, 0, 1, 3, 3, 3, 1, 1]);
        for column in &columns {
            for part in [Arc::clone(column), column.slice(1, 4)] {
                let repeated = repeat(&part, &wanted).unwrap();
                assert_eq!(&repeated, &take(&part, &rows, None).unwrap());
                assert_eq!(repeat(&part, &[]).unwrap().len(), 0);
                assert!(is_null(&part) || repeat(&part, &[(5, 1)]).is_err());
            }
        }
    }

    #[test]
    fn what_lies_below_a_null_is_not_repeated() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["secret", "b"]));
        let texts = nullif(&texts, &BooleanArray::from(vec![true, false])).unwrap();
        let repeated = repeat(&texts, &[(0, 1 << 20), (1, 1)]);
        assert_eq!(repeated.unwrap().as_string::<i32>().value_data(), b"b");
    }
}
