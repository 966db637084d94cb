//! Tables with a log (Delta): receipts, the log and the files against each other.
//!
//! The mark of a node in the log is its last roll that the table has, and is moved by the commits that
//! add the files of rolls. So of a file that a receipt names:
//! * Its roll is at or below the mark: it was added. It is live, or another writer's commit has removed
//!   it: rows were put into other files (`OPTIMIZE`) or deleted. That is counted as replaced and is no
//!   problem, nor is it one that it is gone from the lake then (`VACUUM`). Which of these happened is in
//!   the commits as long as the log keeps them: a log that has all of its commits, of which none removes
//!   the file, never had it, and that is a problem.
//! * Its roll is above the mark: it waits for its commit, and is counted. No reader sees it yet; it has to
//!   be there.
//!
//! And of a live file: it stands in the lake with the size that the log says, and no other path of the
//! log is the same file. If its name is one that a roll is given, a receipt names it. Other live files
//! were written by others, and are counted.
//!
//! The log is read last. What has landed since the receipts were listed is asked for by its name.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures::{StreamExt as _, stream};

use super::super::table_log::{self, TableLog};
use super::history::History;
use super::listed::{Listed, Live};
use super::report::{LogReport, ProblemKind, Report};
use super::{ASKED_AGAIN, Rolls};
use crate::commit::delta::LiveFile;
use crate::lake::names::ObjectName;
use crate::lake::{Lake, ReceiptError, StoreError};
use crate::record::Roll;

/// Files of other writers asked for at a time.
const AT_A_TIME: usize = 64;

/// The tables of a lake that have a log, and files of them that may have been replaced.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// Tables that were asked for or seen: true for those that have one.
    tables: BTreeMap<String, bool>,
    /// Files that receipts name and that are not in the lake, with the receipt.
    missing: BTreeMap<String, Arc<str>>,
}

impl Logs {
    /// Notes that the lake has the log of `table`.
    pub(super) fn add(&mut self, table: &str) {
        if !self.tables.contains_key(table) {
            self.tables.insert(table.to_owned(), true);
        }
    }

    /// Finds out about `table`, unless it is known.
    pub(super) async fn ask(&mut self, lake: &Lake, table: &str) -> Result<(), StoreError> {
        if !self.tables.contains_key(table) {
            let found = lake.has_log(table).await?;
            self.tables.insert(table.to_owned(), found);
        }
        Ok(())
    }

    /// Notes a file of `table` that is not there. Returns false if the table has no log, which could
    /// say that the file was replaced.
    pub(super) fn note_missing(&mut self, table: &str, path: &str, receipt: &Arc<str>) -> bool {
        let has_log = self.tables.get(table).is_some_and(|has| *has);
        // Rejects are in no log.
        let is_data = matches!(ObjectName::parse(path), ObjectName::Data { .. });
        if has_log && is_data {
            self.missing.insert(path.to_owned(), Arc::clone(receipt));
        }
        has_log && is_data
    }

    /// Holds the logs against the files and receipts that were looked at.
    pub(super) async fn check(
        mut self,
        report: &mut Report,
        lake: &Lake,
        listed: &mut Listed,
        nodes: &[Rolls],
    ) -> Result<(), StoreError> {
        let tables = std::mem::take(&mut self.tables).into_iter();
        for table in tables.filter(|(_, has)| *has).map(|(table, _)| table) {
            let log = match TableLog::open(lake, &table).await {
                Ok(Some(log)) => log,
                // It has no commit yet, so that everything waits.
                Ok(None) => continue,
                Err(why) => {
                    report.problem(ProblemKind::Log, &table_log::folder(&table), why);
                    continue;
                }
            };
            let marks = log.marks.clone();
            let of = LogReport {
                table: table.clone(),
                version: log.version,
                marks: marks.iter().map(|(node, roll)| (node.clone(), roll.0)).collect(),
                ..LogReport::default()
            };
            let mut check = Check {
                report,
                lake,
                listed,
                nodes,
                missing: &mut self.missing,
                others: HashSet::new(),
                foreign: Vec::new(),
                asked: 0,
                of,
            };
            match log.each_file(async |file| check.live(file).await).await {
                Ok(looked) => looked?,
                Err(why) => {
                    check.report.problem(ProblemKind::Log, &table_log::folder(&table), why);
                    continue;
                }
            }
            check.rest(&marks).await?;
        }
        // Those of tables whose log could not be read.
        for (path, receipt) in self.missing {
            report.no_file(&path, &receipt);
        }
        Ok(())
    }
}

/// The check of one table.
struct Check<'a> {
    report: &'a mut Report,
    lake: &'a Lake,
    listed: &'a mut Listed,
    nodes: &'a [Rolls],
    missing: &'a mut BTreeMap<String, Arc<str>>,
    /// Live files that are not in the listing.
    others: HashSet<String>,
    /// Those of them that others wrote, with their sizes.
    foreign: Vec<(String, u64)>,
    /// How many receipts were asked for again.
    asked: usize,
    of: LogReport,
}

impl Check<'_> {
    /// Checks a live file.
    async fn live(&mut self, file: LiveFile) -> Result<(), StoreError> {
        let path = format!("{}/{}", self.of.table, file.path);
        let ours = match ObjectName::parse(&path) {
            ObjectName::Data { node, roll, table, .. } if table == self.of.table => {
                Some((node.to_owned(), roll))
            }
            _ => None,
        };
        let Some((node, roll)) = ours else {
            self.of.foreign_files += 1;
            // A shallow clone names files of other tables by their URL.
            if file.path.contains("://") || file.path.starts_with('/') {
                return Ok(());
            }
            if self.others.insert(path.clone()) {
                self.foreign.push((path, file.bytes));
            } else {
                self.twice(&path);
            }
            return Ok(());
        };
        let after = |of: &&Rolls| *of.node == node;
        let of_node = self.nodes.iter().find(after);
        if of_node.is_some_and(|of| roll.0 <= of.sequence.after_roll()) {
            return Ok(());
        }
        self.of.files += 1;
        match self.listed.live(&path) {
            Live::Named(bytes) => self.compare(&path, file.bytes, bytes),
            Live::Again => self.twice(&path),
            Live::Unnamed(bytes) => {
                self.compare(&path, file.bytes, bytes);
                let last = of_node.map_or(0, |of| of.sequence.last_roll());
                // Others are said to have no receipt already.
                if roll.0 == last + 1 && !self.has_receipt(&path, &node, roll).await? {
                    self.no_receipt(&path, &node, roll);
                }
            }
            Live::Absent => match self.missing.remove(&path) {
                Some(receipt) => {
                    self.others.insert(path.clone());
                    let why = format!("{receipt} and the log name it, and it is not there");
                    self.report.problem(ProblemKind::NoFile, &path, why);
                }
                None => {
                    if self.stands(&path, file.bytes).await?
                        && !self.has_receipt(&path, &node, roll).await?
                    {
                        self.no_receipt(&path, &node, roll);
                    }
                }
            },
        }
        Ok(())
    }

    /// Checks that a file that is not in the listing is in the lake, and live once. Returns whether it is
    /// there.
    async fn stands(&mut self, path: &str, bytes: u64) -> Result<bool, StoreError> {
        if !self.others.insert(path.to_owned()) {
            self.twice(path);
            return Ok(false);
        }
        let found = self.lake.head(path).await?;
        Ok(self.compare_found(path, bytes, found.map(|object| object.bytes)))
    }

    /// Compares the size of a file that was asked for. Returns whether it is there.
    fn compare_found(&mut self, path: &str, says: u64, has: Option<u64>) -> bool {
        match has {
            Some(has) => self.compare(path, says, has),
            None => {
                let why = "the log names it, and it is not there";
                self.report.problem(ProblemKind::NoFile, path, why);
            }
        }
        has.is_some()
    }

    fn compare(&mut self, path: &str, says: u64, has: u64) {
        if says != has {
            let why = format!("the log says that it has {says} bytes, it has {has}");
            self.report.problem(ProblemKind::Log, path, why);
        }
    }

    fn twice(&mut self, path: &str) {
        let why = format!("it is in the log of {} twice: its rows are read twice", self.of.table);
        self.report.problem(ProblemKind::Overlap, path, why);
    }

    fn no_receipt(&mut self, path: &str, node: &str, roll: Roll) {
        let why = format!("the log names it, and no receipt of roll {roll} of {node} does");
        self.report.problem(ProblemKind::NoReceipt, path, why);
    }

    /// Asks whether the receipt of a file has come since the receipts were listed.
    async fn has_receipt(
        &mut self,
        path: &str,
        node: &str,
        roll: Roll,
    ) -> Result<bool, StoreError> {
        self.asked += 1;
        if self.asked > ASKED_AGAIN {
            return Ok(false);
        }
        match self.lake.receipt(node, roll).await {
            Err(ReceiptError::Store(error)) => Err(error),
            Ok(Some(receipt)) => Ok(receipt.names(path)),
            _ => Ok(false),
        }
    }

    /// Checks the files of receipts that are not live, and adds the report of the table.
    async fn rest(mut self, marks: &BTreeMap<String, Roll>) -> Result<(), StoreError> {
        let lake = self.lake;
        let mut heads = stream::iter(std::mem::take(&mut self.foreign))
            .map(|(path, says)| async move { (lake.head(&path).await, path, says) })
            .buffer_unordered(AT_A_TIME);
        while let Some((found, path, says)) = heads.next().await {
            self.compare_found(&path, says, found?.map(|object| object.bytes));
        }
        let mark = |node: &str| marks.get(node).copied().unwrap_or(Roll(0));
        let (mut gone, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        for file in self.listed.not_live(&self.of.table) {
            if file.roll <= mark(file.node) {
                gone.insert(file.path);
            } else {
                waiting.insert((file.node.to_owned(), file.roll));
            }
        }
        let of_table = |path: &str| match ObjectName::parse(path) {
            ObjectName::Data { table, node, roll, .. } if table == self.of.table => {
                Some((node.to_owned(), roll))
            }
            _ => None,
        };
        for (path, receipt) in std::mem::take(self.missing) {
            match of_table(&path) {
                None => drop(self.missing.insert(path, receipt)),
                Some((node, roll)) if roll <= mark(&node) => drop(gone.insert(path)),
                Some(of) => {
                    waiting.insert(of);
                    self.report.no_file(&path, &receipt);
                }
            }
        }
        if !gone.is_empty() {
            let (table, version) = (&self.of.table, self.of.version);
            let history = History::read(self.lake, table, version, &gone).await?;
            for path in gone.iter().filter(|_| history.is_whole) {
                if !history.removed.contains(path) {
                    let why = "the mark of its node in the log is at or above its roll, and the log has \
                               never had it";
                    self.report.problem(ProblemKind::Log, path, why);
                }
            }
            let replaced = if history.is_whole { history.removed.len() } else { gone.len() };
            self.of.replaced = replaced as u64;
        }
        for (node, _) in waiting {
            *self.of.waiting_rolls.entry(node).or_default() += 1;
        }
        self.report.logs.push(self.of);
        Ok(())
    }
}
