//! Writing files to the directory of a lake: hidden file, sync, name, sync of every directory on the
//! way.
//!
//! A file of a roll is copied from its staging file to a hidden file in its folder (`hidden`). A link
//! would keep the group, the mode and the access list of the state directory, and the lake would have
//! files that those it is shared with cannot read: files are linked only where that makes no difference
//! (`links`).
//!
//! A sync that failed is final for its file. The system says so once; asked again it answers that
//! all is well, with the bytes nowhere. So it is distinguished from other errors
//! ([`StoreError::Unsynced`]), and whoever wrote the staging file writes another.

mod guard;
mod hidden;
mod links;
mod swap;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::{Mutex, MutexGuard};

use self::guard::Guard;
use self::hidden::HiddenFiles;
use self::links::LinkFolders;
use super::{LakeId, StoreError, names};
use crate::table::FileNames;

/// Number of directories that are remembered as synced, a few rolls of the most partitions; past it all are
/// forgotten, and synced again.
const MAX_SYNCED: usize = 40_000;

/// Makes a file's bytes or a directory's names durable. A trait, so that tests can let it fail.
pub(crate) trait Syncs: fmt::Debug + Send + Sync + 'static {
    /// Syncs the file or directory `path`.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// Returns the path by which the file system knows the file `path` of a lake, so that tests have
    /// one that folds names.
    fn stored(&self, path: PathBuf) -> PathBuf {
        path
    }
}

#[derive(Debug)]
struct RealSyncs;

impl Syncs for RealSyncs {
    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// The treatment of a file that has the name already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    Replace,
    CreateNew,
    /// As above, and it stays where its name cannot be made durable: others may have built on it.
    CreateForGood,
}

/// Writer of files into lakes on the local file system.
#[derive(Debug)]
pub(crate) struct Local {
    syncs: Box<dyn Syncs>,
    hidden: HiddenFiles,
    links: LinkFolders,
    /// The file names that the lake tells apart, once that is known.
    file_names: OnceLock<FileNames>,
    /// Directories whose names are synced, from the lake's root down to them.
    known: Mutex<BTreeSet<PathBuf>>,
    guard: Guard,
    /// Held while a file is compared and swapped.
    swapping: Mutex<()>,
}

impl Local {
    pub(super) fn new() -> Local {
        Local::with(Box::new(RealSyncs))
    }

    pub(super) fn with(syncs: Box<dyn Syncs>) -> Local {
        Local {
            syncs,
            hidden: HiddenFiles::default(),
            links: LinkFolders::default(),
            file_names: OnceLock::new(),
            known: Mutex::default(),
            guard: Guard::default(),
            swapping: Mutex::default(),
        }
    }

    /// From now on writes nothing below `root` unless it is the lake `id`.
    pub(super) fn expect(&self, root: &Path, id: &LakeId) {
        self.guard.expect(root, id);
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
        self.create_unknown(&[root.to_owned()])
    }

    /// Creates the directories of the files `names` in the lake at `root`. However many there are, the
    /// directory above them is synced once: file by file it would be once for each. Files of others wait
    /// meanwhile.
    ///
    /// # Errors
    /// A directory cannot be created or synced.
    pub(super) fn create_dirs(&self, root: &Path, names: &[String]) -> Result<(), StoreError> {
        self.guard.check(root)?;
        let targets = names.iter().map(|name| self.syncs.stored(root.join(name)));
        let dirs: Vec<PathBuf> = targets.map(|target| parent(&target).to_owned()).collect();
        self.create_below(root, &dirs, &mut self.known())
    }

    /// Syncs a staging file, before it is read or gets a name in the lake: a page that could not
    /// be written back may be read as a hole later.
    pub(super) fn sync_staged(&self, staged: &Path) -> Result<(), StoreError> {
        match self.syncs.sync(staged) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => Err(failed(staged)(source)),
            Err(source) => Err(StoreError::Unsynced { path: staged.to_owned(), source }),
            Ok(()) => Ok(()),
        }
    }

    /// Removes the hidden files that killed processes have left in the lake.
    pub(super) fn sweep(root: &Path) {
        hidden::sweep(root);
    }

    /// Returns which file names the lake tells apart, which is found out once, by files that are
    /// removed again.
    pub(super) fn file_names(&self, root: &Path) -> Result<FileNames, StoreError> {
        if let Some(known) = self.file_names.get() {
            return Ok(*known);
        }
        let found = self.try_file_names(root)?;
        Ok(*self.file_names.get_or_init(|| found))
    }

    fn try_file_names(&self, root: &Path) -> Result<FileNames, StoreError> {
        // A letter in two cases; one letter as one character and as two.
        for (name, other) in [("case", "CASE"), ("\u{e9}", "e\u{301}")] {
            let file = self.hidden.begin(root, name, &|path| self.syncs.stored(path))?;
            match File::create_new(file.path()) {
                Ok(_) => {}
                // A file system that does not take the letter.
                Err(_) if !name.is_ascii() => return Ok(FileNames::Folded),
                Err(error) => return Err(failed(file.path())(error)),
            }
            let written = file.path().file_name().unwrap_or_default().to_string_lossy();
            let other = written.replace(name, other);
            let same = self.syncs.stored(root.join(other)).symlink_metadata().is_ok();
            if same {
                return Ok(FileNames::Folded);
            }
        }
        Ok(FileNames::Exact)
    }

    /// Puts a staging file in place, over another or not.
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
        if self.syncs.stored(root.join(name)).exists() {
            return self.make_durable(root, name).map(|()| false);
        }
        self.place_file(root, name, staged, Placement::CreateNew)
    }

    /// Copies or links a staging file to a hidden file, and places that.
    fn place_file(
        &self,
        root: &Path,
        name: &str,
        staged: &Path,
        placement: Placement,
    ) -> Result<bool, StoreError> {
        let fill = |hidden: &Path| {
            if self.links.link(staged, hidden) {
                return Ok(());
            }
            self.sync_staged(staged)?;
            let mut rows = File::open(staged).map_err(failed(staged))?;
            // The system shares or copies the blocks itself where it can.
            let copied =
                File::create_new(hidden).and_then(|mut file| io::copy(&mut rows, &mut file));
            copied.map_err(failed(hidden))?;
            self.links.compare(staged, hidden);
            Ok(())
        };
        // A link has the inode of the staging file, and a second sync of that proves nothing.
        let unsynced = |path, source| StoreError::Unsynced { path, source };
        self.place(root, name, placement, fill, unsynced)
    }

    /// Makes the name of a file durable. Its bytes were synced before it got the name.
    pub(super) fn make_durable(&self, root: &Path, name: &str) -> Result<(), StoreError> {
        self.guard.check(root)?;
        let target = self.syncs.stored(root.join(name));
        let dir = target.parent().unwrap_or(root);
        self.create_below(root, &[dir.to_owned()], &mut self.known())?;
        self.syncs.sync(dir).map_err(failed(dir))
    }

    /// Puts bytes in place.
    pub(super) fn put_bytes(
        &self,
        root: &Path,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let fill = |hidden: &Path| write(hidden, bytes);
        self.place(root, name, Placement::Replace, fill, io_error).map(drop)
    }

    /// Puts bytes in place unless there is a file of this name; returns false if there is.
    pub(super) fn create_bytes(
        &self,
        root: &Path,
        name: &str,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        self.create(root, name, bytes, Placement::CreateNew)
    }

    /// Puts bytes in place unless there is a file of this name; returns false if there is. They stay
    /// when their name cannot be made durable, which is an error; the next attempt finds them, and syncs.
    pub(super) fn create_bytes_for_good(
        &self,
        root: &Path,
        name: &str,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        self.create(root, name, bytes, Placement::CreateForGood)
    }

    fn create(
        &self,
        root: &Path,
        name: &str,
        bytes: &[u8],
        placement: Placement,
    ) -> Result<bool, StoreError> {
        self.place(root, name, placement, |hidden| write(hidden, bytes), io_error)
    }

    /// Removes a file, if there is one, and syncs its directory.
    pub(super) fn remove(&self, root: &Path, name: &str) -> Result<(), StoreError> {
        self.guard.check(root)?;
        let target = self.syncs.stored(root.join(name));
        match fs::remove_file(&target) {
            // A process that was killed may have removed it and not synced the directory.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&target)(error)),
            _ if parent(&target).is_dir() => {
                self.syncs.sync(parent(&target)).map_err(failed(parent(&target)))
            }
            _ => Ok(()),
        }
    }

    /// Places a file that `fill` creates under a hidden name; `unsynced` makes the error of a sync.
    /// Returns false if another has its name and may not be replaced.
    fn place(
        &self,
        root: &Path,
        name: &str,
        placement: Placement,
        fill: impl FnOnce(&Path) -> Result<(), StoreError>,
        unsynced: impl Fn(PathBuf, io::Error) -> StoreError,
    ) -> Result<bool, StoreError> {
        self.guard.check(root)?;
        let target = self.syncs.stored(root.join(name));
        let dir = target.parent().unwrap_or(root).to_owned();
        self.create_below(root, std::slice::from_ref(&dir), &mut self.known())?;
        let hidden = self.hidden.begin(root, name, &|path| self.syncs.stored(path))?;
        let path = hidden.path().to_owned();
        // Earlier versions had one hidden name for all attempts, and no list of them.
        let _ = fs::remove_file(target.with_file_name(names::staging(&file_name(&target))));
        let sync =
            |path: &Path| self.syncs.sync(path).map_err(|source| unsynced(path.to_owned(), source));
        fill(&path)?;
        sync(&path)?;
        let placed = match placement {
            Placement::Replace => fs::rename(&path, &target),
            Placement::CreateNew | Placement::CreateForGood => create(&path, &target),
        };
        drop(hidden);
        match placed {
            Err(error)
                if placement != Placement::Replace
                    && error.kind() == io::ErrorKind::AlreadyExists =>
            {
                // Whoever put it may have died before this sync.
                self.syncs.sync(&dir).map_err(failed(&dir))?;
                return Ok(false);
            }
            placed => placed.map_err(failed(&target))?,
        }
        sync(&dir).inspect_err(|_| {
            // The next attempt would find it there and believe it.
            if placement == Placement::CreateNew {
                let _ = fs::remove_file(&target);
            }
        })?;
        Ok(true)
    }

    /// Creates `dirs`, each of which is `root` or below it, and the directories between them, level by
    /// level. One that exists may have been created by a process that was killed before it synced the one
    /// above: so each is synced once a process. The lock is held, so that no other thread believes in a
    /// directory that is not synced yet.
    fn create_below(
        &self,
        root: &Path,
        dirs: &[PathBuf],
        known: &mut BTreeSet<PathBuf>,
    ) -> Result<(), StoreError> {
        let mut by_depth: BTreeMap<usize, BTreeSet<PathBuf>> = BTreeMap::new();
        for dir in dirs.iter().filter(|dir| !known.contains(*dir) || !dir.is_dir()) {
            let between = dir.ancestors().take_while(|dir| *dir != root);
            for dir in between.chain(Some(root).filter(|root| !root.is_dir())) {
                by_depth.entry(dir.components().count()).or_default().insert(dir.to_owned());
            }
        }
        // Once, so that it does not forget those that it makes.
        if known.len() + by_depth.values().map(BTreeSet::len).sum::<usize>() > MAX_SYNCED {
            known.clear();
        }
        for dirs in by_depth.into_values() {
            let unknown = dirs.into_iter().filter(|dir| !known.contains(dir) || !dir.is_dir());
            let unknown: Vec<PathBuf> = unknown.collect();
            unknown.iter().for_each(|dir| {
                known.remove(dir);
            });
            self.create_unknown(&unknown)?;
            known.extend(unknown);
        }
        Ok(())
    }

    /// Creates those of `dirs` that do not exist, and syncs every directory above one of them. What cannot be
    /// made durable is removed again, so that the next attempt does not find it and take it for durable.
    fn create_unknown(&self, dirs: &[PathBuf]) -> Result<(), StoreError> {
        let mut created: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
        let mut done = Ok(());
        for dir in dirs {
            let of_parent = created.entry(parent(dir)).or_default();
            if !dir.is_dir() {
                match fs::create_dir(dir) {
                    Ok(()) => of_parent.push(dir),
                    Err(_) if dir.is_dir() => {}
                    Err(error) => {
                        done = Err(failed(dir)(error));
                        break;
                    }
                }
            }
        }
        for (above, dirs) in created {
            if done.is_ok() {
                done = self.syncs.sync(above).map_err(failed(above));
            }
            if done.is_err() {
                for dir in dirs {
                    let _ = fs::remove_dir(dir);
                }
            }
        }
        done
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.known.lock()
    }
}

/// Gives the file `hidden` the name `target` as well, or instead, unless there is a file of that name.
fn create(hidden: &Path, target: &Path) -> io::Result<()> {
    // A link never takes another file's place.
    match fs::hard_link(hidden, target) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => rename_new(hidden, target),
        linked => linked,
    }
}

/// Renames `hidden` to `target` unless there is a file of that name: FAT and some shares have no links.
fn rename_new(hidden: &Path, target: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        let renamed = renameat_with(CWD, hidden, CWD, target, RenameFlags::NOREPLACE);
        if !matches!(renamed, Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)) {
            return renamed.map_err(io::Error::from);
        }
    }
    // All that is left is to look first. One process writes a name, but for imports on two machines.
    match target.symlink_metadata() {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(hidden, target),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(failed(path))
}

fn io_error(path: PathBuf, source: io::Error) -> StoreError {
    StoreError::Io { path, source }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| io_error(path, source)
}

/// Returns the directory that holds `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}

/// Returns the last part of a path.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
