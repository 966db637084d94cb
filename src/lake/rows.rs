//! Rows of data files, by column and by row, with no more of a file than these need.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStore as _;
use object_store::path::Path;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::file::metadata::ParquetMetaData;

use super::{DataFileError, Lake, Object};

/// Rows of a batch: wide rows take much memory.
const BATCH_ROWS: usize = 1_024;

/// A data file with its footer. Clones share the footer.
#[derive(Clone, Debug)]
pub struct DataFile {
    /// The file.
    pub object: Object,
    /// Its footer.
    pub footer: Arc<ParquetMetaData>,
}

impl DataFile {
    /// Reads the footer of `object`.
    ///
    /// # Errors
    /// [`DataFileError`].
    pub async fn open(lake: &Lake, object: Object) -> Result<DataFile, DataFileError> {
        let footer = Arc::new(lake.footer(&object).await?);
        Ok(DataFile { object, footer })
    }

    /// Returns the batches of the top-level columns `columns`, or of all: columns that the file
    /// does not have are left out.
    ///
    /// With `rows`, numbers from 0 in ascending order, the batches hold these rows alone, and row
    /// groups that have none of them are not read.
    ///
    /// # Errors
    /// [`DataFileError`] for a file whose schema cannot be read.
    pub fn batches<'a>(
        &self,
        lake: &'a Lake,
        columns: Option<&[&str]>,
        rows: Option<&[usize]>,
    ) -> Result<Batches<'a>, DataFileError> {
        let mut builder = ParquetPushDecoderBuilder::try_new_decoder(Arc::clone(&self.footer))?
            .with_batch_size(BATCH_ROWS);
        if let Some(columns) = columns {
            let schema = self.footer.file_metadata().schema_descr();
            builder =
                builder.with_projection(ProjectionMask::columns(schema, columns.iter().copied()));
        }
        if let Some(rows) = rows {
            let (groups, selection) = self.select(rows);
            builder = builder.with_row_groups(groups).with_row_selection(selection);
        }
        Ok(Batches { lake, path: lake.path(&self.object.name)?, decoder: builder.build()? })
    }

    /// Returns the row groups that hold `rows`, and the selection of `rows` within these groups.
    fn select(&self, rows: &[usize]) -> (Vec<usize>, RowSelection) {
        let (mut groups, mut selectors) = (Vec::new(), Vec::new());
        let (mut begin, mut left) = (0_usize, rows);
        for (number, group) in self.footer.row_groups().iter().enumerate() {
            let end = usize::try_from(group.num_rows()).map_or(begin, |n| begin.saturating_add(n));
            let inside = left.partition_point(|row| *row < end);
            let (here, rest) = left.split_at(inside);
            if !here.is_empty() {
                groups.push(number);
                let mut at = begin;
                for row in here {
                    selectors.push(RowSelector::skip(row - at));
                    selectors.push(RowSelector::select(1));
                    at = row + 1;
                }
                selectors.push(RowSelector::skip(end - at));
            }
            (begin, left) = (end, rest);
        }
        (groups, RowSelection::from(selectors))
    }
}

/// Batches of a data file, in the order of its rows. Holds one row group's columns at a time.
#[derive(Debug)]
pub struct Batches<'a> {
    lake: &'a Lake,
    path: Path,
    decoder: ParquetPushDecoder,
}

impl Batches<'_> {
    /// Returns the next batch, or `None` after the last one.
    ///
    /// # Errors
    /// [`DataFileError`]; nothing more can be read then.
    ///
    /// # Cancel safety
    /// A call that was dropped can be made again: no batch is lost.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, DataFileError> {
        loop {
            match self.decoder.try_decode()? {
                DecodeResult::Data(batch) => return Ok(Some(batch)),
                DecodeResult::Finished => return Ok(None),
                DecodeResult::NeedsData(ranges) => {
                    let read: Vec<Bytes> = self
                        .lake
                        .store
                        .get_ranges(&self.path, &ranges)
                        .await
                        .map_err(|e| self.lake.failed(e))?;
                    self.decoder.push_ranges(ranges, read)?;
                }
            }
        }
    }
}
