//! Sections of a file, with the lines of their keys.

use super::list::SectionList;
use super::typed::{EndpointSection, PrivacySection, StorageSection, TableSection};
use crate::config::source::Source;

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
    pub(crate) storage: Option<Section<StorageSection>>,
}
