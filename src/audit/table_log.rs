//! The logs of tables, as the commands that read a lake look at them: Delta logs in the lake, and
//! snapshots in a catalog.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;

use crate::clock::SystemClock;
use crate::commit::delta::{LiveFile, LogView};
use crate::commit::iceberg::{Catalog, IcebergTable, IcebergView};
use crate::commit::{CatalogOptions, LogError};
use crate::error_text::shown;
use crate::lake::names::{self, TABLE_LOG, TABLE_METADATA};
use crate::lake::{Lake, RecordError, StoreError};
use crate::record::Roll;
use crate::schema::TableSchema;
use crate::table::{Format, Template};

/// Live files between the thread that reads a log and the task that looks at them.
const FILES_AHEAD: usize = 1024;

/// The reason that a log was not read, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LogFailure {
    /// It is wrong, or of another table.
    #[error("{0}")]
    Wrong(String),
    /// The store or the catalog gave no answer, or what it has cannot be read now.
    #[error("{0}")]
    Away(String),
}

impl From<LogError> for LogFailure {
    fn from(error: LogError) -> LogFailure {
        match error {
            LogError::Refused(why) => LogFailure::Wrong(why),
            LogError::Unknown(why) => LogFailure::Away(why),
        }
    }
}

/// The logs of a lake's tables.
#[derive(Clone)]
pub struct TableLogs {
    lake: Lake,
    /// The catalog of its Iceberg tables, or the reason that no client could be made of its options; none
    /// if none is configured.
    catalog: Option<Result<Arc<Catalog>, String>>,
}

impl TableLogs {
    /// Makes it for a lake, and the options of the catalog of its Iceberg tables. Asks nothing.
    #[must_use]
    pub fn of(lake: &Lake, catalog: Option<&CatalogOptions>) -> TableLogs {
        let client = |options: &CatalogOptions| {
            let client = Catalog::new(options.clone(), Arc::new(SystemClock));
            client.map(Arc::new).map_err(|why| format!("the catalog: {why}"))
        };
        TableLogs { lake: lake.clone(), catalog: catalog.map(client) }
    }

    /// Returns the format of `table` if it has a log: by its identity, or else by the objects that only a
    /// table of the format has. The reason if the identity cannot be read.
    ///
    /// # Errors
    /// The lake.
    pub(super) async fn format(
        &self,
        table: &str,
    ) -> Result<(Option<Format>, Option<String>), StoreError> {
        let (identity, why) = match self.lake.table_identity(table).await {
            Ok(identity) => (identity, None),
            Err(RecordError::Store(error)) => return Err(error),
            Err(error) => (None, Some(error.to_string())),
        };
        if let Some(identity) = identity {
            return Ok((Some(identity.format), None));
        }
        for format in [Format::Delta, Format::Iceberg] {
            if self.lake.has_format(table, format).await? {
                return Ok((Some(format), why));
            }
        }
        Ok((None, why))
    }

    /// Opens the log of `table`, which is of `format`. Returns `None` if there is none yet.
    ///
    /// # Errors
    /// [`LogFailure`]: it cannot be read, or is of another table than the lake's.
    pub(super) async fn open(
        &self,
        table: &str,
        format: Format,
    ) -> Result<Option<TableLog>, LogFailure> {
        let identity = match self.lake.table_identity(table).await {
            Ok(identity) => identity,
            Err(RecordError::Store(error)) => return Err(LogFailure::Away(error.to_string())),
            // `format` tells of it.
            Err(_) => None,
        };
        let known = identity.and_then(|identity| identity.id);
        match (self.open_any(table, format).await?, known) {
            (Some(log), Some(known)) if known != log.id() => Err(LogFailure::Wrong(format!(
                "another table stands in its place, with the id {}: the lake's has {} ({})",
                shown(log.id()),
                shown(&known),
                names::table_identity(table)
            ))),
            (None, Some(_)) if format == Format::Iceberg => Err(LogFailure::Wrong(format!(
                "it is not in the catalog, and was there before ({})",
                names::table_identity(table)
            ))),
            (log, _) => Ok(log),
        }
    }

    async fn open_any(&self, table: &str, format: Format) -> Result<Option<TableLog>, LogFailure> {
        let runtime = Handle::current();
        // The library waits for the store on a thread of its own while the runtime's threads read.
        if runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            let why = "a log is read by a runtime of several threads alone".to_owned();
            return Err(LogFailure::Away(why));
        }
        let (lake, name) = (self.lake.clone(), table.to_owned());
        match format {
            Format::Plain => Ok(None),
            Format::Delta => {
                blocking(move || {
                    let Some(view) = LogView::open(&lake, &name, runtime)? else { return Ok(None) };
                    let (version, marks) = (view.version(), view.marks()?);
                    Ok(Some(TableLog { version, marks, view: View::Delta(view) }))
                })
                .await
            }
            Format::Iceberg => {
                let catalog = match &self.catalog {
                    Some(catalog) => {
                        let catalog = catalog.as_ref();
                        Arc::clone(catalog.map_err(|why| LogFailure::Away(why.clone()))?)
                    }
                    None => {
                        let why = "it is an Iceberg table, and its catalog is not known: give the address \
                                   under [catalog], or as SESSIONLAKE_CATALOG_URI";
                        return Err(LogFailure::Away(why.to_owned()));
                    }
                };
                let (schema, partition) = (Arc::<TableSchema>::default(), Template::default());
                // Neither is asked for by a view.
                let name = Arc::from(name);
                let log = IcebergTable::new(&lake, &name, schema, partition, catalog, runtime)
                    .map_err(LogFailure::Wrong)?;
                let view = blocking(move || log.view()).await?;
                Ok(view.map(|view| {
                    let (version, marks) = (view.version(), view.marks());
                    let view = View::Iceberg(Box::new(view));
                    TableLog { version, marks, view }
                }))
            }
        }
    }
}

/// A table as of one version of its log.
pub(super) struct TableLog {
    /// The version, or the sequence number of the snapshot.
    pub(super) version: u64,
    /// The last roll of each node that the table has.
    pub(super) marks: BTreeMap<String, Roll>,
    view: View,
}

enum View {
    Delta(LogView),
    Iceberg(Box<IcebergView>),
}

/// Facts of the snapshot of an Iceberg table.
pub(super) struct SnapshotFacts {
    /// Its id; none of a table without one.
    pub(super) id: Option<i64>,
    /// The address of the table.
    pub(super) location: String,
    /// Delete files, and the rows in them.
    pub(super) deletes: (u64, u64),
}

impl TableLog {
    fn id(&self) -> &str {
        match &self.view {
            View::Delta(view) => view.id(),
            View::Iceberg(view) => view.id(),
        }
    }

    /// Returns the last roll of `node` that the table has; 0 if it has none.
    pub(super) fn mark(&self, node: &str) -> Roll {
        self.marks.get(node).copied().unwrap_or(Roll(0))
    }

    /// Returns the facts of the snapshot of an Iceberg table.
    pub(super) fn snapshot(&self) -> Option<SnapshotFacts> {
        let View::Iceberg(view) = &self.view else { return None };
        let (location, deletes) = (shown(view.location()), view.deletes());
        let deletes = (deletes.files, deletes.rows);
        Some(SnapshotFacts { id: view.snapshot_id(), location, deletes })
    }

    /// Hands each live file to `each`, in no order. The log is read ahead by a bounded number.
    ///
    /// # Errors
    /// [`LogFailure`]; some files were handed over then.
    ///
    /// # Cancel safety
    /// Reads only. The thread that reads ends after the part it is at.
    pub(super) async fn each_file<E>(
        self,
        mut each: impl AsyncFnMut(LiveFile) -> Result<(), E>,
    ) -> Result<Result<(), E>, LogFailure> {
        let (send, files) = mpsc::channel(FILES_AHEAD);
        let reader = blocking(move || {
            let hand_over = |file| {
                // Nobody looks at them any more.
                let _ = send.blocking_send(file);
            };
            match self.view {
                View::Delta(view) => view.each_file(hand_over),
                View::Iceberg(view) => view.each_file(hand_over),
            }
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
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogFailure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(LogFailure::Away(format!("reading the log ended early: {error}"))),
    }
}

/// Returns the folder of the log of a table.
pub(super) fn folder(table: &str, format: Format) -> String {
    match format {
        Format::Iceberg => format!("{table}/{TABLE_METADATA}"),
        Format::Plain | Format::Delta => format!("{table}/{TABLE_LOG}"),
    }
}
