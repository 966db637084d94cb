//! Writing files to the directory of a lake: hidden name, sync, rename, sync of every directory on
//! the way.
//!
//! A sync that failed is final for its file. The system says so once; asked again it answers that
//! all is well, with the bytes nowhere. So it is distinguished from other errors
//! ([`StoreError::Unsynced`]), and whoever wrote the staging file writes another. What was copied
//! here is written anew by every attempt, and needs no such care.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};

use super::{StoreError, names};

/// Number of directories that are remembered as synced; past it all are forgotten, and synced again.
const MAX_SYNCED: usize = 10_000;

/// Makes a file's bytes or a directory's names durable. A trait, so that tests can let it fail.
pub(crate) trait Syncs: fmt::Debug + Send + Sync + 'static {
    /// Syncs the file or directory `path`.
    fn sync(&self, path: &Path) -> io::Result<()>;
}

#[derive(Debug)]
struct RealSyncs;

impl Syncs for RealSyncs {
    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// The inode of a hidden name.
#[derive(Clone, Copy)]
enum Inode {
    /// The staging file's: a second attempt would sync the same one.
    Shared,
    /// One of its own: a second attempt writes another.
    Own,
}

/// The treatment of a file that has the name already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    Replace,
    CreateNew,
}

/// Writer of files into lakes on the local file system.
#[derive(Debug)]
pub(crate) struct Local {
    syncs: Box<dyn Syncs>,
    /// Directories whose names are synced, from the lake's root down to them.
    known: Mutex<BTreeSet<PathBuf>>,
}

impl Local {
    pub(super) fn new() -> Local {
        Local::with(Box::new(RealSyncs))
    }

    pub(super) fn with(syncs: Box<dyn Syncs>) -> Local {
        Local { syncs, known: Mutex::default() }
    }

    /// Creates the lake's directory and those above it that do not exist, and syncs every directory
    /// that got an entry.
    pub(super) fn create_root(&self, root: &Path) -> Result<(), StoreError> {
        if root.is_dir() {
            // A start that was killed may have created it and not synced it. Where the parent may
            // not be opened, another user created it, long before.
            let _ = self.syncs.sync(parent(root));
            return Ok(());
        }
        if let Some(above) = root.parent().filter(|above| !above.as_os_str().is_empty()) {
            self.create_root(above)?;
        }
        self.create_dir(root)
    }

    /// Syncs a staging file, before it is read or gets a name in the lake: a page that could not
    /// be written back may be read as a hole later.
    pub(super) fn sync_staged(&self, staged: &Path) -> Result<(), StoreError> {
        match self.syncs.sync(staged) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => Err(failed(staged)(source)),
            Err(source) => Err(unsynced(staged)(source)),
            Ok(()) => Ok(()),
        }
    }

    /// Puts a staging file in place, over another or not. On the same file system its bytes are not
    /// copied: the hidden name is a second link to them.
    pub(super) fn put_file(
        &self,
        root: &Path,
        name: &str,
        staged: &Path,
    ) -> Result<(), StoreError> {
        self.place_file(root, name, staged, Placement::Replace).map(drop)
    }

    /// Puts a staging file in place unless there is a file of this name, which is made durable.
    /// Returns false if there is one.
    pub(super) fn create_file(
        &self,
        root: &Path,
        name: &str,
        staged: &Path,
    ) -> Result<bool, StoreError> {
        if root.join(name).exists() {
            return self.make_durable(root, name).map(|()| false);
        }
        self.place_file(root, name, staged, Placement::CreateNew)
    }

    /// Links or copies a staging file to its hidden name, and places it.
    fn place_file(
        &self,
        root: &Path,
        name: &str,
        staged: &Path,
        placement: Placement,
    ) -> Result<bool, StoreError> {
        // One process at a time writes a name: what it left under the hidden name when it was killed,
        // which may be large, is replaced.
        let hidden = hidden_name(&root.join(name));
        self.place(root, name, placement, &hidden, |hidden| {
            if fs::hard_link(staged, hidden).is_ok() {
                return Ok(Inode::Shared);
            }
            self.sync_staged(staged)?;
            fs::copy(staged, hidden).map_err(failed(hidden))?;
            Ok(Inode::Own)
        })
    }

    /// Makes the name of a file durable. Its bytes were synced before it got the name.
    pub(super) fn make_durable(&self, root: &Path, name: &str) -> Result<(), StoreError> {
        let target = root.join(name);
        let dir = target.parent().unwrap_or(root);
        self.create_below(root, dir, &mut self.known())?;
        self.syncs.sync(dir).map_err(failed(dir))
    }

    /// Puts bytes in place.
    pub(super) fn put_bytes(
        &self,
        root: &Path,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let hidden = hidden_name(&root.join(name));
        self.place(root, name, Placement::Replace, &hidden, |hidden| write(hidden, bytes)).map(drop)
    }

    /// Puts bytes in place unless there is a file of this name; returns false if there is.
    pub(super) fn create_bytes(
        &self,
        root: &Path,
        name: &str,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let hidden = own_hidden_name(&root.join(name))?;
        self.place(root, name, Placement::CreateNew, &hidden, |hidden| write(hidden, bytes))
    }

    /// Removes a file, if there is one, and syncs its directory.
    pub(super) fn remove(&self, root: &Path, name: &str) -> Result<(), StoreError> {
        let target = root.join(name);
        match fs::remove_file(&target) {
            // A process that was killed may have removed it and not synced the directory.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&target)(error)),
            _ if parent(&target).is_dir() => {
                self.syncs.sync(parent(&target)).map_err(failed(parent(&target)))
            }
            _ => Ok(()),
        }
    }

    /// Places a file that `fill` writes under a hidden name. Returns false if another has its name
    /// and may not be replaced.
    fn place(
        &self,
        root: &Path,
        name: &str,
        placement: Placement,
        hidden: &Path,
        fill: impl FnOnce(&Path) -> Result<Inode, StoreError>,
    ) -> Result<bool, StoreError> {
        let target = root.join(name);
        let dir = target.parent().unwrap_or(root).to_owned();
        self.create_below(root, &dir, &mut self.known())?;
        // An attempt before a crash may have left a part of its bytes under this name.
        match fs::remove_file(hidden) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(hidden)(error));
            }
            _ => {}
        }
        let sync = |inode: Inode, path: &Path| {
            self.syncs.sync(path).map_err(|source| match inode {
                Inode::Shared => unsynced(path)(source),
                Inode::Own => failed(path)(source),
            })
        };
        let filled = fill(hidden).and_then(|inode| sync(inode, hidden).map(|()| inode));
        if filled.is_err() && placement == Placement::CreateNew {
            // Nobody may come back to this name.
            let _ = fs::remove_file(hidden);
        }
        let inode = filled?;
        let placed = match placement {
            Placement::Replace => fs::rename(hidden, &target),
            // A link never takes another file's place. Where there are no links, locks have to do.
            Placement::CreateNew => {
                fs::hard_link(hidden, &target).or_else(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => Err(error),
                    _ if target.exists() => Err(io::ErrorKind::AlreadyExists.into()),
                    _ => fs::rename(hidden, &target),
                })
            }
        };
        // Also renaming onto another link of the same file leaves both names.
        let _ = fs::remove_file(hidden);
        match placed {
            Err(error)
                if placement == Placement::CreateNew
                    && error.kind() == io::ErrorKind::AlreadyExists =>
            {
                // Whoever put it may have died before this sync.
                self.syncs.sync(&dir).map_err(failed(&dir))?;
                return Ok(false);
            }
            placed => placed.map_err(failed(&target))?,
        }
        sync(inode, &dir).inspect_err(|_| {
            // The next attempt would find it there and believe it.
            if placement == Placement::CreateNew {
                let _ = fs::remove_file(&target);
            }
        })?;
        Ok(true)
    }

    /// Creates `dir`, which is `root` or below it, and the directories between them. One that exists
    /// may have been created by a process that was killed before it synced the one above: so each is
    /// synced once a process. The lock is held, so that no other thread believes in a directory that
    /// is not synced yet.
    fn create_below(
        &self,
        root: &Path,
        dir: &Path,
        known: &mut BTreeSet<PathBuf>,
    ) -> Result<(), StoreError> {
        let exists = dir.is_dir();
        if exists && (dir == root || known.contains(dir)) {
            return Ok(());
        }
        if dir != root
            && let Some(above) = dir.parent()
        {
            self.create_below(root, above, known)?;
        }
        if exists {
            self.syncs.sync(parent(dir)).map_err(failed(parent(dir)))?;
        } else {
            self.create_dir(dir)?;
        }
        if known.len() >= MAX_SYNCED {
            known.clear();
        }
        known.insert(dir.to_owned());
        Ok(())
    }

    /// Creates one directory. When it cannot be made durable it is removed again, so that the next
    /// attempt does not find it and take it for durable.
    fn create_dir(&self, dir: &Path) -> Result<(), StoreError> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(dir)(error));
            }
            _ => {}
        }
        self.syncs.sync(parent(dir)).map_err(|error| {
            let _ = fs::remove_dir(dir);
            failed(parent(dir))(error)
        })
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.known.lock()
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<Inode, StoreError> {
    let written = File::create(path).and_then(|mut file| file.write_all(bytes));
    written.map(|()| Inode::Own).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}

fn unsynced(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Unsynced { path, source }
}

/// Returns the directory that holds `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}

/// Returns the hidden name of `target`. An attempt after a crash has the same, so that nothing is
/// left for good.
fn hidden_name(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(names::staging(&name))
}

/// Returns a hidden name that no other attempt has. Of several that create one file each links
/// its own bytes: by a shared hidden name one would link another's, and both believe it is
/// theirs.
fn own_hidden_name(target: &Path) -> Result<PathBuf, StoreError> {
    let random = getrandom::u64().map_err(|e| failed(target)(io::Error::other(e)))?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    Ok(target.with_file_name(names::staging(&format!("{name}.{random:016x}"))))
}

#[cfg(test)]
mod tests;
