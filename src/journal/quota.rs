//! The quota of the journal and the reserve of its file system.

use std::time::{Duration, Instant};

use super::AppendError;
use super::state::Shared;

/// The time for which a measurement of the free space is trusted, less what was written since.
const FREE_SPACE_TRUST: Duration = Duration::from_millis(250);

/// Checks whether a usual bulk would be accepted now, as it came: one that is smaller may still be
/// when this says no, and one that is larger may not when it says yes.
pub(crate) fn accepting(shared: &Shared) -> Result<(), AppendError> {
    if let Some(refusal) = shared.refusal() {
        return Err(refusal);
    }
    if let Some(reason) = shared.state().no_segment.clone() {
        return Err(AppendError::NoSegment { reason });
    }
    FreeSpace::default().check(shared, shared.options.usual_bulk_bytes())
}

/// Checks bodies against quota and reserve, and asks the file system now and then.
#[derive(Default)]
pub(crate) struct FreeSpace {
    /// The time of the last measurement, and the free bytes then, less what was written since.
    measured: Option<(Instant, u64)>,
}

impl FreeSpace {
    /// Checks whether `bytes` more may be written.
    pub(crate) fn check(&mut self, shared: &Shared, bytes: u64) -> Result<(), AppendError> {
        let (used_bytes, quota_bytes) = (shared.state().bytes, shared.options.quota_now_bytes());
        if used_bytes.saturating_add(bytes) > quota_bytes {
            return Err(AppendError::Full { used_bytes, quota_bytes });
        }
        let reserve_bytes = shared.options.reserve_bytes;
        let fits = |free: u64| free >= reserve_bytes.saturating_add(bytes);
        if let Some((when, free)) = self.measured
            && when.elapsed() < FREE_SPACE_TRUST
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
        self.measured = Some((Instant::now(), free_bytes));
        if fits(free_bytes) {
            Ok(())
        } else {
            Err(AppendError::DiskReserve { free_bytes, reserve_bytes })
        }
    }

    /// Subtracts bytes that were written from the last measurement.
    pub(crate) fn written(&mut self, bytes: u64) {
        if let Some((_, free)) = &mut self.measured {
            *free = free.saturating_sub(bytes);
        }
    }
}
