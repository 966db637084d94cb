//! The view of properties: a query for each list, so that a filter on `level` and `type` reads one.

use super::dialect::Writer;
use super::latest_name;
use super::unnest::{ELEMENT, INDEX, Session, index, member, named, pointer, unnested};
use crate::schema::{Field, Kind};
use crate::table::flat::{Flat, Level, POSITION, PropertyList, element, property_lists};

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
            pointer(writer, &schema.fields, name, INDEX),
        ),
        Level::Action => {
            let of_actions =
                unnested(writer, &latest, &writer.name(actions), [ACTION, ACTION_INDEX], &taken);
            let mut taken = taken;
            taken.extend([ACTION, ACTION_INDEX].map(|name| writer.name(name)));
            let from = format!("(\n{of_actions}\n) AS x");
            let list = member(writer, ACTION, name);
            let outer = pointer(writer, &schema.fields, actions, ACTION_INDEX);
            let fields = element(schema, actions).unwrap_or_default();
            let within = pointer(writer, fields, name, INDEX);
            // The slash is at the end of the one and at the beginning of the other.
            let prefix = format!("rtrim({outer}, '/') || {within}");
            (unnested(writer, &from, &list, [ELEMENT, INDEX], &taken), prefix)
        }
    };
    let mut columns = session.begin(writer);
    let own = fields.iter().skip(columns.len());
    columns.extend(own.map(|field| named(writer, &value(writer, list, field), &field.name)));
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
