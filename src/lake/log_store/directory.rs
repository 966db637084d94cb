//! Listings of the log of a table in a directory.
//!
//! A log has two files for every version, for ever, and each commit lists those after the last
//! checkpoint. The library's own listing makes a URL of every name that is there; this one compares the
//! bytes of names, and asks the file system for the files that are wanted only.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;

use object_store::ObjectMeta;
use object_store::path::Path;

/// Returns the files below the folder `prefix` of the lake at `root` whose names are above `offset`, in
/// no order. `None` if one of them has a name, or is a link, that only the general listing knows how to
/// treat. A folder that is not there has no files. Blocks.
///
/// # Errors
/// The file system's.
pub(super) fn list_after(
    root: &std::path::Path,
    prefix: &Path,
    offset: &Path,
) -> io::Result<Option<Vec<ObjectMeta>>> {
    let (mut listed, mut folders) = (Vec::new(), vec![prefix.clone()]);
    while let Some(folder) = folders.pop() {
        // Names at or below this are not above the offset, whose folder this is.
        let skipped = offset.as_ref().strip_prefix(folder.as_ref());
        let skipped = skipped.and_then(|name| name.strip_prefix('/')).unwrap_or_default();
        let entries = match std::fs::read_dir(root.join(folder.as_ref())) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                // Hidden files are renamed all the time; some file systems have to be asked for the kind.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if kind.is_file() && name.as_bytes() <= skipped.as_bytes() {
                continue;
            }
            let Some(name) = plain(&name) else { return Ok(None) };
            let location = folder.clone().join(name);
            if kind.is_dir() {
                folders.push(location);
            } else if !kind.is_file() {
                return Ok(None);
            } else if location > *offset {
                listed.extend(meta(&entry, location)?);
            }
        }
    }
    Ok(Some(listed))
}

/// Returns a name of which the store makes the same name.
fn plain(name: &OsStr) -> Option<&str> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    name.as_bytes().iter().all(is_plain).then(|| name.to_str()).flatten()
}

/// `None` if the file is gone by now.
fn meta(entry: &DirEntry, location: Path) -> io::Result<Option<ObjectMeta>> {
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(ObjectMeta {
        location,
        last_modified: metadata.modified()?.into(),
        size: metadata.len(),
        e_tag: None,
        version: None,
    }))
}
