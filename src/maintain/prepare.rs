//! Tables with a log, made ready for their rolls: created, and with all columns.

use super::{Options, check, log_tables, runtime, settle};
use crate::lake::{Lake, StoreError};
use crate::table::Spec;

/// What was done about a table, or what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// Name of the table.
    pub(crate) table: String,
    /// The step.
    pub(crate) step: Step,
    /// Its version then; none of a table that would be created.
    pub(crate) version: Option<u64>,
}

/// A step, or its lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It was created, without a row.
    Created,
    /// It is there, and lacks these columns of the configuration, by their paths.
    There {
        /// Paths of the columns.
        lacks: Vec<String>,
    },
    /// These columns were added.
    Added(Vec<String>),
    /// There is none, so that there is nothing to upgrade.
    Missing,
}

/// Creates the tables that are `named`, or all with a log, unless they are there. `anew` forgets which
/// tables they were before: whichever table is there then, or a new one, gets all rolls. With `dry_run`
/// says what would be done, and creates nothing.
///
/// # Errors
/// A table cannot be created by these settings; the lake. Those before it are created. Trying again is
/// safe.
pub(crate) fn create(
    options: &Options,
    named: &[String],
    dry_run: bool,
    anew: bool,
) -> anyhow::Result<Vec<Prepared>> {
    let (specs, runtime) = (options.with_log(named)?, runtime()?);
    let lake = match dry_run {
        true => Lake::open_existing(&options.lake),
        false => Lake::open(&options.lake),
    };
    let lake = match lake {
        Err(StoreError::NoLake { .. }) => {
            let table = |spec: &Spec| spec.name.to_string();
            let created = |table| Prepared { table, step: Step::Created, version: None };
            return Ok(specs.iter().map(table).map(created).collect());
        }
        lake => lake?,
    };
    let specs = options.with_columns_of(&lake, &runtime)?.with_log(named)?;
    for spec in &specs {
        runtime.block_on(check(&lake, spec))?;
    }
    let logs = log_tables(&lake, specs, options.catalog.as_ref(), &runtime)?;
    let mut done = Vec::new();
    for table in logs.tables() {
        if anew {
            settle(table, |table| table.forget_id())?;
        }
        let (step, version) = match settle(table, |table| table.state())? {
            Some(state) => (Step::There { lacks: state.missing_columns }, Some(state.version)),
            None if dry_run => (Step::Created, None),
            None => (Step::Created, Some(settle(table, |table| table.prepare())?.version)),
        };
        done.push(Prepared { table: table.name().to_owned(), step, version });
    }
    Ok(done)
}

/// Adds the columns of the configuration that the tables that are `named`, or all with a log, lack. With
/// `dry_run` says what would be done, and adds nothing.
///
/// # Errors
/// A difference that no added column settles; the lake. Those before it are done. Trying again is safe.
pub(crate) fn upgrade(
    options: &Options,
    named: &[String],
    dry_run: bool,
) -> anyhow::Result<Vec<Prepared>> {
    options.with_log(named)?;
    let (lake, runtime) = (Lake::open_existing(&options.lake)?, runtime()?);
    let specs = options.with_columns_of(&lake, &runtime)?.with_log(named)?;
    let logs = log_tables(&lake, specs, options.catalog.as_ref(), &runtime)?;
    let mut done = Vec::new();
    for table in logs.tables() {
        let (step, version) = match settle(table, |table| table.state())? {
            None => (Step::Missing, None),
            Some(state) if state.missing_columns.is_empty() => {
                (Step::There { lacks: Vec::new() }, Some(state.version))
            }
            Some(state) if dry_run => (Step::Added(state.missing_columns), Some(state.version)),
            Some(state) => {
                let version = settle(table, |table| table.prepare())?.version;
                (Step::Added(state.missing_columns), Some(version))
            }
        };
        done.push(Prepared { table: table.name().to_owned(), step, version });
    }
    Ok(done)
}
