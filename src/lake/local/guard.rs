//! The guard of a lake's directory: it is still the lake that was opened.
//!
//! A file system that is unmounted leaves an empty directory on the root disk. Before a file gets a
//! name, the identity of the lake is looked at: the same file as before, or one of the same content,
//! as after the file system is mounted again.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use parking_lot::Mutex;

use super::StoreError;
use crate::lake::identity::{self, LakeId};
use crate::lake::names::IDENTITY;

/// The identity that is expected, and its file as it was seen last.
#[derive(Debug)]
struct Expected {
    id: LakeId,
    /// Device and inode.
    seen: Option<(u64, u64)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Guard(Mutex<Option<Expected>>);

impl Guard {
    /// Expects `id` from now on.
    pub(super) fn expect(&self, root: &Path, id: &LakeId) {
        *self.0.lock() = Some(Expected { id: id.clone(), seen: inode(root) });
    }

    /// Checks that `root` is the directory of the expected lake, if one is expected.
    ///
    /// # Errors
    /// [`StoreError::Gone`].
    pub(super) fn check(&self, root: &Path) -> Result<(), StoreError> {
        let mut expected = self.0.lock();
        let Some(expected) = &mut *expected else { return Ok(()) };
        let now = inode(root);
        if now.is_some() && now == expected.seen {
            return Ok(());
        }
        let gone = |why: String| StoreError::Gone {
            directory: root.to_owned(),
            id: expected.id.to_string(),
            why,
        };
        let bytes = match fs::read(root.join(IDENTITY)) {
            Ok(bytes) => bytes,
            Err(error) => return Err(gone(format!("{IDENTITY} cannot be read ({error})"))),
        };
        match identity::parse(&bytes) {
            Ok(id) if id == expected.id => {
                expected.seen = now;
                Ok(())
            }
            Ok(other) => Err(gone(format!("{IDENTITY} says that it is {other}"))),
            Err(error) => Err(gone(error.to_string())),
        }
    }
}

fn inode(root: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(root.join(IDENTITY)).ok()?;
    Some((found.dev(), found.ino()))
}
