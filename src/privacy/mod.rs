//! What is done to personal data between the decoder and everything after it.
//!
//! # What it promises
//! - A value that a rule is for is dropped, hashed or truncated before anything but the journal has
//!   seen it: before partitioning, staging, files and statistics.
//! - It has no way around: what of a column landed in `_extra` (a value that did not fit, under the
//!   column's name or an older one) is treated as the column is, or left out where that cannot be
//!   told; rejected lines, of which nobody can say what they hold, go to quarantine sealed with the
//!   key ([`Key::seal`]) instead of in the clear.
//! - It is the same when a sealed roll is made again: the rules are sealed with it.
//!
//! | rule | columns | what becomes of a value |
//! |---|---|---|
//! | `drop` | any | null |
//! | `hash` | string | 32 hex digits of HMAC-SHA256: equal values stay equal, in all columns |
//! | `truncate` | string | an IPv4 address to its /24, an IPv6 address to its /48; else null |
//!
//! A rule names a column, one within it (`userActions.targetUrl`), or the value of a property by its
//! key (`stringProperties.email`). A property whose key is missing, no text or given twice could be
//! any: every rule for one is for it. `_extra` itself can be dropped.
//!
//! It does not know a field that no schema has: such a value is in `_extra` as it came. The `_id` that
//! a bulk action gave a document, which the exporter makes of columns, is dropped under any rule.

mod apply;
mod journal;
mod key;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::schema::{EXTRA, Field, Kind, TableSchema};

pub use apply::Applied;
pub use journal::{SEAL_BYTES, is_sealed};
pub use key::{Key, KeyError};

/// What [`Key::open`] opens, if `raw` is the text of a rejected line as the rules leave it.
#[must_use]
pub fn sealed(raw: &str) -> Option<String> {
    let raw: serde_json::Value = serde_json::from_str(raw).ok()?;
    raw.get("sealed")?.as_str().map(str::to_owned)
}

/// What is done to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is null.
    Drop,
    /// A keyed hash stands in for it.
    Hash,
    /// An address is cut to its network.
    Truncate,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Drop => "drop",
            Action::Hash => "hash",
            Action::Truncate => "truncate",
        }
    }
}

/// Rules by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(BTreeMap<String, Action>);

/// One step from a column towards a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Into a field of a record: its place, and all its names.
    Field(usize, Vec<String>),
    /// Into the elements of a list.
    Elements,
    /// Into the field `value` (at this place) of those records whose `key` (at that place, and all
    /// its names) is this.
    Property { key: usize, names: Vec<String>, value: usize, name: String },
    /// Into the values of a map under this key.
    Entry(String),
}

impl Rules {
    /// Adds a rule; `keep` is none.
    ///
    /// # Errors
    /// What is wrong with it: no such column in any of `schemas`, or one that it cannot be for.
    pub fn add(
        &mut self,
        path: &str,
        action: &str,
        schemas: &[&TableSchema],
    ) -> Result<(), String> {
        let action = match action {
            "keep" => None,
            "drop" => Some(Action::Drop),
            "hash" => Some(Action::Hash),
            "truncate" => Some(Action::Truncate),
            _ => return Err(format!("\"{action}\" is none of keep, drop, hash and truncate")),
        };
        let mut found = schemas.iter().filter_map(|schema| find(schema, path)).peekable();
        if found.peek().is_none() {
            return Err("no table has such a column".to_owned());
        }
        if let Some(action @ (Action::Hash | Action::Truncate)) = action
            && found.any(|(_, kind)| kind != Kind::String)
        {
            let name = action.name();
            return Err(format!("only text can be treated with {name}; this could be dropped"));
        }
        if let Some(action) = action {
            self.0.insert(path.to_owned(), action);
        }
        Ok(())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From what [`fmt::Display`] gave.
    ///
    /// # Errors
    /// The text is no such.
    pub fn parse(text: &str) -> Result<Rules, String> {
        let mut rules = Rules::default();
        let action = |name: &str| match name {
            "drop" => Ok(Action::Drop),
            "hash" => Ok(Action::Hash),
            "truncate" => Ok(Action::Truncate),
            _ => Err(format!("an unknown privacy rule: {name}")),
        };
        if text.starts_with('{') {
            let pairs: BTreeMap<String, String> =
                serde_json::from_str(text).map_err(|error| format!("privacy rules: {error}"))?;
            for (path, name) in pairs {
                rules.0.insert(path, action(&name)?);
            }
            return Ok(rules);
        }
        for rule in text.split(';').filter(|rule| !rule.is_empty()) {
            let (path, name) = rule.rsplit_once('=').ok_or("a privacy rule without an action")?;
            rules.0.insert(path.to_owned(), action(name)?);
        }
        Ok(rules)
    }

    /// The rules that `schema` has columns for, ready to be applied.
    #[must_use]
    pub fn for_table(&self, schema: &TableSchema, key: Key) -> Applied {
        let rules = self.0.iter();
        let rules = rules
            .filter_map(|(path, action)| find(schema, path).map(|(steps, _)| (steps, *action)));
        Applied::new(rules.collect(), key)
    }
}

/// `ip=truncate;userId=hash`: what files' metadata and seals say. Where the key of a property could
/// be taken for more than that, it is a JSON object.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.keys().any(|path| path.contains([';', '=', '{'])) {
            let pairs: BTreeMap<&String, &str> =
                self.0.iter().map(|(path, action)| (path, action.name())).collect();
            return f.write_str(&serde_json::to_string(&pairs).map_err(|_| fmt::Error)?);
        }
        for (number, (path, action)) in self.0.iter().enumerate() {
            let between = if number > 0 { ";" } else { "" };
            write!(f, "{between}{path}={}", action.name())?;
        }
        Ok(())
    }
}

/// The way from the columns of `schema` to what `path` names, and its kind. `_extra` is where the way
/// begins: everything in it is meant, and it can only be dropped.
fn find(schema: &TableSchema, path: &str) -> Option<(Vec<Step>, Kind)> {
    if path == EXTRA {
        return Some((Vec::new(), Kind::Struct(Vec::new())));
    }
    resolve(&schema.fields, path)
}

/// The way from the columns `fields` to what `path` names, and its kind.
fn resolve(fields: &[Field], path: &str) -> Option<(Vec<Step>, Kind)> {
    // A column's own name may have dots in it.
    let (first, rest) = match fields.iter().find(|field| field.name == path) {
        Some(_) => (path, None),
        None => path.split_once('.').map(|(first, rest)| (first, Some(rest)))?,
    };
    let (place, field) = fields.iter().enumerate().find(|(_, field)| field.name == first)?;
    let mut steps = vec![Step::Field(place, all_names(field))];
    match rest {
        None => Some((steps, field.kind.clone())),
        Some(rest) => {
            let (more, kind) = within(&field.kind, rest)?;
            steps.extend(more);
            Some((steps, kind))
        }
    }
}

fn all_names(field: &Field) -> Vec<String> {
    let mut names = vec![field.name.clone()];
    names.extend(field.aliases.iter().cloned());
    names
}

fn within(kind: &Kind, path: &str) -> Option<(Vec<Step>, Kind)> {
    match kind {
        Kind::List(element) => {
            let (more, kind) = within(element, path)?;
            Some(([vec![Step::Elements], more].concat(), kind))
        }
        Kind::Struct(fields) => resolve(fields, path).or_else(|| {
            let place = |name| fields.iter().position(|field: &Field| field.name == name);
            let (key, value) = (place("key")?, place("value")?);
            let names = all_names(fields.get(key)?);
            let step = Step::Property { key, names, value, name: path.to_owned() };
            Some((vec![step], fields.get(value)?.kind.clone()))
        }),
        Kind::Map(value) => Some((vec![Step::Entry(path.to_owned())], (**value).clone())),
        _ => None,
    }
}
