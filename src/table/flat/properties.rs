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
//!
//! Together with `_ingest_id`, `level`, `actionPosition`, `type` and `position` are unique.

use super::{POSITION, element, records};
use crate::schema::write::Column;
use crate::schema::{Field, Kind, PropertyType, TableSchema};

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

/// Returns the columns after those of the session.
pub(super) fn columns() -> Vec<Column<'static>> {
    let column = |name: &str, kind, doc| Column { name: name.to_owned(), doc, kind, bloom: false };
    vec![
        column("level", &Kind::String, "Owner of the property: session or action."),
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
