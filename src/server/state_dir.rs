//! The state directory: its owner's alone.

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
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
/// With the `lake` below it, others may still go through it (and not look into it): readers of the lake
/// are often other users.
///
/// # Errors
/// A directory that cannot be created.
pub(super) fn create(state: &Path, lake: Option<&Path>) -> anyhow::Result<()> {
    let cannot = || format!("cannot make the state directory {}", state.display());
    if let Some(parent) = state.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        RealDisk.create_dir(parent).with_context(cannot)?;
    }
    match DirBuilder::new().mode(0o700).create(state) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error).with_context(cannot),
        Err(error) if !state.is_dir() => Err(error).with_context(|| {
            format!("the state directory {} is a file: give a directory", state.display())
        }),
        Err(_) => close(state, lake).with_context(cannot),
        Ok(()) if lake.is_some_and(|lake| is_below(lake, state)) => {
            std::fs::set_permissions(state, Permissions::from_mode(0o711)).with_context(cannot)
        }
        Ok(()) => Ok(()),
    }
}

/// Takes the directory and what is in it from others. Its owner and a group that it was given keep what
/// they may: it may be the directory of the program as well.
fn close(state: &Path, lake: Option<&Path>) -> std::io::Result<()> {
    // Where it leads, if it is a link.
    let directory = state.canonicalize()?;
    let has_lake = lake.is_some_and(|lake| is_below(lake, &directory));
    if !narrow(&directory, if has_lake { 0o7771 } else { 0o7770 })? {
        let state = state.display();
        tracing::warn!(
            "every user of this machine may look into {state}, which belongs to somebody else: its \
             files are closed, and their names are not; chmod 700 {state}"
        );
    }
    for entry in std::fs::read_dir(&directory)? {
        let entry = entry?;
        let found = entry.file_type()?;
        let is_of_lake = || lake.is_some_and(|lake| is_below(lake, &entry.path()));
        if found.is_file() || found.is_dir() && !is_of_lake() {
            // One that is gone, or somebody else's, is no reason to stop.
            let _ = narrow(&entry.path(), 0o7770);
        }
    }
    Ok(())
}

/// Returns whether `path`, which may not be there yet, is below `directory`.
fn is_below(path: &Path, directory: &Path) -> bool {
    let Ok(path) = std::path::absolute(path) else { return false };
    let there = path.ancestors().find_map(|part| part.canonicalize().ok());
    let directory = directory.canonicalize();
    matches!((there, directory), (Some(there), Ok(directory)) if there.starts_with(&directory))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_one_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        create(&dir.path().join("a/state"), None).unwrap();
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
        create(&state, None).unwrap();
        assert_eq!(mode(&state) & 7, 0);
        assert_eq!(mode(&state.join("00000001.seg")) & 7, 0);
        assert_eq!(mode(&state.join("tables.json")) & 7, 0);
        fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
        create(&state, None).unwrap();
        assert_eq!(mode(&state) & 7, 0);
    }

    #[test]
    fn the_owner_goes_on_running_a_program_that_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("opt");
        fs::create_dir(&state).unwrap();
        fs::write(state.join("sessionlake"), "x").unwrap();
        fs::set_permissions(state.join("sessionlake"), Permissions::from_mode(0o755)).unwrap();
        create(&state, None).unwrap();
        assert_eq!(mode(&state.join("sessionlake")), 0o750);
    }

    #[test]
    fn a_lake_below_it_stays_within_reach_of_its_readers() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::create_dir_all(old.join("lake/table")).unwrap();
        fs::create_dir(old.join("staging")).unwrap();
        for path in ["", "lake", "lake/table", "staging"] {
            fs::set_permissions(old.join(path), Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(old.join("00000001.seg"), "x").unwrap();
        for state in [&old, &new] {
            create(state, Some(&state.join("lake"))).unwrap();
            assert_eq!(mode(state) & 7, 1, "through it, and no look into it");
        }
        assert_eq!(mode(&old.join("lake")), 0o755);
        assert_eq!(mode(&old.join("staging")) & 7, 0);
        assert_eq!(mode(&old.join("00000001.seg")) & 7, 0);
        create(&old, Some(&dir.path().join("elsewhere"))).unwrap();
        assert_eq!(mode(&old) & 7, 0);
    }
}
