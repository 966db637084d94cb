//! Nested columns with one part replaced. Nothing else of them is copied.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, ListArray, MapArray, StructArray};
use arrow::error::ArrowError;

/// Returns the record column `array` with its members replaced by what `rewrite` makes of them. The
/// types and the number of the members stay as they are.
///
/// # Errors
/// `array` is no record, `rewrite` fails, or the members are of other types or lengths.
pub(crate) fn members(
    array: &ArrayRef,
    rewrite: impl FnOnce(&mut [ArrayRef]) -> Result<(), ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    let structs = array.as_struct_opt().ok_or_else(|| mismatch("record", array))?;
    let (fields, mut columns, nulls) = structs.clone().into_parts();
    rewrite(&mut columns)?;
    Ok(Arc::new(StructArray::try_new(fields, columns, nulls)?))
}

/// Returns the list column `array` with its elements replaced by what `rewrite` makes of them.
///
/// # Errors
/// `array` is no list, `rewrite` fails, or the elements are of another type or fewer.
pub(crate) fn elements(
    array: &ArrayRef,
    rewrite: impl FnOnce(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    let lists = array.as_list_opt::<i32>().ok_or_else(|| mismatch("list", array))?;
    let (field, offsets, values, nulls) = lists.clone().into_parts();
    let values = rewrite(&values)?;
    Ok(Arc::new(ListArray::try_new(field, offsets, values, nulls)?))
}

/// Returns the map column `array` with its values replaced by what `rewrite` makes of its keys and
/// its values.
///
/// # Errors
/// `array` is no map, `rewrite` fails, or the values are of another type or number.
pub(crate) fn map_values(
    array: &ArrayRef,
    rewrite: impl FnOnce(&ArrayRef, &ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    let maps = array.as_map_opt().ok_or_else(|| mismatch("map", array))?;
    let (field, offsets, entries, nulls, ordered) = maps.clone().into_parts();
    let (fields, mut columns, entry_nulls) = entries.into_parts();
    if let [keys, values] = columns.as_mut_slice() {
        *values = rewrite(keys, values)?;
    }
    let entries = StructArray::try_new(fields, columns, entry_nulls)?;
    Ok(Arc::new(MapArray::try_new(field, offsets, entries, nulls, ordered)?))
}

fn mismatch(expected: &str, array: &ArrayRef) -> ArrowError {
    ArrowError::SchemaError(format!("a column of type {} is no {expected}", array.data_type()))
}
