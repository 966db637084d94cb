//! The directory of a journal, locked and held open.
//!
//! A directory that is deleted, unmounted or replaced under a running process takes its names along,
//! and the process notices nothing by itself: its open files can be written and synced as before, and
//! a second process can lock the file that has the lock's name now. So the writer asks after every
//! sync, before it answers, whether its segment and the lock still have their names. A body is then
//! acknowledged only if, after it was synced, it could be found by the next start, and nobody else
//! had the lock. That costs four calls of a microsecond in all: the sync takes a hundred times that.
//!
//! Removals in between the question and the answer are those of an acknowledged body.

use std::io;
use std::path::{Path, PathBuf};

use super::JournalError;
use super::disk::{Disk, DiskDir, DiskFile, DiskLock};

/// The file in a journal's directory that one process at a time has locked.
pub(crate) const LOCK: &str = "lock";

/// A directory that this process has locked.
pub(crate) struct Directory {
    path: PathBuf,
    lock_path: PathBuf,
    /// Released when dropped.
    lock: Box<dyn DiskLock>,
    names: Box<dyn DiskDir>,
    /// Set where the file system gives an open file and its name different numbers: nothing can be
    /// told from them.
    is_unidentified: bool,
}

impl Directory {
    /// Makes the directory if it is missing, and locks it without waiting.
    ///
    /// # Errors
    /// [`JournalError::Locked`], [`JournalError::Io`].
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Directory, JournalError> {
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { what, path, source }
        };
        disk.create_dir(path).map_err(io("create", path))?;
        let lock_path = path.join(LOCK);
        let Some(lock) = disk.lock(&lock_path).map_err(io("lock", &lock_path))? else {
            return Err(JournalError::Locked { path: lock_path });
        };
        let names = disk.open_dir(path).map_err(io("open", path))?;
        let is_unidentified = !lock.is_at(&lock_path).map_err(io("look for", &lock_path))?;
        if is_unidentified {
            tracing::warn!(
                dir = %path.display(),
                "this file system does not tell one file from another: the loss of the state \
                 directory would not be noticed"
            );
        }
        let path = path.to_owned();
        Ok(Directory { path, lock_path, lock, names, is_unidentified })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the names of the directory durable. Opens no file.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.names.sync().map_err(|source| JournalError::Io {
            what: "sync",
            path: self.path.clone(),
            source,
        })
    }

    /// Checks that the lock still has its name, so that nobody else can have taken it.
    ///
    /// # Errors
    /// [`JournalError::Gone`]; [`JournalError::Io`] if that cannot be found out.
    pub(crate) fn check(&self) -> Result<(), JournalError> {
        self.named(&self.lock_path, |path| self.lock.is_at(path))
    }

    /// Checks that `file` and the lock still have their names.
    ///
    /// # Errors
    /// [`JournalError::Gone`]; [`JournalError::Io`] if that cannot be found out.
    pub(crate) fn check_with(&self, file: &dyn DiskFile, path: &Path) -> Result<(), JournalError> {
        self.named(path, |path| file.is_at(path))?;
        self.check()
    }

    fn named(
        &self,
        path: &Path,
        is_at: impl FnOnce(&Path) -> io::Result<bool>,
    ) -> Result<(), JournalError> {
        if self.is_unidentified {
            return Ok(());
        }
        match is_at(path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(JournalError::Gone { path: path.to_owned() }),
            Err(source) => {
                Err(JournalError::Io { what: "look for", path: path.to_owned(), source })
            }
        }
    }
}
