//! Columns level by level: what is directly below records, lists and maps, of several batches at once.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef};

/// The parts of a column.
#[derive(Debug)]
pub(crate) enum Nesting<'a> {
    /// Values.
    Leaf,
    /// Records: their members, each in every batch, and which of them are null, where any is.
    Records { members: Vec<(&'a FieldRef, Vec<ArrayRef>)>, nulls: Vec<Option<&'a NullBuffer>> },
    /// Lists, or maps, which are lists of records: their elements in every batch.
    Lists { lists: Vec<Lists<'a>>, element: &'a FieldRef, elements: Vec<ArrayRef> },
}

/// The lists of a batch: where their elements are, and which of them are null.
pub(crate) type Lists<'a> = (&'a OffsetBuffer<i32>, Option<&'a NullBuffer>);

/// Returns the parts of a column of type `kind`, which is `arrays` in the batches; `None` if an array is of
/// another type.
pub(crate) fn nesting<'a>(kind: &'a DataType, arrays: &'a [ArrayRef]) -> Option<Nesting<'a>> {
    Some(match kind {
        DataType::Struct(fields) => {
            let records = arrays.iter().map(|array| array.as_struct_opt());
            let records = records.collect::<Option<Vec<_>>>()?;
            let nulls = |of: &'a StructArray| of.nulls().filter(|nulls| nulls.null_count() > 0);
            let member = |(at, field)| {
                let arrays = records.iter().map(|of| of.columns().get(at).cloned());
                Some((field, arrays.collect::<Option<_>>()?))
            };
            let members = fields.iter().enumerate().map(member).collect::<Option<_>>()?;
            Nesting::Records { members, nulls: records.iter().copied().map(nulls).collect() }
        }
        DataType::List(element) => {
            let lists = arrays.iter().map(|array| array.as_list_opt::<i32>());
            let lists = lists.collect::<Option<Vec<_>>>()?;
            let of = |list: &'a ListArray| (list.offsets(), list.nulls());
            Nesting::Lists {
                element,
                elements: lists.iter().map(|list| Arc::clone(list.values())).collect(),
                lists: lists.iter().copied().map(of).collect(),
            }
        }
        DataType::Map(element, _) => {
            let maps = arrays.iter().map(|array| array.as_map_opt());
            let maps = maps.collect::<Option<Vec<_>>>()?;
            let of = |map: &'a MapArray| (map.offsets(), map.nulls());
            Nesting::Lists {
                element,
                elements: maps.iter().map(|map| Arc::new(map.entries().clone()) as _).collect(),
                lists: maps.iter().copied().map(of).collect(),
            }
        }
        _ => Nesting::Leaf,
    })
}

/// Returns the number of leaves of a type.
pub(crate) fn leaves(kind: &DataType) -> usize {
    match kind {
        DataType::Struct(members) => members.iter().map(|member| leaves(member.data_type())).sum(),
        DataType::List(element) | DataType::Map(element, _) => leaves(element.data_type()),
        _ => 1,
    }
}
