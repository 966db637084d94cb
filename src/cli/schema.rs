//! The command `sessionlake schema`.

use super::{Outcome, manual, out, promote};
use crate::config::Environment;
use crate::schema::{self, Format, TableSchema};

/// Print the schema of a table, or its DDL or mapping.
///
/// All forms are made from one source, the Avro schema that is compiled in.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_long_help = manual!("\
  sessionlake schema --format duckdb
      SQL for DuckDB that reads what has landed.

  sessionlake schema user_sessions > user_sessions.avsc
      The Avro schema itself."))]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Name of a built-in table.
    #[arg(default_value = "user_sessions", value_parser = clap::builder::PossibleValuesParser::new(
        schema::BUILTIN
    ))]
    table: String,
    /// The form to print it in.
    #[arg(long, short, value_enum, default_value = "avro", value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Promote(promote::Args),
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    if let Some(Command::Promote(args)) = &args.command {
        return promote::run(args, environment);
    }
    let schema = TableSchema::builtin(&args.table)
        .ok_or_else(|| anyhow::anyhow!("no schema of {} is built in", args.table))?;
    out::print(&schema::cli_text(&schema, args.format))
}
