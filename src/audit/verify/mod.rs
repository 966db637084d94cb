//! Verifying a lake: receipts and files against each other, so that every received line is accounted
//! for.
//!
//! ```text
//!  _receipts/<node>/<roll>.json   lines = rows + rejects; bodies first to last, one roll after the
//!        │                        other without a gap (bodies that were given up are named)
//!        ├── files of the tables      there, with so many rows by their footers
//!        └── _quarantine/<table>/…    there, with so many entries
//! ```
//! And back: a file of ours that no receipt names is doubt about its rows. The files of the roll
//! after a node's last receipt are no problem: that roll is being landed, or was interrupted and
//! will be made again under the same names.
//!
//! Of data files only the ends are read, unless rows are asked for: then the lineage column of every
//! row, which shows a row that is there twice. Nothing is written.
//!
//! The lake may be written meanwhile: files are listed before receipts, and what seems to be
//! missing is asked for by its name before it is called so.

mod files;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use report::{NodeReport, Problem, ProblemKind, Report};

use crate::lake::names::{self, ObjectName};
use crate::lake::{Lake, Object, Receipt, StoreError};
use crate::record::{Roll, Seq, SeqRange};

/// Verifies a lake; with `rows`, every row's lineage is read too.
///
/// # Errors
/// The store cannot be listed, or a receipt cannot be read. What is wrong with the lake is in the
/// report.
///
/// # Cancel safety
/// Reads only; dropping the future leaves nothing behind.
pub async fn verify(lake: &Lake, rows: bool) -> Result<Report, StoreError> {
    let mut report = Report { lake: lake.location().to_string(), ..Report::default() };
    // Files before receipts: of a roll that lands meanwhile, the receipt may be known and not the
    // files, and those can be asked for one by one.
    let found = list(&mut report, lake).await?;
    let receipts = lake.receipts().await?;
    for (path, why) in receipts.unreadable {
        report.problem(ProblemKind::Receipt, &path, why);
    }
    let mut expected: BTreeMap<String, files::Expected> = BTreeMap::new();
    for (node, receipts) in receipts.by_node {
        check_sequence(&mut report, node, &receipts);
        for receipt in &receipts {
            check_sums(&mut report, receipt, &mut expected);
        }
    }
    check_unnamed(&mut report, &found, &expected);
    files::check(&mut report, lake, &found, expected, rows).await;
    report.problems.sort();
    report.problems.dedup();
    Ok(report)
}

/// Lists the data files and those of the quarantine, by name.
async fn list(report: &mut Report, lake: &Lake) -> Result<BTreeMap<String, Object>, StoreError> {
    let mut found = BTreeMap::new();
    for object in lake.list("").await? {
        let hidden = object.name.split('/').any(|part| part.starts_with('.'));
        match object.name.split('/').next() {
            Some(names::QUARANTINE) if !hidden => drop(found.insert(object.name.clone(), object)),
            Some(folder) if folder.starts_with(['_', '.']) => {}
            _ if hidden => report.hidden += 1,
            _ => drop(found.insert(object.name.clone(), object)),
        }
    }
    Ok(found)
}

/// Checks the bodies of a node: one roll after the other, none left out, none twice.
fn check_sequence(report: &mut Report, node: String, receipts: &[Receipt]) {
    let mut sums = NodeReport { node, ..NodeReport::default() };
    let mut next = Seq::FIRST;
    for receipt in receipts {
        let path = names::receipt(&receipt.node, Roll(receipt.roll));
        let (first, last) = (Seq(receipt.first_seq), Seq(receipt.last_seq));
        let mut gap_from = next;
        for lost in &receipt.lost {
            let (lost_first, lost_last) = (Seq(lost.first_seq), Seq(lost.last_seq));
            if lost_first <= gap_from && lost_last >= gap_from && gap_from < first {
                gap_from = lost_last.next();
            }
            let counted = lost_first.0.max(next.0);
            sums.lost_bodies += (lost_last.0 + 1).min(last.0 + 1).saturating_sub(counted);
            sums.lost.push(SeqRange { first: lost_first, last: lost_last });
        }
        if last < first {
            report.problem(
                ProblemKind::Receipt,
                &path,
                format!("bodies {first} to {last} are none"),
            );
        } else if first > gap_from {
            let why = format!("no receipt has bodies {gap_from} to {}", Seq(first.0 - 1));
            report.problem(ProblemKind::Gap, &path, why);
        } else if first < next {
            let why = format!("bodies {first} to {} are in two rolls", Seq(next.0 - 1));
            report.problem(ProblemKind::Overlap, &path, why);
        }
        next = next.max(last.next());
        sums.rolls += 1;
        sums.lines += receipt.lines;
        sums.rows += receipt.rows;
        sums.rejects += receipt.rejects;
        sums.actions += receipt.actions;
        sums.files += receipt.tables.iter().map(|table| table.files.len() as u64).sum::<u64>();
        sums.last_roll = receipt.roll;
    }
    sums.last_seq = next.0 - 1;
    report.nodes.push(sums);
}

/// Checks the sums of a receipt, and adds the files it names to `expected`.
fn check_sums(
    report: &mut Report,
    receipt: &Receipt,
    expected: &mut BTreeMap<String, files::Expected>,
) {
    let path = names::receipt(&receipt.node, Roll(receipt.roll));
    let range = SeqRange { first: Seq(receipt.first_seq), last: Seq(receipt.last_seq) };
    let (mut rows, mut rejects) = (0, 0);
    for table in &receipt.tables {
        let of_files = table.files.iter().map(|file| (&file.path, file.rows, file.bytes, false));
        let of_rejects = table.quarantine.iter();
        let of_rejects = of_rejects.map(|file| (&file.path, file.entries, file.bytes, true));
        for (name, count, bytes, rejected) in of_files.chain(of_rejects) {
            // Derived rows stand for no line.
            if !table.derived {
                *(if rejected { &mut rejects } else { &mut rows }) += count;
            }
            let one = files::Expected {
                receipt: path.clone(),
                node: receipt.node.clone(),
                table: table.table.clone(),
                range,
                count,
                bytes,
            };
            if let Some(other) = expected.insert(name.clone(), one) {
                let why = format!("{path} and {} both have it", other.receipt);
                report.problem(ProblemKind::Overlap, name, why);
            }
        }
    }
    if (receipt.lines, receipt.rows, receipt.rejects) != (rows + rejects, rows, rejects) {
        let why = format!(
            "it says {} lines, {} rows and {} rejects; its files have {rows} rows and {rejects} \
             rejects",
            receipt.lines, receipt.rows, receipt.rejects
        );
        report.problem(ProblemKind::Sum, &path, why);
    }
}

/// Checks the files that no receipt names.
fn check_unnamed(
    report: &mut Report,
    found: &BTreeMap<String, Object>,
    expected: &BTreeMap<String, files::Expected>,
) {
    let last: BTreeMap<String, u64> =
        report.nodes.iter().map(|node| (node.node.clone(), node.last_roll)).collect();
    let mut pending = BTreeSet::new();
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        let (node, roll) = match ObjectName::parse(path) {
            ObjectName::Data { node, roll, .. } | ObjectName::Quarantine { node, roll, .. } => {
                (node, roll.0)
            }
            _ => {
                report.foreign += 1;
                continue;
            }
        };
        if roll == last.get(node).map_or(1, |last| last + 1) {
            pending.insert(format!("{node}-{roll:08}"));
            report.pending_files += 1;
        } else {
            let why = format!("there is no receipt of roll {roll} of {node} that names it");
            report.problem(ProblemKind::NoReceipt, path, why);
        }
    }
    report.pending_rolls = pending.into_iter().collect();
}
