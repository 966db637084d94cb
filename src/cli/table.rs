//! The command `sessionlake table create|upgrade`.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::{LogFormat, Outcome, manual, out, start_log, warn};
use crate::config::{self, Environment, Flags, list};
use crate::maintain::{self, Prepared, Step};

/// Create a table with a log, or add the columns that it lacks.
///
/// serve, import and convert do both by themselves; this is for those who want to see it done before.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(CreateArgs),
    Upgrade(UpgradeArgs),
}

/// Create tables without a row, unless they are there.
///
/// From then on, receivers that land plain files in a table are refused. Rolls that have landed already
/// are added by `sessionlake convert`, or by the next start of serve.
///
/// A table that was deleted, or has another one in its place, is refused by all processes, since it would
/// get all rolls again. --anew is for when that is meant: whichever table is there, or a new one, is taken
/// from then on, also by processes that run.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake table create --table-format delta
      The table of the configuration, by default user_sessions.

  sessionlake table create --config sessionlake.toml --dry-run
      What would be created."))]
struct CreateArgs {
    #[command(flatten)]
    which: Which,
    /// Forget which table it was before, and take the one that is there, or a new one.
    #[arg(long, conflicts_with = "dry_run")]
    anew: bool,
    #[command(flatten)]
    flags: Flags<{ list::TABLES }>,
}

/// Add the columns that the configuration has and tables lack.
///
/// They are null in the rows that are there. Columns that a table has more stay.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake table upgrade --config sessionlake.toml
      All tables of the file that have a log."))]
struct UpgradeArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    flags: Flags<{ list::TABLES }>,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Names of tables of the configuration [default: all that have a log].
    #[arg(value_name = "TABLE", id = "tables")]
    tables: Vec<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let (which, flags, anew) = match &args.command {
        Command::Create(CreateArgs { which, anew, flags }) => (which, flags, Some(*anew)),
        Command::Upgrade(UpgradeArgs { which, flags }) => (which, flags, None),
    };
    let loaded = config::tables(flags, environment)?;
    warn(&loaded.warnings);
    start_log(&loaded.log, LogFormat::Text, environment)?;
    let options = loaded.settings;
    // Names and formats that do not fit are wrong usage.
    options.with_log(&which.tables).map_err(super::Failure::Usage)?;
    let done = match anew {
        Some(anew) => maintain::create(&options, &which.tables, which.dry_run, anew)?,
        None => maintain::upgrade(&options, &which.tables, which.dry_run)?,
    };
    out::report(&text(&done, which.dry_run))?;
    let is_missing = done.iter().any(|table| table.step == Step::Missing);
    Ok(if is_missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Returns a line for each table.
fn text(done: &[Prepared], dry_run: bool) -> String {
    let mut text = String::new();
    for Prepared { table, step, version } in done {
        let said = match (step, dry_run) {
            (Step::Created, false) => "created, without a row".to_owned(),
            (Step::Created, true) => "would be created".to_owned(),
            (Step::There { lacks }, _) if lacks.is_empty() => {
                "is there, with all columns".to_owned()
            }
            (Step::There { lacks }, _) => format!(
                "is there, and lacks {}: `sessionlake table upgrade` adds them",
                lacks.join(", ")
            ),
            (Step::Added(columns), false) => format!("has got {}", columns.join(", ")),
            (Step::Added(columns), true) => format!("would get {}", columns.join(", ")),
            (Step::Missing, _) => "is not there: `sessionlake table create` creates it".to_owned(),
        };
        let version = version.map(|version| format!(" (version {version})")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{table:<20} {said}{version}");
    }
    text
}
