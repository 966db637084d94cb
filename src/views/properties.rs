//! The view of properties: a query for each list, so that a filter on `level` and `type` reads one.

use super::dialect::Writer;
use super::latest_name;
use super::promoted::with_old_values;
use super::unnest::{ELEMENT, INDEX, Prefix, Session, index, member, named, unnested};
use crate::schema::{Field, Kind};
use crate::table::flat::{
    Flat, Level, OWN_COLUMNS, POSITION, PropertyList, element, entry, property_lists,
};

/// The names of an action and its index within the statement.
const ACTION: &str = "_action";
const ACTION_INDEX: &str = "_action_index";

/// Returns the query of properties.
pub(super) fn query(writer: &Writer<'_>, fields: &[Field]) -> String {
    let lists = property_lists(&writer.table.schema);
    let queries: Vec<String> = lists.iter().map(|list| of_list(writer, *list, fields)).collect();
    queries.join("\nUNION ALL\n")
}

fn of_list(writer: &Writer<'_>, list: PropertyList, fields: &[Field]) -> String {
    let session = Session::new(writer, fields);
    let latest = writer.name(&latest_name(&writer.table.name));
    let taken = session.taken(writer);
    let name = list.of.list();
    let actions = Flat::Actions.list().unwrap_or_default();
    let schema = &writer.table.schema;
    let (inner, prefix) = match list.level {
        Level::Session => (
            unnested(writer, &latest, &writer.name(name), [ELEMENT, INDEX], &taken),
            Prefix::of_elements(writer, &schema.fields, name, INDEX),
        ),
        Level::Action => {
            let of_actions =
                unnested(writer, &latest, &writer.name(actions), [ACTION, ACTION_INDEX], &taken);
            let mut taken = taken;
            taken.extend([ACTION, ACTION_INDEX].map(|name| writer.name(name)));
            let from = format!("(\n{of_actions}\n) AS x");
            let list = member(writer, ACTION, name);
            let outer = Prefix::of_elements(writer, &schema.fields, actions, ACTION_INDEX);
            let fields = element(schema, actions).unwrap_or_default();
            let within = Prefix::of_elements(writer, fields, name, INDEX);
            (unnested(writer, &from, &list, [ELEMENT, INDEX], &taken), outer.then(&within))
        }
    };
    let mut columns = session.begin(writer);
    let (own, promoted) = fields.split_at((columns.len() + OWN_COLUMNS).min(fields.len()));
    let own = own.iter().skip(columns.len());
    columns.extend(own.map(|field| named(writer, &value(writer, list, field), &field.name)));
    columns.extend(promoted.iter().map(|column| {
        let mut entry = entry(schema, list).iter();
        let value = match entry.find(|field| field.promoted && field.name == column.name) {
            Some(field) => {
                with_old_values(writer, field, member(writer, ELEMENT, &field.name), &prefix)
            }
            None => writer.null(&column.kind),
        };
        named(writer, &value, &column.name)
    }));
    columns.extend(session.end(writer, &prefix));
    let columns = columns.join(",\n  ");
    let element = writer.name(ELEMENT);
    format!("SELECT\n  {columns}\nFROM (\n{inner}\n) AS x\nWHERE {element} IS NOT NULL")
}

/// Writes a column of a list's query.
fn value(writer: &Writer<'_>, list: PropertyList, field: &Field) -> String {
    let of_action = list.level == Level::Action;
    let actions = element(&writer.table.schema, Flat::Actions.list().unwrap_or_default());
    let has_name = actions.is_some_and(|fields| {
        fields.iter().any(|action| action.name == "name" && action.kind == Kind::String)
    });
    match field.name.as_str() {
        "level" => writer.text(list.level.as_str()),
        "actionPosition" if of_action => index(writer, ACTION_INDEX),
        "actionName" if of_action && has_name => member(writer, ACTION, "name"),
        "type" => writer.text(list.of.as_str()),
        POSITION => index(writer, INDEX),
        "key" => member(writer, ELEMENT, "key"),
        name if name.strip_suffix("Value") == Some(list.of.as_str()) => {
            member(writer, ELEMENT, "value")
        }
        _ => writer.null(&field.kind),
    }
}
