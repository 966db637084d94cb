//! Columns that were promoted before, added to the tables of a configuration.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::journal::MAX_SETTINGS_BYTES;
use crate::lake::{Lake, StoreError};
use crate::schema::{ColumnType, EXTRA, PromoteError};
use crate::table::Tables;

/// Most bytes of all tables in a seal, which has more than them.
const MOST_TABLES_BYTES: usize = MAX_SETTINGS_BYTES / 2;

/// A column that was promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    pub(super) table: String,
    pub(super) pointer: String,
    /// Name of a [`ColumnType`].
    #[serde(rename = "type")]
    pub(super) column: String,
}

impl Column {
    /// Returns the type; `None` for one that only later versions know.
    pub(super) fn kind(&self) -> Option<ColumnType> {
        ColumnType::parse(&self.column)
    }
}

/// Returns `tables` with the column; `None` for one that the configured schema has by now, of a table that is
/// not configured, or that it cannot have any more.
///
/// # Errors
/// A property has its name by now: one column would have the values of both.
pub(super) fn with_column(tables: &Tables, column: &Column) -> anyhow::Result<Option<Tables>> {
    let Some(spec) = tables.by_name(&column.table) else { return Ok(None) };
    let Some(kind) = column.kind() else { return Ok(None) };
    let next = match spec.schema.promote(&column.pointer, kind) {
        // Who drops _extra keeps what the schema names, and nobody has named this.
        Ok(_) if spec.privacy.drops(EXTRA) => Err("[privacy] drops _extra".to_owned()),
        Ok(next) => spec
            .privacy
            .fit(&next)
            .and_then(|()| tables.with_schema(&column.table, Arc::new(next)))
            .and_then(|next| check_size(&next).map(|()| next)),
        Err(PromoteError::Exists(_)) => return Ok(None),
        Err(PromoteError::Property { pointer, column: name }) => bail!(
            "[properties]: table {} has a column {name} already, which was promoted from {pointer}. Take the \
             key out of [properties], or give it a column of another name, in a schema of your own",
            column.table
        ),
        Err(error) => Err(error.to_string()),
    };
    let told = |why: &String| {
        let to = if spec.privacy.drops(EXTRA) { "are dropped with it" } else { "go to _extra" };
        tracing::warn!(
            "table {} cannot have the column for {} any more, which was promoted before: {why}. Its values \
             {to}",
            column.table,
            column.pointer
        );
    };
    Ok(next.inspect_err(told).ok())
}

/// Checks that a seal can hold the tables.
pub(super) fn check_size(tables: &Tables) -> Result<(), String> {
    match tables.to_json().len() > MOST_TABLES_BYTES {
        true => Err("the schemas of all tables are too long for a seal".to_owned()),
        false => Ok(()),
    }
}

/// Returns `tables` with the columns that receivers of `lake` have promoted. What a table cannot have is told
/// of and left out. Credentials that may not list give none.
///
/// # Errors
/// The lake; those of a start that has promoted them itself.
pub(crate) fn with_columns_of(
    lake: &Lake,
    tables: Tables,
    runtime: &Handle,
) -> anyhow::Result<Tables> {
    let names: Vec<_> = tables.of_documents().map(|spec| Arc::clone(&spec.name)).collect();
    let mut tables = tables;
    for table in names {
        let promoted = match runtime.block_on(lake.promoted_columns(&table)) {
            Ok(promoted) => promoted,
            Err(StoreError::Denied { .. }) => continue,
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("cannot read the columns of table {table} that were promoted")
                });
            }
        };
        for (pointer, column) in promoted {
            let (table, column) = (table.to_string(), column.name().to_owned());
            if let Some(next) = with_column(&tables, &Column { table, pointer, column })? {
                tables = next;
            }
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Property, PropertyType, TableSchema};
    use crate::table::{Rules, Spec, Template};

    #[test]
    fn a_column_of_before_is_none_where_the_rules_of_now_would_not_hold_for_it() {
        let tables = |rules: &str| {
            let schema = TableSchema::builtin("user_sessions").unwrap();
            let privacy = Rules::parse(rules).unwrap();
            let spec = Spec { privacy, ..Spec::new("t", schema, Template::default()) };
            Tables::new(vec![spec]).unwrap()
        };
        let column = |name: &str| Column {
            table: "t".to_owned(),
            pointer: "/plan".to_owned(),
            column: name.to_owned(),
        };
        for (rules, column, is_there) in [
            ("", column("long"), true),
            ("/plan=drop", column("long"), true),
            ("/plan=hash", column("string"), true),
            ("/plan=hash", column("long"), false),
            ("_extra=drop", column("string"), false),
        ] {
            let next = with_column(&tables(rules), &column).unwrap();
            assert_eq!(next.is_some(), is_there, "{rules}");
        }
    }

    #[test]
    fn a_column_of_before_that_a_property_would_have_is_refused() {
        let property = Property { of: PropertyType::String, key: "plan".to_owned() };
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let schema = Arc::new(schema.with_properties(&[property]).unwrap());
        let tables = Tables::new(vec![Spec::new("t", schema, Template::default())]).unwrap();
        for (pointer, is_refused) in [
            ("/prop_plan", true),
            ("/prop-Plan", true),
            ("/userActions/*/prop_plan", true),
            ("/plan", false),
        ] {
            let column =
                Column { table: "t".into(), pointer: pointer.into(), column: "string".into() };
            let next = with_column(&tables, &column);
            assert_eq!(next.is_err(), is_refused, "{pointer}");
        }
    }
}
