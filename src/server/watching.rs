//! The listener of operators, and the monitor behind it.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::Server;
use crate::clock::{Clock as _, SystemClock};
use crate::error_text::shown;
use crate::http::{self, Access, StatusOptions};
use crate::intake::Gate;
use crate::status::{About, Monitor};

/// A bound listener of operators, and whom it admits.
pub(super) struct Watching {
    pub(super) listener: TcpListener,
    pub(super) access: Access,
}

impl Watching {
    /// Shows what there is to see of a server. Ends when what it returns is dropped.
    pub(super) fn start(self, server: &Server, gate: Gate) -> AbortOnDropHandle<()> {
        let (settings, readiness, board) = (&server.settings, server.readiness(), server.board());
        let metrics = server.metrics.clone();
        let about = About {
            node: Arc::clone(&server.node),
            lake: shown(&settings.lake.location.to_string()),
            started: SystemClock.now(),
            settings: settings.shown.clone(),
        };
        let of_monitor = Arc::clone(&board);
        let monitor =
            Arc::new(Monitor::new(about, metrics.clone(), Arc::clone(&readiness), of_monitor));
        let options = StatusOptions {
            access: self.access,
            host_names: settings.http.host_names.clone(),
            readiness,
            metrics,
            monitor: Arc::clone(&monitor),
            gate,
            board,
            control: server.control(),
        };
        let listener = self.listener;
        AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::select! {
                () = sample(&monitor) => {}
                () = http::serve_status(listener, options) => {}
            }
        }))
    }
}

/// Takes a sample every second.
async fn sample(monitor: &Arc<Monitor>) {
    let mut ticks = tokio::time::interval(std::time::Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        monitor.sample(SystemClock.now());
    }
}
