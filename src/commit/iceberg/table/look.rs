//! A look at a table, as a commit of rolls takes it, without the commit.

use super::{IcebergTable, check};
use crate::commit::Visible;
use crate::commit::delta::LogError;
use crate::commit::iceberg::partition;
use crate::commit::iceberg::rest::protocol::Metadata;
use crate::commit::iceberg::schema::{NAME_MAPPING, Schema};

impl IcebergTable {
    /// Looks whether rolls could be committed, as far as that can be known without a change: that the
    /// catalog lets this program read does not say that it lets it write. Writes nothing but the identity of
    /// a table that has none. Returns a phrase about the table. Blocks.
    ///
    /// # Errors
    /// [`Visible::Refused`] or [`Visible::Unknown`].
    pub(crate) fn look(&self) -> Result<String, Visible> {
        Ok(self.runtime.block_on(self.looked())?)
    }

    async fn looked(&self) -> Result<String, LogError> {
        let (shown, uri) = (&self.shown, self.catalog.uri());
        if let Some(table) = self.latest().await? {
            self.check_columns(&table)?;
            let version = check::version(&table);
            return Ok(format!("{shown} is in the catalog {uri}, at sequence number {version}"));
        }
        self.check_empty().await?;
        let has_namespace = self.catalog.has_namespace().await;
        let has_namespace =
            has_namespace.map_err(|error| self.failed("looking for the namespace of", &error))?;
        let created = if has_namespace { "it" } else { "its namespace and it" };
        Ok(format!("{shown} is not in the catalog {uri} yet: the first commit creates {created}"))
    }

    /// Checks that the table has the columns of the rolls, or can get them, and is partitioned as they are.
    fn check_columns(&self, table: &Metadata) -> Result<(), LogError> {
        let refused = |what: String| self.refused(&what);
        let (schema, _) = table.schema().map_err(refused)?;
        let ours = Schema::of(&self.schema);
        let mapping = table.properties.get(NAME_MAPPING).map(String::as_str);
        schema.check_names(&ours, mapping).map_err(refused)?;
        let evolved = schema.evolved(&ours, table.last_column_id);
        evolved.map_err(|what| self.refused(&format!("cannot take rolls: {what}")))?;
        let fields =
            partition::fields_of(&self.partition, &self.schema, &schema).map_err(refused)?;
        match partition::find(&table.partition_specs, &fields) {
            Some(_) => Ok(()),
            None => Err(self.other_partitions()),
        }
    }
}
