//! Trying a lake out: an object is asked for, created, created again, replaced, replaced by an old
//! version, read back and deleted; names that differ in case are tried.
//!
//! A process that is killed meanwhile leaves its object, under a name that no other process has. So each
//! trial deletes the objects of trials long before it, some at a time.

use std::future::ready;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode, UpdateVersion};

use super::failure::{describe, is_not_implemented};
use super::names::{ObjectName, PROBES};
use super::objects::Creation;
use super::{Lake, Location, StoreError};
use crate::table::FileNames;

/// Age of an object of another trial, by the store's clock, that nobody is trying with any more.
const LEFT_AFTER: Duration = Duration::from_secs(60 * 60);
/// Most objects of other trials that a trial deletes.
const MOST_DELETED: usize = 100;

/// A lake that rows cannot land in.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The lake could not be asked for an object.
    #[error("cannot look into the lake")]
    Look {
        /// The store's error.
        source: StoreError,
    },
    /// The object could not be written.
    #[error("cannot write to the lake")]
    Write {
        /// The store's error.
        source: StoreError,
    },
    /// The object could not be read back.
    #[error("cannot read from the lake{}", .left.as_ref().map(Left::text).unwrap_or_default())]
    Read {
        /// The store's error.
        source: StoreError,
        /// The object, if it could not be deleted either.
        left: Option<Left>,
    },
    /// Other bytes came back.
    #[error("{lake} gave back something else than was written")]
    Different {
        /// The lake.
        lake: String,
    },
    /// The store overwrote an object that was to be created only if there was none.
    #[error(
        "{lake} ignores the condition that an object is not there yet (If-None-Match), and overwrites \
         it: set aws_conditional_put = \"disabled\" under [storage]; names are looked up before they \
         are put then"
    )]
    Overwrites {
        /// The lake.
        lake: String,
    },
    /// Nothing tells whether an object is there.
    #[error(
        "{lake} neither takes the condition that an object is not there yet (If-None-Match) nor tells \
         these credentials whether it is: give them s3:ListBucket on the bucket"
    )]
    Blind {
        /// The lake.
        lake: String,
    },
}

/// The capabilities of a lake in which rows can land.
#[derive(Debug)]
pub struct Probe {
    /// The store tells of a name that is not there that it is not there. Without that, after a crash
    /// the rows of a roll may be put a second time in vain, and `verify`, which lists, cannot run.
    pub tells_absent: bool,
    /// The store creates an object on the condition that there is none. Without that, names are looked
    /// up before they are put.
    pub is_conditional: bool,
    /// The way in which the store replaces an object, which the fences of nodes are for.
    pub replacement: Replacement,
    /// The object of the trial, if it could not be deleted.
    pub left: Option<Left>,
}

/// The way in which a lake replaces an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// On the condition that it is the one that was read.
    Conditional,
    /// Without a condition, or whatever the condition. Objects are read before.
    Unconditional,
    /// The credentials or the bucket do not allow it. Copies of a state directory are noticed by
    /// receipts alone.
    Denied,
}

/// An object that could not be deleted.
#[derive(Debug)]
pub struct Left {
    /// Its name, relative to the lake.
    pub name: String,
    /// The reason.
    pub why: String,
}

impl Left {
    fn text(&self) -> String {
        format!(", and cannot delete there: {} stays ({})", self.name, self.why)
    }
}

impl Lake {
    /// Returns which file names the lake tells apart. A directory is tried once, by hidden files that
    /// are removed again; a bucket tells all apart, and is not asked. Blocks.
    ///
    /// # Errors
    /// [`StoreError`]: the directory cannot be written. Trying again is safe.
    pub fn file_names(&self) -> Result<FileNames, StoreError> {
        match &self.location {
            Location::Local(root) => self.local.file_names(root),
            _ => Ok(FileNames::Exact),
        }
    }

    /// Tries the lake out with an object whose name holds `token`, which no other probe has.
    ///
    /// # Errors
    /// [`ProbeError`]. Nothing is left behind, but for what the answer names.
    pub async fn probe(&self, token: &str) -> Result<Probe, ProbeError> {
        let (name, lake) = (ObjectName::Probe { token }.to_string(), self.location.to_string());
        let tells_absent = match self.head(&name).await {
            Ok(_) => true,
            Err(StoreError::Denied { .. }) => false,
            Err(source) => return Err(ProbeError::Look { source }),
        };
        let sent = format!("written by sessionlake check as {name}\n").into_bytes();
        let other = format!("written again by sessionlake check as {name}\n").into_bytes();
        let created = self.try_creation(&name, &sent).await;
        let creation = created.map_err(|source| ProbeError::Write { source })?;
        let replaced = self.try_replacement(&name, &sent, &other).await;
        let read = self.get(&name).await;
        self.delete_left(&name).await;
        // Deleted before the reading is looked at, so that nothing is left behind.
        let left = self.delete_probe(&name).await;
        let read = match read {
            Ok(read) => read,
            Err(source) => return Err(ProbeError::Read { source, left }),
        };
        if read.is_none_or(|read| read != sent && read != other) {
            return Err(ProbeError::Different { lake });
        }
        let replacement = replaced.map_err(|source| ProbeError::Write { source })?;
        match creation {
            Trial::Overwritten => Err(ProbeError::Overwrites { lake }),
            Trial::Unsupported if !tells_absent => Err(ProbeError::Blind { lake }),
            trial => {
                let is_conditional = matches!(trial, Trial::Conditional);
                Ok(Probe { tells_absent, is_conditional, replacement, left })
            }
        }
    }

    /// Creates an object twice.
    async fn try_creation(&self, name: &str, bytes: &[u8]) -> Result<Trial, StoreError> {
        if let Location::Local(_) = self.location {
            // Creation is by the system's own calls there; the client removes what it makes.
            let put = self.store.put(&self.path(name)?, bytes.to_vec().into()).await;
            return put.map(|_| Trial::Conditional).map_err(|error| self.failed(error));
        }
        let create = || self.create(name, bytes.to_vec().into());
        match create().await? {
            Creation::Unsupported => {
                let put = self.store.put(&self.path(name)?, bytes.to_vec().into()).await;
                put.map(|_| Trial::Unsupported).map_err(|error| self.failed(error))
            }
            // Exists: the answer was lost and the client has asked again.
            Creation::Created | Creation::Exists => Ok(match create().await? {
                Creation::Exists => Trial::Conditional,
                Creation::Created => Trial::Overwritten,
                Creation::Unsupported => Trial::Unsupported,
            }),
        }
    }

    /// Replaces the object, which has `bytes`, by `other` on the condition that it is as it was read; and
    /// then again by `bytes` on the same condition, which does not hold any more. One that cannot be read
    /// is not tried.
    async fn try_replacement(
        &self,
        name: &str,
        bytes: &[u8],
        other: &[u8],
    ) -> Result<Replacement, StoreError> {
        if let Location::Local(_) = self.location {
            return Ok(Replacement::Conditional);
        }
        let path = self.path(name)?;
        let Ok(found) = self.store.head(&path).await else { return Ok(Replacement::Conditional) };
        let version = UpdateVersion { e_tag: found.e_tag, version: found.version };
        let mode = match self.takes_conditions() {
            true => PutMode::Update(version),
            false => PutMode::Overwrite,
        };
        let mut put = self.store.put_opts(&path, other.to_vec().into(), mode.clone().into()).await;
        if put.as_ref().is_err_and(is_not_implemented) {
            self.warn_of_swaps();
            put = self.store.put(&path, other.to_vec().into()).await;
        }
        // A store that ignores the condition would let two processes have one fence.
        if put.is_ok()
            && self.takes_conditions()
            && self.store.put_opts(&path, bytes.to_vec().into(), mode.into()).await.is_ok()
        {
            self.warn_of_swaps();
        }
        let kind = match self.takes_conditions() {
            true => Replacement::Conditional,
            false => Replacement::Unconditional,
        };
        match put {
            // Precondition: the answer was lost and the client has asked again.
            Ok(_) | Err(object_store::Error::Precondition { .. }) => Ok(kind),
            Err(object_store::Error::PermissionDenied { .. }) => Ok(Replacement::Denied),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Deletes objects that trials long before the one of `own` have left. What cannot be deleted, or not
    /// be found out, stays.
    async fn delete_left(&self, own: &str) {
        let (Ok(own), Ok(folder)) = (self.path(own), self.path(PROBES)) else { return };
        let Ok(own) = self.store.head(&own).await else { return };
        let Ok(age) = chrono::TimeDelta::from_std(LEFT_AFTER) else { return };
        let is_left = |other: &ObjectMeta| other.last_modified + age < own.last_modified;
        let listed = self.store.list(Some(&folder)).try_filter(|other| ready(is_left(other)));
        let listed: Vec<_> = listed.take(MOST_DELETED).collect().await;
        for left in listed.into_iter().flatten() {
            if self.store.delete(&left.location).await.is_err() {
                return;
            }
        }
    }

    async fn delete_probe(&self, name: &str) -> Option<Left> {
        let path = self.path(name).ok()?;
        let error = self.store.delete(&path).await.err()?;
        Some(Left { name: name.to_owned(), why: describe(&error) })
    }
}

/// The outcome of creating an object twice.
enum Trial {
    /// The second time it was there.
    Conditional,
    /// The second time it was overwritten.
    Overwritten,
    /// The store takes no condition, or is configured not to be asked.
    Unsupported,
}
