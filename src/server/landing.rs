//! The thread behind the journal of a running server.

use std::thread::JoinHandle;

use anyhow::anyhow;
use tokio_util::sync::CancellationToken;

use crate::publish::supervisor::Supervisor;

/// The landing thread. Dropped, it is stopped, and is not waited for: it holds the journal, and
/// with it the lock of the state directory, until it has.
pub(super) struct Landing {
    thread: Option<JoinHandle<anyhow::Result<()>>>,
    stop: CancellationToken,
}

impl Landing {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start(supervisor: Supervisor) -> std::io::Result<Landing> {
        let stop = supervisor.stop.clone();
        let thread = std::thread::Builder::new().name("landing".into());
        let thread = thread.spawn(move || supervisor.run())?;
        Ok(Landing { thread: Some(thread), stop })
    }

    /// Returns whether the thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until everything in the closed journal has landed.
    ///
    /// # Errors
    /// The thread's own, or its panic.
    ///
    /// # Cancel safety
    /// Dropped, the thread is stopped.
    pub(super) async fn join(mut self) -> anyhow::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        joined.map_err(|_| panicked())?.map_err(|_| panicked())?
    }
}

fn panicked() -> anyhow::Error {
    anyhow!("the landing thread panicked")
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
