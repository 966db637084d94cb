//! The part of `sessionlake check` that looks at the logs and the catalog of tables.

use anyhow::{Context as _, anyhow};

use super::check_report::CheckResult;
use super::created::TemporaryDirectory;
use super::runtime;
use crate::lake::{Lake, Location};
use crate::server::{Looked, Settings, look_at_tables};
use crate::table::Format;

/// Looks at each table that has a log as the commit of a roll would. Creates no table, namespace or file of
/// one.
pub(super) fn check_tables(settings: &Settings) -> Vec<CheckResult> {
    look(settings).unwrap_or_else(|error| vec![CheckResult::Fatal(error)])
}

fn look(settings: &Settings) -> anyhow::Result<Vec<CheckResult>> {
    if settings.tables.iter().all(|table| table.format == Format::Plain) {
        return Ok(Vec::new());
    }
    let name = &settings.lake.location;
    let _made = match name {
        Location::Local(dir) => {
            Some(TemporaryDirectory::make(dir).with_context(|| format!("cannot make {name}"))?)
        }
        _ => None,
    };
    let lake = Lake::open_existing(&settings.lake)?;
    let runtime = runtime::with_log_threads()?;
    let looked = look_at_tables(settings, &lake, runtime.handle())?;
    let of = |(table, looked)| match looked {
        Looked::Can(said) => CheckResult::Passed(format!("{table}: {said}")),
        Looked::Refused(why) | Looked::Away(why) => {
            CheckResult::NotVisible(anyhow!("{table}: {why}"))
        }
    };
    Ok(looked.into_iter().map(of).collect())
}
