//! Transforms of a template's segments, as tables have them that partition by columns and not by paths
//! (Iceberg).
//!
//! | segment of the template | transform |
//! |---|---|
//! | `date={startTime:%Y-%m-%d}`, or another format of year, month and day | `day(startTime)` |
//! | the same with hours; of year and month; of the year | `hour`, `month`, `year` |
//! | `tenant={tenantId}` | `identity(tenantId)` |
//!
//! Others have none, and their tables cannot be partitioned so ([`Template::transforms`]).

use chrono::format::{Item, Numeric, StrftimeItems};
use chrono::{DateTime, Datelike as _, NaiveDateTime, Utc};

use super::{Part, Template};

const HOUR_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;

/// A transform of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    /// The text itself.
    Identity,
    /// The unit of time that a time is in.
    Time(Unit),
}

impl Transform {
    /// Returns its name in Iceberg.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Transform::Identity => "identity",
            Transform::Time(Unit::Year) => "year",
            Transform::Time(Unit::Month) => "month",
            Transform::Time(Unit::Day) => "day",
            Transform::Time(Unit::Hour) => "hour",
        }
    }
}

/// A unit of time. Its values are counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Year,
    Month,
    Day,
    Hour,
}

impl Unit {
    /// Returns the unit of the times that a format tells apart, and no others.
    pub(crate) fn of_format(format: &str) -> Option<Unit> {
        let mut shown = [false; 4];
        for item in StrftimeItems::new(format) {
            let at = match item {
                Item::Literal(_) | Item::OwnedLiteral(_) | Item::Space(_) | Item::OwnedSpace(_) => {
                    continue;
                }
                Item::Numeric(Numeric::Year, _) => 0,
                Item::Numeric(Numeric::Month, _) => 1,
                Item::Numeric(Numeric::Day, _) => 2,
                Item::Numeric(Numeric::Hour, _) => 3,
                _ => return None,
            };
            *shown.get_mut(at)? = true;
        }
        match shown {
            [true, false, false, false] => Some(Unit::Year),
            [true, true, false, false] => Some(Unit::Month),
            [true, true, true, false] => Some(Unit::Day),
            [true, true, true, true] => Some(Unit::Hour),
            _ => None,
        }
    }

    /// Parses a value that `format` has shown.
    pub(crate) fn parse(self, value: &str, format: &str) -> Option<i32> {
        let (rest, rest_format) = match self {
            Unit::Year => ("-01-01 00:00", "-%m-%d %H:%M"),
            Unit::Month => ("-01 00:00", "-%d %H:%M"),
            Unit::Day => (" 00:00", " %H:%M"),
            Unit::Hour => (":00", ":%M"),
        };
        let (value, format) = (format!("{value}{rest}"), format!("{format}{rest_format}"));
        self.of_time(NaiveDateTime::parse_from_str(&value, &format).ok()?.and_utc())
    }

    /// Returns the value of a time.
    pub(crate) fn of_micros(self, micros: i64) -> Option<i32> {
        self.of_time(DateTime::from_timestamp_micros(micros)?)
    }

    fn of_time(self, time: DateTime<Utc>) -> Option<i32> {
        let years = time.year().checked_sub(1970)?;
        match self {
            Unit::Year => Some(years),
            Unit::Month => years.checked_mul(12)?.checked_add(i32::try_from(time.month0()).ok()?),
            Unit::Day => i32::try_from(time.timestamp().div_euclid(DAY_SECONDS)).ok(),
            Unit::Hour => i32::try_from(time.timestamp().div_euclid(HOUR_SECONDS)).ok(),
        }
    }
}

impl Template {
    /// Returns the column, by its index in the schema, and the transform of each segment.
    ///
    /// # Errors
    /// The segment that no transform says, and what to do.
    pub(crate) fn transforms(&self) -> Result<Vec<(usize, Transform)>, String> {
        let mut transforms: Vec<(usize, Transform)> = Vec::new();
        for segment in &self.segments {
            let refused = |why: &str| {
                format!(
                    "partition `{}`: {why}; Iceberg knows days (`date={{startTime:%Y-%m-%d}}`), \
                     hours, months and years of one column, and columns of text by themselves",
                    segment.name
                )
            };
            let (column, transform) = match &*segment.parts {
                [Part::Text { column }] => (*column, Transform::Identity),
                [Part::Time { column, format, .. }] => match Unit::of_format(format) {
                    Some(unit) => (*column, Transform::Time(unit)),
                    None => {
                        return Err(refused("its format shows something else than a time's date"));
                    }
                },
                _ => return Err(refused("it has several parts")),
            };
            if transforms.iter().any(|(other, _)| *other == column) {
                return Err(refused("its column is in another partition as well"));
            }
            transforms.push((column, transform));
        }
        Ok(transforms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_from_1970() {
        for (unit, value, format, expected) in [
            (Unit::Day, "1970-01-01", "%F", 0),
            (Unit::Day, "1969-12-31", "%F", -1),
            (Unit::Day, "2017-11-16", "%F", 17_486),
            (Unit::Day, "20171116", "%Y%m%d", 17_486),
            (Unit::Day, "0001-01-01", "%F", -719_162),
            (Unit::Day, "9999-12-31", "%F", 2_932_896),
            (Unit::Month, "2017-11", "%Y-%m", 574),
            (Unit::Month, "1969-12", "%Y-%m", -1),
            (Unit::Year, "2017", "%Y", 47),
            (Unit::Year, "1969", "%Y", -1),
            (Unit::Hour, "2017-11-16-22", "%F-%H", 419_686),
            (Unit::Hour, "1969-12-31-23", "%F-%H", -1),
        ] {
            assert_eq!(unit.parse(value, format), Some(expected), "{unit:?} {value}");
        }
        assert_eq!(Unit::Day.parse("2017-02-30", "%F"), None);
        // The values that the specification has for its hash of a timestamp, as days and hours.
        assert_eq!(Unit::Day.of_micros(1_510_871_468_000_000), Some(17_486));
        assert_eq!(Unit::Hour.of_micros(1_510_871_468_000_000), Some(419_686));
        assert_eq!(Unit::Day.of_micros(-1), Some(-1));
    }
}
