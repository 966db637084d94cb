//! Tables whose schema gets columns while a process runs.

use std::sync::Arc;

use parking_lot::RwLock;

use super::flat::{FIRST_OF_ELEMENT, Flat, KEYS, is_flat_column, session_column};
use super::partition::Template;
use super::spec::{Rows, Spec};
use super::tables::Tables;
use crate::schema::TableSchema;

/// The schema of a table that may get columns: whoever reads it has the latest. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct CurrentSchema(Arc<RwLock<Arc<TableSchema>>>);

impl From<Arc<TableSchema>> for CurrentSchema {
    fn from(schema: Arc<TableSchema>) -> CurrentSchema {
        CurrentSchema(Arc::new(RwLock::new(schema)))
    }
}

impl CurrentSchema {
    /// Returns the schema as it is now.
    pub(crate) fn get(&self) -> Arc<TableSchema> {
        Arc::clone(&self.0.read())
    }

    /// Replaces the schema, by one that has its columns and more.
    pub(crate) fn set(&self, schema: &Arc<TableSchema>) {
        *self.0.write() = Arc::clone(schema);
    }
}

impl Tables {
    /// Returns the same tables, of which `table` has this schema, which is its own and more columns. Its
    /// flat tables have the columns as well.
    ///
    /// # Errors
    /// A flat table cannot have them; its partitions or its format do not go with them. The text says which.
    pub(crate) fn with_schema(
        &self,
        table: &str,
        schema: Arc<TableSchema>,
    ) -> Result<Tables, String> {
        let own = self.by_name(table).ok_or_else(|| format!("there is no table {table}"))?;
        let parent = with_columns(own, schema)?;
        let mut specs = Vec::with_capacity(self.specs().len());
        for spec in self.specs() {
            let derived = match &spec.rows {
                Rows::Documents => None,
                Rows::Exploded { parent, .. } | Rows::Properties { parent } => Some(parent),
            };
            specs.push(match derived {
                None if spec.name == parent.name => parent.clone(),
                Some(of) if *of == parent.name => {
                    flat_again(spec, &parent).map_err(|why| format!("{}: {why}", spec.name))?
                }
                _ => spec.clone(),
            });
        }
        Tables::new(specs).map_err(|why| why.to_string())
    }
}

/// Returns `spec` with the schema `schema`.
fn with_columns(spec: &Spec, schema: Arc<TableSchema>) -> Result<Spec, String> {
    let partition =
        Template::parse(spec.partition.as_str(), &schema).map_err(|why| why.to_string())?;
    spec.format.check(&schema, &partition)?;
    Ok(Spec { schema, partition, ..spec.clone() })
}

/// Defines the flat table `spec` again, of `parent` and with the columns of the session that it has.
fn flat_again(spec: &Spec, parent: &Spec) -> Result<Spec, String> {
    let Some(flat) = Flat::ALL.into_iter().find(|flat| flat.table(&parent.name) == *spec.name)
    else {
        return Ok(spec.clone());
    };
    let of_session =
        spec.schema.fields.iter().take_while(|field| !FIRST_OF_ELEMENT.contains(&&*field.name));
    let columns: Vec<&str> = of_session
        .filter(|field| !KEYS.contains(&&*field.name))
        .filter_map(|field| {
            let mut of_parent = parent.schema.fields.iter().filter(|of| is_flat_column(of));
            of_parent.find(|of| session_column(&of.name) == field.name)
        })
        .map(|field| field.name.as_str())
        .collect();
    let schema = flat.schema(&spec.name, &parent.schema, &columns)?;
    with_columns(spec, Arc::new(schema))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{ColumnType, Field};

    fn tables() -> Tables {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let partition = Template::parse("date={startTime:%Y-%m-%d}", &schema).unwrap();
        let parent = Spec::new("user_sessions", schema, partition);
        let columns = ["startTime", "country"];
        let flat = Flat::ALL.map(|flat| flat.spec(&parent, &columns).unwrap());
        Tables::new([vec![parent], flat.into()].concat()).unwrap()
    }

    fn promoted(tables: &Tables, pointer: &str) -> Result<Tables, String> {
        let schema = &tables.by_name("user_sessions").unwrap().schema;
        let next = schema.promote(pointer, ColumnType::String).unwrap();
        tables.with_schema("user_sessions", Arc::new(next))
    }

    fn names(tables: &Tables, table: &str) -> Vec<String> {
        let name = |field: &Field| field.name.clone();
        tables.by_name(table).unwrap().schema.fields.iter().map(name).collect()
    }

    #[test]
    fn flat_tables_get_the_columns_of_their_elements() {
        let before = tables();
        let after = promoted(&before, "/userActions/*/step").unwrap();
        for (table, more) in [
            ("user_sessions", &[][..]),
            ("user_actions", &["step"]),
            ("user_events", &[]),
            ("user_errors", &[]),
            ("user_properties", &[]),
        ] {
            let expected: Vec<String> = names(&before, table)
                .into_iter()
                .chain(more.iter().map(|name| (*name).to_owned()))
                .collect();
            assert_eq!(names(&after, table), expected, "{table}");
        }
        let json = |tables: &Tables| tables.to_json();
        assert_eq!(json(&Tables::from_json(&json(&after)).unwrap()), json(&after));
        assert_eq!(
            names(&promoted(&after, "/plan").unwrap(), "user_actions").last().unwrap(),
            "step"
        );
    }

    #[test]
    fn the_table_of_properties_gets_the_columns_of_each_of_its_lists_once() {
        let before = tables();
        let after = promoted(&before, "/stringProperties/*/unit").unwrap();
        let expected = [names(&before, "user_properties"), vec!["unit".to_owned()]].concat();
        assert_eq!(names(&after, "user_properties"), expected);
        assert_eq!(names(&after, "user_actions"), names(&before, "user_actions"));
        let both = promoted(&after, "/userActions/*/longProperties/*/unit").unwrap();
        assert_eq!(names(&both, "user_properties"), expected);
        let json = |tables: &Tables| tables.to_json();
        assert_eq!(json(&Tables::from_json(&json(&both)).unwrap()), json(&both));
    }

    #[test]
    fn a_column_that_a_flat_table_cannot_have_is_refused() {
        let refused = promoted(&tables(), "/userActions/*/position").unwrap_err();
        assert!(refused.contains("user_actions") && refused.contains("position"), "{refused}");
        let refused = promoted(&tables(), "/stringProperties/*/level").unwrap_err();
        assert!(refused.contains("user_properties") && refused.contains("level"), "{refused}");
        let first = promoted(&tables(), "/stringProperties/*/unit").unwrap();
        let schema = &first.by_name("user_sessions").unwrap().schema;
        let next = schema.promote("/longProperties/*/unit", ColumnType::Long).unwrap();
        let refused = first.with_schema("user_sessions", Arc::new(next)).unwrap_err();
        assert!(refused.contains("the field unit of longProperties has another type"), "{refused}");
    }
}
