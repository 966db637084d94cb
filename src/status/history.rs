//! Rings of what was measured: every second for ten minutes, every minute for a day. Their memory is
//! bounded: some 100 KB.

use std::cmp::Ordering;
use std::collections::VecDeque;

use serde_json::{Value, json};

/// The names of the columns, in the order of [`Point::values`].
pub(super) const COLUMNS: [&str; WIDTH] = [
    "lines_per_second",
    "bytes_per_second",
    "landed_rows_per_second",
    "landed_bytes_per_second",
    "ack_p50_seconds",
    "ack_p99_seconds",
    "pending_bytes",
    "pending_bodies",
    "working_memory_bytes",
    "resident_memory_bytes",
];
const WIDTH: usize = 10;
/// The columns of which a minute has the mean of its seconds; of the others it has the largest.
const MEANS: usize = 5;
const SECONDS: usize = 600;
const MINUTES: usize = 1440;

/// The measurements of one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Unix time in seconds.
    pub(super) at: i64,
    /// Values by column; NaN where there is none.
    pub(super) values: [f32; WIDTH],
}

/// The rings.
#[derive(Debug, Default)]
pub(super) struct History {
    seconds: VecDeque<Point>,
    minutes: VecDeque<Point>,
    /// The seconds of the minute that has not ended.
    minute: Vec<Point>,
}

impl History {
    /// Adds a second. One that is there is left out; one before the last, whose clock was set back, begins the
    /// history anew.
    pub(super) fn push(&mut self, point: Point) {
        match self.seconds.back().map(|last| last.at.cmp(&point.at)) {
            Some(Ordering::Equal) => return,
            Some(Ordering::Greater) => *self = History::default(),
            Some(Ordering::Less) | None => {}
        }
        if self.minute.first().is_some_and(|first| first.at / 60 != point.at / 60) {
            push(&mut self.minutes, fold(&self.minute), MINUTES);
            self.minute.clear();
        }
        self.minute.push(point);
        push(&mut self.seconds, point, SECONDS);
    }

    /// Returns the points after `after`, Unix time in seconds; of minutes, two more.
    pub(super) fn to_json(&self, after: i64) -> Value {
        let rows = |ring: &VecDeque<Point>, after: i64| -> Vec<Value> {
            ring.iter().filter(|point| point.at > after).map(Point::row).collect()
        };
        // A minute has the time at which it began, and is known once it has ended.
        let minutes = rows(&self.minutes, after.saturating_sub(120));
        let seconds = rows(&self.seconds, after);
        let columns: Vec<&str> = std::iter::once("at").chain(COLUMNS).collect();
        json!({"columns": columns, "seconds": seconds, "minutes": minutes})
    }

    /// Returns the growth of a column in a second over the seconds that are kept: of the largest value in
    /// their second half against that in their first. What rises and falls with each roll does not grow.
    pub(super) fn growth(&self, column: &str) -> Option<f64> {
        let (first, last) = (self.seconds.front()?.at, self.seconds.back()?.at);
        let middle = first + (last - first) / 2;
        let most = |is_late: bool| {
            let half = self.seconds.iter().filter(|point| (point.at > middle) == is_late);
            half.filter_map(|point| point.get(column)).reduce(f64::max)
        };
        let seconds = (last - middle) as f64;
        (seconds >= 5.0).then_some((most(true)? - most(false)?) / seconds)
    }

    /// Returns the mean of a column over the last `seconds`; 0 without any.
    pub(super) fn mean(&self, column: &str, seconds: usize) -> f64 {
        let last: Vec<f64> =
            self.seconds.iter().rev().take(seconds).filter_map(|point| point.get(column)).collect();
        if last.is_empty() { 0.0 } else { last.iter().sum::<f64>() / last.len() as f64 }
    }

    /// Returns the last second in the form of [`History::to_json`].
    pub(super) fn last_second(&self) -> Value {
        let columns: Vec<&str> = std::iter::once("at").chain(COLUMNS).collect();
        let seconds: Vec<Value> = self.last().map(Point::row).into_iter().collect();
        json!({"columns": columns, "seconds": seconds, "minutes": []})
    }

    /// Returns the last second.
    pub(super) fn last(&self) -> Option<&Point> {
        self.seconds.back()
    }
}

impl Point {
    /// Returns the value of a column, if it has one.
    pub(super) fn get(&self, column: &str) -> Option<f64> {
        let at = COLUMNS.iter().position(|name| *name == column)?;
        self.values.get(at).map(|value| f64::from(*value)).filter(|value| value.is_finite())
    }

    /// Returns the time and the values, in the order of the columns.
    fn row(&self) -> Value {
        // Digits beyond the third place of a second or byte are noise, and bytes on the wire.
        let values = self.values.iter().map(|value| match value.is_finite() {
            true if value.abs() >= 100.0 => json!(f64::from(value.round())),
            true => json!((f64::from(*value) * 1e4).round() / 1e4),
            false => Value::Null,
        });
        Value::Array(std::iter::once(json!(self.at)).chain(values).collect())
    }
}

fn push(ring: &mut VecDeque<Point>, point: Point, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(point);
}

/// Makes one point of the seconds of a minute, at its beginning.
fn fold(seconds: &[Point]) -> Point {
    let mut values = [f32::NAN; WIDTH];
    for (column, folded) in values.iter_mut().enumerate() {
        let all = seconds.iter().filter_map(|point| point.values.get(column).copied());
        let all: Vec<f32> = all.filter(|value| value.is_finite()).collect();
        *folded = match column {
            _ if all.is_empty() => f32::NAN,
            0..MEANS => all.iter().sum::<f32>() / all.len() as f32,
            _ => all.iter().copied().fold(f32::MIN, f32::max),
        };
    }
    Point { at: seconds.first().map_or(0, |first| first.at / 60 * 60), values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_kept_in_bounded_memory_and_asked_for_in_parts() {
        let mut history = History::default();
        for at in 0..100_000_i64 {
            let mut values = [f32::NAN; WIDTH];
            (values[0], values[5], values[6]) = ((at % 60) as f32, at as f32, 2.0 * at as f32);
            history.push(Point { at, values });
        }
        history.push(Point { at: 99_999, values: [0.0; WIDTH] });
        assert_eq!((history.seconds.len(), history.minutes.len()), (SECONDS, MINUTES));
        let minute = history.minutes.back().unwrap();
        assert_eq!((minute.at, minute.values[0]), (99_900, 29.5));
        assert_eq!((minute.values[5], minute.values[4].is_nan()), (99_959.0, true));
        assert_eq!(history.growth("pending_bytes"), Some(2.0));
        let part = history.to_json(99_990);
        assert_eq!(part["seconds"].as_array().unwrap().len(), 9);
        assert_eq!(part["minutes"].as_array().unwrap().len(), 1, "the last that has ended");
        assert_eq!(part["seconds"][0][0], json!(99_991));
        assert_eq!(part["seconds"][0][2], Value::Null);
        assert_eq!(part["columns"].as_array().unwrap().len(), WIDTH + 1);
        // The clock is set back.
        history.push(Point { at: 5, values: [0.0; WIDTH] });
        assert_eq!((history.seconds.len(), history.minutes.len()), (1, 0));
    }
}
