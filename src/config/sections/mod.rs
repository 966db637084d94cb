//! Sections of the configuration file: `[[endpoint]]`, `[[tables]]`, `[privacy]`, `[properties]`, `[catalog]` and `[storage]`.
//!
//! Unlike settings, they exist in the file only, but for `[catalog]`, whose secrets have variables.
//! [`list`] names their keys, with type, default, example and help; error messages, the reference and the
//! example file are made from it. A section whose keys and types are right is deserialised into its
//! struct of [`typed`]; what the values mean is checked by [`build`](super::build).

mod catalog_keys;
mod key;
pub(crate) mod list;
mod reader;
mod section;
mod typed;

pub(super) use self::reader::SectionReader;
pub(crate) use self::section::{Section, Sections};
pub(crate) use self::typed::{CatalogSection, EndpointSection, SecretText, TableSection, Text};
