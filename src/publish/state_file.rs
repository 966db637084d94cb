//! Small files of the state directory, on the disk of the journal.

use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::{Disk, DiskFile, read_full_at, write_all_at};

/// Bytes past which a file is none of this program's.
const MOST_BYTES: u64 = 16 << 20;

/// A file that is replaced as a whole.
#[derive(Clone)]
pub(super) struct StateFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    name: &'static str,
}

impl StateFile {
    /// Returns the file `name` of the state directory `dir`, which may not be there.
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, name: &'static str) -> StateFile {
        StateFile { disk, dir: dir.to_owned(), name }
    }

    /// Returns the file `name` of the same directory.
    pub(super) fn beside(&self, name: &'static str) -> StateFile {
        StateFile { name, ..self.clone() }
    }

    /// Returns the path.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(self.name)
    }

    /// Reads the file; `None` if it is not there.
    ///
    /// # Errors
    /// The disk; it is far too long.
    pub(super) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match self.disk.open(&self.path()) {
            Ok(file) => whole(&*file).map(Some),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces the file; durable on return. After an error the old one or the new one is there.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.dir.join(format!("{}.new", self.name));
        let file = self.disk.create(&new)?;
        write_all_at(&*file, &mut [IoSlice::new(bytes)], 0)?;
        file.sync()?;
        self.disk.rename(&new, &self.path())?;
        self.disk.sync_dir(&self.dir)
    }
}

fn whole(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let bytes = file.length()?;
    if bytes > MOST_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is far too long"));
    }
    let mut whole = vec![0; usize::try_from(bytes).unwrap_or(0)];
    let read = read_full_at(file, &mut whole, 0)?;
    whole.truncate(read);
    Ok(whole)
}
