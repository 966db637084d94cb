//! Comparison of the types of two schemas, column by column.

use arrow::datatypes::{DataType, Field, Fields};

use super::describe::describe;

/// A column that both sides have.
pub(crate) struct Compared {
    /// Its path, with `[]` for the elements of a list and `{}` for the values of a map.
    pub(crate) column: String,
    /// `None` if it has the same type, or the same kind of one: a list or a group.
    pub(crate) difference: Option<Difference>,
}

/// The types of a column on both sides, as text.
pub(crate) struct Difference {
    /// The type of the first.
    pub(crate) here: String,
    /// The type of the second.
    pub(crate) there: String,
}

/// Compares the columns that both have, and those within them.
pub(crate) fn compare_fields(
    path: &str,
    ours: &Fields,
    theirs: &Fields,
    columns: &mut Vec<Compared>,
) {
    for ours in ours {
        let theirs = theirs.iter().find(|theirs| theirs.name() == ours.name());
        let Some(theirs) = theirs else { continue };
        let path = match path {
            "" => ours.name().clone(),
            path => format!("{path}.{}", ours.name()),
        };
        compare_types(path, ours.data_type(), theirs.data_type(), columns);
    }
}

fn compare_types(path: String, ours: &DataType, theirs: &DataType, columns: &mut Vec<Compared>) {
    let mut add = |column: String, difference| columns.push(Compared { column, difference });
    match (ours, theirs) {
        (DataType::Struct(ours), DataType::Struct(theirs)) => {
            add(path.clone(), None);
            compare_fields(&path, ours, theirs, columns);
        }
        (DataType::List(ours), DataType::List(theirs)) => {
            add(path.clone(), None);
            compare_types(format!("{path}[]"), ours.data_type(), theirs.data_type(), columns);
        }
        // The names of the groups within a map depend on the writer's version.
        (DataType::Map(ours, _), DataType::Map(theirs, _)) => {
            let value = |entries: &Field| match entries.data_type() {
                DataType::Struct(fields) => fields.get(1).map(|value| value.data_type().clone()),
                _ => None,
            };
            add(path.clone(), None);
            if let (Some(ours), Some(theirs)) = (value(ours), value(theirs)) {
                compare_types(format!("{path}{{}}"), &ours, &theirs, columns);
            }
        }
        (ours, theirs) if ours == theirs => add(path, None),
        (ours, theirs) => {
            let shown = |kind: &DataType| describe(kind).0;
            add(path, Some(Difference { here: shown(ours), there: shown(theirs) }));
        }
    }
}
