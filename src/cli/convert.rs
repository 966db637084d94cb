//! The command `sessionlake convert`.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::{Failure, LogFormat, Outcome, manual, out, start_log, warn};
use crate::config::{self, Environment, Flags, list};
use crate::maintain::{self, Converted};
use crate::table::Format;

/// Make plain tables into tables with a log, with all that has landed.
///
/// Creates each table if it is not there, and adds the files of all receipts, of every node and import:
/// no data file is read, moved or written. Files that no receipt names are not added. It may be
/// interrupted and given again at any time, and adds nothing twice; serve and import may run meanwhile.
///
/// From then on receivers that land plain files in these tables are refused: they keep what comes in
/// their journal, and land it once they are started with the new format. The exit code is 1 if rolls are
/// left that could not be added.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake convert --to delta
      The table of the configuration, by default user_sessions.

  sessionlake convert --config sessionlake.toml
      All tables of the file that have a format other than plain.

  sessionlake convert orders --config sessionlake.toml --to delta
      One of several tables."))]
pub(super) struct Args {
    /// Names of tables of the configuration [default: all].
    #[arg(value_name = "TABLE", id = "tables")]
    tables: Vec<String>,
    /// Make them tables of this format [default: the setting table_format].
    #[arg(long, value_name = "FORMAT")]
    to: Option<String>,
    #[command(flatten)]
    flags: Flags<{ list::TABLES }>,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let parse = |to: &str| {
        let parsed = Format::parse(to);
        parsed.map_err(|why| Failure::Usage(anyhow::anyhow!("--to: `{to}` {why}")))
    };
    let to = args.to.as_deref().map(parse).transpose()?;
    let loaded = config::tables(&args.flags, environment)?;
    warn(&loaded.warnings);
    start_log(&loaded.log, LogFormat::Text, environment)?;
    let options = loaded.settings;
    let wanted = match to {
        Some(Format::Plain) => {
            let why = "a table is converted to one with a log, and plain has none";
            return Err(Failure::Usage(anyhow::anyhow!("--to plain: {why}")));
        }
        Some(_) => options.named(&args.tables),
        None => options.with_log(&args.tables).map_err(|error| {
            error.context("nothing says what to convert to: give --to, or set table_format")
        }),
    };
    let wanted = wanted.map_err(Failure::Usage)?;
    let done = maintain::convert(&options, &args.tables, to)?;
    out::report(&text(&done))?;
    if let Some(to) = to.filter(|to| wanted.iter().any(|table| table.format != *to)) {
        warn(&[format!(
            "this configuration has another format than {format} for these tables: set table_format = \
             \"{format}\" (or format, in [[tables]]) before serve or import run with it again",
            format = to.as_str()
        )]);
    }
    let is_left = done.iter().any(|table| !table.failures.is_empty());
    Ok(if is_left { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Returns a line for each table, and one for each failure.
fn text(done: &[Converted]) -> String {
    let mut text = String::new();
    for table in done {
        let Converted { table: name, created, nodes, rolls, files, rows, version, failures } =
            table;
        let created = if *created { "created; " } else { "" };
        let added = match rolls {
            0 => "no roll waited".to_owned(),
            _ => format!(
                "{rolls} {} ({files} files, {rows} rows) of {nodes} {} added",
                plural(*rolls, "roll"),
                plural(*nodes, "node")
            ),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<20} {created}{added} (version {version})");
        for failure in failures {
            let _ = writeln!(text, "{:20} not added: {failure}", "");
        }
    }
    text
}

fn plural(number: u64, word: &str) -> String {
    if number == 1 { word.to_owned() } else { format!("{word}s") }
}
