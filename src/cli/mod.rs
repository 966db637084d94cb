//! The command line. Commands build the stations from the configuration; the work is done there.
//!
//! Exit codes: 0 well, 1 failed while running, 2 wrong usage or configuration, 3 a stop that took longer
//! than `drain_limit`. Standard output
//! carries what was asked for, standard error everything else. A reader that goes away (`| head`)
//! is no failure.

mod admin;
mod cert;
mod check;
mod check_report;
mod check_tables;
mod completions;
mod convert;
mod created;
mod error_report;
mod fields;
mod flag_hints;
mod health;
mod import;
mod infer;
mod inspect;
mod lake_at_start;
mod ledger;
mod listen;
mod log_json;
mod log_level;
mod log_writer;
mod man;
mod memory;
mod notify;
mod operators;
mod out;
mod passwd;
mod promote;
mod promoted;
mod quarantine;
mod read_only_disk;
mod reload;
mod rescue;
mod runtime;
mod sample;
mod schema;
mod serve;
mod signals;
mod simulate;
mod table;
mod tap;
mod telemetry;
mod top;
mod unseal;
mod verify;
pub(crate) mod verifying;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::log_json::JsonEvents;
use self::log_level::LogLevel;
use self::log_writer::LogWriter;
use crate::config::{self, Environment, reference};
use crate::{descriptors, lake, metrics};

/// Failure of a command, by its exit code.
#[derive(Debug)]
pub enum Failure {
    /// Wrong usage or configuration: exit code 2.
    Usage(anyhow::Error),
    /// Failed while running: exit code 1.
    Running(anyhow::Error),
    /// A stop that took longer than `drain_limit`: exit code 3.
    Unfinished(anyhow::Error),
}

impl Failure {
    /// Returns 2 for usage, 1 for running, 3 for a stop that is not finished.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Running(_) => ExitCode::from(1),
            Failure::Unfinished(_) => ExitCode::from(3),
        }
    }

    /// Returns the error, advice where there is some, and the causes; a line each.
    #[must_use]
    pub fn report(&self) -> String {
        let (Failure::Usage(error) | Failure::Running(error) | Failure::Unfinished(error)) = self;
        let mut lines = error_report::lines(error).into_iter();
        let mut text = format!("error: {}\n", lines.next().unwrap_or_default());
        if let Some(advice) = error_report::advice(error) {
            text.push_str(&format!("  {advice}\n"));
        }
        lines.for_each(|cause| text.push_str(&format!("  caused by: {cause}\n")));
        text
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Failure {
        Failure::Usage(error.into())
    }
}

impl From<lake::StoreError> for Failure {
    fn from(error: lake::StoreError) -> Failure {
        Failure::Running(error.into())
    }
}

/// An error that is not marked as usage is one of running.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Running(error)
    }
}

/// Result of a command: its exit code, or a failure.
type Outcome = Result<ExitCode, Failure>;

/// Receive user sessions over HTTP, answer once they are safe on disk, and land them as
/// partitioned Parquet.
///
/// sessionlake takes the sessions that a user session exporter sends (or curl, or anything that
/// sends one JSON document a line), writes each body to a journal, answers 200 once it is on disk
/// for good, and lands the rows as Parquet files in a directory or a bucket, for DuckDB and Spark
/// to read.
#[derive(Debug, Parser)]
#[command(
    name = "sessionlake",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_long_help = AFTER_HELP,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Import(import::Args),
    Inspect(inspect::Args),
    Simulate(Box<simulate::Args>),
    Sample(sample::Args),
    Schema(schema::Args),
    Fields(fields::Args),
    Verify(verify::Args),
    Quarantine(quarantine::Args),
    Table(table::Args),
    Convert(convert::Args),
    Check(check::Args),
    Health(health::Args),
    Admin(admin::Args),
    Top(top::Args),
    Tap(tap::Args),
    Passwd(passwd::Args),
    Cert(cert::Args),
    Unseal(unseal::Args),
    Rescue(rescue::Args),
    Completions(completions::Args),
    Man(man::Args),
    /// Print the configuration reference, for its page and the example file, or that of the metrics.
    #[command(hide = true)]
    ConfigReference {
        /// Print the example file instead.
        #[arg(long)]
        example: bool,
        /// Print the page of the metrics instead.
        #[arg(long, conflicts_with = "example")]
        metrics: bool,
    },
}

const AFTER_HELP: &str = "\
Examples:
  sessionlake serve
      Listen on http://localhost:3000/export/events,
      land in ./data/lake.

  sessionlake serve --lake s3://bucket/prefix
      The same into a bucket, by the AWS_… variables.

  sessionlake import sessions.ndjson.gz
  sessionlake inspect
      Land a file, then see what is there.

  sessionlake simulate --sessions 20000
      Made-up sessions for the server of the first example.

Configuration:
  Each setting is a flag (--roll-age), an environment variable
  (SESSIONLAKE_ROLL_AGE) and a key of a TOML file (roll_age); the first of them
  that has a value wins, then the default. The file is the one that --config or
  SESSIONLAKE_CONFIG names; no other is read.

Exit status:
  0  all went well
  1  something failed while running
  2  wrong usage or configuration
  3  serve: a stop took longer than drain_limit

`sessionlake COMMAND --help` is the manual page of a command.";

/// Returns the end of a command's manual page.
macro_rules! manual {
    ($examples:literal) => {
        concat!(
            "Examples:\n  ",
            $examples,
            "\n\nExit status:\n  0  all went well\n  1  something failed while running\n  2  wrong \
             usage or configuration"
        )
    };
}
use manual;

/// Runs the command of `arguments`, which begin with the program's name.
///
/// # Errors
///
/// [`Failure`], of which nothing has been printed yet. Clap's complaints about arguments have, and
/// come as an exit code.
pub fn run<I>(arguments: I, environment: &Environment) -> Result<ExitCode, Failure>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    // Any command may be given keys: those of a store are in the environment.
    descriptors::no_core_dumps();
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(mut error) => {
            flag_hints::add(&mut error, &arguments);
            return print_clap(&error);
        }
    };
    match cli.command {
        Command::Serve(args) => serve::run(&args, environment),
        Command::Import(args) => import::run(&args, environment),
        Command::Inspect(args) => inspect::run(args, environment),
        Command::Simulate(args) => simulate::run(&args),
        Command::Sample(args) => sample::run(&args, environment),
        Command::Schema(args) => schema::run(&args, environment),
        Command::Fields(args) => fields::run(&args, environment),
        Command::Verify(args) => verify::run(args, environment),
        Command::Quarantine(args) => quarantine::run(args, environment),
        Command::Table(args) => table::run(&args, environment),
        Command::Convert(args) => convert::run(&args, environment),
        Command::Check(args) => check::run(&args, environment),
        Command::Health(args) => health::run(&args, environment),
        Command::Admin(args) => admin::run(&args, environment),
        Command::Top(args) => top::run(&args, environment),
        Command::Tap(args) => tap::run(&args, environment),
        Command::Passwd(args) => passwd::run(&args),
        Command::Cert(args) => cert::run(&args),
        Command::Unseal(args) => unseal::run(&args),
        Command::Rescue(args) => rescue::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::ConfigReference { metrics: true, .. } => out::print(&metrics::reference_page()),
        Command::ConfigReference { example: true, .. } => out::print(&reference::example()),
        Command::ConfigReference { .. } => out::print(&reference::markdown()),
    }
}

/// Prints help and version to standard output, complaints to standard error.
fn print_clap(error: &clap::Error) -> Outcome {
    let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    match error.print() {
        Ok(()) => Ok(code),
        Err(gone) if gone.kind() == std::io::ErrorKind::BrokenPipe => Ok(code),
        Err(error) => Err(Failure::Running(error.into())),
    }
}

/// Returns the whole command, for shell completions and manual pages.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Prints warnings about the configuration.
fn warn(warnings: &[String]) {
    use std::io::Write as _;
    for warning in warnings {
        let warning = crate::error_text::printable_error(warning);
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogFormat {
    Text,
    Json,
}

impl LogFormat {
    /// Returns the form of this name, which the settings have checked.
    fn of(name: &str) -> LogFormat {
        if name == "json" { LogFormat::Json } else { LogFormat::Text }
    }
}

/// Sends events to standard error, filtered, and returns their filter. Only the first call in a process
/// has an effect.
fn start_log(
    filter: &str,
    format: LogFormat,
    environment: &Environment,
) -> Result<LogLevel, Failure> {
    use std::io::IsTerminal as _;
    let is_json = format == LogFormat::Json;
    let coloured = !is_json && std::io::stderr().is_terminal();
    let is_journal = log_writer::leads_to_journal(environment.foreign("JOURNAL_STREAM"));
    let filter = LogLevel::parse(filter).map_err(Failure::Usage)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(LogWriter { coloured, is_json, is_journal, priority: 6 })
        .with_ansi(coloured);
    if is_json {
        let log = log.event_format(JsonEvents).with_filter_reloading();
        let level = LogLevel::of(log.reload_handle());
        let _ = log.try_init();
        return Ok(level);
    }
    if is_journal {
        // It has a time of its own for each line.
        let log = log.without_time().with_filter_reloading();
        let level = LogLevel::of(log.reload_handle());
        let _ = log.try_init();
        return Ok(level);
    }
    let log = log.with_filter_reloading();
    let level = LogLevel::of(log.reload_handle());
    let _ = log.try_init();
    Ok(level)
}

/// Prints a failure as a line of the log in JSON, and returns its exit code.
fn print_json(failure: &Failure) -> ExitCode {
    use std::io::Write as _;
    let report = failure.report();
    let mut lines = report.trim_start_matches("error: ").lines().map(str::trim);
    let message = lines.next().unwrap_or_default();
    let rest = lines.collect::<Vec<_>>().join("; ");
    let mut fields = std::collections::BTreeMap::new();
    if !rest.is_empty() {
        fields.insert("details".to_owned(), rest.into());
    }
    let line = log_json::line(tracing::Level::ERROR, "sessionlake::cli", message, &fields);
    // The exit code says it as well when nobody reads standard error.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
    failure.exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds() {
        command().debug_assert();
    }

    /// Returns the help of a command as a terminal of 80 columns shows it.
    fn help(names: &[&str]) -> String {
        let mut command = command().term_width(80);
        command.build();
        let of = names.iter().fold(&mut command, |of, name| of.find_subcommand_mut(name).unwrap());
        of.render_long_help().to_string()
    }

    #[test]
    fn the_lake_is_a_flag_in_the_help_of_commands_without_an_argument_for_it() {
        for names in [&["fields"][..], &["schema", "promote"], &["serve"], &["import"]] {
            assert!(help(names).contains("--lake <LAKE>"), "{names:?}");
        }
        for names in [&["inspect"][..], &["verify"], &["sample"], &["quarantine", "list"]] {
            let help = help(names);
            assert!(help.contains("[LAKE") && !help.contains("--lake <LAKE>"), "{help}");
        }
    }

    #[test]
    fn no_line_of_help_is_longer_than_a_terminal_of_80_columns() {
        let names =
            command().get_subcommands().map(|of| of.get_name().to_owned()).collect::<Vec<_>>();
        for name in names.iter().filter(|name| *name != "config-reference") {
            let help = help(&[name]);
            let long = help.lines().find(|line| line.chars().count() > 80);
            assert_eq!(long, None, "{name}");
        }
    }
}
