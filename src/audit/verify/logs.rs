//! Tables with a log (Delta, Iceberg): receipts, the log and the files against each other.
//!
//! The log of an Iceberg table is the latest snapshot in its catalog. The mark of a node in the log is
//! its last roll that the table has, and is moved by the commits that add the files of rolls. So of a
//! file that a receipt names:
//! * Its roll is at or below the mark: it was added. It is live, or another writer's commit has removed
//!   it: rows were put into other files (`OPTIMIZE`) or deleted. That is counted as replaced and is no
//!   problem, nor is it one that it is gone from the lake then (`VACUUM`). Which of these happened is in
//!   the commits as long as the log keeps them: a Delta log that has all of its commits, of which none
//!   removes the file, never had it, and that is a problem.
//! * Its roll is above the mark: it waits for its commit, and is counted. No reader sees it yet; it has to
//!   be there.
//!
//! And of a live file: it stands in the lake with the size that the log says, and no other path of the
//! log is the same file. If its name is one that a roll is given, a receipt names it; but a node that has
//! neither a receipt nor a mark is none of ours, since a commit that adds files of rolls sets the mark.
//! Other live files were written by others, and are counted.
//!
//! The log is read last. What has landed since the receipts were listed is asked for by its name. Marks
//! are read before the receipts, too: what is at or below them is in the log that is read last, so that a
//! checkpoint may go as far.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::{StreamExt as _, stream};

use super::super::table_log::{self, LogFailure, TableLogs};
use super::Rolls;
use super::history::{History, hash};
use super::late::Late;
use super::listed::{Found, Listed, Live, Unnamed};
use super::report::{LogReport, ProblemKind, Report};
use crate::commit::delta::LiveFile;
use crate::lake::names::{self, ObjectName};
use crate::lake::{Lake, Receipt, StoreError};
use crate::record::Roll;
use crate::table::Format;

/// Files of other writers that are held until they are asked for.
const MOST_ASKED_FOR: usize = 4096;

/// The tables of a lake that have a log, and files of them that may have been replaced.
pub(super) struct Logs<'a> {
    logs: &'a TableLogs,
    /// Tables that were asked for or seen.
    tables: BTreeMap<String, Table>,
    /// Identities of tables that cannot be read, with the reason.
    doubtful: Vec<(String, String)>,
    /// Files that receipts name and that are not in the lake.
    missing: Listed,
}

#[derive(Debug, Default)]
struct Table {
    /// Its format, if it has a log.
    format: Option<Format>,
    /// The last roll of each node in the log before receipts were read; none before it is asked for.
    marks: Option<BTreeMap<String, Roll>>,
}

impl<'a> Logs<'a> {
    pub(super) fn new(logs: &'a TableLogs) -> Logs<'a> {
        let (tables, doubtful) = (BTreeMap::new(), Vec::new());
        Logs { logs, tables, doubtful, missing: Listed::default() }
    }

    /// Notes that the lake has objects of the log of `table`, which is of `format`.
    pub(super) fn add(&mut self, table: &str, format: Format) {
        if !self.tables.contains_key(table) {
            self.tables.insert(table.to_owned(), Table { format: Some(format), marks: None });
        }
    }

    /// Finds out about `table`, unless it is known.
    pub(super) async fn ask(&mut self, table: &str) -> Result<(), StoreError> {
        let known = self.tables.get(table);
        if known.is_some_and(|known| known.marks.is_some()) {
            return Ok(());
        }
        // Objects of a log may be left over from another format: the identity says which one it has.
        let (format, why) = self.logs.format(table).await?;
        self.doubtful.extend(why.map(|why| (names::table_identity(table), why)));
        // One that cannot be read is a problem when it is read for its files.
        let log = match format {
            Some(format) => self.logs.open(table, format).await.ok().flatten(),
            None => None,
        };
        let marks = Some(log.map(|log| log.marks).unwrap_or_default());
        self.tables.insert(table.to_owned(), Table { format, marks });
        Ok(())
    }

    /// Tells whether all tables of a receipt that was asked for have its roll, those without a log by
    /// themselves.
    pub(super) fn show(&self, receipt: &Receipt) -> bool {
        let mut tables = receipt.tables.iter().filter(|table| !table.files.is_empty());
        tables.all(|table| match self.tables.get(&*table.table) {
            Some(Table { format: Some(_), marks }) => {
                let mark = marks.as_ref().and_then(|marks| marks.get(&receipt.node));
                mark.is_some_and(|mark| mark.0 >= receipt.roll)
            }
            _ => true,
        })
    }

    /// Notes a file of `table` that is not there. Returns false if the table has no log, which could
    /// say that the file was replaced.
    pub(super) fn note_missing(&mut self, table: &str, path: &str) -> bool {
        let has_log = self.tables.get(table).is_some_and(|table| table.format.is_some());
        // Rejects are in no log.
        let is_data = matches!(ObjectName::parse(path), ObjectName::Data { .. });
        has_log && is_data && self.missing.add(path, 0)
    }

    /// Holds the logs against the files and receipts that were looked at. Returns the nodes that some log
    /// has a mark of.
    pub(super) async fn check(
        mut self,
        report: &mut Report,
        lake: &Lake,
        listed: &mut Listed,
        nodes: &[Rolls],
    ) -> Result<BTreeSet<String>, StoreError> {
        let (mut marked, mut unread) = (BTreeSet::new(), BTreeSet::new());
        self.missing.sort();
        for (path, why) in std::mem::take(&mut self.doubtful) {
            report.problem(ProblemKind::Log, &path, why);
        }
        for (table, Table { format, .. }) in std::mem::take(&mut self.tables) {
            let Some(format) = format.filter(|format| *format != Format::Plain) else { continue };
            let log = match self.logs.open(&table, format).await {
                Ok(Some(log)) => log,
                // It has no commit yet, so that everything waits.
                Ok(None) => continue,
                Err(why) => {
                    unread.extend(note_unread(report, &table, format, &why));
                    continue;
                }
            };
            let marks = log.marks.clone();
            marked.extend(marks.keys().cloned());
            let of = LogReport {
                table: table.clone(),
                format: format.as_str(),
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
                marks,
                others: HashSet::new(),
                foreign: Vec::new(),
                late: Late::default(),
                of,
            };
            match log.each_file(async |file| check.live(file).await).await {
                Ok(looked) => looked?,
                Err(why) => {
                    unread.extend(note_unread(report, &table, format, &why));
                    continue;
                }
            }
            check.rest().await?;
        }
        // Those of tables whose log could not be read.
        for Unnamed { path, node, roll, .. } in self.missing.unnamed() {
            let receipt = names::receipt(node, roll);
            let table = match ObjectName::parse(&path) {
                ObjectName::Data { table, .. } => table,
                _ => "",
            };
            match unread.contains(table) {
                true => {
                    let why = format!(
                        "{receipt} names it, it is not there, and whether the table has replaced it cannot \
                         be read now"
                    );
                    report.problem(ProblemKind::Unread, &path, why);
                }
                false => report.no_file(&path, &receipt),
            }
        }
        Ok(marked)
    }
}

/// Notes that the log of `table` was not read. Returns the table if nothing is known of the log: its catalog
/// gave no answer. A log in the lake that cannot be read, while the lake can, is broken.
fn note_unread(
    report: &mut Report,
    table: &str,
    format: Format,
    why: &LogFailure,
) -> Option<String> {
    let is_away = matches!(why, LogFailure::Away(_)) && format == Format::Iceberg;
    let kind = if is_away { ProblemKind::Unread } else { ProblemKind::Log };
    report.problem(kind, &table_log::folder(table, format), why.to_string());
    is_away.then(|| table.to_owned())
}

/// The check of one table.
struct Check<'a> {
    report: &'a mut Report,
    lake: &'a Lake,
    listed: &'a mut Listed,
    nodes: &'a [Rolls],
    missing: &'a mut Listed,
    marks: BTreeMap<String, Roll>,
    /// Live files that are not in the listing, by the hashes of their names.
    others: HashSet<u128>,
    /// Those of them that others wrote and that are still to be asked for, with their sizes.
    foreign: Vec<(String, u64)>,
    /// Receipts that have come since.
    late: Late,
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
        let Some((node, roll)) = ours else { return self.foreign(file, path).await };
        let after = |of: &&Rolls| *of.node == node;
        let of_node = self.nodes.iter().find(after);
        if of_node.is_none() && !self.marks.contains_key(&node) {
            // For those that no receipt names.
            self.listed.live(&path);
            return self.foreign(file, path).await;
        }
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
            Live::Absent => match self.missing.take(&path) {
                Found::Bytes(_) => {
                    self.others.insert(hash(&path));
                    let receipt = names::receipt(&node, roll);
                    let why = format!("{receipt} and the log name it, and it is not there");
                    self.report.problem(ProblemKind::NoFile, &path, why);
                }
                Found::Again | Found::Absent => {
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

    /// Takes note of a live file that another program wrote. It is asked for with others.
    async fn foreign(&mut self, file: LiveFile, path: String) -> Result<(), StoreError> {
        self.of.foreign_files += 1;
        // A shallow clone names files of other tables by their URL.
        if file.path.contains("://") || file.path.starts_with('/') {
            return Ok(());
        }
        if !self.others.insert(hash(&path)) {
            self.twice(&path);
            return Ok(());
        }
        self.foreign.push((path, file.bytes));
        if self.foreign.len() >= MOST_ASKED_FOR { self.ask_for_foreign().await } else { Ok(()) }
    }

    /// Asks for the files of other programs.
    async fn ask_for_foreign(&mut self) -> Result<(), StoreError> {
        let lake = self.lake;
        let mut heads = stream::iter(std::mem::take(&mut self.foreign))
            .map(|(path, says)| async move { (lake.head(&path).await, path, says) })
            .buffer_unordered(self.report.pace.files_at_a_time());
        while let Some((found, path, says)) = heads.next().await {
            self.compare_found(&path, says, found?.map(|object| object.bytes));
        }
        Ok(())
    }

    /// Checks that a file that is not in the listing is in the lake, and live once. Returns whether it is
    /// there.
    async fn stands(&mut self, path: &str, bytes: u64) -> Result<bool, StoreError> {
        if !self.others.insert(hash(path)) {
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
        self.late.receipt_names(self.lake, node, roll, path).await
    }

    /// Checks the files of receipts that are not live, and adds the report of the table.
    async fn rest(mut self) -> Result<(), StoreError> {
        self.ask_for_foreign().await?;
        let table = self.of.table.clone();
        let mark = |node: &str| self.marks.get(node).copied().unwrap_or(Roll(0));
        let (mut gone, mut waiting) = (HashSet::new(), BTreeSet::new());
        for file in self.listed.not_live(&table) {
            match file.roll <= mark(file.node) {
                true => drop(gone.insert(hash(&file.path))),
                false => drop(waiting.insert((file.node.to_owned(), file.roll))),
            }
        }
        for file in self.missing.unnamed_of(&table) {
            match file.roll <= mark(file.node) {
                true => drop(gone.insert(hash(&file.path))),
                false => {
                    waiting.insert((file.node.to_owned(), file.roll));
                    self.report.no_file(&file.path, &names::receipt(file.node, file.roll));
                }
            }
        }
        if !gone.is_empty() {
            // Of the snapshots of an Iceberg table the latest is read alone.
            let history = match self.of.format == Format::Delta.as_str() {
                true => History::read(self.lake, &table, self.of.version, &gone).await?,
                false => History::default(),
            };
            let never = history.is_whole.then_some(()).map(|()| &history.removed);
            let files = self.listed.not_live(&table).chain(self.missing.unnamed_of(&table));
            let files = files.filter(|file| file.roll <= mark(file.node));
            for file in files.filter(|file| never.is_some_and(|r| !r.contains(&hash(&file.path)))) {
                let why = "the mark of its node in the log is at or above its roll, and the log has never \
                           had it";
                self.report.problem(ProblemKind::Log, &file.path, why);
            }
            let replaced = if history.is_whole { history.removed.len() } else { gone.len() };
            self.of.replaced = replaced as u64;
        }
        self.missing.take_all_of(&table);
        for (node, _) in waiting {
            *self.of.waiting_rolls.entry(node).or_default() += 1;
        }
        self.report.logs.push(self.of);
        Ok(())
    }
}
