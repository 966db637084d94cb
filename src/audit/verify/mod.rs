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
//!
//! The lake may be written meanwhile: files are listed before receipts, and what seems to be
//! missing is asked for by its name before it is called so.

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

use crate::lake::Receipt;
use crate::lake::names;
use crate::record::{Roll, Seq, SeqRange};

/// Files looked at, and receipts read, at a time.
const AT_A_TIME: usize = 32;
/// Receipts of a node that are missing in the middle, and asked for by name.
const ASKED_AGAIN: usize = 1000;
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
    let mut report = Report { lake: name.to_owned(), ..Report::default() };
    // Files before receipts: of a roll that lands meanwhile, the receipt may be known and not the
    // files, and those can be asked for one by one.
    let there = list(&mut report, store, prefix).await?;
    let nodes = receipts(&mut report, store, prefix).await?;
    let mut told: BTreeMap<String, files::Told> = BTreeMap::new();
    for (node, receipts) in nodes {
        sequence(&mut report, node, &receipts);
        for receipt in &receipts {
            account(&mut report, receipt, &mut told);
        }
    }
    unnamed(&mut report, &there, &told);
    files::check(&mut report, store, prefix, &there, told, rows).await;
    report.problems.sort();
    report.problems.dedup();
    Ok(report)
}

/// The data files and those of the quarantine, by their names below the lake.
async fn list(
    report: &mut Report,
    store: &dyn ObjectStore,
    prefix: &Path,
) -> Result<BTreeMap<String, ObjectMeta>, object_store::Error> {
    let mut there = BTreeMap::new();
    let mut listed = store.list(Some(prefix));
    while let Some(meta) = listed.try_next().await? {
        let path = below(prefix, &meta.location);
        let hidden = path.split('/').any(|part| part.starts_with('.'));
        match path.split('/').next() {
            Some("_quarantine") if !hidden => drop(there.insert(path, meta)),
            Some(folder) if folder.starts_with(['_', '.']) => {}
            _ if hidden => report.hidden += 1,
            _ => drop(there.insert(path, meta)),
        }
    }
    Ok(there)
}

/// The receipts by node, in order.
async fn receipts(
    report: &mut Report,
    store: &dyn ObjectStore,
    prefix: &Path,
) -> Result<BTreeMap<String, Vec<Receipt>>, object_store::Error> {
    let folder = prefix.clone().join("_receipts");
    let listed: Vec<ObjectMeta> = store.list(Some(&folder)).try_collect().await?;
    let paths = listed.iter().map(|meta| below(prefix, &meta.location));
    // A hidden name is that of a receipt on its way.
    let paths = paths.filter(|path| !path.split('/').any(|part| part.starts_with('.')));
    let mut nodes = read_receipts(report, store, prefix, paths.collect()).await?;
    // A list is not of one moment: a receipt may have come behind it, and the next before it.
    let mut passed = Vec::new();
    for (node, receipts) in &nodes {
        let rolls: BTreeSet<u64> = receipts.iter().map(|receipt| receipt.roll).collect();
        let last = rolls.last().copied().unwrap_or(0);
        let missing = (1..last).filter(|roll| !rolls.contains(roll)).take(ASKED_AGAIN);
        passed.extend(missing.map(|roll| names::receipt(node, Roll(roll))));
    }
    for (node, more) in read_receipts(report, store, prefix, passed).await? {
        nodes.entry(node).or_default().extend(more);
    }
    nodes.values_mut().for_each(|receipts| receipts.sort_by_key(|receipt| receipt.roll));
    Ok(nodes)
}

/// Reads the receipts `paths`; what is not there is left out.
async fn read_receipts(
    report: &mut Report,
    store: &dyn ObjectStore,
    prefix: &Path,
    paths: Vec<String>,
) -> Result<BTreeMap<String, Vec<Receipt>>, object_store::Error> {
    let mut nodes: BTreeMap<String, Vec<Receipt>> = BTreeMap::new();
    let mut read = stream::iter(paths)
        .map(|path| async move {
            let got = match store.get(&whole(prefix, &path)?).await {
                Err(object_store::Error::NotFound { .. }) => return Ok((path, None)),
                got => got?.bytes().await?,
            };
            Ok::<_, object_store::Error>((path, Some(serde_json::from_slice::<Receipt>(&got))))
        })
        .buffer_unordered(AT_A_TIME);
    while let Some((path, receipt)) = read.try_next().await? {
        match receipt {
            None => {}
            Some(Ok(receipt)) if names::receipt(&receipt.node, Roll(receipt.roll)) == path => {
                nodes.entry(receipt.node.clone()).or_default().push(receipt);
            }
            Some(Ok(_)) => report.problem(Trouble::Receipt, &path, "it is of another node or roll"),
            Some(Err(error)) => report.problem(Trouble::Receipt, &path, error.to_string()),
        }
    }
    Ok(nodes)
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
            // Derived rows stand for no line.
            if !table.derived {
                *(if rejected { &mut rejects } else { &mut rows }) += count;
            }
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

/// The place in the store of what is below the lake.
fn whole(prefix: &Path, path: &str) -> Result<Path, object_store::Error> {
    Ok(match prefix.as_ref() {
        "" => Path::parse(path)?,
        prefix => Path::parse(format!("{prefix}/{path}"))?,
    })
}

fn below(prefix: &Path, path: &Path) -> String {
    let whole = path.as_ref();
    whole.strip_prefix(prefix.as_ref()).unwrap_or(whole).trim_start_matches('/').to_owned()
}
