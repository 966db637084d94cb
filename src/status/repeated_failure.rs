//! Failures that repeat: which of them are worth a line of the log.

use std::time::Duration;

use crate::record::Micros;

/// Least time between two lines about one failure.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// A failure that goes on: the first is logged, then one a minute, then its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RepeatedFailure {
    run: Option<Run>,
}

/// Failures without a success between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    since: Micros,
    logged: Micros,
    /// Failures so far.
    pub(super) count: u64,
}

impl Run {
    /// Returns the number of failures and their time as an insertion into a sentence; nothing for the
    /// first one.
    pub(super) fn text(&self, now: Micros) -> String {
        match self.count {
            1 => String::new(),
            count => format!(" ({count} failures in {:?})", self.lasted(now)),
        }
    }

    /// Returns the time from the first failure to `now`, in whole seconds.
    pub(super) fn lasted(&self, now: Micros) -> Duration {
        let us = u64::try_from(now.0.saturating_sub(self.since.0)).unwrap_or(0);
        Duration::from_secs(us / 1_000_000)
    }
}

impl RepeatedFailure {
    /// Takes note of a failure. Returns the run of failures if it is to be logged.
    pub(super) fn failed(&mut self, now: Micros) -> Option<Run> {
        let Some(run) = &mut self.run else {
            return Some(*self.run.insert(Run { since: now, logged: now, count: 1 }));
        };
        run.count += 1;
        let us = i64::try_from(LINE_EVERY.as_micros()).unwrap_or(i64::MAX);
        // A clock that was set back keeps nothing from the log for longer than a minute.
        if (run.logged.0..run.logged.0.saturating_add(us)).contains(&now.0) {
            return None;
        }
        run.logged = now;
        Some(*run)
    }

    /// Takes note of a success. Returns the run of failures that it ends.
    pub(super) fn succeeded(&mut self) -> Option<Run> {
        self.run.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: i64) -> Micros {
        Micros(seconds * 1_000_000)
    }

    #[test]
    fn the_first_failure_is_logged_then_one_a_minute_then_the_end() {
        let mut failure = RepeatedFailure::default();
        assert_eq!(failure.succeeded(), None);
        let mut logged = Vec::new();
        for second in 0..=150 {
            if let Some(run) = failure.failed(s(second)) {
                logged.push((second, run.count, run.lasted(s(second)).as_secs()));
            }
        }
        assert_eq!(logged, [(0, 1, 0), (60, 61, 60), (120, 121, 120)]);
        let run = Run { since: s(0), logged: s(60), count: 61 };
        assert_eq!(run.text(s(60)), " (61 failures in 60s)");
        let run = failure.succeeded().unwrap();
        assert_eq!((run.count, run.lasted(s(200)).as_secs()), (151, 200));
        assert_eq!(failure.failed(s(201)).unwrap().count, 1, "a new failure is logged at once");
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let mut failure = RepeatedFailure::default();
        assert!(failure.failed(s(1_000)).is_some());
        assert!(failure.failed(s(10)).is_some());
        assert_eq!(failure.succeeded().unwrap().lasted(s(10)), Duration::ZERO);
    }
}
