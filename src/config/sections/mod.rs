//! Sections of the configuration file: `[[endpoint]]`, `[[tables]]`, `[privacy]` and `[storage]`.
//!
//! Unlike settings, they exist in the file only. [`list`] names their keys, with type, default,
//! example and help; error messages, the reference and the example file are made from it. A section
//! whose keys and types are right is deserialised into its struct of [`typed`]; what the values mean
//! is checked by [`build`](super::build).

pub(crate) mod list;
mod reader;
mod typed;

pub(crate) use self::list::SectionList;
pub(super) use self::reader::SectionReader;
pub(crate) use self::typed::{
    EndpointSection, PrivacySection, SecretText, StorageSection, TableSection, Text, Texts,
};

use super::source::Source;

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
