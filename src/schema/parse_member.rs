//! The attributes of a field that say where its value is in documents, and in which forms:
//!
//! | attribute | of | says |
//! |---|---|---|
//! | `"json": "a.b"` | any field | the exact name of the member, any text, in place of the field's name |
//! | `"json": ["a", "b"]` | any field | the member `b` of the object `a` |
//! | `"json_aliases": ["c.d", ["c", "d"]]` | any field | other members with the value: names and paths |
//! | `"json_prefix": "a."` | map of scalars | every member whose name begins so, under the rest of its name |
//! | `"nanos_of": "time"` | long | the nanoseconds that the time of this name has beyond its microseconds |
//! | `"property": ["string", "plan"]` | text, long, double | the value of the property `plan` of the record, by its lists of properties |
//! | `"from": ["millis", "iso8601"]` | number, boolean, time, and lists and maps of them | the forms that are taken; the value is written back in the first one that can say it |
//!
//! A member has one column: no two fields of a record are read from the same member, from members of
//! which one holds the other, or, as maps of one type, by the same prefix. A member with a field of its
//! own is in no map. Maps of several types may have one prefix: a value goes to the first that takes it.

use std::collections::BTreeMap;

use super::json::Node;
use super::member::{Form, JsonPath, Member};
use super::properties::{Property, PropertyType};
use super::{Field, Kind, SchemaError, refuse};

/// The most names of a path: each makes the decoder recurse once.
const MOST_NAMES: usize = 16;

/// Reads the attributes of the field `node` of this kind that are about its member.
pub(super) fn member_of(node: &Node, kind: &Kind, at: &str) -> Result<Member, SchemaError> {
    let path = match node.get("json") {
        None => None,
        Some(path) => Some(path_of(path, "json", at)?),
    };
    let aliases = match node.get("json_aliases") {
        None => Vec::new(),
        Some(Node::List(paths)) => {
            let paths = paths.iter().map(|path| path_of(path, "json_aliases", at));
            paths.collect::<Result<_, _>>()?
        }
        Some(other) => {
            let what = other.what();
            return refuse(
                at,
                format!("\"json_aliases\" is a list of names and paths, not {what}"),
            );
        }
    };
    let prefix = text(node, "json_prefix", at)?;
    let nanos_of = text(node, "nanos_of", at)?;
    let named = path.is_some() || !aliases.is_empty() || node.get("aliases").is_some();
    if prefix.is_some() {
        let Kind::Map(_) = kind else {
            return refuse(at, "\"json_prefix\" is for a map, which the members become entries of");
        };
        if named || nanos_of.is_some() {
            return refuse(at, "a field with \"json_prefix\" has no other names in documents");
        }
    }
    if nanos_of.is_some() {
        if *kind != Kind::Long {
            return refuse(at, "\"nanos_of\" is for a long");
        }
        if named || node.get("from").is_some() {
            return refuse(
                at,
                "a field with \"nanos_of\" has no member of its own, and no \"from\"",
            );
        }
    }
    let property = property_of(node, kind, at)?;
    if property.is_some() {
        let others = named || prefix.is_some() || nanos_of.is_some() || node.get("from").is_some();
        if others {
            return refuse(
                at,
                "a field with \"property\" has no member of its own, and no \"from\"",
            );
        }
    }
    Ok(Member { path, aliases, prefix, nanos_of, property })
}

/// Reads `"property"`, the type and the key of a property.
fn property_of(node: &Node, kind: &Kind, at: &str) -> Result<Option<Property>, SchemaError> {
    let (of, key) = match node.get("property") {
        None => return Ok(None),
        Some(Node::List(words)) => match words.as_slice() {
            [Node::Text(of), Node::Text(key)] => (PropertyType::parse(of), key.as_str()),
            _ => (None, at),
        },
        Some(_) => (None, at),
    };
    match of {
        Some(of) if *of.kind() == *kind => Ok(Some(Property { of, key: key.to_owned() })),
        Some(of) => {
            let why = format!("a property that is a {} is in no such column", of.as_str());
            refuse(at, why)
        }
        None => refuse(
            at,
            "\"property\" has two words: string, long, double or date, and the key of the property",
        ),
    }
}

fn text(node: &Node, attribute: &str, at: &str) -> Result<Option<String>, SchemaError> {
    match node.get(attribute) {
        None => Ok(None),
        Some(Node::Text(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(Node::Text(_)) => refuse(at, format!("\"{attribute}\" is empty")),
        Some(other) => refuse(at, format!("\"{attribute}\" is a string, not {}", other.what())),
    }
}

fn path_of(node: &Node, attribute: &str, at: &str) -> Result<JsonPath, SchemaError> {
    let names = match node {
        Node::Text(name) => return Ok(vec![name.clone()]),
        Node::List(names) if !names.is_empty() => names,
        other => {
            let what = match other {
                Node::List(_) => "an empty list",
                other => other.what(),
            };
            return refuse(
                at,
                format!(
                    "\"{attribute}\" has the exact name of a member, or a list of names that lead \
                     to it through objects, not {what}"
                ),
            );
        }
    };
    if names.len() > MOST_NAMES {
        return refuse(at, format!("a path of \"{attribute}\" has at most {MOST_NAMES} names"));
    }
    let name = |name: &Node| match name {
        Node::Text(name) => Ok(name.clone()),
        other => refuse(at, format!("a name in \"{attribute}\" is a string, not {}", other.what())),
    };
    names.iter().map(name).collect()
}

/// Reads `"from"` of the field `node` of this kind. The only form of a kind without it is as good as none.
pub(super) fn forms_of(node: &Node, kind: &Kind, at: &str) -> Result<Vec<Form>, SchemaError> {
    let words = match node.get("from") {
        None => return Ok(Vec::new()),
        Some(Node::List(words)) if !words.is_empty() => words,
        Some(_) => return refuse(at, "\"from\" is a list of forms, and not empty"),
    };
    let (taken, usual) = match scalar(kind) {
        Kind::Long | Kind::Double => ("number, text", Form::Number),
        Kind::Boolean => ("boolean, text", Form::Boolean),
        Kind::TimestampMillis => ("seconds, millis, micros, nanos, text, iso8601", Form::Millis),
        _ => return refuse(at, "\"from\" is for numbers, booleans and times"),
    };
    let mut forms = Vec::with_capacity(words.len());
    for word in words {
        let form = match word {
            Node::Text(word) => Form::parse(word).filter(|_| taken.split(", ").any(|w| w == word)),
            _ => None,
        };
        match form {
            Some(form) if !forms.contains(&form) => forms.push(form),
            Some(form) => return refuse(at, format!("{} is twice in \"from\"", form.as_str())),
            None => {
                let word = match word {
                    Node::Text(word) => word,
                    other => other.what(),
                };
                return refuse(
                    at,
                    format!("{word} is no form for this type in \"from\", which are {taken}"),
                );
            }
        }
    }
    if *scalar(kind) == Kind::TimestampMillis {
        let units = forms.iter().filter(|form| form.unit_ns().is_some()).count();
        if units > 1 {
            return refuse(at, "the numbers of a time have one unit: \"from\" has several");
        }
        if units == 0 && forms.contains(&Form::Text) {
            return refuse(
                at,
                "\"text\" of a time is its number as text: \"from\" needs the unit besides, one of \
                 seconds, millis, micros and nanos",
            );
        }
    }
    Ok(if forms == [usual] { Vec::new() } else { forms })
}

/// Returns the kind of the values of lists and maps, as deep as they are, or `kind` itself.
fn scalar(kind: &Kind) -> &Kind {
    match kind {
        Kind::List(item) => scalar(item),
        Kind::Map(value) => value,
        kind => kind,
    }
}

/// Checks that each member of the record has one field. The names of the fields have been checked.
pub(super) fn check_members(fields: &[Field], at: &str) -> Result<(), SchemaError> {
    let mut taken: BTreeMap<&[String], &str> = BTreeMap::new();
    for (field, path, alias) in current(fields).chain(others(fields)) {
        let at = format!("{at}.{}", field.name);
        let said = said(path, alias);
        if let Some(first) = taken.insert(path, &field.name) {
            let why = match alias {
                true if path.len() == 1 => {
                    format!("its alias {} is a name or an alias in the record already", said)
                }
                _ => format!("is read from {said}, as {first} is: a member has one column"),
            };
            return refuse(&at, why);
        }
        // What begins with the path is right after it.
        let below = taken.range(path..).nth(1).filter(|(other, _)| other.starts_with(path));
        let above = (1..path.len()).find_map(|len| taken.get_key_value(&path[..len]));
        if let Some((other, owner)) = below.or(above) {
            return refuse(
                &at,
                format!(
                    "is read from {said}, and {owner} from {}: a member that is a column has none \
                     within",
                    self::said(other, false)
                ),
            );
        }
    }
    check_prefixes(fields, at)?;
    check_nanos(fields, at)
}

fn current(fields: &[Field]) -> impl Iterator<Item = (&Field, &[String], bool)> {
    let members = fields.iter().map(|field| (field, field.json_path(), false));
    members.filter(|(_, path, _)| !path.is_empty())
}

fn others(fields: &[Field]) -> impl Iterator<Item = (&Field, &[String], bool)> {
    fields.iter().flat_map(|field| field.json_aliases().map(move |path| (field, path, true)))
}

/// Returns a path as an error has it: a name as it is, several as JSON.
fn said(path: &[String], alias: bool) -> String {
    match path {
        [name] if alias => name.clone(),
        [name] => format!("\"{name}\""),
        names => format!("{names:?}"),
    }
}

fn check_prefixes(fields: &[Field], at: &str) -> Result<(), SchemaError> {
    let mut seen: Vec<(&str, &Field)> = Vec::new();
    for field in fields {
        let Some(prefix) = field.json.prefix.as_deref() else { continue };
        for (other, first) in &seen {
            let same = other == &prefix;
            let why = if same && first.kind == field.kind {
                "of the same type"
            } else if !same && (other.starts_with(prefix) || prefix.starts_with(other)) {
                "whose prefix begins like it"
            } else {
                continue;
            };
            return refuse(
                &format!("{at}.{}", field.name),
                format!("its \"json_prefix\" is that of {}, a map {why}", first.name),
            );
        }
        seen.push((prefix, field));
    }
    Ok(())
}

fn check_nanos(fields: &[Field], at: &str) -> Result<(), SchemaError> {
    let mut seen: Vec<&str> = Vec::new();
    for field in fields {
        let Some(time) = field.json.nanos_of.as_deref() else { continue };
        let at = format!("{at}.{}", field.name);
        let fits = |of: &&Field| of.name == time && of.kind == Kind::TimestampMillis;
        let Some(of) = fields.iter().find(fits) else {
            return refuse(&at, format!("\"nanos_of\" names no time of its record: {time}"));
        };
        if !of.from.iter().any(|form| matches!(form, Form::Seconds | Form::Nanos | Form::Iso8601)) {
            return refuse(
                &at,
                format!(
                    "{time} never has nanoseconds: its \"from\" has none of seconds, nanos and iso8601"
                ),
            );
        }
        if seen.contains(&time) {
            return refuse(&at, format!("another field has the nanoseconds of {time}"));
        }
        seen.push(time);
    }
    Ok(())
}
