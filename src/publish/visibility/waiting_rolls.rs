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
    /// For each table the roll up to which it lacks nothing, once it was asked.
    pub(super) marks: Vec<Option<Roll>>,
    /// For each table which one it was when its mark was read.
    pub(super) generations: Vec<u64>,
    /// For each table what it has got.
    pub(super) added: Vec<Added>,
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
        WaitingRolls {
            node,
            rolls: BTreeMap::new(),
            marks: Vec::new(),
            generations: Vec::new(),
            added: Vec::new(),
        }
    }

    /// Tells whether no roll waits, as far as is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.rolls.is_empty()
    }

    /// Adds a roll that has landed at `at`.
    pub(crate) fn landed(&mut self, roll: Roll, at: Micros) {
        self.rolls.insert(roll, Some(at));
    }

    /// Returns the number of rolls, and the time at which the first of them landed, if it is known.
    pub(crate) fn status(&self) -> (usize, Option<Micros>) {
        (self.rolls.len(), self.rolls.values().flatten().min().copied())
    }

    /// Forgets the mark of a table that is another one since.
    pub(super) fn forget_old_mark(&mut self, at: usize, generation: u64) {
        let known = self.generations.get_mut(at).zip(self.marks.get_mut(at));
        if let Some((known, mark)) = known.filter(|(known, _)| **known != generation) {
            (*known, *mark) = (generation, None);
        }
    }

    pub(super) fn count(&mut self, at: usize, receipts: &[Receipt], table: &str, version: u64) {
        let Some(added) = self.added.get_mut(at) else { return };
        added.version = Some(version);
        added.rolls += receipts.len() as u64;
        for file in receipts.iter().flat_map(|receipt| receipt.files_of(table)) {
            added.files += 1;
            added.rows += file.rows;
        }
    }

    pub(super) fn set_mark(&mut self, at: usize, mark: Roll) {
        if let Some(known) = self.marks.get_mut(at) {
            *known = Some(mark);
        }
    }
}
