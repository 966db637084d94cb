//! `sessionlake inspect`

use std::path::Path as FilePath;
use std::process::ExitCode;

use anyhow::Context as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::{Failure, Outcome, manual, out, store, warn};
use crate::audit::inspect::{self, file_text, inspect_file, inspect_lake, lake_text};
use crate::config::{self, Environment, Flags, list};
use crate::lake::{Location, Options};

/// Show what is in a lake, or in a Parquet file.
///
/// Of a lake: its tables, their partitions, and for each the files, rows, bytes and row groups.
/// Of a file: its row groups, its largest columns with compression and encodings, Bloom filters,
/// page indexes, key-value metadata and schema. Only the ends of files are read.
///
/// A broken file is named at the end, and makes the exit code 1.
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
    /// Of a lake, show every file.
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
    let runtime = store::runtime()?;
    match target(loaded.settings)? {
        Target::Lake(lake) => runtime.block_on(show_lake(&lake, &args)),
        Target::File { opened, path, name } => {
            runtime.block_on(show_file(&opened, &path, &name, &args))
        }
    }
}

enum Target {
    Lake(Options),
    File { opened: store::Opened, path: Path, name: String },
}

/// A lake or a file: on disk by what is there, in a bucket by its name.
fn target(lake: Options) -> anyhow::Result<Target> {
    let name = lake.location.to_string();
    if let Location::Local(path) = &lake.location {
        let found = std::fs::metadata(path)
            .with_context(|| format!("there is neither a lake nor a file at {name}"))?;
        if found.is_dir() {
            return Ok(Target::Lake(lake));
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => FilePath::new("."),
        };
        let opened = store::local(directory)?;
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let path = Path::parse(file).with_context(|| format!("cannot look at {name}"))?;
        return Ok(Target::File { opened, path, name });
    }
    if !name.ends_with(".parquet") {
        return Ok(Target::Lake(lake));
    }
    let opened = store::open(&lake)?;
    let path = opened.prefix.clone();
    Ok(Target::File { opened, path, name })
}

async fn show_lake(lake: &Options, args: &Args) -> Outcome {
    let name = lake.location.to_string();
    let opened = store::open(lake)?;
    let report = inspect_lake(opened.store.as_ref(), &opened.prefix, &name)
        .await
        .with_context(|| format!("cannot list the lake {name}"))?;
    match args.json {
        true => out::write(&json(&report)?)?,
        false => out::write(&lake_text(&report, args.files))?,
    }
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show_file(opened: &store::Opened, path: &Path, name: &str, args: &Args) -> Outcome {
    let look = async {
        let meta = opened.store.head(path).await?;
        inspect_file(opened.store.as_ref(), &meta, name).await
    };
    let report: inspect::FileReport =
        look.await.with_context(|| format!("cannot look at {name}"))?;
    match args.json {
        true => out::print(&json(&report)?),
        false => out::print(&file_text(&report, args.top)),
    }
}

fn json(report: &impl serde::Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(report)
        .context("cannot make JSON of the report")
        .map_err(Failure::Running)?;
    text.push('\n');
    Ok(text)
}
