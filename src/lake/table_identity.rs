//! The identity of a table with a log: its format and its id, `_tables/<table>/identity.json`.
//!
//! ```text
//! {"version": 1, "format": "delta", "id": "0198…"}
//! ```
//! It is created once, by the first process that has seen the table or created it, and is the memory of
//! all processes: a table that was deleted and made again under the same name has another id, and would
//! get every roll again. It is replaced only when somebody asks for that ([`Lake::forget_table_id`]); an
//! `id` of `null` is that of whichever table is seen next.
//!
//! It can be read by its name: credentials that may not list the lake, and land plain files, find out by
//! it that the table has a log.

use serde::{Deserialize, Serialize};

use super::error::RecordError;
use super::failure::is_denied;
use super::{Lake, StoreError, names};
use crate::table::Format;

/// Version of the form.
const VERSION: u32 = 1;

/// The identity of a table with a log. Later versions may have more in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableIdentity {
    version: u32,
    /// The format.
    #[serde(with = "format")]
    pub(crate) format: Format,
    /// The id that the log, or the catalog, has given the table; none if the next one that is seen is to
    /// be taken.
    pub(crate) id: Option<String>,
}

impl TableIdentity {
    fn new(format: Format, id: Option<&str>) -> TableIdentity {
        TableIdentity { version: VERSION, format, id: id.map(str::to_owned) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// A format by its name. One that this version does not know is an error.
mod format {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::table::Format;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(super) fn serialize<S: Serializer>(format: &Format, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(format.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Format, D::Error> {
        let name = String::deserialize(from)?;
        Format::parse(&name).map_err(|why| D::Error::custom(format!("`{name}` {why}")))
    }
}

impl Lake {
    /// Reads the identity of `table`. Returns `None` if there is none, also if the store does not tell
    /// whether there is one.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(crate) async fn table_identity(
        &self,
        table: &str,
    ) -> Result<Option<TableIdentity>, RecordError> {
        let name = names::table_identity(table);
        let bytes = match self.get(&name).await {
            // One that is there can be read.
            Ok(None) | Err(StoreError::Denied { .. }) => return Ok(None),
            Ok(Some(bytes)) => bytes,
            Err(error) => return Err(error.into()),
        };
        let malformed = |source| RecordError::Malformed { name: name.clone(), source };
        let identity: TableIdentity = serde_json::from_slice(&bytes).map_err(malformed)?;
        if identity.version > VERSION {
            return Err(RecordError::Newer { name });
        }
        Ok(Some(identity))
    }

    /// Creates the identity of `table`. Returns false if there is one, which may be of an earlier attempt
    /// whose answer was lost, and `None` if the store does not let it be created.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub(crate) async fn create_table_identity(
        &self,
        table: &str,
        format: Format,
        id: &str,
    ) -> Result<Option<bool>, StoreError> {
        let bytes = TableIdentity::new(format, Some(id)).to_bytes();
        match self.create_bytes(&names::table_identity(table), bytes).await {
            Ok(created) => Ok(Some(created)),
            Err(StoreError::Object { error, .. } | StoreError::Denied { error, .. })
                if is_denied(&error) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces the identity of `table` by one without an id, so that the next table that is seen is
    /// taken.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub(crate) async fn forget_table_id(
        &self,
        table: &str,
        format: Format,
    ) -> Result<(), StoreError> {
        let bytes = TableIdentity::new(format, None).to_bytes();
        self.put_bytes(&names::table_identity(table), bytes).await
    }

    /// Replaces an identity without an id by one with `id`. Two processes that see one table write the
    /// same.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub(crate) async fn set_table_id(
        &self,
        table: &str,
        format: Format,
        id: &str,
    ) -> Result<(), StoreError> {
        let bytes = TableIdentity::new(format, Some(id)).to_bytes();
        self.put_bytes(&names::table_identity(table), bytes).await
    }
}
