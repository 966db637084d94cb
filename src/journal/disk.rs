//! The interface to the disk: every byte, name and sync of the journal goes through [`Disk`].
//!
//! The trait says what each call makes durable, and the journal relies on nothing else. What is
//! not said to be durable may be lost by a power cut, wholly or in part and in any order.
//! [`RealDisk`](super::RealDisk) keeps these promises on a local file system whose device honours flushes; tests
//! use a fake that loses whatever was not promised.

use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;

/// At most this many slices in one vectored write: Linux's `IOV_MAX`.
const MAX_SLICES: usize = 1024;

/// Directories, names and free space.
pub trait Disk: Send + Sync + 'static {
    /// Makes a directory and its missing parents. Durable on return, parents' entries included.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Returns the names in a directory, in no order. Names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes an empty file, or empties the one that is there. Neither the name nor the length is
    /// durable before [`DiskFile::sync`] and [`sync_dir`](Self::sync_dir).
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file a new name within its directory, replacing a file that has it. Atomic: one
    /// name or the other. Durable after [`sync_dir`](Self::sync_dir).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name. An open handle goes on reading. Durable after
    /// [`sync_dir`](Self::sync_dir); removals that were not synced may be lost in any order.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file a second name within its directory. Fails if the name is taken, and where the
    /// file system has no such names. Durable after [`sync_dir`](Self::sync_dir).
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Opens a directory, so that its names can be synced when no file can be opened any more.
    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>>;

    /// Makes the names of a directory durable as they are now.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.open_dir(dir)?.sync()
    }

    /// Returns the bytes that this user may still write on the file system of `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;

    /// Takes an exclusive lock on a file, made if missing, until the handle is dropped or the
    /// process ends. `None` if someone else has it. Does not wait.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Returns the length, in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Reads some bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of the bytes at `offset`, the slices one after the other. Makes nothing
    /// durable.
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Writes as [`write_vectored_at`](Self::write_vectored_at) does, and need not keep the bytes in the system's
    /// cache: they will hardly be read.
    fn write_past_cache_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.write_vectored_at(slices, offset)
    }

    /// Cuts the file. Durable after [`sync`](Self::sync).
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes all bytes written so far durable, and the length needed to read them. After an error
    /// nothing is known, and asking again proves nothing: the system may have dropped the pages.
    fn sync(&self) -> io::Result<()>;

    /// Tells whether `path` is a name of this very file: false if there is none, or another file.
    fn is_at(&self, path: &Path) -> io::Result<bool>;
}

/// One open directory.
pub trait DiskDir: Send + Sync {
    /// Makes its names durable as they are now.
    fn sync(&self) -> io::Result<()>;
}

/// A lock that is released when dropped.
pub trait DiskLock: Send + Sync {
    /// Tells whether `path` is a name of the file that is locked, as [`DiskFile::is_at`] does. If not,
    /// somebody else may take the lock of that name.
    fn is_at(&self, path: &Path) -> io::Result<bool>;
}

/// Writes every slice at `offset`, in as few calls as the system allows. Continues after a short
/// write; a write of no bytes is an error.
pub(crate) fn write_all_at(
    file: &dyn DiskFile,
    slices: &mut [IoSlice<'_>],
    offset: u64,
) -> io::Result<()> {
    write_all(slices, offset, |some, offset| file.write_vectored_at(some, offset))
}

/// Writes every slice at `offset` as [`write_all_at`] does, past the system's cache where it can be.
pub(crate) fn write_all_past_cache_at(
    file: &dyn DiskFile,
    slices: &mut [IoSlice<'_>],
    offset: u64,
) -> io::Result<()> {
    write_all(slices, offset, |some, offset| file.write_past_cache_at(some, offset))
}

fn write_all(
    mut slices: &mut [IoSlice<'_>],
    mut offset: u64,
    write: impl Fn(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<()> {
    // Leading empty slices would make a whole write look like one of no bytes.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let (some, _) = slices.split_at(slices.len().min(MAX_SLICES));
        match write(some, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills as much of `buffer` as the file has from `offset` on, and returns the number of bytes.
pub(crate) fn read_full_at(
    file: &dyn DiskFile,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
