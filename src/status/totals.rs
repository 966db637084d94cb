//! What has landed by table, counted over restarts, and the lines received in each hour of a week.
//!
//! They are for a status page: nothing rests on them. They are kept in a file of the state directory that
//! is written once a minute, so a crash loses a minute of them.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::events::RollEvent;
use super::observers::Observer;
use crate::record::Micros;

/// Bytes below which a data file is small: readers spend more on finding it than on reading it.
pub const SMALL_FILE_BYTES: u64 = 16_000_000;
/// Hours that are kept.
const MOST_HOURS: usize = 7 * 24;
/// The most tables that are counted.
const MOST_TABLES: usize = 256;
/// The form of the file.
const VERSION: u32 = 1;

/// What has landed in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Landed {
    pub(super) rows: u64,
    pub(super) files: u64,
    pub(super) small_files: u64,
    pub(super) bytes: u64,
}

/// Counts that outlive the process.
#[derive(Debug, Default)]
pub struct Totals {
    // A mutex: written at the end of each roll and once a second. The critical sections touch memory only.
    counts: Mutex<Counts>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    version: u32,
    /// Unix time in microseconds from which on tables are counted.
    since: i64,
    tables: BTreeMap<String, Landed>,
    /// Lines received by hour: its number since 1970, and the lines.
    hours: VecDeque<(i64, f64)>,
}

impl Totals {
    /// Takes over the text that [`Totals::to_text`] has made earlier, at the time `now`. Any other text is
    /// none: the counts begin anew then.
    pub fn begin(&self, text: Option<&str>, now: Micros) {
        let kept = text.and_then(|text| serde_json::from_str::<Counts>(text).ok());
        let kept = kept.filter(|kept| {
            kept.version == VERSION
                && kept.tables.len() <= MOST_TABLES
                && kept.hours.len() <= MOST_HOURS
                && kept.hours.iter().all(|(_, lines)| lines.is_finite())
        });
        let new = Counts { version: VERSION, since: now.0, ..Counts::default() };
        *self.counts.lock() = kept.unwrap_or(new);
    }

    /// Returns the counts as the text of a file.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Numbers and texts.
        serde_json::to_string(&*self.counts.lock()).unwrap_or_default()
    }

    /// Adds lines that were received.
    pub(super) fn received(&self, now: Micros, lines: f64) {
        let hour = now.0.div_euclid(3_600_000_000);
        let hours = &mut self.counts.lock().hours;
        // A clock that was set back adds to what is there.
        match hours.iter_mut().rev().find(|(at, _)| *at == hour) {
            Some((_, sum)) => *sum += lines.max(0.0),
            None => {
                // What is beyond the week, before it or, by a clock that was wrong, after it, goes.
                hours.retain(|(at, _)| (hour - MOST_HOURS as i64 + 1..hour).contains(at));
                hours.push_back((hour, lines.max(0.0)));
            }
        }
    }

    /// Returns the lines received by hour, each with the Unix time in seconds at which it began.
    pub(super) fn hours(&self) -> Value {
        let counts = self.counts.lock();
        counts.hours.iter().map(|(hour, lines)| json!([hour * 3600, lines.round()])).collect()
    }

    /// Returns what has landed in each table, and the time from which on it was counted.
    pub(super) fn tables(&self) -> (BTreeMap<String, Landed>, Micros) {
        let counts = self.counts.lock();
        (counts.tables.clone(), Micros(counts.since))
    }
}

impl Observer for Totals {
    fn observe(&self, _at: Micros, event: &RollEvent) {
        let RollEvent::TableLanded { table, rows, files, bytes, small_files, .. } = event else {
            return;
        };
        let tables = &mut self.counts.lock().tables;
        if tables.len() >= MOST_TABLES && !tables.contains_key(table) {
            return;
        }
        let landed = tables.entry(table.clone()).or_default();
        landed.rows += rows;
        landed.files += *files as u64;
        landed.small_files += *small_files as u64;
        landed.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Roll;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn a_week_is_kept_over_restarts() {
        let totals = Totals::default();
        totals.begin(None, Micros(5));
        for hour in 0..200 {
            totals.received(Micros(hour * HOUR), 1.0);
            totals.received(Micros(hour * HOUR + 17), 2.0);
        }
        totals.observe(
            Micros(9),
            &RollEvent::TableLanded {
                roll: Roll(1),
                table: "t".into(),
                rows: 10,
                files: 3,
                bytes: 700,
                small_files: 2,
                doubled: 0,
                rejects: Vec::new(),
            },
        );
        let again = Totals::default();
        again.begin(Some(&totals.to_text()), Micros(77));
        let hours = again.hours();
        let hours = hours.as_array().unwrap();
        assert_eq!((hours.len(), &hours[167]), (MOST_HOURS, &json!([199 * 3600, 3.0])));
        let (tables, since) = again.tables();
        assert_eq!(since, Micros(5));
        assert_eq!(tables["t"], Landed { rows: 10, files: 3, small_files: 2, bytes: 700 });
        // The clock was an hour ahead.
        again.received(Micros(198 * HOUR), 4.0);
        assert_eq!(again.hours().as_array().unwrap()[166], json!([198 * 3600, 7.0]));
        again.received(Micros(500 * HOUR), 4.0);
        assert_eq!(again.hours(), json!([[500 * 3600, 4.0]]));
    }

    #[test]
    fn a_file_that_is_no_such_text_begins_anew() {
        for text in
            [None, Some(""), Some("{}"), Some(r#"{"version":9,"since":1,"tables":{},"hours":[]}"#)]
        {
            let totals = Totals::default();
            totals.begin(text, Micros(8));
            assert_eq!(totals.tables(), (BTreeMap::new(), Micros(8)));
        }
    }
}
