//! Hidden files: files of a local lake that are being written, before they get their names.
//!
//! ```text
//! <lake>/<folder>/.<process>-<n>.<name>.tmp    a file that will be <folder>/<name>
//! <lake>/.<process>-<n>.writing.tmp            hidden files under way, a name a line; locked
//! ```
//! A hidden file is made in the folder of its name, so that the system gives it the group, the access
//! list and the label of that folder. No other process and no other attempt has its name: of two that
//! write one file, each places its own bytes.
//!
//! The list is there while files are being written, and its process holds a lock on it. A process that
//! is killed leaves both; the next one that opens the lake can take the lock, and removes what is on the
//! list. After a power cut the list may be shorter than what is there: such a file takes space until
//! somebody removes it, and no reader looks at it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use parking_lot::Mutex;

use super::StoreError;
use crate::lake::names;

/// End of the name of a list, without the dot and the suffix of hidden files.
const LIST: &str = "writing";
/// Most bytes of a list that are read.
const MAX_LIST_BYTES: u64 = 16 << 20;

/// The hidden files of this process in one lake.
#[derive(Debug, Default)]
pub(super) struct HiddenFiles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Identifies the process in names; empty until the first file.
    process: String,
    /// Number of the last name.
    number: u64,
    under_way: usize,
    /// The list, if there are files under way and it could be made.
    list: Option<(PathBuf, File)>,
}

/// A name of a hidden file. Dropped, the file is removed, if it is there.
#[derive(Debug)]
pub(super) struct HiddenFile<'a> {
    files: &'a HiddenFiles,
    path: PathBuf,
}

impl HiddenFiles {
    /// Returns a new name for a file that will be `name` in the lake at `root`, after it is on the list.
    /// `stored` returns the path by which the file system knows a file.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn begin(
        &self,
        root: &Path,
        name: &str,
        stored: &dyn Fn(PathBuf) -> PathBuf,
    ) -> Result<HiddenFile<'_>, StoreError> {
        let mut state = self.state.lock();
        if state.process.is_empty() {
            let random = getrandom::u64().map_err(|error| StoreError::Io {
                path: root.join(name),
                source: io::Error::other(error),
            })?;
            state.process = format!("{random:016x}");
        }
        if state.list.is_none() {
            state.list = state.create_list(root, File::lock);
        }
        state.number += 1;
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let hidden = names::staging(&format!("{}-{}.{file}", state.process, state.number));
        let hidden = if folder.is_empty() { hidden } else { format!("{folder}/{hidden}") };
        if let Some((_, list)) = &mut state.list {
            // Without it nothing is lost: the file stays longer if the process is killed now.
            let _ = list.write_all(format!("{hidden}\n").as_bytes());
        }
        state.under_way += 1;
        Ok(HiddenFile { files: self, path: stored(root.join(hidden)) })
    }
}

impl State {
    /// Creates a list, and locks it by `lock`. Returns `None`, and leaves nothing, where that cannot be: a
    /// killed process then leaves its hidden files.
    fn create_list(
        &mut self,
        root: &Path,
        lock: impl Fn(&File) -> io::Result<()>,
    ) -> Option<(PathBuf, File)> {
        // Another process may take a list that has no lock yet for that of a killed one.
        for _ in 0..3 {
            self.number += 1;
            let path =
                root.join(names::staging(&format!("{}-{}.{LIST}", self.process, self.number)));
            let list = File::options().append(true).create_new(true).open(&path).ok()?;
            if lock(&list).is_err() {
                // Every file would leave one more, which no start can tell from one in use.
                let _ = fs::remove_file(&path);
                return None;
            }
            if is_file(&list, &path) {
                return Some((path, list));
            }
        }
        None
    }
}

impl HiddenFile<'_> {
    /// Returns the path of the file, which does not exist unless its owner has created it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for HiddenFile<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let mut state = self.files.state.lock();
        state.under_way -= 1;
        if state.under_way == 0
            && let Some((path, list)) = state.list.take()
        {
            let _ = fs::remove_file(path);
            drop(list);
        }
    }
}

/// Removes the hidden files that killed processes have left in the lake at `root`, by their lists.
/// What cannot be removed stays.
pub(super) fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(process_of_list) else { continue };
        if let Err(error) = sweep_list(root, &entry.path(), process) {
            tracing::warn!(
                "cannot remove what a killed process left, by {}: {error}",
                entry.path().display()
            );
        }
    }
}

/// Removes the files of a list whose process has ended, and the list.
fn sweep_list(root: &Path, path: &Path, process: &str) -> io::Result<()> {
    let list = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    match list.try_lock() {
        Ok(()) if is_file(&list, path) => {}
        Ok(()) | Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut text = String::new();
    (&list).take(MAX_LIST_BYTES).read_to_string(&mut text)?;
    for name in text.lines().filter(|name| is_of(name, process)) {
        match fs::remove_file(root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::remove_file(path)
}

/// Returns the process of the list `name`; `None` for any other file.
fn process_of_list(name: &str) -> Option<&str> {
    let (process, number) =
        name.strip_prefix('.')?.strip_suffix(".tmp")?.strip_suffix(LIST)?.split_once('-')?;
    let number = number.strip_suffix('.')?;
    let written = process.len() == 16 && process.bytes().all(|byte| byte.is_ascii_hexdigit());
    (written && number.parse::<u64>().is_ok()).then_some(process)
}

/// Returns whether the line `name` of a list is a hidden file of `process` within the lake.
fn is_of(name: &str, process: &str) -> bool {
    let within = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let file = name.rsplit('/').next().unwrap_or(name);
    let ours = file.strip_prefix('.').and_then(|file| file.strip_prefix(process));
    within && ours.is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".tmp"))
}

/// Returns whether `path` is the file that is `open`.
fn is_file(open: &File, path: &Path) -> bool {
    let id = |file: &fs::Metadata| (file.dev(), file.ino());
    matches!((open.metadata(), path.metadata()), (Ok(a), Ok(b)) if id(&a) == id(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(root: &Path) -> Vec<String> {
        let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_runs_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let running = HiddenFiles::default();
        let file = running.begin(root, "n-1.parquet", &|path| path).unwrap();
        fs::write(file.path(), b"rows").unwrap();
        let killed = HiddenFiles::default();
        for name in ["a.parquet", "b.parquet"] {
            let file = killed.begin(root, name, &|path| path).unwrap();
            fs::write(file.path(), b"half").unwrap();
            std::mem::forget(file);
        }
        // Not on the list, not of this program, or not in the lake.
        fs::write(root.join(".other.tmp"), b"").unwrap();
        let process = killed.state.lock().process.clone();
        let outside = dir.path().with_extension("outside");
        let mut state = killed.state.lock();
        let (list, file_of_list) = state.list.take().unwrap();
        let name = outside.file_name().unwrap().to_str().unwrap();
        fs::write(&outside, b"kept").unwrap();
        writeln!(&file_of_list, ".other.tmp\n../{name}\n../.{process}-9.x.tmp").unwrap();
        drop((file_of_list, state));
        sweep(root);
        assert!(!list.exists() && outside.exists());
        let there = left(root);
        assert_eq!(there.len(), 3, "{there:?}");
        assert!(there.contains(&".other.tmp".to_owned()) && file.path().exists());
        drop(file);
        assert_eq!(left(root), [".other.tmp"]);
        fs::remove_file(outside).unwrap();
    }

    /// As some network file systems: a list for every file would stay otherwise.
    #[test]
    fn where_there_are_no_locks_no_list_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let files = HiddenFiles::default();
        let list = files.state.lock().create_list(dir.path(), |_| {
            Err(io::Error::from_raw_os_error(rustix::io::Errno::NOLCK.raw_os_error()))
        });
        assert!(list.is_none());
        assert_eq!(left(dir.path()), [""; 0]);
    }

    #[test]
    fn hidden_names_and_lists_are_told_from_others() {
        assert_eq!(process_of_list(".00000000000000ab-7.writing.tmp"), Some("00000000000000ab"));
        for other in [".x-7.writing.tmp", ".00000000000000ab-7.a.writing.tmp", "writing", ".tmp"] {
            assert_eq!(process_of_list(other), None, "{other}");
        }
        assert!(is_of("t/.00ab-7.x.parquet.tmp", "00ab"));
        for other in
            ["t/.00ab-7.x", "t/00ab-7.tmp", "../.00ab-7.tmp", "/.00ab-7.tmp", ".00ac-7.tmp"]
        {
            assert!(!is_of(other, "00ab"), "{other}");
        }
    }
}
