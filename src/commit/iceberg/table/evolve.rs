//! Columns, names and specs that rolls need and the table lacks.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::IcebergTable;
use crate::commit::LogError;
use crate::commit::iceberg::partition::{self, Spec};
use crate::commit::iceberg::rest::protocol::{Commit, Metadata, Requirement, Update};
use crate::commit::iceberg::schema::{NAME_MAPPING, Schema};

/// The parts of a table that files of rolls are added under.
pub(super) struct Fitting<'a> {
    pub(super) schema: Schema,
    /// The same, as the catalog has it.
    pub(super) schema_json: &'a Json,
    /// The spec of the template.
    pub(super) spec: &'a Spec,
    /// The spec without fields, if there are files of no partition.
    pub(super) unpartitioned: Option<&'a Spec>,
}

/// The columns of a table, which rolls fit.
pub(super) struct Columns<'a> {
    pub(super) schema: Schema,
    /// The same, as the catalog has it.
    schema_json: &'a Json,
    /// The columns of the rolls.
    ours: Schema,
    /// The schema with the columns that it lacks, and the last id then; none if it lacks none.
    evolved: Option<(Schema, i32)>,
}

impl IcebergTable {
    /// Returns the parts of the table that files are added under. None after it lacked one, and
    /// got it: the table has to be loaded again.
    pub(super) async fn evolve<'a>(
        &self,
        table: &'a Metadata,
        needs_unpartitioned: bool,
    ) -> Result<Option<Fitting<'a>>, LogError> {
        let Columns { schema, schema_json, ours, evolved } = self.columns(table)?;
        let wanted = evolved.as_ref().map_or(&schema, |(schema, _)| schema);
        let mapping = wanted.mapping(&ours, mapping_of(table));
        let mapping = mapping.map_err(|what| self.refused(&what))?;
        if evolved.is_some() || mapping.is_some() {
            self.set_columns(table, evolved, mapping).await?;
            return Ok(None);
        }
        let spec = self.spec_of(table, &schema)?;
        let unpartitioned = partition::find(&table.partition_specs, &[]);
        if unpartitioned.is_none() && needs_unpartitioned {
            self.add_unpartitioned(table).await?;
            return Ok(None);
        }
        Ok(Some(Fitting { schema, schema_json, spec, unpartitioned }))
    }

    /// Returns the columns of the table, which rolls fit, or can once the table has got what it lacks.
    pub(super) fn columns<'a>(&self, table: &'a Metadata) -> Result<Columns<'a>, LogError> {
        let refused = |what: String| self.refused(&what);
        let (schema, schema_json) = table.schema().map_err(refused)?;
        let ours = Schema::of(&self.schema.get());
        schema.check_names(&ours, mapping_of(table)).map_err(refused)?;
        let evolved = self.evolved(table, &schema, &ours)?;
        Ok(Columns { schema, schema_json, ours, evolved })
    }

    /// Returns the schema of the table with the columns of `ours` that it lacks, and the last id then; none
    /// if it lacks none.
    pub(super) fn evolved(
        &self,
        table: &Metadata,
        schema: &Schema,
        ours: &Schema,
    ) -> Result<Option<(Schema, i32)>, LogError> {
        let evolved = schema.evolved(ours, table.last_column_id);
        evolved.map_err(|what| self.refused(&format!("cannot take rolls: {what}")))
    }

    /// Returns the spec of the table by which the rolls are partitioned.
    pub(super) fn spec_of<'a>(
        &self,
        table: &'a Metadata,
        schema: &Schema,
    ) -> Result<&'a Spec, LogError> {
        let fields = partition::fields_of(&self.partition, &self.schema.get(), schema);
        let fields = fields.map_err(|what| self.refused(&what))?;
        partition::find(&table.partition_specs, &fields).ok_or_else(|| {
            self.refused(&format!(
                "is not partitioned by `{}`, as the rolls are. Give the rolls another table",
                self.partition.as_str()
            ))
        })
    }

    /// Adds columns and their names.
    async fn set_columns(
        &self,
        table: &Metadata,
        evolved: Option<(Schema, i32)>,
        mapping: Option<String>,
    ) -> Result<(), LogError> {
        let mut updates = Vec::new();
        if let Some((schema, last_column_id)) = evolved {
            updates.push(Update::AddSchema { schema, last_column_id });
            updates.push(Update::SetCurrentSchema { schema_id: -1 });
        }
        if let Some(mapping) = mapping {
            let updated = BTreeMap::from([(NAME_MAPPING.to_owned(), mapping)]);
            updates.push(Update::SetProperties { updates: updated });
        }
        let requirements = vec![
            Requirement::AssertTableUuid { uuid: table.table_uuid.clone() },
            Requirement::AssertCurrentSchemaId { current_schema_id: table.current_schema_id },
            Requirement::AssertLastAssignedFieldId { last_assigned_field_id: table.last_column_id },
        ];
        self.change("adding columns to", table, &Commit { requirements, updates }).await?;
        tracing::info!(table = &*self.name, "added columns, or their names, to {}", self.shown);
        Ok(())
    }

    /// Adds the spec of files that are in no partition.
    async fn add_unpartitioned(&self, table: &Metadata) -> Result<(), LogError> {
        let last = table.partition_specs.iter().map(|spec| spec.spec_id).max().unwrap_or(0);
        let spec = Spec { spec_id: last.saturating_add(1), fields: Vec::new() };
        let requirements = vec![
            Requirement::AssertTableUuid { uuid: table.table_uuid.clone() },
            Requirement::AssertDefaultSpecId { default_spec_id: table.default_spec_id },
        ];
        let commit = Commit { requirements, updates: vec![Update::AddSpec { spec }] };
        self.change("adding a spec without partitions to", table, &commit).await
    }
}

/// Returns the name mapping of a table.
fn mapping_of(table: &Metadata) -> Option<&str> {
    table.properties.get(NAME_MAPPING).map(String::as_str)
}
