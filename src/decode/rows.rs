//! The rows of a growing batch, and its end.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::extra::Extra;
use super::plan::{FieldIndex, RecordBuilder};
use super::reject::Reject;
use crate::columnar::builders::{Full, MAX_LEN, StringBuilder, timestamps};
use crate::columnar::null_arrays::null_rows;
use crate::record::{Body, BodyRows, Micros};
use crate::schema::TableSchema;
use crate::table::{Revision, TimeWindow};

/// The outcome of decoding since the last [`Decoder::finish`](super::Decoder::finish).
#[derive(Debug)]
pub struct Decoded {
    /// The rows, in the order of the bodies and their lines. Its schema is
    /// [`TableSchema::arrow`].
    pub batch: RecordBatch,
    /// The bodies of these rows, in the same order: their rows are those of the batch.
    pub bodies: Vec<BodyRows>,
    /// The lines that are no rows, in the same order.
    pub rejects: Vec<Reject>,
    /// The number of each.
    pub counts: Counts,
}

/// Numbers of lines by their outcome. Always `lines == rows + rejects`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents, and lines that are none.
    pub lines: u64,
    /// Documents in the batch.
    pub rows: u64,
    /// Lines that are not in the batch: the sum of [`Reject::lines`].
    pub rejects: u64,
    /// Bulk action lines that were left out. Not among `lines`.
    pub actions: u64,
    /// Those of the rows that are null in every column: no name in the document is one of the table's, or
    /// none with a value that fits.
    pub unmatched: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.lines += more.lines;
        self.rows += more.rows;
        self.rejects += more.rejects;
        self.actions += more.actions;
        self.unmatched += more.unmatched;
    }
}

/// The position of a document, as `_ingest_id` has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// The line that it begins on; of an array, its element.
    pub(super) line: u64,
    /// The number of documents and rejects that begin on the line before it.
    pub(super) before: u64,
}

/// Columns, rejects and counts since the last batch was finished.
#[derive(Debug)]
pub(super) struct Rows {
    schema: SchemaRef,
    node: Arc<str>,
    /// The rules by which documents become rows.
    pub(super) revision: Revision,
    /// The most bytes of a line or document.
    pub(super) line_limit: Option<usize>,
    /// The window outside of which times make a row a reject.
    pub(super) window: Option<TimeWindow>,
    pub(super) root: RecordBuilder,
    /// The number of complete rows. The columns may have one more, which is being read.
    pub(super) count: usize,
    pub(super) counts: Counts,
    /// The cost of the rows in bytes of columns, see [`super::cost`].
    pub(super) column_bytes: usize,
    rejects: Vec<Reject>,
    times: Vec<i64>,
    bodies: Vec<BodyRows>,
    ids: StringBuilder,
    extras: StringBuilder,
    /// `{node}-{seq}-` of the body that is being read.
    id_prefix: Vec<u8>,
}

impl Rows {
    /// Creates empty columns for documents of `schema`; `node` begins every `_ingest_id`.
    pub(super) fn new(schema: &TableSchema, node: Arc<str>) -> Rows {
        Rows {
            schema: schema.arrow(),
            node,
            revision: Revision::LATEST,
            line_limit: None,
            window: None,
            root: RecordBuilder::new(&schema.fields, &FieldIndex::new),
            count: 0,
            counts: Counts::default(),
            column_bytes: 0,
            rejects: Vec::new(),
            times: Vec::new(),
            bodies: Vec::new(),
            ids: StringBuilder::default(),
            extras: StringBuilder::default(),
            id_prefix: Vec::new(),
        }
    }

    /// Begins or resumes a body.
    pub(super) fn begin(&mut self, body: &Body) {
        self.id_prefix.clear();
        // Writing to a vector does not fail.
        let _ = write!(self.id_prefix, "{}-{}-", self.node, body.seq);
    }

    /// Ends or suspends a body: its rows get its time.
    pub(super) fn end(&mut self, body: &Body) {
        let rows = self.count - self.times.len();
        self.times.resize(self.count, body.received_at.0);
        match self.bodies.last_mut() {
            Some(last) if last.seq == body.seq => last.rows += rows,
            _ if rows > 0 => self.bodies.push(BodyRows {
                seq: body.seq,
                received_at: body.received_at,
                bytes: body.text_bytes(),
                rows,
            }),
            _ => {}
        }
    }

    /// Completes the row in progress; on failure it is discarded.
    pub(super) fn complete(
        &mut self,
        src: &[u8],
        extra: &Extra,
        position: Position,
    ) -> Result<(), Full> {
        let completed = self.lineage(src, extra, position);
        match completed {
            Ok(()) => {
                self.count += 1;
                self.counts.rows += 1;
                self.counts.lines += 1;
            }
            Err(_) => self.discard(),
        }
        completed
    }

    /// Returns whether the row in progress, of a body received at this time, has a time outside of the
    /// window.
    pub(super) fn is_far(&self, received_at: Micros) -> bool {
        let Some(TimeWindow { columns, .. }) = &self.window else { return false };
        let mut times =
            columns.iter().filter_map(|column| self.root.columns.get(*column)?.time(self.count));
        times.any(|time| self.window.as_ref().is_some_and(|w| w.is_outside(time, received_at)))
    }

    /// Appends the lineage columns of the row.
    fn lineage(&mut self, src: &[u8], extra: &Extra, position: Position) -> Result<(), Full> {
        if self.count >= MAX_LEN {
            return Err(Full);
        }
        self.ids.open(self.count);
        self.ids.bytes.extend_from_slice(&self.id_prefix);
        let mut digits = itoa::Buffer::new();
        self.ids.bytes.extend_from_slice(digits.format(position.line).as_bytes());
        if position.before > 0 {
            self.ids.bytes.push(b'.');
            self.ids.bytes.extend_from_slice(digits.format(position.before + 1).as_bytes());
        }
        self.ids.close()?;
        if extra.len() > 0 {
            self.extras.open(self.count);
            if extra.write(src, &mut self.extras.bytes) {
                self.extras.close()?;
            }
        }
        Ok(())
    }

    /// Adds a reject, and discards the row in progress.
    pub(super) fn reject(&mut self, reject: Reject) {
        self.discard();
        self.counts.rejects += reject.lines;
        self.counts.lines += reject.lines;
        self.rejects.push(reject);
    }

    /// Discards the row in progress.
    pub(super) fn discard(&mut self) {
        // Most lines that are no documents at all never opened one.
        if self.root.len() > self.count {
            self.root.truncate(self.count);
        }
        self.ids.truncate(self.count);
        self.extras.truncate(self.count);
    }

    /// Ends the batch and begins a new one.
    pub(super) fn finish(&mut self) -> Decoded {
        #[expect(
            clippy::expect_used,
            reason = "columns are made by the schema, their offsets and lengths by the builders \
                      and their text from bytes that were checked: no input changes that"
        )]
        let batch = self.batch().expect("columns agree with the schema they were made by");
        (self.count, self.column_bytes) = (0, 0);
        Decoded {
            batch,
            bodies: std::mem::take(&mut self.bodies),
            rejects: std::mem::take(&mut self.rejects),
            counts: std::mem::take(&mut self.counts),
        }
    }

    fn batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let types = self.schema.fields().iter().map(|field| field.data_type());
        let mut columns = self.root.finish(self.count, types)?;
        self.counts.unmatched = null_rows(&columns, self.count) as u64;
        columns.push(timestamps(std::mem::take(&mut self.times)));
        columns.push(self.ids.finish(self.count)?);
        columns.push(self.extras.finish(self.count)?);
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}
