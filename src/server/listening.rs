//! A server that answers, and whose journal is not open yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::behind::Behind;
use super::opened::Opened;
use super::receiving::{Receiving, receiver_failed};
use super::{CHECK_EVERY, Server, TELL_EVERY};
use crate::journal::ReplayProgress;
use crate::metrics as names;
use crate::status::{Readiness, Stage};

/// The longest time for which a stop waits until the thread that opens the journal has noticed.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);

/// A server that answers about health and metrics. Dropped, it ends at once.
pub struct Listening {
    server: Server,
    stop: CancellationToken,
    receiving: Receiving,
}

impl Listening {
    pub(super) fn begin(
        mut server: Server,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Self {
        server.control.stopped_by(stop.clone());
        let receiving = Receiving::begin(&mut server, listener);
        Listening { server, stop, receiving }
    }

    /// Opens the journal and what is behind it, on a thread that may block. Returns `None` if the
    /// server was stopped meanwhile: nothing was acknowledged then, and nothing is lost.
    ///
    /// # Errors
    /// Something cannot be opened. Nothing was acknowledged, and nothing is lost.
    ///
    /// # Cancel safety
    /// Dropped, the replay ends at the next megabyte.
    pub async fn open(mut self) -> anyhow::Result<Option<Opened>> {
        let progress = Arc::new(ReplayProgress::default());
        let _stop_when_dropped = StopWhenDropped(Arc::clone(&progress));
        let Server { settings, key, configured, clock, readiness, .. } = &self.server;
        let mut opening = {
            let (settings, key, configured) = (settings.clone(), key.clone(), configured.clone());
            let (clock, progress) = (Arc::clone(clock), Arc::clone(&progress));
            tokio::task::spawn_blocking(move || {
                Behind::open(&settings, key.as_ref(), configured, &clock, &progress)
            })
        };
        let began = Instant::now();
        let opened = tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                progress.stop();
                readiness.set_stage(Stage::Stopping("the journal is not open".to_owned()));
                // Everything that it has opened is dropped.
                let _ = tokio::time::timeout(STOPPED_WITHIN, &mut opening).await;
                tracing::info!(
                    "stopped while the journal was being opened: this start took no bodies, and what \
                     earlier ones took is in the journal"
                );
                return Ok(None);
            }
            ended = &mut self.receiving.task => return Err(receiver_failed(ended).into()),
            opened = &mut opening => opened,
            never = tell(readiness, &progress) => match never {},
        };
        let behind =
            opened.map_err(|_| anyhow!("the thread that opens the journal panicked"))??;
        note_progress(&progress);
        if began.elapsed() >= TELL_EVERY {
            let (bytes, seconds) = (progress.bytes().1, began.elapsed().as_secs());
            tracing::info!("the journal was replayed in {seconds} s: {} MB", bytes / 1_000_000);
        }
        let _ = self.server.node.set(behind.journal.node().to_owned());
        readiness.set_stage(Stage::Starting("asking the lake for what has landed".to_owned()));
        let Listening { server, stop, receiving } = self;
        Ok(Some(Opened { server, stop, receiving, behind }))
    }
}

/// Ends a replay that nobody waits for.
struct StopWhenDropped(Arc<ReplayProgress>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Tells how far the replay is: in readiness at once, in the log now and then. Never returns.
async fn tell(readiness: &Readiness, progress: &ReplayProgress) -> std::convert::Infallible {
    let mut told = Instant::now();
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        readiness.beat();
        let (read, total) = note_progress(progress);
        let text = replayed(read, total);
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tracing::info!("{text}; bodies are answered 503 until then");
        }
        readiness.set_stage(Stage::Starting(text));
    }
}

/// Sets the gauges of a replay. Returns its bytes: those that were read, and all.
fn note_progress(progress: &ReplayProgress) -> (u64, u64) {
    let (read, total) = progress.bytes();
    metrics::gauge!(names::REPLAY_BYTES).set(read as f64);
    metrics::gauge!(names::REPLAY_TOTAL_BYTES).set(total as f64);
    (read, total)
}

/// Returns how far a replay is, as a sentence.
fn replayed(read: u64, total: u64) -> String {
    let Some(percent) = (read * 100).checked_div(total) else {
        return "opening the journal".to_owned();
    };
    match read >= total {
        true => "opening what is behind the journal".to_owned(),
        false => {
            let (read, total) = (read / 1_000_000, total / 1_000_000);
            format!("replaying the journal: {percent} % ({read} of {total} MB)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_says_its_share() {
        assert_eq!(replayed(0, 0), "opening the journal");
        let said = "replaying the journal: 37 % (412 of 1113 MB)";
        assert_eq!(replayed(412_000_000, 1_113_000_000), said);
        assert_eq!(replayed(5, 5), "opening what is behind the journal");
    }
}
