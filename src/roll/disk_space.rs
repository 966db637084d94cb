//! Free space of the staging directory's disk.

use std::io;
use std::path::Path;

/// Returns the bytes that the process may still write to the file system of `directory`.
///
/// # Errors
/// The directory is not there, or the system does not say.
pub(crate) fn free_bytes(directory: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
