//! `sessionlake schema`

use super::{Outcome, manual};

/// Print the schema of a table, or its DDL or mapping.
///
/// All forms are made from one source, the Avro schema that is compiled in.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake schema --format duckdb
      A CREATE TABLE for DuckDB.

  sessionlake schema user_sessions > user_sessions.avsc
      The Avro schema itself."))]
pub(super) struct Args {
    /// Name of a built-in table.
    #[arg(default_value = "user_sessions")]
    table: String,
    /// The form to print it in.
    #[arg(long, default_value = "avro", value_name = "FORMAT")]
    format: String,
}

pub(super) fn run(args: &Args) -> Outcome {
    Err(anyhow::anyhow!("schema {} {} is not built in yet", args.table, args.format).into())
}
