//! The command `sessionlake import`.

use std::path::PathBuf;

use super::{Failure, LogFormat, Outcome, manual, out, start_log, warn};
use crate::config::{self, Environment, Flags, list};
use crate::import::GivenUp;

/// Land files of sessions.
///
/// Reads files of JSON documents (one a line, in a row, over several lines, or in an array), plain,
/// gzip or zstd (told apart by their content), with or without the action lines of an Elasticsearch
/// bulk, and lands their rows as serve does. Lines that are no documents are put in quarantine, with
/// their number and the reason. A file of another format (UTF-16, bzip2, zip, Parquet, …), of which no
/// line becomes a row, or of whose documents none fills a column is named with the reason and left out:
/// the others land, and the exit code is 1. An empty file is left out, with 0.
///
/// The rows of all files of a command share Parquet files, so that many small files do not become
/// many small objects. An import that was interrupted goes on when the same command is given again.
/// A file that was imported before, by its content and whatever its name or packing, is left out,
/// and said so, unless --again is given; so is one that another import has claimed. Standard input and
/// pipes are not recognised again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake import sessions.ndjson.gz
      Land a file in ./data/lake.

  sessionlake import 2026/11/*.ndjson.zst
      Land many files as few.

  zcat old/*.gz | sessionlake import - \\
      --lake s3://bucket/prefix
      Land what comes by standard input."))]
pub(super) struct Args {
    /// Files to read; - for standard input.
    #[arg(required_unless_present = "give_up", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Import files that were imported before once more.
    ///
    /// Their rows are in the lake twice then.
    #[arg(long)]
    again: bool,
    /// End an interrupted import whose files are gone or have changed.
    ///
    /// An import that was interrupted asks for what is left of its files when one of them is given. This
    /// one no longer does: what has landed of it stays in the lake. Files that had landed whole count as
    /// imported, the others do not. No process may be working at it.
    #[arg(long, value_name = "NODE", conflicts_with_all = ["files", "again"])]
    give_up: Option<String>,
    /// Print neither progress nor summary.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    flags: Flags<{ list::IMPORT }>,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let loaded = config::import(&args.flags, environment, &args.files, args.again, args.quiet)?;
    warn(&loaded.warnings);
    start_log(&loaded.log, LogFormat::Text, environment)?;
    if let Some(path) = &loaded.settings.privacy_key {
        crate::privacy::Key::read(path).map_err(|why| Failure::Usage(why.into()))?;
    }
    crate::descriptors::raise();
    let Some(node) = &args.give_up else {
        crate::import::import(loaded.settings)?;
        return Ok(std::process::ExitCode::SUCCESS);
    };
    let given_up = crate::import::give_up(loaded.settings, node)?;
    if args.quiet {
        return Ok(std::process::ExitCode::SUCCESS);
    }
    out::report(&told(&given_up))?;
    Ok(std::process::ExitCode::SUCCESS)
}

/// Returns the text about an import that was given up.
fn told(given_up: &GivenUp) -> String {
    let mut text = String::new();
    let GivenUp { imported, not_imported, unfinished } = given_up;
    if !not_imported.is_empty() {
        let names = not_imported.join(", ");
        text += &format!("given up: {names}. What has landed of it stays, and would land twice\n");
    }
    if !imported.is_empty() {
        text += &format!("had landed whole, and count as imported: {}\n", imported.join(", "));
    }
    if let Some(roll) = unfinished {
        text += &format!(
            "a roll was under way: files {roll}.parquet in the lake, if there are any, have no receipt, \
             and their rows would be there twice; `sessionlake verify` names them\n"
        );
    }
    text
}
