//! The contents of a table by its log, as of one version: live files and marks.

use std::collections::BTreeMap;
use std::sync::Arc;

use delta_kernel::Snapshot;
use delta_kernel::scan::state::ScanFile;
use delta_kernel::snapshot::SnapshotRef;
use tokio::runtime::Handle;

use super::log::Log;
use super::{marks, path};
use crate::commit::LogError;
use crate::lake::Lake;
use crate::record::Roll;

/// A table as of the version that was the latest when it was opened.
pub(crate) struct LogView {
    log: Log,
    snapshot: SnapshotRef,
}

/// A file that readers of the table read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LiveFile {
    /// Its name, relative to the table and decoded; a whole URL for a file elsewhere.
    pub(crate) path: String,
    /// Its rows, if the log says.
    pub(crate) rows: Option<u64>,
    /// How many of its rows are deleted by a deletion vector.
    pub(crate) deleted_rows: u64,
    /// Its size in bytes.
    pub(crate) bytes: u64,
}

impl LogView {
    /// Opens the table in the folder `name` of `lake`. Returns `None` if there is no log. Blocks.
    ///
    /// # Errors
    /// The store failed, or the log cannot be read.
    pub(crate) fn open(
        lake: &Lake,
        name: &str,
        runtime: Handle,
    ) -> Result<Option<LogView>, LogError> {
        let log = Log::new(lake, name, runtime)
            .map_err(|error| LogError::Refused(format!("table {name}: {error}")))?;
        let snapshot = log.latest()?;
        Ok(snapshot.map(|snapshot| LogView { log, snapshot }))
    }

    /// Returns the version.
    pub(crate) fn version(&self) -> u64 {
        self.snapshot.version()
    }

    /// Returns the id of the table.
    pub(crate) fn id(&self) -> &str {
        self.snapshot.table_configuration().metadata().id()
    }

    /// Returns the last roll of each node that the table has. Blocks.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn marks(&self) -> Result<BTreeMap<String, Roll>, LogError> {
        marks::of(&self.log, &self.snapshot)
    }

    /// Hands each live file to `each`, in no order, a part of the log at a time. In memory are the names
    /// of the files that were added and removed since the last checkpoint. Blocks.
    ///
    /// # Errors
    /// The log cannot be read; some files were handed over then.
    pub(crate) fn each_file(&self, mut each: impl FnMut(LiveFile)) -> Result<(), LogError> {
        let failed = |e| LogError::of(format_args!("reading the files of {}", self.log.table), &e);
        let snapshot: Arc<Snapshot> = Arc::clone(&self.snapshot);
        let scan = snapshot.scan_builder().without_row_transforms().build().map_err(failed)?;
        for batch in scan.scan_metadata(&self.log.engine).map_err(failed)? {
            let collect = |files: &mut Vec<ScanFile>, file: ScanFile| files.push(file);
            let files = batch.map_err(failed)?.visit_scan_files(Vec::new(), collect);
            for file in files.map_err(failed)? {
                each(self.live(&file)?);
            }
        }
        Ok(())
    }

    /// Returns all live files, ordered by their names. Holds all of them. Blocks.
    ///
    /// # Errors
    /// The log cannot be read.
    #[cfg(test)]
    pub(crate) fn live_files(&self) -> Result<Vec<LiveFile>, LogError> {
        let mut files = Vec::new();
        self.each_file(|file| files.push(file))?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    fn live(&self, file: &ScanFile) -> Result<LiveFile, LogError> {
        let wrong = |what: &str| {
            let (table, path, version) = (&self.log.table, &file.path, self.version());
            LogError::Refused(format!("{table}, version {version}: the file {path} has {what}"))
        };
        let path = path::decode(&file.path).ok_or_else(|| wrong("a path that is no text"))?;
        let deleted = file.dv_info.cardinality().map_err(|_| wrong("a negative count"))?;
        Ok(LiveFile {
            path: path.into_owned(),
            rows: file.stats.as_ref().map(|stats| stats.num_records),
            deleted_rows: deleted.unwrap_or(0),
            bytes: u64::try_from(file.size).map_err(|_| wrong("a negative size"))?,
        })
    }
}
