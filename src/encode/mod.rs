//! Columns to Parquet: one file of a roll, written row group by row group into a staging file.
//!
//! A row group is encoded leaf by leaf (`leaf`). The writer of a leaf is created, filled and closed
//! before the next one is created, so that its dictionary stays in the processor's cache, and several
//! threads can encode leaves side by side. Between row groups an open file takes the memory of its
//! footer and nothing else, no buffer and no file descriptor: a thousand partitions may be open.
//!
//! Staging files need not survive a crash: a roll that is not committed is made again from the
//! journal. So nothing here is synced; the lake syncs a file before it puts it in place.
//!
//! * [`Layout`]: columns, codec and properties of the files of a table.
//! * [`Encoder`]: one file under construction; [`EncodedFile`]: a finished one, with the statistics
//!   of its columns.
//! * [`FileForm`]: codec, encodings and names of files; [`Compression`]: the codec of pages.

mod compression;
mod form;
mod hashes;
mod headers;
mod hybrid;
mod leaf;
mod lookup;
mod pages;
mod runs;
mod sink;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression as Codec, Encoding, LogicalType, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue};
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescPtr, ColumnPath, TypePtr};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

pub use self::compression::Compression;
pub use self::form::{Encodings, FileForm, MapGroup};
use self::leaf::Leaf;
use self::pages::Chunk;
use self::sink::Sink;
use crate::columnar::folded::{self, Folded, Place, fold};
use crate::columnar::gather::{Run, gather};
use crate::columnar::sizes::row_bytes;
use crate::columnar::statistics::FileStatistics;
use crate::schema::{INGEST_ID, TableSchema};

/// A limit of a dictionary that no row group reaches: they hold 1 GiB at most.
const ANY_DICTIONARY: usize = 1 << 30;

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
    /// Number of leaf columns.
    columns: usize,
    properties: WriterPropertiesPtr,
    leaves: Arc<Vec<Leaf>>,
    threads: Option<Arc<rayon::ThreadPool>>,
}

impl Layout {
    /// Builds the layout for `schema`. `metadata` goes into the footer of every file.
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
        let codec = match form.compression {
            Compression::Zstd(level) => Codec::ZSTD(ZstdLevel::try_new(level).unwrap_or_default()),
            Compression::Snappy => Codec::SNAPPY,
            Compression::Lz4 => Codec::LZ4_RAW,
            Compression::None => Codec::UNCOMPRESSED,
        };
        let pairs = metadata.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), (*v).to_owned()));
        let mut properties = WriterProperties::builder()
            .set_compression(codec)
            .set_created_by(concat!("sessionlake ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_max_row_group_row_count(None)
            .set_coerce_types(named)
            .set_key_value_metadata(Some(pairs.collect()));
        for field in schema.fields.iter().filter(|f| f.bloom) {
            let path = ColumnPath::new(vec![field.name.clone()]);
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_max_ndv(path, 100_000);
        }
        let place = |at| match leading {
            Some(leading) => folded::place(at, arrow.fields().len(), leading),
            None => Place::Own(at),
        };
        // Hardly any time occurs twice, so that a dictionary is made and given up; as differences
        // times take a third less.
        let is_time = |column: &&ColumnDescPtr| {
            matches!(column.logical_type_ref(), Some(LogicalType::Timestamp { .. }))
        };
        let delta = form.encodings == Encodings::Delta;
        for column in parquet.columns().iter().filter(is_time).filter(|_| delta) {
            properties = properties
                .set_column_dictionary_enabled(column.path().clone(), false)
                .set_column_encoding(column.path().clone(), Encoding::DELTA_BINARY_PACKED);
        }
        let id = ColumnPath::new(vec![INGEST_ID.to_owned()]);
        if leading.is_none() {
            // Consecutive ids differ in a few bytes.
            properties = properties.set_column_dictionary_enabled(id.clone(), false);
            if delta {
                properties = properties.set_column_encoding(id, Encoding::DELTA_BYTE_ARRAY);
            }
        }
        for (at, field) in arrow.fields().iter().enumerate() {
            if let Place::Folded(_) = place(at) {
                // A value of a session is in the dictionary once, and in other pages in each row: a row group,
                // which is bounded by what it holds once, would be many times that.
                let path = ColumnPath::new(vec![field.name().clone()]);
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), true)
                    .set_column_dictionary_page_size_limit(path, ANY_DICTIONARY);
            }
        }
        let mut properties = properties.build();
        add_encoded_arrow_schema_to_metadata(&arrow, &mut properties);
        let properties = Arc::new(properties);
        let bare = bare(schema, named);
        let columns = arrow.fields().iter().enumerate();
        // With Zstandard, `pages` compresses the pages, where that pays.
        let (full, zstd) = match codec {
            Codec::ZSTD(level) => {
                let plain = properties.as_ref().clone().into_builder();
                (Arc::new(plain.set_compression(Codec::UNCOMPRESSED).build()), Some(level))
            }
            _ => (Arc::clone(&properties), None),
        };
        let is_flat = leading.is_some();
        let leaf = |(at, field)| Leaf::of(place(at), field, &full, &bare, zstd, is_flat);
        let leaves = columns.map(leaf);
        let leaves: Vec<Vec<Leaf>> = leaves.collect::<Result<_, _>>()?;
        let leaves = Arc::new(leaves.into_iter().flatten().collect());
        let (root, columns) = (parquet.root_schema_ptr(), parquet.num_columns());
        let batches = match leading {
            Some(leading) => fold(&arrow, leading),
            None => arrow,
        };
        Ok(Layout { batches, root, columns, properties, leaves, threads: None })
    }

    /// Encodes the leaves of a row group on `threads`, and not on the caller's thread.
    #[must_use]
    pub fn with_threads(self, threads: Arc<rayon::ThreadPool>) -> Layout {
        Layout { threads: Some(threads), ..self }
    }

    /// Returns the properties of the Parquet writer.
    #[must_use]
    pub fn properties(&self) -> &WriterProperties {
        &self.properties
    }
}

/// Builds the properties of chunks that are written bare.
fn bare(schema: &TableSchema, named: bool) -> WriterPropertiesPtr {
    let mut properties = WriterProperties::builder()
        .set_compression(Codec::UNCOMPRESSED)
        .set_coerce_types(named)
        .set_dictionary_enabled(false);
    for field in schema.fields.iter().filter(|f| f.bloom) {
        properties = properties
            .set_column_bloom_filter_enabled(ColumnPath::new(vec![field.name.clone()]), true)
            .set_column_bloom_filter_max_ndv(ColumnPath::new(vec![field.name.clone()]), 128);
    }
    Arc::new(properties.build())
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
        let columns = self.layout.columns;
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
    let mut group = writer.next_row_group()?;
    let folded: Vec<Folded> = batches.iter().filter_map(Folded::of).collect();
    let bytes: usize = batches.iter().map(|batch| row_bytes(batch, &(0..batch.num_rows()))).sum();
    match &layout.threads {
        Some(threads) if bytes >= SHARED_BYTES => {
            let encoded =
                || layout.leaves.par_iter().map(|leaf| leaf.encode(batches, &folded)).collect();
            let encoded: Vec<Result<Vec<_>, ParquetError>> = threads.install(encoded);
            for chunks in encoded {
                append(chunks?, &mut group)?;
            }
        }
        _ => {
            for leaf in &*layout.leaves {
                append(leaf.encode(batches, &folded)?, &mut group)?;
            }
        }
    }
    group.close()?;
    Ok(())
}

/// Rows a batch below which batches are concatenated before they are encoded.
const MANY_ROWS: usize = 256;

/// Copies the rows of all batches into one.
fn concatenate(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let runs: Vec<Run> = batches
        .iter()
        .enumerate()
        .map(|(at, batch)| Run { batch: at, rows: 0..batch.num_rows() })
        .collect();
    gather(schema, batches, &runs)
}

fn append(
    chunks: Vec<Chunk>,
    group: &mut SerializedRowGroupWriter<'_, Sink>,
) -> Result<(), ParquetError> {
    chunks.into_iter().try_for_each(|chunk| chunk.append(group))
}

/// Arrow bytes of a row group from which other threads are worth waking.
const SHARED_BYTES: usize = 2 << 20;

/// Bytes of memory of a column chunk's metadata: its struct, statistics and encodings, and the
/// indexes of its pages.
const COLUMN_FOOTER_BYTES: usize = std::mem::size_of::<ColumnChunkMetaData>() + 768;

#[cfg(test)]
mod statistics_tests;
#[cfg(test)]
mod tests;
