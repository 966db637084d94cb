//! The files that receipts name: each exists, can be read, and has the rows that its receipt says.

use std::collections::{BTreeMap, HashSet};

use arrow::array::Array as _;
use futures::{StreamExt as _, stream};
use parquet::errors::ParquetError;

use super::report::{ProblemKind, Report};
use crate::columnar::values::strings;
use crate::lake::names::ObjectName;
use crate::lake::{DataFile, DataFileError, Lake, Object};
use crate::record::SeqRange;
use crate::schema::INGEST_ID;

/// Files checked at a time.
const AT_A_TIME: usize = 32;
/// Files whose rows are read at a time: of each a row group's lineage is held.
const ROWS_AT_A_TIME: usize = 4;

/// A file as its receipt describes it.
pub(super) struct Expected {
    pub(super) receipt: String,
    pub(super) node: String,
    pub(super) table: String,
    pub(super) range: SeqRange,
    /// Rows, or entries of the quarantine.
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// Checks every file that a receipt names; with `rows`, also that no row is in a roll twice and each
/// is of one of the roll's bodies.
pub(super) async fn check(
    report: &mut Report,
    lake: &Lake,
    listed: &BTreeMap<String, Object>,
    expected: BTreeMap<String, Expected>,
    rows: bool,
) {
    let mut found = Vec::new();
    for (path, expected) in expected {
        let object = match listed.get(&path) {
            Some(object) => Ok(Some(object.clone())),
            // It may have come since.
            None => lake.head(&path).await,
        };
        match object {
            Ok(Some(object)) => found.push((expected, object)),
            Err(error) => report.problem(ProblemKind::File, &path, error.to_string()),
            Ok(None) => {
                let why = format!("{} names it, and it is not there", expected.receipt);
                report.problem(ProblemKind::NoFile, &path, why);
            }
        }
    }
    let at_a_time = if rows { ROWS_AT_A_TIME } else { AT_A_TIME };
    // In the order of receipts, so that the rows of one roll are together.
    found.sort_by(|(a, of_a), (b, of_b)| {
        (&a.receipt, &a.table, &of_a.name).cmp(&(&b.receipt, &b.table, &of_b.name))
    });
    let mut contents = stream::iter(found)
        .map(|(expected, object)| async move {
            let content = content(lake, &object, rows).await;
            (expected, object, content)
        })
        .buffered(at_a_time);
    let mut seen: (String, HashSet<String>) = Default::default();
    while let Some((expected, object, content)) = contents.next().await {
        let path = &object.name;
        match content {
            Err(error) => report.problem(ProblemKind::File, path, error.to_string()),
            Ok(content) if content.count != expected.count => {
                let (says, has) = (expected.count, content.count);
                let why = format!("{} says {says}, it has {has}", expected.receipt);
                report.problem(ProblemKind::File, path, why);
            }
            Ok(content) => {
                report.resized += u64::from(object.bytes != expected.bytes);
                report.rows_read += content.ids.len() as u64;
                let roll = format!("{} {}", expected.receipt, expected.table);
                if seen.0 != roll {
                    seen = (roll, HashSet::new());
                }
                for id in content.ids {
                    if let Some(why) = stray(&id, &expected) {
                        report.problem(ProblemKind::File, path, why);
                        break;
                    }
                    if let Some(twice) = seen.1.replace(id) {
                        let why = format!("row {twice} is in this roll twice");
                        report.problem(ProblemKind::Overlap, path, why);
                        break;
                    }
                }
            }
        }
    }
}

/// The content of a file, counted.
struct Content {
    /// Rows, or entries of the quarantine.
    count: u64,
    /// Lineage of the rows, if asked for.
    ids: Vec<String>,
}

async fn content(lake: &Lake, object: &Object, rows: bool) -> Result<Content, DataFileError> {
    if let ObjectName::Quarantine { .. } = ObjectName::parse(&object.name) {
        let count = lake.quarantine_count(&object.name).await?.unwrap_or(0);
        return Ok(Content { count, ids: Vec::new() });
    }
    if !rows {
        return Ok(Content { count: lake.row_count(object).await?, ids: Vec::new() });
    }
    let ids = lineage(lake, object).await?;
    Ok(Content { count: ids.len() as u64, ids })
}

/// Returns the lineage column of a file.
async fn lineage(lake: &Lake, object: &Object) -> Result<Vec<String>, DataFileError> {
    let file = DataFile::open(lake, object.clone()).await?;
    let mut batches = file.batches(lake, Some(&[INGEST_ID]), None)?;
    let mut ids = Vec::new();
    while let Some(batch) = batches.next().await? {
        let column = batch.column_by_name(INGEST_ID).and_then(|column| strings(column));
        let column = column
            .ok_or_else(|| ParquetError::General(format!("there is no column {INGEST_ID}")))?;
        ids.extend((0..column.len()).map(|at| column.value(at).to_owned()));
    }
    Ok(ids)
}

/// Returns the reason if a row does not belong in the roll.
fn stray(id: &str, expected: &Expected) -> Option<String> {
    let of_node = id.strip_prefix(&expected.node).and_then(|rest| rest.strip_prefix('-'));
    let seq = of_node.and_then(|rest| rest.split_once('-')?.0.parse::<u64>().ok());
    let (first, last) = (expected.range.first.0, expected.range.last.0);
    match seq {
        Some(seq) if (first..=last).contains(&seq) => None,
        _ => Some(format!("row {id} is none of bodies {first} to {last} of {}", expected.node)),
    }
}
