//! The queue of spans between those who make them and the exporter.

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::DROPPED_SPANS;
use super::messages::Span;

/// Where spans are put. Clones put into the same queue.
#[derive(Clone, Debug)]
pub(super) struct SpanQueue(Sender<Span>);

impl SpanQueue {
    /// Makes a queue for `most` spans, and returns its other end as well.
    pub(super) fn new(most: usize) -> (SpanQueue, Receiver<Span>) {
        let (sender, receiver) = channel(most);
        (SpanQueue(sender), receiver)
    }

    /// Puts a span into the queue. One that finds no room is dropped, and counted.
    pub(super) fn put(&self, span: Span) {
        if self.0.try_send(span).is_err() {
            dropped(1);
        }
    }
}

/// Counts spans that are dropped.
pub(super) fn dropped(spans: u64) {
    metrics::counter!(DROPPED_SPANS).increment(spans);
}

/// Returns random bytes that are not all zero, as ids are. `None` if the system has none.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    (bytes != [0; N]).then_some(bytes)
}
