//! The command `sessionlake sample`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;

use super::promoted::with_promoted;
use super::{Outcome, manual, out, runtime, warn};
use crate::audit::sample::{Table, id};
use crate::config::{self, Environment, Flags, list};
use crate::error_text::shown;
use crate::lake::Lake;
use crate::schema::TableSchema;
use crate::simulate::Layout;

/// Print sessions of a lake as documents, in the form in which the exporter sends them.
///
/// One JSON document a line, with or without Elasticsearch action lines: to compare, to send
/// elsewhere, or to feed to something that reads no Parquet. They are the newest sessions of the
/// last days, oldest first; the days count back from the newest session of the lake. What was in no
/// column comes back from _extra; values that were null are left out. A session that came with the
/// _id of an action line has it again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake sample
      The newest 50 sessions of the last 7 days in ./data/lake.

  sessionlake sample s3://bucket/prefix \\
      --sessions 1000 --elasticsearch sessions |
      curl -X POST --data-binary @- \\
      -H 'Content-Type: application/x-ndjson' \\
      http://localhost:9200/_bulk
      A thousand of them into Elasticsearch."))]
pub(super) struct Args {
    /// A directory, s3://…, gs://… or az://… [default: the setting lake].
    #[arg(value_name = "LAKE")]
    lake: Option<String>,
    /// At most so many sessions.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..)
    )]
    sessions: usize,
    /// Of the last so many days.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 7,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    days: u32,
    /// Put an Elasticsearch action line with this index before each document.
    #[arg(long, value_name = "INDEX")]
    elasticsearch: Option<String>,
    /// Type of the documents in action lines.
    #[arg(long, value_name = "TYPE", default_value = "_doc")]
    elasticsearch_type: String,
    #[command(flatten)]
    flags: Flags<{ list::INSPECT }>,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let loaded = config::lake(&args.flags, environment, args.lake.clone())?;
    warn(&loaded.warnings);
    let name = loaded.settings.lake.location.to_string();
    let lake = Lake::open_existing(&loaded.settings.lake)?;
    // Files of earlier versions have columns that are none today.
    let schema = with_promoted(&lake, TABLE, &schema()?.with_retired())?;
    let table = table(&lake, &schema);
    let sample = runtime::current_thread()?
        .block_on(table.newest(args.sessions, args.days))
        .with_context(|| format!("cannot take a sample of {name}"))?;
    for column in &sample.unknown {
        let column = shown(column);
        eprintln!("the column {column} is in no schema of this version, and left out");
    }
    if !sample.properties.is_empty() {
        let columns: Vec<String> = sample.properties.iter().map(|column| shown(column)).collect();
        let columns = columns.join(", ");
        eprintln!("{columns}: left out, as the documents have these properties in their lists");
    }
    if sample.documents.is_empty() {
        eprintln!("there are no sessions in the lake {name}");
    }
    let layout = match &args.elasticsearch {
        None => Layout::Plain,
        Some(index) => {
            Layout::Elasticsearch { index: index.clone(), kind: args.elasticsearch_type.clone() }
        }
    };
    let mut lines = Vec::new();
    for document in &sample.documents {
        let given = document.action_id().map(str::to_owned);
        layout.action(&given.unwrap_or_else(|| id(document)), &mut lines);
        serde_json::to_writer(&mut lines, document).context("cannot write a document")?;
        lines.push(b'\n');
    }
    out::json(&String::from_utf8_lossy(&lines))?;
    Ok(ExitCode::SUCCESS)
}

const TABLE: &str = "user_sessions";

/// Returns the schema of the sessions.
pub(super) fn schema() -> anyhow::Result<Arc<TableSchema>> {
    TableSchema::builtin(TABLE).context("there is no such schema")
}

/// Returns the table of the sessions in a lake.
pub(super) fn table<'a>(lake: &'a Lake, schema: &'a TableSchema) -> Table<'a> {
    Table { lake, schema, name: TABLE }
}
