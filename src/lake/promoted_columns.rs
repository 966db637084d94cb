//! Columns that were promoted, by table: `_tables/<table>/columns/<hash>.json`.
//!
//! ```text
//! {"version":1,"pointer":"/userActions/*/newField","type":"string"}
//! ```
//! An object is created once for a column, by the first node that promotes a field to it, and never replaced:
//! all nodes of a lake give the column one type and the values of one field. The hash is of the names of the
//! columns down to it, in lower case, since readers do not see the case of names.

use futures::{StreamExt as _, TryStreamExt as _, stream};
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
/// Claims that are read at a time.
const AT_ONCE: usize = 16;

/// A column that is to be claimed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnClaim<'a> {
    /// The table.
    pub(crate) table: &'a str,
    /// Names of the columns down to it.
    pub(crate) path: &'a [String],
    /// JSON Pointer of the field.
    pub(crate) pointer: &'a str,
}

/// A look at the claims of a lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// Nobody has claimed the column.
    Free,
    /// The field has it, with this type.
    By(ColumnType),
    /// Another field has it, or it has a type that only later versions know.
    Other,
}

impl ColumnClaim<'_> {
    fn name(&self) -> String {
        let path = self.path.join(".").to_lowercase();
        let hash = format!("{:032x}", xxh3_128(path.as_bytes()));
        ObjectName::PromotedColumn { table: self.table, hash: &hash }.to_string()
    }
}

impl Lake {
    /// Reads the fields of `table` that were promoted, with their types, in the order of their pointers. What
    /// is none of this version's is passed over.
    ///
    /// # Errors
    /// The store; [`StoreError::Denied`] for credentials that may not list.
    pub async fn promoted_columns(
        &self,
        table: &str,
    ) -> Result<Vec<(String, ColumnType)>, StoreError> {
        let folder = names::promoted_columns(table);
        let listed = self.list(&folder).await.map_err(|error| match error {
            StoreError::Object { error, .. } => self.not_answered(&folder, error),
            error => error,
        })?;
        let read = stream::iter(listed.into_iter().take(MOST_READ))
            .map(|object| async move { self.get(&object.name).await })
            .buffer_unordered(AT_ONCE);
        let claims: Vec<_> = read.try_collect().await?;
        let claims = claims.into_iter().flatten().filter_map(|bytes| {
            let claim: PromotedColumn = serde_json::from_slice(&bytes).ok()?;
            let is_known = claim.version <= VERSION;
            let column = ColumnType::parse(&claim.column).filter(|_| is_known)?;
            Some((claim.pointer, column))
        });
        let mut columns: Vec<_> = claims.collect();
        columns.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(columns)
    }

    /// Looks whether the column of a field is claimed. Credentials that may not list are not told of one that
    /// is not.
    ///
    /// # Errors
    /// [`RecordError`]; trying again is safe.
    pub(crate) async fn claimed_column(
        &self,
        claim: ColumnClaim<'_>,
    ) -> Result<Claimed, RecordError> {
        let name = claim.name();
        let bytes = match self.get(&name).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(StoreError::Denied { .. }) => return Ok(Claimed::Free),
            Err(error) => return Err(error.into()),
        };
        let there: PromotedColumn = serde_json::from_slice(&bytes)
            .map_err(|source| RecordError::Malformed { name, source })?;
        let is_of_field = there.version <= VERSION && there.pointer == claim.pointer;
        let column = ColumnType::parse(&there.column).filter(|_| is_of_field);
        Ok(column.map_or(Claimed::Other, Claimed::By))
    }

    /// Claims the column of a field for the type `column`. Returns what is claimed then: another type if
    /// another node was first. [`Claimed::Free`] if its claim was deleted meanwhile.
    ///
    /// # Errors
    /// [`RecordError`]; trying again is safe.
    pub(crate) async fn claim_column(
        &self,
        claim: ColumnClaim<'_>,
        column: ColumnType,
    ) -> Result<Claimed, RecordError> {
        let (pointer, own) = (claim.pointer.to_owned(), column.name().to_owned());
        let record = PromotedColumn { version: VERSION, pointer, column: own };
        let bytes = serde_json::to_vec(&record).unwrap_or_default();
        if self.create_bytes(&claim.name(), bytes).await? {
            return Ok(Claimed::By(column));
        }
        self.claimed_column(claim).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_column_is_of_one_field_and_one_type_however_its_name_is_spelt() {
        let lake = Lake::below(Arc::new(InMemory::new()), "lake");
        let claim = async |pointer: &str, path: &[&str], column| {
            let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
            let claim = ColumnClaim { table: "t", path: &path, pointer };
            let looked = lake.claimed_column(claim).await.unwrap();
            let claimed = lake.claim_column(claim, column).await.unwrap();
            assert!(looked == Claimed::Free || looked == claimed);
            claimed
        };
        let (long, text) = (ColumnType::Long, ColumnType::String);
        assert_eq!(claim("/plan", &["plan"], long).await, Claimed::By(long));
        assert_eq!(claim("/plan", &["plan"], text).await, Claimed::By(long));
        // A field whose column readers would take for the same one.
        assert_eq!(claim("/Plan", &["Plan"], long).await, Claimed::Other);
        assert_eq!(claim("/a-b", &["a_b"], text).await, Claimed::By(text));
        assert_eq!(claim("/a.b", &["a_b"], text).await, Claimed::Other);
        let step = ["userActions", "a_b"];
        assert_eq!(claim("/userActions/*/a.b", &step, text).await, Claimed::By(text));
        let expected = [("/a-b", text), ("/plan", long), ("/userActions/*/a.b", text)];
        let expected = expected.map(|(pointer, column)| (pointer.to_owned(), column));
        assert_eq!(lake.promoted_columns("t").await.unwrap(), expected);
    }
}
