//! The serialised form of a list of tables: in seals, `tables.json` and import manifests.
//!
//! A JSON list, in the order of names:
//! ```json
//! [{"table": "user_sessions", "partition": "date={startTime:%Y-%m-%d}", "avsc": "…",
//!   "members": true, "privacy": "ip=truncate", "format": "plain",
//!   "exploded": {"parent": "user_sessions", "column": "userActions"},
//!   "properties": {"parent": "user_sessions"}, "revision": 4,
//!   "line_limit": 8388608, "folded_names": true,
//!   "partitions": {"max": 1000, "window_ms": 86400000, "outside": "quarantine"}}]
//! ```
//! `members` is true where the attributes of the schema that say where values are in documents, and in
//! which forms, are more than metadata; builds that know no such attributes refuse the key, since they
//! would make other rows. A schema without `members` that has them is of such a build, and read as it
//! read it.
//!
//! `table`, `partition` and `avsc` are always there. Every other key is left out at its default (no
//! rules, plain files, rows that are documents, the first [`Revision`], lines of any length, names that
//! are told apart, [`PartitionLimits::RECEIVED`]), so a list that needs nothing
//! newer reads and writes as the first versions wrote it, byte for byte. An unknown key is an error: it would change what
//! the files of a sealed roll contain.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::file_names::FileNames;
use super::partition::Template;
use super::partition_limits::{OutsideWindow, PartitionLimits};
use super::privacy_rules::Rules;
use super::revision::Revision;
use super::spec::{Format, Rows, Spec};
use super::tables::Tables;
use crate::schema::TableSchema;

/// A table in the serialised form, not yet checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Serialized {
    pub(super) table: String,
    partition: String,
    avsc: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    members: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    privacy: String,
    /// Rules that name fields by their pointers. Versions that do not know them would not treat `_extra`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    privacy_of_fields: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exploded: Option<Exploded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    properties: Option<Properties>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line_limit: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    folded_names: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partitions: Option<Partitions>,
    /// The window of `dedup`, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dedup: Option<u64>,
}

/// Limits on partitions. Without `window_ms` there is no window.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Partitions {
    max: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outside: Option<String>,
}

impl Partitions {
    fn of(limits: PartitionLimits) -> Option<Partitions> {
        let PartitionLimits { max_partitions, time_window_ms, outside_window } = limits;
        (limits != PartitionLimits::RECEIVED).then(|| Partitions {
            max: max_partitions,
            window_ms: time_window_ms,
            outside: (outside_window != OutsideWindow::default())
                .then(|| outside_window.as_str().to_owned()),
        })
    }

    fn limits(self) -> Result<PartitionLimits, String> {
        let outside = self.outside.as_deref().map(OutsideWindow::parse).transpose();
        let outside_window = outside.map_err(|why| format!("rows outside of the window: {why}"))?;
        Ok(PartitionLimits {
            max_partitions: self.max,
            time_window_ms: self.window_ms,
            outside_window: outside_window.unwrap_or_default(),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exploded {
    parent: String,
    column: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Properties {
    parent: String,
}

impl Serialized {
    /// Returns the name of the table that its rows come from, unless they are documents.
    pub(super) fn parent(&self) -> Option<&str> {
        let list = self.exploded.as_ref().map(|exploded| exploded.parent.as_str());
        list.or(self.properties.as_ref().map(|properties| properties.parent.as_str()))
    }

    fn of(spec: &Spec) -> Serialized {
        let (mut exploded, mut properties) = (None, None);
        match &spec.rows {
            Rows::Documents => {}
            Rows::Exploded { parent, column } => {
                let (parent, column) = (parent.to_string(), column.clone());
                exploded = Some(Exploded { parent, column });
            }
            Rows::Properties { parent } => {
                properties = Some(Properties { parent: parent.to_string() });
            }
        }
        let (of_fields, rules) = spec.privacy.divide();
        Serialized {
            table: spec.name.to_string(),
            partition: spec.partition.as_str().to_owned(),
            avsc: spec.schema.avsc.clone(),
            members: spec.schema.has_members(),
            privacy: rules.to_string(),
            privacy_of_fields: of_fields.to_string(),
            format: (spec.format != Format::Plain).then(|| spec.format.as_str().to_owned()),
            exploded,
            properties,
            revision: spec.revision.number(),
            line_limit: spec.line_limit_bytes,
            folded_names: spec.file_names.are_folded(),
            partitions: Partitions::of(spec.partition_limits),
            dedup: spec.dedup_window_ms,
        }
    }

    /// Checks the table.
    ///
    /// # Errors
    /// The schema, the partition template, the privacy rules, the format or the revision is not valid.
    pub(super) fn spec(self) -> anyhow::Result<Spec> {
        let name: Arc<str> = self.table.as_str().into();
        self.checked(Arc::clone(&name)).with_context(|| format!("table {name}"))
    }

    fn checked(self, name: Arc<str>) -> anyhow::Result<Spec> {
        let schema = Arc::new(match self.members {
            true => TableSchema::parse(&self.avsc)?,
            false => TableSchema::parse_without_members(&self.avsc)?,
        });
        let partition = Template::parse(&self.partition, &schema)?;
        let mut privacy = Rules::parse(&self.privacy).map_err(anyhow::Error::msg)?;
        privacy.extend(Rules::parse(&self.privacy_of_fields).map_err(anyhow::Error::msg)?);
        let format = match self.format.as_deref() {
            Some(name) => Format::parse(name).map_err(|why| anyhow!("`{name}` {why}"))?,
            None => Format::default(),
        };
        let rows = match (self.exploded, self.properties) {
            (None, None) => Rows::Documents,
            (Some(Exploded { parent, column }), None) => {
                Rows::Exploded { parent: parent.into(), column }
            }
            (None, Some(Properties { parent })) => Rows::Properties { parent: parent.into() },
            (Some(_), Some(_)) => bail!("its rows are elements of a list and properties at once"),
        };
        let revision = Revision::parse(self.revision).map_err(anyhow::Error::msg)?;
        let file_names = match self.folded_names {
            true => FileNames::Folded,
            false => FileNames::Exact,
        };
        let line_limit_bytes = self.line_limit;
        let partition_limits = self.partitions.map(Partitions::limits).transpose();
        let partition_limits = partition_limits.map_err(anyhow::Error::msg)?.unwrap_or_default();
        Ok(Spec {
            name,
            schema,
            partition,
            format,
            privacy,
            rows,
            revision,
            line_limit_bytes,
            file_names,
            partition_limits,
            dedup_window_ms: self.dedup,
        })
    }
}

/// Parses a list without checking its tables.
pub(super) fn parse(json: &[u8]) -> anyhow::Result<Vec<Serialized>> {
    serde_json::from_slice(json).context("the list of tables cannot be read")
}

impl Tables {
    /// Writes the serialised form.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let all: Vec<Serialized> = self.specs().iter().map(Serialized::of).collect();
        serde_json::to_vec(&all).unwrap_or_default()
    }

    /// Reads the serialised form.
    ///
    /// # Errors
    /// The JSON is not such a list, or a table of it is not valid; see [`Tables::new`] also.
    pub fn from_json(json: &[u8]) -> anyhow::Result<Tables> {
        let specs = parse(json)?.into_iter().map(Serialized::spec);
        Tables::new(specs.collect::<anyhow::Result<_>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVSC: &str = r#"{\"type\": \"record\", \"name\": \"t\", \"fields\": [{\"name\": \"day\", \"type\": [\"null\", \"string\"], \"default\": null}, {\"name\": \"list\", \"type\": {\"type\": \"array\", \"items\": \"string\"}}]}"#;

    fn table(name: &str, more: &str) -> String {
        format!(r#"{{"table":"{name}","partition":"d={{day}}","avsc":"{AVSC}"{more}}}"#)
    }

    /// Returns a parent with properties, `b`, and the table of them, `c`.
    fn with_properties(more: &str) -> String {
        let property = r#"{\"type\": \"record\", \"name\": \"p\", \"fields\": [{\"name\": \"key\", \"type\": \"string\"}, {\"name\": \"value\", \"type\": \"string\"}]}"#;
        let list = format!(r#"{{\"type\": \"array\", \"items\": {property}}}"#);
        let parent = format!(
            r#"{{"table":"b","partition":"","avsc":"{{\"type\": \"record\", \"name\": \"t\", \"fields\": [{{\"name\": \"stringProperties\", \"type\": {list}}}]}}"}}"#
        );
        format!("[{parent},{}]", table("c", more))
    }

    fn read(json: &str) -> anyhow::Result<Tables> {
        Tables::from_json(json.as_bytes())
    }

    #[test]
    fn lists_of_all_versions_are_written_again_byte_for_byte() {
        let exploded = r#","exploded":{"parent":"b","column":"list"}"#;
        let rules = r#","privacy":"day=hash""#;
        for json in [
            "[]".to_owned(),
            format!("[{}]", table("a", "")),
            format!("[{},{}]", table("a", rules), table("b", "")),
            format!("[{},{}]", table("a", exploded), table("b", rules)),
            with_properties(r#","properties":{"parent":"b"}"#),
            format!("[{}]", table("a", r#","privacy":"day=hash","revision":2"#)),
            format!("[{}]", table("a", r#","revision":2,"folded_names":true"#)),
            format!("[{}]", table("a", r#","privacy":"day=hash","revision":3"#)),
            format!(
                "[{}]",
                table(
                    "a",
                    r#","privacy":"day=hash","privacy_of_fields":"/x/*/y=drop","revision":4"#
                )
            ),
            format!("[{}]", table("a", r#","revision":4,"line_limit":8388608"#)),
            format!("[{}]", table("a", r#","revision":4"#)),
            format!("[{}]", table("a", r#","format":"delta","revision":4"#)),
            format!("[{}]", table("a", r#","format":"iceberg","revision":4"#)),
            format!("[{}]", table("a", r#","revision":4,"partitions":{"max":10000}"#)),
            format!("[{}]", table("a", r#","revision":4,"dedup":86400000"#)),
            format!(
                "[{}]",
                table(
                    "a",
                    r#","revision":4,"partitions":{"max":7,"window_ms":86400000,"outside":"quarantine"}"#
                )
            ),
        ] {
            let tables = read(&json).unwrap();
            assert_eq!(String::from_utf8(tables.to_json()).unwrap(), json);
        }
    }

    #[test]
    fn lists_that_version_0_1_0_wrote_are_written_again_byte_for_byte() {
        let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/build-0.1.0");
        let mut lists: Vec<String> = ["state", "state-encrypted"]
            .map(|state| std::fs::read_to_string(data.join(state).join("tables.json")).unwrap())
            .into();
        for file in std::fs::read_dir(data.join("lake/_imports")).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                let manifest: serde_json::Value =
                    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
                lists.push(manifest["tables"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(lists.len(), 4);
        for list in lists {
            assert_eq!(String::from_utf8(read(&list).unwrap().to_json()).unwrap(), list);
        }
    }

    #[test]
    fn defaults_may_be_spelled_out_and_are_left_out_again() {
        let spelled = format!("[{}]", table("a", r#","privacy":"","format":"plain""#));
        let short = format!("[{}]", table("a", ""));
        assert_eq!(read(&spelled).unwrap().to_json(), short.into_bytes());
    }

    #[test]
    fn members_of_a_schema_count_where_the_list_says_so() {
        let avsc = |attribute: &str| {
            format!(
                r#"{{\"type\": \"record\", \"name\": \"t\", \"fields\": [{{\"name\": \"day\", \"type\": \"string\", {attribute}}}]}}"#
            )
        };
        let list = |attribute: &str, more: &str| {
            let avsc = avsc(attribute);
            format!(r#"[{{"table":"a","partition":"d={{day}}","avsc":"{avsc}"{more}}}]"#)
        };
        // Builds before wrote no key, whatever the attributes said, if only to their authors.
        for attribute in [r#"\"json\": \"the.day\""#, r#"\"json\": 5, \"from\": \"a file\""#] {
            let earlier = list(attribute, "");
            let tables = read(&earlier).unwrap();
            assert_eq!(tables.specs()[0].schema.fields[0].json_path(), ["day"]);
            assert_eq!(String::from_utf8(tables.to_json()).unwrap(), earlier);
        }
        let now = list(r#"\"json\": \"the.day\""#, r#","members":true"#);
        let tables = read(&now).unwrap();
        assert_eq!(tables.specs()[0].schema.fields[0].json_path(), ["the.day"]);
        assert_eq!(String::from_utf8(tables.to_json()).unwrap(), now);
    }

    #[test]
    fn what_this_version_does_not_know_is_refused_by_name() {
        let refused = |more| format!("{:#}", read(&format!("[{}]", table("a", more))).unwrap_err());
        let format = refused(r#","format":"hudi""#);
        assert!(format.contains("table a") && format.contains("`hudi`"), "{format}");
        assert!(refused(r#","promoted":[]"#).contains("promoted"));
        let both =
            r#","exploded":{"parent":"b","column":"stringProperties"},"properties":{"parent":"b"}"#;
        let both = format!("{:#}", read(&with_properties(both)).unwrap_err());
        assert!(both.contains("table c") && both.contains("at once"), "{both}");
        let revision = refused(r#","revision":5"#);
        assert!(revision.contains("table a") && revision.contains("later version"), "{revision}");
    }
}
