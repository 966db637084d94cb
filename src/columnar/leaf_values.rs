//! The values of a leaf column in several batches: those that are not null, in order, and which they are.

use std::ops::Range;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanBufferBuilder};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::values::{doubles, longs, strings, timestamps};

/// The values of a column that are not null, in the order of their places.
#[derive(Debug, PartialEq)]
pub(crate) enum Values<'a> {
    /// Texts, in UTF-8.
    Texts(Vec<&'a [u8]>),
    /// Integers, and times in microseconds.
    Integers(Vec<i64>),
    /// The bits of doubles.
    Doubles(Vec<i64>),
    /// True or false.
    Booleans(Vec<bool>),
}

/// The values of a column, and which of its elements have one; all without that.
#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    /// The values.
    pub(crate) values: Values<'a>,
    /// A bit for each element.
    pub(crate) valid: Option<BooleanBuffer>,
}

impl<'a> Gathered<'a> {
    /// Gathers the values of `arrays`, one of each batch, at `elements`, the ranges of each.
    ///
    /// # Errors
    /// Arrays of another type than the first, or of a type that no schema has.
    pub(crate) fn of(
        arrays: &'a [ArrayRef],
        elements: &[Vec<Range<usize>>],
    ) -> Result<Gathered<'a>, ArrowError> {
        let valid = validity(arrays, elements);
        let all = || elements.iter().flatten().map(Range::len).sum();
        let count = valid.as_ref().map_or_else(all, BooleanBuffer::count_set_bits);
        let kind = arrays.first().map(|array| array.data_type().clone());
        let values = match kind {
            Some(DataType::Utf8) => {
                let mut texts = Vec::with_capacity(count);
                for (array, rows) in parts(arrays, elements, strings)? {
                    let (offsets, bytes) = (array.value_offsets(), array.value_data());
                    let text = |row: usize| {
                        let ends = offsets.get(row).zip(offsets.get(row + 1));
                        ends.and_then(|(a, b)| bytes.get(*a as usize..*b as usize))
                            .unwrap_or_default()
                    };
                    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
                        None => texts.extend(rows.map(text)),
                        Some(nulls) => {
                            let of = nulls.inner().slice(rows.start, rows.len());
                            texts.extend(of.set_indices().map(|at| text(rows.start + at)));
                        }
                    }
                }
                Values::Texts(texts)
            }
            Some(DataType::Int64) => {
                let mut all = Vec::with_capacity(count);
                for (array, rows) in parts(arrays, elements, longs)? {
                    take(&mut all, array.values(), array.nulls(), rows, |value| value);
                }
                Values::Integers(all)
            }
            Some(DataType::Timestamp(..)) => {
                let mut all = Vec::with_capacity(count);
                for (array, rows) in parts(arrays, elements, timestamps)? {
                    take(&mut all, array.values(), array.nulls(), rows, |value| value);
                }
                Values::Integers(all)
            }
            Some(DataType::Float64) => {
                let mut all = Vec::with_capacity(count);
                for (array, rows) in parts(arrays, elements, doubles)? {
                    take(&mut all, array.values(), array.nulls(), rows, bits);
                }
                Values::Doubles(all)
            }
            Some(DataType::Boolean) => {
                let mut all = Vec::with_capacity(count);
                for (array, rows) in parts(arrays, elements, |array| array.as_boolean_opt())? {
                    let values = array.values();
                    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
                        None => all.extend(rows.map(|row| values.value(row))),
                        Some(nulls) => {
                            let of = nulls.inner().slice(rows.start, rows.len());
                            all.extend(of.set_indices().map(|at| values.value(rows.start + at)));
                        }
                    }
                }
                Values::Booleans(all)
            }
            kind => return Err(ArrowError::SchemaError(format!("a column of type {kind:?}"))),
        };
        Ok(Gathered { values, valid })
    }
}

impl Values<'_> {
    /// Returns the number of values.
    pub(crate) fn len(&self) -> usize {
        match self {
            Values::Texts(texts) => texts.len(),
            Values::Integers(all) => all.len(),
            Values::Doubles(all) => all.len(),
            Values::Booleans(all) => all.len(),
        }
    }

    /// Returns the values of which `is_kept` says so.
    pub(crate) fn only(&self, is_kept: &[bool]) -> Self {
        fn only<T: Copy>(all: &[T], is_kept: &[bool]) -> Vec<T> {
            let kept = all.iter().zip(is_kept).filter(|(_, is_kept)| **is_kept);
            kept.map(|(value, _)| *value).collect()
        }
        match self {
            Values::Texts(texts) => Values::Texts(only(texts, is_kept)),
            Values::Integers(all) => Values::Integers(only(all, is_kept)),
            Values::Doubles(all) => Values::Doubles(only(all, is_kept)),
            Values::Booleans(all) => Values::Booleans(only(all, is_kept)),
        }
    }

    /// Returns the bytes of all values in plain pages.
    pub(crate) fn plain_bytes(&self) -> usize {
        match self {
            Values::Texts(texts) => texts.iter().map(|text| size_of::<u32>() + text.len()).sum(),
            Values::Integers(all) => all.len() * size_of::<i64>(),
            Values::Doubles(all) => all.len() * size_of::<f64>(),
            Values::Booleans(all) => all.len().div_ceil(8),
        }
    }
}

/// Returns the parts of arrays with these elements.
fn parts<'a, A>(
    arrays: &'a [ArrayRef],
    elements: &[Vec<Range<usize>>],
    of: impl Fn(&'a dyn arrow::array::Array) -> Option<&'a A>,
) -> Result<Vec<(&'a A, Range<usize>)>, ArrowError> {
    let mut parts = Vec::new();
    for (array, ranges) in arrays.iter().zip(elements) {
        let array = of(array.as_ref());
        let array =
            array.ok_or_else(|| ArrowError::SchemaError("batches of two types".to_owned()))?;
        parts.extend(ranges.iter().map(|range| (array, range.clone())));
    }
    Ok(parts)
}

/// Appends those values of `rows` that are not null.
fn take<T: Copy, U>(
    to: &mut Vec<U>,
    values: &[T],
    nulls: Option<&arrow::buffer::NullBuffer>,
    rows: Range<usize>,
    of: impl Fn(T) -> U,
) {
    let values = values.get(rows.clone()).unwrap_or_default();
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => to.extend(values.iter().map(|value| of(*value))),
        Some(nulls) => {
            let valid = nulls.inner().slice(rows.start, rows.len());
            to.extend(valid.set_indices().filter_map(|at| values.get(at)).map(|value| of(*value)));
        }
    }
}

/// Returns the bits of a double.
fn bits(double: f64) -> i64 {
    double.to_bits().cast_signed()
}

/// Returns which elements have a value; `None` if all have.
fn validity(arrays: &[ArrayRef], elements: &[Vec<Range<usize>>]) -> Option<BooleanBuffer> {
    if arrays.iter().all(|array| array.null_count() == 0) {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(elements.iter().flatten().map(Range::len).sum());
    for (array, ranges) in arrays.iter().zip(elements) {
        for range in ranges {
            match array.nulls() {
                Some(nulls) => valid.append_buffer(&nulls.inner().slice(range.start, range.len())),
                None => valid.append_n(range.len(), true),
            }
        }
    }
    let valid = valid.finish();
    (valid.count_set_bits() < valid.len()).then_some(valid)
}
