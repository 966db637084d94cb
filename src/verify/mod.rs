//! Whether every received line is accounted for: receipts and files of a lake against each other.
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

mod files;
mod quarantine;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};

pub use quarantine::{Entry, QuarantineFile, Quarantined, entries, list_quarantine};
pub use report::{NodeReport, Problem, Report, Trouble};

use crate::commit::Receipt;
use crate::record::{Roll, Seq, SeqRange};
use crate::store::names;

/// Files looked at, and receipts read, at a time.
const AT_A_TIME: usize = 32;
/// Files whose rows are read at a time: each is held in memory as a whole.
const WHOLE_AT_A_TIME: usize = 2;

/// Verifies the lake below `prefix` of `store`. `name` is what the report calls it; with `rows`,
/// every row's lineage is read too.
///
/// # Errors
/// The store cannot be listed, or a receipt cannot be read. What is wrong with the lake is in the
/// report.
///
/// # Cancel safety
/// Reads only; dropping the future leaves nothing behind.
pub async fn verify(
    store: &dyn ObjectStore,
    prefix: &Path,
    name: &str,
    rows: bool,
) -> Result<Report, object_store::Error> {
    let listed: Vec<ObjectMeta> = store.list(Some(prefix)).try_collect().await?;
    let mut report = Report { lake: name.to_owned(), ..Report::default() };
    let mut receipts = Vec::new();
    let mut there = BTreeMap::new();
    for meta in listed {
        let path = below(prefix, &meta.location);
        match path.split('/').next() {
            Some("_receipts") => receipts.push((path, meta)),
            Some("_quarantine") => drop(there.insert(path, meta)),
            Some(hidden) if hidden.starts_with(['_', '.']) => {}
            _ if path.split('/').any(|part| part.starts_with('.')) => report.hidden += 1,
            _ => drop(there.insert(path, meta)),
        }
    }
    let read: Vec<_> = stream::iter(receipts)
        .map(|(path, meta)| async move {
            let bytes = store.get(&meta.location).await?.bytes().await?;
            Ok::<_, object_store::Error>((path, serde_json::from_slice::<Receipt>(&bytes)))
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    let mut nodes: BTreeMap<String, Vec<Receipt>> = BTreeMap::new();
    for (path, receipt) in read {
        match receipt {
            Ok(receipt) if names::receipt(&receipt.node, Roll(receipt.roll)) == path => {
                nodes.entry(receipt.node.clone()).or_default().push(receipt);
            }
            Ok(_) => report.problem(Trouble::Receipt, &path, "it is of another node or roll"),
            Err(error) => report.problem(Trouble::Receipt, &path, error.to_string()),
        }
    }
    let mut told: BTreeMap<String, files::Told> = BTreeMap::new();
    for (node, mut receipts) in nodes {
        receipts.sort_by_key(|receipt| receipt.roll);
        sequence(&mut report, node, &receipts);
        for receipt in &receipts {
            account(&mut report, receipt, &mut told);
        }
    }
    unnamed(&mut report, &there, &told);
    files::check(&mut report, store, &there, told, rows).await;
    report.problems.sort();
    Ok(report)
}

/// The bodies of a node: one roll after the other, none left out, none twice.
fn sequence(report: &mut Report, node: String, receipts: &[Receipt]) {
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
            report.problem(Trouble::Receipt, &path, format!("bodies {first} to {last} are none"));
        } else if first > gap_from {
            let why = format!("no receipt has bodies {gap_from} to {}", Seq(first.0 - 1));
            report.problem(Trouble::Gap, &path, why);
        } else if first < next {
            let why = format!("bodies {first} to {} are in two rolls", Seq(next.0 - 1));
            report.problem(Trouble::Overlap, &path, why);
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

/// What a receipt says of itself, and the files it names.
fn account(report: &mut Report, receipt: &Receipt, told: &mut BTreeMap<String, files::Told>) {
    let path = names::receipt(&receipt.node, Roll(receipt.roll));
    let range = SeqRange { first: Seq(receipt.first_seq), last: Seq(receipt.last_seq) };
    let (mut rows, mut rejects) = (0, 0);
    for table in &receipt.tables {
        let of_files = table.files.iter().map(|file| (&file.path, file.rows, file.bytes, false));
        let of_rejects = table.quarantine.iter();
        let of_rejects = of_rejects.map(|file| (&file.path, file.entries, file.bytes, true));
        for (name, count, bytes, rejected) in of_files.chain(of_rejects) {
            *(if rejected { &mut rejects } else { &mut rows }) += count;
            let one = files::Told {
                receipt: path.clone(),
                node: receipt.node.clone(),
                table: table.table.clone(),
                range,
                count,
                bytes,
            };
            if let Some(other) = told.insert(name.clone(), one) {
                let why = format!("{path} and {} both have it", other.receipt);
                report.problem(Trouble::Overlap, name, why);
            }
        }
    }
    if (receipt.lines, receipt.rows, receipt.rejects) != (rows + rejects, rows, rejects) {
        let why = format!(
            "it says {} lines, {} rows and {} rejects; its files have {rows} rows and {rejects} \
             rejects",
            receipt.lines, receipt.rows, receipt.rejects
        );
        report.problem(Trouble::Sum, &path, why);
    }
}

/// Files that are there and in no receipt.
fn unnamed(
    report: &mut Report,
    there: &BTreeMap<String, ObjectMeta>,
    told: &BTreeMap<String, files::Told>,
) {
    let last: BTreeMap<String, u64> =
        report.nodes.iter().map(|node| (node.node.clone(), node.last_roll)).collect();
    let mut pending = BTreeSet::new();
    for path in there.keys().filter(|path| !told.contains_key(*path)) {
        match ours(path) {
            None => report.foreign += 1,
            Some((node, roll)) if roll == last.get(node).map_or(1, |last| last + 1) => {
                pending.insert(format!("{node}-{roll:08}"));
                report.pending_files += 1;
            }
            Some((node, roll)) => {
                let why = format!("there is no receipt of roll {roll} of {node} that names it");
                report.problem(Trouble::NoReceipt, path, why);
            }
        }
    }
    report.pending_rolls = pending.into_iter().collect();
}

/// Node and roll of a file by its name.
fn ours(path: &str) -> Option<(&str, u64)> {
    let name = path.rsplit('/').next()?;
    let stem = match path.starts_with("_quarantine/") {
        true => name.strip_suffix(".ndjson")?,
        false => name.strip_suffix(".parquet")?,
    };
    let (node, roll) = stem.rsplit_once('-')?;
    let digits = roll.len() >= 8 && roll.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Some((node, roll.parse().ok()?))).flatten()
}

fn below(prefix: &Path, path: &Path) -> String {
    let whole = path.as_ref();
    whole.strip_prefix(prefix.as_ref()).unwrap_or(whole).trim_start_matches('/').to_owned()
}
