//! One column as Parquet counts them: a leaf of the Arrow schema, encoded by itself.
//!
//! A leaf is cut out of a batch as a column of its own (the same lists and records around it, with
//! nothing else in them), so that its levels are made, used and gone before those of the next, and
//! leaves know nothing of one another: any thread can write any of them.
//!
//! A chunk with next to nothing in it is written **bare**: plain, without dictionary and codec. It
//! would hardly get smaller, and a dictionary has a page and a header of its own: a file of ten
//! sessions has 170 chunks, most of them empty.

use std::io;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::error::ArrowError;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::ZstdLevel;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;

use super::pages::{Chunk, Column, Writers};

/// A chunk of fewer bytes than this, before the codec, is written bare.
const BARE_BYTES: usize = 512;

/// A leaf of a table. A map counts as one, since its keys and values cannot be parted.
#[derive(Debug)]
pub(super) struct Leaf {
    /// The column it belongs to.
    column: usize,
    /// Which member of each record on the way to it.
    path: Vec<usize>,
    /// The column with nothing but this leaf.
    field: FieldRef,
    full: Writers,
    bare: Writers,
}

impl Leaf {
    /// The leaves of `field`, the column at `column`.
    pub(super) fn of(
        column: usize,
        field: &FieldRef,
        full: &WriterPropertiesPtr,
        bare: &WriterPropertiesPtr,
        zstd: Option<ZstdLevel>,
    ) -> Result<Vec<Leaf>, ParquetError> {
        let mut cuts = Vec::new();
        cut(field, &mut Vec::new(), &mut cuts);
        let make = |(path, field): (Vec<usize>, FieldRef)| {
            let full = Writers::new(factory(&field, full)?, zstd);
            let bare = Writers::new(factory(&field, bare)?, None);
            Ok(Leaf { column, path, field, full, bare })
        };
        cuts.into_iter().map(make).collect()
    }

    /// Its chunks (two for a map) of a row group.
    pub(super) fn encode(&self, batches: &[RecordBatch]) -> Result<Vec<Chunk>, ParquetError> {
        let mut arrays = Vec::with_capacity(batches.len());
        let mut bytes = 0;
        for batch in batches {
            let column = batch.columns().get(self.column).ok_or_else(|| self.missing())?;
            let array = alone(column, &self.field, &self.path)?;
            bytes += plain_bytes(&array, 0);
            arrays.push(array);
        }
        let writers = if bytes < BARE_BYTES { &self.bare } else { &self.full };
        let mut columns = writers.columns()?;
        for array in &arrays {
            for (levels, column) in compute_leaves(&self.field, array)?.iter().zip(&mut columns) {
                column.writer.write(levels)?;
            }
        }
        columns.into_iter().map(Column::close).collect()
    }

    fn missing(&self) -> ParquetError {
        ParquetError::General(format!("a batch without column {}", self.field.name()))
    }
}

/// A factory is only to be had from a writer; this one writes nothing.
fn factory(
    field: &FieldRef,
    properties: &WriterPropertiesPtr,
) -> Result<ArrowRowGroupWriterFactory, ParquetError> {
    let schema = Arc::new(Schema::new(vec![Arc::clone(field)]));
    let root = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
    let writer = SerializedFileWriter::new(io::sink(), root, Arc::clone(properties))?;
    Ok(ArrowRowGroupWriterFactory::new(&writer, schema))
}

/// The leaves below `field`, each with its path and as the only one there is.
fn cut(field: &FieldRef, path: &mut Vec<usize>, out: &mut Vec<(Vec<usize>, FieldRef)>) {
    match field.data_type() {
        DataType::Struct(members) => {
            for (at, member) in members.iter().enumerate() {
                path.push(at);
                let first = out.len();
                cut(member, path, out);
                for (_, inner) in out.iter_mut().skip(first) {
                    let only = DataType::Struct(Fields::from(vec![Arc::clone(inner)]));
                    *inner = Arc::new(field.as_ref().clone().with_data_type(only));
                }
                path.pop();
            }
        }
        DataType::List(element) => {
            let first = out.len();
            cut(element, path, out);
            for (_, inner) in out.iter_mut().skip(first) {
                let only = DataType::List(Arc::clone(inner));
                *inner = Arc::new(field.as_ref().clone().with_data_type(only));
            }
        }
        _ => out.push((path.clone(), Arc::clone(field))),
    }
}

/// `array` with nothing but the leaf at `path`: `field` is what it then is. Copies no value.
fn alone(array: &ArrayRef, field: &Field, path: &[usize]) -> Result<ArrayRef, ArrowError> {
    match field.data_type() {
        DataType::Struct(members) => {
            let array = array.as_struct();
            let (Some((at, path)), Some(member)) = (path.split_first(), members.first()) else {
                return Err(wrong(field));
            };
            let inner = array.columns().get(*at).ok_or_else(|| wrong(field))?;
            let inner = alone(inner, member, path)?;
            let (members, nulls) = (members.clone(), array.nulls().cloned());
            Ok(Arc::new(StructArray::try_new(members, vec![inner], nulls)?))
        }
        DataType::List(element) => {
            let array = array.as_list::<i32>();
            let values = alone(array.values(), element, path)?;
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls)?))
        }
        _ => Ok(Arc::clone(array)),
    }
}

fn wrong(field: &Field) -> ArrowError {
    ArrowError::SchemaError(format!("column {} is not of the table's schema", field.name()))
}

/// What the leaves of `array` take in a plain page, about: values, and a bit or two of levels for
/// each of the `places`, of which an empty list has one as well.
fn plain_bytes(array: &ArrayRef, places: usize) -> usize {
    let places = places.max(array.len());
    let valid = array.len() - array.null_count();
    let below = |array: &ArrayRef| plain_bytes(array, places);
    let values = match array.data_type() {
        DataType::Struct(_) => return array.as_struct().columns().iter().map(below).sum(),
        DataType::List(_) => return below(array.as_list::<i32>().values()),
        DataType::Map(_, _) => {
            return below(array.as_map().keys()) + below(array.as_map().values());
        }
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            let ends = offsets.first().zip(offsets.last());
            valid * 4 + ends.map_or(0, |(first, last)| last.abs_diff(*first) as usize)
        }
        DataType::Boolean => valid / 8,
        _ => valid * 8,
    };
    values + places / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaves_of_a_column_are_cut_out_in_the_order_of_parquet() {
        let schema = crate::schema::TableSchema::builtin("user_sessions").unwrap().arrow();
        let parquet = ArrowSchemaConverter::new().convert(&schema).unwrap();
        let mut seen = 0;
        for field in schema.fields() {
            let mut cuts = Vec::new();
            cut(field, &mut Vec::new(), &mut cuts);
            for (_, only) in cuts {
                let only = Arc::new(Schema::new(vec![only]));
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
