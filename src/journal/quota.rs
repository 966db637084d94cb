//! Whether there is room on disk: the quota and the reserve.

use std::time::{Duration, Instant};

use super::AppendError;
use super::frame::HEADER_BYTES;
use super::state::Shared;

/// How long a look at the free space is trusted, less what was written since.
const FREE_FOR: Duration = Duration::from_millis(250);

/// Whether a small body would be taken now.
pub(crate) fn accepting(shared: &Shared) -> Result<(), AppendError> {
    match shared.refusal() {
        Some(refusal) => Err(refusal),
        None => Free::default().check(shared, HEADER_BYTES as u64),
    }
}

/// Quota and reserve, with the file system asked now and then.
#[derive(Default)]
pub(crate) struct Free {
    /// When it was asked, and what it said, less what was written since.
    seen: Option<(Instant, u64)>,
}

impl Free {
    /// Whether `bytes` more may be written.
    pub(crate) fn check(&mut self, shared: &Shared, bytes: u64) -> Result<(), AppendError> {
        let (used_bytes, quota_bytes) = (shared.state().bytes, shared.options.quota_bytes);
        if used_bytes.saturating_add(bytes) > quota_bytes {
            return Err(AppendError::Full { used_bytes, quota_bytes });
        }
        let reserve_bytes = shared.options.reserve_bytes;
        let fits = |free: u64| free >= reserve_bytes.saturating_add(bytes);
        if let Some((when, free)) = self.seen
            && when.elapsed() < FREE_FOR
            && fits(free)
        {
            return Ok(());
        }
        let dir = &shared.options.dir;
        let free_bytes = match shared.disk.free_bytes(dir) {
            Ok(free) => free,
            Err(error) => {
                // Not knowing is no reason to refuse: a full disk will say so by itself.
                tracing::warn!(dir = %dir.display(), %error, "cannot ask for free space");
                u64::MAX
            }
        };
        self.seen = Some((Instant::now(), free_bytes));
        if fits(free_bytes) {
            Ok(())
        } else {
            Err(AppendError::DiskReserve { free_bytes, reserve_bytes })
        }
    }

    pub(crate) fn written(&mut self, bytes: u64) {
        if let Some((_, free)) = &mut self.seen {
            *free = free.saturating_sub(bytes);
        }
    }
}
