//! Privacy rules as a table carries them: a path and what is done to the values there.
//!
//! A rule names a column, one within it (`userActions.targetUrl`), or the value of a property by its
//! key (`stringProperties.email`). [`crate::privacy`] applies the rules to decoded rows.
//!
//! A rule may also name a field by its JSON Pointer (`/userActions/*/newField`), whether a column has it
//! or not: without one, the value is treated in `_extra`, and in the column once there is one.

use std::collections::BTreeMap;
use std::fmt;

use crate::json::pointer_tokens;
use crate::schema::{EXTRA, Field, JsonPath, Kind, TableSchema};
use crate::spelling;

/// A treatment of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Replaces it with null.
    Drop,
    /// Replaces a text with its keyed hash.
    Hash,
    /// Cuts an address to its network.
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

/// The privacy rules of a table: an action by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(BTreeMap<String, Action>);

/// A step on the path from a column to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into the field of a record at this index, whose members in documents have these paths.
    Field(usize, Vec<JsonPath>),
    /// Into the map at index `column` whose entries are members of the record by their prefix: into the
    /// entry of this key, or all of them.
    Prefixed { column: usize, prefix: String, key: Option<String> },
    /// Into the elements of a list.
    Elements,
    /// Into the field at index `value` of the records whose field at index `key` (called any of
    /// `names`) equals `name`.
    Property { key: usize, names: Vec<JsonPath>, value: usize, name: String },
    /// Into the field at index `value` (called any of `value_names`) of the records whose field at
    /// index `kind` (called any of `kind_names`) says that they are of a user tag ([`TAG_EVENTS`]).
    Tag { kind: usize, kind_names: Vec<JsonPath>, value: usize, value_names: Vec<JsonPath> },
    /// Into the values of a map under this key.
    Entry(String),
}

/// The column of the user tag, by which an application names its user.
const USER_TAG: &str = "userId";
/// The name of that column in exports of 2015 to 2018.
const OLD_USER_TAG: &str = "sessionTag";
/// Types of the events that have the user tag as their name.
pub(crate) const TAG_EVENTS: [&str; 3] = ["UserTag", "UserTagFromMetaData", "VisitTag"];
/// Columns that hold personal data in the exporter's sessions and those of its successor, or may.
const PERSONAL: [&str; 4] = ["ip", USER_TAG, "client_ip", "dt_rum_user_tag"];

impl Rules {
    /// Adds a rule; the action `keep` adds none.
    ///
    /// # Errors
    /// The action is unknown, no schema of `schemas` has a column at `path`, or the column's type
    /// does not take the action.
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
        if path.starts_with('/') && pointer_tokens(path).any(|token| token.is_empty()) {
            return Err(
                "a pointer is /name, or /list/*/name for a field of a list's items".to_owned()
            );
        }
        let mut found = schemas.iter().filter_map(|schema| find(schema, path)).peekable();
        if found.peek().is_none() && !path.starts_with('/') {
            let paths = paths(schemas);
            let meant =
                spelling::meant(path, paths.iter().map(|(path, of)| (path.as_str(), of.as_str())));
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?"));
            return Err(format!("no table has such a column{}", meant.unwrap_or_default()));
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

    /// Iterates over the paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Tells whether the values of a column are replaced with null.
    #[must_use]
    pub fn drops(&self, column: &str) -> bool {
        self.0.get(column) == Some(&Action::Drop)
    }

    /// Tells whether a rule, by name or by pointer, replaces the values of a column of `schema` with null.
    #[must_use]
    pub fn drops_column(&self, schema: &TableSchema, column: &str) -> bool {
        let mut dropped = self.0.iter().filter(|(_, action)| **action == Action::Drop);
        dropped.any(|(path, _)| match find(schema, path) {
            Some((steps, _)) => match steps.as_slice() {
                [Step::Field(place, _)] => {
                    schema.fields.get(*place).is_some_and(|field| field.name == column)
                }
                _ => false,
            },
            None => false,
        })
    }

    /// Returns true when there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses the form that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// The text has another form, or names an unknown action.
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

    /// Returns the columns of `schema` that hold personal data, or may, and that no rule treats; none
    /// without any rule.
    #[must_use]
    pub fn untreated(&self, schema: &TableSchema) -> Vec<&'static str> {
        let there = |name: &str| schema.fields.iter().any(|field| field.name == name);
        let untreated = |name: &&str| there(name) && !self.0.contains_key(*name);
        PERSONAL.into_iter().filter(|name| !self.is_empty() && untreated(name)).collect()
    }

    /// Checks that the columns of `schema` take the rules for them.
    ///
    /// # Errors
    /// A rule is for text, and its column has another type. The text says which.
    pub(crate) fn fit(&self, schema: &TableSchema) -> Result<(), String> {
        for (path, action) in self.0.iter().filter(|(_, action)| **action != Action::Drop) {
            if find(schema, path).is_some_and(|(_, kind)| kind != Kind::String) {
                let name = action.name();
                return Err(format!("the privacy rule {path} = {name} is for text"));
            }
        }
        Ok(())
    }

    /// Returns those rules that name fields by their pointers, and those that do not.
    pub(crate) fn divide(&self) -> (Rules, Rules) {
        let (pointers, others) =
            self.0.clone().into_iter().partition(|(path, _)| path.starts_with('/'));
        (Rules(pointers), Rules(others))
    }

    /// Adds the rules of `more`.
    pub(crate) fn extend(&mut self, more: Rules) {
        self.0.extend(more.0);
    }

    /// Returns the rules that `schema` has columns for, each with the steps to the values it is for, and
    /// those that name a pointer without a column, whose first step leads to none.
    /// The rule for the user tag is one for every place where the exporter puts the tag.
    pub(crate) fn resolve(&self, schema: &TableSchema) -> Vec<(Vec<Step>, Action)> {
        let mut rules = Vec::new();
        for (path, action) in &self.0 {
            let Some((mut steps, _)) = find(schema, path) else {
                if path.starts_with('/') {
                    rules.push((steps_in_extra(schema, path), *action));
                }
                continue;
            };
            if path == USER_TAG {
                // Seals of earlier versions have a schema without that alias.
                if let Some(Step::Field(_, names)) = steps.first_mut()
                    && !schema.fields.iter().any(|field| field.name == OLD_USER_TAG)
                {
                    names.push(vec![OLD_USER_TAG.to_owned()]);
                }
                rules.extend(tag_steps(schema).map(|steps| (steps, *action)));
            }
            rules
                .extend(siblings(&schema.fields, &steps).into_iter().map(|steps| (steps, *action)));
            rules.push((steps, *action));
        }
        rules
    }
}

/// Writes `ip=truncate;userId=hash`, the form in seals and in the metadata of files. A path that
/// holds one of `;`, `=` and `{` makes it a JSON object of path to action.
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

/// Returns the steps from the columns of `schema` to `path`, and the kind there. `_extra` takes no
/// step: a rule for it covers the whole column, which can only be dropped.
pub(super) fn find(schema: &TableSchema, path: &str) -> Option<(Vec<Step>, Kind)> {
    if path == EXTRA {
        return Some((Vec::new(), Kind::Struct(Vec::new())));
    }
    if path.starts_with('/') {
        let (steps, kind) = walk(schema, path);
        return Some((steps, kind?));
    }
    resolve(&schema.fields, path)
}

/// Returns the steps of a pointer in `_extra`. The first leads to no column.
fn steps_in_extra(schema: &TableSchema, pointer: &str) -> Vec<Step> {
    let (mut steps, _) = walk(schema, pointer);
    if let Some(Step::Field(place, _)) = steps.first_mut() {
        *place = usize::MAX;
    }
    steps
}

/// Returns the steps of a pointer, and the kind of the column that it leads to, if there is one.
fn walk(schema: &TableSchema, pointer: &str) -> (Vec<Step>, Option<Kind>) {
    let tokens: Vec<String> = pointer_tokens(pointer).collect();
    let (mut rest, mut steps) = (tokens.as_slice(), Vec::new());
    let mut at = Some(Kind::Struct(schema.fields.clone()));
    while let Some((token, after)) = rest.split_first() {
        let found = match &at {
            Some(Kind::Struct(fields)) => field_at(fields, rest),
            _ => None,
        };
        let (step, next, left) = match (&at, found) {
            (_, Some((step, kind, left))) => (step, Some(kind), left),
            (Some(Kind::List(element)), _) if token == "*" => {
                (Step::Elements, Some((**element).clone()), after)
            }
            (Some(Kind::Map(value)), _) => {
                (Step::Entry(token.clone()), Some((**value).clone()), after)
            }
            (_, None) if token == "*" => (Step::Elements, None, after),
            (_, None) => (Step::Field(usize::MAX, vec![vec![token.clone()]]), None, after),
        };
        steps.push(step);
        (at, rest) = (next, left);
    }
    (steps, at)
}

/// Returns the step to the field that has the member at the beginning of `path`, its kind, and the rest of
/// the path.
pub(super) fn field_at<'a>(
    fields: &[Field],
    path: &'a [String],
) -> Option<(Step, Kind, &'a [String])> {
    for (place, field) in fields.iter().enumerate() {
        if let Some(own) = field.json_paths().find(|own| path.starts_with(own)) {
            let step = Step::Field(place, all_names(field));
            return Some((step, field.kind.clone(), path.get(own.len()..)?));
        }
    }
    let (first, rest) = path.split_first()?;
    fields.iter().enumerate().find_map(|(column, field)| {
        let prefix = field.json.prefix.as_ref()?;
        let (key, Kind::Map(value)) = (first.strip_prefix(prefix.as_str())?, &field.kind) else {
            return None;
        };
        let step = Step::Prefixed { column, prefix: prefix.clone(), key: Some(key.to_owned()) };
        Some((step, (**value).clone(), rest))
    })
}

/// Returns the steps from `fields` to `path`, and the kind there.
fn resolve(fields: &[Field], path: &str) -> Option<(Vec<Step>, Kind)> {
    // The name of a column may itself contain dots.
    let (first, rest) = match fields.iter().find(|field| field.name == path) {
        Some(_) => (path, None),
        None => path.split_once('.').map(|(first, rest)| (first, Some(rest)))?,
    };
    let (place, field) = fields.iter().enumerate().find(|(_, field)| field.name == first)?;
    if let Some(prefix) = &field.json.prefix {
        let prefixed = |key| vec![Step::Prefixed { column: place, prefix: prefix.clone(), key }];
        return match (rest, &field.kind) {
            (None, kind) => Some((prefixed(None), kind.clone())),
            (Some(key), Kind::Map(value)) => {
                Some((prefixed(Some(key.to_owned())), (**value).clone()))
            }
            _ => None,
        };
    }
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

/// Returns steps to what a value may also be in than the field that `steps` lead to: the nanoseconds of a
/// time, the other maps of a prefix, and columns that were promoted out of reach of the rule for them in
/// `_extra`: members with the prefix, and fields beside the value of a property.
fn siblings(fields: &[Field], steps: &[Step]) -> Vec<Vec<Step>> {
    let within = |place: usize, rest: &[Step]| {
        let elements = rest.iter().take_while(|step| **step == Step::Elements).count();
        let mut kind = &fields.get(place)?.kind;
        while let Kind::List(element) = kind {
            kind = element;
        }
        let Kind::Struct(fields) = kind else { return None };
        let (before, below) = rest.split_at(elements);
        Some((before.to_vec(), siblings(fields, below)))
    };
    match steps {
        [Step::Field(place, names)] => {
            let name = fields.get(*place).map(|field| &field.name);
            let nanos = fields.iter().position(|field| {
                field.json.nanos_of.is_some() && field.json.nanos_of.as_ref() == name
            });
            nanos.into_iter().map(|place| vec![Step::Field(place, names.clone())]).collect()
        }
        [Step::Prefixed { column, prefix, key }] => {
            let same = |(place, field): &(usize, &Field)| {
                place != column && field.json.prefix.as_ref() == Some(prefix)
            };
            let others = fields.iter().enumerate().filter(same);
            let step = |(column, _)| {
                vec![Step::Prefixed { column, prefix: prefix.clone(), key: key.clone() }]
            };
            let whole = |path: &[String]| match (path, key) {
                ([name], Some(key)) => name.strip_prefix(prefix.as_str()) == Some(key),
                ([name], None) => name.starts_with(prefix.as_str()),
                _ => false,
            };
            let promoted = fields.iter().enumerate().filter(|(_, field)| field.promoted);
            let promoted = promoted.filter(|(_, field)| field.json_paths().any(whole));
            let field = |(place, field)| vec![Step::Field(place, all_names(field))];
            others.map(step).chain(promoted.map(field)).collect()
        }
        [Step::Property { key, names, name, .. }] => {
            let promoted = fields.iter().enumerate().filter(|(_, field)| field.promoted);
            let beside = |(value, _)| {
                let (key, names, name) = (*key, names.clone(), name.clone());
                vec![Step::Property { key, names, value, name }]
            };
            promoted.map(beside).collect()
        }
        [first @ Step::Field(place, _), rest @ ..] => {
            let Some((before, below)) = within(*place, rest) else { return Vec::new() };
            let whole = |steps| [vec![first.clone()], before.clone(), steps].concat();
            below.into_iter().map(whole).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the paths of all columns, under each of their names, with the path that a rule has for it.
pub(super) fn paths(schemas: &[&TableSchema]) -> Vec<(String, String)> {
    fn visit(fields: &[Field], before: &str, found: &mut Vec<(String, String)>) {
        for field in fields {
            let path = format!("{before}{}", field.name);
            found.push((path.clone(), path.clone()));
            for member in field.json_paths() {
                found.push((format!("{before}{}", member.join(".")), path.clone()));
            }
            let below = match &field.kind {
                Kind::List(element) => element.as_ref(),
                kind => kind,
            };
            if let Kind::Struct(fields) = below {
                visit(fields, &format!("{path}."), found);
            }
        }
    }
    let mut found = vec![(EXTRA.to_owned(), EXTRA.to_owned())];
    schemas.iter().for_each(|schema| visit(&schema.fields, "", &mut found));
    found
}

/// Returns the steps to the names of the events of user tags, if the table has events.
fn tag_steps(schema: &TableSchema) -> Option<Vec<Step>> {
    let (place, events) = position(&schema.fields, "events")?;
    let Kind::List(element) = &events.kind else { return None };
    let Kind::Struct(fields) = element.as_ref() else { return None };
    let (kind, kind_field) = position(fields, "type")?;
    let (value, value_field) = position(fields, "name")?;
    let (kind_names, value_names) = (all_names(kind_field), all_names(value_field));
    let tag = Step::Tag { kind, kind_names, value, value_names };
    Some(vec![Step::Field(place, all_names(events)), Step::Elements, tag])
}

fn position<'a>(fields: &'a [Field], name: &str) -> Option<(usize, &'a Field)> {
    fields.iter().enumerate().find(|(_, field)| field.name == name)
}

fn all_names(field: &Field) -> Vec<JsonPath> {
    field.json_paths().map(<[String]>::to_vec).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_older_seals_are_read() {
        let text = "ip=truncate;stringProperties.a=b=hash;userActions.targetUrl=drop";
        let rules = Rules::parse(text).unwrap();
        assert_eq!(rules.0.len(), 3);
        assert_eq!(rules.0["stringProperties.a=b"], Action::Hash);
        assert_eq!(
            rules.to_string(),
            r#"{"ip":"truncate","stringProperties.a=b":"hash","userActions.targetUrl":"drop"}"#
        );
        assert!(Rules::parse("{\"ip\":\"mask\"}").is_err() && Rules::parse("{").is_err());
    }

    #[test]
    fn a_near_miss_of_a_column_is_named() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let said = |path: &str| Rules::default().add(path, "drop", &[&schema]).unwrap_err();
        for (path, meant) in [
            ("userid", "`userId`"),
            ("IP", "`ip`"),
            ("useractions.targeturl", "`userActions.targetUrl`"),
            ("userAction.targetUrl", "`userActions.targetUrl`"),
            ("sessionTag", "`userId`"),
            ("extra", "`_extra`"),
        ] {
            assert!(said(path).ends_with(&format!("; did you mean {meant}?")), "{}", said(path));
        }
        assert_eq!(said("zzz"), "no table has such a column");
    }

    #[test]
    fn columns_of_personal_data_without_a_rule_are_named_when_there_are_rules() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let untreated = |rules: &str| Rules::parse(rules).unwrap().untreated(&schema);
        assert_eq!(untreated("ip=truncate"), ["userId"]);
        assert_eq!(untreated("userActions.targetUrl=drop"), ["ip", "userId"]);
        assert_eq!(untreated("ip=truncate;userId=hash"), [""; 0]);
        assert_eq!(untreated(""), [""; 0]);
    }

    #[test]
    fn the_rule_of_the_user_reaches_the_old_name_where_the_sealed_schema_lacks_it() {
        let avsc = r#"{"type": "record", "name": "t", "fields": [
            {"name": "userId", "type": ["null", "string"], "default": null}]}"#;
        let schema = TableSchema::parse(avsc).unwrap();
        let resolved = Rules::parse("userId=hash").unwrap().resolve(&schema);
        let names = ["userId", "sessionTag"].map(|name| vec![name.to_owned()]).to_vec();
        assert_eq!(resolved, [(vec![Step::Field(0, names)], Action::Hash)]);
    }
}
