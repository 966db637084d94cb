//! The view of sessions: parts joined.
//!
//! A row has the columns of the table by [`rules`](super::rules), and besides: `parts`, their number;
//! `_ingest_time`, the latest; `_ingest_id`, that of the last part; `_extras`, the `_extra` of each part
//! that has one, in the order of parts, whose pointers count within the lists of that part. A partition
//! by the day is that of the first part.
//!
//! Which day a session began on shows only once its parts are together, so a filter on the day reads the
//! keys and the columns of the query in the files of all days.

use super::columns::partitions;
use super::dialect::Writer;
use super::rules::{Rule, rule};
use super::{PART, SESSION, START, TENANT, latest_name, sessions_name};
use crate::schema::{EXTRA, Field, INGEST_ID, INGEST_TIME};

/// The column with the number of a session's parts.
const PARTS: &str = "parts";
/// The column with the `_extra` of the parts.
const EXTRAS: &str = "_extras";
/// The name of the order of parts within the statement.
const ORDER: &str = "_order";

/// Returns the view of sessions.
///
/// # Errors
/// A column of the table has the name of one that only sessions have.
pub(super) fn view(writer: &Writer<'_>) -> Result<String, String> {
    let fields = &writer.table.schema.fields;
    if let Some(field) = fields.iter().find(|field| field.name.eq_ignore_ascii_case(PARTS)) {
        let (table, column) = (&writer.table.name, &field.name);
        return Err(format!(
            "the column {column} of {table} has the name of the number of a session's parts: there \
             can be no view of sessions"
        ));
    }
    let order = writer.name(ORDER);
    let column = |what: String, name: &str| format!("  {what} AS {}", writer.name(name));
    let mut columns: Vec<String> =
        fields.iter().map(|field| column(value(writer, field), &field.name)).collect();
    let id = writer.name(INGEST_ID);
    columns.push(column("count(*)".to_owned(), PARTS));
    columns.push(column(format!("max({})", writer.name(INGEST_TIME)), INGEST_TIME));
    columns.push(column(writer.last(&id, &order), INGEST_ID));
    columns.push(column(writer.gathered(&writer.name(EXTRA), &order), EXTRAS));
    for name in partitions(writer) {
        columns.push(column(format!("min({})", writer.name(name)), name));
    }
    let session = writer.name(SESSION);
    let mut group: Vec<String> = [TENANT, SESSION]
        .iter()
        .filter(|key| has(writer, key))
        .map(|key| writer.name(key))
        .collect();
    group.push(format!("CASE WHEN {session} IS NULL THEN {id} END"));
    Ok(format!(
        "{}\nSELECT\n{}\nFROM (SELECT *, {} AS {order} FROM {}) AS p\nGROUP BY {};\n\n",
        writer.create(&sessions_name(&writer.table.name)),
        columns.join(",\n"),
        part_order(writer),
        writer.name(&latest_name(&writer.table.name)),
        group.join(", ")
    ))
}

fn has(writer: &Writer<'_>, name: &str) -> bool {
    writer.table.schema.fields.iter().any(|field| field.name == name)
}

/// Writes what parts are ordered by, without nulls, which engines order in different ways.
fn part_order(writer: &Writer<'_>) -> String {
    let mut members = Vec::new();
    if has(writer, PART) {
        members.push(format!("coalesce({}, -1)", writer.name(PART)));
    }
    members.push(format!("coalesce({}, -100000000000000)", writer.millis(&writer.name(START))));
    let id = writer.name(INGEST_ID);
    members.push(writer.name(INGEST_TIME));
    members.extend(writer.place(&id));
    members.push(id);
    writer.row(&members)
}

/// Writes the aggregate of a column.
fn value(writer: &Writer<'_>, field: &Field) -> String {
    let (name, order) = (writer.name(&field.name), writer.name(ORDER));
    match rule(field) {
        Rule::Key => name,
        Rule::First => format!("min({name})"),
        Rule::Greatest => format!("max({name})"),
        Rule::Sum => writer.sum(&name),
        Rule::Any => format!("bool_or({name})"),
        Rule::All => format!("bool_and({name})"),
        Rule::Last => writer.last(&name, &order),
        Rule::Joined => writer.concatenated(&name, &order),
        Rule::Merged => writer.merged(&name, &order, &field.kind),
        Rule::Span if has(writer, "endTime") => format!(
            "coalesce(CASE WHEN count(*) = 1 THEN max({name}) END, {} - {})",
            writer.millis(&format!("max({})", writer.name("endTime"))),
            writer.millis(&format!("min({})", writer.name(START))),
        ),
        Rule::Span => writer.last(&name, &order),
    }
}
