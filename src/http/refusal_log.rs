//! The log of bodies that were refused for reasons of ours.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tracing::warn;

use super::reply::Refusal;
use crate::lock::lock;

/// How often the log tells of refused bodies.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Bodies refused for reasons of ours. A sender gives up after a few tries, so the operator must
/// hear of it, but not once a request.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    bodies: u64,
    told_at: Option<Instant>,
}

impl Refused {
    pub(super) fn tell(&self, refusal: &Refusal, now: Instant) {
        if let Some(bodies) = self.count(now) {
            warn!(bodies, error = %refusal, "bodies refused with 503");
        }
    }

    /// Counts one; returns how many there are to tell of, if it is time to.
    fn count(&self, now: Instant) -> Option<u64> {
        let mut untold = lock(&self.0);
        untold.bodies += 1;
        if untold.told_at.is_some_and(|at| now.duration_since(at) < TELL_EVERY) {
            return None;
        }
        untold.told_at = Some(now);
        Some(std::mem::take(&mut untold.bodies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_bodies_are_told_of_at_once_and_then_every_ten_seconds() {
        let (refused, start) = (Refused::default(), Instant::now());
        assert_eq!(refused.count(start), Some(1));
        assert_eq!(refused.count(start + Duration::from_secs(1)), None);
        assert_eq!(refused.count(start + Duration::from_secs(9)), None);
        assert_eq!(refused.count(start + Duration::from_secs(10)), Some(3));
        assert_eq!(refused.count(start + Duration::from_secs(11)), None);
    }
}
