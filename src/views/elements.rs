//! Views with the rows and columns of flat tables.
//!
//! Partition columns are those of the session's row, so that a filter on the day leaves files out; a
//! flat table in the lake is partitioned by the element's own time.

use super::dialect::{Dialect, Writer};
use super::promoted::with_old_values;
use super::unnest::{ELEMENT, INDEX, Prefix, Session, index, member, named, unnested};
use super::{latest_name, properties};
use crate::schema::Field;
use crate::schema::render::sql_comment;
use crate::table::flat::{Flat, POSITION, element, property_lists};

/// Returns the views of those flat tables whose lists the table has.
///
/// Trino can have no view by the name of a table: there those of `landed` tables are left out.
///
/// # Errors
/// A field of an element has the name of a column that the view has for the session.
pub(super) fn views(
    writer: &Writer<'_>,
    flat_columns: &[&str],
    landed: &[&str],
) -> Result<String, String> {
    let mut text = String::new();
    for flat in Flat::ALL {
        let is_there = match flat.list() {
            Some(list) => element(&writer.table.schema, list).is_some(),
            None => !property_lists(&writer.table.schema).is_empty(),
        };
        if !is_there {
            continue;
        }
        let spec = flat.spec(writer.table, flat_columns)?;
        if writer.dialect == Dialect::Trino && landed.contains(&&*spec.name) {
            text.push_str(&sql_comment(&format!("{} is a table of its own.", spec.name)));
            text.push('\n');
            continue;
        }
        let fields = &spec.schema.fields;
        let query = match flat.list() {
            Some(list) => of_list(writer, list, fields),
            None => properties::query(writer, fields),
        };
        text.push_str(&format!("{}\n{query};\n\n", writer.create(&spec.name)));
    }
    text.truncate(text.trim_end_matches('\n').len() + 1);
    Ok(text)
}

fn of_list(writer: &Writer<'_>, list: &str, fields: &[Field]) -> String {
    let session = Session::new(writer, fields);
    let from = writer.name(&latest_name(&writer.table.name));
    let inner =
        unnested(writer, &from, &writer.name(list), [ELEMENT, INDEX], &session.taken(writer));
    let mut columns = session.begin(writer);
    columns.push(named(writer, &index(writer, INDEX), POSITION));
    let before = Prefix::of_elements(writer, &writer.table.schema.fields, list, INDEX);
    let elements = element(&writer.table.schema, list).unwrap_or_default();
    columns.extend(elements.iter().map(|field| {
        let own = member(writer, ELEMENT, &field.name);
        named(writer, &with_old_values(writer, field, own, &before), &field.name)
    }));
    columns.extend(session.end(writer, &before));
    let columns = columns.join(",\n  ");
    let element = writer.name(ELEMENT);
    format!("SELECT\n  {columns}\nFROM (\n{inner}\n) AS x\nWHERE {element} IS NOT NULL")
}
