//! The table of properties: a row for each entry of a list of properties.
//!
//! | column | value |
//! |---|---|
//! | `level` | `session` or `action` |
//! | `actionPosition`, `actionName` | of the action that has the list; null for the session's |
//! | `type` | `string`, `long`, `double` or `date` |
//! | `position` | index of the entry in its list, from 0 |
//! | `key` | name of the property |
//! | `stringValue`, `longValue`, `doubleValue`, `dateValue` | its value, in the column of its type; null in the others |
//! | others | fields of the entries that were promoted, of whichever list; null where the list has none of the name |
//!
//! Together with `_ingest_id`, `level`, `actionPosition`, `type` and `position` are unique.

use super::{POSITION, element, records};
use crate::schema::write::Column;
use crate::schema::{Field, Kind, PropertyType, TableSchema};

/// The first column of [`Flat::Properties`](super::Flat::Properties) behind those of the session.
pub(super) const LEVEL: &str = "level";

/// Where a list of properties is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// In the session.
    Session,
    /// In each of its actions.
    Action,
}

impl Level {
    /// Returns the word in the column `level`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Session => "session",
            Level::Action => "action",
        }
    }
}

/// A list of properties that a parent has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertyList {
    /// Where it is.
    pub level: Level,
    /// The type of its properties.
    pub of: PropertyType,
}

/// The list of user actions, whose elements have lists of properties as well.
pub(crate) const ACTIONS: &str = "userActions";

/// Returns the lists of properties of a parent, in the order in which the rows of a session stand: the
/// session's, then those of each action. A list whose values are of another type is none.
#[must_use]
pub fn property_lists(parent: &TableSchema) -> Vec<PropertyList> {
    let actions = element(parent, ACTIONS).unwrap_or_default();
    let lists = |level, fields: &[Field]| {
        let has = |of: &PropertyType| {
            let list = fields.iter().find(|field| field.name == of.list());
            let fields = list.and_then(|list| records(&list.kind)).unwrap_or_default();
            let is = |name, kind: &Kind| fields.iter().any(|f| f.name == name && f.kind == *kind);
            is("key", &Kind::String) && is("value", of.kind())
        };
        let all = PropertyType::ALL.into_iter().filter(has);
        all.map(move |of| PropertyList { level, of }).collect::<Vec<_>>()
    };
    [lists(Level::Session, &parent.fields), lists(Level::Action, actions)].concat()
}

/// Number of the columns after those of the session that every table of properties has.
pub(crate) const OWN_COLUMNS: usize = 10;

/// Returns the columns after those of the session.
///
/// # Errors
/// Two lists have a promoted field of one name and of different types. The text says which.
pub(super) fn columns(parent: &TableSchema) -> Result<Vec<Column<'_>>, String> {
    let mut columns = own_columns();
    for (list, field) in promoted(parent) {
        match columns.iter().skip(OWN_COLUMNS).find(|column| column.name == field.name) {
            None => columns.push(super::column(field.name.clone(), field)),
            Some(column) if *column.kind == field.kind => {}
            Some(_) => {
                return Err(format!(
                    "the field {} of {} has another type than that of another list of properties, \
                     and a table of properties has one column for both",
                    field.name,
                    list.of.list()
                ));
            }
        }
    }
    Ok(columns)
}

/// Iterates over the fields of the entries that were promoted, with their lists.
fn promoted(parent: &TableSchema) -> impl Iterator<Item = (PropertyList, &Field)> {
    property_lists(parent).into_iter().flat_map(|list| {
        let fields = entry(parent, list).iter().filter(|field| field.promoted);
        fields.map(move |field| (list, field))
    })
}

/// Returns the fields of the entries of a list.
pub(crate) fn entry(parent: &TableSchema, list: PropertyList) -> &[Field] {
    let fields = match list.level {
        Level::Session => parent.fields.as_slice(),
        Level::Action => element(parent, ACTIONS).unwrap_or_default(),
    };
    let found = fields.iter().find(|field| field.name == list.of.list());
    found.and_then(|field| records(&field.kind)).unwrap_or_default()
}

fn own_columns() -> Vec<Column<'static>> {
    let column = |name: &str, kind, doc| Column { name: name.to_owned(), doc, kind, bloom: false };
    vec![
        column(LEVEL, &Kind::String, "Owner of the property: session or action."),
        column(
            "actionPosition",
            &Kind::Long,
            "Position of the action that has the property; null for the session's.",
        ),
        column("actionName", &Kind::String, "Name of that action."),
        column("type", &Kind::String, "Type of the property: string, long, double or date."),
        column(POSITION, &Kind::Long, "Index of the property in its list, from 0."),
        column(
            "key",
            &Kind::String,
            "Name of the property, as it is configured in the application.",
        ),
        column("stringValue", &Kind::String, "Value of a string property."),
        column("longValue", &Kind::Long, "Value of a long property; its unit is the reporter's."),
        column(
            "doubleValue",
            &Kind::Double,
            "Value of a double property; its unit is the reporter's.",
        ),
        column(
            "dateValue",
            &Kind::String,
            "Value of a date property: a date written as text, kept as it was sent.",
        ),
    ]
}
