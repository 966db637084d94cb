//! Arrays of nulls that share a buffer.
//!
//! Of some 170 columns, a document fills thirty. The others are null in all rows of a batch, and
//! Arrow wants a value for each null: within `userActions`, three quarters of a batch would be
//! zeros. All of them are parts of a buffer of zeros that a thread has once (large arrays: that the
//! process has once) and that nobody writes to, so that a column without values costs no memory and
//! no page faults. Code that copies rows returns such arrays again ([`null_array`]), and code that
//! writes them elsewhere leaves them out.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Float64Array, Int64Array, ListArray, MapArray,
    StringArray, StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use super::run_ends;

/// The zeros of the process, for what is longer than a thread's own. They are so many that the
/// allocator maps them, as it does with any larger allocation: zeros of the system that nobody touches
/// take no memory.
static ZEROS: LazyLock<Buffer> = LazyLock::new(|| fresh_zeros(SHARED_BYTES));
const SHARED_BYTES: usize = 64 << 20;

thread_local! {
    /// Zeros of this thread. Each part of a buffer counts its references, in one place: threads that made
    /// arrays of the same zeros would take that place from one another's processor a hundred times a batch.
    static OWN_ZEROS: Buffer = fresh_zeros(OWN_BYTES);
    /// The last arrays of nulls without parts that this thread made, the latest last. A batch has many of one
    /// type and length: its columns without values.
    static LAST: RefCell<Vec<ArrayRef>> = const { RefCell::new(Vec::new()) };
}
const OWN_BYTES: usize = 128 << 10;
/// Arrays that are remembered: about the types times the lengths of a batch.
const MOST_LAST: usize = 16;

fn fresh_zeros(bytes: usize) -> Buffer {
    Buffer::from_vec(vec![0_u64; bytes.div_ceil(8)])
}

fn zeros(bytes: usize) -> Buffer {
    if bytes > SHARED_BYTES {
        return fresh_zeros(bytes).slice_with_length(0, bytes);
    }
    if bytes > OWN_BYTES {
        return ZEROS.slice_with_length(0, bytes);
    }
    // A thread that ends has none any more.
    let own = OWN_ZEROS.try_with(|own| own.slice_with_length(0, bytes));
    own.unwrap_or_else(|_| ZEROS.slice_with_length(0, bytes))
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
    if kind.is_nested() || matches!(kind, DataType::RunEndEncoded(..)) {
        return new_array(kind, len);
    }
    let is_it = |known: &&ArrayRef| known.len() == len && known.data_type() == kind;
    if let Ok(Some(found)) = LAST.try_with(|last| last.borrow().iter().rfind(is_it).cloned()) {
        return Ok(found);
    }
    let made = new_array(kind, len)?;
    // Those that fit into the thread's own zeros; of larger ones there are few.
    if len * 8 <= OWN_BYTES {
        let _ = LAST.try_with(|last| {
            let mut last = last.borrow_mut();
            if last.len() == MOST_LAST {
                last.remove(0);
            }
            last.push(Arc::clone(&made));
        });
    }
    Ok(made)
}

fn new_array(kind: &DataType, len: usize) -> Result<ArrayRef, ArrowError> {
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
    fn columns_without_values_of_one_batch_share_an_array_of_each_type() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let make = |kind: &DataType, len| null_array(kind, len).unwrap();
        let first = make(&DataType::Utf8, 100);
        for kind in [&DataType::Int64, &DataType::Boolean, &utc, &DataType::Float64] {
            assert_eq!((make(kind, 100).data_type(), make(kind, 100).len()), (kind, 100));
        }
        assert!(Arc::ptr_eq(&first, &make(&DataType::Utf8, 100)));
        assert_eq!(make(&DataType::Utf8, 101).len(), 101);
        // Not all that there ever were.
        for len in 0..2 * MOST_LAST {
            make(&DataType::Utf8, len);
        }
        assert!(!Arc::ptr_eq(&first, &make(&DataType::Utf8, 100)));
        assert_eq!(LAST.with_borrow(Vec::len), MOST_LAST);
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
