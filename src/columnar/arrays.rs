//! Arrays of nothing but nulls, and what arrays take of memory.
//!
//! Of some 170 columns, a document fills thirty. The others are null in all rows of a batch, and
//! Arrow wants a value for each null: within `userActions`, three quarters of a batch would be zeros.
//! Here all of them are parts of one buffer of zeros that the process has once and that nobody
//! writes to, so that a column without values costs no memory and no page faults. Who copies rows
//! gives back the same ([`null_array`]), and who writes them elsewhere leaves them out.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, MapArray,
    RecordBatch, StringArray, StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

/// The zeros that everybody shares. So many that the allocator maps them, as it does with whatever
/// is larger: what the system gives as zeros and nobody touches is in no memory.
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

/// What a place in a list takes while it is encoded: four bytes for its levels, in each column that
/// a thread works on, of which there may be a few. A list of a million records with nothing in them
/// has no values.
const PLACE_BYTES: usize = 16;

/// Bytes of a batch in memory, its arrays included, and what it takes to encode it. With a handful
/// of rows, most of it is not the rows.
pub(crate) fn held_bytes(batch: &RecordBatch) -> usize {
    let arrays = batch.schema_ref().flattened_fields().len();
    batch.columns().iter().map(capacity).sum::<usize>() + arrays * ARRAY_BYTES
}

/// Bytes of the buffers that an array does not share with all others, whatever is in them.
fn capacity(array: &ArrayRef) -> usize {
    let validity = || array.nulls().map_or(0, |nulls| nulls.buffer().capacity());
    match array.data_type() {
        _ if array.null_count() == array.len() => 0,
        DataType::Struct(_) => {
            validity() + array.as_struct().columns().iter().map(capacity).sum::<usize>()
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (offsets, values) = (list.offsets().inner().inner().capacity(), list.values());
            validity() + offsets + capacity(values) + values.len() * PLACE_BYTES
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries = capacity(map.keys()) + capacity(map.values());
            let offsets = map.offsets().inner().inner().capacity();
            validity() + offsets + entries + map.keys().len() * PLACE_BYTES
        }
        _ => array.get_buffer_memory_size(),
    }
}

/// Bytes of the values in some rows of a batch, and what it takes to encode them.
pub(crate) fn row_bytes(batch: &RecordBatch, rows: &Range<usize>) -> usize {
    batch.columns().iter().map(|column| part_bytes(column, rows)).sum()
}

fn part_bytes(array: &ArrayRef, rows: &Range<usize>) -> usize {
    if rows.is_empty() || array.null_count() == array.len() {
        return 0;
    }
    let between = |offsets: &[i32]| {
        let ends = offsets.get(rows.start).zip(offsets.get(rows.end));
        ends.map_or(0..0, |(first, last)| *first as usize..*last as usize)
    };
    rows.len().div_ceil(8)
        + match array.data_type() {
            DataType::Struct(_) => {
                array.as_struct().columns().iter().map(|member| part_bytes(member, rows)).sum()
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let inner = between(list.value_offsets());
                rows.len() * 4 + inner.len() * PLACE_BYTES + part_bytes(list.values(), &inner)
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                let inner = between(map.value_offsets());
                let entries = part_bytes(map.keys(), &inner) + part_bytes(map.values(), &inner);
                rows.len() * 4 + inner.len() * PLACE_BYTES + entries
            }
            DataType::Utf8 => {
                rows.len() * 4 + between(array.as_string::<i32>().value_offsets()).len()
            }
            DataType::Boolean => rows.len().div_ceil(8),
            _ => rows.len() * 8,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TableSchema;

    #[test]
    fn nulls_are_those_of_arrow_and_take_nothing() {
        let schema = TableSchema::builtin("user_sessions").unwrap().arrow();
        for len in [0, 1, 7, 64, 5000, 300_000, 10_000_000] {
            for field in schema.fields().iter().filter(|field| field.is_nullable()) {
                let array = null_array(field.data_type(), len).unwrap();
                assert_eq!(array.data_type(), field.data_type());
                assert_eq!((array.len(), array.null_count()), (len, len));
                assert_eq!(is_null(&array), len > 0);
                assert_eq!(capacity(&array), 0, "{field}");
                assert_eq!(part_bytes(&array, &(0..len)), 0, "{field}");
                if len < 10_000 {
                    assert_eq!(&array, &new_null_array(field.data_type(), len), "{field}");
                    array.to_data().validate_full().unwrap();
                }
            }
        }
    }

    /// A batch of the built-in table with these columns, and nulls in the others.
    fn batch(rows: usize, some: &[(&str, ArrayRef)]) -> RecordBatch {
        let schema = TableSchema::builtin("user_sessions").unwrap().arrow();
        let columns = schema.fields().iter().map(|field| {
            let given = some.iter().find(|(name, _)| name == field.name());
            given.map_or_else(
                || null_array(field.data_type(), rows).unwrap(),
                |(_, array)| Arc::clone(array),
            )
        });
        let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let fields = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        RecordBatch::try_new(fields, columns.collect()).unwrap()
    }

    /// Lists of user actions without values, so many in each row.
    fn nothings(lengths: &[usize]) -> ArrayRef {
        let schema = TableSchema::builtin("user_sessions").unwrap().arrow();
        let field = schema.field_with_name("userActions").unwrap();
        let DataType::List(element) = field.data_type() else { panic!("{field}") };
        let values = null_array(element.data_type(), lengths.iter().sum()).unwrap();
        let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
        Arc::new(ListArray::new(Arc::clone(element), offsets, values, None))
    }

    #[test]
    fn values_are_counted_and_the_nulls_beside_them_are_not() {
        let batch =
            batch(1000, &[("userSessionId", Arc::new(StringArray::from(vec!["abc"; 1000])))]);
        let bytes = row_bytes(&batch, &(0..1000));
        assert!((7000..7300).contains(&bytes), "{bytes}");
        assert!((700..730).contains(&row_bytes(&batch, &(300..400))));
        assert_eq!(row_bytes(&batch.slice(300, 100), &(0..100)), row_bytes(&batch, &(0..100)));
        let held = held_bytes(&batch);
        let arrays = batch.schema().flattened_fields().len() * ARRAY_BYTES;
        assert!((arrays + 7000..arrays + 8300).contains(&held), "{held}");
    }

    #[test]
    fn lists_of_nothing_count_by_their_elements() {
        let empty = batch(100, &[("userActions", nothings(&[0; 100]))]);
        assert!(row_bytes(&empty, &(0..100)) < 1000);
        let arrays = empty.schema().flattened_fields().len() * ARRAY_BYTES;
        assert!(held_bytes(&empty) < arrays + 1000, "what all share is nobody's");

        let million = batch(2, &[("userActions", nothings(&[10, 1_000_000]))]);
        assert!(held_bytes(&million) >= 1_000_000 * PLACE_BYTES);
        assert!(row_bytes(&million, &(0..1)) < 1000);
        assert!(row_bytes(&million, &(1..2)) >= 1_000_000 * PLACE_BYTES);
    }
}
