//! Counts of the events that a search has met.

use super::super::store::Faults;
use crate::commit::iceberg::table::tests::fake::Faults as CatalogFaults;

/// Counts over all histories.
#[derive(Debug, Default)]
pub(in crate::publish::tests) struct Tally {
    pub(in crate::publish::tests) histories: u64,
    pub(in crate::publish::tests) lives: u64,
    /// Bodies asked for, starts, and calls to the store; not those of a life that is over.
    pub(in crate::publish::tests) steps: u64,
    pub(in crate::publish::tests) acked: u64,
    pub(in crate::publish::tests) duplicates: u64,
    pub(in crate::publish::tests) refused: u64,
    /// Bodies that went to the decoder in memory.
    pub(in crate::publish::tests) handed: u64,
    pub(in crate::publish::tests) rolls: u64,
    pub(in crate::publish::tests) kills: u64,
    pub(in crate::publish::tests) power_cuts: u64,
    pub(in crate::publish::tests) disk_faults: u64,
    pub(in crate::publish::tests) store_faults: u64,
    pub(in crate::publish::tests) store: Faults,
    /// Older copies that were refused, and those that nothing was sealed since.
    pub(in crate::publish::tests) copies_refused: u64,
    pub(in crate::publish::tests) copies_taken: u64,
    pub(in crate::publish::tests) clones: u64,
    pub(in crate::publish::tests) other_lakes: u64,
    /// Bodies that were set aside, and those of them that had no fault.
    pub(in crate::publish::tests) set_aside: u64,
    pub(in crate::publish::tests) wrongly_set_aside: u64,
    /// Histories in which a field became a column.
    pub(in crate::publish::tests) promoted: u64,
    /// Commits to the log of the table, and attempts of the landing process that failed.
    pub(in crate::publish::tests) commits: u64,
    pub(in crate::publish::tests) commits_failed: u64,
    /// Rows of flat tables.
    pub(in crate::publish::tests) flat_rows: u64,
    pub(in crate::publish::tests) doubles: DoublesTally,
    /// Faults of the catalog.
    pub(in crate::publish::tests) catalog: CatalogFaults,
}

/// Counts of doubles.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::publish::tests) struct DoublesTally {
    /// Histories of two tables, one or both of which leave doubles out.
    pub(super) of_two_tables: u64,
    /// Lines that were left out.
    pub(super) left_out: u64,
    /// Doubles that landed as the index was lost, full or off, and as the window had passed.
    pub(super) landed: u64,
    pub(super) after_window: u64,
    /// Lives in which a table that leaves doubles out does not.
    pub(super) off: u64,
    /// Calls of the index that failed, and indexes that were lost or are older ones.
    pub(super) index_faults: u64,
    pub(super) index_lost: u64,
}
