//! The command `sessionlake verify`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::{Failure, Outcome, manual, out, runtime, warn};
use crate::audit::verify;
use crate::config::{self, Environment, Flags, list};
use crate::lake::Lake;

/// Say whether every received line is accounted for.
///
/// Reads the receipts of a lake and the ends of its files, and holds them against each other:
/// received lines are rows or in quarantine, no body is missing and none is in two rolls, every
/// file has a receipt and every receipt its files, with as many rows as it says. What is off is
/// listed, and makes the exit code 1.
///
/// A roll that is being landed meanwhile is named, and is no problem.
///
/// With --ledger, the sessions that a sender was promised are held against those in the lake
/// instead: what was acknowledged and is missing, what is there more than once, and what is there
/// and in no ledger is listed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake verify
      The lake of the configuration, ./data/lake by default.

  sessionlake verify s3://bucket/prefix --rows --json
      A lake in a bucket, with every row's lineage, for a program to read.

  sessionlake verify --ledger ledger.txt
      What `sessionlake simulate --ledger ledger.txt` was promised."))]
pub(super) struct Args {
    /// A directory, s3://…, gs://… or az://… [default: the setting lake].
    #[arg(value_name = "LAKE")]
    lake: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Read the lineage of every row too, which finds a row that is there twice.
    #[arg(long)]
    rows: bool,
    /// Compare with this ledger of a sender; may be given several times.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "rows"])]
    ledger: Vec<PathBuf>,
    /// With --ledger, show at most so many ids of each kind.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "ledger")]
    top: usize,
    #[command(flatten)]
    flags: Flags<{ list::INSPECT }>,
}

pub(super) fn run(args: Args, environment: &Environment) -> Outcome {
    let loaded = config::lake(&args.flags, environment, args.lake.clone())?;
    warn(&loaded.warnings);
    if !args.ledger.is_empty() {
        return super::ledger::run(&loaded.settings, &args.ledger, args.top);
    }
    let lake = Lake::open_existing(&loaded.settings)?;
    let report = runtime::current_thread()?
        .block_on(verify::verify(&lake, args.rows))
        .context("cannot verify the lake")?;
    if args.json {
        let text = serde_json::to_string_pretty(&report)
            .context("cannot make JSON of the report")
            .map_err(Failure::Running)?;
        out::write(&format!("{text}\n"))?;
    } else {
        out::write(&report.text())?;
    }
    Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
