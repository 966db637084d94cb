//! Sections of the file: `[[endpoint]]`, `[[tables]]` and `[privacy]`, as they were typed.
//!
//! Unlike the settings, they exist in the file only. A key that is not given in an `[[endpoint]]`
//! is as the setting of its name says; a `[[tables]]` without `partition` has none.

use super::error::Problem;
use super::raw::Source;
use super::value;

/// `[[endpoint]]`
pub(crate) const ENDPOINT: &str = "endpoint";
/// `[[tables]]`
pub(crate) const TABLES: &str = "tables";
/// `[privacy]`
pub(crate) const PRIVACY: &str = "privacy";

/// One section as it was typed.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) kind: String,
    pub(crate) source: Source,
    pub(crate) entries: Vec<Entry>,
}

/// One line of a section.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) source: Source,
    pub(crate) given: Given,
}

/// The value of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Text(String),
    Number(String),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
    /// Something that no key of a section takes; what it is.
    Other(&'static str),
}

/// Whether `[name]` is a section.
pub(super) fn is_table(name: &str) -> bool {
    name == PRIVACY
}

/// Whether `[[name]]` is a section.
pub(super) fn is_array(name: &str) -> bool {
    name == ENDPOINT || name == TABLES
}

/// What to do about a section in the wrong shape.
pub(super) fn hint(name: &str) -> Option<String> {
    match name {
        ENDPOINT => Some("; it is a section, of which there may be several: [[endpoint]]".into()),
        TABLES => Some("; it is a section, of which there may be several: [[tables]]".into()),
        PRIVACY => Some("; it is a table: [privacy]".into()),
        _ => None,
    }
}

/// Reads the lines of a section by name; what is wrong is noted, with its place.
pub(super) struct Lines<'a> {
    section: &'a Section,
    known: Vec<&'static str>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(section: &'a Section) -> Self {
        Lines { section, known: Vec::new(), problems: Vec::new() }
    }

    /// Where `key` stands, or the section if it does not.
    pub(super) fn place(&self, key: &str) -> String {
        let entry = self.section.entries.iter().find(|entry| entry.key == key);
        let source = entry.map_or(&self.section.source, |entry| &entry.source);
        format!("{source}: {}.{key}", self.section.kind)
    }

    pub(super) fn refuse(&mut self, key: &str, why: impl Into<String>) {
        let place = self.place(key);
        self.problems.push(Problem::Refused { place, why: why.into() });
    }

    fn find(&mut self, key: &'static str) -> Option<&'a Given> {
        self.known.push(key);
        self.section.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.given)
    }

    /// A text, a number as text, or nothing; read by `parse`.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = match self.find(key)? {
            Given::Text(text) | Given::Number(text) => text,
            _ => {
                self.refuse(key, format!("should be a string, for example {key} = {example}"));
                return None;
            }
        };
        match parse(text) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                let place = self.place(key);
                let (found, example) = (text.clone(), format!("{key} = {example}"));
                self.problems.push(Problem::BadValue { place, found, why, example });
                None
            }
        }
    }

    /// A list of texts, or one text as a list of one; each read by `parse`.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let texts = match self.find(key)? {
            Given::Text(text) => std::slice::from_ref(text),
            Given::List(texts) => texts.as_slice(),
            _ => {
                let why = format!("should be a list of strings, for example {key} = {example}");
                self.refuse(key, why);
                return None;
            }
        };
        let mut list = Vec::new();
        for text in texts {
            match parse(text) {
                Ok(parsed) => list.push(parsed),
                Err(why) => {
                    let (place, found) = (self.place(key), text.clone());
                    let example = format!("{key} = {example}");
                    self.problems.push(Problem::BadValue { place, found, why, example });
                }
            }
        }
        Some(list)
    }

    /// A table of texts.
    pub(super) fn pairs(&mut self, key: &'static str, example: &str) -> Vec<(String, String)> {
        match self.find(key) {
            None => Vec::new(),
            Some(Given::Pairs(pairs)) => pairs.clone(),
            Some(_) => {
                self.refuse(key, format!("should be a table, for example {key} = {example}"));
                Vec::new()
            }
        }
    }

    /// Every key must have been asked for by now.
    pub(super) fn done(mut self) -> Vec<Problem> {
        for entry in &self.section.entries {
            if self.known.contains(&entry.key.as_str()) {
                continue;
            }
            let nearest = value::nearest(&entry.key, self.known.iter().copied());
            let Source::File { file, line } = entry.source.clone() else { continue };
            self.problems.push(Problem::UnknownKey {
                file,
                line,
                key: format!("{}.{}", self.section.kind, entry.key),
                hint: nearest
                    .map(|key| format!("; the nearest known key is `{key}`"))
                    .unwrap_or_default(),
            });
        }
        self.problems
    }
}
