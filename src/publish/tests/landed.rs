//! The contents of a lake.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array as _, AsArray as _, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::harness::SECOND;
use super::lines::rows_of_events;
use crate::lake::QuarantineEntry;
use crate::record::Micros;
use crate::schema::{EXTRA, INGEST_ID, INGEST_TIME};

/// The end of the name of a flat table.
const FLAT: &str = "_events";

/// A body: its node and number.
pub(super) type BodyId = (String, u64);

/// A row of a table that is not flat.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) table: String,
    pub(super) id: String,
    pub(super) ingest_id: String,
    pub(super) body: BodyId,
    /// Its line in the body, from 1.
    pub(super) line: u64,
    /// The receipt of its body.
    pub(super) at: Micros,
    /// The values of `plan` in the column and in `_extra`.
    pub(super) plans: Vec<String>,
}

/// The contents of the lake. Ids are those of documents; of the second table, behind its name and a slash.
#[derive(Debug, Default)]
pub(super) struct Landed {
    /// Ids of rows, and how often each is there.
    pub(super) rows: BTreeMap<String, u64>,
    pub(super) all_rows: Vec<Row>,
    /// The values of `plan` in the column and in `_extra`, by id of the row.
    pub(super) plans: BTreeMap<String, Vec<String>>,
    /// Ids of rows in files that have the column.
    pub(super) in_column: BTreeSet<String>,
    /// Ids of lines in quarantine, and how often each is there.
    pub(super) rejects: BTreeMap<String, u64>,
    /// The bodies that rejected lines are of, by id.
    pub(super) rejected: BTreeMap<String, Vec<BodyId>>,
    /// Ids of lines of bodies that were set aside whole. They are among the rejects.
    pub(super) set_aside: BTreeSet<String>,
    /// Positions of the rows of flat tables, by table and `_ingest_id` of their session's row.
    pub(super) flat: BTreeMap<(String, String), Vec<i64>>,
    /// Rows, or lines of the quarantine, by file.
    pub(super) files: BTreeMap<String, u64>,
    /// Bytes by file.
    sizes: BTreeMap<String, u64>,
    pub(super) receipts: Vec<crate::lake::Receipt>,
}

/// Returns the id of a document of `table` among those of all tables.
pub(super) fn key(table: &str, id: &str) -> String {
    if table == SECOND { format!("{table}/{id}") } else { id.to_owned() }
}

impl Landed {
    /// Adds an object of the lake.
    pub(super) fn add(&mut self, name: String, bytes: Bytes) {
        if name == "_lake.json" || name.starts_with("_nodes/") || name.starts_with("_tables/") {
            return;
        }
        if name.contains("/_delta_log/") || name.starts_with("visits/metadata/") {
            return;
        }
        self.sizes.insert(name.clone(), bytes.len() as u64);
        if name.starts_with("_receipts/") {
            self.receipts.push(serde_json::from_slice(&bytes).expect("a receipt"));
            return;
        }
        let count = match name.strip_prefix("_quarantine/") {
            Some(rest) => self.add_rejects(rest, &bytes),
            None => self.add_rows(&name, bytes),
        };
        self.files.insert(name, count);
    }

    fn add_rejects(&mut self, name: &str, bytes: &[u8]) -> u64 {
        let (table, file) = name.split_once('/').expect("a table");
        let (node, _) = file.rsplit_once('-').expect("a node and a roll");
        let text = std::str::from_utf8(bytes).expect("text");
        let mut lines = 0;
        for line in text.lines() {
            let entry: QuarantineEntry = serde_json::from_str(line).expect("an entry");
            let texts = entry.texts().expect("texts");
            let [raw] = &texts[..] else { panic!("several lines: {line}") };
            let raw = String::from_utf8(raw.to_vec()).expect("text");
            let whole = entry.code.as_deref() == Some("set_aside");
            assert!(whole || raw.lines().count() == 1, "{raw}");
            assert_eq!(entry.lines, raw.lines().count() as u64, "{line}");
            lines += entry.lines;
            for line in raw.lines() {
                let id = key(table, line.split('"').nth(3).expect("an id"));
                *self.rejects.entry(id.clone()).or_default() += 1;
                let of = (node.to_owned(), entry.seq);
                self.rejected.entry(id.clone()).or_default().push(of);
                self.set_aside.extend(whole.then_some(id));
            }
        }
        lines
    }

    fn add_rows(&mut self, name: &str, bytes: Bytes) -> u64 {
        let (table, _) = name.split_once('/').expect("a table");
        let batches = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet").build();
        let mut rows = 0;
        for batch in batches.expect("Parquet") {
            let batch = batch.expect("rows");
            match table.strip_suffix(FLAT) {
                Some(parent) => self.add_flat(parent, &batch),
                None => self.add_batch(table, &batch),
            }
            rows += batch.num_rows() as u64;
        }
        rows
    }

    fn add_flat(&mut self, parent: &str, batch: &RecordBatch) {
        let (ids, of) = (text(batch, "sessionId"), text(batch, "of"));
        let ingest_ids = text(batch, INGEST_ID);
        let positions = batch.column_by_name("position").expect("a column");
        let positions = positions.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let (id, position) = (ids.value(row), positions.value(row));
            assert_eq!(of.value(row), format!("{id}/{position}"), "a row of another session");
            let parent = (parent.to_owned(), ingest_ids.value(row).to_owned());
            self.flat.entry(parent).or_default().push(position);
        }
    }

    fn add_batch(&mut self, table: &str, batch: &RecordBatch) {
        let (ids, ingest_ids) = (text(batch, "id"), text(batch, INGEST_ID));
        let times = batch.column_by_name(INGEST_TIME).expect("a column");
        let times = times.as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let (id, ingest_id) = (ids.value(row).to_owned(), ingest_ids.value(row).to_owned());
            let key = key(table, &id);
            let plans = plans(batch, row);
            *self.rows.entry(key.clone()).or_default() += 1;
            self.plans.insert(key.clone(), plans.clone());
            if batch.column_by_name("plan").is_some() {
                self.in_column.insert(key);
            }
            let (body, line) = ingest_id.rsplit_once('-').expect("a line");
            let (node, seq) = body.rsplit_once('-').expect("a body");
            let body = (node.to_owned(), seq.parse().expect("a number"));
            let line = line.parse().expect("a number");
            let (table, at) = (table.to_owned(), Micros(times.value(row)));
            self.all_rows.push(Row { table, id, ingest_id, body, line, at, plans });
        }
    }

    /// Checks that each session's row has all of its flat rows; or, if rolls were sealed without the flat
    /// table, none.
    pub(super) fn check_flat(&mut self, always: bool) {
        let mut flat = self.flat.clone();
        for row in &self.all_rows {
            let found = flat.remove(&(row.table.clone(), row.ingest_id.clone()));
            let (mut found, expected) = (found.unwrap_or_default(), rows_of_events(&row.id));
            found.sort_unstable();
            let none = !always && found.is_empty();
            assert!(none || found == expected, "{row:?} has {found:?} for {expected:?}");
        }
        assert!(flat.is_empty(), "flat rows of no session: {flat:?}");
    }

    /// Returns how often a line is in the lake, as a row or in quarantine.
    pub(super) fn count(&self, id: &str) -> u64 {
        let of = |ids: &BTreeMap<String, u64>| ids.get(id).copied().unwrap_or_default();
        of(&self.rows) + of(&self.rejects)
    }

    /// Holds the sizes in receipts against those of the files.
    pub(super) fn check_sizes(&self) {
        for table in self.receipts.iter().flat_map(|receipt| &receipt.tables) {
            for file in &table.files {
                assert_eq!(self.sizes.get(&file.path), Some(&file.bytes), "{}", file.path);
            }
            if let Some(file) = &table.quarantine {
                assert_eq!(self.sizes.get(&file.path), Some(&file.bytes), "{}", file.path);
            }
        }
    }

    /// Holds receipts against files and against one another.
    pub(super) fn check_receipts(&self) {
        let mut accounted = BTreeMap::new();
        let mut next_seq = 1;
        for receipt in &self.receipts {
            let accounted_for = receipt.rows + receipt.rejects + receipt.doubled;
            assert_eq!(receipt.lines, accounted_for, "{receipt:?}");
            let doubled: u64 = receipt.tables.iter().map(|table| table.doubled).sum();
            assert_eq!(doubled, receipt.doubled, "{receipt:?}");
            for lost in &receipt.lost {
                if lost.first_seq == next_seq {
                    next_seq = next_seq.max(lost.last_seq + 1);
                }
            }
            assert!(receipt.first_seq <= next_seq, "a gap before {receipt:?}");
            assert!(receipt.last_seq + 1 >= next_seq, "accounted for twice: {receipt:?}");
            next_seq = receipt.last_seq + 1;
            let (mut rows, mut rejects) = (0, 0);
            for table in &receipt.tables {
                for file in &table.files {
                    rows += if table.derived { 0 } else { file.rows };
                    assert_eq!(accounted.insert(file.path.clone(), file.rows), None);
                }
                if let Some(file) = &table.quarantine {
                    rejects += file.entries;
                    assert_eq!(accounted.insert(file.path.clone(), file.entries), None);
                }
            }
            assert_eq!((rows, rejects), (receipt.rows, receipt.rejects), "{receipt:?}");
        }
        assert_eq!(accounted, self.files, "files and receipts differ");
    }
}

fn text(batch: &RecordBatch, name: &str) -> StringArray {
    batch.column_by_name(name).expect("a column").as_string::<i32>().clone()
}

/// Returns the values of `plan` of a row, in the column and in `_extra`.
fn plans(batch: &RecordBatch, row: usize) -> Vec<String> {
    let mut plans = Vec::new();
    if let Some(column) = batch.column_by_name("plan").filter(|column| column.is_valid(row)) {
        let text = |column: &StringArray| column.value(row).to_owned();
        plans.push(column.as_string_opt::<i32>().map_or("no text".to_owned(), text));
    }
    let extras = batch.column_by_name(EXTRA).expect("a column").as_string::<i32>();
    if extras.is_valid(row) {
        let extra: serde_json::Value = serde_json::from_str(extras.value(row)).expect("JSON");
        plans.extend(extra["/plan"].as_str().map(str::to_owned));
    }
    plans
}
