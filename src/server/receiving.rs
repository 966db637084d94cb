//! The receiver of a server: its task, and the means to open and to end it.

use std::io;

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::{RunError, Server};
use crate::http;
use crate::intake::Gate;

/// A receiver that answers. Dropped, it ends at once.
pub(super) struct Receiving {
    pub(super) gate: Gate,
    pub(super) ending: http::Ending,
    pub(super) task: AbortOnDropHandle<io::Result<()>>,
    /// The listener of operators, which answers to the very end.
    pub(super) shown: Option<AbortOnDropHandle<()>>,
}

impl Receiving {
    /// Answers on `listener`, behind a gate that is closed, and on the listener of operators if `server` has
    /// one.
    pub(super) fn begin(server: &mut Server, listener: TcpListener) -> Receiving {
        let (gate, ending) = (Gate::default(), http::Ending::default());
        let task = tokio::spawn(http::run(
            listener,
            server.rules.clone(),
            gate.clone(),
            server.readiness(),
            server.metrics.clone(),
            ending.clone(),
        ));
        let shown = server.watching.take().map(|watching| watching.start(server, gate.clone()));
        Receiving { gate, ending, task: AbortOnDropHandle::new(task), shown }
    }
}

/// Returns the error of a receiver that has ended and was not told to.
pub(super) fn receiver_failed(ended: Result<io::Result<()>, tokio::task::JoinError>) -> RunError {
    let error = match ended {
        Ok(Ok(())) => io::Error::other("the receiver ended by itself"),
        Ok(Err(error)) => error,
        Err(error) => io::Error::other(error),
    };
    RunError::Receiver(error)
}
