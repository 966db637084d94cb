//! Signals of a server.
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM, SIGINT | the first stops in order, a further one at once |
//! | SIGHUP | reads again what can be read again, and never ends the process |
//! | SIGUSR1, SIGUSR2 | none: some other program's habit must not end the process |
//!
//! They are listened to before anything is opened, so that none of them ends a start without a word.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals that are acted upon.
pub(super) struct Signals {
    /// Cancelled by the first signal to stop. The second one ends the process.
    pub(super) stop: CancellationToken,
    /// Signals to reload.
    pub(super) hangup: Signal,
}

impl Signals {
    /// Listens to signals. Those without an effect are ignored from here on. Needs a Tokio runtime.
    ///
    /// # Errors
    /// The system does not let this process listen.
    pub(super) fn listen() -> io::Result<Signals> {
        Ok(Signals { stop: stop()?, hangup: signal(SignalKind::hangup())? })
    }
}

fn stop() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A handler stays for the life of the process, whether somebody listens or not.
    drop((signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?));
    let stop = CancellationToken::new();
    let first = stop.clone();
    tokio::spawn(async move {
        next(&mut terminate, &mut interrupt).await;
        tracing::info!(
            "stopping: what was acknowledged is being landed, which waits for the lake; a second \
             signal stops at once, and loses nothing"
        );
        first.cancel();
        next(&mut terminate, &mut interrupt).await;
        tracing::warn!(
            "stopped at once: what was acknowledged and has not landed is in the journal, and lands \
             after the next start"
        );
        // The journal keeps every acknowledged body, and lands it after the next start.
        std::process::exit(1);
    });
    Ok(stop)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
}
