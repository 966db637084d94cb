//! Reading documents from a lake: rows in the exporter's own form, and the ids of all rows.
//!
//! ```text
//!  <lake>/<table>/**.parquet ─▶ footers ─▶ startTime of the files that can matter ─▶ newest rows
//!                                                                                      │
//!                             documents, as a download of sample data has them ◀───────┘
//! ```
//! Only what is needed is read: the columns of a question, and of the rows themselves the row groups
//! that hold one. Memory: one row group of a file at a time. Nothing is written. A file that cannot be
//! read is an error with its name: a sample that leaves rows out in silence proves nothing.

mod read;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Fields;

use crate::columnar::describe::members_of;
use crate::columnar::values::{strings, timestamps};
use crate::decode::{Document, DocumentError, to_document};
use crate::lake::{DataFileError, Lake, StoreError};
use crate::schema::{EXTRA, Field, INGEST_ID, INGEST_TIME, Kind, TableSchema, is_lifted};

/// A sample that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The store would not list.
    #[error("cannot list the lake")]
    List(#[source] StoreError),
    /// A file cannot be read.
    #[error("cannot read {file}")]
    File {
        /// Its name, relative to the lake.
        file: String,
        /// The error of reading it.
        #[source]
        source: Box<DataFileError>,
    },
    /// A row gives no document.
    #[error("cannot make a document of a row of {file}")]
    Document {
        /// The name of its file, relative to the lake.
        file: String,
        /// The error of its values.
        #[source]
        source: DocumentError,
    },
}

/// A table of a lake that documents are read from.
#[derive(Debug)]
pub struct Table<'a> {
    /// The lake.
    pub lake: &'a Lake,
    /// The table's schema.
    pub schema: &'a TableSchema,
    /// The table's folder.
    pub name: &'a str,
}

/// Documents of a lake.
#[derive(Debug, Default)]
pub struct Sample {
    /// The documents, oldest first.
    pub documents: Vec<Document>,
    /// Columns of their files that the schema does not have, members after dots. The documents are without
    /// them.
    pub unknown: BTreeSet<String>,
    /// Columns of their files that repeat properties. The documents have those in their lists alone.
    pub properties: BTreeSet<String>,
}

const MICROS_OF_DAY: i64 = 86_400_000_000;

impl Table<'_> {
    /// Returns the newest `count` documents among those that began in the `days` before the newest of
    /// all, oldest first. Rows without a start time are left out.
    ///
    /// # Errors
    /// [`SampleError`].
    pub async fn newest(&self, count: usize, days: u32) -> Result<Sample, SampleError> {
        let mut files = read::files(self).await?;
        // Newest first, so that files that come after can be left out early.
        files.sort_by_key(|file| Reverse(file.last().unwrap_or(i64::MAX)));
        // Kept rows, the oldest on top: (start, file, row).
        let mut rows: BinaryHeap<Reverse<(i64, usize, usize)>> = BinaryHeap::new();
        for (number, file) in files.iter().enumerate() {
            let oldest = rows.peek().map(|Reverse((start, _, _))| *start);
            if rows.len() >= count && oldest > file.last() && file.last().is_some() {
                break;
            }
            let mut first = 0;
            let mut batches = file.batches(self.lake, Some(&["startTime"]), None)?;
            while let Some(batch) = batches.next().await? {
                for (row, start) in start_times(&batch).enumerate() {
                    if let Some(start) = start {
                        rows.push(Reverse((start, number, first + row)));
                        if rows.len() > count {
                            rows.pop();
                        }
                    }
                }
                first += batch.num_rows();
            }
        }
        let mut rows: Vec<_> = rows.into_iter().map(|Reverse(row)| row).collect();
        rows.sort_unstable();
        let newest = rows.last().map_or(0, |(start, _, _)| *start);
        let after = newest.saturating_sub(i64::from(days).saturating_mul(MICROS_OF_DAY));
        rows.retain(|(start, _, _)| *start >= after);
        let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (_, file, row) in &rows {
            wanted.entry(*file).or_default().push(*row);
        }
        let mut documents = BTreeMap::new();
        let mut sample = Sample::default();
        for (number, wanted) in &mut wanted {
            wanted.sort_unstable();
            let Some(file) = files.get(*number) else { continue };
            let mut next = wanted.iter();
            let mut batches = file.batches(self.lake, None, Some(wanted))?;
            while let Some(batch) = batches.next().await? {
                sample.look(batch.schema_ref().fields(), &self.schema.fields, "");
                for row in 0..batch.num_rows() {
                    let document = to_document(&batch, row, self.schema)
                        .map_err(|source| SampleError::Document { file: file.name(), source })?;
                    if let Some(at) = next.next() {
                        documents.insert((*number, *at), document);
                    }
                }
            }
        }
        let documents = rows.iter().filter_map(|(_, file, row)| documents.remove(&(*file, *row)));
        sample.documents = documents.collect();
        Ok(sample)
    }

    /// Calls `found` with the id of every row: see [`id`].
    ///
    /// # Errors
    /// [`SampleError`].
    pub async fn ids(&self, mut found: impl FnMut(&str)) -> Result<(), SampleError> {
        let mut id = String::new();
        for file in read::files(self).await? {
            let columns = ["tenantId", "userSessionId", "startTime"];
            let mut batches = file.batches(self.lake, Some(&columns), None)?;
            while let Some(batch) = batches.next().await? {
                let text = |name| batch.column_by_name(name).and_then(|c| strings(c));
                let (tenants, sessions) = (text("tenantId"), text("userSessionId"));
                for (row, start) in start_times(&batch).enumerate() {
                    let value = |column: Option<&arrow::array::StringArray>| {
                        let column = column.filter(|column| column.is_valid(row));
                        column.map(|column| column.value(row).to_owned()).unwrap_or_default()
                    };
                    id.clear();
                    // Writing to a String cannot fail.
                    let _ = std::fmt::Write::write_fmt(
                        &mut id,
                        format_args!(
                            "{}-{}-{}",
                            value(tenants),
                            value(sessions),
                            start.unwrap_or_default().div_euclid(1_000)
                        ),
                    );
                    found(&id);
                }
            }
        }
        Ok(())
    }
}

impl Sample {
    /// Takes note of those of a file's columns that `fields` lack, and of members of its records. `before`
    /// is the path of the record.
    fn look(&mut self, columns: &Fields, fields: &[Field], before: &str) {
        for column in columns {
            let name = column.name().as_str();
            if before.is_empty() && [INGEST_TIME, INGEST_ID, EXTRA].contains(&name) {
                continue;
            }
            match fields.iter().find(|field| field.name == name) {
                Some(field) => {
                    if let (Some(columns), Some(fields)) =
                        (members_of(column.data_type()), fields_of(&field.kind))
                    {
                        self.look(columns, fields, &format!("{before}{name}."));
                    }
                }
                None if is_lifted(name, fields) => {
                    self.properties.insert(format!("{before}{name}"));
                }
                None => {
                    self.unknown.insert(format!("{before}{name}"));
                }
            }
        }
    }
}

fn fields_of(kind: &Kind) -> Option<&[Field]> {
    match kind {
        Kind::Struct(fields) => Some(fields),
        Kind::List(item) => fields_of(item),
        _ => None,
    }
}

/// Returns `tenantId-userSessionId-startTime` of a document, which the exporter's Elasticsearch
/// actions have for an `_id`. A missing id is empty, a missing time is 0.
#[must_use]
pub fn id(document: &Document) -> String {
    let text = |name: &str| document.text(name).unwrap_or_default();
    let start = document.long("startTime").unwrap_or_default();
    format!("{}-{}-{start}", text("tenantId"), text("userSessionId"))
}

/// Returns `startTime` of each row, in microseconds.
fn start_times(batch: &RecordBatch) -> impl Iterator<Item = Option<i64>> {
    let column = batch.column_by_name("startTime");
    let column = column.and_then(|c| timestamps(c));
    (0..batch.num_rows()).map(move |row| {
        column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
    })
}
