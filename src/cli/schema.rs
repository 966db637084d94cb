//! The command `sessionlake schema`.

use std::sync::Arc;

use clap::ValueEnum;

use super::promoted::with_promoted;
use super::{Failure, Outcome, infer, manual, out, promote, warn};
use crate::config::{self, Environment, Flags, list};
use crate::lake::Lake;
use crate::schema::{self, TableSchema};
use crate::spelling;
use crate::table::flat::{FLAT_COLUMNS, Flat};
use crate::views::{self, Dialect, Place};

/// Print the schema of a table, or its DDL or mapping, or views over it.
///
/// All forms are made from one source, the Avro schema: the one that is compiled in, or a file (--schema).
/// Views (views-duckdb, views-spark, views-trino) are over a table of the configuration: its lake,
/// format, partitions and schema are those of the settings below. Other forms do without them, but for
/// --schema and --table.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_long_help = manual!("\
  sessionlake schema --format duckdb
      SQL for DuckDB that reads what has landed.

  sessionlake schema --format views-duckdb \\
      --lake s3://bucket/prefix
      Views for DuckDB: sessions whose parts are joined, actions as rows, ….

  sessionlake schema --schema orders.avsc --format trino
      DDL for a table of one's own.

  sessionlake schema user_sessions > user_sessions.avsc
      The Avro schema itself."))]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Name of a built-in table or of a flat table of one; of views, of a table of the configuration [default: user_sessions; of
    /// views, the setting table].
    #[arg(value_name = "TABLE")]
    name: Option<String>,
    /// The form to print it in.
    #[arg(long, short, value_enum, default_value = "avro", value_name = "FORMAT")]
    format: Form,
    #[command(flatten)]
    flags: Flags<{ list::TABLES }>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Promote(promote::Args),
    Infer(infer::Args),
}

/// What can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The Avro schema itself, evenly laid out.
    Avro,
    /// The Arrow schema of batches and files, as an indented tree.
    Arrow,
    /// CREATE TABLE for Spark SQL, over the lake's files.
    Spark,
    /// CREATE TABLE for Trino's Hive connector, over the lake's files.
    Trino,
    /// CREATE VIEW over the lake's files, and CREATE TABLE for a copy, for DuckDB.
    Duckdb,
    /// The body of a request that creates an Elasticsearch index with a mapping.
    Elasticsearch,
    /// The reference page of the table, in Markdown: every column with its types and names.
    Reference,
    /// Views of sessions, actions, events, errors and properties, for DuckDB.
    ViewsDuckdb,
    /// The same for Spark SQL.
    ViewsSpark,
    /// The same for Trino, over a table that it knows.
    ViewsTrino,
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    match &args.command {
        Some(Command::Promote(args)) => return promote::run(args, environment),
        Some(Command::Infer(args)) => return infer::run(args),
        None => {}
    }
    let format = match args.format {
        Form::Avro => schema::Format::Avro,
        Form::Arrow => schema::Format::Arrow,
        Form::Spark => schema::Format::Spark,
        Form::Trino => schema::Format::Trino,
        Form::Duckdb => schema::Format::Duckdb,
        Form::Elasticsearch => schema::Format::Elasticsearch,
        Form::Reference => schema::Format::Reference,
        Form::ViewsDuckdb => return print_views(Dialect::Duckdb, args, environment),
        Form::ViewsSpark => return print_views(Dialect::Spark, args, environment),
        Form::ViewsTrino => return print_views(Dialect::Trino, args, environment),
    };
    if let Some(flag) = args.flags.first_beside(&[&list::SCHEMA, &list::TABLE]) {
        return Err(Failure::Usage(anyhow::anyhow!(
            "{flag} is for views only (--format views-duckdb, views-spark or views-trino)"
        )));
    }
    let name = args.name.clone().or_else(|| args.flags.get(&list::TABLE));
    if let Some(file) = args.flags.get(&list::SCHEMA) {
        let schema = schema::load(file.as_ref()).map_err(|error| Failure::Usage(error.into()))?;
        let name = name.unwrap_or_else(|| schema.name.clone());
        return out::print(&schema::cli_text(&TableSchema { name, ..schema }, format));
    }
    let name = name.as_deref().unwrap_or("user_sessions");
    if let (schema::Format::Reference, Some(flat)) = (format, flat_schema(name)) {
        return out::print(&schema::render::flat_reference_page(&flat));
    }
    let flat = || Some(Arc::new(flat_schema(name)?));
    let schema = TableSchema::builtin(name).or_else(flat).ok_or_else(|| {
        let flat = schema::BUILTIN.iter().flat_map(|parent| flat_tables(parent));
        let flat: Vec<String> = flat.map(|(table, ..)| table).collect();
        let all = schema::BUILTIN.iter().copied().chain(flat.iter().map(String::as_str));
        let meant = spelling::meant(name, all.map(|table| (table, table)));
        let meant = meant.map(|meant| format!(" (did you mean {meant}?)"));
        Failure::Usage(anyhow::anyhow!(
            "no schema of {name} is built in{}: there is {}, and there are the flat tables {}; a schema of \
             your own is named with --schema FILE",
            meant.unwrap_or_default(),
            schema::BUILTIN.join(", "),
            flat.join(", ")
        ))
    })?;
    out::print(&schema::cli_text(&schema, format))
}

/// Returns the flat tables of a built-in table with the columns of the default.
fn flat_tables(parent: &str) -> Vec<(String, TableSchema)> {
    let schema = TableSchema::builtin(parent);
    let of = |flat: Flat| {
        let table = flat.table(parent);
        let schema = flat.schema(&table, schema.as_ref()?, FLAT_COLUMNS).ok()?;
        Some((table, schema))
    };
    Flat::ALL.into_iter().filter_map(of).collect()
}

/// Returns the schema of the flat table `name` of a built-in table.
fn flat_schema(name: &str) -> Option<TableSchema> {
    let mut all = schema::BUILTIN.iter().flat_map(|parent| flat_tables(parent));
    all.find(|(table, _)| table == name).map(|(_, schema)| schema)
}

fn print_views(dialect: Dialect, args: &Args, environment: &Environment) -> Outcome {
    let loaded = config::tables(&args.flags, environment)?;
    warn(&loaded.warnings);
    let options = loaded.settings;
    let named: Vec<String> = args.name.iter().cloned().collect();
    let tables = options.named(&named).map_err(Failure::Usage)?;
    let Some(table) = tables.first() else {
        return Err(Failure::Running(anyhow::anyhow!("there is no table in this configuration")));
    };
    let mut table = table.clone();
    // Where there is no lake yet, nothing was promoted.
    if let Ok(lake) = Lake::open_existing(&options.lake) {
        match with_promoted(&lake, &table.name, &table.schema) {
            Ok(schema) => table.schema = Arc::new(schema),
            Err(error) => warn(&[format!("{error:#}; the views lack them")]),
        }
    }
    let lake = options.lake.location.to_string();
    let namespace =
        options.catalog.map_or_else(|| vec!["sessionlake".to_owned()], |catalog| catalog.namespace);
    let place = Place { lake: &lake, namespace: &namespace };
    let flat = options.tables.iter().filter(|flat| flat.rows.parent() == Some(&table.name));
    let landed: Vec<&str> = flat.map(|flat| &*flat.name).collect();
    let flat_columns: Vec<&str> = options.flat_columns.iter().map(String::as_str).collect();
    let text = views::sql(dialect, &table, place, &flat_columns, &landed)
        .map_err(|why| Failure::Usage(anyhow::anyhow!(why)))?;
    out::print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_tables_are_those_of_their_schemas() {
        let mut pages = Vec::new();
        for name in schema::BUILTIN {
            let built_in = TableSchema::builtin(name).unwrap();
            pages.push(((*name).to_owned(), schema::render::reference_page(&built_in)));
            for (table, flat) in flat_tables(name) {
                pages.push((table, schema::render::flat_reference_page(&flat)));
            }
        }
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tables");
        // There is nothing to compare in a package made of the crate alone.
        let Ok(kept) = std::fs::read_dir(&folder) else { return };
        assert_eq!(kept.count(), pages.len(), "a page for each table, and for no other");
        for (name, page) in pages {
            let kept =
                std::fs::read_to_string(folder.join(format!("{name}.md"))).unwrap_or_default();
            assert!(
                kept == page,
                "docs/tables/{name}.md is stale: sessionlake schema {name} --format reference > \
                 docs/tables/{name}.md"
            );
        }
    }
}
