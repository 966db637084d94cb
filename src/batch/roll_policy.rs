//! The roll policy: a pure function of the open roll's state, the limits and the time.
//!
//! A roll has everything that is open, of all tables and partitions: it is a contiguous range of
//! sequence numbers, so that one number divides what has landed from what has not.

use crate::record::Micros;

/// Limits of a roll. It ends at the first that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollLimits {
    /// Age of the roll's oldest body, in microseconds. `i64::MAX` turns it off.
    pub age_us: i64,
    /// Estimated Parquet bytes of the largest file.
    pub file_bytes: u64,
    /// Rows of all files.
    pub rows: u64,
    /// Bytes of the bodies, as they came, whose journal segments the roll keeps from being released.
    pub source_bytes: u64,
}

/// The state of the open roll, as far as the policy depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollState {
    /// Time at which the oldest body was added; `None` while the roll is empty.
    pub since: Option<Micros>,
    /// Estimated Parquet bytes of the largest file.
    pub file_bytes: u64,
    /// Rows of all files.
    pub rows: u64,
    /// Bytes of the bodies.
    pub source_bytes: u64,
}

/// The reason that a roll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollReason {
    /// The oldest body has reached the age.
    Age,
    /// A file has reached its size.
    Bytes,
    /// The rows have reached their number.
    Rows,
    /// The bodies keep too much of the journal from being released.
    Source,
    /// The footers of the open files take too much memory.
    Footers,
    /// Spilled rows take too much of the disk.
    Spilled,
    /// As many rows as may be are compared with later ones, or left out.
    Doubles,
    /// A roll is taken apart: it has as many bodies as it may.
    Apart,
    /// The staging files take too much of the disk.
    Disk,
    /// Somebody asked for it.
    Asked,
    /// The source has ended.
    End,
}

impl RollReason {
    /// Every reason.
    pub const ALL: [RollReason; 11] = [
        RollReason::Age,
        RollReason::Bytes,
        RollReason::Rows,
        RollReason::Source,
        RollReason::Footers,
        RollReason::Spilled,
        RollReason::Doubles,
        RollReason::Apart,
        RollReason::Disk,
        RollReason::Asked,
        RollReason::End,
    ];

    /// Returns the name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RollReason::Age => "age",
            RollReason::Bytes => "bytes",
            RollReason::Rows => "rows",
            RollReason::Source => "source",
            RollReason::Footers => "footers",
            RollReason::Spilled => "spilled",
            RollReason::Doubles => "doubles",
            RollReason::Apart => "apart",
            RollReason::Disk => "disk",
            RollReason::Asked => "asked",
            RollReason::End => "end",
        }
    }
}

/// Returns the reason to end the roll now, if there is one.
///
/// A clock that was set back makes the age negative. The age is unknown then, and the roll ends at
/// once, rather than when the clock has caught up.
#[must_use]
pub fn decide(limits: &RollLimits, state: &RollState, now: Micros) -> Option<RollReason> {
    let since = state.since?;
    if state.rows >= limits.rows {
        Some(RollReason::Rows)
    } else if state.file_bytes >= limits.file_bytes {
        Some(RollReason::Bytes)
    } else if state.source_bytes >= limits.source_bytes {
        Some(RollReason::Source)
    } else if limits.age_us == i64::MAX {
        None
    } else if now < since || now.0.saturating_sub(since.0) >= limits.age_us {
        Some(RollReason::Age)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RollLimits =
        RollLimits { age_us: 60_000_000, file_bytes: 100, rows: 10, source_bytes: 1000 };

    fn open() -> RollState {
        RollState { since: Some(Micros(0)), file_bytes: 1, rows: 1, source_bytes: 1 }
    }

    #[test]
    fn nothing_open_never_rolls() {
        let open = RollState { since: None, file_bytes: 1000, rows: 1000, source_bytes: 10_000 };
        assert_eq!(decide(&LIMITS, &open, Micros(i64::MAX)), None);
    }

    #[test]
    fn each_limit_rolls_at_its_value_and_not_before() {
        let now = Micros(59_999_999);
        assert_eq!(decide(&LIMITS, &open(), now), None);
        assert_eq!(decide(&LIMITS, &open(), Micros(60_000_000)), Some(RollReason::Age));
        assert_eq!(decide(&LIMITS, &RollState { rows: 9, ..open() }, now), None);
        assert_eq!(decide(&LIMITS, &RollState { rows: 10, ..open() }, now), Some(RollReason::Rows));
        assert_eq!(decide(&LIMITS, &RollState { file_bytes: 99, ..open() }, now), None);
        assert_eq!(
            decide(&LIMITS, &RollState { file_bytes: 100, ..open() }, now),
            Some(RollReason::Bytes)
        );
        assert_eq!(decide(&LIMITS, &RollState { source_bytes: 999, ..open() }, now), None);
        assert_eq!(
            decide(&LIMITS, &RollState { source_bytes: 1000, ..open() }, now),
            Some(RollReason::Source)
        );
    }

    #[test]
    fn a_clock_set_back_does_not_keep_a_roll_open() {
        let open = RollState { since: Some(Micros(10_000_000)), ..open() };
        assert_eq!(decide(&LIMITS, &open, Micros(9_999_999)), Some(RollReason::Age));
        assert_eq!(decide(&LIMITS, &open, Micros(i64::MIN)), Some(RollReason::Age));
        assert_eq!(decide(&LIMITS, &open, Micros(10_000_000)), None);
    }

    #[test]
    fn an_age_that_is_turned_off_never_rolls() {
        let (limits, now) = (RollLimits { age_us: i64::MAX, ..LIMITS }, [i64::MIN, 0, i64::MAX]);
        let open = RollState { since: Some(Micros(0)), ..open() };
        assert!(now.iter().all(|now| decide(&limits, &open, Micros(*now)).is_none()));
    }
}
