//! The command `sessionlake inspect`.

use std::process::ExitCode;

use anyhow::Context as _;

use super::{Failure, Outcome, manual, out, runtime, warn};
use crate::audit::TableLogs;
use crate::audit::inspect::{LogReport, file_text, inspect_file, inspect_lake, lake_text};
use crate::config::{self, Environment, Flags, list};
use crate::lake::{Lake, Location, Options};

/// Show what is in a lake, or in a Parquet file.
///
/// Of a lake: its tables, their partitions, and for each the files, rows, bytes and row groups.
/// Of a Delta or Iceberg table also the version of its log, or the snapshot in its catalog ([catalog] of
/// the configuration), the last roll of each node in it, and how many rolls that have landed are not in it
/// yet.
/// Of a file: its row groups, its largest columns with compression and encodings, Bloom filters,
/// page indexes, key-value metadata and schema. Only the ends of files are read.
///
/// A broken file is named at the end; it makes the exit code 1, and so does a log that cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake inspect
      The lake of the configuration, ./data/lake by default.

  sessionlake inspect s3://bucket/prefix --json
      A lake in a bucket, for a program to read.

  sessionlake inspect \\
      data/lake/user_sessions/date=2026-11-23/n-7.parquet
      One file."))]
pub(super) struct Args {
    /// A directory, s3://…, gs://… or az://…, or a Parquet file [default: the setting lake].
    #[arg(value_name = "LAKE|FILE")]
    what: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Of a lake, show every file; in JSON, too.
    #[arg(long)]
    files: bool,
    /// Of a file, show this many columns.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    #[command(flatten)]
    flags: Flags<{ list::INSPECT }>,
}

pub(super) fn run(args: Args, environment: &Environment) -> Outcome {
    let loaded = config::lake(&args.flags, environment, args.what.clone())?;
    warn(&loaded.warnings);
    let runtime = runtime::with_log_threads()?;
    let catalog = loaded.settings.catalog;
    match target(loaded.settings.lake)? {
        Target::Lake(lake) => {
            let logs = TableLogs::of(&lake, catalog.as_ref());
            runtime.block_on(show_lake(&lake, &logs, &args))
        }
        Target::File { lake, file, name } => {
            runtime.block_on(show_file(&lake, &file, &name, &args))
        }
    }
}

enum Target {
    Lake(Lake),
    /// A file of the directory or prefix that is opened as a lake.
    File {
        lake: Lake,
        file: String,
        name: String,
    },
}

/// Opens a lake or the folder of a file: on disk by what is there, in a bucket by its name.
fn target(mut options: Options) -> anyhow::Result<Target> {
    let name = options.location.to_string();
    let is_file = match &options.location {
        Location::Local(path) => {
            let found = std::fs::metadata(path)
                .with_context(|| format!("there is neither a lake nor a file at {name}"))?;
            !found.is_dir()
        }
        _ => name.ends_with(".parquet"),
    };
    if !is_file {
        return Ok(Target::Lake(Lake::open_existing(&options)?));
    }
    let parent = options.location.parent_and_name();
    let (parent, file) = parent.with_context(|| format!("cannot look at {name}"))?;
    options.location = parent;
    Ok(Target::File { lake: Lake::open_existing(&options)?, file, name })
}

async fn show_lake(lake: &Lake, logs: &TableLogs, args: &Args) -> Outcome {
    let report = inspect_lake(lake, logs, args.files)
        .await
        .with_context(|| format!("cannot list the lake {}", lake.location()))?;
    match args.json {
        true => out::json(&json(&report)?)?,
        false => out::report(&lake_text(&report, args.files))?,
    }
    let unread = |log: &LogReport| log.error.is_some();
    let is_read = !report.tables.iter().any(|table| table.log.as_ref().is_some_and(unread));
    Ok(if report.broken.is_empty() && is_read { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show_file(lake: &Lake, file: &str, name: &str, args: &Args) -> Outcome {
    let report = async {
        let object = lake.head(file).await?.context("there is no such file")?;
        anyhow::Ok(inspect_file(lake, &object, name).await?)
    };
    let report = report.await.with_context(|| format!("cannot look at {name}"))?;
    match args.json {
        true => {
            out::json(&json(&report)?)?;
            Ok(ExitCode::SUCCESS)
        }
        false => {
            out::report(&file_text(&report, args.top))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn json(report: &impl serde::Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(report)
        .context("cannot make JSON of the report")
        .map_err(Failure::Running)?;
    text.push('\n');
    Ok(text)
}
