//! The log of a table: where it is, and its latest state.

use std::sync::Arc;

use delta_kernel::Engine as _;
use delta_kernel::snapshot::{IncrementalReplay, Snapshot, SnapshotRef};
use delta_kernel_default_engine::executor::tokio::TokioMultiThreadExecutor;
use delta_kernel_default_engine::{DefaultEngine, DefaultEngineBuilder};
use tokio::runtime::Handle;
use url::Url;

use super::error::is_missing;
use crate::commit::LogError;
use crate::lake::Lake;
use crate::lake::names::TABLE_LOG;

/// The log of a table in a lake. Methods block.
pub(super) struct Log {
    pub(super) engine: DefaultEngine<TokioMultiThreadExecutor>,
    pub(super) root: Url,
    /// The table, as people write it.
    pub(super) table: String,
}

impl Log {
    /// Returns the log of the table in the folder `name`. Asks nothing yet.
    ///
    /// # Errors
    /// The name makes no URL.
    pub(super) fn new(lake: &Lake, name: &str, runtime: Handle) -> Result<Log, url::ParseError> {
        let root = Url::parse(&lake.log_root())?.join(&format!("{name}/"))?;
        let executor = Arc::new(TokioMultiThreadExecutor::new(runtime));
        let engine =
            DefaultEngineBuilder::new(lake.log_store()).with_task_executor(executor).build();
        let table = format!("the Delta table {}/{name}", lake.location());
        Ok(Log { engine, root, table })
    }

    /// Reads the latest state of the table. Returns `None` if there is no log at all.
    ///
    /// Nothing is kept from an earlier state: a log that was replaced would be taken for the one
    /// before. With a checksum at the last version it takes a listing from the last checkpoint on and
    /// two small objects.
    ///
    /// # Errors
    /// The store failed, the log cannot be read, or `_delta_log` has files and no log.
    pub(super) fn latest(&self) -> Result<Option<SnapshotRef>, LogError> {
        let built = Snapshot::builder_for(self.root.as_str())
            .with_incremental_crc_replay(IncrementalReplay::Unlimited)
            .build(&self.engine);
        match built {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(error) if is_missing(&error) => self.check_empty().map(|()| None),
            Err(error) => Err(LogError::of(format_args!("reading {}", self.table), &error)),
        }
    }

    /// Checks that the folder of the log has no files, once it has no log.
    fn check_empty(&self) -> Result<(), LogError> {
        let failed =
            |error| LogError::of(format_args!("listing the log of {}", self.table), &error);
        let folder = self.root.join(&format!("{TABLE_LOG}/")).map_err(|e| failed(e.into()))?;
        let listed = self.engine.storage_handler().list_from(&folder).map_err(failed)?;
        let mut rest = Rest::None;
        for file in listed {
            let file = file.map_err(failed)?;
            let path = file.location.path();
            rest = rest.and(path.strip_prefix(folder.path()).unwrap_or(path));
        }
        match rest {
            Rest::None => Ok(()),
            Rest::Log => Err(LogError::Unknown(format!("{} was created just now", self.table))),
            Rest::File(name) => Err(LogError::Refused(format!(
                "{} has {TABLE_LOG}/{name} and no log: it may be the rest of another table, over which none \
                 is created. Restore its log, or move {TABLE_LOG} away",
                self.table
            ))),
        }
    }
}

/// The files in the folder of a log that was not there a moment ago.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    None,
    /// Files, and no first entry; the name of one.
    File(String),
    /// The first entry.
    Log,
}

impl Rest {
    /// Adds a file. The first entry comes after its checksum in a list, and counts all the same: the
    /// table was created meanwhile.
    fn and(self, name: &str) -> Rest {
        match self {
            Rest::Log => Rest::Log,
            _ if name == "00000000000000000000.json" => Rest::Log,
            // A file that is being written, or that a killed process left.
            rest if name.starts_with('.') => rest,
            Rest::None => Rest::File(name.to_owned()),
            rest @ Rest::File(_) => rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_created_meanwhile_is_no_rest_of_another() {
        let rest = |names: &[&str]| names.iter().fold(Rest::None, |rest, name| rest.and(name));
        let zero = "00000000000000000000";
        let (crc, json) = (&*format!("{zero}.crc"), &*format!("{zero}.json"));
        assert_eq!(rest(&[]), Rest::None);
        assert_eq!(rest(&[".x.tmp"]), Rest::None);
        assert_eq!(rest(&[crc, json]), Rest::Log);
        assert_eq!(rest(&[json, crc, "00000000000000000001.crc"]), Rest::Log);
        assert_eq!(rest(&[".x", crc, "_last_checkpoint"]), Rest::File(crc.to_owned()));
    }
}
