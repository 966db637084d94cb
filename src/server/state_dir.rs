//! The state directory.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;

use crate::journal::{Disk as _, RealDisk};

/// Creates the directory `state` and its parents. Only its owner can enter it: it holds bodies and a
/// key. One that exists and is open to others is kept as it is, with a warning in the log.
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
            let open =
                std::fs::metadata(state).is_ok_and(|made| made.permissions().mode() & 7 != 0);
            if open {
                let state = state.display();
                tracing::warn!(
                    "every user of this machine may look into {state}: chmod 700 {state}"
                );
            }
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
