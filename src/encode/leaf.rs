//! One column as Parquet counts them: a leaf of the Arrow schema, encoded by itself.
//!
//! A leaf is cut out of a batch as a column of its own ([`Projection`]), so that its levels are
//! made, used and gone before those of the next, and leaves know nothing of one another: any thread
//! can write any of them.
//!
//! A chunk with next to nothing in it is written **bare**: plain, without dictionary and codec. It
//! would hardly get smaller, and a dictionary has a page and a header of its own: a file of ten
//! sessions has 170 chunks, most of them empty.

use std::io;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{FieldRef, Schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::ZstdLevel;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;

use super::pages::{Chunk, ColumnWriter, ColumnWriterFactory};
use super::runs::Runs;
use crate::columnar::projection::Projection;
use crate::columnar::sizes::plain_page_bytes;

/// A chunk of fewer bytes than this, before the codec, is written bare.
const BARE_BYTES: usize = 512;

/// A leaf of a table, with the factories of its writers.
#[derive(Debug)]
pub(super) struct Leaf {
    /// The index of its column in the table.
    column: usize,
    /// The column is one of text whose values stand in runs.
    in_runs: bool,
    projection: Projection,
    full: ColumnWriterFactory,
    bare: ColumnWriterFactory,
}

impl Leaf {
    /// Returns the leaves of `field`, the column at `column`. Chunks are written with the
    /// properties `full`, and compressed with `zstd` if there is one; those that are next to empty
    /// with `bare`.
    ///
    /// # Errors
    /// A type that Parquet cannot hold.
    pub(super) fn of(
        column: usize,
        field: &FieldRef,
        full: &WriterPropertiesPtr,
        bare: &WriterPropertiesPtr,
        zstd: Option<ZstdLevel>,
    ) -> Result<Vec<Leaf>, ParquetError> {
        let make = |projection: Projection| {
            let full = factory(projection.field(), full)?;
            let bare = factory(projection.field(), bare)?;
            Ok(Leaf {
                column,
                in_runs: false,
                projection,
                full: ColumnWriterFactory::new(full, zstd),
                bare: ColumnWriterFactory::new(bare, None),
            })
        };
        Projection::leaves(field).into_iter().map(make).collect()
    }

    /// Expects runs of equal values, if its column is one of `columns`, which are of text.
    pub(super) fn with_runs_in(mut self, columns: &[usize]) -> Leaf {
        self.in_runs = columns.contains(&self.column);
        self
    }

    /// Encodes its chunks (two for a map) of the row group that `batches` are.
    ///
    /// # Errors
    /// Batches of another schema, or a failure of the writer.
    pub(super) fn encode(&self, batches: &[RecordBatch]) -> Result<Vec<Chunk>, ParquetError> {
        let mut arrays = Vec::with_capacity(batches.len());
        let mut bytes = 0;
        for batch in batches {
            let column = batch.columns().get(self.column).ok_or_else(|| self.missing())?;
            let array = self.projection.project(column)?;
            bytes += plain_page_bytes(&array);
            arrays.push(array);
        }
        if self.in_runs
            && bytes >= BARE_BYTES
            && let Some(runs) = Runs::of(&arrays)
            && let Some(chunk) = self.encode_runs(&runs)?
        {
            return Ok(vec![chunk]);
        }
        let writers = if bytes < BARE_BYTES { &self.bare } else { &self.full };
        let mut columns = writers.columns()?;
        for array in &arrays {
            let leaves = compute_leaves(self.projection.field(), array)?;
            for (levels, column) in leaves.iter().zip(&mut columns) {
                column.writer.write(levels)?;
            }
        }
        columns.into_iter().map(ColumnWriter::close).collect()
    }

    /// Encodes the chunk of a column of text in runs. Returns `None` if the values have no dictionary.
    fn encode_runs(&self, runs: &Runs<'_>) -> Result<Option<Chunk>, ParquetError> {
        let values: ArrayRef = Arc::new(StringArray::from(runs.values.clone()));
        let mut columns = self.full.columns()?;
        for levels in compute_leaves(self.projection.field(), &values)? {
            if let Some(column) = columns.first_mut() {
                column.writer.write(&levels)?;
            }
        }
        let column = columns.pop().ok_or_else(|| self.missing())?;
        column.close()?.with_runs(runs)
    }

    fn missing(&self) -> ParquetError {
        ParquetError::General(format!("a batch without column {}", self.projection.field().name()))
    }
}

/// Returns a factory of writers for `field`. Only a file writer gives one; this one writes nothing.
fn factory(
    field: &FieldRef,
    properties: &WriterPropertiesPtr,
) -> Result<ArrowRowGroupWriterFactory, ParquetError> {
    let schema = Arc::new(Schema::new(vec![Arc::clone(field)]));
    let converter = ArrowSchemaConverter::new().with_coerce_types(properties.coerce_types());
    let root = converter.convert(&schema)?.root_schema_ptr();
    let writer = SerializedFileWriter::new(io::sink(), root, Arc::clone(properties))?;
    Ok(ArrowRowGroupWriterFactory::new(&writer, schema))
}
