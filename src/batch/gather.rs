//! Rows from several batches into one, in an order given as runs.
//!
//! Arrow's `take` and `interleave` copy a list of records through a closure a value and a buffer
//! that grows; with rows of some 170 columns that go to a few partitions in turn, half of an
//! import was spent there. Here the runs of a list's elements are worked out once for all columns
//! below it, and each column is one allocation of the right size and a copy a run.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, ListArray,
    MapArray, PrimitiveArray, RecordBatch, StringArray, StructArray, make_array, new_empty_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::concat;
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use crate::arrays::null_array;

/// Rows of a batch that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which batch.
    pub batch: usize,
    /// Which rows of it.
    pub rows: Range<usize>,
}

/// The rows of `runs` in their order. All batches are of `schema`.
///
/// # Errors
/// A run beyond its batch, batches of another schema, more than 2 GiB of text in a column.
pub fn gather(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    runs: &[Run],
) -> Result<RecordBatch, ArrowError> {
    for run in runs {
        let rows = batches.get(run.batch).map_or(0, RecordBatch::num_rows);
        if run.rows.start > run.rows.end || run.rows.end > rows {
            return Err(wrong(&format!("rows {:?} of a batch of {rows}", run.rows)));
        }
    }
    // What is below them is of the same kind then: a batch cannot be made otherwise.
    if batches.iter().any(|batch| batch.schema_ref() != schema) {
        return Err(wrong("batches of several schemas"));
    }
    let columns = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let arrays: Vec<&ArrayRef> =
                batches.iter().filter_map(|batch| batch.columns().get(at)).collect();
            column(&arrays, runs, field.data_type())
        })
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn wrong(what: &str) -> ArrowError {
    ArrowError::InvalidArgumentError(format!("cannot gather {what}"))
}

/// The array of a run. Runs are checked when they are made: at the top by [`gather`], below by
/// the offsets of a list, which Arrow has checked.
fn of<'a, T>(arrays: &[&'a T], run: &Run) -> Result<&'a T, ArrowError> {
    arrays.get(run.batch).copied().ok_or_else(|| wrong("from a batch that is not there"))
}

fn column(arrays: &[&ArrayRef], runs: &[Run], kind: &DataType) -> Result<ArrayRef, ArrowError> {
    let len = runs.iter().map(|run| run.rows.len()).sum();
    if arrays.iter().all(|array| array.null_count() == array.len()) {
        return null_array(kind, len);
    }
    Ok(match kind {
        DataType::Int64 => primitive::<Int64Type>(arrays, runs, kind, len)?,
        DataType::Float64 => primitive::<Float64Type>(arrays, runs, kind, len)?,
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(arrays, runs, kind, len)?
        }
        DataType::Boolean => {
            let arrays: Vec<&BooleanArray> = arrays.iter().map(|a| a.as_boolean()).collect();
            let mut values = BooleanBufferBuilder::new(len);
            for run in runs {
                append(&mut values, of(&arrays, run)?.values(), &run.rows);
            }
            Arc::new(BooleanArray::new(values.finish(), nulls(&arrays, runs, len)?))
        }
        DataType::Utf8 => text(arrays, runs, len)?,
        DataType::Struct(fields) => {
            let arrays: Vec<&StructArray> = arrays.iter().map(|a| a.as_struct()).collect();
            let members = fields.iter().enumerate().map(|(at, field)| {
                let members: Vec<&ArrayRef> =
                    arrays.iter().filter_map(|array| array.columns().get(at)).collect();
                column(&members, runs, field.data_type())
            });
            let members = members.collect::<Result<_, _>>()?;
            let nulls = nulls(&arrays, runs, len)?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), members, nulls, len)?)
        }
        DataType::List(element) => {
            let arrays: Vec<&ListArray> = arrays.iter().map(|a| a.as_list()).collect();
            let offsets: Vec<&OffsetBuffer<i32>> = arrays.iter().map(|a| a.offsets()).collect();
            let (offsets, inner) = elements(&offsets, runs, len)?;
            let values: Vec<&ArrayRef> = arrays.iter().map(|array| array.values()).collect();
            let values = column(&values, &inner, element.data_type())?;
            let nulls = nulls(&arrays, runs, len)?;
            Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls)?)
        }
        DataType::Map(entries, sorted) => {
            let arrays: Vec<&MapArray> = arrays.iter().map(|a| a.as_map()).collect();
            let offsets: Vec<&OffsetBuffer<i32>> = arrays.iter().map(|a| a.offsets()).collect();
            let (offsets, inner) = elements(&offsets, runs, len)?;
            let pairs: Vec<ArrayRef> =
                arrays.iter().map(|map| Arc::new(map.entries().clone()) as ArrayRef).collect();
            let pairs = column(&pairs.iter().collect::<Vec<_>>(), &inner, entries.data_type())?;
            let nulls = nulls(&arrays, runs, len)?;
            let pairs = pairs.as_struct().clone();
            Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?)
        }
        // No schema compiles to another type: correct is enough.
        _ => {
            let parts = runs
                .iter()
                .map(|run| Ok(of(arrays, run)?.slice(run.rows.start, run.rows.len())))
                .collect::<Result<Vec<_>, ArrowError>>()?;
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            if parts.is_empty() { new_empty_array(kind) } else { concat(&parts)? }
        }
    })
}

fn primitive<T: ArrowPrimitiveType>(
    arrays: &[&ArrayRef],
    runs: &[Run],
    kind: &DataType,
    len: usize,
) -> Result<ArrayRef, ArrowError> {
    let arrays: Vec<&PrimitiveArray<T>> = arrays.iter().map(|a| a.as_primitive()).collect();
    let mut values: Vec<T::Native> = Vec::with_capacity(len);
    for run in runs {
        let all: &[T::Native] = of(&arrays, run)?.values();
        values.extend_from_slice(all.get(run.rows.clone()).unwrap_or_default());
    }
    let array = PrimitiveArray::<T>::try_new(values.into(), nulls(&arrays, runs, len)?)?;
    Ok(make_array(array.with_data_type(kind.clone()).into()))
}

fn text(arrays: &[&ArrayRef], runs: &[Run], len: usize) -> Result<ArrayRef, ArrowError> {
    let arrays: Vec<&StringArray> = arrays.iter().map(|a| a.as_string()).collect();
    let bounds = |run: &Run| -> Result<(&[i32], Range<usize>), ArrowError> {
        let offsets = of(&arrays, run)?.value_offsets();
        let offsets = offsets.get(run.rows.start..=run.rows.end).unwrap_or_default();
        let (first, last) = (offsets.first().copied(), offsets.last().copied());
        Ok((offsets, first.unwrap_or(0) as usize..last.unwrap_or(0) as usize))
    };
    let mut total = 0;
    for run in runs {
        total += bounds(run)?.1.len();
    }
    if i32::try_from(total).is_err() {
        return Err(ArrowError::OffsetOverflowError(total));
    }
    let mut bytes = Vec::with_capacity(total);
    let mut offsets: Vec<i32> = Vec::with_capacity(len + 1);
    offsets.push(0);
    for run in runs {
        let (from, place) = bounds(run)?;
        // Within an i32: the sum of all was.
        let shift = bytes.len() as i32 - place.start as i32;
        offsets.extend(from.iter().skip(1).map(|offset| offset + shift));
        bytes.extend_from_slice(of(&arrays, run)?.value_data().get(place).unwrap_or_default());
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let nulls = nulls(&arrays, runs, len)?;
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls)?))
}

/// The offsets of these rows' lists, and the runs of their elements.
fn elements(
    arrays: &[&OffsetBuffer<i32>],
    runs: &[Run],
    len: usize,
) -> Result<(OffsetBuffer<i32>, Vec<Run>), ArrowError> {
    let mut offsets: Vec<i32> = Vec::with_capacity(len + 1);
    let mut inner: Vec<Run> = Vec::with_capacity(runs.len());
    let mut total = 0i32;
    offsets.push(0);
    for run in runs {
        let from: &[i32] = of(arrays, run)?;
        let from = from.get(run.rows.start..=run.rows.end).unwrap_or_default();
        let (Some(first), Some(last)) = (from.first(), from.last()) else { continue };
        let (before, count) = (total, last - first);
        total =
            before.checked_add(count).ok_or(ArrowError::OffsetOverflowError(i32::MAX as usize))?;
        offsets.extend(from.iter().skip(1).map(|offset| offset - first + before));
        let rows = *first as usize..*last as usize;
        match inner.last_mut() {
            _ if rows.is_empty() => {}
            Some(before) if before.batch == run.batch && before.rows.end == rows.start => {
                before.rows.end = rows.end;
            }
            _ => inner.push(Run { batch: run.batch, rows }),
        }
    }
    Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), inner))
}

fn nulls<A: Array>(
    arrays: &[&A],
    runs: &[Run],
    len: usize,
) -> Result<Option<NullBuffer>, ArrowError> {
    if arrays.iter().all(|array| array.null_count() == 0) {
        return Ok(None);
    }
    let mut valid = BooleanBufferBuilder::new(len);
    for run in runs {
        match of(arrays, run)?.nulls() {
            Some(nulls) => append(&mut valid, nulls.inner(), &run.rows),
            None => valid.append_n(run.rows.len(), true),
        }
    }
    Ok(Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0))
}

fn append(to: &mut BooleanBufferBuilder, from: &BooleanBuffer, rows: &Range<usize>) {
    if rows.len() == 1 {
        to.append(from.value(rows.start));
    } else {
        let at = from.offset();
        to.append_packed_range(at + rows.start..at + rows.end, from.values());
    }
}

#[cfg(test)]
mod tests;
