//! `sessionlake verify`

use std::path::PathBuf;

use super::{Outcome, manual, warn};
use crate::config::{self, Environment, Flags, list};

/// Hold what a sender was promised against what is in a lake.
///
/// Reads the ledgers that `sessionlake simulate --ledger FILE` wrote, and the ids of every session
/// in the lake. What was acknowledged and is missing, what is there more than once, and what is there
/// and in no ledger is listed, and makes the exit code 1.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake verify --ledger ledger.txt
      The lake of the configuration, ./data/lake by default."))]
pub(super) struct Args {
    /// A directory, s3://…, gs://… or az://… [default: the setting lake].
    #[arg(value_name = "LAKE")]
    lake: Option<String>,
    /// A ledger; may be given several times.
    #[arg(long, value_name = "FILE", required = true)]
    ledger: Vec<PathBuf>,
    /// Show at most so many ids of each kind.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    #[command(flatten)]
    flags: Flags<{ list::INSPECT }>,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let loaded = config::lake(&args.flags, environment, args.lake.clone())?;
    warn(&loaded.warnings);
    super::ledger::run(&loaded.settings, &args.ledger, args.top)
}
