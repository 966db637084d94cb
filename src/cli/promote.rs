//! The command `sessionlake schema promote`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use super::{Failure, Outcome, manual, out, runtime, warn};
use crate::audit::fields::of_lake;
use crate::config::{self, Environment, Flags, LakeSettings, list};
use crate::lake::Lake;
use crate::schema::{self, ColumnType, TableSchema};

/// Print the next version of a schema: with a column for a field that has none.
///
/// POINTER is the field as `sessionlake fields` lists it, with `*` for the indexes of a list. The
/// column is added at the end of its record, may be null, and has "promoted": true in the Avro text,
/// so that views look for the values of earlier rows in _extra. Without --type, the type is the one
/// that the values in the receipts of the lake had.
///
/// Name the printed schema in the setting schema, or in [[tables]], and start again: rolls from then
/// on have the column, and tables with a log get it with the next commit. Rows that have landed keep
/// the value in _extra.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake schema promote '/userActions/*/newField' > sessions.avsc
      The built-in schema of sessions with a column for the field, of the
      type that its values in ./data/lake had.

  sessionlake schema promote /plan --type string \\
      --schema sessions.avsc > next.avsc
      From a schema of one's own, without a lake."))]
pub(super) struct Args {
    /// JSON Pointer of the field; indexes of lists are *.
    #[arg(value_name = "POINTER")]
    pointer: String,
    /// Type of the column [default: the type that its values had].
    #[arg(long = "type", value_name = "TYPE", value_parser = PossibleValuesParser::new(
        ColumnType::ALL.map(ColumnType::name)
    ).try_map(|name| ColumnType::parse(&name).ok_or("no type")))]
    column: Option<ColumnType>,
    /// Avro schema to begin with [default: the setting schema, or the built-in one of the table].
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Table, for the built-in schema and in receipts [default: the name in the schema].
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    #[command(flatten)]
    flags: Flags<{ list::INSPECT }>,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let loaded = config::lake(&args.flags, environment, None)?;
    warn(&loaded.warnings);
    let schema = schema(args, loaded.schema_file).map_err(Failure::Usage)?;
    let promote = |column| {
        let next = schema.promote(&args.pointer, column);
        next.map_err(|error| Failure::Usage(error.into()))
    };
    let column = match args.column {
        Some(column) => column,
        // A pointer that no type makes a column of is refused without a lake.
        None => promote(ColumnType::String).and_then(|_| seen(args, &loaded.settings, &schema))?,
    };
    out::print(&schema::cli_text(&promote(column)?, schema::Format::Avro))
}

/// Returns the schema to begin with. `configured` is the file of the setting `schema`, which is that of no
/// other table than the setting's.
fn schema(args: &Args, configured: Option<PathBuf>) -> anyhow::Result<Arc<TableSchema>> {
    let configured = configured.filter(|_| args.table.is_none());
    if let Some(path) = args.schema.as_ref().or(configured.as_ref()) {
        return Ok(Arc::new(schema::load(path)?));
    }
    let table = args.table.as_deref().unwrap_or("user_sessions");
    TableSchema::builtin(table).with_context(|| {
        let names = schema::BUILTIN.join(", ");
        format!("no schema of the table {table} is built in (there is {names}): give --schema FILE")
    })
}

/// Returns the column for the types that the field's values had, by the receipts of the lake.
fn seen(args: &Args, settings: &LakeSettings, schema: &TableSchema) -> Result<ColumnType, Failure> {
    let table = args.table.as_deref().unwrap_or(&schema.name);
    let lake = Lake::open_existing(&settings.lake).context(
        "the type of the column is that of the field's values in a lake; without one, give --type",
    )?;
    let found = runtime::current_thread()?
        .block_on(of_lake(&lake, Some(table), usize::MAX))
        .with_context(|| format!("cannot read the receipts of {}", lake.location()))?;
    let pointer = &args.pointer;
    let counts = found.tables.get(table).map(|counts| counts.of.as_slice()).unwrap_or_default();
    let Some(of) = counts.iter().find(|of| of.pointer == *pointer) else {
        return Err(Failure::Usage(anyhow!(
            "no receipt of table {table} in {} has counted {pointer}, so its type is not known: give \
             --type, or a pointer that `sessionlake fields` lists",
            lake.location()
        )));
    };
    let types = of.types();
    types.column().ok_or_else(|| {
        let is_record = |kind: &str| matches!(kind, "record" | "list");
        Failure::Usage(match types.names().all(is_record) {
            true => anyhow!(
                "the values of {pointer} are records or lists of them, of which no column is made: write \
                 the field into a schema of your own (sessionlake schema infer prints how it may look)"
            ),
            false => anyhow!(
                "the values of {pointer} had the types {types}, which no one column takes: give the type of \
                 those that it is to have with --type; the others stay in _extra"
            ),
        })
    })
}
