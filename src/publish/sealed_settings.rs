//! The settings in a seal: everything, besides the bodies, that decides the rows of a roll.
//!
//! ```text
//! [{"table": …}, …]
//! {"tables":[{"table": …}, …],"set_aside":[{"reason":"the decoder panicked","bodies":[7,19]}]}
//! ```
//! The first form, that of [`Tables`], is of rolls that set no body aside, and the only one that
//! earlier versions know: they refuse the other one, as they would decode those bodies.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::record::Seq;
use crate::roll::care::SetAside;
use crate::table::Tables;

/// The settings that a roll was sealed with.
#[derive(Debug)]
pub(crate) struct SealedSettings {
    /// The tables, as they were.
    pub(crate) tables: Tables,
    /// Bodies that the roll sets aside.
    pub(crate) set_aside: SetAside,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Serialized {
    tables: Box<RawValue>,
    set_aside: Vec<Group>,
}

/// Bodies that are set aside for one reason.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    reason: String,
    bodies: Vec<u64>,
}

impl SealedSettings {
    /// Writes the settings of a roll of `tables`.
    ///
    /// # Errors
    /// None that is known of.
    pub(super) fn to_json(tables: &Tables, set_aside: &SetAside) -> serde_json::Result<Vec<u8>> {
        let tables = tables.to_json();
        if set_aside.is_empty() {
            return Ok(tables);
        }
        let mut groups: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (seq, reason) in set_aside {
            groups.entry(reason).or_default().push(seq.0);
        }
        let groups =
            groups.into_iter().map(|(reason, bodies)| Group { reason: reason.to_owned(), bodies });
        let tables = serde_json::from_slice(&tables)?;
        serde_json::to_vec(&Serialized { tables, set_aside: groups.collect() })
    }

    /// Reads the settings of a seal.
    ///
    /// # Errors
    /// They are of neither form; a table is not valid.
    pub(crate) fn from_json(json: &[u8]) -> anyhow::Result<SealedSettings> {
        if !json.trim_ascii_start().starts_with(b"{") {
            let tables = Tables::from_json(json)?;
            return Ok(SealedSettings { tables, set_aside: SetAside::new() });
        }
        let Serialized { tables, set_aside } =
            serde_json::from_slice(json).context("the settings of the seal cannot be read")?;
        let tables = Tables::from_json(tables.get().as_bytes())?;
        let bodies = |Group { reason, bodies }| {
            let of = move |seq| (Seq(seq), reason.clone());
            bodies.into_iter().map(of)
        };
        Ok(SealedSettings { tables, set_aside: set_aside.into_iter().flat_map(bodies).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TableSchema;
    use crate::table::{Spec, Template};

    #[test]
    fn a_seal_names_the_bodies_that_are_set_aside_and_is_as_ever_without_any() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let tables = Tables::new(vec![Spec::new("t", schema, Template::default())]).unwrap();
        let plain = SealedSettings::to_json(&tables, &SetAside::new()).unwrap();
        assert_eq!(plain, tables.to_json());
        assert!(SealedSettings::from_json(&plain).unwrap().set_aside.is_empty());
        let set_aside: SetAside = [(7, "a \"reason\""), (9, "other"), (u64::MAX, "other")]
            .into_iter()
            .map(|(seq, reason)| (Seq(seq), reason.to_owned()))
            .collect();
        let json = SealedSettings::to_json(&tables, &set_aside).unwrap();
        let read = SealedSettings::from_json(&json).unwrap();
        assert_eq!(read.set_aside, set_aside);
        assert_eq!(read.tables.to_json(), plain);
        assert!(Tables::from_json(&json).is_err(), "an earlier version would decode them");
        assert!(SealedSettings::from_json(b"{\"tables\":[],\"set_aside\":[],\"x\":1}").is_err());
    }
}
