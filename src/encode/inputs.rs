//! The inputs of a column's leaves: their arrays, and the shape of the lists around them.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef};
use arrow::datatypes::FieldRef;
use parquet::errors::ParquetError;

use super::shape::Shape;
use crate::columnar::nesting::{Nesting, leaves, nesting};
use crate::columnar::null_arrays::is_null;

/// The places and values of a leaf in a row group.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) shape: Arc<Shape>,
    /// The definition level of present places in which the leaf is null.
    pub(super) level: u8,
    /// The leaf in each batch; empty if it has no value.
    pub(super) arrays: Vec<ArrayRef>,
}

/// Appends the inputs of the leaves of `field`, which is `arrays` in the batches. Its present places in `shape`
/// have the definition level `level`.
///
/// # Errors
/// Arrays of another type than the field's.
pub(super) fn collect(
    field: &FieldRef,
    arrays: Vec<ArrayRef>,
    shape: &Arc<Shape>,
    level: u8,
    out: &mut Vec<Input>,
) -> Result<(), ParquetError> {
    if arrays.iter().all(|array| array.is_empty() || is_null(array)) {
        let none = Input { shape: Arc::clone(shape), level, arrays: Vec::new() };
        out.extend(std::iter::repeat_n(none, leaves(field.data_type())));
        return Ok(());
    }
    let is_nullable = field.is_nullable();
    let below = level + u8::from(is_nullable);
    let other = || ParquetError::General(format!("{} is of another type", field.name()));
    match nesting(field.data_type(), &arrays).ok_or_else(other)? {
        Nesting::Leaf => out.push(Input { shape: Arc::clone(shape), level, arrays }),
        Nesting::Records { members, nulls } => {
            let shape = match is_nullable && nulls.iter().any(Option::is_some) {
                true => &Arc::new(shape.of_records(level, &nulls)),
                false => shape,
            };
            for (member, arrays) in members {
                collect(member, arrays, shape, below, out)?;
            }
        }
        Nesting::Lists { lists, element, elements } => {
            let shape = Arc::new(shape.of_lists(level, is_nullable, &lists)?);
            collect(element, elements, &shape, below + 1, out)?;
        }
    }
    Ok(())
}
