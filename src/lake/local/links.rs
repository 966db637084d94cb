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
    /// The folder that the folders are in.
    above: PathBuf,
    folder: Access,
    staging: PathBuf,
    staged: Access,
}

/// What decides who may use a file or folder, and what is made in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Access {
    device: u64,
    user: u32,
    group: u32,
    mode: u32,
    /// Extended attributes, by name: access lists and labels are among them.
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

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
        let kind = kind(folder, staged);
        let is_known = kind.is_ok_and(|kind| self.kinds.lock().contains(&kind));
        if is_known {
            self.remember(folder, found);
        }
        is_known
    }

    /// Compares `hidden`, which was made in its folder, with the file it was copied from.
    pub(super) fn compare(&self, staged: &Path, hidden: &Path) {
        let folder = hidden.parent().unwrap_or(hidden);
        let Ok(metadata) = folder.metadata() else { return };
        // Files of two file systems are not alike either.
        let (Ok(of_staged), Ok(of_hidden)) = (access(staged), access(hidden)) else { return };
        if of_staged != of_hidden {
            return;
        }
        self.remember(folder, owner(&metadata));
        if let Ok(kind) = kind(folder, staged) {
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

/// Returns the kind of a folder for a staging file.
fn kind(folder: &Path, staged: &Path) -> io::Result<Kind> {
    let above = |path: &Path| path.parent().unwrap_or(path).to_owned();
    let (of_folder, of_staged) = (access(folder)?, access(staged)?);
    Ok(Kind { above: above(folder), folder: of_folder, staging: above(staged), staged: of_staged })
}

fn access(path: &Path) -> io::Result<Access> {
    let of = path.metadata()?;
    let (device, user, group, mode) = (of.dev(), of.uid(), of.gid(), of.mode());
    Ok(Access { device, user, group, mode, attributes: attributes(path)? })
}

fn owner(file: &fs::Metadata) -> Owner {
    let inode = (file.dev(), file.ino());
    Owner { user: file.uid(), group: file.gid(), mode: file.mode(), inode }
}

/// Returns the extended attributes of a file: access lists and labels are among them.
///
/// # Errors
/// There are too many, or the system does not have them so.
#[cfg(target_os = "linux")]
fn attributes(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
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
fn attributes(_path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    // Access lists of macOS are no attributes.
    Err(io::ErrorKind::Unsupported.into())
}
