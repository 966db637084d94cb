//! Writing past the system's cache.
//!
//! A body that is decoded from memory is read from its segment by nobody, unless there is a start. To copy
//! it into the system's cache, have that written out and taken back costs more than twice what it costs to
//! write it straight from here (docs/performance.md).
//!
//! The system takes whole blocks for that, from memory that is aligned like them. So what is before the
//! first whole block, and what is behind the last one, goes through the cache as ever, and the length of the
//! file stays that of its bytes. Where the file system does not do it, all does.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::disk::DiskFile;

/// Bytes of a block, and of the alignment of memory: no usual device has larger ones.
const BLOCK_BYTES: usize = 4096;
/// Bytes that are written at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Fewer bytes than this go through the cache.
const LEAST_BYTES: usize = 64 << 10;

/// A file of the machine's.
pub(crate) struct RealFile {
    file: File,
    /// The same file, opened for writing past the cache; `None` if that cannot be done.
    direct: OnceLock<Option<File>>,
    /// A write past the cache was refused.
    is_refused: AtomicBool,
    piece: Mutex<Piece>,
}

/// Memory that is aligned like blocks.
#[derive(Default)]
struct Piece(Vec<u8>);

impl Piece {
    /// Copies the first bytes of `slices`, as many whole blocks of them as there are and as it has room for.
    fn fill(&mut self, slices: &[IoSlice<'_>]) -> &[u8] {
        self.0.resize(PIECE_BYTES + BLOCK_BYTES, 0);
        let start = self.0.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        let aligned = self.0.get_mut(start..start + PIECE_BYTES).unwrap_or_default();
        let filled = gather(slices, aligned);
        aligned.get(..filled - filled % BLOCK_BYTES).unwrap_or_default()
    }
}

/// Copies the first bytes of `slices` to `to`. Returns their number.
fn gather(slices: &[IoSlice<'_>], to: &mut [u8]) -> usize {
    let mut filled = 0;
    for slice in slices {
        let rest = to.get_mut(filled..).unwrap_or_default();
        let most = rest.len().min(slice.len());
        let (Some(to), Some(from)) = (rest.get_mut(..most), slice.get(..most)) else { break };
        to.copy_from_slice(from);
        filled += most;
        if most < slice.len() {
            break;
        }
    }
    filled
}

impl RealFile {
    pub(crate) fn new(file: File) -> RealFile {
        RealFile {
            file,
            direct: OnceLock::new(),
            is_refused: AtomicBool::new(false),
            piece: Mutex::default(),
        }
    }

    /// Returns a file that is never written past the cache.
    #[cfg(test)]
    pub(crate) fn through_cache(file: File) -> RealFile {
        let file = RealFile::new(file);
        let _ = file.direct.set(None);
        file
    }

    /// Returns the file for writing past the cache.
    fn direct(&self) -> Option<&File> {
        if self.is_refused.load(Ordering::Relaxed) {
            return None;
        }
        let direct = self.direct.get_or_init(|| {
            // By its descriptor, since it may have another name by now.
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let flags = rustix::fs::OFlags::DIRECT.bits().cast_signed();
            OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
        });
        direct.as_ref()
    }
}

impl DiskFile for RealFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        DiskFile::read_at(&self.file, buffer, offset)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        DiskFile::write_vectored_at(&self.file, slices, offset)
    }

    fn write_past_cache_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        let before = usize::try_from(offset.next_multiple_of(BLOCK_BYTES as u64) - offset);
        let before = before.unwrap_or_default();
        let direct = self.direct().filter(|_| bytes >= before + LEAST_BYTES);
        let Some(direct) = direct else { return self.write_vectored_at(slices, offset) };
        if before > 0 {
            let mut head = [0; BLOCK_BYTES];
            let head = head.get_mut(..before).unwrap_or_default();
            gather(slices, head);
            return self.file.write_at(head, offset);
        }
        let mut piece = self.piece.lock();
        match direct.write_at(piece.fill(slices), offset) {
            // Refused before anything was done.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                self.is_refused.store(true, Ordering::Relaxed);
                self.write_vectored_at(slices, offset)
            }
            written => written,
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.file.is_at(path)
    }
}
