//! The columns of a flat table, found among those of its parent.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use arrow::datatypes::{Schema, SchemaRef};

use crate::columnar::folded::fold;
use crate::schema::{Field, PropertyType, TableSchema};
use crate::table::flat::{self, Level};
use crate::table::{Rows, Spec, TableId};

/// A flat table, and where its columns come from.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) table: TableId,
    /// The schema of its batches, which are folded.
    pub(super) schema: SchemaRef,
    /// The columns of the parent that its first columns repeat.
    pub(super) session: Vec<usize>,
    /// The parent's lineage columns: time, id, `_extra`.
    pub(super) lineage: [usize; 3],
    /// The lists that its rows come from, in the order of a session's rows.
    pub(super) lists: Vec<Source>,
    /// The actions, where properties of actions are rows.
    pub(super) actions: Option<Actions>,
    /// The columns of its elements.
    pub(super) elements: SchemaRef,
    /// True when its rows are properties.
    pub(super) is_of_properties: bool,
}

/// A list of records that is exploded.
#[derive(Debug)]
pub(super) struct Source {
    /// The index of the list: in the parent, or, of a list of actions, in the action.
    pub(super) column: usize,
    /// Its member in documents.
    pub(super) name: String,
    /// True for a list of the session's actions.
    pub(super) is_of_actions: bool,
    /// For each column of the elements the index of the record's field; none where it is null.
    pub(super) fields: Vec<Option<usize>>,
    /// The type of properties.
    pub(super) of: Option<PropertyType>,
}

/// The list of actions.
#[derive(Debug)]
pub(super) struct Actions {
    pub(super) column: usize,
    /// Its member in documents.
    pub(super) name: String,
    /// The index of the action's name.
    pub(super) title: Option<usize>,
}

impl Child {
    /// Finds the columns of `spec` in its parent's schema.
    ///
    /// # Errors
    /// One is not there.
    pub(super) fn new(table: TableId, spec: &Spec, parent: &TableSchema) -> anyhow::Result<Child> {
        let is_of_properties = matches!(spec.rows, Rows::Properties { .. });
        let own = flat::session_columns_of(spec)?;
        let schema = fold(&spec.schema.arrow(), own);
        let (session, own) = spec.schema.fields.split_at(own);
        let session = session.iter().map(|column| of_session(column, parent));
        let session = session.collect::<anyhow::Result<_>>()?;
        let own: Vec<&Field> = own.iter().collect();
        let (elements, lists, actions) = match &spec.rows {
            Rows::Documents => bail!("its rows are documents"),
            Rows::Exploded { column, .. } => {
                let elements = own.get(1..).unwrap_or_default().to_vec();
                let list = list(&parent.fields, column, &elements, false)?;
                (elements, vec![list], None)
            }
            Rows::Properties { .. } => {
                // After level, action's position and name, type, and position.
                let elements = own.get(5..).unwrap_or_default().to_vec();
                ensure!(
                    own.len() >= flat::OWN_COLUMNS,
                    "it has other columns than a table of properties"
                );
                let promoted = own.get(flat::OWN_COLUMNS..).unwrap_or_default();
                (elements, properties(parent, promoted)?, actions(parent))
            }
        };
        let elements: Vec<_> = elements.into_iter().map(Field::arrow).collect();
        let columns = parent.fields.len();
        Ok(Child {
            table,
            schema,
            session,
            lineage: [columns, columns + 1, columns + 2],
            lists,
            actions,
            elements: Arc::new(Schema::new(elements)),
            is_of_properties,
        })
    }
}

/// Returns the index of the parent's column that a column of the session repeats.
fn of_session(column: &Field, parent: &TableSchema) -> anyhow::Result<usize> {
    let is_it = |field: &Field| {
        flat::session_column(&field.name) == column.name
            && field.kind.arrow() == column.kind.arrow()
    };
    let found = parent.fields.iter().position(is_it);
    found.with_context(|| format!("its parent has no column for {}", column.name))
}

/// Finds the list `name` among fields, and `elements` among those of its records.
fn list(
    fields: &[Field],
    name: &str,
    elements: &[&Field],
    is_of_actions: bool,
) -> anyhow::Result<Source> {
    let (column, records, member) = find(fields, name)?;
    let of = |wanted: &&Field| {
        let found = records.iter().position(|field| {
            field.name == wanted.name && field.kind.arrow() == wanted.kind.arrow()
        });
        found.map(Some).with_context(|| format!("the records of {name} have no {}", wanted.name))
    };
    let fields = elements.iter().map(of).collect::<anyhow::Result<_>>()?;
    Ok(Source { column, name: member, is_of_actions, fields, of: None })
}

/// Finds a list of records among fields: its index, the fields of its records, its member.
fn find<'a>(fields: &'a [Field], name: &str) -> anyhow::Result<(usize, &'a [Field], String)> {
    let found = fields.iter().enumerate().find(|(_, field)| field.name == name);
    let found = found.and_then(|(at, field)| Some((at, flat::records(&field.kind)?, field)));
    let (at, records, field) = found.with_context(|| format!("there is no list {name}"))?;
    Ok((at, records, pointer(field)))
}

/// Returns the pointer of a field within the object that has it.
fn pointer(field: &Field) -> String {
    let path = match &field.json.path {
        Some(path) => path.as_slice(),
        None => std::slice::from_ref(&field.name),
    };
    let escaped = |part: &String| format!("/{}", part.replace('~', "~0").replace('/', "~1"));
    path.iter().map(escaped).collect()
}

/// Returns the lists of properties, those of actions last. `promoted` are the columns of fields that an
/// entry may have beside its key and its value.
fn properties(parent: &TableSchema, promoted: &[&Field]) -> anyhow::Result<Vec<Source>> {
    let actions = flat::element(parent, flat::ACTIONS).unwrap_or_default();
    let source = |list: flat::PropertyList| {
        let (fields, is_of_actions) = match list.level {
            Level::Session => (parent.fields.as_slice(), false),
            Level::Action => (actions, true),
        };
        let (column, records, name) = find(fields, list.of.list())?;
        let field = |name: &str| records.iter().position(|field| field.name == name);
        let value = |of| if of == list.of { field("value") } else { None };
        let values = PropertyType::ALL.map(value);
        let of = |column: &&Field| {
            let is_it = |field: &Field| {
                field.promoted
                    && field.name == column.name
                    && field.kind.arrow() == column.kind.arrow()
            };
            records.iter().position(is_it)
        };
        let promoted: Vec<_> = promoted.iter().map(of).collect();
        let fields = [[field("key")].as_slice(), values.as_slice(), promoted.as_slice()].concat();
        Ok(Source { column, name, is_of_actions, fields, of: Some(list.of) })
    };
    flat::property_lists(parent).into_iter().map(source).collect()
}

fn actions(parent: &TableSchema) -> Option<Actions> {
    let (column, records, name) = find(&parent.fields, flat::ACTIONS).ok()?;
    let title = records
        .iter()
        .position(|field| field.name == "name" && field.kind == crate::schema::Kind::String);
    Some(Actions { column, name, title })
}
