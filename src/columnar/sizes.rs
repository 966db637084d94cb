//! Sizes of arrays and values in bytes: in memory, by rows, and as Parquet writes them plain.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::DataType;

use super::run_ends;
use crate::schema::Kind;

/// Memory of an array besides its buffers: its struct, theirs, and the overhead of the allocator.
const ARRAY_BYTES: usize = 256;

/// Memory of an element of a list while it is encoded: four bytes for its levels, in each column
/// that a thread works on, of which there may be a few. A list of a million records with nothing in
/// them has no values, but has these.
const ELEMENT_BYTES: usize = 16;

/// Returns the memory of a batch in bytes, with its arrays and with the levels that encoding it
/// takes. With a handful of rows, most of it is not the rows.
pub(crate) fn held_bytes(batch: &RecordBatch) -> usize {
    let arrays = batch.schema_ref().flattened_fields().len();
    batch.columns().iter().map(array_bytes).sum::<usize>() + arrays * ARRAY_BYTES
}

/// Returns the bytes of the buffers that an array does not share with all others.
pub(super) fn array_bytes(array: &ArrayRef) -> usize {
    let validity = || array.nulls().map_or(0, |nulls| nulls.buffer().capacity());
    match array.data_type() {
        _ if array.null_count() == array.len() => 0,
        DataType::Struct(_) => {
            validity() + array.as_struct().columns().iter().map(array_bytes).sum::<usize>()
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (offsets, values) = (list.offsets().inner().inner().capacity(), list.values());
            validity() + offsets + array_bytes(values) + values.len() * ELEMENT_BYTES
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries = array_bytes(map.keys()) + array_bytes(map.values());
            let offsets = map.offsets().inner().inner().capacity();
            validity() + offsets + entries + map.keys().len() * ELEMENT_BYTES
        }
        DataType::RunEndEncoded(_, _) => run_ends::runs(array).map_or(0, |runs| {
            runs.run_ends().inner().inner().capacity() + array_bytes(runs.values())
        }),
        _ => array.get_buffer_memory_size(),
    }
}

/// Returns the bytes of the values in `rows` of a batch, with the levels that encoding them takes.
pub(crate) fn row_bytes(batch: &RecordBatch, rows: &Range<usize>) -> usize {
    batch.columns().iter().map(|column| part_bytes(column, rows)).sum()
}

/// Returns what [`row_bytes`] counts of each of `parts`: column by column, which of many parts is much faster
/// than part by part.
pub(crate) fn bytes_of_parts(batch: &RecordBatch, parts: &[Range<usize>]) -> Vec<usize> {
    let mut sums = vec![0; parts.len()];
    batch.columns().iter().for_each(|column| add_parts(column, parts, &mut sums));
    sums
}

/// Returns what [`row_bytes`] counts of one column.
pub(super) fn part_bytes(array: &ArrayRef, rows: &Range<usize>) -> usize {
    let mut sum = [0];
    add_parts(array, std::slice::from_ref(rows), &mut sum);
    let [sum] = sum;
    sum
}

/// Adds to each of `sums` what [`row_bytes`] counts of one column in its part of `parts`.
fn add_parts(array: &ArrayRef, parts: &[Range<usize>], sums: &mut [usize]) {
    if array.null_count() == array.len() {
        return;
    }
    add(parts, sums, |rows| rows.len().div_ceil(8));
    match array.data_type() {
        DataType::Struct(_) => {
            array.as_struct().columns().iter().for_each(|member| add_parts(member, parts, sums));
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            add_elements(list.value_offsets(), &[list.values()], parts, sums);
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            add_elements(map.value_offsets(), &[map.keys(), map.values()], parts, sums);
        }
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            add(parts, sums, |rows| rows.len() * 4 + between(offsets, rows).len());
        }
        DataType::Boolean => add(parts, sums, |rows| rows.len().div_ceil(8)),
        DataType::RunEndEncoded(_, _) => {
            let Some(runs) = run_ends::runs(array) else { return };
            let values = |rows: &Range<usize>| match rows.is_empty() {
                true => 0..0,
                false => run_ends::values_of(runs, rows),
            };
            let values: Vec<Range<usize>> = parts.iter().map(values).collect();
            add(&values, sums, |values| values.len() * 4);
            add_parts(runs.values(), &values, sums);
        }
        _ => add(parts, sums, |rows| rows.len() * 8),
    }
}

/// Adds to each of `sums` the `bytes` of its part.
fn add(parts: &[Range<usize>], sums: &mut [usize], bytes: impl Fn(&Range<usize>) -> usize) {
    parts.iter().zip(sums).for_each(|(rows, sum)| *sum += bytes(rows));
}

/// Adds the offsets of lists, and of their elements what [`row_bytes`] counts.
fn add_elements(
    offsets: &[i32],
    columns: &[&ArrayRef],
    parts: &[Range<usize>],
    sums: &mut [usize],
) {
    let inner: Vec<Range<usize>> = parts.iter().map(|rows| between(offsets, rows)).collect();
    add(parts, sums, |rows| rows.len() * 4);
    add(&inner, sums, |elements| elements.len() * ELEMENT_BYTES);
    columns.iter().for_each(|column| add_parts(column, &inner, sums));
}

/// Returns what is between the offsets of `rows`.
fn between(offsets: &[i32], rows: &Range<usize>) -> Range<usize> {
    let ends = offsets.get(rows.start).zip(offsets.get(rows.end));
    ends.map_or(0..0, |(first, last)| *first as usize..*last as usize)
}

/// Returns the bytes of one element of a list, null or not, of values of `kind`: its values or
/// offsets, and a bit of validity for each column.
pub(crate) fn element_bytes(kind: &Kind) -> usize {
    let (bytes, columns) = element_parts(kind);
    bytes + columns.div_ceil(8)
}

/// Returns the bytes of values and offsets of one element, and its number of columns.
fn element_parts(kind: &Kind) -> (usize, usize) {
    match kind {
        Kind::String | Kind::List(_) | Kind::Map(_) => (4, 1),
        Kind::Boolean => (1, 1),
        Kind::Long | Kind::Double | Kind::TimestampMillis => (8, 1),
        Kind::Struct(fields) => {
            let all = fields.iter().map(|field| element_parts(&field.kind));
            all.fold((0, 1), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Int64Builder, ListArray, MapBuilder, StringArray, StringBuilder, StructArray,
    };
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Int64Type};

    use super::*;
    use crate::columnar::null_arrays::null_array;
    use crate::schema::TableSchema;

    /// Returns a batch of the built-in table with these columns, and nulls in the others.
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

    /// Without nulls: a part of nulls alone counts for nothing in a batch of its own.
    #[test]
    fn each_of_many_parts_has_the_bytes_of_a_batch_of_its_rows() {
        let texts = |rows: usize| -> ArrayRef {
            Arc::new((0..rows).map(|n| Some("x".repeat(n % 9))).collect::<StringArray>())
        };
        let longs = |n: i64| Some(vec![Some(n); n as usize % 5]);
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>((0..60).map(longs));
        let mut maps = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        for n in 0..60 {
            for key in 0..n % 3 {
                maps.keys().append_value("k".repeat(key + 1));
                maps.values().append_value(n as i64);
            }
            maps.append(true).unwrap();
        }
        let bits: ArrayRef = Arc::new((0..60).map(|n| Some(n % 2 == 0)).collect::<BooleanArray>());
        let runs = run_ends::encode(&texts(12), vec![5; 12]).unwrap();
        let lists: ArrayRef = Arc::new(lists);
        let maps: ArrayRef = Arc::new(maps.finish());
        let both = StructArray::from(vec![
            (Arc::new(Field::new("a", DataType::Boolean, true)), Arc::clone(&bits)),
            (Arc::new(Field::new("b", lists.data_type().clone(), true)), Arc::clone(&lists)),
        ]);
        let both: ArrayRef = Arc::new(both);
        let columns = [texts(60), lists, maps, bits, runs, both];
        let names = ["texts", "lists", "maps", "bits", "runs", "both"];
        let batch = RecordBatch::try_from_iter(names.into_iter().zip(columns)).unwrap();
        let parts = [0..1, 1..1, 1..40, 7..9, 40..60, 0..60, 59..60];
        for batch in [batch.clone(), batch.slice(13, 40)] {
            let within = |part: &Range<usize>| part.end <= batch.num_rows();
            let parts: Vec<Range<usize>> =
                parts.iter().filter(|part| within(part)).cloned().collect();
            let found = bytes_of_parts(&batch, &parts);
            for (part, bytes) in parts.iter().zip(found) {
                let rows = batch.slice(part.start, part.len());
                assert_eq!(bytes, row_bytes(&rows, &(0..part.len())), "{part:?}");
                assert_eq!(bytes > 0, !part.is_empty(), "{part:?}: {bytes}");
            }
        }
    }

    #[test]
    fn lists_of_nothing_count_by_their_elements() {
        let empty = batch(100, &[("userActions", nothings(&[0; 100]))]);
        assert!(row_bytes(&empty, &(0..100)) < 1000);
        let arrays = empty.schema().flattened_fields().len() * ARRAY_BYTES;
        assert!(held_bytes(&empty) < arrays + 1000, "what all share is nobody's");

        let million = batch(2, &[("userActions", nothings(&[10, 1_000_000]))]);
        assert!(held_bytes(&million) >= 1_000_000 * ELEMENT_BYTES);
        assert!(row_bytes(&million, &(0..1)) < 1000);
        assert!(row_bytes(&million, &(1..2)) >= 1_000_000 * ELEMENT_BYTES);
    }
}
