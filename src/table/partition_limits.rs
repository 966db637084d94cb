//! The limits on partitions that bodies may open, as sealed with a table.
//!
//! A partition is a file of each roll, of some 40 KB and two milliseconds however little is in it. So a
//! body of a few kilobytes that names ten thousand days would be worth hundreds of megabytes. Which
//! partitions are opened is decided in `batch::partition_bounds`, from what is here, the bodies, and the
//! times at which they were received: a roll that is made again has the same files.

use std::time::Duration;

use crate::record::Micros;

/// Most partitions of a table in one roll, whatever the limits are: their footers are held in memory.
pub const MAX_PARTITIONS: usize = 10_000;

/// Limits on the partitions that bodies may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionLimits {
    /// Partitions of a table that a roll opens, besides those that the bytes of its bodies are worth.
    pub max_partitions: u32,
    /// Time in milliseconds, back from when a body was received, of which partitions are opened freely.
    /// None for any time: the rows of an import are of whatever years its files are, and elements of
    /// sessions are held against their session's time.
    pub time_window_ms: Option<u64>,
    /// The place of rows whose times are outside of the window.
    pub outside_window: OutsideWindow,
}

/// The place of rows whose times are outside of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutsideWindow {
    /// Their own partitions as long as they are few, and the overflow partition.
    #[default]
    Overflow,
    /// The quarantine.
    Quarantine,
}

impl PartitionLimits {
    /// The limits of what is received, without a setting.
    pub const RECEIVED: PartitionLimits = PartitionLimits {
        max_partitions: 1000,
        time_window_ms: Some(30 * 24 * 3_600_000),
        outside_window: OutsideWindow::Overflow,
    };

    /// The limits of what is imported: files span years, and whoever imports them has chosen them.
    pub const IMPORTED: PartitionLimits = PartitionLimits {
        max_partitions: MAX_PARTITIONS as u32,
        time_window_ms: None,
        outside_window: OutsideWindow::Overflow,
    };

    /// Returns the window; `None` for any time.
    #[must_use]
    pub fn time_window(&self) -> Option<Duration> {
        self.time_window_ms.map(Duration::from_millis)
    }
}

impl Default for PartitionLimits {
    fn default() -> PartitionLimits {
        PartitionLimits::RECEIVED
    }
}

impl OutsideWindow {
    /// Returns the name in settings and seals.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OutsideWindow::Overflow => "overflow",
            OutsideWindow::Quarantine => "quarantine",
        }
    }

    /// Parses the name in settings and seals.
    ///
    /// # Errors
    /// The name is none of these. The text follows the name: `is neither …`.
    pub fn parse(name: &str) -> Result<OutsideWindow, String> {
        match name.trim() {
            "overflow" => Ok(OutsideWindow::Overflow),
            "quarantine" => Ok(OutsideWindow::Quarantine),
            _ => Err("is neither overflow nor quarantine".to_owned()),
        }
    }
}

/// Time around the receipt of a body that is recent: clocks and time zones differ.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// The distance of a row's times from when its body was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    /// Within a day.
    Recent,
    /// Before that, and within the window.
    Late,
    /// Outside of the window.
    Far,
}

impl Distance {
    /// Returns the distance of a time, in microseconds, for a window; none for any time.
    #[must_use]
    pub fn of(time_us: i64, received_at: Micros, window: Option<Duration>) -> Distance {
        let (time, received) = (i128::from(time_us), i128::from(received_at.0));
        let (recent, ago) = (RECENT.as_micros().cast_signed(), received - time);
        match window {
            _ if (-recent..=recent).contains(&ago) => Distance::Recent,
            None => Distance::Late,
            Some(window) if ago > 0 && ago <= window.as_micros().cast_signed() => Distance::Late,
            Some(_) => Distance::Far,
        }
    }

    /// Returns the distance of a time of an element, in microseconds, from that of its session: within a
    /// day, or far, as it is where the session has none.
    #[must_use]
    pub fn of_element(time_us: i64, session_us: Option<i64>) -> Distance {
        let near = |session_us: i64| {
            let ago = i128::from(session_us) - i128::from(time_us);
            ago.unsigned_abs() <= RECENT.as_micros()
        };
        if session_us.is_some_and(near) { Distance::Recent } else { Distance::Far }
    }
}

/// The columns of a partition template's times, and their window: rows with times outside of it are put
/// into quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    /// Columns by their index in the schema.
    pub columns: Vec<usize>,
    /// Time back from when a body was received.
    pub window: Duration,
}

impl TimeWindow {
    /// Returns true for a time in microseconds that is outside of the window.
    #[must_use]
    pub fn is_outside(&self, time_us: i64, received_at: Micros) -> bool {
        Distance::of(time_us, received_at, Some(self.window)) == Distance::Far
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 24 * 3_600_000_000;
    const NOW: Micros = Micros(20_000 * DAY_US);
    const LIMITS: PartitionLimits = PartitionLimits::RECEIVED;

    #[test]
    fn distances_are_of_the_receipt_and_not_of_a_clock() {
        let of = |days: i64| Distance::of(NOW.0 - days * DAY_US, NOW, LIMITS.time_window());
        let distances = [0, 1, -1, 2, 30, 31, -2, 20_000].map(of);
        use Distance::{Far, Late, Recent};
        assert_eq!(distances, [Recent, Recent, Recent, Late, Late, Far, Far, Far]);
        for time in [i64::MIN, i64::MAX, 0] {
            assert_eq!(Distance::of(time, NOW, LIMITS.time_window()), Far);
            assert_eq!(Distance::of(time, NOW, None), Late);
            let at = Micros(time);
            assert_eq!(Distance::of(time, at, LIMITS.time_window()), Recent);
        }
    }
}
