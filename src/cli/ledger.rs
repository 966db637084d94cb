//! A sender's ledgers held against a lake, for `sessionlake verify --ledger`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Outcome, out, sample, store};
use crate::audit::sample::ledger;
use crate::lake::{Lake, Options};

/// Compares, and prints at most `top` ids of each kind that is off.
pub(super) fn run(lake: &Options, ledgers: &[PathBuf], top: usize) -> Outcome {
    let lake = Lake::open_existing(lake)?;
    let schema = sample::schema()?;
    let table = sample::table(&lake, &schema);
    let verdict = store::runtime()?.block_on(ledger::check(&table, ledgers))?;
    out::write(&ledger::text(&verdict, top))?;
    Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
