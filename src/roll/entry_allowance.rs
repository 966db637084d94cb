//! The allowance of entries of the quarantine that stand for one short line.
//!
//! Such an entry is for people, and takes fifty times the bytes of its line. A table has
//! [`MOST_ENTRIES`] of them at once, which a roll may take, and [`ENTRIES_A_DAY`] more a day; beyond
//! them short lines are joined ([`super::joined_rejects`]). It says how entries are written, never what
//! is a row or which lines are rejected, so that a roll that is made again need not have the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::record::Micros;
use crate::table::TableId;

/// The most entries of a table at once: a megabyte.
const MOST_ENTRIES: i64 = 8 << 10;
/// The entries of a table that come in a day: 64 megabytes.
const ENTRIES_A_DAY: i64 = 64 * MOST_ENTRIES;
/// The time in which one comes.
const ENTRY_US: i64 = 86_400_000_000 / ENTRIES_A_DAY;

/// The allowances of all tables, shared by threads.
pub(crate) struct EntryAllowance {
    clock: Arc<dyn Clock>,
    tables: Mutex<BTreeMap<TableId, Allowance>>,
}

impl EntryAllowance {
    /// Returns whole allowances.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> EntryAllowance {
        EntryAllowance { clock, tables: Mutex::default() }
    }

    /// Takes an entry of a table; returns false when there is none.
    pub(crate) fn take(&self, table: TableId) -> bool {
        let now = self.clock.now();
        self.tables.lock().entry(table).or_insert_with(|| Allowance::whole(now)).take(now)
    }
}

/// The allowance of one table.
struct Allowance {
    left: i64,
    /// The time up to which entries have come.
    at: Micros,
}

impl Allowance {
    fn whole(now: Micros) -> Allowance {
        Allowance { left: MOST_ENTRIES, at: now }
    }

    fn take(&mut self, now: Micros) -> bool {
        // A clock that was set back has nothing come until it has caught up with itself.
        let came = (now.0.saturating_sub(self.at.0) / ENTRY_US).max(0);
        if self.left.saturating_add(came) >= MOST_ENTRIES {
            (self.left, self.at) = (MOST_ENTRIES, now.max(self.at));
        } else {
            self.left += came;
            self.at.0 += came * ENTRY_US;
        }
        let taken = self.left > 0;
        self.left -= i64::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_a_megabyte_at_once_and_64_a_day() {
        let mut allowance = Allowance::whole(Micros(5));
        let take_all = |allowance: &mut Allowance, now| {
            (0..10 * MOST_ENTRIES).take_while(|_| allowance.take(Micros(now))).count() as i64
        };
        assert_eq!(take_all(&mut allowance, 5), MOST_ENTRIES);
        assert_eq!(take_all(&mut allowance, 5), 0);
        // Set back, and on again.
        assert_eq!(take_all(&mut allowance, 0), 0);
        let minute = 60_000_000;
        let mut taken = 0;
        for minutes in 1..=24 * 60 {
            taken += take_all(&mut allowance, 5 + minutes * minute);
        }
        assert!((taken - ENTRIES_A_DAY).abs() < 5, "{taken}");
        // A week without any is no more than the most.
        assert_eq!(take_all(&mut allowance, 8 * 86_400_000_000), MOST_ENTRIES);
    }

    #[test]
    fn tables_have_allowances_of_their_own() {
        let clock = Arc::new(crate::clock::ManualClock::at(Micros(0)));
        let allowance = EntryAllowance::new(clock);
        let schema = crate::schema::TableSchema::builtin("user_sessions").unwrap();
        let spec = |name: &str| {
            crate::table::Spec::new(name, Arc::clone(&schema), crate::table::Template::default())
        };
        let tables = crate::table::Tables::new(vec![spec("a"), spec("b")]).unwrap();
        let (a, b) = (tables.id("a").unwrap(), tables.id("b").unwrap());
        while allowance.take(a) {}
        assert!(allowance.take(b) && !allowance.take(a));
    }
}
