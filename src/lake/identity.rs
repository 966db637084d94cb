//! The identity of a lake: `_lake.json` at its root, created by the first process that lands in the
//! lake, and never replaced.
//!
//! ```text
//! {"version":1,"id":"9f86d081884c7d659a2feaa0c55ad015"}
//! ```
//! The identity tells a lake from an empty directory on which nothing is mounted, from another
//! bucket, and from a lake that was deleted and begun anew. A lake of a build that knew no identity
//! gets one when something lands in it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::RecordError;
use super::names::IDENTITY;
use super::{Lake, Location, StoreError};

/// Version of the form of `_lake.json`.
const VERSION: u32 = 1;

/// The random identifier of a lake: 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LakeId(String);

impl LakeId {
    /// Makes the identifier of a new lake.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> Result<LakeId, StoreError> {
        random_hex().map(LakeId)
    }
}

impl fmt::Display for LakeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The content of `_lake.json`.
#[derive(Serialize, Deserialize)]
struct IdentityRecord {
    version: u32,
    id: LakeId,
}

/// Returns 32 random hexadecimal digits.
///
/// # Errors
/// The system has no random numbers.
pub fn random_hex() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Io {
        path: "random numbers".into(),
        source: std::io::Error::other(error),
    })?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// Parses the content of `_lake.json`.
///
/// # Errors
/// [`RecordError::Malformed`], [`RecordError::Newer`].
pub(super) fn parse(bytes: &[u8]) -> Result<LakeId, RecordError> {
    let malformed = |source| RecordError::Malformed { name: IDENTITY.to_owned(), source };
    let record: IdentityRecord = serde_json::from_slice(bytes).map_err(malformed)?;
    if record.version > VERSION {
        return Err(RecordError::Newer { name: IDENTITY.to_owned() });
    }
    Ok(record.id)
}

impl Lake {
    /// Returns the identity of the lake, or `None` when it has none yet.
    ///
    /// # Errors
    /// [`RecordError`].
    pub async fn identity(&self) -> Result<Option<LakeId>, RecordError> {
        self.get(IDENTITY).await?.map(|bytes| parse(&bytes)).transpose()
    }

    /// Returns the identity of a lake that is a directory, without a runtime. A bucket has none here.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn directory_identity(&self) -> Result<Option<LakeId>, RecordError> {
        let Location::Local(root) = &self.location else { return Ok(None) };
        let path = root.join(IDENTITY);
        match std::fs::read(&path) {
            Ok(bytes) => parse(&bytes).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { path, source }.into()),
        }
    }

    /// Returns the identity of the lake, durably there. A lake that has none gets `new`, unless
    /// another process is first.
    ///
    /// # Errors
    /// [`RecordError`]; trying again is safe.
    pub async fn identify(&self, new: &LakeId) -> Result<LakeId, RecordError> {
        match self.identity().await {
            // Credentials that may not list are denied what is not there. Nothing is replaced.
            Ok(None) | Err(RecordError::Store(StoreError::Denied { .. })) => {
                let record = IdentityRecord { version: VERSION, id: new.clone() };
                let mut text = serde_json::to_vec(&record)
                    .map_err(|source| RecordError::Malformed { name: IDENTITY.into(), source })?;
                text.push(b'\n');
                self.create_bytes(IDENTITY, text).await?;
            }
            Ok(Some(_)) => {}
            Err(error) => return Err(error),
        }
        // Read also after it was created: a store without conditions lets two processes do so.
        let Some(id) = self.identity().await? else {
            return Err(StoreError::Io {
                path: IDENTITY.into(),
                source: std::io::Error::other("it was put, and is not there"),
            }
            .into());
        };
        // The process that created it may have died before its directory was synced.
        self.make_durable(IDENTITY).await?;
        Ok(id)
    }

    /// From now on, writes to the directory of the lake look whether it is still the one of `id`. A
    /// bucket is asked by whoever seals a roll.
    pub fn expect(&self, id: &LakeId) {
        if let Location::Local(root) = &self.location {
            self.local.expect(root, id);
        }
    }
}
