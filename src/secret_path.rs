//! Files that hold secrets: keys, credentials, passwords.
//!
//! A file of keys in public (certificates, key sets) may be read by all, and must not be written by others
//! either ([`Kept`]). One with a secret is of use to its owner and group, and to nobody else on the machine.
//!
//! | others may | becomes of it |
//! |---|---|
//! | read it, and it is ours (or we are root) | it is taken from them (`chmod o-rwx`), with a warning |
//! | read it, and it is somebody else's | refused: it cannot be taken from them |
//! | write it | refused: whoever can may have changed it already |
//!
//! Others may do neither when a directory on the way keeps them out. Nor does it matter on a read-only
//! mount, in `/run/secrets`, or on a file system without modes of its own: container runtimes mount
//! secrets with mode 0644, into a place where there is nobody else, and a mode there cannot be changed.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// The directory in which container runtimes put secrets.
const MOUNTED: &str = "/run/secrets";
/// Permissions of others.
const OTHERS: u32 = 0o007;

/// The part of a file that is kept from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it.
    Secret,
    /// That it is as its owner wrote it.
    Unchanged,
}

/// Returns whether a path that cannot be read may be shown. A path that does not exist may be the
/// secret itself, put in the place of its file's name.
pub(crate) fn may_be_shown(error: &io::Error) -> bool {
    use ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    !matches!(error.kind(), NotFound | NotADirectory | InvalidFilename | InvalidInput)
}

/// Reads a file that no other user of the machine may write; nor read, afterwards, if it is a secret.
///
/// # Errors
/// The system's; [`ErrorKind::PermissionDenied`] with what to do for a file that others may read or write.
pub(crate) fn read(path: &Path, kept: Kept) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    guard(&file, path, kept)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes the file from others, or refuses it.
fn guard(file: &File, path: &Path, kept: Kept) -> io::Result<()> {
    let found = file.metadata()?;
    let others = found.mode() & OTHERS;
    let kept = if kept == Kept::Secret { 0o006 } else { 0o002 };
    if !found.is_file() || others & kept == 0 || is_out_of_reach(path) || is_mounted(file, path) {
        return Ok(());
    }
    let refused = |why: &str| Err(io::Error::new(ErrorKind::PermissionDenied, why));
    if others & 0o002 != 0 {
        return refused(
            "every user of this machine may write it, and may have: see that it is right, and take \
             it from them with chmod o-rwx",
        );
    }
    let user = rustix::process::geteuid();
    let ours = user.is_root() || user.as_raw() == found.uid();
    let narrowed = Permissions::from_mode(found.mode() & 0o7777 & !OTHERS);
    if ours && file.set_permissions(narrowed).is_ok() && file.metadata()?.mode() & OTHERS == 0 {
        let path = path.display();
        tracing::warn!(
            "every user of this machine could read {path}: taken from them (chmod o-rwx)"
        );
        return Ok(());
    }
    refused(
        "every user of this machine may read it, and it belongs to somebody else: give it the group \
         of this process (chgrp) and take it from others (chmod 640), or mount it read-only",
    )
}

/// Returns whether a directory on the way keeps others out.
fn is_out_of_reach(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let closed =
        |directory: &Path| directory.metadata().is_ok_and(|found| found.mode() & 0o001 == 0);
    path.ancestors().skip(1).any(closed)
}

/// Returns whether the modes of the place say nothing of who may read there.
fn is_mounted(file: &File, path: &Path) -> bool {
    use rustix::fs::{StatVfsMountFlags, fstatvfs};
    let read_only =
        fstatvfs(file).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
    let in_secrets = || path.canonicalize().is_ok_and(|path| path.starts_with(MOUNTED));
    read_only || in_secrets() || has_no_modes(file)
}

/// Returns whether the file system makes up modes: one of another system, or of the host of a virtual
/// machine.
#[cfg(target_os = "linux")]
fn has_no_modes(file: &File) -> bool {
    // FAT, exFAT, NTFS (two drivers), SMB (three), 9p, shared folders of VirtualBox, FUSE.
    const TYPES: [i64; 10] = [
        0x4d44,
        0x2011_bab0,
        0x5346_544e,
        0x7366_746e,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x0102_1997,
        0x786f_4256,
        0x6573_5546,
    ];
    rustix::fs::fstatfs(file).is_ok_and(|found| TYPES.contains(&(found.f_type & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn has_no_modes(_file: &File) -> bool {
    false
}

/// Narrows what may be done with a file or directory of our own to `mode`, and returns whether others may
/// do no more than that.
pub(crate) fn narrow(path: &Path, mode: u32) -> io::Result<bool> {
    let found = path.symlink_metadata()?;
    if found.is_symlink() || found.mode() & 0o7777 & !mode == 0 {
        return Ok(true);
    }
    let narrowed = Permissions::from_mode(found.mode() & mode);
    Ok(std::fs::set_permissions(path, narrowed).is_ok()
        && path.symlink_metadata()?.mode() & OTHERS & !mode == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in a directory that everybody may enter, unlike those above it.
    fn file(mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "s").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn a_file_that_others_may_read_is_taken_from_them() {
        for (before, after) in [(0o644, 0o640), (0o600, 0o600), (0o440, 0o440), (0o664, 0o660)] {
            let (_dir, path) = file(before);
            assert_eq!(read(&path, Kept::Secret).unwrap(), b"s");
            assert_eq!(mode(&path), after, "{before:o}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        for before in [0o666, 0o602, 0o777] {
            let (_dir, path) = file(before);
            let error = read(&path, Kept::Secret).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("chmod o-rwx"), "{error}");
            assert!(may_be_shown(&error));
            assert_eq!(mode(&path), before, "somebody is to look at it first");
        }
    }

    #[test]
    fn a_file_in_public_may_be_read_by_all_and_not_written() {
        let (_dir, path) = file(0o644);
        assert_eq!(read(&path, Kept::Unchanged).unwrap(), b"s");
        assert_eq!(mode(&path), 0o644);
        let (_dir, path) = file(0o646);
        assert!(read(&path, Kept::Unchanged).is_err());
    }

    #[test]
    fn a_directory_that_keeps_others_out_is_enough() {
        let (dir, path) = file(0o666);
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o750)).unwrap();
        assert_eq!(read(&path, Kept::Secret).unwrap(), b"s");
        assert_eq!(mode(&path), 0o666);
    }

    #[test]
    fn narrowing_takes_away_and_gives_nothing() {
        let (dir, path) = file(0o464);
        assert!(narrow(&path, 0o600).unwrap());
        assert_eq!(mode(&path), 0o400);
        assert!(narrow(dir.path(), 0o700).unwrap());
        assert_eq!(mode(dir.path()), 0o700);
    }
}
