//! The beginning of a verification, as people write it.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::Scope;

/// The rolls to begin with: `checkpoint`, a day, a time or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Those after the checkpoints.
    Checkpoint,
    /// Those since a time.
    At(DateTime<Utc>),
    /// Those of the time up to now.
    Ago(Duration),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Since, String> {
        let text = text.trim();
        if text == "checkpoint" {
            return Ok(Since::Checkpoint);
        }
        if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            return Ok(Since::At(day.and_time(NaiveTime::MIN).and_utc()));
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Since::At(time.to_utc()));
        }
        humantime::parse_duration(text).map(Since::Ago).map_err(|_| {
            "give a day (2026-11-23), a time (2026-11-23T06:00:00Z), how long ago (36h, 2days) or \
             the word checkpoint"
                .to_owned()
        })
    }
}

impl Since {
    /// Returns the rolls that are meant, at the time `now`.
    #[must_use]
    pub fn scope(self, now: DateTime<Utc>) -> Scope {
        match self {
            Since::Checkpoint => Scope::SinceCheckpoint,
            Since::At(time) => Scope::Since(time),
            Since::Ago(ago) => {
                let ago = chrono::Duration::from_std(ago).unwrap_or(chrono::Duration::MAX);
                let first = now.checked_sub_signed(ago).unwrap_or(DateTime::<Utc>::MIN_UTC);
                Scope::Since(first)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_times_and_durations() {
        let now = DateTime::parse_from_rfc3339("2026-11-23T06:00:00Z").expect("a time").to_utc();
        let scope = |text: &str| text.parse::<Since>().map(|since| since.scope(now));
        let at = |text: &str| {
            Ok(Scope::Since(DateTime::parse_from_rfc3339(text).expect("a time").to_utc()))
        };
        assert_eq!(scope("2026-11-22"), at("2026-11-22T00:00:00Z"));
        assert_eq!(scope("2026-11-22T07:00:00+01:00"), at("2026-11-22T06:00:00Z"));
        assert_eq!(scope("36h"), at("2026-11-21T18:00:00Z"));
        assert_eq!(scope("2days"), at("2026-11-21T06:00:00Z"));
        assert_eq!(scope("checkpoint"), Ok(Scope::SinceCheckpoint));
        assert_eq!(scope("500000000000y"), Ok(Scope::Since(DateTime::<Utc>::MIN_UTC)));
        for wrong in ["", "yesterday", "2026-13-01", "7", "checkpoints"] {
            assert!(scope(wrong).is_err(), "{wrong}");
        }
    }
}
