//! The values of sections, by serde.
//!
//! Values stay text here, so that a wrong one is reported with its place and an example.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::lake::Secret;

/// The section `[[endpoint]]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EndpointSection {
    pub(crate) name: Option<Text>,
    pub(crate) path: Option<Text>,
    pub(crate) methods: Option<Texts>,
    pub(crate) form: Option<Text>,
    pub(crate) table: Option<Text>,
    pub(crate) indices: BTreeMap<String, String>,
    pub(crate) auth: Option<Texts>,
    pub(crate) allow: Option<Texts>,
    pub(crate) scope: Option<Text>,
    pub(crate) peers: Option<Texts>,
    pub(crate) body_limit: Option<Text>,
    pub(crate) inflated_limit: Option<Text>,
    pub(crate) requests_per_second: Option<Text>,
}

/// The section `[[tables]]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TableSection {
    pub(crate) name: Option<Text>,
    pub(crate) schema: Option<Text>,
    pub(crate) partition: Option<Text>,
    pub(crate) format: Option<Text>,
    pub(crate) dedup: Option<Text>,
    pub(crate) promote: Option<Text>,
}

/// `[privacy]`: the name of an action by path of a column.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct PrivacySection(pub(crate) BTreeMap<String, String>);

/// `[properties]`: the type of each property that becomes a column, by its key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct PropertiesSection(pub(crate) BTreeMap<String, String>);

/// `[catalog]`: values by key. Some are secret, so none is shown unless its key says that it may be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct CatalogSection(pub(crate) BTreeMap<String, SecretText>);

/// `[storage]`: options of the object store.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct StorageSection(pub(crate) BTreeMap<String, SecretText>);

/// A string, or an integer as its decimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

/// An array of strings, or one string as an array of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Texts(pub(crate) Vec<String>);

/// A string, an integer or a boolean, as text that is not shown.
#[derive(Clone, Debug)]
pub(crate) struct SecretText(pub(crate) Secret);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of strings")
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = array.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(TextsVisitor)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecretVisitor;

        impl Visitor<'_> for SecretVisitor {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<String, E> {
                Ok(text.to_owned())
            }

            fn visit_i64<E>(self, number: i64) -> Result<String, E> {
                Ok(number.to_string())
            }

            fn visit_u64<E>(self, number: u64) -> Result<String, E> {
                Ok(number.to_string())
            }

            fn visit_bool<E>(self, on: bool) -> Result<String, E> {
                Ok(on.to_string())
            }
        }

        // Serde's own message would have the value in it.
        let text = deserializer.deserialize_any(SecretVisitor);
        text.map(|text| SecretText(Secret::new(text))).map_err(|_| D::Error::custom("no string"))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::super::list::{ENDPOINT, SectionList, TABLES};
    use super::*;

    /// Returns the fields that serde names when it refuses another one.
    fn fields<T: DeserializeOwned + fmt::Debug>() -> Vec<String> {
        let refused = toml::from_str::<T>("zzz = 1").unwrap_err();
        let names = refused.message().split('`').skip(1).step_by(2);
        names.filter(|name| *name != "zzz").map(str::to_owned).collect()
    }

    fn keys(list: &SectionList) -> Vec<&str> {
        list.keys.iter().map(|key| key.name).collect()
    }

    #[test]
    fn the_list_of_keys_is_that_of_the_structs() {
        assert_eq!(fields::<EndpointSection>(), keys(&ENDPOINT));
        assert_eq!(fields::<TableSection>(), keys(&TABLES));
    }
}
