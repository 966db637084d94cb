//! The log of a table, as the commands that read a lake look at it.

use std::collections::BTreeMap;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;

use crate::commit::delta::{LiveFile, LogView};
use crate::lake::Lake;
use crate::lake::names::TABLE_LOG;
use crate::record::Roll;

/// Live files between the thread that reads a log and the task that looks at them.
const FILES_AHEAD: usize = 1024;

/// A table as of one version of its log.
pub(super) struct TableLog {
    pub(super) version: u64,
    /// The last roll of each node that the table has.
    pub(super) marks: BTreeMap<String, Roll>,
    view: LogView,
}

impl TableLog {
    /// Opens the log of the table in the folder `table`. Returns `None` if there is none.
    ///
    /// # Errors
    /// The reason that it cannot be read, as a sentence.
    pub(super) async fn open(lake: &Lake, table: &str) -> Result<Option<TableLog>, String> {
        let runtime = Handle::current();
        // The library waits for the store on a thread of its own while the runtime's threads read.
        if runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            return Err("a log is read by a runtime of several threads alone".to_owned());
        }
        let (lake, table) = (lake.clone(), table.to_owned());
        blocking(move || {
            let Some(view) = LogView::open(&lake, &table, runtime)? else { return Ok(None) };
            let (version, marks) = (view.version(), view.marks()?);
            Ok(Some(TableLog { version, marks, view }))
        })
        .await
    }

    /// Returns the last roll of `node` that the table has; 0 if it has none.
    pub(super) fn mark(&self, node: &str) -> Roll {
        self.marks.get(node).copied().unwrap_or(Roll(0))
    }

    /// Hands each live file to `each`, in no order. The log is read ahead by a bounded number.
    ///
    /// # Errors
    /// The reason that it cannot be read; some files were handed over then.
    ///
    /// # Cancel safety
    /// Reads only. The thread that reads ends after the part it is at.
    pub(super) async fn each_file<E>(
        self,
        mut each: impl AsyncFnMut(LiveFile) -> Result<(), E>,
    ) -> Result<Result<(), E>, String> {
        let (send, files) = mpsc::channel(FILES_AHEAD);
        let reader = blocking(move || {
            self.view.each_file(|file| {
                // Nobody looks at them any more.
                let _ = send.blocking_send(file);
            })
        });
        let looker = async move {
            // Dropped at the end, so that the reader does not wait for room.
            let mut files = files;
            while let Some(file) = files.recv().await {
                each(file).await?;
            }
            Ok(())
        };
        let (read, looked) = futures::join!(reader, looker);
        read.map(|()| looked)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::commit::delta::LogError> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(format!("reading the log ended early: {error}")),
    }
}

/// Returns the folder of the log of a table.
pub(super) fn folder(table: &str) -> String {
    format!("{table}/{TABLE_LOG}")
}
