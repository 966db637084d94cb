//! Columns that were promoted, by table: `_tables/<table>/columns/<hash>.json`.
//!
//! ```text
//! {"version":1,"pointer":"/userActions/*/newField","type":"string"}
//! ```
//! An object is created once for a field, by the first node that makes a column of it, and never replaced:
//! all nodes of a lake give the column one type.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::error::RecordError;
use super::names::{self, ObjectName};
use super::{Lake, StoreError};
use crate::schema::ColumnType;

/// Version of the form.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct PromotedColumn {
    version: u32,
    pointer: String,
    #[serde(rename = "type")]
    column: String,
}

/// Most claims of a table that are read.
const MOST_READ: usize = 1_000;

impl Lake {
    /// Reads the fields of `table` that were promoted, with their types, in no order. What is none of this
    /// version's is passed over.
    ///
    /// # Errors
    /// The store.
    pub async fn promoted_columns(
        &self,
        table: &str,
    ) -> Result<Vec<(String, ColumnType)>, StoreError> {
        let mut columns = Vec::new();
        for object in self.list(&names::promoted_columns(table)).await?.iter().take(MOST_READ) {
            let Some(bytes) = self.get(&object.name).await? else { continue };
            let Ok(claim) = serde_json::from_slice::<PromotedColumn>(&bytes) else { continue };
            columns.extend(ColumnType::parse(&claim.column).map(|column| (claim.pointer, column)));
        }
        Ok(columns)
    }

    /// Claims the column of the field at `pointer` for the type `column`. Returns the type that the field
    /// has in this lake, which is another one if another node was first; `None` for a type that only later
    /// versions know, and for two fields of one hash.
    ///
    /// # Errors
    /// [`RecordError`]; trying again is safe.
    pub(crate) async fn claim_column(
        &self,
        table: &str,
        pointer: &str,
        column: ColumnType,
    ) -> Result<Option<ColumnType>, RecordError> {
        let hash = format!("{:032x}", xxh3_128(pointer.as_bytes()));
        let name = ObjectName::PromotedColumn { table, hash: &hash }.to_string();
        let (pointer, own) = (pointer.to_owned(), column.name().to_owned());
        let claim = PromotedColumn { version: VERSION, pointer, column: own };
        let bytes = serde_json::to_vec(&claim).unwrap_or_default();
        if self.create_bytes(&name, bytes).await? {
            return Ok(Some(column));
        }
        let Some(bytes) = self.get(&name).await? else {
            // Deleted meanwhile: the next attempt claims it.
            return Ok(None);
        };
        let malformed = |source| RecordError::Malformed { name: name.clone(), source };
        let there: PromotedColumn = serde_json::from_slice(&bytes).map_err(malformed)?;
        let is_ours = there.version <= VERSION && there.pointer == claim.pointer;
        Ok(is_ours.then(|| ColumnType::parse(&there.column)).flatten())
    }
}
