//! The command `sessionlake quarantine list|show|replay`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;

use super::{Failure, LogFormat, Outcome, manual, out, runtime, start_log, warn};
use crate::config::{self, Environment, Flags, list};
use crate::decode::RejectCode;
use crate::error_text::{in_json, shown};
use crate::import::{Replay, Replayed};
use crate::lake::{Lake, Options, QuarantineEntry, QuarantineFile, Quarantined};

/// Look at lines that were no documents, and land them again after a fix.
///
/// A line that cannot become a row is kept in quarantine with the reason, the body it came in
/// and its number there. Short lines of one body, where there are many, are one entry of several
/// lines; so is the rest of a body that has hardly any documents, which is not read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
    Replay(ReplayArgs),
}

/// The files of the quarantine that are read.
#[derive(Debug, clap::Args)]
struct Which {
    /// Only of this node.
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only of this roll.
    #[arg(long, value_name = "N")]
    roll: Option<u64>,
}

impl Which {
    fn takes(&self, file: &QuarantineFile) -> bool {
        self.node.as_ref().is_none_or(|node| *node == file.node)
            && self.roll.is_none_or(|roll| roll == file.roll)
    }
}

/// The entries that are shown or counted.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Only entries of this code.
    #[arg(long, value_name = "CODE", value_parser = codes())]
    code: Option<String>,
}

impl Filter {
    fn takes(&self, entry: &QuarantineEntry) -> bool {
        self.code.is_none() || self.code == entry.code
    }
}

fn codes() -> PossibleValuesParser {
    PossibleValuesParser::new(RejectCode::ALL.map(RejectCode::as_str))
}

/// List the files of the quarantine, with how many lines of each code and reason they have.
///
/// Lines that an earlier version put there have a reason and no code.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake quarantine list
      What is in quarantine in the lake of the configuration.

  sessionlake quarantine list --code too_deep --json
      Files that have lines of one code, for a program to read."))]
struct ListArgs {
    /// A directory, s3://…, gs://… or az://… [default: the setting lake].
    #[arg(value_name = "LAKE")]
    lake: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    flags: Flags<{ list::INSPECT }>,
}

/// Print entries of the quarantine, one JSON object a line.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake quarantine show --limit 10
      The first ten: code, reason, body, line and the line's text."))]
struct ShowArgs {
    /// A directory, s3://…, gs://… or az://… [default: the setting lake].
    #[arg(value_name = "LAKE")]
    lake: Option<String>,
    /// Only entries whose reason has this text in it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print at most this many.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    flags: Flags<{ list::INSPECT }>,
}

/// Land lines of the quarantine again.
///
/// Lines of the configured table that are documents now become rows, as `sessionlake import` lands
/// them. Text that was not read is read line by line; a body that was set aside is read as the body
/// that it was, and if that fails again, all others land and the exit code is 1. The entries stay, as the record of what came; one that was landed again before is left
/// out, so that giving the command twice doubles nothing. What is no document, now as before, is
/// left alone, and can be tried again after the next upgrade.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake quarantine replay --lake s3://bucket/prefix
      After an upgrade that reads what was rejected before."))]
struct ReplayArgs {
    /// Only entries whose reason has this text in it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print neither progress nor summary.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    flags: Flags<{ list::IMPORT }>,
}

pub(super) fn run(args: Args, environment: &Environment) -> Outcome {
    match args.command {
        Command::List(args) => show_list(args, environment),
        Command::Show(args) => show(args, environment),
        Command::Replay(args) => replay(&args, environment),
    }
}

/// A file with the counts of its entries.
#[derive(serde::Serialize)]
struct Line {
    #[serde(flatten)]
    file: QuarantineFile,
    #[serde(flatten)]
    quarantined: Quarantined,
}

fn show_list(args: ListArgs, environment: &Environment) -> Outcome {
    let mut lines = Vec::new();
    each(&args.flags, environment, args.lake, &args.which, |file, entries| {
        let mut quarantined = Quarantined::default();
        let taken = entries.iter().filter(|entry| args.filter.takes(entry));
        taken.for_each(|entry| quarantined.add(entry));
        if args.filter.code.is_none() || quarantined.entries > 0 {
            lines.push(Line { file: file.clone(), quarantined });
        }
        Ok(true)
    })?;
    if args.json {
        let text = serde_json::to_string_pretty(&lines)
            .context("cannot make JSON of the list")
            .map_err(Failure::Running)?;
        out::json(&format!("{text}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for Line { file, quarantined } in &lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:>8}  {}", quarantined.entries, shown(&file.path));
        for (code, count) in &quarantined.codes {
            let _ = writeln!(text, "  {count:>8}  {}", shown(code));
        }
        for (reason, count) in &quarantined.reasons {
            let _ = writeln!(text, "    {count:>8}  {}", shown(reason));
        }
    }
    if lines.is_empty() {
        text.push_str(match args.filter.code {
            None => "Nothing is in quarantine.\n",
            Some(_) => "Nothing of this code is in quarantine.\n",
        });
    }
    out::print(&text)
}

fn show(args: ShowArgs, environment: &Environment) -> Outcome {
    let mut left = args.limit;
    each(&args.flags, environment, args.lake, &args.which, |_, entries| {
        let mut text = String::new();
        let taken = entries.iter().filter(|entry| args.filter.takes(entry));
        for entry in taken.filter(|entry| has(entry, args.reason.as_deref())) {
            if left == 0 {
                break;
            }
            left -= 1;
            let line = in_clear(entry).context("cannot make JSON of an entry")?;
            text.push_str(&in_json(&line));
            text.push('\n');
        }
        match out::write(&text) {
            Ok(()) => Ok(left > 0),
            Err(Failure::Running(error) | Failure::Usage(error) | Failure::Unfinished(error)) => {
                Err(error)
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Returns an entry as JSON, with what came not compressed. A form that this version does not know is
/// left as it is.
fn in_clear(entry: &QuarantineEntry) -> serde_json::Result<String> {
    let Some(texts) = entry.texts() else { return serde_json::to_string(entry) };
    let mut entry = entry.clone();
    entry.show(&texts);
    serde_json::to_string(&entry)
}

fn has(entry: &QuarantineEntry, reason: Option<&str>) -> bool {
    reason.is_none_or(|reason| entry.reason.contains(reason))
}

/// Passes each file of the quarantine to `take`, until it returns false.
fn each(
    flags: &Flags<{ list::INSPECT }>,
    environment: &Environment,
    lake: Option<String>,
    which: &Which,
    take: impl FnMut(&QuarantineFile, Vec<QuarantineEntry>) -> anyhow::Result<bool>,
) -> Result<(), Failure> {
    let loaded = config::lake(flags, environment, lake)?;
    warn(&loaded.warnings);
    read(&loaded.settings.lake, None, which, take)?;
    Ok(())
}

fn read(
    options: &Options,
    table: Option<&str>,
    which: &Which,
    mut take: impl FnMut(&QuarantineFile, Vec<QuarantineEntry>) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let lake = Lake::open_existing(options)?;
    let runtime = runtime::current_thread()?;
    let files = runtime.block_on(lake.quarantine(table)).context("cannot list the quarantine")?;
    for file in files.iter().filter(|file| which.takes(file)) {
        let read = runtime.block_on(lake.quarantine_entries(&file.path));
        let read = read.with_context(|| format!("{} cannot be read", file.path))?;
        if !take(file, read)? {
            break;
        }
    }
    Ok(())
}

fn replay(args: &ReplayArgs, environment: &Environment) -> Outcome {
    let loaded = config::import(&args.flags, environment, &[], false, args.quiet)?;
    warn(&loaded.warnings);
    start_log(&loaded.log, LogFormat::Text, environment)?;
    let settings = loaded.settings;
    let (lake, table) = (settings.lake.clone(), Arc::clone(&settings.table.name));
    // A lake that is not there is not made.
    Lake::open_existing(&lake)?;
    let mut replay = Replay::new(settings)?;
    let mut sum = Replayed::default();
    read(&lake, Some(&table), &args.which, |file, entries| {
        let replayed = replay.file(&file.path, &entries, args.reason.as_deref());
        sum += replayed.with_context(|| format!("cannot land {} again", file.path))?;
        Ok(true)
    })?;
    // Others have landed, and the log has the reasons.
    let code = if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.quiet {
        return Ok(code);
    }
    let mut text = format!("{} lines of the quarantine landed again", sum.landed);
    for (count, what) in [
        (sum.known, "landed again before"),
        (sum.left, "are still no documents"),
        (sum.closed, "are sealed, and no privacy_key opens them"),
        (sum.failed, "are of bodies that were set aside and failed again"),
    ] {
        if count > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "; {count} {what}");
        }
    }
    text.push('\n');
    out::print(&text)?;
    Ok(code)
}
