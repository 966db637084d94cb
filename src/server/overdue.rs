//! Bodies that have waited for too long to land.
//!
//! That a server is overdue is trouble, and does not make it unready: it acknowledges for as long as
//! the journal has room, and a load balancer that took every node out would lose what could have been
//! kept. Past the journal's room the server is not ready, by itself.

use std::time::Duration;

use crate::record::Micros;

/// Judges the age of the oldest body that has not landed.
#[derive(Debug)]
pub(super) struct Overdue {
    limit: Duration,
    /// The oldest body was too old at the last look.
    is_overdue: bool,
}

/// The outcome of a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is too old.
    InTime,
    /// The oldest body was in time at the look before; its age is this.
    Begun(Duration),
    /// It was too old already; its age is this.
    Goes(Duration),
    /// Nothing is too old any more.
    Over,
}

impl Overdue {
    /// Bodies older than `limit` are overdue.
    pub(super) fn new(limit: Duration) -> Overdue {
        Overdue { limit, is_overdue: false }
    }

    /// Looks at the time at which the oldest body was received. A time to come is no age: the clock
    /// was set back.
    pub(super) fn look(&mut self, oldest: Option<Micros>, now: Micros) -> Verdict {
        let age_us = oldest.map_or(0, |at| now.0.saturating_sub(at.0));
        let age = Duration::from_secs(u64::try_from(age_us).unwrap_or(0) / 1_000_000);
        let was = std::mem::replace(&mut self.is_overdue, age > self.limit);
        match (was, self.is_overdue) {
            (false, false) => Verdict::InTime,
            (false, true) => Verdict::Begun(age),
            (true, true) => Verdict::Goes(age),
            (true, false) => Verdict::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_overdue_past_the_limit_until_it_lands() {
        let s = |seconds: i64| Micros(seconds * 1_000_000);
        let mut overdue = Overdue::new(Duration::from_secs(480));
        let mut look = |oldest: Option<i64>, now| overdue.look(oldest.map(s), s(now));
        assert_eq!(look(None, 10_000), Verdict::InTime);
        assert_eq!(look(Some(100), 580), Verdict::InTime);
        assert_eq!(look(Some(100), 581), Verdict::Begun(Duration::from_secs(481)));
        assert_eq!(look(Some(100), 700), Verdict::Goes(Duration::from_secs(600)));
        assert_eq!(look(Some(690), 700), Verdict::Over);
        assert_eq!(look(Some(800), 700), Verdict::InTime, "the clock was set back");
    }
}
