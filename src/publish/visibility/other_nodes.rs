//! The rolls of other nodes, which a server commits after its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log_table::Failure;
use super::log_tables::LogTables;
use super::waiting_rolls::{Marks, WaitingRolls};

/// The pause after which nodes are tried again whose rolls a table could not take.
const LATER: Duration =
    if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(600) };

/// The nodes of other processes whose rolls are still to be looked at. A lake has a node for each import: a
/// table is asked for the marks of all of them once.
pub(super) struct OtherNodes {
    /// The own node, which is left out.
    own: Arc<str>,
    /// Nodes in the order in which they are looked at, with the marks that were read when they were listed;
    /// none until then.
    listed: Option<(VecDeque<Arc<str>>, Marks)>,
    /// The rolls of the first of them that wait.
    waiting: Option<WaitingRolls>,
    /// Nodes whose rolls a table could not take.
    refused: Vec<Arc<str>>,
    /// The time at which these are tried again.
    again: Instant,
}

impl OtherNodes {
    pub(super) fn new(own: Arc<str>) -> OtherNodes {
        let (refused, again) = (Vec::new(), Instant::now());
        OtherNodes { own, listed: None, waiting: None, refused, again }
    }

    /// Returns the time until there is something to do: none while nodes are left, for ever if there are
    /// none to be tried again.
    pub(super) fn pause(&self) -> Duration {
        let is_done = self.listed.as_ref().is_some_and(|(nodes, _)| nodes.is_empty());
        match (is_done, self.refused.is_empty()) {
            (false, _) => Duration::ZERO,
            (true, true) => Duration::MAX,
            (true, false) => self.again.saturating_duration_since(Instant::now()),
        }
    }

    /// Takes one step: lists the nodes, or makes at most one commit a table for one of them. Returns the
    /// failures that trying again may end. Blocks.
    pub(super) fn attempt(&mut self, tables: &LogTables) -> Vec<Failure> {
        self.step(tables).unwrap_or_else(|failure| vec![failure])
    }

    fn step(&mut self, tables: &LogTables) -> Result<Vec<Failure>, Failure> {
        let Some((nodes, marks)) = &mut self.listed else {
            let mut nodes = tables.nodes()?;
            nodes.retain(|node| *node != self.own);
            self.listed = Some((nodes.into(), tables.marks()?));
            return Ok(Vec::new());
        };
        let Some(node) = nodes.front().cloned() else {
            if !self.refused.is_empty() && Instant::now() >= self.again {
                *marks = tables.marks()?;
                nodes.extend(self.refused.drain(..));
            }
            return Ok(Vec::new());
        };
        let waiting = match &mut self.waiting {
            Some(waiting) => waiting,
            none => none.insert(tables.waiting_after(&node, marks)?),
        };
        // In parts, so that what lands here does not wait for all that another node has left.
        let (failed, is_done) = tables.attempt_part(waiting);
        let (refused, away): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|failure| failure.is_final);
        if !away.is_empty() || !is_done {
            return Ok(away);
        }
        for Failure { table, why, .. } in &refused {
            tracing::error!("rolls of {node} are not in table {table}: {why}");
        }
        if !refused.is_empty() {
            self.again = Instant::now() + LATER;
            self.refused.push(node);
        }
        self.waiting = None;
        let _ = nodes.pop_front();
        Ok(Vec::new())
    }
}
