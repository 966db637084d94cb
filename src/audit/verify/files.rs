//! The files that receipts name: each exists, and has the size or the rows that its receipt says.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt as _, stream};

use super::Depth;
use super::listed::{Found, Listed};
use super::logs::Logs;
use super::report::{ProblemKind, Report};
use super::row_ids::row_ids;
use crate::lake::names::{self, ObjectName};
use crate::lake::{DataFileError, Lake, Object, Receipt};
use crate::record::{Roll, Seq, SeqRange};

/// Files whose rows are read at a time: of each a row group's lineage is held.
const ROWS_AT_A_TIME: usize = 4;

/// A file as its receipt describes it.
#[derive(Debug)]
pub(super) struct Expected {
    receipt: Arc<str>,
    node: Arc<str>,
    table: String,
    /// True for a flat table.
    derived: bool,
    path: String,
    range: SeqRange,
    /// Rows, or entries of the quarantine.
    count: u64,
    bytes: u64,
    /// Its size by the listing, if it is in it.
    listed: Option<u64>,
}

/// Checks the sums of a receipt, and returns the files it names, with their sizes by `listed`. Files
/// that are not listed are noted in `asked`.
pub(super) fn named(
    report: &mut Report,
    receipt: &Receipt,
    listed: &mut Listed,
    asked: &mut HashSet<String>,
) -> Vec<Expected> {
    let path: Arc<str> = names::receipt(&receipt.node, Roll(receipt.roll)).into();
    let node: Arc<str> = receipt.node.as_str().into();
    let range = SeqRange { first: Seq(receipt.first_seq), last: Seq(receipt.last_seq) };
    let (mut rows, mut rejects) = (0_u64, 0_u64);
    let tables = receipt.tables.iter().filter(|table| !table.derived);
    let doubled = tables.fold(0_u64, |sum, table| sum.saturating_add(table.doubled));
    let mut expected = Vec::new();
    for table in &receipt.tables {
        let of_files = table.files.iter().map(|file| (&file.path, file.rows, file.bytes, false));
        let of_rejects = table.quarantine.iter();
        let of_rejects = of_rejects.map(|file| (&file.path, file.entries, file.bytes, true));
        for (name, count, bytes, rejected) in of_files.chain(of_rejects) {
            // Derived rows stand for no line.
            if !table.derived {
                let sum = if rejected { &mut rejects } else { &mut rows };
                *sum = sum.saturating_add(count);
            }
            let found = match listed.take(name) {
                Found::Absent if !asked.insert(name.clone()) => Found::Again,
                found => found,
            };
            let listed = match found {
                Found::Bytes(bytes) => Some(bytes),
                Found::Absent => None,
                Found::Again => {
                    let why = format!("{path} names it, and so does another receipt");
                    report.problem(ProblemKind::Overlap, name, why);
                    continue;
                }
            };
            expected.push(Expected {
                receipt: Arc::clone(&path),
                node: Arc::clone(&node),
                table: table.table.clone(),
                derived: table.derived,
                path: name.clone(),
                range,
                count,
                bytes,
                listed,
            });
        }
    }
    let lines = rows.saturating_add(rejects).saturating_add(doubled);
    if (receipt.lines, receipt.rows, receipt.rejects, receipt.doubled)
        != (lines, rows, rejects, doubled)
    {
        let says = |total: u64, of: u64| match (total, of) {
            (0, 0) => Default::default(),
            _ => [format!(", {total} of them doubles"), format!(", of {of} doubles by table")],
        };
        let [total, of] = says(receipt.doubled, doubled);
        let why = format!(
            "it says {} lines{total}, {} rows and {} rejects; its files have {rows} rows and \
             {rejects} rejects{of}",
            receipt.lines, receipt.rows, receipt.rejects
        );
        report.problem(ProblemKind::Sum, &path, why);
    }
    expected
}

/// Ids of the rows of one roll and table.
pub(super) type Seen = (Option<(Arc<str>, String)>, HashSet<String>);

/// Checks files, those of one roll and table together. With [`Depth::Rows`], also that no row is in a
/// roll twice and each is of one of the roll's bodies. Missing files of tables with a log are noted in
/// `logs`, which knows more of them.
pub(super) async fn check(
    report: &mut Report,
    lake: &Lake,
    depth: Depth,
    expected: Vec<Expected>,
    seen: &mut Seen,
    logs: &mut Logs<'_>,
) {
    let most = report.pace.files_at_a_time();
    let at_a_time = if depth == Depth::Rows { ROWS_AT_A_TIME.min(most) } else { most };
    let mut looks = stream::iter(expected)
        .map(|expected| async move {
            let look = look(lake, &expected, depth).await;
            (expected, look)
        })
        .buffered(at_a_time);
    while let Some((expected, look)) = looks.next().await {
        let path = &expected.path;
        let content = match look {
            Err(error) => {
                let kind = match error {
                    DataFileError::Store(_) => ProblemKind::Unread,
                    _ => ProblemKind::File,
                };
                report.problem(kind, path, error.to_string());
                continue;
            }
            Ok(Look::Missing) => {
                if !logs.note_missing(&expected.table, path) {
                    report.no_file(path, &expected.receipt);
                }
                continue;
            }
            Ok(Look::Size) => {
                report.by_size += 1;
                continue;
            }
            Ok(Look::Content(content)) => content,
        };
        report.read += 1;
        if content.count != expected.count {
            let (says, has) = (expected.count, content.count);
            let why = format!("{} says {says}, it has {has}", expected.receipt);
            report.problem(ProblemKind::File, path, why);
            continue;
        }
        report.resized += u64::from(content.bytes != expected.bytes);
        report.rows_read += content.ids.len() as u64;
        check_rows(report, &expected, content.ids, seen);
    }
}

fn check_rows(report: &mut Report, expected: &Expected, ids: Vec<String>, seen: &mut Seen) {
    if ids.is_empty() {
        return;
    }
    let roll = (Arc::clone(&expected.receipt), expected.table.clone());
    if seen.0.as_ref() != Some(&roll) {
        *seen = (Some(roll), HashSet::new());
    }
    for id in ids {
        if let Some(why) = stray(&id, expected) {
            report.problem(ProblemKind::File, &expected.path, why);
            break;
        }
        if let Some(twice) = seen.1.replace(id) {
            let why = format!("row {twice} is in this roll twice");
            report.problem(ProblemKind::Overlap, &expected.path, why);
            break;
        }
    }
}

/// The findings about one file.
enum Look {
    Missing,
    /// It has the size that its receipt says, and was not opened.
    Size,
    Content(Content),
}

/// The content of a file, counted.
struct Content {
    /// Rows, or entries of the quarantine.
    count: u64,
    bytes: u64,
    /// Lineage of the rows, if asked for.
    ids: Vec<String>,
}

async fn look(lake: &Lake, expected: &Expected, depth: Depth) -> Result<Look, DataFileError> {
    let name = expected.path.clone();
    let object = match expected.listed {
        Some(bytes) => Object { name, bytes },
        // It may have come since.
        None => match lake.head(&name).await? {
            Some(object) => object,
            None => return Ok(Look::Missing),
        },
    };
    let bytes = object.bytes;
    if depth == Depth::Sizes && bytes == expected.bytes {
        return Ok(Look::Size);
    }
    if let ObjectName::Quarantine { .. } = ObjectName::parse(&object.name) {
        let count = lake.quarantine_count(&object.name).await?.unwrap_or(0);
        return Ok(Look::Content(Content { count, bytes, ids: Vec::new() }));
    }
    if depth != Depth::Rows {
        let count = lake.row_count(&object).await?;
        return Ok(Look::Content(Content { count, bytes, ids: Vec::new() }));
    }
    let ids = row_ids(lake, &object, expected.derived).await?;
    Ok(Look::Content(Content { count: ids.len() as u64, bytes, ids }))
}

/// Returns the reason if a row does not belong in the roll.
fn stray(id: &str, expected: &Expected) -> Option<String> {
    let of_node = id.strip_prefix(&*expected.node).and_then(|rest| rest.strip_prefix('-'));
    let seq = of_node.and_then(|rest| rest.split_once('-')?.0.parse::<u64>().ok());
    let (first, last) = (expected.range.first.0, expected.range.last.0);
    match seq {
        Some(seq) if (first..=last).contains(&seq) => None,
        _ => Some(format!("row {id} is none of bodies {first} to {last} of {}", expected.node)),
    }
}
