//! Work on the tables of a lake beside the receiver: creation, added columns, conversion.
//!
//! * [`create`], [`upgrade`]: a table with a log without its rolls, and the columns that it lacks.
//! * [`convert`]: all rolls that have landed, of every node and import, into a table with a log.
//!
//! All of it is what a start of `serve` does by itself, for those who want to see it. Each may be done
//! again at any time, and beside running receivers. None deletes anything; only `create` with `anew`
//! replaces an object, the identity of the table.

mod convert;
mod options;
mod prepare;
#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use backon::{BlockingRetryable as _, ExponentialBuilder};
use tokio::runtime::Runtime;

pub(crate) use self::convert::{Converted, convert};
pub(crate) use self::options::Options;
pub(crate) use self::prepare::{Prepared, Step, create, upgrade};
use crate::commit::CatalogOptions;
use crate::lake::{ColumnError, Lake, StoreError};
use crate::publish::visibility::{Failure, LogTables};
use crate::table::Spec;

/// Attempts at a table before a failure is told.
const TRIES: usize = 6;
/// The pause after the first failure; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

fn runtime() -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    builder.build().context("cannot start the asynchronous runtime")
}

/// Returns those of `specs` that have a log.
fn log_tables(
    lake: &Lake,
    mut specs: Vec<Spec>,
    catalog: Option<&CatalogOptions>,
    runtime: &Runtime,
) -> anyhow::Result<LogTables> {
    // A flat table may be there without its parent.
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    let logs = LogTables::of(lake, &specs, catalog, runtime.handle())?;
    logs.context("all tables are plain")
}

/// Compares the format, partition columns and types of a table with those of its files in the lake.
///
/// # Errors
/// They differ; the lake does not answer. One that may not be listed is no error.
async fn check(lake: &Lake, table: &Spec) -> anyhow::Result<()> {
    if let Some(conflict) = lake.check_format(table).await? {
        return Err(conflict.into());
    }
    lake.check_partitions(&table.name, &table.partition).await?;
    match lake.check_columns(&table.name, &table.schema).await {
        Err(ColumnError::Conflict(conflict)) => Err((*conflict).into()),
        Err(ColumnError::Store(error)) if !matches!(error, StoreError::Denied { .. }) => {
            Err(error.into())
        }
        Err(ColumnError::Store(_)) | Ok(()) => Ok(()),
    }
}

/// Attempts `work` on a table, or on all, again while it may have failed for another commit, or for the
/// lake.
fn settle<W, T>(on: &W, work: impl Fn(&W) -> Result<T, Failure>) -> anyhow::Result<T> {
    let pauses = ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_times(TRIES - 1);
    let attempt = || work(on);
    let settled = attempt
        .retry(pauses)
        .sleep(std::thread::sleep)
        .when(|failure: &Failure| !failure.is_final)
        .notify(|Failure { table, why, .. }, _| {
            tracing::debug!("table {table}: {why}; tried again")
        })
        .call();
    settled.map_err(|Failure { table, why, .. }| anyhow!("table {table}: {why}"))
}
