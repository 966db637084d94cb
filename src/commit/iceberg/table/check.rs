//! What is asked of a table before anything is added to it, and its marks.

use super::IcebergTable;
use crate::commit::LogError;
use crate::commit::iceberg::rest::protocol::Metadata;
use crate::commit::iceberg::{LAKE, mark_of, node_of};
use crate::lake::{LakeId, RecordError, StoreError};
use crate::record::Roll;

/// The version of the table format that is written.
const FORMAT_VERSION: i32 = 2;

impl IcebergTable {
    /// Checks that the table is the one that was seen before, and can take rolls.
    pub(super) async fn check(&self, table: &Metadata) -> Result<(), LogError> {
        self.check_lake(table).await?;
        let found = self.known.found(&table.table_uuid).await;
        found.map_err(|error| LogError::of_unknown(&self.shown, error))?;
        if table.format_version != FORMAT_VERSION {
            return Err(self.refused(&format!(
                "has version {} of the table format, and this version writes {FORMAT_VERSION}: give the \
                 rolls another table",
                table.format_version
            )));
        }
        self.check_marks(table)
    }

    /// Checks that the table has kept the marks that its latest snapshot was committed with. One that lost
    /// them would get rolls again.
    fn check_marks(&self, table: &Metadata) -> Result<(), LogError> {
        let Some(main) = table.main() else { return Ok(()) };
        for (key, text) in &main.summary {
            let Some(node) = node_of(key) else { continue };
            let Ok(roll) = text.parse().map(Roll) else { continue };
            if self.property(table, node)?.is_none_or(|mark| mark < roll) {
                return Err(self.refused(&format!(
                    "has lost its property {key}, by which it is known which rolls it has, and they would be \
                     added again. If somebody has changed it, set it to {roll}, and look for others that \
                     are gone (`sessionlake verify`); if the catalog does not keep properties, take \
                     another one"
                )));
            }
        }
        Ok(())
    }

    /// Checks that the table has rolls of this lake alone, before it is remembered as the lake's. Two lakes
    /// may be configured for one name in a catalog, and one lake may be within the other.
    async fn check_lake(&self, table: &Metadata) -> Result<(), LogError> {
        let Some(theirs) = table.properties.get(LAKE) else { return Ok(()) };
        let ours = match self.lake_id().await? {
            Some(ours) if ours.to_string() == *theirs => return Ok(()),
            // Credentials that may not read it cannot compare it.
            None => return Ok(()),
            Some(ours) => ours,
        };
        let theirs = crate::error_text::shown(theirs);
        Err(self.refused(&format!(
            "has rolls of another lake: its {LAKE} is {theirs}, and {} has the id {ours}. Give one of the \
             lakes another namespace under [catalog], or its table another name",
            self.lake.location()
        )))
    }

    /// Returns the id of the lake; none of one that has none yet, or does not tell it.
    pub(super) async fn lake_id(&self) -> Result<Option<&LakeId>, LogError> {
        let read = || async {
            match self.lake.identity().await {
                Ok(Some(id)) => Ok(id),
                Ok(None) | Err(RecordError::Store(StoreError::Denied { .. })) => Err(None),
                Err(error) => Err(Some(error)),
            }
        };
        match self.lake_id.get_or_try_init(read).await {
            Ok(id) => Ok(Some(id)),
            Err(None) => Ok(None),
            Err(Some(RecordError::Store(error))) => Err(self.away(&error)),
            Err(Some(error)) => Err(self.refused(&format!("is in a lake of which {error}"))),
        }
    }

    /// Returns the last roll of `node` that the table has. The property counts, since snapshots expire.
    pub(super) fn marked(&self, table: &Metadata, node: &str) -> Result<Option<Roll>, LogError> {
        let mark = self.property(table, node)?;
        let noted = self.known.marked(node, mark);
        noted.map_err(|error| LogError::of_unknown(&self.shown, error))?;
        Ok(mark)
    }

    fn property(&self, table: &Metadata, node: &str) -> Result<Option<Roll>, LogError> {
        let key = mark_of(node);
        let Some(text) = table.properties.get(&key) else { return Ok(None) };
        let wrong = |_| {
            let text = crate::error_text::shown(text);
            self.refused(&format!("has {key} = {text}, which is no roll: mend the property"))
        };
        Ok(Some(Roll(text.parse().map_err(wrong)?)))
    }
}

/// Returns the version of a state: its last sequence number.
pub(super) fn version(table: &Metadata) -> u64 {
    u64::try_from(table.last_sequence_number).unwrap_or(0)
}

/// Tells whether two states are one, as far as commits are about.
pub(super) fn is_same(a: &Metadata, b: &Metadata) -> bool {
    let of = |table: &Metadata| {
        let ids = (table.current_schema_id, table.last_column_id, table.partition_specs.len());
        (table.main_id(), table.last_sequence_number, table.last_updated_ms, ids)
    };
    of(a) == of(b) && a.properties == b.properties
}
