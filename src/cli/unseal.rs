//! The command `sessionlake unseal`.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use super::{Failure, Outcome, manual};
use crate::privacy::{self, Key};

/// Open rejected lines that privacy rules have sealed.
///
/// Reads entries of a quarantine file from standard input and prints them with the bytes of the
/// line in place of the sealed ones. Entries that are not sealed pass as they are; one that this
/// secret does not open is an error.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake unseal --privacy-key privacy.key \\
      < lake/_quarantine/user_sessions/n-1.ndjson
      Show what was rejected."))]
pub(super) struct Args {
    /// The secret that serve had.
    #[arg(long, value_name = "FILE")]
    privacy_key: PathBuf,
}

pub(super) fn run(args: &Args) -> Outcome {
    let key = Key::read(&args.privacy_key).map_err(|why| Failure::Usage(why.into()))?;
    let mut out = std::io::stdout().lock();
    for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
        let line = line.context("cannot read standard input")?;
        let opened = open(&key, &line).with_context(|| format!("line {number}"))?;
        writeln!(out, "{opened}").context("cannot write to standard output")?;
    }
    Ok(std::process::ExitCode::SUCCESS)
}

/// Returns an entry with its line opened, or as it is if it is not sealed.
fn open(key: &Key, line: &str) -> anyhow::Result<String> {
    let mut entry: Value =
        serde_json::from_str(line).context("this is no entry of a quarantine")?;
    let raw = entry.get("raw").and_then(Value::as_str);
    let Some(sealed) = raw.and_then(privacy::sealed) else { return Ok(line.to_owned()) };
    let text = key.open(&sealed).context("this secret does not open it")?;
    if let Some(raw) = entry.get_mut("raw") {
        *raw = String::from_utf8_lossy(&text).into_owned().into();
    }
    Ok(entry.to_string())
}
