//! Flat tables: a row for each element of a list of the session, with what people filter by.
//!
//! A flat table is derived from a table of documents, its parent. Its columns, in this order:
//!
//! 1. the keys of the session: `tenantId`, `userSessionId`, `partNumber`, those that the parent has;
//! 2. columns of the session that people filter by ([`FLAT_COLUMNS`]), each named `session` and its own
//!    name ([`session_column`]), so that they never meet a field of an element;
//! 3. `position`: the index of the element in its list, from 0, null elements counted, as the pointers
//!    of `_extra` count;
//! 4. the fields of the element, lists within it included.
//!
//! [`Flat::Properties`] has in place of 3 and 4 what `properties` says. Lineage columns are those of
//! every table: `_ingest_time` and `_ingest_id` of the session's row, and in `_extra` what the session's
//! has below the element (`/userActions/3/x` is `/x` here).
//!
//! | table | list | name, for the parent `user_sessions` |
//! |---|---|---|
//! | actions | `userActions` | `user_actions` |
//! | events | `events` | `user_events` |
//! | errors | `errors` | `user_errors` |
//! | properties | lists of properties, of the session and of its actions | `user_properties` |
//!
//! The flat tables of another parent `p` are `p_actions`, `p_events`, `p_errors` and `p_properties`.
//!
//! The template of the parent gives the partition: a time that an element has as well is the element's
//! own, and every other placeholder is of the session.

mod properties;

use std::sync::Arc;

use anyhow::Context as _;

use super::partition::{Part, Template};
use super::spec::{Rows, Spec};
use crate::schema::write::{self, Column};
use crate::schema::{Field, Kind, TableSchema};

pub(crate) use properties::{ACTIONS, OWN_COLUMNS, entry};
pub use properties::{Level, PropertyList, property_lists};

/// Keys of a session, and of a part of one.
pub const KEYS: [&str; 3] = ["tenantId", "userSessionId", "partNumber"];

/// The column of the session that every flat table has, beside the keys.
pub const START_TIME: &str = "startTime";

/// The column with the index of an element in its list.
pub const POSITION: &str = "position";

/// The columns of which one is the first behind those of the session.
pub(crate) const FIRST_OF_ELEMENT: [&str; 2] = [POSITION, properties::LEVEL];

/// Columns of the session that flat tables have, unless others are chosen: those that people filter by.
pub const FLAT_COLUMNS: &[&str] = &[
    START_TIME,
    "userType",
    "applicationType",
    "internalUserId",
    "userId",
    "country",
    "region",
    "city",
    "browserFamily",
    "browserMajorVersion",
    "osFamily",
    "osVersion",
    "device",
    "appVersion",
    "bounce",
    "newUser",
    "userExperienceScore",
    "hasError",
];

/// A flat table of a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flat {
    /// User actions.
    Actions,
    /// Events.
    Events,
    /// Errors.
    Errors,
    /// Properties of the session and of its actions.
    Properties,
}

impl Flat {
    /// All of them.
    pub const ALL: [Flat; 4] = [Flat::Actions, Flat::Events, Flat::Errors, Flat::Properties];

    /// Returns the list that it is made of; none for properties, which are in several.
    #[must_use]
    pub fn list(self) -> Option<&'static str> {
        match self {
            Flat::Actions => Some("userActions"),
            Flat::Events => Some("events"),
            Flat::Errors => Some("errors"),
            Flat::Properties => None,
        }
    }

    /// Returns the name of the flat table of `parent`: `user_actions` for `user_sessions`.
    #[must_use]
    pub fn table(self, parent: &str) -> String {
        let stem = if parent == "user_sessions" { "user" } else { parent };
        let what = match self {
            Flat::Actions => "actions",
            Flat::Events => "events",
            Flat::Errors => "errors",
            Flat::Properties => "properties",
        };
        format!("{stem}_{what}")
    }

    /// Returns the origin of its rows, for the parent's name.
    #[must_use]
    pub fn rows(self, parent: &str) -> Rows {
        match self.list() {
            Some(list) => Rows::Exploded { parent: parent.into(), column: list.to_owned() },
            None => Rows::Properties { parent: parent.into() },
        }
    }

    /// Returns the columns of the flat table named `table`, of a parent with these columns. `columns` are
    /// the names of the session's columns that it has; those that the parent has not are left out.
    ///
    /// # Errors
    /// The parent has no such list of records, or a field of its records has the name of a column that
    /// the flat table has for the session. The text says which.
    pub fn schema(
        self,
        table: &str,
        parent: &TableSchema,
        columns: &[&str],
    ) -> Result<TableSchema, String> {
        let mut made = session_columns(parent, columns);
        let long;
        let doc = match self.list() {
            Some(list) => {
                let fields = element(parent, list).ok_or_else(|| no_list(parent, list))?;
                long = Kind::Long;
                let doc = "Index of the element in its list, from 0.";
                made.push(Column { name: POSITION.to_owned(), doc, kind: &long, bloom: false });
                made.extend(fields.iter().map(|field| column(field.name.clone(), field)));
                format!("Flat: one row for each element of {list} of {}.", parent.name)
            }
            None => {
                if property_lists(parent).is_empty() {
                    return Err(no_list(parent, "stringProperties"));
                }
                made.extend(properties::columns(parent)?);
                format!(
                    "Flat: one row for each property of {}, of the session and of its actions.",
                    parent.name
                )
            }
        };
        TableSchema::parse(&write::avsc(table, &doc, &made)).map_err(|why| why.to_string())
    }

    /// Specifies the flat table of `parent`, with these columns of the session and those that its
    /// partitions need. What is not said here is as for the parent: the format, the limits, the rules
    /// (which were applied to the parent's rows before, and name columns of the parent).
    ///
    /// # Errors
    /// Those of [`Flat::schema`]; the partition template does not fit the columns.
    pub fn spec(self, parent: &Spec, columns: &[&str]) -> Result<Spec, String> {
        let table = self.table(&parent.name);
        let own = |name: &str| self.has_time(&parent.schema, name);
        let has_start = parent.schema.fields.iter().any(|field| field.name == START_TIME);
        let mut columns = columns.to_vec();
        for name in placeholders(parent) {
            // Some time of the session is there in any case: elements of an import are held against it.
            if (!own(name) || !has_start) && !columns.contains(&name) {
                columns.push(name);
            }
        }
        let schema = self.schema(&table, &parent.schema, &columns)?;
        let text = template(parent, own);
        let partition = Template::parse(&text, &schema).map_err(|why| why.to_string())?;
        parent.format.check(&schema, &partition)?;
        let (name, rows) = (table.into(), self.rows(&parent.name));
        // Doubles are left out of the parent, and with them their flat rows.
        let (schema, dedup_window_ms) = (Arc::new(schema), None);
        Ok(Spec { name, schema, partition, rows, dedup_window_ms, ..parent.clone() })
    }

    /// Returns true if its elements have the time `name` themselves.
    fn has_time(self, parent: &TableSchema, name: &str) -> bool {
        let fields = self.list().and_then(|list| element(parent, list)).unwrap_or_default();
        fields.iter().any(|field| field.name == name && field.kind == Kind::TimestampMillis)
    }
}

/// Returns the name of a column of the session in flat tables: `sessionStartTime` for `startTime`. Keys
/// keep their names.
#[must_use]
pub fn session_column(name: &str) -> String {
    if KEYS.contains(&name) {
        return name.to_owned();
    }
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    std::iter::once("session").map(str::to_owned).chain(first.map(String::from)).collect::<String>()
        + letters.as_str()
}

/// Returns the column of a flat table, by its index, that has the time of the session: the first time before
/// the columns of the element.
#[must_use]
pub(crate) fn session_time(flat: &TableSchema) -> Option<usize> {
    let of_session =
        flat.fields.iter().take_while(|field| !FIRST_OF_ELEMENT.contains(&&*field.name));
    of_session.enumerate().find(|(_, field)| field.kind == Kind::TimestampMillis).map(|(at, _)| at)
}

/// Returns the number of columns of a flat table that are of its session; they are its first.
///
/// # Errors
/// A column that every flat table has of its elements is not there.
pub fn session_columns_of(spec: &Spec) -> anyhow::Result<usize> {
    let first = match &spec.rows {
        Rows::Properties { .. } => "level",
        _ => POSITION,
    };
    let own = spec.schema.fields.iter().position(|field| field.name == first);
    own.with_context(|| format!("it has no column {first}"))
}

/// Returns true for a column that flat tables can have of the session: one value, no list or record.
#[must_use]
pub fn is_flat_column(field: &Field) -> bool {
    match field.kind {
        Kind::String | Kind::Long | Kind::Double | Kind::Boolean | Kind::TimestampMillis => true,
        Kind::List(_) | Kind::Struct(_) | Kind::Map(_) => false,
    }
}

/// Returns the fields of the elements of a list of records.
pub(crate) fn element<'a>(parent: &'a TableSchema, list: &str) -> Option<&'a [Field]> {
    records(&parent.fields.iter().find(|field| field.name == list)?.kind)
}

/// Returns the fields of the records of a list.
pub(crate) fn records(kind: &Kind) -> Option<&[Field]> {
    let Kind::List(item) = kind else { return None };
    let Kind::Struct(fields) = item.as_ref() else { return None };
    Some(fields)
}

/// Returns the keys and these columns of the session, in the order in which they are named.
fn session_columns<'a>(parent: &'a TableSchema, columns: &[&str]) -> Vec<Column<'a>> {
    let mut made: Vec<Column<'a>> = Vec::new();
    let all = KEYS.iter().chain([&START_TIME]).chain(columns);
    for name in all {
        let field = parent.fields.iter().find(|field| field.name == **name);
        let Some(field) = field.filter(|field| is_flat_column(field)) else { continue };
        let name = session_column(name);
        if !made.iter().any(|made| made.name == name) {
            made.push(column(name, field));
        }
    }
    made
}

fn column(name: String, field: &Field) -> Column<'_> {
    Column { name, doc: &field.doc, kind: &field.kind, bloom: field.bloom }
}

fn no_list(parent: &TableSchema, list: &str) -> String {
    format!("the schema {} has no list of records {list}", parent.name)
}

/// Iterates over the names of the columns in the parent's partition template.
fn placeholders(parent: &Spec) -> impl Iterator<Item = &str> {
    let parts = parent.partition.segments.iter().flat_map(|segment| &segment.parts);
    parts.filter_map(|part| match part {
        Part::Literal(_) => None,
        Part::Text { column } | Part::Time { column, .. } => name_of(parent, *column),
    })
}

fn name_of(parent: &Spec, column: usize) -> Option<&str> {
    parent.schema.fields.get(column).map(|field| field.name.as_str())
}

/// Returns the parent's partition template over the columns of a flat table, whose elements have the
/// times that `own` says themselves.
fn template(parent: &Spec, own: impl Fn(&str) -> bool) -> String {
    let flat = |column: usize| match name_of(parent, column) {
        Some(name) if own(name) => name.to_owned(),
        Some(name) => session_column(name),
        None => String::new(),
    };
    let segments = parent.partition.segments.iter().map(|segment| {
        let parts = segment.parts.iter().map(|part| match part {
            Part::Literal(text) => text.clone(),
            Part::Text { column } => format!("{{{}}}", flat(*column)),
            Part::Time { column, format, .. } => format!("{{{}:{format}}}", flat(*column)),
        });
        format!("{}={}", segment.name, parts.collect::<String>())
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests;
