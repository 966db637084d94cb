//! Fences: which state directory lands the rolls of a node, and how far it has come.
//!
//! ```text
//! _nodes/<node>.json      {"version":1,"epoch":"…","last_sealed":7,"token":"…"}
//! ```
//! The protocol is `publish`'s. Here a fence is read, created if there is none, and swapped if it is
//! the one that was read. A token is of one write alone, so that a write whose answer was lost is
//! recognised. Stores without conditional puts are asked before, which leaves the time between asking
//! and putting open.

use std::fmt;
use std::sync::atomic::Ordering;

use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::error::RecordError;
use super::failure::is_not_implemented;
use super::objects::blocking;
use super::{Lake, Location, StoreError, names};

/// Version of the form of fences.
const VERSION: u32 = 1;

/// The content of a fence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    version: u32,
    /// Random at every start of the node.
    pub epoch: String,
    /// The last roll that was sealed; 0 if none was.
    pub last_sealed: u64,
    /// Random at every write.
    pub token: String,
}

impl Fence {
    /// Makes the content of a fence.
    #[must_use]
    pub fn new(epoch: String, last_sealed: u64, token: String) -> Fence {
        Fence { version: VERSION, epoch, last_sealed, token }
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}, last sealed roll {}", self.epoch, self.last_sealed)
    }
}

/// A fence as it stands in the lake.
#[derive(Clone, Debug)]
pub struct StandingFence {
    /// Its content.
    pub fence: Fence,
    bytes: Vec<u8>,
    version: UpdateVersion,
}

/// The outcome of replacing a fence.
#[derive(Debug)]
pub enum Swap {
    /// It is replaced.
    Done,
    /// Another stands there now, which may be of an earlier attempt whose answer was lost.
    Moved,
    /// These credentials, or the bucket, do not let an object be replaced; the store's error.
    Denied(StoreError),
}

impl Lake {
    /// Reads the fence of `node`, or `None` when there is none.
    ///
    /// # Errors
    /// [`RecordError`].
    pub async fn fence(&self, node: &str) -> Result<Option<StandingFence>, RecordError> {
        let name = names::fence(node);
        let found = match self.store.get(&self.path(&name)?).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|error| self.not_answered(&name, error))?,
        };
        let version =
            UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let bytes = found.bytes().await.map_err(|error| self.failed(error))?.to_vec();
        let malformed = |source| RecordError::Malformed { name: name.clone(), source };
        let fence: Fence = serde_json::from_slice(&bytes).map_err(malformed)?;
        if fence.version > VERSION {
            return Err(RecordError::Newer { name });
        }
        Ok(Some(StandingFence { fence, bytes, version }))
    }

    /// Tells whether a fence with one of `epochs` stands in the lake.
    ///
    /// # Errors
    /// [`RecordError`].
    pub async fn has_fence(&self, epochs: &[String]) -> Result<bool, RecordError> {
        for object in self.list(names::NODES).await? {
            let Some(bytes) = self.get(&object.name).await? else { continue };
            if has_epoch(&bytes, epochs) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells whether a fence with one of `epochs` stands in a lake that is a directory, without a
    /// runtime. A bucket has none here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn directory_has_fence(&self, epochs: &[String]) -> Result<bool, StoreError> {
        let Location::Local(root) = &self.location else { return Ok(false) };
        let path = root.join(names::NODES);
        let failed = |source| StoreError::Io { path: path.clone(), source };
        let entries = match std::fs::read_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let bytes = std::fs::read(entry.path()).map_err(failed)?;
            if has_epoch(&bytes, epochs) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Creates the fence of `node`. Returns false if there is one, which may be of an earlier attempt
    /// whose answer was lost.
    ///
    /// # Errors
    /// [`StoreError`]; whether it is created is unknown then.
    pub async fn create_fence(&self, node: &str, fence: &Fence) -> Result<bool, StoreError> {
        self.create_bytes(&names::fence(node), content(fence)).await
    }

    /// Replaces the fence `standing` of `node` by `fence`.
    ///
    /// # Errors
    /// [`StoreError`]; whether it is replaced is unknown then.
    pub async fn swap_fence(
        &self,
        node: &str,
        standing: &StandingFence,
        fence: &Fence,
    ) -> Result<Swap, StoreError> {
        let (name, bytes) = (names::fence(node), content(fence));
        if let Location::Local(root) = &self.location {
            let (local, root, before) = (self.local.clone(), root.clone(), standing.bytes.clone());
            let swap = move || local.swap_bytes(&root, &name, &before, &bytes);
            return blocking(swap).await.map(|done| if done { Swap::Done } else { Swap::Moved });
        }
        let path = self.path(&name)?;
        let versioned = standing.version.e_tag.is_some() || standing.version.version.is_some();
        if versioned && self.takes_conditions() {
            let mode = PutMode::Update(standing.version.clone());
            match self.store.put_opts(&path, PutPayload::from(bytes.clone()), mode.into()).await {
                Ok(_) => return Ok(Swap::Done),
                Err(
                    object_store::Error::Precondition { .. }
                    | object_store::Error::AlreadyExists { .. },
                ) => return Ok(Swap::Moved),
                Err(error) if is_not_implemented(&error) => self.warn_of_swaps(),
                Err(error) => return self.not_swapped(error),
            }
        }
        if self.get(&name).await?.as_deref() != Some(&*standing.bytes) {
            return Ok(Swap::Moved);
        }
        match self.store.put(&path, PutPayload::from(bytes)).await {
            Ok(_) => Ok(Swap::Done),
            Err(error) => self.not_swapped(error),
        }
    }

    fn not_swapped(&self, error: object_store::Error) -> Result<Swap, StoreError> {
        let denied = matches!(error, object_store::Error::PermissionDenied { .. });
        let error = self.failed(error);
        if denied { Ok(Swap::Denied(error)) } else { Err(error) }
    }

    /// Remembers that the store does not replace objects conditionally, and logs it once.
    pub(super) fn warn_of_swaps(&self) {
        if !self.no_conditional_swaps.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} does not replace objects conditionally (If-Match): the fence of a node is read \
                 before it is replaced, and two processes that start or seal a roll as one node \
                 within the same moment may both believe that it is theirs",
                self.location
            );
        }
    }

    /// Tells whether the store takes conditions on puts, as far as it has said.
    #[must_use]
    pub fn takes_conditions(&self) -> bool {
        let flags = [&self.no_conditional_puts, &self.no_conditional_swaps];
        !flags.iter().any(|flag| flag.load(Ordering::Relaxed))
    }
}

/// Tells whether `bytes` are a fence with one of `epochs`.
fn has_epoch(bytes: &[u8], epochs: &[String]) -> bool {
    serde_json::from_slice(bytes).is_ok_and(|fence: Fence| epochs.contains(&fence.epoch))
}

fn content(fence: &Fence) -> Vec<u8> {
    // A struct of texts and numbers is always written.
    let mut text = serde_json::to_vec(fence).unwrap_or_default();
    text.push(b'\n');
    text
}
