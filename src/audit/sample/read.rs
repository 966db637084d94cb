//! Rows of Parquet files in a store, by column and by row.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{ObjectMeta, ObjectStore};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::push_decoder::ParquetPushDecoderBuilder;
use parquet::file::metadata::ParquetMetaData;

use super::{SampleError, Table};
use crate::audit::inspect;

/// Footers read at a time.
const AT_A_TIME: usize = 16;
/// Rows of a batch that is looked at: wide rows take much memory.
const BATCH_ROWS: usize = 1_024;

/// A file of a table, with its footer.
pub(super) struct File {
    meta: ObjectMeta,
    footer: Arc<ParquetMetaData>,
}

/// Every Parquet file of a table, in the order of their names. Hidden ones are no files of it.
pub(super) async fn files(table: &Table<'_>) -> Result<Vec<File>, SampleError> {
    let folder = table.prefix.clone().join(table.name);
    let mut listed: Vec<ObjectMeta> =
        table.store.list(Some(&folder)).try_collect().await.map_err(SampleError::List)?;
    listed.retain(|meta| {
        let below: Vec<_> = meta.location.prefix_match(&folder).into_iter().flatten().collect();
        let hidden = below.iter().any(|part| part.as_ref().starts_with(['_', '.']));
        !hidden && meta.location.as_ref().ends_with(".parquet")
    });
    listed.sort_by(|a, b| a.location.cmp(&b.location));
    stream::iter(listed)
        .map(|meta| async {
            let footer = inspect::footer(table.store, &meta.location, meta.size).await;
            let footer = footer.map_err(|error| wrong(&meta, error))?;
            Ok(File { meta, footer: Arc::new(footer) })
        })
        .buffered(AT_A_TIME)
        .try_collect()
        .await
}

fn wrong(meta: &ObjectMeta, source: impl std::error::Error + Send + Sync + 'static) -> SampleError {
    SampleError::File { file: meta.location.to_string(), source: Box::new(source) }
}

impl File {
    pub(super) fn name(&self) -> String {
        self.meta.location.to_string()
    }

    /// The last `startTime` in microseconds, by the statistics, if every row group has them.
    pub(super) fn last(&self) -> Option<i64> {
        let columns = self.footer.file_metadata().schema_descr().columns();
        let start = columns.iter().position(|column| column.path().string() == "startTime")?;
        let last = |group: &parquet::file::metadata::RowGroupMetaData| {
            inspect::times(group.columns().get(start)?).map(|(_, last)| last)
        };
        let groups = self.footer.row_groups().iter().map(last);
        groups.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Calls `each` with the batches of some columns (those that are there) and rows, in order;
    /// `rows` are sorted.
    pub(super) async fn read(
        &self,
        store: &dyn ObjectStore,
        columns: Option<&[&str]>,
        rows: Option<&[usize]>,
        mut each: impl FnMut(RecordBatch) -> Result<(), SampleError>,
    ) -> Result<(), SampleError> {
        let parquet = |error| wrong(&self.meta, error);
        let mut builder = ParquetPushDecoderBuilder::try_new_decoder(self.footer.clone())
            .map_err(parquet)?
            .with_batch_size(BATCH_ROWS);
        if let Some(columns) = columns {
            let schema = self.footer.file_metadata().schema_descr();
            builder =
                builder.with_projection(ProjectionMask::columns(schema, columns.iter().copied()));
        }
        if let Some(rows) = rows {
            // Row groups without a wanted row are not even asked for.
            let (mut groups, mut selectors) = (Vec::new(), Vec::new());
            let (mut begin, mut left) = (0, rows);
            for (number, group) in self.footer.row_groups().iter().enumerate() {
                let end = begin + usize::try_from(group.num_rows()).unwrap_or(0);
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
            builder =
                builder.with_row_groups(groups).with_row_selection(RowSelection::from(selectors));
        }
        let mut decoder = builder.build().map_err(parquet)?;
        loop {
            match decoder.try_decode().map_err(parquet)? {
                DecodeResult::Data(batch) => each(batch)?,
                DecodeResult::Finished => return Ok(()),
                DecodeResult::NeedsData(ranges) => {
                    let read: Vec<Bytes> = store
                        .get_ranges(&self.meta.location, &ranges)
                        .await
                        .map_err(|error| wrong(&self.meta, error))?;
                    decoder.push_ranges(ranges, read).map_err(parquet)?;
                }
            }
        }
    }
}
