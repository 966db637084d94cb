//! The report of a verification, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Depth, Pace};
use crate::error_text::shown;
use crate::json::number;
use crate::lake::{LostBodies, Skipped};

/// Problems that a report keeps; those beyond it are counted.
pub const MOST_PROBLEMS: usize = 10_000;

/// The kind of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// A receipt cannot be read, or is not what its name says.
    Receipt,
    /// Bodies are in no receipt.
    Gap,
    /// Bodies, files or rows are in two receipts, or there twice.
    Overlap,
    /// The numbers of a receipt do not add up.
    Sum,
    /// A receipt names a file that is not there.
    NoFile,
    /// No receipt names a file that a roll made.
    NoReceipt,
    /// A file cannot be read, or has other rows than its receipt says.
    File,
    /// A checkpoint cannot be used.
    Checkpoint,
    /// The log of a table cannot be read, or says other than its receipts and files.
    Log,
    /// The store or the catalog gave no answer about it, or refused one: nothing is known of it.
    Unread,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Its kind.
    #[serde(rename = "what")]
    pub kind: ProblemKind,
    /// The file or receipt, below the lake.
    pub path: String,
    /// A sentence about it.
    pub why: String,
}

/// Sums over the receipts of a node: of those that were looked at, and of those before its checkpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeReport {
    /// The node.
    pub node: String,
    /// Rolls that have a receipt.
    #[serde(deserialize_with = "number")]
    pub rolls: u64,
    /// The last of them.
    #[serde(deserialize_with = "number")]
    pub last_roll: u64,
    /// The last body that is in a receipt.
    #[serde(deserialize_with = "number")]
    pub last_seq: u64,
    /// Lines received.
    #[serde(deserialize_with = "number")]
    pub lines: u64,
    /// Lines that are rows.
    #[serde(deserialize_with = "number")]
    pub rows: u64,
    /// Lines that are in quarantine.
    #[serde(deserialize_with = "number")]
    pub rejects: u64,
    /// Rows that were left out, since they equal one that has landed; left out when 0, as by earlier
    /// versions.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "is_zero")]
    pub doubled: u64,
    /// Bulk actions that were left out, not among the lines.
    #[serde(deserialize_with = "number")]
    pub actions: u64,
    /// Data files.
    #[serde(deserialize_with = "number")]
    pub files: u64,
    /// Bodies that were acknowledged and given up with a damaged segment; at most so many.
    #[serde(deserialize_with = "number")]
    pub lost_bodies: u64,
    /// These bodies, by the receipts that name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostBodies>,
    /// The roll after which receipts were looked at; 0, and left out, for all.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "is_zero")]
    pub after_roll: u64,
    /// The depth that the rolls before were looked at with, by the checkpoint.
    #[serde(skip)]
    pub(super) before: Option<Depth>,
    /// The sums before the first roll that readers of a table with a log may not see yet; none if there
    /// is no such roll.
    #[serde(skip)]
    pub(super) visible: Option<Box<NodeReport>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The log of a table against its receipts and files, of the rolls that were looked at.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogReport {
    /// The table.
    pub table: String,
    /// Its format: `delta` or `iceberg`.
    pub format: &'static str,
    /// Version of the log that was read, or sequence number of the snapshot.
    pub version: u64,
    /// The last roll of each node that the table has.
    pub marks: BTreeMap<String, u64>,
    /// Live files of rolls.
    pub files: u64,
    /// Live files that others wrote.
    pub foreign_files: u64,
    /// Files of rolls that the log had, and that other writers have replaced or deleted.
    pub replaced: u64,
    /// Rolls of each node that have landed and are not in the log yet.
    pub waiting_rolls: BTreeMap<String, u64>,
}

/// The result of a verification. The lake is well when there are no problems.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The lake, as it was named.
    pub lake: String,
    /// How files were looked at.
    pub depth: Depth,
    /// How much was asked for at a time.
    #[serde(skip)]
    pub(super) pace: Pace,
    /// Receipts were looked at that were written since this time (RFC 3339); all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Receipts were looked at that come after their node's checkpoint.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub since_checkpoints: bool,
    /// Its nodes, by name. Imports are nodes too.
    pub nodes: Vec<NodeReport>,
    /// Nodes of which no receipt was looked at, since all are older.
    pub idle_nodes: u64,
    /// The problems, sorted; at most [`MOST_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// Problems beyond these.
    pub more_problems: u64,
    /// Rolls that have files and, being their nodes' next, no receipt yet.
    pub pending_rolls: Vec<String>,
    /// The files of these.
    pub pending_files: u64,
    /// Tables with a log (Delta, Iceberg), by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogReport>,
    /// Links and directories that were not looked into. Files that receipts name are looked at there, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Files of other programs.
    pub foreign: u64,
    /// Hidden files within tables: what a killed process left, replaced when the roll is made again.
    pub hidden: u64,
    /// Files that have another size than their receipt says, with the same rows: what a late answer
    /// of the store to an earlier attempt leaves. No problem.
    pub resized: u64,
    /// Files that have the size that their receipt says, and were not opened.
    pub by_size: u64,
    /// Files whose footer, rows or entries were read.
    pub read: u64,
    /// Rows whose lineage was read.
    pub rows_read: u64,
}

impl Report {
    pub(super) fn problem(&mut self, kind: ProblemKind, path: &str, why: impl Into<String>) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem { kind, path: path.to_owned(), why: shown(&why.into()) });
        } else {
            self.more_problems += 1;
        }
    }

    /// Adds the problem of a file that `receipt` names and that is not there.
    pub(super) fn no_file(&mut self, path: &str, receipt: &str) {
        let why = format!("{receipt} names it, and it is not there");
        self.problem(ProblemKind::NoFile, path, why);
    }

    /// Returns the rolls that wait for the log of a table, summed over tables.
    fn waiting_rolls(&self) -> u64 {
        self.logs.iter().flat_map(|log| log.waiting_rolls.values()).sum()
    }

    /// Returns true if every received line is accounted for.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.problems.is_empty() && !self.is_empty()
    }

    /// Returns true if there is no receipt here: nothing to account for, which is what a mistyped prefix
    /// looks like, and what the folder of a table does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.idle_nodes == 0 && self.problems.is_empty()
    }

    /// Formats the report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let names: Vec<String> = self.nodes.iter().map(|node| shown(&node.node)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(4).max(4);
        writeln!(out, "{}", shown(&self.lake))?;
        if let Some(since) = &self.since {
            writeln!(out, "  rolls whose receipts were written since {since}, and no others")?;
        }
        if self.since_checkpoints {
            writeln!(out, "  rolls after the checkpoints; sums are with those before")?;
        }
        if !self.nodes.is_empty() {
            writeln!(
                out,
                "  {:<width$} {:>8} {:>12} {:>14} {:>14} {:>12} {:>8}",
                "node", "rolls", "bodies", "received", "landed", "quarantined", "files"
            )?;
        }
        for (node, name) in self.nodes.iter().zip(&names) {
            writeln!(
                out,
                "  {:<width$} {:>8} {:>12} {:>14} {:>14} {:>12} {:>8}",
                name, node.rolls, node.last_seq, node.lines, node.rows, node.rejects, node.files
            )?;
            if node.doubled > 0 {
                writeln!(
                    out,
                    "    left out, as they equal rows that have landed: {}",
                    node.doubled
                )?;
            }
            for lost in &node.lost {
                let (first, last) = (lost.first_seq, lost.last_seq);
                writeln!(out, "    given up with a damaged segment: bodies {first} to {last}")?;
            }
        }
        for roll in &self.pending_rolls {
            writeln!(out, "  on its way: roll {} has files and no receipt yet", shown(roll))?;
        }
        for log in &self.logs {
            write_log(out, log)?;
        }
        let rest = [
            (self.foreign, "files of other programs, not looked at"),
            (self.hidden, "hidden files that a killed process left"),
            (
                self.by_size,
                "files compared by size (--footers reads their rows' number, --rows every row)",
            ),
            (self.idle_nodes, "nodes without a receipt in that time"),
            (self.resized, "files of another size than their receipt says, with the same rows"),
        ];
        for (count, what) in rest.iter().filter(|(count, _)| *count > 0) {
            writeln!(out, "  {count} {what}")?;
        }
        for Skipped { path, why } in &self.skipped {
            writeln!(out, "  not looked into: {}: {why}", shown(path))?;
        }
        for problem in &self.problems {
            writeln!(out, "  OFF  {}: {}", shown(&problem.path), problem.why)?;
        }
        if self.more_problems > 0 {
            writeln!(out, "  and {} more", self.more_problems)?;
        }
        if self.is_empty() {
            return writeln!(
                out,
                "Nothing was found here that can be verified: there is no receipt. Is it the lake itself, \
                 not a folder\nabove or below it? Check the prefix and its spelling, or look with \
                 `sessionlake inspect`."
            );
        }
        let received = match (&self.since, self.since_checkpoints) {
            (Some(since), _) => format!("Every line received since {since}"),
            (None, true) => "Every line received since the checkpoints".to_owned(),
            (None, false) => "Every received line".to_owned(),
        };
        match self.problems.len() as u64 + self.more_problems {
            0 => writeln!(out, "{received} is accounted for{}.", self.exceptions()),
            1 => writeln!(out, "1 thing is off."),
            n => writeln!(out, "{n} things are off."),
        }
    }

    /// Returns the exceptions that the last sentence names.
    fn exceptions(&self) -> String {
        let named = [
            (self.nodes.iter().any(|node| !node.lost.is_empty()), "the bodies that were given up"),
            (!self.pending_rolls.is_empty(), "the rolls on their way"),
            (self.waiting_rolls() > 0, "the rolls that readers of a table do not see yet"),
        ];
        let named: Vec<&str> = named.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
        match named.split_last() {
            None => String::new(),
            Some((last, [])) => format!(", but for {last}"),
            Some((last, others)) => format!(", but for {} and {last}", others.join(", ")),
        }
    }
}

fn write_log(out: &mut String, log: &LogReport) -> std::fmt::Result {
    let (table, version, files) = (shown(&log.table), log.version, log.files);
    let format = log.format;
    write!(out, "  {format} table {table}, version {version}: {files} files of rolls")?;
    for (count, what) in [
        (log.foreign_files, "that others wrote"),
        (log.replaced, "of rolls replaced or deleted by other writers"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    writeln!(out)?;
    for (node, rolls) in &log.waiting_rolls {
        let rolls =
            if *rolls == 1 { "1 roll waits".to_owned() } else { format!("{rolls} rolls wait") };
        let mark =
            log.marks.get(node).map_or_else(|| "none".to_owned(), |mark| format!("roll {mark}"));
        writeln!(
            out,
            "    {rolls} to be added: {}, whose last roll in the log is {mark}",
            shown(node)
        )?;
    }
    Ok(())
}
