//! The log of bodies that were refused with 5xx.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::warn;

use super::refusal::Refusal;

/// The least time between two lines of the log.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// A log of bodies that were refused with 5xx. A sender gives up after a few tries, so the operator
/// must learn of it, but not once a request.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(Mutex<Unlogged>);

#[derive(Debug, Default)]
struct Unlogged {
    bodies: u64,
    logged_at: Option<Instant>,
}

impl RefusalLog {
    /// Counts a refused body, and logs the count unless that was done a moment ago.
    pub(super) fn record(&self, refusal: &Refusal, now: Instant) {
        if let Some(bodies) = self.count(now) {
            warn!(bodies, error = %refusal, "bodies refused with 503");
        }
    }

    /// Counts one; returns the count since the last line if the next is due.
    fn count(&self, now: Instant) -> Option<u64> {
        let mut unlogged = self.0.lock();
        unlogged.bodies += 1;
        if unlogged.logged_at.is_some_and(|at| now.duration_since(at) < LOG_EVERY) {
            return None;
        }
        unlogged.logged_at = Some(now);
        Some(std::mem::take(&mut unlogged.bodies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_bodies_are_logged_at_once_and_then_every_ten_seconds() {
        let (log, start) = (RefusalLog::default(), Instant::now());
        assert_eq!(log.count(start), Some(1));
        assert_eq!(log.count(start + Duration::from_secs(1)), None);
        assert_eq!(log.count(start + Duration::from_secs(9)), None);
        assert_eq!(log.count(start + Duration::from_secs(10)), Some(3));
        assert_eq!(log.count(start + Duration::from_secs(11)), None);
    }
}
