//! Data files of a table, with errors that name the file.

use arrow::array::RecordBatch;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use parquet::file::metadata::RowGroupMetaData;

use super::{SampleError, Table};
use crate::audit::inspect;
use crate::lake::names::ObjectName;
use crate::lake::{Batches, DataFile, DataFileError, Lake, Object};

/// Footers read at a time.
const AT_A_TIME: usize = 16;

/// A data file of a table.
pub(super) struct File(DataFile);

/// Returns every data file of a table, in the order of their names.
pub(super) async fn files(table: &Table<'_>) -> Result<Vec<File>, SampleError> {
    let mut listed: Vec<Object> = table.lake.list(table.name).await.map_err(SampleError::List)?;
    listed.retain(|object| {
        let name = ObjectName::parse(&object.name);
        matches!(name, ObjectName::Data { .. } | ObjectName::ForeignData { .. })
    });
    listed.sort();
    stream::iter(listed)
        .map(|object| async {
            let name = object.name.clone();
            let opened = DataFile::open(table.lake, object).await;
            opened
                .map(File)
                .map_err(|source| SampleError::File { file: name, source: Box::new(source) })
        })
        .buffered(AT_A_TIME)
        .try_collect()
        .await
}

impl File {
    pub(super) fn name(&self) -> String {
        self.0.object.name.clone()
    }

    /// Returns the last `startTime` in microseconds by the statistics, if every row group has them.
    pub(super) fn last(&self) -> Option<i64> {
        let columns = self.0.footer.file_metadata().schema_descr().columns();
        let start = columns.iter().position(|column| column.path().string() == "startTime")?;
        let last = |group: &RowGroupMetaData| {
            inspect::times(group.columns().get(start)?).map(|(_, last)| last)
        };
        let groups = self.0.footer.row_groups().iter().map(last);
        groups.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Returns the batches of some columns and rows: see [`DataFile::batches`].
    pub(super) fn batches<'a>(
        &'a self,
        lake: &'a Lake,
        columns: Option<&[&str]>,
        rows: Option<&[usize]>,
    ) -> Result<FileBatches<'a>, SampleError> {
        let batches = self.0.batches(lake, columns, rows).map_err(|source| self.failed(source))?;
        Ok(FileBatches { file: self, batches })
    }

    fn failed(&self, source: DataFileError) -> SampleError {
        SampleError::File { file: self.name(), source: Box::new(source) }
    }
}

/// Batches of a file.
pub(super) struct FileBatches<'a> {
    file: &'a File,
    batches: Batches<'a>,
}

impl FileBatches<'_> {
    /// Returns the next batch, or `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, SampleError> {
        self.batches.next().await.map_err(|source| self.file.failed(source))
    }
}
