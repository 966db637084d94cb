//! Directories and files that a command creates, removed again when nothing comes of it.
//!
//! A start that is refused leaves neither a state directory nor a lake behind that were not there
//! before. Directories are removed only while they are empty. Files are removed only from a state
//! directory that this start has created, whose lock it holds, and whose journal never had a body: so
//! another start that came first loses nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, thread};

use crate::clock::SystemClock;
use crate::journal::{Journal, LOCK};
use crate::lake::Location;
use crate::server::Settings;

use super::read_only_disk::ReadOnlyDisk;

/// Attempts to take the lock of a server that is ending, and the pause between them.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Directories that did not exist, the innermost first.
#[derive(Debug)]
struct Missing(Vec<PathBuf>);

impl Missing {
    /// Returns the directories that would have to be created for `path` to be one.
    fn of(path: &Path) -> Missing {
        let ancestors = path.ancestors();
        let missing = ancestors.take_while(|at| !at.as_os_str().is_empty() && !at.exists());
        Missing(missing.map(Path::to_owned).collect())
    }

    /// Removes those that exist by now and are empty.
    fn remove_empty(&self) {
        for directory in &self.0 {
            // Fails on a directory that somebody else has begun to use: it stays then.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// A directory that is there for a check. Those that were made for it, parents among them, are removed
/// on drop if they are empty.
#[derive(Debug)]
pub(super) struct TemporaryDirectory(Missing);

impl TemporaryDirectory {
    /// Creates the directory `path`, and its parents.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn make(path: &Path) -> io::Result<TemporaryDirectory> {
        let made = TemporaryDirectory(Missing::of(path));
        fs::create_dir_all(path)?;
        Ok(made)
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        self.0.remove_empty();
    }
}

/// The files and directories that a start may create.
#[derive(Debug)]
pub(super) struct BeforeStart {
    settings: Settings,
    state: Missing,
    lake: Option<Missing>,
}

impl BeforeStart {
    /// Notes what is not there before a start with `settings`.
    pub(super) fn note(settings: &Settings) -> BeforeStart {
        let lake = match &settings.lake.location {
            Location::Local(directory) => Some(Missing::of(directory)),
            _ => None,
        };
        BeforeStart { settings: settings.clone(), state: Missing::of(settings.state()), lake }
    }

    /// Removes what the start has created. Blocks.
    pub(super) fn restore(&self) {
        let state = self.settings.state();
        if self.state.0.iter().any(|missing| missing == state) && state.is_dir() {
            self.empty_state();
        }
        self.state.remove_empty();
        if let Some(lake) = &self.lake {
            lake.remove_empty();
        }
    }

    /// Removes the files of a state directory whose journal never had a body.
    fn empty_state(&self) {
        let state = self.settings.state();
        let Some(journal) = self.open_unused() else { return };
        let names = fs::read_dir(state).into_iter().flatten().filter_map(Result::ok);
        for entry in names.filter(|entry| entry.file_name() != LOCK) {
            let _ = fs::remove_file(entry.path());
        }
        let _ = fs::remove_dir_all(self.settings.staging());
        // The last, so that nobody else uses the directory before it is empty.
        let _ = fs::remove_file(state.join(LOCK));
        drop(journal);
    }

    /// Opens the journal, and with it takes the lock, if it never had a body. Its server may still be
    /// ending.
    fn open_unused(&self) -> Option<Journal> {
        if !self.settings.state().join(LOCK).exists() {
            return None;
        }
        for _ in 0..ATTEMPTS {
            let options = self.settings.journal_options(None).ok()?;
            let opened = Journal::open(Arc::new(ReadOnlyDisk), Arc::new(SystemClock), options);
            match opened {
                Ok((journal, _)) => return (journal.status().last_seq.0 == 0).then_some(journal),
                Err(_) => thread::sleep(PAUSE),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_missing_and_is_empty_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("there")).unwrap();
        let path = dir.path().join("there/a/b/c");
        let missing = Missing::of(&path);
        assert_eq!(missing.0.len(), 3);
        fs::create_dir_all(&path).unwrap();
        fs::write(dir.path().join("there/a/other"), "x").unwrap();
        missing.remove_empty();
        assert!(!dir.path().join("there/a/b").exists());
        assert!(dir.path().join("there/a/other").exists());
    }
}
