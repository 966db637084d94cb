//! The receiver of a server: its task, and the means to open and to end it.

use std::io;

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::Server;
use crate::http;
use crate::intake::Gate;

/// A receiver that answers. Dropped, it ends at once.
pub(super) struct Receiving {
    pub(super) gate: Gate,
    pub(super) ending: http::Ending,
    pub(super) task: AbortOnDropHandle<io::Result<()>>,
}

impl Receiving {
    /// Answers on `listener`, behind a gate that is closed.
    pub(super) fn begin(server: &Server, listener: TcpListener) -> Receiving {
        let (gate, ending) = (Gate::default(), http::Ending::default());
        let task = tokio::spawn(http::run(
            listener,
            server.settings.http.clone(),
            server.access.clone(),
            gate.clone(),
            server.readiness(),
            server.metrics.clone(),
            ending.clone(),
        ));
        Receiving { gate, ending, task: AbortOnDropHandle::new(task) }
    }
}
