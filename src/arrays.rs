//! Arrays of nothing but nulls, and what arrays take of memory.
//!
//! Of some 170 columns, a document fills thirty. The others are null in all rows of a batch, and
//! Arrow wants a value for each null: within `userActions`, three quarters of a batch would be zeros.
//! Here all of them are parts of one buffer of zeros that the process has once, so that a column
//! that nobody wrote to costs no memory, no pass over it and no page faults. Who copies rows gives
//! back the same ([`null_array`]), and who writes them elsewhere leaves them out.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, MapArray,
    RecordBatch, StringArray, StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

/// The zeros that everybody shares. Only grows, to twice what was asked for.
static ZEROS: Mutex<Option<Buffer>> = Mutex::new(None);

/// Who wants more zeros than this gets some of their own.
const MOST_SHARED: usize = 16 << 20;

fn zeros(bytes: usize) -> Buffer {
    if bytes > MOST_SHARED {
        return MutableBuffer::from_len_zeroed(bytes).into();
    }
    let mut shared = ZEROS.lock().unwrap_or_else(PoisonError::into_inner);
    let enough = shared.take().filter(|buffer| buffer.len() >= bytes);
    let buffer = enough.unwrap_or_else(|| {
        MutableBuffer::from_len_zeroed((2 * bytes).clamp(64 << 10, MOST_SHARED)).into()
    });
    shared.insert(buffer).slice_with_length(0, bytes)
}

/// An array of `len` nulls of this type, which takes next to no memory.
///
/// # Errors
/// A type that has no nulls, as a record with a member that must not be null has when it is not
/// null itself.
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
        // No schema compiles to another type: correct is enough.
        _ => new_null_array(kind, len),
    })
}

/// Whether an array has rows and no value.
pub(crate) fn is_null(array: &dyn Array) -> bool {
    !array.is_empty() && array.null_count() == array.len()
}

/// What an array takes besides its buffers: its struct, theirs, and what the allocator adds.
const ARRAY_BYTES: usize = 256;

/// What a place in a column takes while it is encoded: four bytes for its levels, in each column
/// that a thread works on. A list of a million records with nothing in them has no values.
const PLACE_BYTES: usize = 16;

/// Bytes of a batch in memory, its arrays included, and what it takes to encode it. With a handful
/// of rows, most of it is not the rows.
pub(crate) fn held_bytes(batch: &RecordBatch) -> usize {
    let arrays = batch.schema_ref().flattened_fields().len();
    let places: usize = batch.columns().iter().map(places).sum();
    value_bytes(batch) + arrays * ARRAY_BYTES + places * PLACE_BYTES
}

/// Elements of lists, and of the lists in them.
fn places(array: &ArrayRef) -> usize {
    match array.data_type() {
        _ if is_null(array) => 0,
        DataType::Struct(_) => array.as_struct().columns().iter().map(places).sum(),
        DataType::List(_) => {
            let values = array.as_list::<i32>().values();
            values.len() + places(values)
        }
        DataType::Map(_, _) => array.as_map().keys().len(),
        _ => 0,
    }
}

/// Bytes of the values of a batch: of the buffers that its arrays do not share with all others.
pub(crate) fn value_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(bytes_of).sum()
}

fn bytes_of(array: &ArrayRef) -> usize {
    let validity = || array.nulls().map_or(0, |nulls| nulls.buffer().capacity());
    match array.data_type() {
        _ if is_null(array) => 0,
        DataType::Struct(_) => {
            validity() + array.as_struct().columns().iter().map(bytes_of).sum::<usize>()
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            validity() + list.offsets().inner().inner().capacity() + bytes_of(list.values())
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries = bytes_of(map.keys()) + bytes_of(map.values());
            validity() + map.offsets().inner().inner().capacity() + entries
        }
        _ => array.get_buffer_memory_size(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TableSchema;

    #[test]
    fn nulls_are_those_of_arrow_and_take_nothing() {
        let schema = TableSchema::builtin("user_sessions").unwrap().arrow();
        for len in [0, 1, 7, 64, 5000, 300_000] {
            for field in schema.fields().iter().filter(|field| field.is_nullable()) {
                let array = null_array(field.data_type(), len).unwrap();
                assert_eq!(array.data_type(), field.data_type());
                assert_eq!((array.len(), array.null_count()), (len, len));
                assert_eq!(&array, &new_null_array(field.data_type(), len), "{field}");
                array.to_data().validate_full().unwrap();
                assert_eq!(is_null(&array), len > 0);
                assert!(len == 0 || bytes_of(&array) == 0, "{field}");
            }
        }
    }

    #[test]
    fn values_are_counted_and_the_nulls_beside_them_are_not() {
        let schema = TableSchema::builtin("user_sessions").unwrap().arrow();
        let columns = schema.fields().iter().map(|field| match field.name().as_str() {
            "userSessionId" => Arc::new(StringArray::from(vec!["abc"; 1000])) as ArrayRef,
            _ => null_array(field.data_type(), 1000).unwrap(),
        });
        let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema, columns.collect()).unwrap();
        let bytes = value_bytes(&batch);
        assert!((7000..8300).contains(&bytes), "{bytes}");
        assert!(held_bytes(&batch) > bytes + 100 * ARRAY_BYTES);
    }

    #[test]
    fn a_list_of_a_million_nothings_is_not_nothing() {
        let schema = TableSchema::builtin("user_sessions").unwrap().arrow();
        let columns = schema.fields().iter().map(|field| match field.data_type() {
            DataType::List(element) if field.name() == "userActions" => {
                let offsets = OffsetBuffer::from_lengths([1_000_000]);
                let values = null_array(element.data_type(), 1_000_000).unwrap();
                Arc::new(ListArray::new(Arc::clone(element), offsets, values, None)) as ArrayRef
            }
            kind => null_array(kind, 1).unwrap(),
        });
        let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema, columns.collect()).unwrap();
        assert!(value_bytes(&batch) < 1000);
        assert!(held_bytes(&batch) >= 1_000_000 * PLACE_BYTES);
    }
}
