//! Sending as the exporter sends.
//!
//! ```text
//!  feed (thread) ─▶ bulk ─┬─▶ queue ─▶ connections ─▶ endpoint 1 ─▶ ledger
//!                         ├─▶ queue ─▶ connections ─▶ endpoint 2 ─▶ ledger.2
//!                         └─▶ …
//! ```
//! A bulk is tried until it is answered 200, four times at most, each try at most as long as the
//! time-out, with pauses of 1, 2 and 4 s between; then it is discarded, and said so. Nothing but 200
//! is an acknowledgement. Queues are short: a slow receiver slows the feed down.
//!
//! An endpoint that has never acknowledged anything, and whose errors will not pass by themselves
//! (a wrong URL, wrong credentials, …), is given up with its first discarded bulk.

mod endpoint;
mod figures;
mod progress;
mod send_error;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::Url;
use tokio::sync::{Mutex, mpsc};

use super::bulk::{Batcher, Bulk};
use super::feed::{Plan, feed};
use super::generate::Generator;
use super::ledger::Ledger;
use endpoint::{Endpoint, Manner};
use figures::Figures;
use progress::Progress;
use send_error::SendError;

pub use endpoint::{Auth, Http, Transport};

/// Most sessions of a test export.
pub const TEST_EXPORT_SESSIONS: u64 = 50;

/// Endpoints, and the way of sending.
pub struct Sending {
    /// Endpoints, one to three.
    pub to: Vec<Url>,
    /// Method, credentials and the other settings of the transport.
    pub transport: Transport,
    /// Connections to each endpoint.
    pub connections: usize,
    /// Tries of a bulk.
    pub tries: u32,
    /// Pause before the second try; before each further one, twice as long.
    pub pause: Duration,
    /// File of the ids of acknowledged sessions: this file for the first endpoint, with
    /// `.2` and `.3` behind its name for the others.
    pub ledger: Option<PathBuf>,
    /// Prints neither progress nor summary.
    pub quiet: bool,
}

/// The outcome of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bulks that were discarded, over all endpoints.
    pub discarded: u64,
    /// Bulks that were acknowledged.
    pub acked: u64,
}

/// One endpoint with all that belongs to it.
struct Lane {
    endpoint: Endpoint,
    figures: Figures,
    ledger: Option<parking_lot::Mutex<Ledger>>,
    tries: u32,
    pause: Duration,
    progress: Arc<Progress>,
}

/// Sends the bulks of `plan` until it ends or `stop` is set.
///
/// # Errors
/// An endpoint cannot be set up, or a ledger not written. Bulks that were discarded are no error
/// here: they are counted.
pub async fn send(plan: Plan, sending: &Sending, stop: Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let progress = Arc::new(Progress::new(sending.quiet, plan.limits));
    let mut lanes = Vec::new();
    for (number, url) in sending.to.iter().enumerate() {
        let ledger = match &sending.ledger {
            None => None,
            Some(path) => {
                let path = ledger_path(path, number);
                let ledger = Ledger::create(&path)
                    .with_context(|| format!("cannot write a new ledger {}", path.display()))?;
                Some(parking_lot::Mutex::new(ledger))
            }
        };
        lanes.push(Arc::new(Lane {
            endpoint: Endpoint::new(url.clone(), sending.transport.clone())?,
            figures: Figures::default(),
            ledger,
            tries: sending.tries.max(1),
            pause: sending.pause,
            progress: progress.clone(),
        }));
    }
    let mut queues = Vec::new();
    let mut workers = tokio::task::JoinSet::new();
    for lane in &lanes {
        let (queue, bulks) = mpsc::channel::<Bulk>(sending.connections.max(1));
        // Held only to take the next bulk.
        let bulks = Arc::new(Mutex::new(bulks));
        for _ in 0..sending.connections.max(1) {
            workers.spawn(connection(lane.clone(), bulks.clone()));
        }
        queues.push((queue, lane.clone()));
    }
    let made_sessions = Arc::new(AtomicU64::new(0));
    let feed = {
        let made_sessions = made_sessions.clone();
        tokio::task::spawn_blocking(move || {
            feed(&plan, &stop, |bulk| {
                made_sessions.fetch_add(bulk.ids.len() as u64, Ordering::Relaxed);
                let mut wanted = false;
                for (queue, lane) in &queues {
                    if lane.figures.given_up.load(Ordering::Relaxed) {
                        lane.figures.unsent_bulks.fetch_add(1, Ordering::Relaxed);
                    } else {
                        wanted |= queue.blocking_send(bulk.clone()).is_ok();
                    }
                }
                wanted
            })
        })
    };
    let telling = tokio::spawn({
        let (lanes, progress) = (lanes.clone(), progress.clone());
        async move {
            loop {
                tokio::time::sleep(progress.pause()).await;
                progress.tell(&lanes, started.elapsed());
            }
        }
    });
    let made = feed.await.context("making sessions ended badly")?;
    let mut failed = None;
    while let Some(done) = workers.join_next().await {
        if let Err(error) = done.context("a connection ended badly").and_then(|done| done) {
            failed = Some(error);
        }
    }
    telling.abort();
    progress.end(&lanes, made, started.elapsed());
    let sum = |of: fn(&Figures) -> &AtomicU64| {
        lanes.iter().map(|lane| of(&lane.figures).load(Ordering::Relaxed)).sum()
    };
    match failed {
        Some(error) => Err(error),
        None => Ok(Outcome {
            discarded: sum(|figures| &figures.discarded_bulks),
            acked: sum(|figures| &figures.acked_bulks),
        }),
    }
}

/// Returns the path of the ledger of the endpoint with this number, counted from 0.
#[must_use]
pub fn ledger_path(path: &std::path::Path, number: usize) -> PathBuf {
    match number {
        0 => path.to_owned(),
        number => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{}", number + 1));
            name.into()
        }
    }
}

/// Takes bulks and sends them, one at a time.
async fn connection(
    lane: Arc<Lane>,
    bulks: Arc<Mutex<mpsc::Receiver<Bulk>>>,
) -> anyhow::Result<()> {
    loop {
        let next = bulks.lock().await.recv().await;
        let Some(bulk) = next else { return Ok(()) };
        lane.deliver(&bulk).await?;
    }
}

impl Lane {
    /// Tries a bulk until it is acknowledged or discarded.
    async fn deliver(&self, bulk: &Bulk) -> anyhow::Result<()> {
        let figures = &self.figures;
        if figures.given_up.load(Ordering::Relaxed) {
            figures.unsent_bulks.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let mut last = None;
        for number in 0..self.tries {
            if figures.given_up.load(Ordering::Relaxed) {
                break;
            }
            if number > 0 {
                figures.retried.fetch_add(1, Ordering::Relaxed);
                // What was dropped on request shows what a retry does, not what a pause does.
                if last != Some(SendError::Dropped) {
                    tokio::time::sleep(self.pause * 2u32.saturating_pow(number - 1)).await;
                }
            } else {
                figures.sent_bulks.fetch_add(1, Ordering::Relaxed);
            }
            let manner = match bulk.faults {
                faults if faults.drop && number == 0 => {
                    Manner::Drop(Duration::from_millis(20 + bulk.number % 6 * 10))
                }
                faults if faults.slow => Manner::Slow,
                _ => Manner::Plain,
            };
            let started = Instant::now();
            match self.endpoint.send(&bulk.body, manner).await {
                Ok(()) => {
                    figures.acked(bulk.ids.len(), bulk.body.len(), started.elapsed());
                    self.note(bulk, Ledger::acked)?;
                    if bulk.faults.repeat {
                        // It is acknowledged already, whatever comes of this.
                        let _ = self.endpoint.send(&bulk.body, Manner::Plain).await;
                    }
                    return Ok(());
                }
                Err(error) => {
                    if figures.count_error(&error) && error != SendError::Dropped {
                        self.progress.say(&error.explain(&self.endpoint.url));
                    }
                    last = Some(error);
                }
            }
        }
        figures.discarded(bulk.ids.len());
        self.note(bulk, Ledger::uncertain)?;
        if figures.given_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        let url = &self.endpoint.url;
        self.progress.say(&format!(
            "bulk {} discarded: {} sessions for {url} were not acknowledged in {} tries",
            bulk.number,
            bulk.ids.len(),
            self.tries,
        ));
        let lasting = last.is_some_and(|error| error.is_lasting());
        if lasting && figures.acked_bulks.load(Ordering::Relaxed) == 0 {
            figures.given_up.store(true, Ordering::Relaxed);
            self.progress.say(&format!("{url} is given up: nothing has got through to it"));
        }
        Ok(())
    }

    fn note(
        &self,
        bulk: &Bulk,
        write: fn(&mut Ledger, &[super::Id]) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let mut ledger = ledger.lock();
        write(&mut ledger, &bulk.ids).context("cannot write the ledger")
    }
}

/// Sends up to 50 sessions in one try, and prints a line with the outcome of each endpoint.
///
/// # Errors
/// An endpoint cannot be set up.
pub async fn test_export(plan: Plan, sending: &Sending) -> anyhow::Result<(String, bool)> {
    let mut generator = Generator::new(plan.shape);
    let mut batcher = Batcher::new(plan.layout.clone());
    let wanted = plan.limits.sessions.unwrap_or(TEST_EXPORT_SESSIONS).min(TEST_EXPORT_SESSIONS);
    for _ in 0..wanted.max(1) {
        batcher.add(&mut generator);
    }
    let bulk = batcher.cut(super::faults::BulkFaults::default());
    let (mut report, mut good) = (String::new(), true);
    for url in &sending.to {
        let endpoint = Endpoint::new(url.clone(), sending.transport.clone())?;
        report.push_str(&match endpoint.send(&bulk.body, Manner::Plain).await {
            Ok(()) => {
                let count = bulk.ids.len();
                format!("Test export succeeded: {url} answered 200 to {count} sessions.\n")
            }
            Err(error) => {
                good = false;
                format!("Test export failed: {}\n", error.explain(url))
            }
        });
    }
    Ok((report, good))
}
