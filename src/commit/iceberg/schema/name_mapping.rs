//! The name mapping of a table (`schema.name-mapping.default`), by which readers find the columns of files
//! without field ids.
//!
//! Names of columns may change, and those in files do not: a column that somebody has renamed keeps its
//! old name in the mapping. So a mapping that lacks columns of rolls gets them, and keeps all else that
//! it says of the table's columns. A column that was renamed, and that rolls have under its old name,
//! would be two columns, so it is refused.
//!
//! Format: <https://iceberg.apache.org/spec/#name-mapping-serialization>.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Field, Nested, Schema, Type};

/// The property of a table that has it.
pub(in crate::commit::iceberg) const NAME_MAPPING: &str = "schema.name-mapping.default";

/// Names of a column, and of what is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapped {
    /// None: the names are no column's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field_id: Option<i32>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Mapped>,
}

/// A column, or an element, a key or a value of one.
#[derive(Clone, Copy)]
struct Column<'a> {
    id: i32,
    name: &'a str,
    kind: &'a Type,
}

impl<'a> Column<'a> {
    fn all(fields: &'a [Field]) -> Vec<Column<'a>> {
        let column =
            |field: &'a Field| Column { id: field.id, name: &field.name, kind: &field.kind };
        fields.iter().map(column).collect()
    }

    fn below(self) -> Vec<Column<'a>> {
        match self.kind {
            Type::Primitive(_) => Vec::new(),
            Type::Nested(Nested::Struct { fields }) => Column::all(fields),
            Type::Nested(Nested::List { element_id, element, .. }) => {
                vec![Column { id: *element_id, name: "element", kind: element }]
            }
            Type::Nested(Nested::Map { key_id, key, value_id, value, .. }) => vec![
                Column { id: *key_id, name: "key", kind: key },
                Column { id: *value_id, name: "value", kind: value },
            ],
        }
    }
}

impl Schema {
    /// Returns the mapping of a new table.
    pub(in crate::commit::iceberg) fn new_mapping(&self) -> String {
        text(&mapped(&Column::all(&self.fields), &Aliases::new()))
    }

    /// Returns the mapping that the table of this schema has to get, where `current` is the one that it
    /// has and rolls have the columns of `ours`; none if that will do.
    ///
    /// # Errors
    /// The reason for which rolls cannot be added, as the end of a sentence about the table.
    pub(in crate::commit::iceberg) fn mapping(
        &self,
        ours: &Schema,
        current: Option<&str>,
    ) -> Result<Option<String>, String> {
        let Some(current) = current else { return Ok(Some(self.new_mapping())) };
        let current: Vec<Mapped> = serde_json::from_str(current)
            .map_err(|error| format!("has a {NAME_MAPPING} that cannot be read: {error}"))?;
        let (theirs, ours) = (Column::all(&self.fields), Column::all(&ours.fields));
        if maps(&current, &theirs, &ours) {
            return Ok(None);
        }
        let mut aliases = Aliases::new();
        collect(&current, &mut aliases);
        Ok(Some(text(&mapped(&theirs, &aliases))))
    }

    /// Checks that no column of `ours` was renamed in the table of this schema, by its mapping.
    ///
    /// # Errors
    /// The column, as the end of a sentence about the table.
    pub(in crate::commit::iceberg) fn check_names(
        &self,
        ours: &Schema,
        mapping: Option<&str>,
    ) -> Result<(), String> {
        let mapping: Vec<Mapped> =
            mapping.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        match renamed(&mapping, &Column::all(&self.fields), &Column::all(&ours.fields)) {
            None => Ok(()),
            Some((name, now)) => Err(format!(
                "calls the column {now} that was {name}, and is in rolls: name it {name} again, or change \
                 the schema of the table in the configuration"
            )),
        }
    }
}

fn text(mapping: &[Mapped]) -> String {
    serde_json::to_string(mapping).unwrap_or_default()
}

/// Names that a mapping has, by field id.
type Aliases = BTreeMap<i32, Vec<String>>;

fn collect(mapping: &[Mapped], to: &mut Aliases) {
    for mapped in mapping {
        if let Some(id) = mapped.field_id {
            to.entry(id).or_default().extend(mapped.names.iter().cloned());
        }
        collect(&mapped.fields, to);
    }
}

/// Maps columns by their names, and by those of the aliases that are no other's.
fn mapped(columns: &[Column<'_>], aliases: &Aliases) -> Vec<Mapped> {
    let mut taken: BTreeSet<&str> = columns.iter().map(|column| column.name).collect();
    let mut all = Vec::new();
    for column in columns {
        let mut names = vec![column.name.to_owned()];
        let more = aliases.get(&column.id).into_iter().flatten();
        names.extend(more.filter(|name| taken.insert(name)).cloned());
        let fields = mapped(&column.below(), aliases);
        all.push(Mapped { field_id: Some(column.id), names, fields });
    }
    all
}

/// Tells whether a mapping leads each column of `ours` to the one that has its name among `theirs`.
fn maps(mapping: &[Mapped], theirs: &[Column<'_>], ours: &[Column<'_>]) -> bool {
    ours.iter().all(|our| {
        let Some(their) = theirs.iter().find(|their| their.name == our.name) else { return false };
        let mut found = mapping.iter().filter(|mapped| mapped.names.iter().any(|n| n == our.name));
        match (found.next(), found.next()) {
            (Some(found), None) => {
                found.field_id == Some(their.id)
                    && maps(&found.fields, &their.below(), &our.below())
            }
            _ => false,
        }
    })
}

/// Returns the first column of `ours` that has another name in the table, and that name.
fn renamed(
    mapping: &[Mapped],
    theirs: &[Column<'_>],
    ours: &[Column<'_>],
) -> Option<(String, String)> {
    ours.iter().find_map(|our| {
        let found = mapping.iter().find(|mapped| mapped.names.iter().any(|name| name == our.name));
        match theirs.iter().find(|their| their.name == our.name) {
            Some(their) => {
                renamed(found.map_or(&[], |found| &found.fields), &their.below(), &our.below())
            }
            None => {
                let id = found?.field_id?;
                let now = theirs.iter().find(|their| their.id == id)?;
                Some((our.name.to_owned(), now.name.to_owned()))
            }
        }
    })
}
