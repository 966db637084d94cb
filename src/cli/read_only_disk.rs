//! A disk on which nothing changes, so that a journal can be opened as serve opens it and be left
//! as it was.
//!
//! Writes and truncations change the length that the writer sees, and nothing else; new files exist
//! nowhere.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::journal::{Disk, DiskDir, DiskFile, DiskLock, RealDisk};

/// Reads from the machine's disk, and writes nothing.
pub(super) struct ReadOnlyDisk;

struct File {
    /// The file on disk; none for a file that was made here.
    below: Option<Box<dyn DiskFile>>,
    len: AtomicU64,
}

struct NoLock;

impl DiskLock for NoLock {
    fn is_at(&self, _: &Path) -> io::Result<bool> {
        Ok(true)
    }
}

struct NoDir;

impl DiskDir for NoDir {
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for ReadOnlyDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File { below: None, len: AtomicU64::new(0) }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let below = RealDisk.open(path)?;
        let len = AtomicU64::new(below.length()?);
        Ok(Box::new(File { below: Some(below), len }))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open_dir(&self, _: &Path) -> io::Result<Box<dyn DiskDir>> {
        Ok(Box::new(NoDir))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(dir)
    }

    /// Takes the lock unless a running server has it, and leaves no file behind.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        if path.exists() { RealDisk.lock(path) } else { Ok(Some(Box::new(NoLock))) }
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len.load(Ordering::Relaxed))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.len.load(Ordering::Relaxed).saturating_sub(offset);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match (&self.below, buffer.get_mut(..want)) {
            (Some(below), Some(part)) if want > 0 => below.read_at(part, offset),
            _ => Ok(0),
        }
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let written: usize = slices.iter().map(|slice| slice.len()).sum();
        self.len.fetch_max(offset + written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.len.fetch_min(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_at(&self, _: &Path) -> io::Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::journal::{Journal, NewBody, Options, Recovery};
    use crate::record::Form;

    fn open(disk: Arc<dyn Disk>, dir: &Path) -> (Journal, Recovery) {
        Journal::open(disk, Arc::new(SystemClock), Options::new(dir)).unwrap()
    }

    fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }

    #[test]
    fn a_journal_is_opened_as_by_a_start_and_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(Arc::new(RealDisk), dir.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bytes = "{}\n".into();
        let body = NewBody { table: "t".into(), form: Form::Ndjson, first_line: 1, bytes };
        runtime.block_on(journal.append(body)).unwrap();
        journal.close();
        drop(journal);
        let before = files(dir.path());
        let last =
            before.keys().rfind(|path| path.extension().is_some_and(|e| e == "seg")).unwrap();
        // A start would cut it.
        std::fs::File::options().append(true).open(last).unwrap().write_all(b"torn").unwrap();
        let before = files(dir.path());

        let (journal, recovery) = open(Arc::new(ReadOnlyDisk), dir.path());
        assert_eq!((journal.status().last_seq.0, recovery.torn_bytes), (1, 4));
        journal.close();
        drop(journal);
        assert_eq!(files(dir.path()), before);
    }
}
