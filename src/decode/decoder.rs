//! The decoder of one table.

use std::sync::Arc;

use super::body::BodyReader;
use super::parser::Scratch;
use super::progress::{Progress, ReadLimit, WINDOW_SLACK_BYTES};
use super::rows::{Decoded, Rows};
use crate::record::Body;
use crate::schema::TableSchema;
use crate::table::{Revision, TimeWindow};

/// Decodes the bodies of one table into batches.
///
/// It does no I/O and reads no clock: the same bodies give the same batches. It is not shared
/// between threads; each has its own.
///
/// One batch holds at most 2³¹ − 2 rows, and as many bytes in one string column; lines beyond are
/// rejects that say so. Call [`Decoder::finish`] well before: some tens of megabytes of documents
/// make a good batch.
#[derive(Debug)]
pub struct Decoder {
    rows: Rows,
    scratch: Scratch,
}

impl Decoder {
    /// Creates a decoder of documents for the table `schema`. `node` is the journal's name, for
    /// `_ingest_id`.
    pub fn new(schema: Arc<TableSchema>, node: Arc<str>) -> Decoder {
        Decoder { rows: Rows::new(&schema, node), scratch: Scratch::default() }
    }

    /// Decodes by the rules of `revision` instead of the latest ones.
    #[must_use]
    pub fn by_revision(mut self, revision: Revision) -> Decoder {
        self.rows.revision = revision;
        self
    }

    /// Rejects lines and documents of more than `limit_bytes`.
    #[must_use]
    pub fn with_line_limit(mut self, limit_bytes: Option<u64>) -> Decoder {
        let most = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        self.rows.line_limit = limit_bytes.map(most);
        self
    }

    /// Rejects documents with times outside of `window`.
    #[must_use]
    pub fn within(mut self, window: Option<TimeWindow>) -> Decoder {
        self.rows.window = window;
        self
    }

    /// Adds the documents of `body`, whose table is ignored.
    pub fn push(&mut self, body: &Body) {
        self.read(body, &mut Progress::NEW.clone(), ReadLimit::NONE);
    }

    /// Adds documents of `body` from `progress` on; returns true at its end, and false if `limit`
    /// was reached before. At least one line is read. In parts or at once, the rows are the same.
    ///
    /// Of a stored body, `body` has the window of `progress`: its bytes from [`Progress::window_start`] on. They have to be
    /// [`Decoder::window_bytes`] or reach to the end of the body. Where the window is too short for
    /// what begins in it, the progress [is starved](Progress::is_starved).
    pub fn read(&mut self, body: &Body, progress: &mut Progress, limit: ReadLimit) -> bool {
        let scratch = std::mem::take(&mut self.scratch);
        self.scratch = BodyReader::read(&mut self.rows, body, progress, limit, scratch);
        progress.ended()
    }

    /// Returns the least bytes of a window.
    pub fn window_bytes(&self) -> usize {
        self.rows.line_limit.map_or(usize::MAX, |limit| limit.saturating_add(WINDOW_SLACK_BYTES))
    }

    /// Returns the number of lines (rows and rejects) since the last batch.
    pub fn lines(&self) -> u64 {
        self.rows.counts.lines
    }

    /// Returns the bytes of columns since the last batch, counted as [`ReadLimit::column_bytes`]
    /// is.
    pub fn column_bytes(&self) -> usize {
        self.rows.column_bytes
    }

    /// Ends the batch and begins a new one.
    pub fn finish(&mut self) -> Decoded {
        self.rows.finish()
    }
}
