//! The settings in a seal: everything, besides the bodies, that decides the rows of a roll.
//!
//! ```text
//! [{"table": …}, …]
//! {"tables":[{"table": …}, …],"set_aside":[{"reason":"the decoder panicked","bodies":[7,19]}],
//!  "left_out":"…"}
//! ```
//! The first form, that of [`Tables`], is of rolls that set no body aside and leave no row out, and the
//! only one that the first versions know: they refuse the other one, as they would decode those bodies.
//! `left_out` are the rows that a roll leaves out, as [`LeftOut`] writes them; without it there are none.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dedup::LeftOut;
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
    /// Rows that the roll leaves out.
    pub(crate) left_out: LeftOut,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Serialized {
    tables: Box<RawValue>,
    set_aside: Vec<Group>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_out: Option<String>,
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
    pub(crate) fn to_json(
        tables: &Tables,
        set_aside: &SetAside,
        left_out: &LeftOut,
    ) -> serde_json::Result<Vec<u8>> {
        let tables = tables.to_json();
        if set_aside.is_empty() && left_out.is_empty() {
            return Ok(tables);
        }
        let mut groups: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (seq, reason) in set_aside {
            groups.entry(reason).or_default().push(seq.0);
        }
        let groups =
            groups.into_iter().map(|(reason, bodies)| Group { reason: reason.to_owned(), bodies });
        let tables = serde_json::from_slice(&tables)?;
        let left_out = (!left_out.is_empty()).then(|| left_out.to_text()).transpose();
        let left_out = left_out.map_err(serde_json::Error::io)?;
        serde_json::to_vec(&Serialized { tables, set_aside: groups.collect(), left_out })
    }

    /// Reads the rows that a roll leaves out, of the settings of its seal, as the list writes them; `None` if
    /// there are none.
    ///
    /// # Errors
    /// As of [`SealedSettings::from_json`].
    pub(crate) fn left_out_of(json: &[u8]) -> anyhow::Result<Option<String>> {
        if !json.trim_ascii_start().starts_with(b"{") {
            return Ok(None);
        }
        let serialized: Serialized =
            serde_json::from_slice(json).context("the settings of the seal cannot be read")?;
        Ok(serialized.left_out)
    }

    /// Reads the settings of a seal.
    ///
    /// # Errors
    /// They are of neither form; a table is not valid.
    pub(crate) fn from_json(json: &[u8]) -> anyhow::Result<SealedSettings> {
        if !json.trim_ascii_start().starts_with(b"{") {
            let tables = Tables::from_json(json)?;
            let (set_aside, left_out) = (SetAside::new(), LeftOut::default());
            return Ok(SealedSettings { tables, set_aside, left_out });
        }
        let Serialized { tables, set_aside, left_out } =
            serde_json::from_slice(json).context("the settings of the seal cannot be read")?;
        let tables = Tables::from_json(tables.get().as_bytes())?;
        let bodies = |Group { reason, bodies }| {
            let of = move |seq| (Seq(seq), reason.clone());
            bodies.into_iter().map(of)
        };
        let left_out = left_out.as_deref().map(LeftOut::from_text).transpose()?.unwrap_or_default();
        let set_aside = set_aside.into_iter().flat_map(bodies).collect();
        Ok(SealedSettings { tables, set_aside, left_out })
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
        let plain =
            SealedSettings::to_json(&tables, &SetAside::new(), &LeftOut::default()).unwrap();
        assert_eq!(plain, tables.to_json());
        assert!(SealedSettings::from_json(&plain).unwrap().set_aside.is_empty());
        let set_aside: SetAside = [(7, "a \"reason\""), (9, "other"), (u64::MAX, "other")]
            .into_iter()
            .map(|(seq, reason)| (Seq(seq), reason.to_owned()))
            .collect();
        let json = SealedSettings::to_json(&tables, &set_aside, &LeftOut::default()).unwrap();
        let read = SealedSettings::from_json(&json).unwrap();
        assert_eq!(read.set_aside, set_aside);
        assert_eq!(read.tables.to_json(), plain);
        assert!(Tables::from_json(&json).is_err(), "an earlier version would decode them");
        assert!(SealedSettings::from_json(b"{\"tables\":[],\"set_aside\":[],\"x\":1}").is_err());
    }

    #[test]
    fn a_seal_names_the_rows_that_are_left_out_and_earlier_versions_refuse_it() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let tables = Tables::new(vec![Spec::new("t", schema, Template::default())]).unwrap();
        let mut left_out = LeftOut::default();
        left_out.add(Seq(7), 0, None);
        left_out.add(Seq(9), 3, Some(Seq(7)));
        let json = SealedSettings::to_json(&tables, &SetAside::new(), &left_out).unwrap();
        let read = SealedSettings::from_json(&json).unwrap();
        assert_eq!((read.left_out, read.set_aside), (left_out, SetAside::new()));
        assert!(Tables::from_json(&json).is_err(), "an earlier version would land them");
        let cut = String::from_utf8(json).unwrap().replace("\"left_out\":\"", "\"left_out\":\"A");
        assert!(SealedSettings::from_json(cut.as_bytes()).is_err());
    }
}
