//! Run-end encoded arrays: a value for each run of rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, RunArray};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;

/// A run-end encoded array.
pub(super) type Runs = RunArray<Int32Type>;

/// Returns run-end encoded values: each with the number of rows that have it, which is not 0.
///
/// # Errors
/// More than 2^31 rows; another number of values.
pub(super) fn encode(
    values: &dyn Array,
    rows: impl IntoIterator<Item = usize>,
) -> Result<ArrayRef, ArrowError> {
    let mut ends = Vec::with_capacity(values.len());
    let mut end = 0_usize;
    for rows in rows {
        end = end.saturating_add(rows);
        ends.push(i32::try_from(end).map_err(|_| ArrowError::OffsetOverflowError(end))?);
    }
    Ok(Arc::new(Runs::try_new(&Int32Array::from(ends), values)?))
}

/// Returns `array` as run-end encoded; `None` if it is of another type.
pub(super) fn runs(array: &dyn Array) -> Option<&Runs> {
    array.as_any().downcast_ref::<Runs>()
}

/// Returns the number of rows of each of its runs.
pub(super) fn rows(runs: &Runs) -> Vec<usize> {
    let mut before = 0;
    let rows = runs.run_ends().sliced_values().map(|end| {
        let end = end as usize;
        let rows = end - before;
        before = end;
        rows
    });
    rows.collect()
}

/// Returns the values of a run-end encoded array that `rows` of it have.
pub(super) fn values_of(array: &Runs, rows: &Range<usize>) -> Range<usize> {
    match rows.is_empty() {
        true => 0..0,
        false => {
            let last = array.get_physical_index(rows.end - 1);
            array.get_physical_index(rows.start)..last + 1
        }
    }
}
