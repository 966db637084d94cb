//! Rolls of other nodes that no process commits any more: those of a plain table, once it has a log.
//!
//! A node whose rolls a table has, has a mark in it. One without a mark has rolls of other tables alone,
//! or rolls that landed before the table had a log. An import finds out which by the first receipt of the
//! node, so that what it reads does not grow with the rolls of other tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt as _, stream};

use super::log_table::Failure;
use super::log_tables::LogTables;
use super::waiting_rolls::WaitingRolls;
use crate::record::Roll;

/// Most nodes without a mark that are looked at.
const MOST_NODES: usize = 1000;
/// Nodes looked at at a time.
const AT_A_TIME: usize = 16;

impl LogTables {
    /// Tells whether there is a table that nobody has created yet. Blocks.
    ///
    /// # Errors
    /// A table that cannot take rolls; the lake.
    pub(crate) fn is_new(&self) -> Result<bool, Failure> {
        for table in self.tables() {
            if table.state()?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Commits the rolls of nodes other than `own`: of all nodes if the tables are `new`, else of those
    /// that no table has a mark of, although their first roll has rows of it. Blocks, for as long as the
    /// lake fails while rolls are committed. Returns the number of nodes whose rolls were added, and why
    /// some were not.
    pub(crate) fn commit_left_behind(&self, own: &str, new: bool) -> (usize, Vec<String>) {
        let (mut added, mut wait) = (0, Vec::new());
        let nodes = match self.left_behind(own, new) {
            Ok(nodes) => nodes,
            Err(Failure { table, why, .. }) => {
                wait.push(format!("rolls of other nodes may wait for table {table}: {why}"));
                Vec::new()
            }
        };
        for node in nodes {
            let (got, failures) = self.commit_waiting(WaitingRolls::of(Arc::clone(&node)));
            added += usize::from(got.iter().any(|got| got.rolls > 0));
            wait.extend(failures.into_iter().map(|Failure { table, why, .. }| {
                format!("rolls of {node} wait for table {table}: {why}")
            }));
        }
        (added, wait)
    }

    fn left_behind(&self, own: &str, new: bool) -> Result<Vec<Arc<str>>, Failure> {
        let mut nodes = self.nodes()?;
        nodes.retain(|node| **node != *own);
        if new {
            return Ok(nodes);
        }
        let mut left = BTreeSet::new();
        for table in self.tables() {
            let marks = table.marks()?;
            let unmarked = nodes.iter().filter(|node| !marks.contains_key(&***node));
            let unmarked = unmarked.take(MOST_NODES).cloned();
            let first = stream::iter(unmarked).map(|node| async move {
                // One that cannot be read is told of by `verify`.
                let receipt = self.lake.receipt(&node, Roll::FIRST).await.ok().flatten()?;
                receipt.files_of(table.name()).next().is_some().then_some(node)
            });
            let first = first.buffer_unordered(AT_A_TIME).filter_map(std::future::ready);
            left.extend(self.runtime.block_on(first.collect::<Vec<_>>()));
        }
        Ok(left.into_iter().collect())
    }
}
