//! The command `sessionlake schema infer`.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};

use super::{Failure, Outcome, manual, out, warn};
use crate::config;
use crate::import::{Input, read_documents};
use crate::schema::{Inference, TableSchema};

/// Print a first schema for documents like those in FILE.
///
/// Every field gets the narrowest type that takes all of its values; fields without one stay in _extra, and
/// are named on standard error. Files are read as `sessionlake import` reads them: NDJSON, arrays and dumps,
/// gzip or zstd or as they are. Names of fields are printed, values never.
///
/// Look it over: integers and text may mean more than they say. Then name it in --schema.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake schema infer --table orders orders.ndjson > orders.avsc
      A schema of the table orders.

  sessionlake import --table orders --schema orders.avsc \\
      --partition 'date={at:%Y-%m-%d}' orders.ndjson
      The documents as rows of it."))]
pub(super) struct Args {
    /// Files of documents; - is standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Name of the table in the schema.
    #[arg(long, value_name = "NAME", default_value = "documents")]
    table: String,
}

pub(super) fn run(args: &Args) -> Outcome {
    config::check_table_name(&args.table).map_err(|why| {
        Failure::Usage(anyhow!("--table: \"{}\" {why}, for example --table orders", args.table))
    })?;
    let mut inference = Inference::default();
    let mut warnings = Vec::new();
    for file in &args.files {
        let input = match file.as_os_str() == "-" {
            true => Input::Stdin,
            false => Input::File(file.clone()),
        };
        let read = read_documents(&input, |members| {
            let members = members.iter().map(|(name, value)| (name.as_str(), &**value));
            Ok(inference.add(members)?)
        })?;
        if let Some((line, reason)) = read.first_reject {
            let (name, rejects) = (file.display(), read.rejects);
            warnings.push(match rejects {
                1 => format!("line {line} of {name} is no document: {reason}"),
                _ => format!(
                    "{rejects} lines of {name} are no documents; the first is line {line}: {reason}"
                ),
            });
        }
    }
    warn(&warnings);
    let inferred = inference.schema(&args.table).ok_or_else(|| match inference.documents() {
        0 => anyhow!(
            "there is no document in what was read: a schema is made of JSON objects, one a line, in a row \
             or in an array (of CSV and the like, DuckDB makes them: \
             COPY (FROM 'a.csv') TO 'a.ndjson' (FORMAT json))"
        ),
        documents => anyhow!(
            "no column could be made: none of {documents} documents has a field with a value, or a field \
             whose values have one type"
        ),
    })?;
    // As every command reads it.
    TableSchema::parse(&inferred.avsc)
        .with_context(|| format!("no schema can be made for the table {}", args.table))
        .map_err(Failure::Usage)?;
    warn(&inferred.notes);
    if let Some(time) = inferred.times.first() {
        // Standard output has the schema.
        let hint = format!("for partitions by day: --partition 'date={{{time}:%Y-%m-%d}}'");
        let _ = writeln!(std::io::stderr(), "{hint}");
    }
    out::print(&inferred.avsc)
}
