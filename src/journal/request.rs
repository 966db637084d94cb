//! Requests to the writer. Each is answered, whatever becomes of it.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::Sender;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::frame::{PreparedBody, RetryKey};
use super::handed::{MemoryGuard, ToHandOn};
use super::retry_window::Outcome;
use super::state::{Shared, WRITER_GONE};
use super::{AppendError, JournalError, Receipt, Seal};
use crate::record::{Roll, Seq};

/// The channel to a caller that blocks.
pub(crate) type Answer = Sender<Result<(), JournalError>>;

/// A request to the writer.
pub(crate) enum Request {
    Body(BodyRequest),
    Seal(Seal, Answer),
    Committed(Roll, Answer),
    Close(Answer),
}

/// A body on its way. Whatever happens to it, its sender and those who wait for the same body are
/// answered: by the writer, or when it is dropped.
pub(crate) struct BodyRequest {
    pub(crate) body: PreparedBody,
    answer: Option<oneshot::Sender<Outcome>>,
    pub(crate) key: Option<RetryKey>,
    /// The body as it came, if it is handed on once it is durable.
    pub(crate) hand_on: Option<Box<ToHandOn>>,
    /// Counts the memory of the body, if nothing else does.
    guard: Option<MemoryGuard>,
    /// Its share of the queue.
    _permit: OwnedSemaphorePermit,
    shared: Arc<Shared>,
}

impl BodyRequest {
    pub(crate) fn new(
        body: PreparedBody,
        hand_on: Option<Box<ToHandOn>>,
        guard: Option<MemoryGuard>,
        answer: oneshot::Sender<Outcome>,
        permit: OwnedSemaphorePermit,
        shared: Arc<Shared>,
    ) -> BodyRequest {
        let key = body.key;
        BodyRequest { body, hand_on, guard, answer: Some(answer), key, _permit: permit, shared }
    }

    /// Turns this into a request that answers nobody, since an equal body came first.
    pub(crate) fn withdrawn(mut self) -> BodyRequest {
        self.answer = None;
        self.key = None;
        self
    }

    /// Answers that the body was not recorded.
    pub(crate) fn refuse(mut self, error: &AppendError) {
        self.answer_with(Err(error));
    }

    /// Answers that the body is durable. The window has it already.
    pub(crate) fn acked(mut self, seq: Seq) {
        self.key = None;
        self.answer_with(Ok(seq));
    }

    fn answer_with(&mut self, outcome: Result<Seq, &AppendError>) {
        // Its memory is free, and counted so, before anybody hears what became of the body.
        self.hand_on = None;
        self.body.bytes = Bytes::new();
        self.guard = None;
        if let (Some(key), Err(error)) = (self.key.take(), &outcome) {
            self.shared.window().fail(key, error);
        }
        if let Some(answer) = self.answer.take() {
            let outcome = outcome.map(|seq| Receipt { seq, duplicate: false });
            // A sender that went away needs no answer.
            let _ = answer.send(outcome.map_err(AppendError::clone));
        }
    }
}

impl Drop for BodyRequest {
    fn drop(&mut self) {
        if self.key.is_some() || self.answer.is_some() {
            let reason = || AppendError::Poisoned { reason: WRITER_GONE.into() };
            let error = self.shared.refusal().unwrap_or_else(reason);
            self.answer_with(Err(&error));
        }
    }
}
