//! The layers of settings laid over each other: one text for each setting, with its source.
//!
//! The first layer that has a value wins: flag, environment, file, default. Values are not
//! interpreted here, so that one check ([`build`](super::build)) serves all layers and a message
//! can name the place.

use std::collections::BTreeMap;
use std::path::Path;

use super::environment::Environment;
use super::error::{Error, Problem};
use super::file;
use super::flags::Flags;
use super::list::{CONFIG, SCHEMA, SETTINGS, Setting, TABLE};
use super::sections::{SecretText, Sections, Text};
use super::source::{Source, SourcedText};
use crate::lake::Secret;
use crate::schema;

/// Every setting that has a value, and the sections of the file.
#[derive(Debug)]
pub(crate) struct Layers {
    values: BTreeMap<&'static str, SourcedText>,
    /// The value of `table` in the file, where a flag or a variable outranks it.
    file_table: Option<SourcedText>,
    pub(crate) sections: Sections,
    /// Digests of the sections of the file, of the same reading of it.
    pub(super) section_digests: Vec<(String, u128)>,
    /// Secrets of object stores from files that variables name, by key.
    pub(crate) store_secrets: Vec<(String, SecretText)>,
    /// Warnings for standard error: sentences about settings that are accepted and may be a
    /// mistake.
    pub(crate) warnings: Vec<String>,
    /// Problems of single keys: what is built of the layers adds its own to them, and is an error in any case.
    pub(crate) problems: Vec<Problem>,
}

impl Layers {
    /// Lays the four layers over each other.
    ///
    /// Keys that no setting has are [`Layers::problems`]: the rest of the file is read as if they were not
    /// there, so that one look tells of everything.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has types that a setting does not take; a variable is not
    /// UTF-8.
    pub(crate) fn gather<const COMMANDS: u8>(
        flags: &Flags<COMMANDS>,
        environment: &Environment,
    ) -> Result<Layers, Error> {
        let mut problems = Vec::new();
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            let flag = flags.get(setting).map(|text| (text, Source::Flag));
            let given = match flag {
                Some(flag) => Some(flag),
                None => match environment.value(setting) {
                    Ok(text) => text.map(|text| (text, Source::Environment)),
                    Err(problem) => {
                        problems.push(problem);
                        None
                    }
                },
            };
            if let Some((text, source)) = given {
                values.insert(setting.key, SourcedText { text, source });
            }
        }
        let (mut sections, mut file_table) = (Sections::default(), None);
        let mut section_digests = Vec::new();
        if let Some(path) = values.get(CONFIG.key) {
            let parsed = file::read(Path::new(&path.text));
            problems.extend(parsed.problems);
            sections = parsed.sections;
            section_digests = parsed.digests;
            for (key, text) in parsed.values {
                if key == TABLE.key && values.contains_key(key) {
                    file_table = Some(text);
                } else {
                    values.entry(key).or_insert(text);
                }
            }
        }
        sections.read_secret_files(&mut problems);
        environment.lay_over(&mut sections.catalog, &mut problems);
        let secrets = environment.secrets_of_stores(&mut problems).into_iter();
        let store_secrets =
            secrets.map(|(key, text)| (key, SecretText(Secret::new(text)))).collect();
        for setting in SETTINGS {
            if let Some(default) = setting.default {
                values
                    .entry(setting.key)
                    .or_insert(SourcedText { text: default.to_owned(), source: Source::Default });
            }
        }
        if !problems.iter().all(Problem::leaves_the_rest)
            && let Some(error) = Error::from_problems(problems.split_off(0))
        {
            return Err(error);
        }
        let warnings = environment.unknown_variables();
        Ok(Layers {
            values,
            file_table,
            sections,
            section_digests,
            store_secrets,
            warnings,
            problems,
        })
    }

    /// Returns what was built of the layers, or every problem: those of the layers come first.
    pub(crate) fn checked<T>(&mut self, built: Result<T, Error>) -> Result<T, Error> {
        Error::unless(std::mem::take(&mut self.problems), built)
    }

    /// Adds warnings about schema files that declare fields without null, or misspell an attribute.
    pub(crate) fn with_schema_warnings(mut self) -> Layers {
        let setting = self.get(&SCHEMA).map(|given| given.text.clone());
        let tables = self.sections.tables.iter().filter_map(|table| table.values.schema.clone());
        let files = setting.into_iter().chain(tables.map(|Text(file)| file));
        let warnings: Vec<String> = files.flat_map(|file| schema_warnings(&file)).collect();
        self.warnings.extend(warnings);
        self
    }

    /// Puts `text` above every layer, for an argument that stands for the setting.
    pub(crate) fn set(&mut self, setting: &Setting, text: String) {
        self.values.insert(setting.key, SourcedText { text, source: Source::Flag });
    }

    /// Returns the name of the table of `[[tables]]` that a flag or a variable names as the setting `table`, if
    /// one does. The setting then has the value that it has without them: the section describes the table,
    /// and all tables are those of the file.
    pub(crate) fn take_named_section(&mut self) -> Option<String> {
        let given = self.get(&TABLE)?;
        let is_typed = matches!(given.source, Source::Flag | Source::Environment);
        let name = given.text.clone();
        let mut names = self.sections.tables.iter().filter_map(|table| table.values.name.as_ref());
        if !is_typed || !names.any(|Text(own)| *own == name) {
            return None;
        }
        let default = || TABLE.default.unwrap_or_default().to_owned();
        let file = self.file_table.take();
        let below =
            file.unwrap_or_else(|| SourcedText { text: default(), source: Source::Default });
        self.values.insert(TABLE.key, below);
        Some(name)
    }

    /// Returns the value of `setting`, if any layer has one.
    pub(crate) fn get(&self, setting: &Setting) -> Option<&SourcedText> {
        self.values.get(setting.key)
    }
}

/// Returns sentences about the fields that the schema in `file` declares without null, and about attributes
/// that it misspells.
fn schema_warnings(file: &str) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let misspelt = schema::misspelt_attributes(&text).into_iter().map(|(field, attribute, meant)| {
        format!(
            "the schema {file} gives `{field}` an attribute `{attribute}`, which says nothing; did you mean \
             `{meant}`?"
        )
    });
    let fields = schema::declared_without_null(&text);
    let without_null = fields.first().map(|first| {
        let more = match fields.len() {
            1 => String::new(),
            all => format!(" and {} more", all - 1),
        };
        format!(
            "the schema {file} declares `{first}`{more} without null: documents that lack a value are \
             taken all the same, with null in its column; declare it as [\"null\", TYPE]"
        )
    });
    misspelt.chain(without_null).collect()
}
