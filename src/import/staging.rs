//! The staging directory of an import, and the lock that keeps a second process of this machine from
//! the same import. Other machines are kept from it by the seals in the lake ([`super::manifest`]).
//!
//! ```text
//! <lake>/.staging-<node>                      of a lake on disk: finished files are put in place by a link
//! <tmp>/sessionlake-<user>/.staging-<lake>-<node>
//!                                             of a bucket; <lake> is a hash of its location
//! ```
//! Beside each is its lock, `….lock`, which is created first and removed last. The files of a killed
//! process are of no use: the next import into the lake removes them at its start.
//!
//! The temporary directory is everybody's. What is made there is in a directory of this user's own, which
//! nobody else may enter; if somebody else has made one of that name, or a link, it is left alone, and
//! one with a random end is made and found again by its owner. Locks are opened without following links.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use xxhash_rust::xxh3::xxh3_64;

use crate::lake::Location;

/// Tries to take a lock. Another import that begins may hold it for a moment, to see whether it is
/// taken.
const TRIES: u32 = 5;
/// Fails on a link instead of following it.
const NO_LINKS: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// A staging directory and its lock. Dropped, it is removed with all that is in it.
#[derive(Debug)]
pub(super) struct Staging {
    /// Directory for the engine, which creates it.
    pub(super) files: PathBuf,
    private: PathBuf,
    lock_path: PathBuf,
    _lock: File,
    /// The directory of this user's own that it is in, which goes with the last of them.
    own: Option<PathBuf>,
}

impl Staging {
    /// Returns the directory for files that go with the import.
    pub(super) fn private(&self) -> &Path {
        &self.private
    }

    /// Takes the lock of the import `node`.
    ///
    /// # Errors
    /// Another process has the lock; the directory cannot be created.
    pub(super) fn take(lake: &Location, node: &str) -> anyhow::Result<Staging> {
        Staging::take_below(&std::env::temp_dir(), lake, node)
    }

    fn take_below(temporary: &Path, lake: &Location, node: &str) -> anyhow::Result<Staging> {
        let mut tries = 0;
        let staging = loop {
            // Another import that ends removes the directory.
            let (base, prefix) = place(temporary, lake)?;
            let own = (!matches!(lake, Location::Local(_))).then(|| base.clone());
            match Staging::lock(&base, &format!("{prefix}{node}"))? {
                Some(mut staging) => {
                    staging.own = own;
                    break staging;
                }
                None if tries == TRIES => {
                    bail!("another process is importing the same files into this lake ({node})")
                }
                None => std::thread::sleep(PAUSE),
            }
            tries += 1;
        };
        // Rows on their way into a bucket are nobody's on this machine.
        let private = &staging.private;
        let made = remove(private)
            .and_then(|()| std::fs::DirBuilder::new().mode(0o700).create(private))
            .with_context(|| format!("cannot make {}", private.display()));
        made?;
        Ok(staging)
    }

    /// Removes the files that killed imports into this lake have left on this machine, whose lock no
    /// process has. What cannot be removed stays: it takes space, and nothing else.
    pub(super) fn sweep(lake: &Location) {
        let Ok((base, prefix)) = place(&std::env::temp_dir(), lake) else { return };
        for entry in std::fs::read_dir(&base).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".lock"));
            if let Some(name) = name.filter(|name| name.starts_with(&prefix)) {
                drop(Staging::lock(&base, name));
            }
        }
        if !matches!(lake, Location::Local(_)) {
            // Fails if there is another import.
            let _ = std::fs::remove_dir(base);
        }
    }

    /// Takes the lock. Returns `None` if another process has it.
    fn lock(base: &Path, name: &str) -> anyhow::Result<Option<Staging>> {
        let private = base.join(name);
        let lock_path = base.join(format!("{name}.lock"));
        let failed = || format!("cannot lock {}", lock_path.display());
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600).custom_flags(NO_LINKS);
        let lock = match options.open(&lock_path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(failed)?,
        };
        match lock.try_lock() {
            // Not a file that its last owner has removed since it was opened.
            Ok(()) if same_file(&lock, &lock_path) => {
                let files = private.join("files");
                Ok(Some(Staging { files, private, lock_path, _lock: lock, own: None }))
            }
            Ok(()) | Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error).with_context(failed),
        }
    }
}

/// Returns the directory of the staging directories of imports into the lake on this machine, and the
/// beginning of their names.
fn place(temporary: &Path, lake: &Location) -> anyhow::Result<(PathBuf, String)> {
    match lake {
        // On the same file system, so that finished files are put in place without a copy.
        Location::Local(root) => Ok((root.clone(), ".staging-".to_owned())),
        bucket => {
            let place = xxh3_64(bucket.to_string().as_bytes());
            let own = own_directory(temporary)
                .with_context(|| format!("cannot make a directory in {}", temporary.display()))?;
            Ok((own, format!(".staging-{place:016x}-")))
        }
    }
}

/// Returns the directory of this user's own in `temporary`, which is made if there is none.
fn own_directory(temporary: &Path) -> std::io::Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let usual = format!("sessionlake-{user}");
    let random = format!("{usual}-");
    let entries = std::fs::read_dir(temporary).into_iter().flatten().flatten();
    let mut own: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name == usual || name.starts_with(&random))
        })
        .map(|entry| entry.path())
        .filter(|path| is_private(path, user))
        .collect();
    own.sort();
    if let Some(first) = own.into_iter().next() {
        return Ok(first);
    }
    let make = |name: &str| {
        let path = temporary.join(name);
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            // Another import of this user may have made it since.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_private(&path, user) => {
                Ok(path)
            }
            made => made.map(|()| path),
        }
    };
    match make(&usual) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let number = getrandom::u64().map_err(std::io::Error::other)?;
            make(&format!("{random}{number:016x}"))
        }
        made => made,
    }
}

/// Returns whether `path` is a directory, and no link to one, that only `user` may enter.
fn is_private(path: &Path, user: u32) -> bool {
    path.symlink_metadata()
        .is_ok_and(|found| found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0)
}

fn remove(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn same_file(open: &File, path: &Path) -> bool {
    let id = |file: &std::fs::Metadata| (file.dev(), file.ino());
    matches!((open.metadata(), path.symlink_metadata()), (Ok(a), Ok(b)) if id(&a) == id(&b))
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = remove(&self.private);
        let _ = std::fs::remove_file(&self.lock_path);
        if let Some(own) = &self.own {
            // Fails if there is another import.
            let _ = std::fs::remove_dir(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_lock_is_of_a_lake_and_an_import() {
        let bucket = |bucket: &str| Location::S3 { bucket: bucket.into(), prefix: "p".into() };
        let node = format!("import-{}", std::process::id());
        let one = Staging::take(&bucket("one"), &node).unwrap();
        let _two = Staging::take(&bucket("two"), &node).unwrap();
        let _other = Staging::take(&bucket("one"), &format!("{node}-2")).unwrap();
        let error = Staging::take(&bucket("one"), &node).unwrap_err();
        assert!(error.to_string().starts_with("another process"), "{error}");
        let mode = one.private.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(one);
        Staging::take(&bucket("one"), &node).unwrap();
    }

    #[test]
    fn what_killed_imports_left_is_removed_and_what_runs_is_not() {
        let lake = tempfile::tempdir().unwrap();
        let place = Location::Local(lake.path().to_owned());
        let running = Staging::take(&place, "running").unwrap();
        std::fs::create_dir_all(lake.path().join(".staging-stdin-1/files")).unwrap();
        std::fs::write(lake.path().join(".staging-stdin-1.lock"), "").unwrap();
        std::fs::create_dir(lake.path().join("user_sessions")).unwrap();
        Staging::sweep(&place);
        drop(Staging::take(&place, "another").unwrap());
        let names = std::fs::read_dir(lake.path()).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".staging-running", ".staging-running.lock", "user_sessions"]);
        drop(running);
    }

    #[test]
    fn what_others_have_put_into_the_temporary_directory_stops_nobody_and_is_not_followed() {
        let (tmp, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bucket = Location::S3 { bucket: "b".into(), prefix: "p".into() };
        let user = rustix::process::geteuid().as_raw();
        // The name that is tried first is a link to where a file is wanted.
        let usual = tmp.path().join(format!("sessionlake-{user}"));
        std::os::unix::fs::symlink(elsewhere.path(), &usual).unwrap();
        let staging = Staging::take_below(tmp.path(), &bucket, "import-1").unwrap();
        let own = staging.own.clone().unwrap();
        assert!(own != usual && is_private(&own, user), "{own:?}");
        // The second import of this user finds it.
        let error = Staging::take_below(tmp.path(), &bucket, "import-1").unwrap_err();
        assert!(error.to_string().starts_with("another process"), "{error}");
        let other = Staging::take_below(tmp.path(), &bucket, "import-2").unwrap();
        assert_eq!(other.own.as_ref(), Some(&own));
        drop((staging, other));
        assert!(!own.exists(), "it goes with the last");
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);

        // One that others may enter is none of ours.
        std::fs::remove_file(&usual).unwrap();
        std::fs::create_dir(&usual).unwrap();
        std::fs::set_permissions(&usual, std::fs::Permissions::from_mode(0o777)).unwrap();
        let staging = Staging::take_below(tmp.path(), &bucket, "import-1").unwrap();
        assert_ne!(staging.own.as_ref(), Some(&usual));
    }

    #[test]
    fn a_lock_that_is_a_link_is_not_followed() {
        let (lake, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = elsewhere.path().join("made-as-root");
        std::os::unix::fs::symlink(&target, lake.path().join(".staging-n.lock")).unwrap();
        let location = Location::Local(lake.path().to_owned());
        let error = Staging::take(&location, "n").unwrap_err();
        assert!(format!("{error:#}").contains(".staging-n.lock"), "{error:#}");
        assert!(!target.exists());
    }
}
