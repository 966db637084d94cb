//! Sections of a file, with the lines of their keys.

use std::collections::BTreeMap;

use super::list::{CATALOG, STORAGE, SectionList};
use super::typed::{
    CatalogSection, EndpointSection, PrivacySection, PropertiesSection, SecretText, StorageSection,
    TableSection,
};
use crate::config::error::Problem;
use crate::config::secret_files;
use crate::config::source::Source;
use crate::lake::Secret;

/// A section with right keys and types.
#[derive(Clone, Debug)]
pub(crate) struct Section<T> {
    /// Its keys.
    pub(crate) list: &'static SectionList,
    /// Its first line.
    pub(crate) source: Source,
    /// The keys that it has, in the order of the file, each with its line.
    pub(crate) lines: Vec<(String, Source)>,
    /// The values.
    pub(crate) values: T,
}

/// All sections of a file, in its order.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    pub(crate) endpoints: Vec<Section<EndpointSection>>,
    pub(crate) tables: Vec<Section<TableSection>>,
    pub(crate) privacy: Option<Section<PrivacySection>>,
    pub(crate) properties: Option<Section<PropertiesSection>>,
    pub(crate) catalog: Option<Section<CatalogSection>>,
    pub(crate) storage: Option<Section<StorageSection>>,
}

impl Sections {
    /// Puts the secrets in files that keys name in the place of these keys.
    pub(crate) fn read_secret_files(&mut self, problems: &mut Vec<Problem>) {
        if let Some(section) = &mut self.storage {
            let Section { lines, values, .. } = section;
            read(lines, &mut values.0, STORAGE.name, secret_files::of_store, problems);
        }
        if let Some(section) = &mut self.catalog {
            let Section { lines, values, .. } = section;
            read(lines, &mut values.0, CATALOG.name, secret_files::of_catalog, problems);
        }
    }
}

/// Puts the secrets in files in the place of their keys, of which `of` knows the name.
fn read(
    lines: &mut [(String, Source)],
    values: &mut BTreeMap<String, SecretText>,
    section: &str,
    of: fn(&str) -> Option<&str>,
    problems: &mut Vec<Problem>,
) {
    for (name, source) in lines {
        let Some(key) = of(name).map(str::to_owned) else { continue };
        let Some(SecretText(path)) = values.remove(&*name) else { continue };
        let place = format!("{source}: {section}.{name}");
        let secret = match values.contains_key(&key) {
            true => Err(format!("{key} is given as well: give one of them")),
            false => secret_files::read(path.reveal()),
        };
        match secret {
            Ok(secret) => drop(values.insert(key.clone(), SecretText(Secret::new(secret)))),
            Err(why) => problems.push(Problem::Refused { place, why }),
        }
        *name = key;
    }
}

impl Section<CatalogSection> {
    /// Tells whether the section has `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.0.contains_key(key)
    }

    /// Puts `text` in the place of what the section has under `key`.
    pub(crate) fn put(&mut self, key: &str, text: String, source: Source) {
        self.lines.retain(|(name, _)| name != key);
        self.lines.push((key.to_owned(), source));
        self.values.0.insert(key.to_owned(), SecretText(Secret::new(text)));
    }
}
