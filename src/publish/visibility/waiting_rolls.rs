//! The rolls of a node that wait for tables, and the marks that say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lake::Receipt;
use crate::record::{Micros, Roll};

/// The rolls of a node that some table may lack.
#[derive(Debug)]
pub(crate) struct WaitingRolls {
    pub(super) node: Arc<str>,
    /// Rolls that have landed, with the time if it is known. Of those that a listing alone has named, a
    /// receipt may be missing.
    pub(super) rolls: BTreeMap<Roll, Option<Micros>>,
    /// For each table what is known of it; none of any before the first attempt.
    pub(super) tables: Vec<OfTable>,
}

/// A table, as far as the rolls of a node are about it.
#[derive(Debug, Default)]
pub(super) struct OfTable {
    /// The roll up to which it lacks nothing, once it was asked.
    pub(super) mark: Option<Roll>,
    /// The number of the table that it was when its mark was read.
    generation: u64,
    /// The rolls that it has got.
    pub(super) added: Added,
}

/// Rolls of a node that a table has got, by this process or another one, since it was asked for the mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) rolls: u64,
    pub(crate) files: u64,
    pub(crate) rows: u64,
    /// The last version that was seen; none if nothing was committed.
    pub(crate) version: Option<u64>,
}

/// The marks of all nodes in each table, with which table it was.
#[derive(Debug)]
pub(crate) struct Marks(pub(super) Vec<(u64, BTreeMap<String, Roll>)>);

impl WaitingRolls {
    /// Begins with nothing known of the rolls of `node`.
    pub(crate) fn of(node: Arc<str>) -> WaitingRolls {
        WaitingRolls { node, rolls: BTreeMap::new(), tables: Vec::new() }
    }

    /// Begins with the marks of `node` in each table.
    pub(super) fn after(node: Arc<str>, Marks(marks): &Marks) -> WaitingRolls {
        let tables = marks.iter().map(|(generation, of)| OfTable {
            mark: Some(of.get(&*node).copied().unwrap_or(Roll(0))),
            generation: *generation,
            added: Added::default(),
        });
        WaitingRolls { tables: tables.collect(), ..WaitingRolls::of(node) }
    }

    /// Tells whether no roll waits, as far as is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.rolls.is_empty()
    }

    /// Adds a roll that has landed at `at`.
    pub(crate) fn landed(&mut self, roll: Roll, at: Micros) {
        self.rolls.insert(roll, Some(at));
    }

    /// Adds rolls that a listing has named.
    pub(super) fn listed(&mut self, rolls: Vec<u64>) {
        for roll in rolls {
            self.rolls.entry(Roll(roll)).or_default();
        }
    }

    /// Returns the number of rolls, and the time at which the first of them landed, if it is known.
    pub(crate) fn status(&self) -> (usize, Option<Micros>) {
        (self.rolls.len(), self.rolls.values().flatten().min().copied())
    }

    /// Returns the roll up to which no table lacks one, as far as is known.
    pub(super) fn least_mark(&self) -> Roll {
        let marks = self.tables.iter().map(|table| table.mark.unwrap_or(Roll(0)));
        marks.min().unwrap_or(Roll(0))
    }

    /// Takes out the rolls that no table lacks.
    pub(super) fn forget_committed(&mut self) {
        let least = self.least_mark();
        self.rolls.retain(|roll, _| *roll > least);
    }

    /// Returns for each table what it has got.
    pub(super) fn into_added(self) -> Vec<Added> {
        self.tables.into_iter().map(|table| table.added).collect()
    }
}

impl OfTable {
    /// Forgets the mark of a table that is another one since.
    pub(super) fn forget_old_mark(&mut self, generation: u64) {
        if self.generation != generation {
            (self.generation, self.mark) = (generation, None);
        }
    }
}

impl Added {
    /// Adds the rolls of a commit.
    pub(super) fn count(&mut self, receipts: &[Receipt], table: &str, version: u64) {
        self.version = Some(version);
        self.rolls += receipts.len() as u64;
        for file in receipts.iter().flat_map(|receipt| receipt.files_of(table)) {
            self.files += 1;
            self.rows += file.rows;
        }
    }
}
