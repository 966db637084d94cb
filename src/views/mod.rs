//! Views over a table of sessions, as SQL: what analysts ask for, for those who keep one table.
//!
//! ```text
//!  user_sessions ─▶ user_sessions_latest ─┬─▶ sessions            parts joined: a row a session
//!    (the lake)      (without doubles)    └─▶ user_actions, …     with the columns of flat tables
//! ```
//!
//! | view | rows |
//! |---|---|
//! | the table's name | as they are in the lake |
//! | `…_latest` | the newest of those with equal `tenantId`, `userSessionId`, `startTime` and `partNumber` |
//! | `sessions` | one for each `tenantId` and `userSessionId`, made of its parts ([`rules`]) |
//! | `user_actions` and others | those of the [flat tables](crate::table::flat) |
//!
//! Rows without `userSessionId` are each a session of their own. The views of another table `p` are
//! `p_latest`, `p_sessions`, `p_actions` and so on.
//!
//! Promises: the same table gives the same text; what is printed needs nothing but the engine and the
//! lake; a filter on the day reads only the files of that day, and a query reads only its columns and
//! the keys, except that `sessions` reads the keys of all days ([`sessions`]).

mod base;
mod columns;
mod dialect;
mod elements;
mod promoted;
mod properties;
mod rules;
mod sessions;
#[cfg(test)]
mod tests;
mod unnest;

pub use dialect::Dialect;

use crate::schema::{Kind, TableSchema};
use crate::table::{Format, Spec};
use dialect::Writer;

/// Where a table is, as engines name it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The lake: a directory or an address.
    pub lake: &'a str,
    /// The namespace of Iceberg tables in their catalog.
    pub namespace: &'a [String],
}

/// Returns the statements that create the views over `table`, ending in a newline. `flat_columns` are
/// those columns of the session that flat tables have, `landed` the names of flat tables in the lake.
///
/// # Errors
/// The table has no `userSessionId` or no `startTime`, so that its rows are no sessions. The text says so.
pub fn sql(
    dialect: Dialect,
    table: &Spec,
    place: Place<'_>,
    flat_columns: &[&str],
    landed: &[&str],
) -> Result<String, String> {
    let writer = Writer { dialect, table, place };
    check(&table.schema)?;
    let mut text = base::table(&writer);
    text.push_str(&base::latest(&writer));
    text.push_str(&sessions::view(&writer)?);
    text.push_str(&elements::views(&writer, flat_columns, landed)?);
    Ok(text)
}

/// The names of a session's keys, and of a part of one.
const SESSION: &str = "userSessionId";
const TENANT: &str = "tenantId";
const START: &str = "startTime";
const PART: &str = "partNumber";

fn check(schema: &TableSchema) -> Result<(), String> {
    for (name, kind, what) in
        [(SESSION, Kind::String, "a text"), (START, Kind::TimestampMillis, "a time")]
    {
        if !schema.fields.iter().any(|field| field.name == name && field.kind == kind) {
            return Err(format!(
                "views are over tables of sessions, and {} has no column {name} that is {what}",
                schema.name
            ));
        }
    }
    Ok(())
}

/// Returns the name of the view of sessions of the table `parent`.
fn sessions_name(parent: &str) -> String {
    if parent == "user_sessions" { "sessions".to_owned() } else { format!("{parent}_sessions") }
}

/// Returns the name of the view without doubles of the table `parent`.
fn latest_name(parent: &str) -> String {
    format!("{parent}_latest")
}

/// Tells whether readers of the table see its partitions as columns.
fn has_partition_columns(table: &Spec) -> bool {
    table.format != Format::Iceberg
}
