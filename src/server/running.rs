//! A server that takes bodies, and its stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::gauges::Gauges;
use super::landing::Landing;
use super::overdue::{Overdue, Verdict};
use super::receiving::{Receiving, receiver_failed};
use super::waiting::Waiting;
use super::{CHECK_EVERY, RunError, Server, TELL_EVERY};
use crate::journal::Journal;
use crate::publish::visibility::Keeper;
use crate::record::Micros;
use crate::status::{Readiness, Stage};

/// The longest time for which an end waits until all that has landed is in its tables.
const VISIBLE_WITHIN: Duration = Duration::from_secs(30);

/// A server that takes bodies and lands them. Dropped, it ends at once, as after a crash.
pub struct Running {
    pub(super) server: Server,
    pub(super) stop: CancellationToken,
    pub(super) receiving: Receiving,
    pub(super) journal: Journal,
    pub(super) landing: Landing,
    pub(super) keeper: Option<Keeper>,
    /// Cuts pauses between tries at the store short.
    pub(super) hurry: CancellationToken,
    pub(super) waiting: Arc<Waiting>,
    pub(super) gauges: Gauges,
    pub(super) measured: AbortOnDropHandle<()>,
}

impl Running {
    /// Returns the name of the node.
    #[must_use]
    pub fn node(&self) -> &str {
        self.journal.node()
    }

    /// Waits until the server was stopped and everything that was acknowledged has landed.
    ///
    /// # Errors
    /// See [`RunError`]. After an error what was acknowledged is in the journal, and lands after the
    /// next start.
    ///
    /// # Cancel safety
    /// As for [`Server::run`].
    pub async fn ended(mut self) -> Result<(), RunError> {
        let is_broken = tokio::select! {
            ended = &mut self.receiving.task => return Err(receiver_failed(ended)),
            () = self.stop.cancelled() => false,
            never = watch(&self.server) => match never {},
            () = broken(&self.journal, &self.landing) => {
                tracing::error!("stopping: nothing lands any more; the error above says why");
                true
            }
        };
        let settings = &self.server.settings;
        let (delay, limit) = (settings.drain_delay, settings.drain_limit);
        let readiness = self.server.readiness();
        readiness.set_stage(Stage::Stopping("stopping".to_owned()));
        self.hurry.cancel();
        let waiting = Arc::clone(&self.waiting);
        let drain = async {
            if !is_broken && !delay.is_zero() && self.receiving.gate.intake().is_ok() {
                tracing::info!("bodies are taken for another {delay:?} (drain_delay)");
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = broken(&self.journal, &self.landing) => {}
                }
            }
            self.drain().await
        };
        let drain = async {
            tokio::select! {
                biased;
                drained = drain => drained,
                never = tell(&readiness, &waiting) => match never {},
            }
        };
        match limit {
            None => drain.await,
            Some(limit) => match tokio::time::timeout(limit, drain).await {
                Ok(drained) => drained,
                Err(_) => Err(RunError::DrainLimit { limit, waiting: waiting.sentence() }),
            },
        }
    }

    /// Ends the receiver, and lands what is in the journal.
    async fn drain(self) -> Result<(), RunError> {
        let Running { receiving, journal, landing, keeper, gauges, measured, .. } = self;
        let Receiving { ending, mut task, shown, .. } = receiving;
        ending.stop.cancel();
        tokio::select! {
            () = ending.drained.cancelled() => {}
            ended = &mut task => return Err(receiver_failed(ended)),
        }
        let closing = journal.clone();
        // A panic there has poisoned the journal.
        let _ = tokio::task::spawn_blocking(move || closing.close()).await;
        if let Some(reason) = journal.poisoned() {
            return Err(RunError::JournalPoisoned(anyhow::Error::msg(reason)));
        }
        landing.join().await.map_err(RunError::Landing)?;
        gauges.note();
        if let Some(keeper) = keeper
            && !keeper.finish(VISIBLE_WITHIN).await
        {
            tracing::warn!(
                "some rolls have landed and are not in their tables yet; the next start goes on with \
                 them"
            );
        }
        ending.end.cancel();
        // The journal is free when this returns.
        let _ = measured.await;
        if let Some(shown) = shown {
            shown.abort();
            let _ = shown.await;
        }
        match task.await {
            Ok(Ok(())) => Ok(()),
            ended => Err(receiver_failed(ended)),
        }
    }
}

/// Resolves when the journal is poisoned or the landing thread has ended.
pub(super) async fn broken(journal: &Journal, landing: &Landing) {
    while journal.poisoned().is_none() && !landing.has_ended() {
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// Tells what waits while a server stops: in readiness at once, in the log now and then. Never returns.
async fn tell(readiness: &Readiness, waiting: &Waiting) -> Infallible {
    let mut told = Instant::now();
    loop {
        readiness.beat();
        let text = waiting.sentence();
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tracing::info!("stopping: {text}");
        }
        readiness.set_stage(Stage::Stopping(text));
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// Reports bodies that wait for too long as trouble. Never returns.
async fn watch(server: &Server) -> Infallible {
    let (readiness, limit) = (&server.readiness, server.settings.overdue_after);
    let mut overdue = Overdue::new(limit);
    loop {
        readiness.beat();
        let oldest = readiness.oldest_pending();
        report(readiness, oldest, limit, overdue.look(oldest, server.clock.now()));
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// Reports whether bodies are overdue: in readiness at once, in the log at the begin and at the end.
fn report(readiness: &Readiness, oldest: Option<Micros>, limit: Duration, verdict: Verdict) {
    let (Verdict::Begun(age) | Verdict::Goes(age)) = verdict else {
        readiness.set_trouble("overdue", Ok(()));
        if verdict == Verdict::Over {
            tracing::info!("no body waits to land for longer than overdue_after any more");
        }
        return;
    };
    let since = oldest.and_then(Micros::rfc3339).unwrap_or_default();
    let why = format!(
        "the oldest body that has not landed was received at {since}, {age:?} ago, and overdue_after \
         is {limit:?}; other trouble, or the log, says what keeps it"
    );
    if matches!(verdict, Verdict::Begun(_)) {
        tracing::warn!("{why}");
    }
    readiness.set_trouble("overdue", Err(why));
}
