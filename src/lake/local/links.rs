//! Folders of a local lake in which a link to a staging file is like a file that was made there.
//!
//! A file that is made in a folder gets its group, access list and label from the system and the folder; a
//! link to a staging file has those of the staging directory. Where both are the same, a link does as
//! well, and saves a copy and a sync. That is found out by comparing the first copy in a folder with its
//! staging file, and holds while the folder has its owner and mode. Staging files of a directory are alike.
//!
//! It holds as well in another folder beside that one which has the same owner, mode and attributes (default
//! access lists and labels are among these), for staging files that have the same: of a thousand new
//! partitions, one has its first file copied.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Most folders that are remembered; past it all are forgotten, and compared again.
const MAX_FOLDERS: usize = 10_000;
/// Most kinds of folders that are remembered; past it all are forgotten.
const MAX_KINDS: usize = 100;
/// Most bytes of the names of a file's attributes, and of each.
const ATTRIBUTE_BYTES: usize = 4096;

/// The folders in which links do.
#[derive(Debug, Default)]
pub(super) struct LinkFolders {
    folders: Mutex<BTreeMap<PathBuf, Owner>>,
    kinds: Mutex<BTreeSet<Kind>>,
}

/// Folders that give files the same, and staging files that have that already.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    device: u64,
    /// The folder that the folders are in.
    above: PathBuf,
    folder: Access,
    attributes: Attributes,
    staging: PathBuf,
    staged: Access,
    staged_attributes: Attributes,
}

/// Extended attributes, by name.
type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// User, group and mode of a file or folder.
type Access = (u32, u32, u32);

/// User, group and mode of a file, and its inode if it is a folder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
    mode: u32,
    inode: (u64, u64),
}

impl LinkFolders {
    /// Links `staged` to `hidden` if links do in its folder. Returns false if nothing was done.
    pub(super) fn link(&self, staged: &Path, hidden: &Path) -> bool {
        let folder = hidden.parent().unwrap_or(hidden);
        let Ok(found) = folder.metadata().map(|found| owner(&found)) else { return false };
        let compared = self.folders.lock().get(folder).copied();
        let links_do = compared == Some(found) || self.is_like_another(folder, found, staged);
        links_do && fs::hard_link(staged, hidden).is_ok()
    }

    /// Returns whether links do in a folder of the same kind, and remembers that they do in this one.
    fn is_like_another(&self, folder: &Path, found: Owner, staged: &Path) -> bool {
        // Attributes are read once a kind is known.
        if self.kinds.lock().is_empty() {
            return false;
        }
        let Ok(kind) = kind(folder, found, staged) else { return false };
        let is_known = self.kinds.lock().contains(&kind);
        if is_known {
            self.remember(folder, found);
        }
        is_known
    }

    /// Compares `hidden`, which was made in its folder, with the file it was copied from.
    pub(super) fn compare(&self, staged: &Path, hidden: &Path) {
        let folder = hidden.parent().unwrap_or(hidden);
        let Ok(metadata) = folder.metadata() else { return };
        if !are_alike(staged, hidden).unwrap_or(false) {
            return;
        }
        let found = owner(&metadata);
        self.remember(folder, found);
        if let Ok(kind) = kind(folder, found, staged) {
            let mut kinds = self.kinds.lock();
            if kinds.len() >= MAX_KINDS {
                kinds.clear();
            }
            kinds.insert(kind);
        }
    }

    fn remember(&self, folder: &Path, found: Owner) {
        let mut folders = self.folders.lock();
        if folders.len() >= MAX_FOLDERS {
            folders.clear();
        }
        folders.insert(folder.to_owned(), found);
    }
}

impl Owner {
    fn access(self) -> Access {
        (self.user, self.group, self.mode)
    }
}

/// Returns the kind of a folder for a staging file.
fn kind(folder: &Path, found: Owner, staged: &Path) -> io::Result<Kind> {
    Ok(Kind {
        device: found.inode.0,
        above: folder.parent().unwrap_or(folder).to_owned(),
        folder: found.access(),
        attributes: attributes(folder)?,
        staging: staged.parent().unwrap_or(staged).to_owned(),
        staged: owner(&staged.metadata()?).access(),
        staged_attributes: attributes(staged)?,
    })
}

fn owner(file: &fs::Metadata) -> Owner {
    let inode = (file.dev(), file.ino());
    Owner { user: file.uid(), group: file.gid(), mode: file.mode(), inode }
}

/// Returns whether two files have the same owner, mode and attributes, on one file system.
fn are_alike(a: &Path, b: &Path) -> io::Result<bool> {
    let (of_a, of_b) = (owner(&a.metadata()?), owner(&b.metadata()?));
    let same = of_a.inode.0 == of_b.inode.0 && of_a.access() == of_b.access();
    Ok(same && attributes(a)? == attributes(b)?)
}

/// Returns the extended attributes of a file: access lists and labels are among them.
///
/// # Errors
/// There are too many, or the system does not have them so.
#[cfg(target_os = "linux")]
fn attributes(path: &Path) -> io::Result<Attributes> {
    use rustix::io::Errno;
    let mut names = [0; ATTRIBUTE_BYTES];
    let len = match rustix::fs::listxattr(path, &mut names[..]) {
        Err(Errno::NOTSUP) => 0,
        listed => listed?,
    };
    let mut all = BTreeMap::new();
    for name in names.get(..len).unwrap_or_default().split(|byte| *byte == 0) {
        if name.is_empty() {
            continue;
        }
        let mut value = [0; ATTRIBUTE_BYTES];
        let len = rustix::fs::getxattr(path, name, &mut value[..])?;
        all.insert(name.to_vec(), value.get(..len).unwrap_or_default().to_vec());
    }
    Ok(all)
}

#[cfg(not(target_os = "linux"))]
fn attributes(_path: &Path) -> io::Result<Attributes> {
    // Access lists of macOS are no attributes.
    Err(io::ErrorKind::Unsupported.into())
}
