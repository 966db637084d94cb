//! Figures that a restart keeps, in a file of the state directory.

use std::path::Path;
use std::{fs, io};

/// Replaces the text of `file` as a whole, by way of a file with the extension `new`. It is not synced: a crash
/// of the machine may leave the text before, or none.
///
/// # Errors
/// The directory cannot be written.
pub(crate) fn replace(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, file)
}
