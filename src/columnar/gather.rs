//! Gathering rows of several batches into one, in an order given as runs.
//!
//! Arrow's `take` and `interleave` copy a list of records through a closure call for each value and
//! a buffer that grows; with rows of some 170 columns that go to a few partitions in turn, half of
//! an import was spent there. This module computes the runs of a list's elements once for all
//! columns below it, and makes each column by one allocation of the right size and one copy for
//! each run.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, ListArray,
    MapArray, PrimitiveArray, RecordBatch, StringArray, StructArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::concat;
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use crate::columnar::null_arrays::null_array;
use crate::columnar::run_ends;

/// Consecutive rows of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The index of the batch.
    pub batch: usize,
    /// Its rows.
    pub rows: Range<usize>,
}

/// Returns the rows of `runs` in their order. All batches are of `schema`.
///
/// # Errors
/// Those of [`Sources::push`] and [`Sources::gather`].
pub fn gather(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    runs: &[Run],
) -> Result<RecordBatch, ArrowError> {
    let mut sources = Sources::new(schema);
    batches.iter().try_for_each(|batch| sources.push(batch))?;
    sources.gather(runs)
}

/// Batches to gather rows from many times. Which columns have values at all, and which have nulls,
/// is determined once for each batch.
#[derive(Debug)]
pub struct Sources {
    schema: SchemaRef,
    /// The number of rows of each batch.
    rows: Vec<usize>,
    columns: Vec<SourceColumn>,
}

/// One column of all batches, or the elements or a member of one.
#[derive(Debug)]
struct SourceColumn {
    kind: DataType,
    arrays: Vec<ArrayRef>,
    /// True when any of the arrays has a value.
    values: bool,
    /// True when any of the arrays has a null.
    nulls: bool,
    below: Vec<SourceColumn>,
}

impl Sources {
    /// Creates an empty collection for batches of `schema`.
    #[must_use]
    pub fn new(schema: &SchemaRef) -> Sources {
        let columns = schema.fields().iter().map(|field| SourceColumn::new(field.data_type()));
        Sources { schema: Arc::clone(schema), rows: Vec::new(), columns: columns.collect() }
    }

    /// Returns the number of batches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no batches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a batch; its values are shared, not copied.
    ///
    /// # Errors
    /// The batch is of another schema.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        // What is below the columns is of the same kind then: a batch cannot be made otherwise.
        if *batch.schema_ref() != self.schema {
            return Err(wrong("batches of several schemas"));
        }
        for (source, column) in self.columns.iter_mut().zip(batch.columns()) {
            source.push(column);
        }
        self.rows.push(batch.num_rows());
        Ok(())
    }

    /// Returns the rows of `runs` in their order.
    ///
    /// # Errors
    /// A run ends beyond its batch, or a column would have more than 2 GiB of text.
    pub fn gather(&self, runs: &[Run]) -> Result<RecordBatch, ArrowError> {
        for run in runs {
            let rows = self.rows.get(run.batch).copied().unwrap_or(0);
            if run.rows.start > run.rows.end || run.rows.end > rows {
                return Err(wrong(&format!("rows {:?} of a batch of {rows}", run.rows)));
            }
        }
        let columns = self.columns.iter().map(|source| source.gather(runs));
        RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_, _>>()?)
    }
}

fn wrong(what: &str) -> ArrowError {
    ArrowError::InvalidArgumentError(format!("cannot gather {what}"))
}

impl SourceColumn {
    fn new(kind: &DataType) -> SourceColumn {
        let below = match kind {
            DataType::Struct(fields) => {
                fields.iter().map(|f| SourceColumn::new(f.data_type())).collect()
            }
            DataType::RunEndEncoded(_, values) => vec![SourceColumn::new(values.data_type())],
            DataType::List(element) | DataType::Map(element, _) => {
                vec![SourceColumn::new(element.data_type())]
            }
            _ => Vec::new(),
        };
        SourceColumn { kind: kind.clone(), arrays: Vec::new(), values: false, nulls: false, below }
    }

    fn push(&mut self, array: &ArrayRef) {
        let nulls = array.null_count();
        self.values |= nulls < array.len();
        self.nulls |= nulls > 0;
        self.arrays.push(Arc::clone(array));
        match self.kind {
            DataType::Struct(_) => {
                for (below, member) in self.below.iter_mut().zip(array.as_struct().columns()) {
                    below.push(member);
                }
            }
            DataType::List(_) => {
                self.below.iter_mut().for_each(|b| b.push(array.as_list::<i32>().values()));
            }
            DataType::Map(_, _) => {
                let entries: ArrayRef = Arc::new(array.as_map().entries().clone());
                self.below.iter_mut().for_each(|below| below.push(&entries));
            }
            DataType::RunEndEncoded(_, _) => {
                if let Some(runs) = run_ends::runs(array) {
                    self.below.iter_mut().for_each(|below| below.push(runs.values()));
                }
            }
            _ => {}
        }
    }

    /// Returns the array of a run. Runs are valid by construction: at the top [`Sources::gather`]
    /// checks them, below they follow from the offsets of a list, which Arrow has checked.
    fn of(&self, run: &Run) -> Result<&ArrayRef, ArrowError> {
        self.arrays.get(run.batch).ok_or_else(|| wrong("from a batch that is not there"))
    }

    fn below(&self, runs: &[Run]) -> Result<ArrayRef, ArrowError> {
        self.below.first().ok_or_else(|| wrong("elements of no list"))?.gather(runs)
    }

    fn gather(&self, runs: &[Run]) -> Result<ArrayRef, ArrowError> {
        let len = runs.iter().map(|run| run.rows.len()).sum();
        if !self.values || len == 0 {
            return null_array(&self.kind, len);
        }
        Ok(match &self.kind {
            DataType::Int64 => self.primitive::<Int64Type>(runs, len)?,
            DataType::Float64 => self.primitive::<Float64Type>(runs, len)?,
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.primitive::<TimestampMicrosecondType>(runs, len)?
            }
            DataType::Boolean => {
                let mut values = BooleanBufferBuilder::new(len);
                for run in runs {
                    append(&mut values, self.of(run)?.as_boolean().values(), &run.rows);
                }
                Arc::new(BooleanArray::new(values.finish(), self.validity(runs, len)?))
            }
            DataType::Utf8 => self.text(runs, len)?,
            DataType::Struct(fields) => {
                let members = self.below.iter().map(|below| below.gather(runs));
                let members = members.collect::<Result<_, _>>()?;
                let nulls = self.validity(runs, len)?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), members, nulls, len)?)
            }
            DataType::List(element) => {
                let (offsets, inner) =
                    self.elements(runs, len, |array| array.as_list::<i32>().offsets())?;
                let (values, nulls) = (self.below(&inner)?, self.validity(runs, len)?);
                Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls)?)
            }
            DataType::Map(entries, sorted) => {
                let (offsets, inner) =
                    self.elements(runs, len, |array| array.as_map().offsets())?;
                let (pairs, nulls) = (self.below(&inner)?, self.validity(runs, len)?);
                let pairs = pairs.as_struct().clone();
                Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?)
            }
            DataType::RunEndEncoded(_, _) => {
                let (inner, rows) = runs_of_values(&self.arrays, runs)?;
                run_ends::encode(&self.below(&inner)?, rows)?
            }
            // No schema compiles to another type: correct is enough.
            _ => {
                let parts = runs
                    .iter()
                    .map(|run| Ok(self.of(run)?.slice(run.rows.start, run.rows.len())))
                    .collect::<Result<Vec<_>, ArrowError>>()?;
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                concat(&parts)?
            }
        })
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        runs: &[Run],
        len: usize,
    ) -> Result<ArrayRef, ArrowError> {
        let mut values: Vec<T::Native> = Vec::with_capacity(len);
        for run in runs {
            let all: &[T::Native] = self.of(run)?.as_primitive::<T>().values();
            values.extend_from_slice(all.get(run.rows.clone()).unwrap_or_default());
        }
        let array = PrimitiveArray::<T>::try_new(values.into(), self.validity(runs, len)?)?;
        Ok(make_array(array.with_data_type(self.kind.clone()).into()))
    }

    fn text(&self, runs: &[Run], len: usize) -> Result<ArrayRef, ArrowError> {
        let bounds = |run: &Run| -> Result<(&StringArray, &[i32], Range<usize>), ArrowError> {
            let array = self.of(run)?.as_string::<i32>();
            let offsets = array.value_offsets();
            let offsets = offsets.get(run.rows.start..=run.rows.end).unwrap_or_default();
            let (first, last) = (offsets.first().copied(), offsets.last().copied());
            Ok((array, offsets, first.unwrap_or(0) as usize..last.unwrap_or(0) as usize))
        };
        let mut total = 0;
        for run in runs {
            total += bounds(run)?.2.len();
        }
        if i32::try_from(total).is_err() {
            return Err(ArrowError::OffsetOverflowError(total));
        }
        let mut bytes = Vec::with_capacity(total);
        let mut offsets: Vec<i32> = Vec::with_capacity(len + 1);
        offsets.push(0);
        for run in runs {
            let (array, from, place) = bounds(run)?;
            // Within an i32: the sum of all was.
            let shift = bytes.len() as i32 - place.start as i32;
            offsets.extend(from.iter().skip(1).map(|offset| offset + shift));
            bytes.extend_from_slice(array.value_data().get(place).unwrap_or_default());
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let nulls = self.validity(runs, len)?;
        Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls)?))
    }

    /// Returns the offsets of these rows' lists, and the runs of their elements.
    fn elements(
        &self,
        runs: &[Run],
        len: usize,
        offsets_of: impl Fn(&ArrayRef) -> &OffsetBuffer<i32>,
    ) -> Result<(OffsetBuffer<i32>, Vec<Run>), ArrowError> {
        let mut offsets: Vec<i32> = Vec::with_capacity(len + 1);
        let mut inner: Vec<Run> = Vec::with_capacity(runs.len());
        let mut total = 0i32;
        offsets.push(0);
        for run in runs {
            let from: &[i32] = offsets_of(self.of(run)?);
            let from = from.get(run.rows.start..=run.rows.end).unwrap_or_default();
            let (Some(first), Some(last)) = (from.first(), from.last()) else { continue };
            let (before, count) = (total, last - first);
            total = before
                .checked_add(count)
                .ok_or(ArrowError::OffsetOverflowError(i32::MAX as usize))?;
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

    fn validity(&self, runs: &[Run], len: usize) -> Result<Option<NullBuffer>, ArrowError> {
        if !self.nulls {
            return Ok(None);
        }
        let mut valid = BooleanBufferBuilder::new(len);
        for run in runs {
            match self.of(run)?.nulls() {
                Some(nulls) => append(&mut valid, nulls.inner(), &run.rows),
                None => valid.append_n(run.rows.len(), true),
            }
        }
        Ok(Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0))
    }
}

/// Returns the runs of values, and the rows of each, that `wanted` rows of run-end encoded arrays have.
fn runs_of_values(
    arrays: &[ArrayRef],
    wanted: &[Run],
) -> Result<(Vec<Run>, Vec<usize>), ArrowError> {
    let wrong = || wrong("runs of no batch");
    let (mut inner, mut times): (Vec<Run>, Vec<usize>) = (Vec::new(), Vec::new());
    for run in wanted.iter().filter(|run| !run.rows.is_empty()) {
        let array =
            arrays.get(run.batch).and_then(|array| run_ends::runs(array)).ok_or_else(wrong)?;
        let ends = array.run_ends();
        let end_of = |at: usize| {
            let end = ends.values().get(at).map(|end| *end as usize - ends.offset());
            end.ok_or_else(wrong)
        };
        let mut row = run.rows.start;
        let mut at = array.get_physical_index(row);
        while row < run.rows.end {
            let end = end_of(at)?.min(run.rows.end);
            match inner.last_mut().zip(times.last_mut()) {
                // The rest of a session whose rows lie in several places.
                Some((before, times)) if before.batch == run.batch && before.rows.end == at + 1 => {
                    *times += end - row;
                }
                Some((before, _)) if before.batch == run.batch && before.rows.end == at => {
                    before.rows.end = at + 1;
                    times.push(end - row);
                }
                _ => {
                    inner.push(Run { batch: run.batch, rows: at..at + 1 });
                    times.push(end - row);
                }
            }
            (row, at) = (end, at + 1);
        }
    }
    Ok((inner, times))
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
