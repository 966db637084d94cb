//! Compare and swap of a small file: file systems have none, so it is done under a lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Local, Placement, StoreError, failed, io_error, parent, write};

/// The time for which the lock of another process is waited for. It is held for one write.
const WAIT: Duration = Duration::from_secs(10);
/// The pause between two attempts to take the lock.
const PAUSE: Duration = Duration::from_millis(20);

impl Local {
    /// Replaces the content `before` of a file by `bytes`. Returns false if it has another content, or
    /// is not there.
    pub(in crate::lake) fn swap_bytes(
        &self,
        root: &Path,
        name: &str,
        before: &[u8],
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        self.guard.check(root)?;
        let target = self.syncs.stored(root.join(name));
        let _within = self.swapping.lock();
        let _among_processes = lock(&target)?;
        match fs::read(&target) {
            Ok(found) if found == before => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(&target)(error)),
        }
        let fill = |hidden: &Path| write(hidden, bytes);
        self.place(root, name, Placement::Replace, fill, io_error).map(|_| true)
    }
}

/// Takes the lock of `target`, a hidden file beside it. Returns `None` where there are no locks.
fn lock(target: &Path) -> Result<Option<File>, StoreError> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let path = parent(target).join(format!(".{name}.lock"));
    let mut options = File::options();
    let file = match options.read(true).write(true).create(true).truncate(false).open(&path) {
        Ok(file) => file,
        // The directory is not there: neither is the file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&path)(error)),
    };
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if began.elapsed() < WAIT => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                let why = "another process has the lock and does not release it";
                return Err(failed(&path)(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}
