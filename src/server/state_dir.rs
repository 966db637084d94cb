//! The state directory: its owner's alone.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::journal::{Disk as _, RealDisk};
use crate::secret_path::narrow;

/// Creates the directory `state` and its parents. Only its owner can enter it: it holds bodies and a
/// key.
///
/// One that exists is taken from others, and so are the files in it, which earlier versions made for
/// everybody. A directory of somebody else, as the root of a volume is, cannot be: then its files are
/// closed one by one, and the log says so. It is not refused, since in a container there is nobody else
/// to keep out, and a volume has the mode that its driver gave it.
///
/// # Errors
/// A directory that cannot be created.
pub(super) fn create(state: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot make the state directory {}", state.display());
    if let Some(parent) = state.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        RealDisk.create_dir(parent).with_context(cannot)?;
    }
    match DirBuilder::new().mode(0o700).create(state) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error).with_context(cannot),
        Err(error) if !state.is_dir() => Err(error).with_context(|| {
            format!("the state directory {} is a file: give a directory", state.display())
        }),
        Err(_) => {
            close(state).with_context(cannot)?;
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Takes the directory and its files from others. A group that it was given keeps what it may.
fn close(state: &Path) -> std::io::Result<()> {
    // Where it leads, if it is a link.
    let directory = state.canonicalize()?;
    if !narrow(&directory, 0o7770)? {
        let state = state.display();
        tracing::warn!(
            "every user of this machine may look into {state}, which belongs to somebody else: its \
             files are closed, and their names are not; chmod 700 {state}"
        );
    }
    for entry in std::fs::read_dir(&directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            // One that is gone, or somebody else's, is no reason to stop.
            let _ = narrow(&entry.path(), 0o660);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_one_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        create(&dir.path().join("a/state")).unwrap();
        assert_eq!(mode(&dir.path().join("a/state")), 0o700);
    }

    #[test]
    fn one_of_an_earlier_version_is_taken_from_others_with_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        fs::create_dir(&state).unwrap();
        for name in ["00000001.seg", "tables.json"] {
            fs::write(state.join(name), "x").unwrap();
            fs::set_permissions(state.join(name), Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", state.join("link")).unwrap();
        create(&state).unwrap();
        assert_eq!(mode(&state) & 7, 0);
        assert_eq!(mode(&state.join("00000001.seg")) & 7, 0);
        assert_eq!(mode(&state.join("tables.json")) & 7, 0);
        fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
        create(&state).unwrap();
        assert_eq!(mode(&state) & 7, 0);
    }
}
