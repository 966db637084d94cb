//! JSON of the protocol, as far as commits need it. What is not named here is not read.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::super::partition::Spec;
use super::super::schema::Schema;

/// The branch that readers read.
pub(in crate::commit::iceberg) const MAIN: &str = "main";

/// The answer of `GET /v1/config`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    pub(super) defaults: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) overrides: BTreeMap<String, String>,
}

/// A table, as it was loaded.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::commit::iceberg) struct LoadedTable {
    pub(in crate::commit::iceberg) metadata: Metadata,
}

/// The answer to a commit. Its metadata has all snapshots, and nothing of it is kept.
#[derive(Debug, Deserialize)]
pub(super) struct Committed {
    pub(super) metadata: BTreeMap<String, IgnoredAny>,
}

/// The metadata of a table.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::commit::iceberg) struct Metadata {
    pub(in crate::commit::iceberg) format_version: i32,
    pub(in crate::commit::iceberg) table_uuid: String,
    pub(in crate::commit::iceberg) location: String,
    #[serde(default)]
    pub(in crate::commit::iceberg) last_sequence_number: i64,
    #[serde(default)]
    pub(in crate::commit::iceberg) last_updated_ms: i64,
    pub(in crate::commit::iceberg) last_column_id: i32,
    #[serde(default)]
    pub(in crate::commit::iceberg) current_schema_id: i32,
    /// As they are: manifests repeat them.
    #[serde(default)]
    pub(in crate::commit::iceberg) schemas: Vec<Json>,
    #[serde(default)]
    pub(in crate::commit::iceberg) default_spec_id: i32,
    #[serde(default)]
    pub(in crate::commit::iceberg) partition_specs: Vec<Spec>,
    #[serde(default)]
    pub(in crate::commit::iceberg) properties: BTreeMap<String, String>,
    #[serde(default)]
    current_snapshot_id: Option<i64>,
    #[serde(default)]
    snapshots: Vec<Snapshot>,
    #[serde(default)]
    refs: BTreeMap<String, Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Reference {
    snapshot_id: i64,
}

impl Metadata {
    /// Returns the id of the snapshot that readers see; none of an empty table.
    pub(in crate::commit::iceberg) fn main_id(&self) -> Option<i64> {
        let main = self.refs.get(MAIN).map(|main| main.snapshot_id);
        // Some write −1 for none.
        main.or(self.current_snapshot_id).filter(|id| *id != -1)
    }

    /// Returns the snapshot that readers see.
    pub(in crate::commit::iceberg) fn main(&self) -> Option<&Snapshot> {
        let id = self.main_id()?;
        self.snapshots.iter().find(|snapshot| snapshot.snapshot_id == id)
    }

    /// Tells whether a snapshot has this id, of those that the catalog was asked for.
    pub(in crate::commit::iceberg) fn has_snapshot(&self, id: i64) -> bool {
        self.snapshots.iter().any(|snapshot| snapshot.snapshot_id == id)
    }

    /// Returns the current schema, and as it is.
    ///
    /// # Errors
    /// The table has no such schema, or one that this version does not read.
    pub(in crate::commit::iceberg) fn schema(&self) -> Result<(Schema, &Json), String> {
        let id = |json: &Json| json.get("schema-id").and_then(Json::as_i64).unwrap_or(0);
        let current = i64::from(self.current_schema_id);
        let Some(json) = self.schemas.iter().find(|json| id(json) == current) else {
            return Err(format!("it has no schema {current}"));
        };
        match serde_json::from_value(json.clone()) {
            Ok(schema) => Ok((schema, json)),
            Err(error) => Err(format!("its schema cannot be read: {error}")),
        }
    }
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::commit::iceberg) struct Snapshot {
    pub(in crate::commit::iceberg) snapshot_id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::commit::iceberg) parent_snapshot_id: Option<i64>,
    #[serde(default)]
    pub(in crate::commit::iceberg) sequence_number: i64,
    pub(in crate::commit::iceberg) timestamp_ms: i64,
    /// Address of the manifest list; version 1 can be without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::commit::iceberg) manifest_list: Option<String>,
    /// `operation`, and totals of the table.
    #[serde(default)]
    pub(in crate::commit::iceberg) summary: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::commit::iceberg) schema_id: Option<i32>,
}

/// A sort order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::commit::iceberg) struct SortOrder {
    order_id: i32,
    fields: Vec<SortField>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SortField {
    transform: String,
    source_id: i32,
    direction: String,
    null_order: String,
}

impl SortOrder {
    /// Returns the order by one column, ascending: what a rewrite of files sorts by. Files of rolls
    /// are in no order, and say so.
    pub(in crate::commit::iceberg) fn by(source_id: i32) -> SortOrder {
        let field = SortField {
            transform: "identity".to_owned(),
            source_id,
            direction: "asc".to_owned(),
            null_order: "nulls-first".to_owned(),
        };
        SortOrder { order_id: 1, fields: vec![field] }
    }
}

/// The request to create a table.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::commit::iceberg) struct CreateTable {
    pub(in crate::commit::iceberg) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commit::iceberg) location: Option<String>,
    pub(in crate::commit::iceberg) schema: Schema,
    pub(in crate::commit::iceberg) partition_spec: Spec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commit::iceberg) write_order: Option<SortOrder>,
    pub(in crate::commit::iceberg) properties: BTreeMap<String, String>,
}

/// The request to change a table.
#[derive(Debug, Serialize)]
pub(super) struct CommitRequest<'a> {
    pub(super) identifier: Identifier<'a>,
    #[serde(flatten)]
    pub(super) commit: &'a Commit,
}

/// The name of a table, with the levels of its namespace.
#[derive(Debug, Serialize)]
pub(super) struct Identifier<'a> {
    pub(super) namespace: &'a [String],
    pub(super) name: &'a str,
}

/// The changes of a commit, with their conditions.
#[derive(Debug, Serialize)]
pub(in crate::commit::iceberg) struct Commit {
    pub(in crate::commit::iceberg) requirements: Vec<Requirement>,
    pub(in crate::commit::iceberg) updates: Vec<Update>,
}

/// A condition of a commit; one that does not hold is a conflict.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[expect(clippy::enum_variant_names, reason = "the names of the protocol")]
pub(in crate::commit::iceberg) enum Requirement {
    AssertTableUuid {
        uuid: String,
    },
    AssertRefSnapshotId {
        #[serde(rename = "ref")]
        name: String,
        /// None: the branch does not exist.
        snapshot_id: Option<i64>,
    },
    AssertCurrentSchemaId {
        current_schema_id: i32,
    },
    AssertLastAssignedFieldId {
        last_assigned_field_id: i32,
    },
    AssertDefaultSpecId {
        default_spec_id: i32,
    },
}

/// A change of a commit; all are made, or none.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(in crate::commit::iceberg) enum Update {
    AddSnapshot {
        snapshot: Snapshot,
    },
    SetSnapshotRef {
        ref_name: String,
        r#type: &'static str,
        snapshot_id: i64,
    },
    SetProperties {
        updates: BTreeMap<String, String>,
    },
    AddSchema {
        schema: Schema,
        last_column_id: i32,
    },
    /// −1: the schema that this commit adds.
    SetCurrentSchema {
        schema_id: i32,
    },
    AddSpec {
        spec: Spec,
    },
    SetLocation {
        location: String,
    },
}

impl Update {
    /// Returns the change that makes `snapshot_id` the snapshot that readers see.
    pub(in crate::commit::iceberg) fn set_main(snapshot_id: i64) -> Update {
        Update::SetSnapshotRef { ref_name: MAIN.to_owned(), r#type: "branch", snapshot_id }
    }
}
