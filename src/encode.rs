//! Columns to Parquet: one file of a roll, written row group by row group into a staging file.
//!
//! A staging file is nothing that must survive: a roll that is not committed is made again from
//! the journal. So nothing here is synced; the store syncs what it puts in place.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression as Codec, Encoding, LogicalType, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::schema::types::{ColumnDescPtr, ColumnPath};

use crate::config::Compression;
use crate::schema::{INGEST_ID, TableSchema};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The staging file.
    #[error("staging file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The columns.
    #[error("staging file {path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        source: ParquetError,
    },
}

/// How the files of a table are written.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Columns of the table, lineage included.
    pub arrow: SchemaRef,
    properties: WriterPropertiesPtr,
}

impl Layout {
    /// The layout for `schema`. `metadata` goes into the footer of every file.
    ///
    /// Bloom filters cost encode time, so that only columns marked in the schema have one.
    #[must_use]
    pub fn new(
        schema: &TableSchema,
        compression: Compression,
        metadata: &[(&str, &str)],
    ) -> Layout {
        let arrow = schema.arrow();
        let codec = match compression {
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
            .set_key_value_metadata(Some(pairs.collect()));
        for field in schema.fields.iter().filter(|f| f.bloom) {
            let path = ColumnPath::new(vec![field.name.clone()]);
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_max_ndv(path, 100_000);
        }
        for path in times(&arrow) {
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
        // Ids follow on one another: what differs from the one before is a few bytes.
        let id = ColumnPath::new(vec![INGEST_ID.to_owned()]);
        properties = properties
            .set_column_dictionary_enabled(id.clone(), false)
            .set_column_encoding(id, Encoding::DELTA_BYTE_ARRAY);
        Layout { arrow, properties: Arc::new(properties.build()) }
    }

    /// How the writer is set.
    #[must_use]
    pub fn properties(&self) -> &WriterProperties {
        &self.properties
    }
}

/// The columns of times, wherever they stand in the schema. Hardly a time is there twice, so that
/// a dictionary is given up after it was made; as differences they take a third less.
fn times(arrow: &SchemaRef) -> Vec<ColumnPath> {
    // A schema that the writer cannot convert is its error to report.
    let Ok(parquet) = ArrowSchemaConverter::new().convert(arrow) else { return Vec::new() };
    let is_time = |column: &&ColumnDescPtr| {
        matches!(column.logical_type_ref(), Some(LogicalType::Timestamp { .. }))
    };
    parquet.columns().iter().filter(is_time).map(|column| column.path().clone()).collect()
}

/// A file that is being written.
pub struct Encoder {
    path: PathBuf,
    writer: ArrowWriter<BufWriter<File>>,
    rows: u64,
}

/// A finished staging file.
#[derive(Clone, Debug)]
pub struct Staged {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
}

impl Encoder {
    /// Begins the staging file `path`, which must not exist.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn create(path: &Path, layout: &Layout) -> Result<Encoder, EncodeError> {
        let io = |source| EncodeError::Io { path: path.to_owned(), source };
        let file = File::options().write(true).create_new(true).open(path).map_err(io)?;
        let properties = layout.properties.as_ref().clone();
        let sink = BufWriter::with_capacity(256 * 1024, file);
        let writer = ArrowWriter::try_new(sink, Arc::clone(&layout.arrow), Some(properties))
            .map_err(|source| EncodeError::Parquet { path: path.to_owned(), source })?;
        Ok(Encoder { path: path.to_owned(), writer, rows: 0 })
    }

    /// Writes one row group.
    ///
    /// # Errors
    /// [`EncodeError`]; the file is of no use then.
    pub fn row_group(&mut self, batches: Vec<RecordBatch>) -> Result<(), EncodeError> {
        for batch in batches {
            self.rows += batch.num_rows() as u64;
            self.writer.write(&batch).map_err(|source| self.failed(source))?;
        }
        self.writer.flush().map_err(|source| self.failed(source))
    }

    /// Bytes in the file so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Writes the footer.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn finish(mut self) -> Result<Staged, EncodeError> {
        self.writer.finish().map_err(|source| self.failed(source))?;
        let io = |path: &Path, source| EncodeError::Io { path: path.to_owned(), source };
        let sink = self.writer.inner_mut();
        sink.flush().map_err(|source| io(&self.path, source))?;
        let bytes = sink.get_ref().metadata().map_err(|source| io(&self.path, source))?.len();
        Ok(Staged { path: self.path, bytes, rows: self.rows })
    }

    fn failed(&self, source: ParquetError) -> EncodeError {
        EncodeError::Parquet { path: self.path.clone(), source }
    }
}
