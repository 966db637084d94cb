//! The pace of a line of the log that a storm would write a thousand times a second.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The least time between two lines.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Counts what a line of the log tells, and says when the next is due.
#[derive(Debug, Default)]
pub(super) struct LogPace(Mutex<Unlogged>);

#[derive(Debug, Default)]
struct Unlogged {
    count: u64,
    logged_at: Option<Instant>,
}

impl LogPace {
    /// Counts `more`. Returns the count since the last line if the next is due.
    pub(super) fn count(&self, more: u64, now: Instant) -> Option<u64> {
        let mut unlogged = self.0.lock();
        unlogged.count += more;
        if unlogged.logged_at.is_some_and(|at| now.saturating_duration_since(at) < LOG_EVERY) {
            return None;
        }
        unlogged.logged_at = Some(now);
        Some(std::mem::take(&mut unlogged.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_at_once_and_the_rest_every_ten_seconds() {
        let (pace, start) = (LogPace::default(), Instant::now());
        assert_eq!(pace.count(1, start), Some(1));
        assert_eq!(pace.count(1, start + Duration::from_secs(1)), None);
        assert_eq!(pace.count(2, start + Duration::from_secs(9)), None);
        assert_eq!(pace.count(1, start + Duration::from_secs(10)), Some(4));
        assert_eq!(pace.count(1, start + Duration::from_secs(11)), None);
    }
}
