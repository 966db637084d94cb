//! What an operator asks of a running server, besides to look: a roll now, a reload, a stop.
//!
//! The one who asks (`http`) and the ones who do it (the engine, the command that holds the configuration,
//! the server) know this and not one another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::record::{Roll, Seq, SeqRange};

/// Limits of rolls that change while an engine runs, and how far rolls are visible.
///
/// Relaxed throughout: a roll that ends a job later than it could is none the worse.
#[derive(Debug)]
pub struct RollControl {
    /// The last body of the rolls that were asked for; 0 before the first.
    upto: AtomicU64,
    source_bytes: AtomicU64,
    /// The roll up to which no table with a log lacks one.
    visible: AtomicU64,
}

impl Default for RollControl {
    fn default() -> RollControl {
        RollControl {
            upto: AtomicU64::new(0),
            source_bytes: AtomicU64::new(u64::MAX),
            visible: AtomicU64::new(u64::MAX),
        }
    }
}

impl RollControl {
    /// Asks that the roll with the body `last` ends as soon as it has it. Who asks while another one's
    /// roll is open gets the same roll.
    pub fn ask(&self, last: Seq) {
        self.upto.fetch_max(last.0, Ordering::Relaxed);
    }

    /// Returns whether the open roll of these bodies was asked to end.
    #[must_use]
    pub fn is_asked(&self, range: SeqRange) -> bool {
        let upto = self.upto.load(Ordering::Relaxed);
        range.first.0 <= upto && upto <= range.last.0
    }

    /// Sets the most bytes of bodies of a roll, besides the limit that the engine has of its own.
    pub fn set_source_bytes(&self, most: u64) {
        self.source_bytes.store(most, Ordering::Relaxed);
    }

    /// Returns what was set last; without that there is no limit.
    #[must_use]
    pub fn source_bytes(&self) -> u64 {
        self.source_bytes.load(Ordering::Relaxed)
    }

    /// Tells that readers of tables with a log see the rolls up to `roll`, as far as these are theirs.
    pub fn set_visible(&self, roll: Roll) {
        self.visible.store(roll.0, Ordering::Relaxed);
    }

    /// Returns the last roll that readers of all tables see. Without a table that has a log, it is every
    /// one that has landed.
    #[must_use]
    pub fn visible(&self) -> Roll {
        Roll(self.visible.load(Ordering::Relaxed))
    }
}

/// The result of a reload that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What is in force from now on, a phrase each.
    pub reloaded: Vec<String>,
    /// Settings and sections that have changed and need a restart.
    pub needs_restart: Vec<String>,
}

/// The answer to a request to reload: an error has every problem, and nothing has changed.
pub type ReloadAnswer = Result<Reloaded, Vec<String>>;

/// Requests to reload, each with the place for its answer.
pub type ReloadRequests = mpsc::Receiver<oneshot::Sender<ReloadAnswer>>;

/// The requests of operators to a server.
#[derive(Debug)]
pub struct Control {
    /// The engine's.
    pub rolls: Arc<RollControl>,
    reloads: mpsc::Sender<oneshot::Sender<ReloadAnswer>>,
    // Taken once, at the start.
    reload_requests: Mutex<Option<ReloadRequests>>,
    stop: OnceLock<CancellationToken>,
}

/// Requests to reload that wait while one is answered.
const RELOADS: usize = 16;

impl Default for Control {
    fn default() -> Control {
        let (reloads, requests) = mpsc::channel(RELOADS);
        Control {
            rolls: Arc::default(),
            reloads,
            reload_requests: Mutex::new(Some(requests)),
            stop: OnceLock::new(),
        }
    }
}

impl Control {
    /// Returns the requests to reload, for the one that answers them. The second call returns none.
    pub fn reload_requests(&self) -> Option<ReloadRequests> {
        self.reload_requests.lock().take()
    }

    /// Asks for a reload, and waits for its answer. Returns `None` if nobody answers.
    pub async fn reload(&self) -> Option<ReloadAnswer> {
        let (answer, answered) = oneshot::channel();
        self.reloads.send(answer).await.ok()?;
        answered.await.ok()
    }

    /// Sets the token that ends the server.
    pub fn stopped_by(&self, stop: CancellationToken) {
        let _ = self.stop.set(stop);
    }

    /// Asks for a stop in order. Returns whether the server was not stopping already.
    pub fn drain(&self) -> bool {
        let Some(stop) = self.stop.get() else { return false };
        let is_first = !stop.is_cancelled();
        stop.cancel();
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> SeqRange {
        SeqRange { first: Seq(first), last: Seq(last) }
    }

    #[test]
    fn a_roll_that_was_asked_for_ends_once_it_has_the_last_body_and_no_later_one_does() {
        let rolls = RollControl::default();
        assert!(!rolls.is_asked(range(1, 9)));
        rolls.ask(Seq(7));
        rolls.ask(Seq(5));
        assert!(!rolls.is_asked(range(1, 6)), "bodies that were there are missing");
        assert!(rolls.is_asked(range(1, 7)) && rolls.is_asked(range(7, 9)));
        assert!(!rolls.is_asked(range(8, 9)), "it has landed");
    }

    #[tokio::test]
    async fn a_reload_that_nobody_answers_is_not_waited_for() {
        let control = Control::default();
        let mut requests = control.reload_requests().unwrap();
        assert!(control.reload_requests().is_none());
        let (answer, ()) = tokio::join!(control.reload(), async {
            let said = Reloaded { reloaded: vec!["a".into()], needs_restart: vec![] };
            requests.recv().await.unwrap().send(Ok(said)).unwrap();
        });
        assert_eq!(answer.unwrap().unwrap().reloaded, ["a"]);
        drop(requests);
        assert_eq!(control.reload().await, None);
    }
}
