//! Verifying a lake: receipts and files against each other, so that every received line is accounted
//! for.
//!
//! ```text
//!  _receipts/<node>/<roll>.json   lines = rows + rejects; bodies first to last, one roll after the
//!        │                        other without a gap (bodies that were given up are named)
//!        ├── files of the tables      there, with the size or the rows that it says
//!        └── _quarantine/<table>/…    there, with the size or the entries that it says
//! ```
//! And back: a file of ours that no receipt names is doubt about its rows. The files of the roll
//! after a node's last receipt are no problem: that roll is being landed, or was interrupted and
//! will be made again under the same names.
//!
//! A [`Depth`] says how files are looked at: by their sizes alone, which a listing has, by their
//! footers, or by the lineage column of every row, which shows a row that is there twice. A file of
//! another size than its receipt says is opened in any case: a late answer of the store to an earlier
//! attempt leaves the same rows in other bytes.
//!
//! A [`Scope`] says which rolls are looked at: all, those whose receipts were written since a time, or
//! those after the checkpoints ([`checkpoint`]). Files without a receipt are then looked for only in
//! the folders that these rolls wrote to. Nothing is written but by [`write_checkpoints`].
//!
//! The lake may be written meanwhile: what seems to be missing is asked for by its name before it is
//! called so, and receipts that have come since the others were listed are asked for ([`late`]).
//!
//! Tables with a log are held against it, too: [`logs`].
//!
//! Memory does not hold receipts, which are read in the order of rolls, but some 25 bytes for each
//! file and 8 for each roll, and the first [`MOST_PROBLEMS`] problems. Of tables with a log, it holds some
//! 40 bytes more for each file that other writers have written, replaced or removed, and a few commits of
//! the log at a time.

mod checkpoint;
mod files;
mod history;
mod late;
mod listed;
mod logs;
mod report;
mod row_ids;
mod sequence;
mod since;
#[cfg(test)]
mod tests;
mod textfile;
mod verdict;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt as _, TryStreamExt as _, pin_mut, stream};
use serde::{Deserialize, Serialize};

pub use checkpoint::write_checkpoints;
pub use report::{LogReport, MOST_PROBLEMS, NodeReport, Problem, ProblemKind, Report};
pub use since::Since;
pub use textfile::write_textfile;
pub use verdict::Verdict;

use super::table_log::TableLogs;

use self::checkpoint::Known;
use self::late::Late;
use self::listed::{Found, Listed};
use self::logs::Logs;
use self::sequence::Sequence;
use crate::lake::names::{self, ObjectName};
use crate::lake::{Detail, Lake, Object, ReceiptError, Skipped, StoreError};
use crate::record::Roll;
use crate::table::Format;

/// How files are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Their sizes are compared with their receipts, and those that differ are opened.
    #[default]
    Sizes,
    /// The footers of all are read, and their rows compared.
    Footers,
    /// The lineage of every row is read.
    Rows,
}

/// The rolls that are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All.
    #[default]
    All,
    /// Those whose receipts were written at this time or after it, by the clock of the store.
    Since(DateTime<Utc>),
    /// Those after each node's checkpoint; all of a node that has none.
    SinceCheckpoint,
}

/// How much is asked for at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// As much as a store takes.
    #[default]
    Swift,
    /// Little: others have work to do in the same lake.
    Gentle,
}

impl Pace {
    /// Files that are looked at at a time.
    fn files_at_a_time(self) -> usize {
        match self {
            Pace::Swift => 64,
            Pace::Gentle => 8,
        }
    }
}

/// Nodes whose rolls are looked up at a time.
const NODES: usize = 16;
/// Receipts that are asked for since they may have come after the others were listed.
const MOST_ASKED_AGAIN: usize = 1000;

/// The rolls of a node that are looked at.
struct Rolls {
    node: Arc<str>,
    rolls: Vec<u64>,
    sequence: Sequence,
    /// The defect of the node's checkpoint.
    doubtful: Option<String>,
}

/// Verifies a lake, and the logs of its tables.
///
/// # Errors
/// The store cannot be listed, or a receipt cannot be read. What is wrong with the lake is in the
/// report.
///
/// # Cancel safety
/// Reads only; dropping the future leaves nothing behind.
pub async fn verify(
    lake: &Lake,
    logs: &TableLogs,
    scope: Scope,
    depth: Depth,
    pace: Pace,
) -> Result<Report, StoreError> {
    let lake_named = lake.location().to_string();
    let mut report = Report { lake: lake_named, depth, pace, ..Report::default() };
    let (mut listed, mut logs) = (Listed::default(), Logs::new(logs));
    let mut nodes = match scope {
        Scope::All => {
            // Files before receipts: of a roll that lands meanwhile, the receipt may be known and not
            // the files, and those can be asked for one by one.
            list_all(&mut report, lake, &mut listed, &mut logs).await?;
            all_rolls(&mut report, lake).await?
        }
        Scope::Since(time) => {
            report.since = Some(time.to_rfc3339_opts(SecondsFormat::Secs, true));
            some_rolls(lake, scope).await?
        }
        Scope::SinceCheckpoint => {
            report.since_checkpoints = true;
            some_rolls(lake, scope).await?
        }
    };
    let mut asked = HashSet::new();
    check_receipts(&mut report, lake, &mut nodes, &mut listed, &mut asked, &mut logs).await?;
    if scope != Scope::All {
        listed = list_folders(lake, &nodes, &asked).await?;
    }
    let marked = logs.check(&mut report, lake, &mut listed, &nodes).await?;
    let last = |node: &str| nodes.iter().find(|of| &*of.node == node).map(|of| &of.sequence);
    check_unnamed(&mut report, lake, &listed, &marked, last).await?;
    for of in nodes {
        if let Some(why) = of.doubtful {
            report.problem(ProblemKind::Checkpoint, &names::verified(&of.node), why);
        }
        let sums = of.sequence.report();
        // A node whose receipts cannot be read has problems, and no sums.
        if sums.rolls > 0 {
            report.nodes.push(sums);
        } else {
            report.idle_nodes += u64::from(sums.last_roll > 0);
        }
    }
    report.problems.sort();
    report.problems.dedup();
    Ok(report)
}

/// Lists the data files and those of the quarantine, and notes the tables that have a log.
async fn list_all(
    report: &mut Report,
    lake: &Lake,
    listed: &mut Listed,
    logs: &mut Logs<'_>,
) -> Result<(), StoreError> {
    let wanted = |top: &str| top == names::QUARANTINE || !top.starts_with(['_', '.']);
    let add = |object: Object| {
        match ObjectName::parse(&object.name) {
            ObjectName::TableLog { table, .. } => return logs.add(table, Format::Delta),
            ObjectName::TableMetadata { table, .. } => return logs.add(table, Format::Iceberg),
            ObjectName::LogCompanion(_) => return,
            _ => {}
        }
        let hidden = object.name.split('/').any(|part| part.starts_with('.'));
        if !hidden {
            report.foreign += u64::from(!listed.add(&object.name, object.bytes));
        } else if !object.name.starts_with('_') {
            report.hidden += 1;
        }
    };
    let skipped = lake.list_each("", Detail::Size, wanted, add).await?;
    report.skipped = skipped;
    listed.sort();
    Ok(())
}

async fn all_rolls(report: &mut Report, lake: &Lake) -> Result<Vec<Rolls>, StoreError> {
    let found = lake.receipt_names().await?;
    // Receipts that are behind a link are not read.
    for Skipped { path, why } in found.skipped {
        report.problem(ProblemKind::Receipt, &path, why);
    }
    for (path, why) in found.unreadable {
        report.problem(ProblemKind::Receipt, &path, why);
    }
    let rolls = found.by_node.into_iter().map(|(node, rolls)| {
        let sequence = Sequence::first(&node);
        Rolls { node: node.into(), rolls, sequence, doubtful: None }
    });
    Ok(rolls.collect())
}

async fn some_rolls(lake: &Lake, scope: Scope) -> Result<Vec<Rolls>, StoreError> {
    let nodes = lake.receipt_nodes().await?;
    let mut found: Vec<Rolls> = stream::iter(nodes)
        .map(|node| rolls_of(lake, node, scope))
        .buffer_unordered(NODES)
        .try_collect()
        .await?;
    found.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(found)
}

async fn rolls_of(lake: &Lake, node: String, scope: Scope) -> Result<Rolls, StoreError> {
    let mut doubtful = None;
    let (after, sequence) = match scope {
        Scope::All => (Roll(0), Sequence::first(&node)),
        Scope::Since(time) => {
            let (after, rolls) = lake.rolls_since(&node, time).await?;
            let before = match lake.receipt(&node, after).await {
                Err(ReceiptError::Store(error)) => return Err(error),
                before => before.ok().flatten(),
            };
            let sequence = Sequence::after(&node, after, before.as_ref());
            return Ok(Rolls { node: node.into(), rolls, sequence, doubtful });
        }
        Scope::SinceCheckpoint => match checkpoint::read(lake, &node).await? {
            Known::Sums(sums) => (Roll(sums.last_roll), Sequence::from_checkpoint(sums)),
            Known::None => (Roll(0), Sequence::first(&node)),
            Known::Doubtful(why) => {
                doubtful = Some(why);
                (Roll(0), Sequence::first(&node))
            }
        },
    };
    let rolls = lake.rolls_after(&node, after).await?;
    Ok(Rolls { node: node.into(), rolls, sequence, doubtful })
}

/// Reads the receipts in the order of rolls, and checks each and its files.
async fn check_receipts(
    report: &mut Report,
    lake: &Lake,
    nodes: &mut [Rolls],
    listed: &mut Listed,
    asked: &mut HashSet<String>,
    logs: &mut Logs<'_>,
) -> Result<(), StoreError> {
    let wanted: Vec<(Arc<str>, Vec<u64>)> =
        nodes.iter_mut().map(|of| (Arc::clone(&of.node), std::mem::take(&mut of.rolls))).collect();
    let wanted = wanted.into_iter().flat_map(|(node, rolls)| {
        rolls.into_iter().map(move |roll| (Arc::clone(&node), Roll(roll)))
    });
    let receipts = lake.read_receipts(wanted);
    pin_mut!(receipts);
    let (mut nodes, mut seen) = (nodes.iter_mut().peekable(), files::Seen::default());
    while let Some(chunk) = receipts.try_next().await? {
        let mut expected = Vec::new();
        for read in chunk {
            while nodes.next_if(|of| of.node != read.node).is_some() {}
            let receipt = match read.receipt {
                Ok(Some(receipt)) => receipt,
                Ok(None) => continue,
                Err(why) => {
                    let path = names::receipt(&read.node, read.roll);
                    report.problem(ProblemKind::Receipt, &path, why);
                    continue;
                }
            };
            for table in receipt.tables.iter().filter(|table| !table.files.is_empty()) {
                logs.ask(&table.table).await?;
            }
            if let Some(of) = nodes.peek_mut() {
                if !logs.show(&receipt) {
                    of.sequence.waits();
                }
                of.sequence.push(report, &receipt);
            }
            expected.extend(files::named(report, &receipt, listed, asked));
        }
        files::check(report, lake, report.depth, expected, &mut seen, logs).await;
    }
    Ok(())
}

/// Lists the folders of the files that were `asked` for, as far as they are of the rolls looked at.
async fn list_folders(
    lake: &Lake,
    nodes: &[Rolls],
    asked: &HashSet<String>,
) -> Result<Listed, StoreError> {
    let folders: BTreeSet<&str> =
        asked.iter().filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    let mut listed = Listed::default();
    for folder in folders {
        let add = |object: Object| {
            let (node, roll) = match ObjectName::parse(&object.name) {
                ObjectName::Data { node, roll, .. } | ObjectName::Quarantine { node, roll, .. } => {
                    (node, roll)
                }
                _ => return,
            };
            let at = nodes.binary_search_by(|of| (*of.node).cmp(node));
            let after = at.ok().and_then(|at| nodes.get(at)).map(|of| of.sequence.after_roll());
            if after.is_some_and(|after| roll.0 > after) {
                listed.add(&object.name, object.bytes);
            }
        };
        let _: Vec<Skipped> = lake.list_each(folder, Detail::Size, |_| true, add).await?;
    }
    listed.sort();
    for path in asked {
        let _: Found = listed.take(path);
    }
    Ok(listed)
}

/// Checks the files that no receipt names. A log says of a node that is not `marked` that its live files
/// are of other writers.
async fn check_unnamed<'a>(
    report: &mut Report,
    lake: &Lake,
    listed: &Listed,
    marked: &BTreeSet<String>,
    last: impl Fn(&str) -> Option<&'a Sequence>,
) -> Result<(), StoreError> {
    let (mut pending, mut late) = (BTreeSet::new(), Late::default());
    for file in listed.unnamed() {
        let of_node = last(file.node);
        if file.is_live && of_node.is_none() && !marked.contains(file.node) {
            continue;
        }
        let last = Roll(of_node.map_or(0, Sequence::last_roll));
        // Its roll has landed since the receipts were listed, or is the one on its way.
        if file.roll > last {
            if late.names(lake, file.node, last, file.roll, &file.path).await? {
                continue;
            }
            if file.roll == late.last(lake, file.node, last).await?.next() {
                pending.insert(format!("{}-{:08}", file.node, file.roll.0));
                report.pending_files += 1;
                continue;
            }
        }
        let why =
            format!("there is no receipt of roll {} of {} that names it", file.roll, file.node);
        report.problem(ProblemKind::NoReceipt, &file.path, why);
    }
    report.pending_rolls = pending.into_iter().collect();
    Ok(())
}
