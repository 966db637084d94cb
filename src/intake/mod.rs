//! The intake: a body of documents from any source becomes durable in the journal.
//!
//! # Promises
//! - [`Intake::accept`] returns a [`Receipt`] only after the journal has made the body durable, or
//!   has recognised it as a repetition of one that is.
//! - A body without documents is accepted and stored nowhere.
//! - Nothing here knows a protocol. A source maps [`Refusal`]s to its own statuses; HTTP is the
//!   first source.
//!
//! A document is never looked at. A bulk is split by the action lines alone (`bulk`), and lines of text
//! are counted, not documents: of these a line may have several, and one may have several lines. The
//! decoder counts documents, once, and `lines = rows + rejects` is its count, in every receipt of a roll.
//! Where each document is a line, and in a bulk, the two are the same.

pub(crate) mod bulk;
mod gate;
mod index_pattern;
mod lines;
mod refusal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use crate::journal::{AppendError, Journal, NewBody};
use crate::record::{Form, Seq};

pub(crate) use crate::journal::MemoryGuard;

pub use self::gate::Gate;
pub use self::index_pattern::IndexPattern;
pub(crate) use self::index_pattern::is_index_name;
pub use self::refusal::{Refusal, RefusalKind};

/// Largest body, in bytes, that is worked on where it is: more would delay the tasks that share
/// the thread.
const INLINE_BYTES: usize = 1 << 20;

/// Proof that a body is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Lines of text that are more than white space; in a bulk, documents.
    pub lines: u64,
    /// Bytes of the body.
    pub bytes: u64,
    /// An equal body was accepted before, within the journal's retry window, and this one was not
    /// stored again.
    pub duplicate: bool,
}

/// A handle to the journal for sources. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Intake {
    journal: Journal,
}

impl Intake {
    /// Creates an intake in front of `journal`.
    #[must_use]
    pub fn new(journal: Journal) -> Intake {
        Intake { journal }
    }

    /// Makes a body of documents durable under `table`.
    ///
    /// A bulk belongs to `table` whole, whatever indices its actions name.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was acknowledged.
    ///
    /// # Cancel safety
    /// Dropped before the body has reached the journal's queue, nothing is recorded. Dropped after
    /// that, the body is recorded once all the same, and a repetition of it is recognised as one.
    pub async fn accept(
        &self,
        table: &Arc<str>,
        form: Form,
        bytes: Bytes,
    ) -> Result<Receipt, Refusal> {
        self.accept_held(table, form, bytes, None).await
    }

    /// Makes a body whose memory `guard` counts durable under `table`, as [`accept`](Self::accept) does.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was acknowledged.
    ///
    /// # Cancel safety
    /// As for [`accept`](Self::accept).
    pub(crate) async fn accept_held(
        &self,
        table: &Arc<str>,
        form: Form,
        bytes: Bytes,
        guard: Option<MemoryGuard>,
    ) -> Result<Receipt, Refusal> {
        let counted = (bytes.clone(), guard.clone());
        let lines = offload(bytes.len(), move || match form {
            Form::Ndjson => Ok(lines::count(&counted.0)),
            Form::Elasticsearch => bulk::count_documents(&counted.0),
        });
        let lines = lines.await??;
        self.accept_counted(table, form, lines, bytes, guard).await
    }

    /// Makes a body of documents durable under `table`, as [`accept_held`](Self::accept_held) does, with
    /// `lines` counted by the caller: a table's part of a bulk, for example.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was acknowledged.
    ///
    /// # Cancel safety
    /// As for [`accept`](Self::accept).
    pub(crate) async fn accept_counted(
        &self,
        table: &Arc<str>,
        form: Form,
        lines: u64,
        bytes: Bytes,
        guard: Option<MemoryGuard>,
    ) -> Result<Receipt, Refusal> {
        let len = bytes.len() as u64;
        if lines == 0 {
            return Ok(Receipt { lines, bytes: len, duplicate: false });
        }
        let new = NewBody { table: Arc::clone(table), form, first_line: 1, bytes };
        let duplicate = self.journal.append_counted(new, guard).await?.duplicate;
        Ok(Receipt { lines, bytes: len, duplicate })
    }

    /// Returns the last body that was acknowledged, and the last that has landed.
    pub(crate) fn positions(&self) -> (Seq, Seq) {
        self.journal.positions()
    }

    /// Returns whether a small body would be accepted now.
    ///
    /// # Errors
    /// The refusal that it would meet.
    pub fn accepting(&self) -> Result<(), AppendError> {
        self.journal.status().accepting
    }
}

/// Runs `work` on a body of `len` bytes: inline if the body is small, else on a blocking thread.
///
/// # Errors
/// [`Refusal::Aborted`] if the work panicked or the runtime is shutting down.
///
/// # Cancel safety
/// Work on a blocking thread goes on when the future is dropped: it must own what it uses.
pub(crate) async fn offload<T: Send + 'static>(
    len: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if len <= INLINE_BYTES {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Aborted)
}
