//! The configuration file: TOML whose keys are the settings, a table `[storage]`, and the sections
//! of [`sections`](super::sections).
//!
//! Every key and every type is checked, those of other commands too, so that one file serves all
//! commands and a misspelt key is never silently without effect. All problems are gathered, not
//! only the first. The text of a line is never part of a message: it may hold a secret.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::list::{self, Kind, SETTINGS, Setting};
use super::raw::{Source, StorageEntry, Typed};
use super::sections::{self, Given, Section};
use super::value;
use crate::lake::{Secret, options};

/// Name of the table for the options of object stores.
const STORAGE: &str = "storage";

/// What a file says, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) values: Vec<(&'static str, Typed)>,
    pub(super) storage: Vec<StorageEntry>,
    pub(super) sections: Vec<Section>,
    pub(super) problems: Vec<Problem>,
}

/// Reads and checks the file at `path`.
pub(super) fn read(path: &Path) -> Read {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &path.display().to_string()),
        Err(source) => Read {
            problems: vec![Problem::Unreadable { path: path.to_owned(), source }],
            ..Read::default()
        },
    }
}

/// Checks `text`; `file` is its name in messages.
pub(super) fn parse(text: &str, file: &str) -> Read {
    let mut read = Read::default();
    match DeTable::parse(text) {
        Ok(root) => {
            let scan = Scan { text, file };
            for (key, value) in scan.in_order(root.get_ref()) {
                scan.top_level(key, value, &mut read);
            }
        }
        Err(error) => read.problems.push(syntax(text, file, &error)),
    }
    read
}

/// `key = value` for `setting`, quoted where its type asks for it.
pub(super) fn assignment(setting: &Setting, value: &str) -> String {
    match setting.kind {
        Kind::Switch => format!("{} = {value}", setting.key),
        Kind::Count { .. } if value.parse::<u64>().is_ok() => format!("{} = {value}", setting.key),
        _ => format!("{} = {}", setting.key, toml::Value::String(value.to_owned())),
    }
}

fn syntax(text: &str, file: &str, error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or_default();
    let (file, line) = (file.to_owned(), line_of(text, span.start));
    if error.message() == "duplicate key" {
        let key = text.get(span).unwrap_or_default().trim_matches(['[', ']', ' ']).to_owned();
        return Problem::Twice { file, line, key };
    }
    Problem::Syntax { file, line, message: error.message().replace('\n', ", ") }
}

/// Line of the byte at `offset`, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + memchr::memchr_iter(b'\n', before).count()
}

struct Scan<'a> {
    text: &'a str,
    file: &'a str,
}

impl Scan<'_> {
    fn top_level(&self, key: &Spanned<Text<'_>>, value: &Spanned<DeValue<'_>>, read: &mut Read) {
        let name = key.get_ref().as_ref();
        let setting = list::by_key(name).filter(|setting| setting.in_file());
        match (setting, value.get_ref()) {
            (Some(setting), given) => match plain(setting.kind, given) {
                Some(text) => {
                    let source = Source::File { file: self.file.to_owned(), line: self.line(key) };
                    read.values.push((setting.key, Typed { text, source }));
                }
                None => read.problems.push(Problem::WrongType {
                    file: self.file.to_owned(),
                    line: self.line(key),
                    key: name.to_owned(),
                    found: found(given),
                    expected: expected(setting.kind),
                    example: assignment(setting, setting.example),
                }),
            },
            (None, DeValue::Table(table)) if name == STORAGE => {
                for (key, value) in self.in_order(table) {
                    match self.storage_entry(key, value) {
                        Ok(entry) => read.storage.push(entry),
                        Err(problem) => read.problems.push(problem),
                    }
                }
            }
            (None, DeValue::Table(table)) if sections::is_table(name) => {
                read.sections.push(self.section(name, key, table));
            }
            (None, DeValue::Array(array))
                if sections::is_array(name)
                    && array.iter().all(|v| matches!(v.get_ref(), DeValue::Table(_))) =>
            {
                for value in array.iter() {
                    if let DeValue::Table(table) = value.get_ref() {
                        let at = value.span().start;
                        read.sections.push(self.section_at(name, at, table));
                    }
                }
            }
            (None, given) => {
                let hint = if name == list::CONFIG.key {
                    "; it is named on the command line or by SESSIONLAKE_CONFIG".to_owned()
                } else if name == STORAGE {
                    "; it is a table: [storage]".to_owned()
                } else if let Some(hint) = sections::hint(name) {
                    hint
                } else if options::is_option(name) {
                    "; it belongs under the line [storage]".to_owned()
                } else if matches!(given, DeValue::Table(_)) {
                    "; the tables are [storage], [privacy], [[endpoint]] and [[tables]]; settings \
                     stand above them without one"
                        .to_owned()
                } else {
                    let keys = SETTINGS.iter().filter(|s| s.in_file()).map(|s| s.key);
                    nearest_hint(value::nearest(name, keys))
                };
                read.problems.push(self.unknown(key, name.to_owned(), hint));
            }
        }
    }

    fn storage_entry(
        &self,
        key: &Spanned<Text<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<StorageEntry, Problem> {
        let name = key.get_ref().as_ref();
        if !options::is_option(name) {
            let hint = if list::by_key(name).is_some() {
                "; it is a setting of its own: move it above the line [storage]".to_owned()
            } else {
                nearest_hint(value::nearest(name, options::OPTION_KEYS.iter().copied()))
            };
            return Err(self.unknown(key, format!("{STORAGE}.{name}"), hint));
        }
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref().to_owned(),
            DeValue::Boolean(on) => on.to_string(),
            DeValue::Integer(number) => number.to_string(),
            other => {
                return Err(Problem::WrongType {
                    file: self.file.to_owned(),
                    line: self.line(key),
                    key: format!("{STORAGE}.{name}"),
                    found: kind_name(other).to_owned(),
                    expected: "a string",
                    example: format!("{name} = \"…\""),
                });
            }
        };
        let source = Source::File { file: self.file.to_owned(), line: self.line(key) };
        Ok(StorageEntry { key: name.to_owned(), value: Secret::new(text), source })
    }

    fn section(&self, name: &str, key: &Spanned<Text<'_>>, table: &DeTable<'_>) -> Section {
        self.section_at(name, key.span().start, table)
    }

    fn section_at(&self, name: &str, at: usize, table: &DeTable<'_>) -> Section {
        let source = |at| Source::File { file: self.file.to_owned(), line: line_of(self.text, at) };
        let entries = self.in_order(table);
        let entries = entries.into_iter().map(|(key, value)| sections::Entry {
            key: key.get_ref().as_ref().to_owned(),
            source: source(key.span().start),
            given: given(value.get_ref()),
        });
        Section { kind: name.to_owned(), source: source(at), entries: entries.collect() }
    }

    fn unknown(&self, at: &Spanned<Text<'_>>, key: String, hint: String) -> Problem {
        Problem::UnknownKey { file: self.file.to_owned(), line: self.line(at), key, hint }
    }

    fn line(&self, key: &Spanned<Text<'_>>) -> usize {
        let Range { start, .. } = key.span();
        line_of(self.text, start)
    }

    /// The entries as the file has them; the table itself is sorted by key.
    fn in_order<'t, 'i>(
        &self,
        table: &'t DeTable<'i>,
    ) -> Vec<(&'t Spanned<Text<'i>>, &'t Spanned<DeValue<'i>>)> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }
}

type Text<'i> = std::borrow::Cow<'i, str>;

fn nearest_hint(nearest: Option<&str>) -> String {
    nearest.map(|key| format!("; the nearest known key is `{key}`")).unwrap_or_default()
}

/// The value as text, if its TOML type fits the setting.
fn plain(kind: Kind, value: &DeValue<'_>) -> Option<String> {
    match (kind, value) {
        (Kind::Switch, DeValue::Boolean(on)) => Some(on.to_string()),
        (Kind::Switch, _) => None,
        (_, DeValue::String(text)) => Some(text.as_ref().to_owned()),
        (Kind::Size { .. } | Kind::Count { .. }, DeValue::Integer(number)) => {
            // Hexadecimal and the like are spelled out, so that one parser reads every layer.
            let value = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(value.to_string())
        }
        _ => None,
    }
}

/// A value of a section.
fn given(value: &DeValue<'_>) -> Given {
    let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::String(text) => Some(text.as_ref().to_owned()),
        _ => None,
    };
    match value {
        DeValue::String(text) => Given::Text(text.as_ref().to_owned()),
        DeValue::Integer(number) => Given::Number(number.to_string()),
        DeValue::Array(values) => values
            .iter()
            .map(text)
            .collect::<Option<_>>()
            .map_or(Given::Other("an array of other things than strings"), Given::List),
        DeValue::Table(table) => {
            let pairs =
                table.iter().map(|(k, v)| Some((k.get_ref().as_ref().to_owned(), text(v)?)));
            let pairs = pairs.collect::<Option<_>>();
            pairs.map_or(Given::Other("a table of other things than strings"), Given::Pairs)
        }
        other => Given::Other(kind_name(other)),
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a string",
        Kind::Duration { .. } => "a duration in quotes",
        Kind::Size { .. } => "a size in quotes or a number of bytes",
        Kind::Count { word: None, .. } => "a whole number",
        Kind::Count { word: Some(_), .. } => "a whole number or a word in quotes",
        Kind::Switch => "true or false",
    }
}

fn kind_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn found(value: &DeValue<'_>) -> String {
    let name = kind_name(value);
    match value {
        DeValue::String(text) => format!("{name} (\"{text}\")"),
        DeValue::Integer(number) => format!("{name} ({number})"),
        DeValue::Float(number) => format!("{name} ({number})"),
        DeValue::Boolean(on) => format!("{name} ({on})"),
        DeValue::Datetime(date) => format!("{name} ({date})"),
        DeValue::Array(_) | DeValue::Table(_) => name.to_owned(),
    }
}
