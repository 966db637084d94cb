//! JSON read without loss: the members of an object in their order, JSON Pointers (RFC 6901), and
//! numbers that can be counted with.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The largest number that is read from a lake: sums of thousands of them fit into 64 bits, and every
/// reader of JSON reads them exactly. Nothing is counted that far.
pub(crate) const MOST: u64 = (1 << 53) - 1;

/// Reads a number of at most [`MOST`], for fields of records in a lake, which anybody may have written.
///
/// # Errors
/// The reader's; a larger number.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    counted(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// Reads two numbers as [`number`] does.
///
/// # Errors
/// As for [`number`].
pub(crate) fn pairs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(u64, u64)>, D::Error> {
    let pairs = Vec::<(u64, u64)>::deserialize(deserializer)?;
    let all = pairs.iter().try_for_each(|(one, two)| counted(*one).and(counted(*two)).map(drop));
    all.map(|()| pairs).map_err(serde::de::Error::custom)
}

/// Reads a number that may be missing as [`number`] does.
///
/// # Errors
/// As for [`number`].
pub(crate) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let read = Option::<u64>::deserialize(deserializer)?;
    read.map(counted).transpose().map_err(serde::de::Error::custom)
}

fn counted(number: u64) -> Result<u64, String> {
    let counted = (number <= MOST).then_some(number);
    counted
        .ok_or_else(|| format!("the number {number} is above {MOST}, to which nothing is counted"))
}

/// The members of a JSON object in their order. Repeated keys are kept, and each value has the text
/// that it came with.
#[derive(Debug)]
pub(crate) struct Members(pub(crate) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Splits a JSON Pointer into its reference tokens, unescaped. Anything before the first slash is
/// left out.
pub(crate) fn pointer_tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_repeats_and_spelling() {
        let Members(members) = serde_json::from_str(r#"{"b":1.0,"a":[ 1 ],"b":2}"#).unwrap();
        let members: Vec<_> = members.iter().map(|(key, raw)| (key.as_str(), raw.get())).collect();
        assert_eq!(members, [("b", "1.0"), ("a", "[ 1 ]"), ("b", "2")]);
        assert!(serde_json::from_str::<Members>("[1]").is_err());
    }

    #[test]
    fn tokens_of_a_pointer_are_unescaped() {
        let tokens = |pointer| pointer_tokens(pointer).collect::<Vec<_>>();
        assert_eq!(tokens("/a~1b/0/~0~01"), ["a/b", "0", "~~1"]);
        assert_eq!(tokens(""), [""; 0]);
        assert_eq!(tokens("/"), [""]);
    }
}
