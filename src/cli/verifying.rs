//! The verification of the lake beside a running server.

use std::sync::Arc;

use futures::FutureExt as _;

use crate::audit::watch::Watch;
use crate::server::{self, Server, Settings};

/// Returns the verification that `settings` ask for, to be run once `server` takes bodies.
pub(crate) fn watch(settings: &Settings, server: &Server) -> Option<Watch> {
    let every = settings.verify_every?;
    let of_check = Arc::new(settings.clone());
    Some(Watch {
        lake: settings.lake.clone(),
        catalog: settings.catalog.clone(),
        is_the_lake: Arc::new(move || {
            let settings = Arc::clone(&of_check);
            async move { server::check_lake(&settings).await }.boxed()
        }),
        state: settings.state().to_owned(),
        node: server.node(),
        board: server.board(),
        readiness: server.readiness(),
        every,
        window: settings.verify_window,
    })
}
