//! Files into a directory: hidden name, sync, rename, sync of the directory.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::StoreError;

/// Makes `dir` and what is missing above it, and syncs every directory that got an entry.
pub(super) fn create_dir_synced(dir: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut at = dir;
    while !at.as_os_str().is_empty() && !at.is_dir() {
        missing.push(at);
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    for dir in missing.into_iter().rev() {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => sync_dir(dir.parent().unwrap_or(Path::new(".")))?,
        }
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

/// Puts a staging file in place. On the same file system its bytes are not copied: the hidden name
/// is a second link to them.
pub(super) fn put_file(root: &Path, name: &str, staged: &Path) -> Result<(), StoreError> {
    place(root, name, Over::Old, |hidden| {
        if fs::hard_link(staged, hidden).is_err() {
            fs::copy(staged, hidden)?;
        }
        File::open(hidden)?.sync_all()
    })
    .map(drop)
}

pub(super) fn put_bytes(root: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    place(root, name, Over::Old, |hidden| write(hidden, bytes)).map(drop)
}

/// False: there is a file of this name.
pub(super) fn create_bytes(root: &Path, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
    place(root, name, Over::Nothing, |hidden| write(hidden, bytes))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What a file may be put over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Old,
    Nothing,
}

fn place(
    root: &Path,
    name: &str,
    over: Over,
    fill: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<bool, StoreError> {
    let target = root.join(name);
    let fail = |path: &Path, source| StoreError::Io { path: path.to_owned(), source };
    let dir = target.parent().unwrap_or(root).to_owned();
    create_dir_synced(&dir).map_err(|e| fail(&dir, e))?;
    let hidden = hidden_name(&target);
    // What an attempt before a crash left under this name is of no use.
    match fs::remove_file(&hidden) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(&hidden, error)),
        _ => {}
    }
    fill(&hidden).map_err(|e| fail(&hidden, e))?;
    let placed = match over {
        Over::Old => fs::rename(&hidden, &target),
        // A link never takes another file's place. Where there are no links, locks have to do.
        Over::Nothing => fs::hard_link(&hidden, &target).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Err(error),
            _ if target.exists() => Err(io::ErrorKind::AlreadyExists.into()),
            _ => fs::rename(&hidden, &target),
        }),
    };
    // Also renaming onto another link of the same file leaves both names.
    let _ = fs::remove_file(&hidden);
    match placed {
        Err(error) if over == Over::Nothing && error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok(false);
        }
        placed => placed.map_err(|e| fail(&target, e))?,
    }
    sync_dir(&dir).map_err(|e| fail(&dir, e))?;
    Ok(true)
}

fn hidden_name(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_placed_whole_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let staged = dir.path().join("staged");
        fs::write(&staged, b"rows").unwrap();
        let root = dir.path().join("a/lake");
        for _ in 0..2 {
            put_file(&root, "t/date=x/n-1.parquet", &staged).unwrap();
        }
        assert_eq!(fs::read(root.join("t/date=x/n-1.parquet")).unwrap(), b"rows");
        assert_eq!(fs::read_dir(root.join("t/date=x")).unwrap().count(), 1);
        assert!(staged.exists());
    }

    #[test]
    fn a_file_is_created_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(create_bytes(dir.path(), "a/s.json", b"first").unwrap());
        assert!(!create_bytes(dir.path(), "a/s.json", b"second").unwrap());
        assert_eq!(fs::read(dir.path().join("a/s.json")).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_left_under_the_hidden_name_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".r.json.tmp"), b"torn").unwrap();
        put_bytes(dir.path(), "r.json", b"{}").unwrap();
        assert_eq!(fs::read(dir.path().join("r.json")).unwrap(), b"{}");
        assert!(!dir.path().join(".r.json.tmp").exists());
    }
}
