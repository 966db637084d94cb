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

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, Schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::lookup::look_up;
use super::pages::{Chunk, ColumnWriter, ColumnWriterFactory, DictionaryPages};
use super::runs::Runs;
use crate::columnar::folded::{Folded, Place};
use crate::columnar::null_arrays::{is_null, null_array};
use crate::columnar::projection::Projection;
use crate::columnar::repeat::{Repeat, repeat};
use crate::columnar::sizes::plain_page_bytes;
use crate::schema::Kind;

/// A chunk of fewer bytes than this, before the codec, is written bare.
const BARE_BYTES: usize = 512;

/// A leaf of a table, with the factories of its writers.
#[derive(Debug)]
pub(super) struct Leaf {
    /// The place of its column in batches.
    place: Place,
    /// Its values are looked up, and its pages made by this module: a column of a flat table, of texts or
    /// integers and not in lists, with a codec that `pages` has.
    by_lookup: bool,
    projection: Projection,
    full: ColumnWriterFactory,
    /// Without a dictionary: for values that were looked up, and are too many.
    plain: Option<ColumnWriterFactory>,
    bare: ColumnWriterFactory,
}

/// Rows that are written of a folded column at a time: with the most text that a session repeats, a few
/// megabytes.
const PIECE_ROWS: usize = 4096;

impl Leaf {
    /// Returns the leaves of `field`, the column at `place`. Chunks are written with the
    /// properties `full`, and compressed with `zstd` if there is one; those that are next to empty
    /// with `bare`. `is_flat` says that the table is a flat one.
    ///
    /// # Errors
    /// A type that Parquet cannot hold.
    pub(super) fn of(
        place: Place,
        field: &FieldRef,
        full: &WriterPropertiesPtr,
        bare: &WriterPropertiesPtr,
        zstd: Option<ZstdLevel>,
        is_flat: bool,
    ) -> Result<Vec<Leaf>, ParquetError> {
        let codec = full.compression(&ColumnPath::new(vec![field.name().clone()]));
        let kinds: &[Kind] = match place {
            Place::Folded(_) => &[Kind::String, Kind::Long, Kind::TimestampMillis],
            Place::Own(_) if is_flat => &[Kind::String, Kind::Long],
            // Nested tables' files are settled.
            Place::Own(_) => &[],
        };
        let by_lookup = kinds.iter().any(|kind| kind.arrow() == *field.data_type())
            && codec == Compression::UNCOMPRESSED;
        let plain = by_lookup.then(|| {
            Arc::new(full.as_ref().clone().into_builder().set_dictionary_enabled(false).build())
        });
        let make = |projection: Projection| {
            let full = factory(projection.field(), full)?;
            let bare = factory(projection.field(), bare)?;
            let plain = plain.as_ref().map(|of| factory(projection.field(), of)).transpose()?;
            Ok(Leaf {
                place,
                by_lookup,
                plain: plain.map(|plain| ColumnWriterFactory::new(plain, zstd)),
                projection,
                full: ColumnWriterFactory::new(full, zstd),
                bare: ColumnWriterFactory::new(bare, None),
            })
        };
        Projection::leaves(field).into_iter().map(make).collect()
    }

    /// Encodes its chunks (two for a map) of the row group that `batches` are. `folded` are the folded
    /// columns of these, if they have any.
    ///
    /// # Errors
    /// Batches of another schema, or a failure of the writer.
    pub(super) fn encode(
        &self,
        batches: &[RecordBatch],
        folded: &[Folded],
    ) -> Result<Vec<Chunk>, ParquetError> {
        let at = match self.place {
            Place::Folded(at) => return self.encode_folded(at, folded),
            Place::Own(at) => at,
        };
        let mut arrays = Vec::with_capacity(batches.len());
        let mut bytes = 0;
        for batch in batches {
            let column = batch.columns().get(at).ok_or_else(|| self.missing())?;
            let array = self.projection.project(column)?;
            bytes += plain_page_bytes(&array);
            arrays.push(array);
        }
        let mut writers = if bytes < BARE_BYTES { &self.bare } else { &self.full };
        if self.by_lookup && bytes >= BARE_BYTES {
            match look_up(&arrays, self.projection.field().is_nullable()) {
                Some((values, pages)) => {
                    if let Some(chunk) = self.with_pages(&values, &pages)? {
                        return Ok(vec![chunk]);
                    }
                }
                None => writers = self.plain.as_ref().unwrap_or(writers),
            }
        }
        let mut columns = writers.columns()?;
        for array in &arrays {
            self.write(array, &mut columns)?;
        }
        columns.into_iter().map(ColumnWriter::close).collect()
    }

    fn write(&self, array: &ArrayRef, columns: &mut [ColumnWriter]) -> Result<(), ParquetError> {
        let leaves = compute_leaves(self.projection.field(), array)?;
        leaves.iter().zip(columns).try_for_each(|(levels, column)| column.writer.write(levels))
    }

    /// Encodes the member at `at` of the folded columns.
    fn encode_folded(&self, at: usize, folded: &[Folded]) -> Result<Vec<Chunk>, ParquetError> {
        let member = |folded| Some((Folded::member(folded, at)?, folded.rows()));
        let arrays: Vec<(&ArrayRef, &[usize])> = folded
            .iter()
            .map(|of| member(of).ok_or_else(|| self.missing()))
            .collect::<Result<_, _>>()?;
        if self.by_lookup
            && let Some((values, runs)) = Runs::of(&arrays)
            && runs.plain_bytes() >= BARE_BYTES
            && let pages = runs.pages(self.projection.field().is_nullable())
            && let Some(chunk) = self.with_pages(&values, &pages)?
        {
            return Ok(vec![chunk]);
        }
        // Of each value no more than its own bytes, for each row.
        let bytes = |(array, rows): &(&ArrayRef, &[usize])| {
            let most = rows.iter().copied().max().unwrap_or(0);
            plain_page_bytes(array).saturating_mul(most)
        };
        let bytes = arrays.iter().map(bytes).fold(0, usize::saturating_add);
        let writers = if bytes < BARE_BYTES { &self.bare } else { &self.full };
        let mut columns = writers.columns()?;
        for (array, rows) in arrays {
            if is_null(array) {
                let nulls = null_array(array.data_type(), rows.iter().sum())?;
                self.write(&nulls, &mut columns)?;
                continue;
            }
            for piece in pieces(rows) {
                self.write(&repeat(array, &piece)?, &mut columns)?;
            }
        }
        columns.into_iter().map(ColumnWriter::close).collect()
    }

    /// Encodes the chunk of a column with these distinct values and pages. Returns `None` if the values
    /// have no dictionary.
    fn with_pages(
        &self,
        values: &ArrayRef,
        pages: &DictionaryPages,
    ) -> Result<Option<Chunk>, ParquetError> {
        let mut columns = self.full.columns()?;
        self.write(values, &mut columns)?;
        let column = columns.pop().ok_or_else(|| self.missing())?;
        column.close()?.with_pages(pages)
    }

    fn missing(&self) -> ParquetError {
        ParquetError::General(format!("a batch without column {}", self.projection.field().name()))
    }
}

/// Divides rows, so many for each value, into pieces of no more than [`PIECE_ROWS`].
fn pieces(rows: &[usize]) -> Vec<Vec<Repeat>> {
    let mut pieces: Vec<Vec<Repeat>> = Vec::new();
    let mut room = 0;
    for (value, rows) in rows.iter().enumerate() {
        let mut left = *rows;
        while left > 0 {
            if room == 0 {
                pieces.push(Vec::new());
                room = PIECE_ROWS;
            }
            let some = left.min(room);
            if let Some(piece) = pieces.last_mut() {
                piece.push((value, some));
            }
            (left, room) = (left - some, room - some);
        }
    }
    pieces
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
