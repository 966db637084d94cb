//! `sessionlake import`

use std::path::PathBuf;

use super::{Outcome, manual, start_log, warn};
use crate::config::{self, Environment, Flags, list};

/// Land files of sessions.
///
/// Reads files of one JSON document a line, plain, gzip or zstd (told apart by their content), with
/// or without the action lines of an Elasticsearch bulk, and lands their rows as serve does. Lines
/// that are no documents are put in quarantine, with their number and the reason.
///
/// A file that was imported before is left out, and said so, unless --again is given.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake import sessions.ndjson.gz
      Land a file in ./data/lake.

  zcat old/*.gz | sessionlake import - --lake s3://bucket/prefix
      Land what comes by standard input."))]
pub(super) struct Args {
    /// Files to read; - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Import files that were imported before once more.
    ///
    /// Their rows are in the lake twice then.
    #[arg(long)]
    again: bool,
    /// Print neither progress nor summary.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    flags: Flags<{ list::IMPORT }>,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let loaded = config::import(&args.flags, environment, &args.files, args.again, args.quiet)?;
    warn(&loaded.warnings);
    start_log(&loaded.settings.log)?;
    crate::pipeline::import(loaded.settings)?;
    Ok(std::process::ExitCode::SUCCESS)
}
