//! JSON read without loss: the members of an object in their order, and JSON Pointers (RFC 6901).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

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
