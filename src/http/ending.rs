//! The end of a receiver, step by step.

use tokio_util::sync::CancellationToken;

/// The steps of a receiver's end, in order. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// Cancelled by the server: the receiver takes no more bodies, and drains.
    pub stop: CancellationToken,
    /// Cancelled by the receiver: no request can reach the intake any more.
    pub drained: CancellationToken,
    /// Cancelled by the server: health and metrics are no longer answered.
    pub end: CancellationToken,
}
