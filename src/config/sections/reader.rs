//! Parsing of a section's values, with a place and an example for each that is wrong.

use super::section::Section;
use super::typed::{Text, Texts};
use crate::config::error::Problem;

/// Parses the values of a section and collects what is wrong with them.
pub(in crate::config) struct SectionReader<'a, T> {
    section: &'a Section<T>,
    pub(in crate::config) problems: Vec<Problem>,
}

impl<'a, T> SectionReader<'a, T> {
    pub(in crate::config) fn new(section: &'a Section<T>) -> Self {
        SectionReader { section, problems: Vec::new() }
    }

    /// Returns the values of the section.
    pub(in crate::config) fn values(&self) -> &'a T {
        &self.section.values
    }

    /// Records that `key` is refused, at its line, or at the section's if it has none.
    pub(in crate::config) fn refuse(&mut self, key: &str, why: impl Into<String>) {
        let place = self.place(key);
        self.problems.push(Problem::Refused { place, why: why.into() });
    }

    /// Parses `text`, the value of `key`. Returns `None` if there is none or it is wrong.
    pub(in crate::config) fn parse<V>(
        &mut self,
        key: &str,
        text: Option<&Text>,
        parse: impl FnOnce(&str) -> Result<V, String>,
    ) -> Option<V> {
        let Text(text) = text?;
        parse(text).map_err(|why| self.bad(key, text, why)).ok()
    }

    /// Parses each of `texts`, the value of `key`. Returns `None` if there is no such value, and
    /// leaves out those that are wrong.
    pub(in crate::config) fn parse_each<V>(
        &mut self,
        key: &str,
        texts: Option<&Texts>,
        parse: impl Fn(&str) -> Result<V, String>,
    ) -> Option<Vec<V>> {
        let Texts(texts) = texts?;
        let mut parsed = Vec::new();
        for text in texts {
            match parse(text) {
                Ok(value) => parsed.push(value),
                Err(why) => self.bad(key, text, why),
            }
        }
        Some(parsed)
    }

    fn bad(&mut self, key: &str, found: &str, why: String) {
        let example = self.section.list.assignment(key);
        let (place, found) = (self.place(key), found.to_owned());
        self.problems.push(Problem::BadValue { place, found, why, example });
    }

    fn place(&self, key: &str) -> String {
        let line = self.section.lines.iter().find(|(name, _)| name == key);
        let source = line.map_or(&self.section.source, |(_, source)| source);
        format!("{source}: {}.{key}", self.section.list.name)
    }
}
