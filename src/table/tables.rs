//! An ordered list of tables, by id and by name.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::ensure;

use super::file_names::FileNames;
use super::flat;
use super::partition_limits::PartitionLimits;
use super::revision::Revision;
use super::spec::{Format, LINE_LIMIT_BYTES, Rows, Spec};
use crate::schema::TableSchema;

/// Identifies a table of one [`Tables`]: its index in the list. Another list may give the same table
/// another id, so ids are neither stored nor compared across lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(u32);

impl TableId {
    /// The id of the first table of any list.
    pub const FIRST: TableId = TableId(0);

    /// Returns the index in [`Tables::specs`], and in any list that has an item a table.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Tables in the order of their names. A table's [`TableId`] is its index.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    specs: Vec<Spec>,
    ids: HashMap<Arc<str>, TableId>,
}

impl Tables {
    /// Orders `specs` by name and numbers them.
    ///
    /// # Errors
    /// Two tables have one name; a table's rows come from a table or a column that is not there, or
    /// from a table whose rows are derived themselves.
    pub fn new(mut specs: Vec<Spec>) -> anyhow::Result<Tables> {
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        let mut ids = HashMap::with_capacity(specs.len());
        for (number, spec) in (0_u32..).zip(&specs) {
            let before = ids.insert(Arc::clone(&spec.name), TableId(number));
            ensure!(before.is_none(), "two tables have the name {}", spec.name);
        }
        let tables = Tables { specs, ids };
        tables.specs.iter().try_for_each(|spec| tables.check_parent(spec))?;
        Ok(tables)
    }

    fn check_parent(&self, spec: &Spec) -> anyhow::Result<()> {
        let (name, what, has): (_, _, &dyn Fn(&TableSchema) -> bool) = match &spec.rows {
            Rows::Documents => return Ok(()),
            Rows::Exploded { parent, column } => {
                let has = |schema: &TableSchema| schema.fields.iter().any(|f| f.name == *column);
                (parent, format!("column {column}"), &{ has })
            }
            Rows::Properties { parent } => {
                let has = |schema: &TableSchema| !flat::property_lists(schema).is_empty();
                (parent, "lists of properties".to_owned(), &{ has })
            }
        };
        let found = self.by_name(name).filter(|found| !found.rows.is_derived());
        ensure!(
            found.is_some_and(|found| has(&found.schema)),
            "the rows of table {} are to come from {what} of table {name}, and there is no such \
             column of a table of documents",
            spec.name
        );
        Ok(())
    }

    /// Returns the same tables by the latest [`Revision`]. Those of revisions without a limit of lines
    /// get the one of new tables.
    #[must_use]
    pub fn latest(mut self) -> Tables {
        for spec in &mut self.specs {
            spec.revision = Revision::LATEST;
            spec.line_limit_bytes.get_or_insert(LINE_LIMIT_BYTES);
        }
        self
    }

    /// Returns the same tables in a lake that tells `file_names` apart.
    #[must_use]
    pub fn with_file_names(mut self, file_names: FileNames) -> Tables {
        self.specs.iter_mut().for_each(|spec| spec.file_names = file_names);
        self
    }

    /// Returns the same tables with other limits on partitions.
    #[must_use]
    pub fn with_partition_limits(mut self, limits: PartitionLimits) -> Tables {
        self.specs.iter_mut().for_each(|spec| spec.partition_limits = limits);
        self
    }

    /// Returns the same tables, to be committed in the format `format`.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Tables {
        self.specs.iter_mut().for_each(|spec| spec.format = format);
        self
    }

    /// Returns all tables, in the order of their ids.
    #[must_use]
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }

    /// Iterates over the tables whose rows are documents, in the order of their ids.
    pub fn of_documents(&self) -> impl Iterator<Item = &Spec> {
        self.specs.iter().filter(|spec| !spec.rows.is_derived())
    }

    /// Iterates over all tables with their ids, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (TableId, &Spec)> {
        (0..).map(TableId).zip(&self.specs)
    }

    /// Returns the id of the table `name`, if it is in the list.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<TableId> {
        self.ids.get(name).copied()
    }

    /// Returns the table with `id`; `None` for an id of another list.
    #[must_use]
    pub fn get(&self, id: TableId) -> Option<&Spec> {
        self.specs.get(id.index())
    }

    /// Returns the table `name`, if it is in the list.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Spec> {
        self.id(name).and_then(|id| self.get(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Template;

    fn spec(name: &str, rows: Rows) -> Spec {
        let avsc = r#"{"type": "record", "name": "t", "fields": [
            {"name": "events", "type": {"type": "array", "items": "string"}}]}"#;
        let schema = Arc::new(TableSchema::parse(avsc).unwrap());
        Spec { rows, ..Spec::new(name, schema, Template::default()) }
    }

    fn exploded(parent: &str, column: &str) -> Rows {
        Rows::Exploded { parent: parent.into(), column: column.into() }
    }

    #[test]
    fn ids_follow_names_and_lead_back_to_them() {
        let specs = ["b", "c", "a"].map(|name| spec(name, Rows::Documents));
        let tables = Tables::new(specs.into()).unwrap();
        let names: Vec<&str> = tables.iter().map(|(_, spec)| &*spec.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        for (id, spec) in tables.iter() {
            assert_eq!(tables.id(&spec.name), Some(id));
            assert_eq!(tables.get(id).unwrap().name, spec.name);
        }
        assert!(tables.id("d").is_none() && tables.by_name("d").is_none());
    }

    #[test]
    fn one_name_twice_is_refused() {
        let specs = ["a", "a"].map(|name| spec(name, Rows::Documents));
        let refused = Tables::new(specs.into()).unwrap_err();
        assert_eq!(refused.to_string(), "two tables have the name a");
    }

    #[test]
    fn a_derived_table_needs_its_column_in_a_table_of_documents() {
        let tables = |child| Tables::new(vec![spec("p", Rows::Documents), spec("c", child)]);
        tables(exploded("p", "events")).unwrap();
        for (parent, column) in [("p", "nothing"), ("q", "events"), ("c", "events")] {
            let refused = tables(exploded(parent, column)).unwrap_err().to_string();
            assert!(refused.contains(column) && refused.contains("table c"), "{refused}");
        }
    }
}
