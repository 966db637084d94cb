//! The configuration file: TOML whose keys are the settings, and the
//! [`sections`](super::sections).
//!
//! Every key and every type is checked, those of other commands too, so that one file serves all
//! commands and a misspelt key is never silently without effect. All problems are gathered, not
//! only the first. The text of a line is never part of a message: it may hold a secret.

use std::borrow::Cow;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::list::{self, Kind, SETTINGS};
use super::secret_files;
use super::section_digests;
use super::sections::list::{
    CATALOG, ENDPOINT, KeyKind, PRIVACY, PROPERTIES, SECTIONS, STORAGE, SectionList, TABLES,
};
use super::sections::{Section, Sections};
use super::source::{Source, SourcedText};
use crate::lake::options;
use crate::spelling;

/// The contents of a file, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct ParsedFile {
    /// Settings by key.
    pub(super) values: Vec<(&'static str, SourcedText)>,
    /// Sections without problems.
    pub(super) sections: Sections,
    /// Digests of the sections as they stand in the text.
    pub(super) digests: Vec<(String, u128)>,
    pub(super) problems: Vec<Problem>,
}

/// Reads and parses the file at `path`.
pub(super) fn read(path: &Path) -> ParsedFile {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &path.display().to_string()),
        Err(source) => ParsedFile {
            problems: vec![Problem::Unreadable { path: path.to_owned(), source }],
            ..ParsedFile::default()
        },
    }
}

/// Parses `text`; `file` is its name in messages.
pub(super) fn parse(text: &str, file: &str) -> ParsedFile {
    let digests = section_digests::sections(text);
    let mut parser = Parser { text, file, parsed: ParsedFile { digests, ..ParsedFile::default() } };
    match DeTable::parse(text) {
        Ok(root) => {
            for (key, value) in in_order(root.get_ref()) {
                parser.top_level(key, value);
            }
        }
        Err(error) => parser.parsed.problems.push(syntax(text, file, &error)),
    }
    parser.parsed
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

/// Returns the line of the byte at `offset`, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + memchr::memchr_iter(b'\n', before).count()
}

/// Returns the entries of `table`, which is sorted by key, in the order of the file.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<Cow<'i, str>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

struct Parser<'a> {
    text: &'a str,
    file: &'a str,
    parsed: ParsedFile,
}

impl Parser<'_> {
    /// Parses a key or section of the root.
    fn top_level(&mut self, key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let name = key.get_ref().as_ref();
        let line = self.line(key.span().start);
        let setting = list::by_key(name).filter(|setting| setting.in_file());
        match (setting, value.get_ref()) {
            (Some(setting), given) => match plain(setting.kind, given) {
                Some(text) => {
                    let text = SourcedText { text, source: self.source(key.span().start) };
                    self.parsed.values.push((setting.key, text));
                }
                None => self.parsed.problems.push(Problem::WrongType {
                    file: self.file.to_owned(),
                    line,
                    key: name.to_owned(),
                    found: found(given),
                    expected: expected(setting.kind),
                    example: setting.assignment(setting.example),
                }),
            },
            (None, DeValue::Table(table)) if name == STORAGE.name => {
                self.parsed.sections.storage = self.section(&STORAGE, key.span().start, table);
            }
            (None, DeValue::Table(table)) if name == CATALOG.name => {
                self.parsed.sections.catalog = self.section(&CATALOG, key.span().start, table);
            }
            (None, DeValue::Table(table)) if name == PRIVACY.name => {
                self.parsed.sections.privacy = self.section(&PRIVACY, key.span().start, table);
            }
            (None, DeValue::Table(table)) if name == PROPERTIES.name => {
                self.parsed.sections.properties =
                    self.section(&PROPERTIES, key.span().start, table);
            }
            (None, DeValue::Array(array))
                if SECTIONS.iter().any(|section| section.repeated && section.name == name)
                    && array.iter().all(|v| matches!(v.get_ref(), DeValue::Table(_))) =>
            {
                for value in array.iter() {
                    let DeValue::Table(table) = value.get_ref() else { continue };
                    let at = value.span().start;
                    if name == ENDPOINT.name {
                        let section = self.section(&ENDPOINT, at, table);
                        self.parsed.sections.endpoints.extend(section);
                    } else {
                        let section = self.section(&TABLES, at, table);
                        self.parsed.sections.tables.extend(section);
                    }
                }
            }
            (None, given) => {
                let hint = hint(name, given);
                self.unknown(line, name.to_owned(), hint);
            }
        }
    }

    /// Parses the section that begins at byte `at`, without the keys that no section of its kind has. Returns
    /// `None` if a type is wrong.
    fn section<T: DeserializeOwned>(
        &mut self,
        list: &'static SectionList,
        at: usize,
        table: &DeTable<'_>,
    ) -> Option<Section<T>> {
        let before = self.parsed.problems.len();
        let (mut lines, mut unknown) = (Vec::new(), Vec::new());
        for (key, value) in in_order(table) {
            let name = key.get_ref().as_ref();
            let (at, problems) = (key.span().start, self.parsed.problems.len());
            self.section_key(list, name, self.line(at), value.get_ref());
            match self.parsed.problems.len() > problems {
                true => unknown.push(name),
                false => lines.push((name.to_owned(), self.source(at))),
            }
        }
        if !self.parsed.problems[before..].iter().all(Problem::leaves_the_rest) {
            return None;
        }
        let source = self.source(at);
        let mut table = table.clone();
        unknown.iter().for_each(|name| drop(table.remove(*name)));
        if list.name == STORAGE.name || list.name == CATALOG.name {
            spell_out(&mut table);
        }
        let spanned = Spanned::new(at..at, table);
        match T::deserialize(toml::de::Deserializer::from(spanned)) {
            Ok(values) => Some(Section { list, source, lines, values }),
            Err(error) => {
                let place = format!("{source}: {}", list.header());
                let why = error.message().to_owned();
                self.parsed.problems.push(Problem::Refused { place, why });
                None
            }
        }
    }

    /// Records a problem if the section has no key `name`, or not one with such a value.
    fn section_key(&mut self, list: &SectionList, name: &str, line: usize, value: &DeValue<'_>) {
        let (known, kind) = match list.name {
            // Keys of the user's: paths of columns, options of all clouds.
            section if section == PRIVACY.name || section == PROPERTIES.name => {
                (true, KeyKind::Text)
            }
            section if section == STORAGE.name => {
                let is_file = secret_files::of_store(name).is_some();
                (is_file || options::is_option(name), KeyKind::Secret)
            }
            section if section == CATALOG.name && secret_files::of_catalog(name).is_some() => {
                (true, KeyKind::Text)
            }
            _ => (list.key(name).is_some(), list.key(name).map_or(KeyKind::Text, |key| key.kind)),
        };
        let full = format!("{}.{name}", list.name);
        if !known {
            let hint = match list.name == STORAGE.name {
                _ if list::by_key(name).is_some() => format!(
                    "; it is a setting of its own: move it above the line {}",
                    list.header()
                ),
                true => meant_hint(spelling::meant(name, same(options::OPTION_KEYS))),
                false => {
                    let keys = list.keys.iter().map(|key| (key.name, key.name));
                    match spelling::meant(name, keys) {
                        None => {
                            let keys: Vec<&str> = list.keys.iter().map(|key| key.name).collect();
                            format!("; the keys of {} are {}", list.header(), keys.join(", "))
                        }
                        meant => meant_hint(meant),
                    }
                }
            };
            self.unknown(line, full, hint);
        } else if !takes(kind, value)
            || ([PRIVACY.name, PROPERTIES.name].contains(&list.name) && !is_string(value))
        {
            let (expected, example) = match (kind, list.name == PRIVACY.name) {
                _ if list.name == PROPERTIES.name => {
                    ("string, long, double or date in quotes", list.assignment("plan"))
                }
                (_, true) => (
                    "keep, drop, hash or truncate in quotes (a column within another is one \
                     quoted key)",
                    list.assignment("\"userActions.targetUrl\""),
                ),
                (KeyKind::Secret, _) => ("a string", format!("{name} = \"…\"")),
                (KeyKind::Switch, _) => ("true or false", list.assignment(name)),
                (KeyKind::Text, _) => ("a string", list.assignment(name)),
                (KeyKind::Texts, _) => ("a list of strings", list.assignment(name)),
                (KeyKind::Pairs, _) => ("a table of strings", list.assignment(name)),
            };
            self.parsed.problems.push(Problem::WrongType {
                file: self.file.to_owned(),
                line,
                key: full,
                found: match kind {
                    KeyKind::Secret => kind_name(value).to_owned(),
                    _ => found(value),
                },
                expected,
                example,
            });
        }
    }

    fn unknown(&mut self, line: usize, key: String, hint: String) {
        let file = self.file.to_owned();
        self.parsed.problems.push(Problem::UnknownKey { file, line, key, hint });
    }

    fn source(&self, at: usize) -> Source {
        Source::File { file: self.file.to_owned(), line: self.line(at) }
    }

    fn line(&self, at: usize) -> usize {
        line_of(self.text, at)
    }
}

/// Says what to do about the key `name` of the root, which no setting and no section has.
fn hint(name: &str, given: &DeValue<'_>) -> String {
    if name == list::CONFIG.key {
        "; it is named on the command line or by SESSIONLAKE_CONFIG".to_owned()
    } else if let Some(section) = SECTIONS.iter().find(|section| section.name == name) {
        match section.repeated {
            true => {
                let header = section.header();
                format!("; it is a section, of which there may be several: {header}")
            }
            false => format!("; it is a table: {}", section.header()),
        }
    } else if options::is_option(name) {
        "; it belongs under the line [storage]".to_owned()
    } else if is_section(given) {
        let names = SECTIONS.iter().map(|section| (section.name, section.name));
        let meant = spelling::meant(name, names);
        let section = SECTIONS.iter().find(|section| Some(section.name) == meant);
        match section {
            Some(section) => format!("; did you mean {}?", section.header()),
            None => {
                "; the tables are [storage], [catalog], [privacy], [properties], [[endpoint]] and [[tables]]; \
                     settings stand above them without one"
                    .to_owned()
            }
        }
    } else if let Some(section) = SECTIONS.iter().find(|section| section.key(name).is_some()) {
        format!("; it is a key of {}: move it below that line", section.header())
    } else {
        let keys = SETTINGS.iter().filter(|setting| setting.in_file()).map(|setting| setting.key);
        match spelling::meant(name, keys.map(|key| (key, key))) {
            None => "; `sessionlake serve --help` lists the settings".to_owned(),
            meant => meant_hint(meant),
        }
    }
}

/// Returns true for a table, and for an array of tables.
fn is_section(given: &DeValue<'_>) -> bool {
    match given {
        DeValue::Table(_) => true,
        DeValue::Array(values) => {
            !values.is_empty() && values.iter().all(|v| matches!(v.get_ref(), DeValue::Table(_)))
        }
        _ => false,
    }
}

fn same<'a>(words: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    words.iter().map(|word| (*word, *word))
}

fn meant_hint(meant: Option<&str>) -> String {
    meant.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default()
}

/// Returns the value as text if its TOML type fits the setting.
fn plain(kind: Kind, value: &DeValue<'_>) -> Option<String> {
    match (kind, value) {
        (Kind::Switch | Kind::SwitchOr(_), DeValue::Boolean(on)) => Some(on.to_string()),
        (Kind::Switch, _) => None,
        (_, DeValue::String(text)) => Some(text.as_ref().to_owned()),
        (Kind::Names, DeValue::Array(names)) => {
            let name = |name: &Spanned<DeValue<'_>>| match name.get_ref() {
                DeValue::String(name) => Some(name.as_ref().to_owned()),
                _ => None,
            };
            Some(names.iter().map(name).collect::<Option<Vec<_>>>()?.join(","))
        }
        (Kind::Size { .. } | Kind::Count { .. }, DeValue::Integer(number)) => {
            // Hexadecimal and the like are spelled out, so that one parser reads every layer.
            let value = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(value.to_string())
        }
        _ => None,
    }
}

/// Returns true if a key of a section takes a value of this TOML type.
fn takes(kind: KeyKind, value: &DeValue<'_>) -> bool {
    match (kind, value) {
        (KeyKind::Text | KeyKind::Texts | KeyKind::Secret, DeValue::String(_)) => true,
        (KeyKind::Text, DeValue::Integer(number)) => {
            i64::from_str_radix(number.as_str(), number.radix()).is_ok()
        }
        (KeyKind::Secret, DeValue::Integer(_) | DeValue::Boolean(_))
        | (KeyKind::Switch, DeValue::Boolean(_)) => true,
        (KeyKind::Texts, DeValue::Array(values)) => {
            values.iter().all(|value| is_string(value.get_ref()))
        }
        (KeyKind::Pairs, DeValue::Table(table)) => {
            table.iter().all(|(_, value)| is_string(value.get_ref()))
        }
        _ => false,
    }
}

fn is_string(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::String(_))
}

/// Replaces integers by their text: a key of digits may be longer than any integer of serde's.
fn spell_out(table: &mut DeTable<'_>) {
    for (_, value) in table.iter_mut() {
        let text = match value.get_ref() {
            DeValue::Integer(number) => number.to_string(),
            _ => continue,
        };
        *value.get_mut() = DeValue::String(Cow::Owned(text));
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
        Kind::SwitchOr(_) => "true, false or a word in quotes",
        Kind::Names => "a list of strings",
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
