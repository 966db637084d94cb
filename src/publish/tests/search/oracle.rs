//! The lines that must be in the lake, and those that must not.

use std::collections::{BTreeMap, BTreeSet};

use super::super::harness::{Landed, SECOND, TABLE};
use super::super::landed::{BodyId, Row, key};
use super::super::visible;
use super::{Asked, History, Tally};
use crate::record::Micros;

/// A line of a body that others may have too.
struct Shared<'a> {
    node: &'a str,
    at: Micros,
    is_there: bool,
    seq: u64,
    line: u64,
}

impl History {
    /// Acked ⊆ landed ∪ quarantined, each own line once, whole, and nothing that was never asked for. Of
    /// shared lines, those that are not there equal one that is, and receipts count all of them.
    pub(super) fn check(&mut self, tally: &mut Tally) {
        let mut landed = self.harness.landed();
        if !self.harness.flat.is_empty() {
            landed.check_flat(self.always_flat);
            tally.flat_rows += landed.flat.values().map(|rows| rows.len() as u64).sum::<u64>();
        }
        let bodies = self.bodies(&landed, tally);
        landed.check_receipts();
        let left_out = self.check_lines(&landed, &bodies, tally);
        check_counts(&landed, &bodies, &left_out);
        tally.promoted += u64::from(!landed.in_column.is_empty());
        // An object of several parts may be completed late, over what stands.
        if self.harness.part_bytes > 1_000 {
            landed.check_sizes();
        }
        tally.rolls += landed.receipts.len() as u64;
        tally.commits += visible::check(&self.harness, &self.place);
        tally.catalog.add(self.place.faults());
        self.kept.check(&self.harness);
        let faults = self.harness.store.faults();
        tally.steps += faults.calls;
        tally.store_faults += faults.all();
        tally.store.calls += faults.calls;
        tally.store.refused += faults.refused;
        tally.store.lost_answers += faults.lost_answers;
        tally.store.late += faults.late;
        tally.store.exists += faults.exists;
        tally.store.away += faults.away;
        tally.store.deaths += faults.deaths;
        tally.disk_faults += self.harness.disk.hits();
        tally.doubles.index_faults += self.harness.index.hits();
        let windows = &self.doubles.windows_ms;
        let of_two = self.harness.second.is_some() && windows.iter().any(Option::is_some);
        tally.doubles.of_two_tables += u64::from(of_two);
    }

    /// Returns the bodies that are in the lake, and their numbers. Every body is, whole and once, or not at
    /// all.
    fn bodies(&self, landed: &Landed, tally: &mut Tally) -> BTreeMap<BodyId, &Asked> {
        let own = landed.all_rows.iter().map(|row| (key(&row.table, &row.id), &row.body));
        let mut numbers: BTreeMap<String, &BodyId> = own.collect();
        numbers.extend(landed.rejected.iter().map(|(id, bodies)| (id.clone(), &bodies[0])));
        let mut there = BTreeMap::new();
        for asked in &self.asked {
            let ids: Vec<String> = asked.own().map(|id| key(asked.table, id)).collect();
            let counts: Vec<u64> = ids.iter().map(|id| landed.count(id)).collect();
            let what = &ids[0];
            assert!(counts.iter().all(|count| *count <= 1), "{what} is doubled: {counts:?}");
            assert!(counts.iter().all(|count| *count == counts[0]), "{what} is torn: {counts:?}");
            assert!(!asked.acked || counts[0] == 1, "{what} was acked and is lost");
            let set_aside = ids.iter().any(|id| landed.set_aside.contains(id));
            let is_there = counts[0] == 1;
            assert!(!asked.faulty || set_aside == is_there, "{what} is faulty and landed");
            tally.set_aside += u64::from(set_aside);
            let wrongly = set_aside && !asked.faulty;
            tally.wrongly_set_aside += u64::from(wrongly);
            // A process that died three times of something else is all that may look like a body's.
            assert!(!wrongly || self.deaths >= 4, "{what} has no fault and is set aside");
            if is_there {
                let numbers: BTreeSet<&BodyId> = ids.iter().map(|id| numbers[id]).collect();
                assert_eq!(numbers.len(), 1, "{what} is of several bodies: {numbers:?}");
                let number = numbers.first().copied().expect("one").clone();
                assert!(there.insert(number, asked).is_none(), "{what} has another's number");
            }
        }
        there
    }

    /// Checks each line of the bodies that are there. Returns how many of each body were left out.
    fn check_lines(
        &self,
        landed: &Landed,
        bodies: &BTreeMap<BodyId, &Asked>,
        tally: &mut Tally,
    ) -> BTreeMap<BodyId, u64> {
        let mut rows: BTreeMap<(&BodyId, u64), &Row> = BTreeMap::new();
        for row in &landed.all_rows {
            let asked = bodies.get(&row.body).unwrap_or_else(|| panic!("never asked for: {row:?}"));
            let line = asked.lines.get(row.line as usize - 1).expect("a line of it");
            assert_eq!((asked.table, &line.id, asked.at), (&*row.table, &row.id, row.at));
            assert!(rows.insert((&row.body, row.line), row).is_none(), "twice: {row:?}");
            // A value is in its column or in `_extra`, and in one of them.
            let has_plan = asked.text.contains(&format!("\"plan\":\"{}\"", row.id));
            let expected: &[String] = if has_plan { std::slice::from_ref(&row.id) } else { &[] };
            assert_eq!(row.plans, expected, "{row:?}");
        }
        for (id, of) in &landed.rejected {
            let has = |asked: &&Asked| asked.lines.iter().any(|l| key(asked.table, &l.id) == *id);
            assert!(of.iter().all(|of| bodies.get(of).is_some_and(has)), "never asked for: {id}");
        }
        let (mut shared, mut left_out) = (BTreeMap::<_, Vec<Shared<'_>>>::new(), BTreeMap::new());
        let mut set_aside = BTreeMap::<(&str, &str), u64>::new();
        for (number, asked) in bodies {
            let mut own = asked.own().map(|id| key(asked.table, id));
            let is_set_aside = own.any(|id| landed.set_aside.contains(&id));
            for (line, of) in (1..).zip(&asked.lines) {
                let place = (asked.table, &*of.id);
                if is_set_aside {
                    *set_aside.entry(place).or_default() += 1;
                } else if of.is_shared {
                    let is_there = rows.contains_key(&(number, line));
                    let (node, seq) = (&*number.0, number.1);
                    *left_out.entry(number.clone()).or_default() += u64::from(!is_there);
                    let line = Shared { node, at: asked.at, is_there, seq, line };
                    shared.entry(place).or_default().push(line);
                }
            }
        }
        for (place, lines) in &shared {
            let set_aside = set_aside.get(place).copied().unwrap_or_default();
            self.check_shared(*place, lines, set_aside, tally);
        }
        left_out
    }

    /// Checks the lines of one session, which are in the order of their bodies: one is left out if, and only
    /// if, one before it has landed within the window. `set_aside` more were in bodies that were set aside.
    fn check_shared(
        &self,
        (table, id): (&str, &str),
        lines: &[Shared<'_>],
        set_aside: u64,
        tally: &mut Tally,
    ) {
        let of = usize::from(table == SECOND);
        let window_us = self.doubles.windows_ms[of].map(|ms| ms as i64 * 1_000);
        let mut landed = 0;
        for (at, line) in lines.iter().enumerate() {
            let what = format!("{id} in {table}, body {}, line {}", line.seq, line.line);
            let mut before = lines[..at].iter().filter(|l| l.is_there && l.node == line.node);
            let is_double =
                window_us.is_some_and(|window_us| before.any(|b| line.at.0 - b.at.0 <= window_us));
            assert!(
                line.is_there || is_double,
                "{what} is left out, and equals none that is there"
            );
            tally.doubles.left_out += u64::from(!line.is_there);
            landed += u64::from(line.is_there && is_double);
            let is_after = line.is_there && window_us.is_some() && at > 0 && !is_double;
            tally.doubles.after_window += u64::from(is_after);
        }
        tally.doubles.landed += landed;
        // Rows from before a field became a column differ from those after it, once. A body that was set
        // aside when its roll was sealed takes its rows out of the index, and not those that land for them.
        let differs = table == TABLE && self.harness.promote_after.is_some();
        let most = u64::from(differs) + set_aside;
        assert!(
            landed <= most || self.doubles.lost[of],
            "{id} in {table} is there {landed} times more"
        );
    }
}

/// Holds the counts of each receipt against the lines of its bodies.
fn check_counts(
    landed: &Landed,
    bodies: &BTreeMap<BodyId, &Asked>,
    left_out: &BTreeMap<BodyId, u64>,
) {
    for receipt in &landed.receipts {
        let range =
            (receipt.node.clone(), receipt.first_seq)..=(receipt.node.clone(), receipt.last_seq);
        let lines: usize = bodies.range(range.clone()).map(|(_, asked)| asked.lines.len()).sum();
        assert_eq!(receipt.lines, lines as u64, "received = landed + quarantined + doubled");
        for table in [TABLE, SECOND] {
            let of = bodies.range(range.clone()).filter(|(_, asked)| asked.table == table);
            let doubled: u64 = of.filter_map(|(number, _)| left_out.get(number)).sum();
            let counted = receipt.tables.iter().find(|of| of.table == table);
            assert_eq!(counted.map_or(0, |of| of.doubled), doubled, "{table} in {receipt:?}");
        }
    }
}
