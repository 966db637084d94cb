//! A new table.

use std::collections::BTreeMap;

use super::{IcebergTable, METADATA};
use crate::commit::LogError;
use crate::commit::iceberg::LAKE;
use crate::commit::iceberg::partition::{Spec, fields_of};
use crate::commit::iceberg::rest::RestError;
use crate::commit::iceberg::rest::protocol::{
    Commit, CreateTable, MAIN, Metadata, Requirement, SortOrder, Update,
};
use crate::commit::iceberg::schema::{NAME_MAPPING, Schema};
use crate::table::Format;

impl IcebergTable {
    /// Creates the table, unless another process is first. The next load tells what it has become: ids of
    /// columns are the catalog's to give.
    pub(super) async fn create(&self) -> Result<(), LogError> {
        let refused = |why: String| self.refused(&format!("cannot be created: {why}"));
        Format::Iceberg.check(&self.schema.get(), &self.partition).map_err(refused)?;
        let schema = Schema::of(&self.schema.get());
        let fields = fields_of(&self.partition, &self.schema.get(), &schema).map_err(refused)?;
        self.check_empty().await?;
        let time = self.partition.time_columns().next();
        let time = time.and_then(|at| schema.id_of(&self.schema.get().fields.get(at)?.name));
        let properties = [
            ("format-version", "2".to_owned()),
            (NAME_MAPPING, schema.new_mapping()),
            // A version of the metadata is written with each commit.
            ("write.metadata.delete-after-commit.enabled", "true".to_owned()),
            ("write.metadata.previous-versions-max", "100".to_owned()),
        ];
        let mut properties = BTreeMap::from(properties.map(|(key, value)| (key.to_owned(), value)));
        properties.extend(self.lake_id().await?.map(|id| (LAKE.to_owned(), id.to_string())));
        let mut table = CreateTable {
            name: self.name.to_string(),
            location: Some(self.addresses.of_name(&self.name)),
            schema,
            partition_spec: Spec { spec_id: 0, fields },
            write_order: time.map(SortOrder::by),
            properties,
        };
        // Those who may not create namespaces may have one.
        let namespace = match self.catalog.create_namespace().await {
            Ok(()) => String::new(),
            Err(RestError::Refused(why)) => format!(" (of the namespace, {why})"),
            Err(error) => return Err(self.failed("creating the namespace of", &error)),
        };
        let mut created = self.catalog.create(&table).await;
        if matches!(created, Err(RestError::Refused(_))) {
            // Some have tables at addresses of their own only (SeaweedFS), and let them move.
            table.location = None;
            created = self.catalog.create(&table).await;
        }
        match created {
            Ok(_) => tracing::info!(table = &*self.name, "created {}", self.shown),
            // It is there, by this request or another.
            Err(RestError::Conflict(_)) => {}
            Err(error) => {
                return Err(match self.failed("creating", &error) {
                    LogError::Refused(why) => LogError::Refused(why + &namespace),
                    other => other,
                });
            }
        }
        Ok(())
    }

    /// Moves a table that has nothing yet to its folder in the lake, unless it is there. Returns whether
    /// it has to be loaded again.
    ///
    /// Other writers put their manifests at the location, and commits read the list of all of them from
    /// the lake.
    pub(super) async fn relocate(&self, table: &Metadata) -> Result<bool, LogError> {
        let location = table.location.trim_end_matches('/');
        let is_there = self.addresses.name_of(location) == Some(&*self.name);
        if is_there || table.main_id().is_some() {
            return Ok(false);
        }
        let location = self.addresses.of_name(&self.name);
        tracing::info!(
            table = &*self.name,
            from = table.location,
            to = location,
            "moving {}",
            self.shown
        );
        let requirements = vec![
            Requirement::AssertTableUuid { uuid: table.table_uuid.clone() },
            Requirement::AssertRefSnapshotId { name: MAIN.to_owned(), snapshot_id: None },
        ];
        let commit = Commit { requirements, updates: vec![Update::SetLocation { location }] };
        self.change("moving to its folder in the lake", table, &commit).await?;
        Ok(true)
    }

    /// Checks that no manifests of another table are in the folder of the new one: its rolls would be
    /// added again, with rows that somebody has deleted from it. That is meant where the table of before was
    /// forgotten.
    pub(super) async fn check_empty(&self) -> Result<(), LogError> {
        let forgotten = self.known.is_forgotten().await;
        if forgotten.map_err(|error| LogError::of_unknown(&self.shown, error))? {
            return Ok(());
        }
        let folder = format!("{}/{METADATA}", self.name);
        let listed = self.lake.list(&folder).await.map_err(|error| self.away(&error))?;
        match listed.iter().find(|object| object.name.ends_with(".avro")) {
            None => Ok(()),
            // Of a process that was first, and has created the table meanwhile.
            Some(_) if self.latest().await?.is_some() => Ok(()),
            Some(object) => Err(self.refused(&format!(
                "is not in the catalog, and {} is of a table that was: register that with the last file \
                 of its metadata, or have a new one get all rolls: `sessionlake table create --anew`",
                object.name
            ))),
        }
    }
}
