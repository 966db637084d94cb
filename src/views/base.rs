//! The table itself as a view, and the view without doubles.
//!
//! A double is a row with the `tenantId`, `userSessionId`, `startTime` and `partNumber` of another: of
//! several, the last received is kept. They are found by their keys alone and the rest is joined by
//! `_ingest_id`, so that a query of two columns reads these and the keys. Rows that are equal in
//! `startTime` are in the same partition of it, so the join is by the partition as well, and engines
//! read only the files of the day that a query asks for, on both sides. Rows that a roll has put into
//! the overflow partition are compared with one another only.

use super::columns::partitions;
use super::dialect::{Dialect, Writer};
use super::promoted::with_old_values;
use super::unnest::Prefix;
use super::{PART, SESSION, START, TENANT, has_partition_columns, latest_name};
use crate::schema::render::{duckdb_type, sql_comment};
use crate::schema::{EXTRA, INGEST_ID, INGEST_TIME, Kind};
use crate::table::Format;
use crate::table::partition::{Part, Segment};

/// Returns the view of the table as it is in the lake, for engines that have none by its name.
pub(super) fn table(writer: &Writer<'_>) -> String {
    let Writer { dialect, table, place } = writer;
    let (name, fingerprint) = (&table.name, &table.schema.fingerprint);
    let path = format!("{}/{name}", place.lake.trim_end_matches('/'));
    let mut text = sql_comment(&format!(
        "Views over {name}: schema {fingerprint}. Hours and days begin as in the lake, in UTC."
    ));
    match dialect {
        Dialect::Duckdb => {
            let source = match table.format {
                Format::Plain => duckdb_files(writer, &path),
                Format::Delta => format!("delta_scan({})", writer.text(&path)),
                Format::Iceberg => {
                    text.push_str(&sql_comment(
                        "Before: ATTACH '<warehouse>' AS lake (TYPE iceberg, ENDPOINT '<uri>');",
                    ));
                    in_catalog(writer)
                }
            };
            text.push_str(&format!(
                "SET TimeZone = 'UTC';\n{}\nSELECT * FROM {source}\nUNION ALL BY NAME\n{};\n\n",
                writer.create(name),
                no_rows(writer)
            ));
        }
        Dialect::Spark => text.push_str(&spark_table(writer, &path)),
        Dialect::Trino => text.push_str(&sql_comment(&format!(
            "They stand on a table {name} of the current catalog and schema. {}\n",
            match table.format {
                Format::Plain => "`sessionlake schema --format trino` has it.",
                Format::Delta => "CALL system.register_table makes it known.",
                Format::Iceberg => "USE those where receivers commit to it.",
            }
        ))),
    }
    text
}

/// Returns the source of plain files for DuckDB.
fn duckdb_files(writer: &Writer<'_>, path: &str) -> String {
    let types: Vec<String> = known_partitions(writer)
        .map(|(name, kind)| format!("{}: {}", writer.text(name), kind.duckdb()))
        .collect();
    let types = match types.is_empty() {
        true => String::new(),
        false => format!(", hive_types = {{{}}}", types.join(", ")),
    };
    format!(
        "read_parquet(\n  {},\n  hive_partitioning = true{types}, union_by_name = true\n)",
        writer.text(&format!("{path}/**/*.parquet"))
    )
}

/// The type of a partition's values. An engine that is not told it takes one that fits all values that
/// there are: of the texts `007` and `8`, numbers that are equal to `7` and `8`.
#[derive(Clone, Copy)]
enum PartitionKind {
    Day,
    Text,
}

impl PartitionKind {
    fn duckdb(self) -> &'static str {
        match self {
            PartitionKind::Day => "DATE",
            PartitionKind::Text => "VARCHAR",
        }
    }

    fn spark(self) -> &'static str {
        match self {
            PartitionKind::Day => "DATE",
            PartitionKind::Text => "STRING",
        }
    }
}

/// Iterates over the partitions of days and of texts. What other formats of a time show goes by the
/// engine: `hour=07` is a number.
fn known_partitions<'a>(
    writer: &Writer<'a>,
) -> impl Iterator<Item = (&'a str, PartitionKind)> + use<'a> {
    writer.table.partition.segments.iter().filter_map(|segment| {
        let has_text = segment.parts.iter().any(|part| matches!(part, Part::Text { .. }));
        let kind = match has_text {
            true => PartitionKind::Text,
            false if is_day(segment) => PartitionKind::Day,
            false => return None,
        };
        Some((segment.name.as_str(), kind))
    })
}

/// Returns a query of no rows with all columns, so that those that no file has yet can be named.
fn no_rows(writer: &Writer<'_>) -> String {
    let fields = writer.table.schema.fields.iter();
    let mut columns: Vec<String> = fields
        .map(|field| {
            let kind = duckdb_type(&field.kind, 1);
            format!("  CAST(NULL AS {kind}) AS {}", writer.name(&field.name))
        })
        .collect();
    for (name, kind) in
        [(INGEST_TIME, Kind::TimestampMillis), (INGEST_ID, Kind::String), (EXTRA, Kind::String)]
    {
        columns.push(format!("  {} AS {}", writer.null(&kind), writer.name(name)));
    }
    format!("SELECT\n{}\nWHERE false", columns.join(",\n"))
}

/// Returns the statement that makes a view of the table for Spark.
fn spark_table(writer: &Writer<'_>, path: &str) -> String {
    let Writer { table, .. } = writer;
    let name = writer.name(&table.name);
    let path = match path.strip_prefix("s3://") {
        Some(rest) => format!("s3a://{rest}"),
        None => path.to_owned(),
    };
    let options = format!("OPTIONS (path {})", writer.text(&path));
    match table.format {
        Format::Plain => {
            let fields = table.schema.fields.iter().map(|field| (&*field.name, &field.kind));
            let lineage = [
                (INGEST_TIME, &Kind::TimestampMillis),
                (INGEST_ID, &Kind::String),
                (EXTRA, &Kind::String),
            ];
            let columns = fields.chain(lineage).map(|(name, kind)| (name, writer.kind(kind)));
            let partitions =
                known_partitions(writer).map(|(name, kind)| (name, kind.spark().to_owned()));
            let columns = columns.chain(partitions);
            let columns = columns.map(|(name, kind)| format!("  {} {kind}", writer.name(name)));
            let columns = columns.collect::<Vec<_>>().join(",\n");
            format!(
                "CREATE OR REPLACE TEMPORARY VIEW {name} (\n{columns}\n)\nUSING parquet {options};\n\n"
            )
        }
        Format::Delta => {
            format!("CREATE OR REPLACE TEMPORARY VIEW {name}\nUSING delta {options};\n\n")
        }
        Format::Iceberg => {
            format!("{}\nSELECT * FROM {};\n\n", writer.create(&table.name), in_catalog(writer))
        }
    }
}

/// Returns the name of an Iceberg table in a catalog that is attached as `lake`.
fn in_catalog(writer: &Writer<'_>) -> String {
    let levels = writer.place.namespace.iter().map(String::as_str);
    let names = std::iter::once("lake").chain(levels).chain([&*writer.table.name]);
    names.map(|name| writer.name(name)).collect::<Vec<_>>().join(".")
}

/// Returns the view without doubles.
pub(super) fn latest(writer: &Writer<'_>) -> String {
    let table = writer.name(&writer.table.name);
    let has = |name: &&&str| writer.table.schema.fields.iter().any(|f| f.name == ***name);
    let day = writer.name(&pruning_column(writer));
    let id = writer.name(INGEST_ID);
    let keys = [TENANT, SESSION, START, PART];
    let mut group: Vec<String> = keys.iter().filter(has).map(|key| writer.name(key)).collect();
    if !group.contains(&day) {
        group.insert(0, day.clone());
    }
    // A row without an id of its session is like no other.
    let session = writer.name(SESSION);
    group.push(format!("CASE WHEN {session} IS NULL THEN {id} END"));
    let [body, line] = writer.place(&id);
    let newest = writer.last(&id, &writer.row(&[writer.name(INGEST_TIME), body, line, id.clone()]));
    let columns = all_columns(writer);
    let query = |filter: &str, on: &str| {
        format!(
            "SELECT {columns} FROM {table} AS t JOIN (\n  SELECT {day} AS k_day, {newest} AS k_id\n  FROM {table}\
             {filter}\n  GROUP BY {}\n) AS k ON t.{id} = k.k_id AND {on}",
            group.join(", ")
        )
    };
    let dated = query("", &format!("t.{day} = k.k_day"));
    let undated = query(&format!(" WHERE {day} IS NULL"), &format!("t.{day} IS NULL"));
    let name = latest_name(&writer.table.name);
    format!("{}\n{dated}\nUNION ALL\n{undated};\n\n", writer.create(&name))
}

/// Lists the table's columns: all that it has, unless some were promoted and have values of before.
fn all_columns(writer: &Writer<'_>) -> String {
    let fields = &writer.table.schema.fields;
    if !fields.iter().any(|field| field.promoted) {
        return "t.*".to_owned();
    }
    let own = |name: &str| format!("t.{}", writer.name(name));
    let start = Prefix::of_session(writer);
    let columns = fields.iter().map(|field| {
        let column = with_old_values(writer, field, own(&field.name), &start);
        format!("{column} AS {}", writer.name(&field.name))
    });
    let lineage = [INGEST_TIME, INGEST_ID, EXTRA].into_iter().chain(partitions(writer));
    columns.chain(lineage.map(own)).collect::<Vec<_>>().join(",\n  ")
}

/// Returns the column by which files are left out: the partition by `startTime`, or else that itself.
fn pruning_column(writer: &Writer<'_>) -> String {
    let start = writer.table.schema.fields.iter().position(|field| field.name == START);
    let is_of_start = |segment: &&Segment| {
        let mut parts = segment.parts.iter();
        let of_start = |part: &Part| match part {
            Part::Literal(_) => true,
            Part::Text { .. } => false,
            Part::Time { column, .. } => Some(*column) == start,
        };
        parts.all(of_start) && segment.parts.iter().any(|p| matches!(p, Part::Time { .. }))
    };
    let mut segments = writer.table.partition.segments.iter();
    let found = segments.find(is_of_start).filter(|_| has_partition_columns(writer.table));
    found.map_or_else(|| START.to_owned(), |segment| segment.name.clone())
}

/// Returns true for a partition by the day.
fn is_day(segment: &Segment) -> bool {
    matches!(&*segment.parts, [Part::Time { format, .. }] if format == "%Y-%m-%d")
}
