//! The command `sessionlake unseal`.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use super::{Failure, Outcome, manual};
use crate::lake::{QuarantineEntry, texts_of};
use crate::privacy::{self, Key};
use anyhow::Context as _;

/// Open rejected lines that privacy rules have sealed.
///
/// Reads entries of a quarantine file from standard input and prints them with the bytes of the
/// line in place of the sealed ones; of several lines, a list. Bytes that are no text are given in
/// base64. Entries that are not sealed pass as they are; one that this secret does not open is an
/// error.
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
    let mut entry: QuarantineEntry =
        serde_json::from_str(line).context("this is no entry of a quarantine")?;
    let Some(sealed) = entry.raw.as_str().and_then(privacy::sealed) else {
        return Ok(line.to_owned());
    };
    let raw = key.open(&sealed.text).context("this secret does not open it")?;
    let texts = texts_of(raw, sealed.form.as_deref());
    entry.show(&texts.context("what it holds has a form that this version does not know")?);
    serde_json::to_string(&entry).context("cannot make JSON of it")
}
