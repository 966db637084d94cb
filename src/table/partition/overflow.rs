//! The overflow partition of a template: that of rows whose own partitions a roll has not opened.
//!
//! ```text
//!  date={startTime:%Y-%m-%d}                       date=0001-01-01
//!  tenant={tenantId}/at={startTime:%Y/hour=%H}     tenant=__HIVE_DEFAULT_PARTITION__/at=0001…
//! ```
//! Readers take the type of a partition column from all of its values: DuckDB and Spark would make a
//! text of every date for one that is none, and queries that compare dates would fail. So the overflow
//! partition has the first time that there is, in the template's own format. A format that shows no year
//! could show any other time as well, and a text has no value that cannot come: these are null.

use chrono::{DateTime, Utc};

use super::{Part, Segment, Template};
use crate::table::Revision;

/// 0001-01-01, the first time of a column, in microseconds.
const FIRST_US: i64 = -62_135_596_800_000_000;
/// The calendar repeats itself after 400 years, days of the week included.
const AGAIN_US: i64 = FIRST_US + 146_097 * super::DAY_US;

impl Template {
    /// Returns the values of the overflow partition. Before [`Revision::Fourth`] it was that of nulls.
    #[must_use]
    pub fn overflow_values(&self, revision: Revision) -> Vec<Option<String>> {
        let value = |segment: &Segment| {
            let value = render(segment, FIRST_US).filter(|_| revision >= Revision::Fourth)?;
            (render(segment, AGAIN_US)? != value).then_some(value)
        };
        self.segments.iter().map(value).collect()
    }

    /// Returns true if a value holds a text column.
    pub(crate) fn has_text(&self) -> bool {
        let mut parts = self.segments.iter().flat_map(|segment| &segment.parts);
        parts.any(|part| matches!(part, Part::Text { .. }))
    }
}

/// Renders a segment for a time; none if it holds a text.
fn render(segment: &Segment, time_us: i64) -> Option<String> {
    let mut value = String::new();
    for part in &segment.parts {
        match part {
            Part::Literal(text) => value.push_str(text),
            Part::Text { .. } => return None,
            Part::Time { format, .. } => value.push_str(&show_time(time_us, format)),
        }
    }
    Some(value)
}

/// Renders a time in microseconds; empty for one that is out of the calendar's range.
pub(crate) fn show_time(time_us: i64, format: &str) -> String {
    use std::fmt::Write as _;
    let mut shown = String::new();
    if let Some(time) = DateTime::<Utc>::from_timestamp_micros(time_us) {
        // The format was checked when the template was parsed, so a failure means no value.
        if write!(shown, "{}", time.format(format)).is_err() {
            shown.clear();
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TableSchema;
    use crate::table::hive_path::{PathRules, hive_path};

    fn path(template: &str, revision: Revision) -> String {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let template = Template::parse(template, &schema).unwrap();
        let rules = PathRules { revision, ..PathRules::default() };
        hive_path(&template, &template.overflow_values(revision), rules)
    }

    #[test]
    fn the_overflow_partition_has_the_first_time_in_the_templates_format() {
        for (template, overflow) in [
            ("date={startTime:%Y-%m-%d}", "date=0001-01-01"),
            ("date={startTime:%F}/hour={startTime:%H}", "date=0001-01-01/hour=HIVE"),
            ("land={country}/date={startTime:%Y%m%d}", "land=HIVE/date=00010101"),
            ("at=y{startTime:%Y}-{startTime:%m}", "at=y0001-01"),
            ("day={startTime:%a %j}", "day=HIVE"),
            ("year={startTime:%y}", "year=HIVE"),
            ("x={country}{startTime:%Y}", "x=HIVE"),
            ("", ""),
        ] {
            let overflow = overflow.replace("HIVE", "__HIVE_DEFAULT_PARTITION__");
            assert_eq!(path(template, Revision::LATEST), overflow, "{template}");
        }
        let third = path("date={startTime:%Y-%m-%d}", Revision::Third);
        assert_eq!(third, "date=__HIVE_DEFAULT_PARTITION__");
    }
}
