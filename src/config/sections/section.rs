//! Sections of a file, with the lines of their keys.

use super::list::SectionList;
use super::typed::{
    CatalogSection, EndpointSection, PrivacySection, PropertiesSection, SecretText, StorageSection,
    TableSection,
};
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
