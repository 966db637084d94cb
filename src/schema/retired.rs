//! Columns that built-in schemas had in earlier versions, and have no more.
//!
//! No exporter fills them. Files of those versions have them all the same, and whoever reads these files
//! value by value, to give back what came in, needs them. A value that comes for one today goes to
//! `_extra`, as that of any field without a column does.

use super::{ColumnType, TableSchema};

/// Lists of properties of user actions, of the table `user_sessions`, whose entries had columns for the
/// application. It is that of the action.
const LISTS: [&str; 4] =
    ["stringProperties", "longProperties", "doubleProperties", "dateProperties"];
const OF_ENTRIES: [&str; 2] = ["applicationId", "internalApplicationId"];

impl TableSchema {
    /// Returns this schema with the columns that the built-in one of its name has had before, for reading
    /// files of all versions.
    #[must_use]
    pub fn with_retired(&self) -> TableSchema {
        let mut schema = self.clone();
        if self.name != "user_sessions" {
            return schema;
        }
        for list in LISTS {
            for name in OF_ENTRIES {
                let pointer = format!("/userActions/*/{list}/*/{name}");
                schema = schema.promote(&pointer, ColumnType::String).unwrap_or(schema);
            }
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::compare::compare_fields;

    /// The schema of the version that had the columns, which the end-to-end tests make lakes with as well.
    const BEFORE: &str = include_str!("../../tests/data/user_sessions-before.avsc");

    #[test]
    fn every_column_that_files_of_earlier_versions_have_is_known() {
        let before = TableSchema::parse(BEFORE).unwrap();
        let today = TableSchema::builtin("user_sessions").unwrap();
        assert_eq!(in_both(&before, &today), in_both(&before, &before) - 8);
        assert_eq!(in_both(&before, &today.with_retired()), in_both(&before, &before));
        assert_eq!(before.with_retired(), before);
        let other = TableSchema::builtin("grail_user_events").unwrap();
        assert_eq!(other.with_retired(), *other);
    }

    /// Counts the columns that both have, with the same type.
    fn in_both(ours: &TableSchema, theirs: &TableSchema) -> usize {
        let mut compared = Vec::new();
        compare_fields("", ours.arrow().fields(), theirs.arrow().fields(), &mut compared);
        compared.iter().filter(|of| of.difference.is_none()).count()
    }
}
