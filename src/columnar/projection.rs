//! One leaf of a nested column, cut out as a column of its own: the same lists and records around
//! it, with nothing else in them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;

/// One leaf of a column. A map counts as one, since its keys and values cannot be parted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Projection {
    /// The index of the member in each record on the way from the column to the leaf.
    path: Vec<usize>,
    /// The column with nothing but this leaf.
    field: FieldRef,
}

impl Projection {
    /// Returns the leaves of the column `field`, in the order that Parquet has them.
    pub(crate) fn leaves(field: &FieldRef) -> Vec<Projection> {
        let mut leaves = Vec::new();
        collect(field, &mut Vec::new(), &mut leaves);
        leaves
    }

    /// Returns the column's field with nothing but this leaf.
    pub(crate) fn field(&self) -> &FieldRef {
        &self.field
    }

    /// Returns the column `array` with nothing but this leaf. No value is copied.
    ///
    /// # Errors
    /// `array` is not of the column's type.
    pub(crate) fn project(&self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        project(array, &self.field, &self.path)
    }
}

fn collect(field: &FieldRef, path: &mut Vec<usize>, out: &mut Vec<Projection>) {
    match field.data_type() {
        DataType::Struct(members) => {
            for (at, member) in members.iter().enumerate() {
                path.push(at);
                let first = out.len();
                collect(member, path, out);
                for Projection { field: inner, .. } in out.iter_mut().skip(first) {
                    let only = DataType::Struct(Fields::from(vec![Arc::clone(inner)]));
                    *inner = Arc::new(field.as_ref().clone().with_data_type(only));
                }
                path.pop();
            }
        }
        DataType::List(element) => {
            let first = out.len();
            collect(element, path, out);
            for Projection { field: inner, .. } in out.iter_mut().skip(first) {
                let only = DataType::List(Arc::clone(inner));
                *inner = Arc::new(field.as_ref().clone().with_data_type(only));
            }
        }
        _ => out.push(Projection { path: path.clone(), field: Arc::clone(field) }),
    }
}

fn project(array: &ArrayRef, field: &Field, path: &[usize]) -> Result<ArrayRef, ArrowError> {
    match field.data_type() {
        DataType::Struct(members) => {
            let array = array.as_struct();
            let (Some((at, path)), Some(member)) = (path.split_first(), members.first()) else {
                return Err(mismatch(field));
            };
            let inner = array.columns().get(*at).ok_or_else(|| mismatch(field))?;
            let inner = project(inner, member, path)?;
            let (members, nulls) = (members.clone(), array.nulls().cloned());
            Ok(Arc::new(StructArray::try_new(members, vec![inner], nulls)?))
        }
        DataType::List(element) => {
            let array = array.as_list::<i32>();
            let values = project(array.values(), element, path)?;
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls)?))
        }
        _ => Ok(Arc::clone(array)),
    }
}

fn mismatch(field: &Field) -> ArrowError {
    ArrowError::SchemaError(format!("column {} is not of the table's schema", field.name()))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use parquet::arrow::ArrowSchemaConverter;

    use super::*;

    #[test]
    fn the_leaves_of_a_column_are_cut_out_in_the_order_of_parquet() {
        let schema = crate::schema::TableSchema::builtin("user_sessions").unwrap().arrow();
        let parquet = ArrowSchemaConverter::new().convert(&schema).unwrap();
        let mut seen = 0;
        for field in schema.fields() {
            for leaf in Projection::leaves(field) {
                let only = Arc::new(Schema::new(vec![leaf.field]));
                let alone = ArrowSchemaConverter::new().convert(&only).unwrap();
                for leaf in alone.columns() {
                    assert_eq!(*leaf, parquet.column(seen));
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, parquet.num_columns());
    }
}
