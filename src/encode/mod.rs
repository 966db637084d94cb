//! Columns to Parquet: one file of a roll, written row group by row group into a staging file.
//!
//! A row group is encoded leaf by leaf (`leaf`), by writers of this crate: the library's makes the levels of
//! a list for each of its columns, and asks for every value what is known of the column. The levels of a list
//! are made once for all columns in it (`inputs`, `shape`), the values of a column are gathered (`values`),
//! encoded as it is smallest (`choice`: `dictionary`, `delta`, `plain`), and put into pages (`pages`). Several
//! threads can encode leaves side by side. The library writes the footer and the indexes.
//!
//! Between row groups an open file takes the memory of its footer and nothing else, no buffer and no file
//! descriptor: a thousand partitions may be open.
//!
//! Staging files need not survive a crash: a roll that is not committed is made again from the
//! journal. So nothing here is synced; the lake syncs a file before it puts it in place.
//!
//! * [`Layout`]: columns, codec and properties of the files of a table.
//! * [`Encoder`]: one file under construction; [`EncodedFile`]: a finished one, with the statistics
//!   of its columns.
//! * [`FileForm`]: codec, encodings and names of files; [`Compression`]: the codec of pages.

mod bounds;
mod choice;
mod codec;
mod compression;
mod delta;
mod dictionary;
mod form;
mod hashes;
mod headers;
mod hybrid;
mod inputs;
mod leaf;
mod page_bytes;
mod pages;
mod plain;
mod runs;
mod shape;
mod sink;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ArrowSchemaConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue};
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;
use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

pub use self::compression::Compression;
use self::form::CREATED_BY;
pub use self::form::{Encodings, FileForm, MapGroup};
use self::inputs::Input;
use self::leaf::Leaf;
use self::pages::Chunk;
use self::shape::Shape;
use self::sink::Sink;
use crate::columnar::folded::{self, Folded, Place, fold};
use crate::columnar::gather::{Run, gather};
use crate::columnar::nesting::leaves;
use crate::columnar::sizes::row_bytes;
use crate::columnar::statistics::FileStatistics;
use crate::schema::TableSchema;

/// A staging file that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The system refused an operation on the staging file.
    #[error("staging file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The Parquet writer refused the columns.
    #[error("staging file {path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The writer's error.
        source: ParquetError,
    },
}

/// Columns, codec and properties of the files of one table.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Columns of the batches: those of the table, lineage included, or these folded.
    pub batches: SchemaRef,
    root: TypePtr,
    properties: WriterPropertiesPtr,
    columns: Arc<Vec<Column>>,
    threads: Option<Arc<rayon::ThreadPool>>,
}

/// A column of a table.
#[derive(Debug)]
struct Column {
    /// Its place in batches.
    place: Place,
    field: FieldRef,
    /// Its leaves in the order of the file.
    leaves: Vec<Leaf>,
}

impl Layout {
    /// Builds the layout for `schema`. `metadata` goes into the footer of every file. The Arrow schema does
    /// not: readers have the same types without it, and of a small file it would be a third.
    ///
    /// Columns that the schema marks have a Bloom filter; others have none, since filters cost encode
    /// time.
    ///
    /// # Errors
    /// Parquet cannot hold the schema.
    pub fn new(
        schema: &TableSchema,
        form: impl Into<FileForm>,
        metadata: &[(&str, &str)],
    ) -> Result<Layout, ParquetError> {
        Layout::build(schema, form.into(), metadata, None)
    }

    /// Builds the layout of a flat table, of whose columns the first `leading` are of the session: its
    /// batches are folded.
    ///
    /// # Errors
    /// Parquet cannot hold the schema.
    pub fn flat(
        schema: &TableSchema,
        form: impl Into<FileForm>,
        metadata: &[(&str, &str)],
        leading: usize,
    ) -> Result<Layout, ParquetError> {
        Layout::build(schema, form.into(), metadata, Some(leading))
    }

    fn build(
        schema: &TableSchema,
        form: FileForm,
        metadata: &[(&str, &str)],
        leading: Option<usize>,
    ) -> Result<Layout, ParquetError> {
        let arrow = schema.arrow();
        // The library's name for it: with our types, the names of lists and maps are all it changes.
        let named = form.maps == MapGroup::KeyValue;
        let parquet = ArrowSchemaConverter::new().with_coerce_types(named).convert(&arrow)?;
        let pairs = metadata.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), (*v).to_owned()));
        let properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_max_row_group_row_count(None)
            .set_key_value_metadata(Some(pairs.collect()))
            .build();
        let place = |at| match leading {
            Some(leading) => folded::place(at, arrow.fields().len(), leading),
            None => Place::Own(at),
        };
        let mut of_file = parquet.columns().iter();
        let mut columns = Vec::with_capacity(arrow.fields().len());
        for (at, field) in arrow.fields().iter().enumerate() {
            let has_filter = schema.fields.iter().any(|of| of.bloom && of.name == *field.name());
            let is_repeated = matches!(place(at), Place::Folded(_));
            let of_field = of_file.by_ref().take(leaves(field.data_type())).cloned();
            let leaves = of_field.map(|column| Leaf::new(column, form, has_filter, is_repeated));
            let (place, field) = (place(at), Arc::clone(field));
            columns.push(Column { place, field, leaves: leaves.collect() });
        }
        let root = parquet.root_schema_ptr();
        let batches = match leading {
            Some(leading) => fold(&arrow, leading),
            None => arrow,
        };
        let (properties, columns) = (Arc::new(properties), Arc::new(columns));
        Ok(Layout { batches, root, properties, columns, threads: None })
    }

    /// Encodes the leaves of a row group on `threads`, and not on the caller's thread.
    #[must_use]
    pub fn with_threads(self, threads: Arc<rayon::ThreadPool>) -> Layout {
        Layout { threads: Some(threads), ..self }
    }
}

/// A staging file under construction. Dropping it leaves an unfinished file.
pub struct Encoder {
    path: PathBuf,
    layout: Layout,
    writer: SerializedFileWriter<Sink>,
    rows: u64,
}

/// A finished staging file.
#[derive(Clone, Debug)]
pub struct EncodedFile {
    /// The staging file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Number of its rows.
    pub rows: u64,
    /// Statistics of its columns; the owner of many files may drop them.
    pub statistics: Option<FileStatistics>,
}

impl Encoder {
    /// Creates the staging file `path`.
    ///
    /// # Errors
    /// [`EncodeError`]; `path` exists.
    pub fn create(path: &Path, layout: &Layout) -> Result<Encoder, EncodeError> {
        let io = |source| EncodeError::Io { path: path.to_owned(), source };
        let sink = Sink::create(path).map_err(io)?;
        let (root, properties) = (Arc::clone(&layout.root), Arc::clone(&layout.properties));
        let writer = SerializedFileWriter::new(sink, root, properties)
            .map_err(|source| EncodeError::Parquet { path: path.to_owned(), source })?;
        Ok(Encoder { path: path.to_owned(), layout: layout.clone(), writer, rows: 0 })
    }

    /// Writes the rows of `batches` as one row group.
    ///
    /// # Errors
    /// [`EncodeError`]; the file is of no use then.
    pub fn row_group(&mut self, batches: &[RecordBatch]) -> Result<(), EncodeError> {
        let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        let one;
        let few = if rows / MANY_ROWS < batches.len() {
            // Every leaf of every batch has a fixed cost.
            match concatenate(&self.layout.batches, batches) {
                Ok(batch) => {
                    one = batch;
                    std::slice::from_ref(&one)
                }
                // One array cannot hold the text of all.
                Err(_) => batches,
            }
        } else {
            batches
        };
        let written = write_columns(&mut self.writer, &self.layout, few);
        written.map_err(|source| self.failed(source))?;
        let released = self.writer.flush().and_then(|()| self.writer.inner_mut().release());
        released.map_err(|source| EncodeError::Io { path: self.path.clone(), source })?;
        self.rows += rows as u64;
        Ok(())
    }

    /// Returns the columns of its batches.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.layout.batches
    }

    /// Returns the bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Returns the approximate bytes of memory that the footer takes until it is written.
    #[must_use]
    pub fn footer_bytes(&self) -> usize {
        let columns = self.writer.schema_descr().num_columns();
        self.writer.flushed_row_groups().len() * columns * COLUMN_FOOTER_BYTES
    }

    /// Adds a key to the metadata of the footer.
    pub fn add_metadata(&mut self, key: &str, value: &str) {
        let pair = KeyValue::new(key.to_owned(), value.to_owned());
        self.writer.append_key_value_metadata(pair);
    }

    /// Writes the footer, and returns the file with the statistics in it. Nothing is synced.
    ///
    /// # Errors
    /// [`EncodeError`]; the file is of no use then.
    pub fn finish(mut self) -> Result<EncodedFile, EncodeError> {
        let footer = self.writer.finish().map_err(|source| self.failed(source))?;
        let statistics = Some(FileStatistics::of(&footer));
        drop(footer);
        let io = |source| EncodeError::Io { path: self.path.clone(), source };
        self.writer.inner_mut().release().map_err(io)?;
        let bytes = std::fs::metadata(&self.path).map_err(io)?.len();
        Ok(EncodedFile { path: self.path, bytes, rows: self.rows, statistics })
    }

    fn failed(&self, source: ParquetError) -> EncodeError {
        EncodeError::Parquet { path: self.path.clone(), source }
    }
}

/// Encodes the leaves of `batches` and appends their chunks as one row group.
fn write_columns(
    writer: &mut SerializedFileWriter<Sink>,
    layout: &Layout,
    batches: &[RecordBatch],
) -> Result<(), ParquetError> {
    let folded: Vec<Folded> = batches.iter().filter_map(Folded::of).collect();
    let rows = Arc::new(Shape::of_rows(batches.iter().map(RecordBatch::num_rows)));
    let bytes: usize = batches.iter().map(|batch| row_bytes(batch, &(0..batch.num_rows()))).sum();
    let inputs = |column| inputs_of(column, batches, &folded, &rows);
    let columns = &*layout.columns;
    let mut chunks: Vec<Chunk> = match &layout.threads {
        Some(threads) if bytes >= SHARED_BYTES => threads.install(|| {
            let inputs: Vec<Vec<(&Leaf, Made)>> =
                columns.par_iter().map(inputs).collect::<Result<_, _>>()?;
            let all: Vec<(&Leaf, Made)> = inputs.into_iter().flatten().collect();
            all.into_par_iter().map(|(leaf, of)| of.encoded(leaf)).collect::<Result<_, _>>()
        })?,
        _ => {
            let mut chunks = Vec::new();
            for column in columns {
                for (leaf, of) in inputs(column)? {
                    chunks.push(of.encoded(leaf)?);
                }
            }
            chunks
        }
    };
    // Some readers want the places of all pages of a row group, or of none.
    if chunks.iter().all(Chunk::has_one_page) {
        chunks.iter_mut().for_each(Chunk::without_page_index);
    }
    let mut group = writer.next_row_group()?;
    chunks.into_iter().try_for_each(|chunk| chunk.append(&mut group))?;
    group.close()?;
    Ok(())
}

/// The input of a leaf in a row group, or its chunk already.
enum Made {
    Input(Input),
    Chunk(Box<Chunk>),
}

impl Made {
    fn encoded(self, leaf: &Leaf) -> Result<Chunk, ParquetError> {
        match self {
            Made::Input(input) => leaf.encode(&input),
            Made::Chunk(chunk) => Ok(*chunk),
        }
    }
}

/// Returns the leaves of a column with their inputs in `batches`, whose rows are `rows` and whose folded
/// columns `folded`.
fn inputs_of<'a>(
    column: &'a Column,
    batches: &[RecordBatch],
    folded: &[Folded],
    rows: &Arc<Shape>,
) -> Result<Vec<(&'a Leaf, Made)>, ParquetError> {
    let missing =
        || ParquetError::General(format!("a batch without column {}", column.field.name()));
    let (arrays, shape): (Option<Vec<ArrayRef>>, _) = match column.place {
        Place::Own(at) => {
            let arrays = batches.iter().map(|batch| batch.columns().get(at).cloned());
            (arrays.collect(), Arc::clone(rows))
        }
        Place::Folded(at) => {
            let arrays = folded.iter().map(|of| Folded::member(of, at).cloned());
            let arrays: Vec<ArrayRef> = arrays.collect::<Option<_>>().ok_or_else(missing)?;
            let rows: Vec<&[usize]> = folded.iter().map(Folded::rows).collect();
            if let [leaf] = column.leaves.as_slice()
                && leaf.is_flat()
                && let Some(chunk) = leaf.encode_runs(&arrays, &rows)?
            {
                return Ok(vec![(leaf, Made::Chunk(Box::new(chunk)))]);
            }
            (Some(arrays), Arc::new(Shape::of_repeated(&rows)))
        }
    };
    let arrays = arrays.ok_or_else(missing)?;
    let mut inputs = Vec::with_capacity(column.leaves.len());
    inputs::collect(&column.field, arrays, &shape, 0, &mut inputs)?;
    let inputs = inputs.into_iter().map(Made::Input);
    Ok(column.leaves.iter().zip(inputs).collect())
}

/// Rows a batch below which batches are concatenated before they are encoded. From 32 on it costs more to copy
/// sessions than to encode them in pieces (docs/performance.md).
const MANY_ROWS: usize = 32;

/// Copies the rows of all batches into one.
fn concatenate(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let runs: Vec<Run> = batches
        .iter()
        .enumerate()
        .map(|(at, batch)| Run { batch: at, rows: 0..batch.num_rows() })
        .collect();
    gather(schema, batches, &runs)
}

/// Arrow bytes of a row group from which other threads are worth waking.
const SHARED_BYTES: usize = 2 << 20;

/// Bytes of memory of a column chunk's metadata: its struct, statistics and encodings, and the
/// indexes of its pages.
const COLUMN_FOOTER_BYTES: usize = std::mem::size_of::<ColumnChunkMetaData>() + 768;

#[cfg(test)]
mod column_tests;
#[cfg(test)]
mod filter_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod statistics_tests;
#[cfg(test)]
mod tests;
