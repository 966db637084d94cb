//! The rows of a batch while it grows, and its end.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::record::Body;
use crate::schema::TableSchema;

use super::columns::{Full, LIMIT, Structs, Texts};
use super::extra::Extra;
use super::reject::Reject;
use super::{Counts, Decoded};

/// Columns, rejects and counts since the last batch was finished.
#[derive(Debug)]
pub(super) struct Rows {
    schema: SchemaRef,
    node: Arc<str>,
    pub(super) root: Structs,
    /// Complete rows. The columns may have one more, which is being read.
    pub(super) count: usize,
    pub(super) counts: Counts,
    /// What the rows take, see [`super::cost`].
    pub(super) column_bytes: usize,
    rejects: Vec<Reject>,
    times: Vec<i64>,
    ids: Texts,
    extras: Texts,
    /// `{node}-{seq}-` of the body that is being read.
    id_prefix: Vec<u8>,
}

impl Rows {
    pub(super) fn new(schema: &TableSchema, node: Arc<str>) -> Rows {
        Rows {
            schema: schema.arrow(),
            node,
            root: Structs::new(&schema.fields),
            count: 0,
            counts: Counts::default(),
            column_bytes: 0,
            rejects: Vec::new(),
            times: Vec::new(),
            ids: Texts::default(),
            extras: Texts::default(),
            id_prefix: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, body: &Body) {
        self.id_prefix.clear();
        // Writing to a vector does not fail.
        let _ = write!(self.id_prefix, "{}-{}-", self.node, body.seq);
    }

    pub(super) fn end(&mut self, body: &Body) {
        self.times.resize(self.count, body.received_at.0);
    }

    /// Completes the row that the columns have in progress; on failure it is gone.
    pub(super) fn land(&mut self, src: &[u8], extra: &Extra, line: u64) -> Result<(), Full> {
        let landed = self.lineage(src, extra, line);
        match landed {
            Ok(()) => {
                self.count += 1;
                self.counts.rows += 1;
                self.counts.lines += 1;
            }
            Err(_) => self.cut(),
        }
        landed
    }

    fn lineage(&mut self, src: &[u8], extra: &Extra, line: u64) -> Result<(), Full> {
        if self.count >= LIMIT {
            return Err(Full);
        }
        self.ids.open(self.count);
        self.ids.bytes.extend_from_slice(&self.id_prefix);
        self.ids.bytes.extend_from_slice(itoa::Buffer::new().format(line).as_bytes());
        self.ids.close()?;
        if extra.len() > 0 {
            self.extras.open(self.count);
            if extra.write(src, &mut self.extras.bytes) {
                self.extras.close()?;
            }
        }
        Ok(())
    }

    pub(super) fn reject(&mut self, reject: Reject) {
        self.cut();
        self.rejects.push(reject);
        self.counts.rejects += 1;
        self.counts.lines += 1;
    }

    /// Drops the row that is in progress.
    pub(super) fn cut(&mut self) {
        // Most lines that are no documents at all never opened one.
        if self.root.len() > self.count {
            self.root.truncate(self.count);
        }
        self.ids.cut(self.count);
        self.extras.cut(self.count);
    }

    pub(super) fn finish(&mut self) -> Decoded {
        #[expect(
            clippy::expect_used,
            reason = "columns are made by the schema, their offsets and lengths by this module \
                      and their text from bytes that were checked: no input changes that"
        )]
        let batch = self.batch().expect("columns agree with the schema they were made by");
        (self.count, self.column_bytes) = (0, 0);
        Decoded {
            batch,
            rejects: std::mem::take(&mut self.rejects),
            counts: std::mem::take(&mut self.counts),
        }
    }

    fn batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let types = self.schema.fields().iter().map(|field| field.data_type());
        let mut columns = self.root.take(self.count, types)?;
        let times = std::mem::take(&mut self.times);
        let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
        columns.push(Arc::new(times) as ArrayRef);
        columns.push(self.ids.take(self.count)?);
        columns.push(self.extras.take(self.count)?);
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}
