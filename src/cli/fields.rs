//! The command `sessionlake fields`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::builder::RangedU64ValueParser;
use serde::Serialize;

use super::promoted::with_promoted;
use super::{Failure, Outcome, manual, out, runtime, warn};
use crate::audit::fields::{FieldColumn, LakeFields, Sample, column_of, of_lake};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Environment, Flags, list};
use crate::fields::{Counts, FieldCounts};
use crate::import;
use crate::lake::Lake;
use crate::record::Micros;
use crate::schema::{self, TableSchema};

/// List the fields that no column has.
///
/// What has landed and has no column of its own is in _extra. This lists it by JSON Pointer, with
/// `*` for the indexes of lists: in how many sessions a field was, which types its values had, when
/// it came first and last, and masked examples (letters are a, digits 0), never values. COLUMN says
/// which column `sessionlake schema promote` would make of the field; `misfit` there marks values of a
/// known column that did not fit it, and `there` a field that has a column by now.
///
/// Of a lake, the counts of its receipts are summed; rolls of versions that did not count have
/// none. Its tables have the columns of the configuration, and those that were promoted in the lake. Of files, documents are decoded as they would be received; nothing is written.
///
/// Keys that look like data (ids, addresses, numbers) are one field, {key}. Where there are too many
/// fields, those of the fewest sessions are counted together.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake fields
      Those of the lake of the configuration, ./data/lake by default.

  sessionlake fields --lake s3://bucket/prefix --json
      A lake in a bucket, for a program to read.

  sessionlake fields sessions.ndjson.gz
      Those of a file, before it is imported."))]
pub(super) struct Args {
    /// Files of documents, plain, gzip or zstd, instead of a lake.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only of this table; of files, the table that they are for.
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// Avro schema of the table, for files; without it, the built-in one.
    #[arg(long, value_name = "FILE", requires = "files")]
    schema: Option<PathBuf>,
    /// The last so many rolls of each node.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..)
    )]
    rolls: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags<{ list::INSPECT }>,
}

/// Most bytes of a file, inflated, that are looked at.
const MOST_BYTES: u64 = 256 << 20;

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    if !args.files.is_empty() {
        return of_files(args);
    }
    let loaded = config::lake_and_tables(&args.flags, environment)?;
    warn(&loaded.warnings);
    let lake = Lake::open_existing(&loaded.settings.lake)?;
    let found = runtime::current_thread()?
        .block_on(of_lake(&lake, args.table.as_deref(), args.rolls))
        .with_context(|| format!("cannot read the receipts of {}", lake.location()))?;
    for (node, roll, why) in &found.unreadable {
        eprintln!("{}", crate::error_text::printable(&format!("roll {roll} of {node}: {why}")));
    }
    let LakeFields { tables, named, receipts, older, unreadable } = found;
    if let Some(table) = args.table.as_ref().filter(|table| !named.contains(*table))
        && receipts > 0
    {
        let named: Vec<String> = named.into_iter().collect();
        return Err(Failure::Usage(anyhow!(
            "no receipt in {} has a table {table}; there is {}",
            lake.location(),
            named.join(", ")
        )));
    }
    let mut schemas = BTreeMap::new();
    for table in tables.keys() {
        let spec = loaded.settings.tables.iter().find(|spec| *spec.name == **table);
        let schema = spec.map(|spec| Arc::clone(&spec.schema));
        if let Some(schema) = schema.or_else(|| TableSchema::builtin(table)) {
            schemas.insert(table.clone(), with_promoted(&lake, table, &schema)?);
        }
    }
    show(args, &tables, &schemas)?;
    if !args.json {
        let older = if older > 0 {
            format!(", {older} older ones left out (--rolls)")
        } else {
            String::new()
        };
        out::report(&format!("{receipts} receipts{older}\n"))?;
    }
    Ok(if unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn of_files(args: &Args) -> Outcome {
    let schema = match &args.schema {
        Some(path) => Arc::new(schema::load(path).map_err(|error| Failure::Usage(error.into()))?),
        None => {
            let table = args.table.as_deref().unwrap_or("user_sessions");
            let builtin = TableSchema::builtin(table);
            builtin
                .with_context(|| {
                    let names = schema::BUILTIN.join(", ");
                    format!("no schema of the table {table} is built in (there is {names}): give --schema FILE")
                })
                .map_err(Failure::Usage)?
        }
    };
    let table = args.table.clone().unwrap_or_else(|| schema.name.clone());
    let schemas = BTreeMap::from([(table.clone(), (*schema).clone())]);
    let (mut sample, now) = (Sample::new(schema), SystemClock.now());
    for path in &args.files {
        let (text, is_cut) = read(path)?;
        if is_cut {
            eprintln!("{}: only the first {} MiB are looked at", path.display(), MOST_BYTES >> 20);
        }
        sample.add(text.into(), now);
    }
    let (rows, rejects) = (sample.rows, sample.rejects);
    show(args, &BTreeMap::from([(table, sample.counts())]), &schemas)?;
    if !args.json {
        out::report(&format!("{rows} documents; {rejects} lines are no documents\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the text of a file. Returns whether it was cut, at the end of a line.
fn read(path: &Path) -> anyhow::Result<(Vec<u8>, bool)> {
    let mut text = Vec::new();
    let mut file = import::open_sample(path)?.take(MOST_BYTES + 1);
    file.read_to_end(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    let is_cut = text.len() as u64 > MOST_BYTES;
    if is_cut {
        let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(text.len());
        text.truncate(end);
    }
    Ok((text, is_cut))
}

#[derive(Serialize)]
struct FieldReport<'a> {
    pointer: &'a str,
    sessions: u64,
    types: &'a [String],
    misfit: bool,
    /// The schema has a column for it by now.
    has_column: bool,
    first_seen: Option<String>,
    last_seen: Option<String>,
    examples: &'a [String],
    /// Type of the column that `schema promote` would add.
    promotes_to: Option<&'static str>,
}

#[derive(Serialize)]
struct TableReport<'a> {
    table: &'a str,
    sessions: u64,
    others: u64,
    fields: Vec<FieldReport<'a>>,
}

fn field<'a>(of: &'a FieldCounts, schema: Option<&TableSchema>) -> FieldReport<'a> {
    let column = column_of(of, schema);
    FieldReport {
        pointer: &of.pointer,
        sessions: of.rows,
        types: &of.types,
        misfit: of.misfit,
        has_column: column == FieldColumn::There,
        first_seen: time(of.first_ms),
        last_seen: time(of.last_ms),
        examples: &of.examples,
        promotes_to: match column {
            FieldColumn::Possible(column) => Some(column.name()),
            FieldColumn::Misfit | FieldColumn::There | FieldColumn::No => None,
        },
    }
}

fn time(ms: u64) -> Option<String> {
    let micros = i64::try_from(ms).ok()?.checked_mul(1_000)?;
    Micros(micros).rfc3339()
}

fn show(
    args: &Args,
    tables: &BTreeMap<String, Counts>,
    schemas: &BTreeMap<String, TableSchema>,
) -> Result<(), Failure> {
    let tables = tables.iter().map(|(table, counts)| report(table, counts, schemas));
    let tables: Vec<TableReport<'_>> = tables.collect();
    if args.json {
        let mut text = serde_json::to_string_pretty(&serde_json::json!({ "tables": tables }))
            .context("cannot make JSON of the report")?;
        text.push('\n');
        return out::json(&text);
    }
    let mut text = String::new();
    for TableReport { table, sessions, others, fields } in &tables {
        let there = fields.iter().filter(|field| field.has_column).count();
        let without = fields.len() - there;
        let there = match there {
            0 => String::new(),
            there => format!(", and {there} that have one by now"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{table}: {without} fields without a column{there}, in {sessions} sessions"
        );
        if !fields.is_empty() {
            lines(&mut text, fields);
        }
        if *others > 0 {
            let _ = writeln!(text, "  and {others} values of further fields");
        }
    }
    if tables.is_empty() {
        text.push_str("no fields without a column were counted\n");
    }
    out::report(&text)
}

fn report<'a>(
    table: &'a str,
    counts: &'a Counts,
    schemas: &BTreeMap<String, TableSchema>,
) -> TableReport<'a> {
    let schema = schemas.get(table);
    let fields = counts.of.iter().map(|of| field(of, schema)).collect();
    TableReport { table, sessions: counts.rows, others: counts.others, fields }
}

/// Writes a table of fields: the longest cell of a column, but not of the last, is its width.
fn lines(text: &mut String, fields: &[FieldReport<'_>]) {
    let head = ["POINTER", "SESSIONS", "TYPES", "FIRST SEEN", "LAST SEEN", "COLUMN", "EXAMPLES"];
    let mut rows = vec![head.map(str::to_owned)];
    for of in fields {
        let column = match (of.misfit, of.has_column) {
            (true, _) => "misfit",
            (false, true) => "there",
            (false, false) => of.promotes_to.unwrap_or("-"),
        };
        rows.push([
            of.pointer.to_owned(),
            of.sessions.to_string(),
            of.types.join(", "),
            of.first_seen.clone().unwrap_or_default(),
            of.last_seen.clone().unwrap_or_default(),
            column.to_owned(),
            of.examples.join("  "),
        ]);
    }
    let width = |at: usize| {
        rows.iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in &rows {
        let mut line = String::from("  ");
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}
