//! The two tasks that export.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::messages::{Span, export_metrics, export_spans};
use super::requests::Requests;
use super::sender::{Failure, Sender};
use super::settings::{Batches, Target};
use super::spans::dropped;
use super::trouble::Trouble;
use super::{DROPPED_SPANS, EXPORTS, points};
use crate::clock::{Clock as _, SystemClock};
use crate::metrics;
use crate::record::Micros;

/// Signals, as the label of [`EXPORTS`].
const METRICS: &str = "metrics";
const TRACES: &str = "traces";

/// The interval at which the node's name is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The pause after a batch that failed: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Starts the counts of exports with zero.
pub(super) fn start_counts() {
    ::metrics::describe_counter!(
        DROPPED_SPANS,
        "Spans dropped, since their queue was full or the collector did not take them"
    );
    ::metrics::describe_counter!(EXPORTS, "Exports to the OpenTelemetry collector");
    ::metrics::counter!(DROPPED_SPANS).absolute(0);
    for signal in [METRICS, TRACES] {
        for result in ["ok", "failed"] {
            ::metrics::counter!(EXPORTS, "signal" => signal, "result" => result).absolute(0);
        }
    }
}

/// Who exports.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) resource: Vec<(String, String)>,
    pub(super) node: Arc<OnceLock<String>>,
}

impl Named {
    /// Waits for the node's name, and returns the attributes of the resource. `None` at the stop.
    async fn known(mut self, stop: &CancellationToken) -> Option<Vec<(String, String)>> {
        const INSTANCE: &str = "service.instance.id";
        if self.resource.iter().any(|(key, _)| key == INSTANCE) {
            return Some(self.resource);
        }
        loop {
            if let Some(node) = self.node.get() {
                self.resource.push((INSTANCE.to_owned(), node.clone()));
                return Some(self.resource);
            }
            if stop.is_cancelled() {
                return None;
            }
            pause(LOOK_EVERY, stop).await;
        }
    }
}

/// Waits, but not past the stop.
async fn pause(time: Duration, stop: &CancellationToken) {
    let _ = stop.run_until_cancelled(tokio::time::sleep(time)).await;
}

/// Makes the sender and waits for the name. `None` if nothing can be exported.
async fn begin(
    signal: &'static str,
    target: Target,
    named: Named,
    trouble: &Trouble,
    stop: &CancellationToken,
) -> Option<(Sender, Vec<(String, String)>)> {
    let sender = Sender::new(target).map_err(|failure| trouble.note(signal, Err(&failure.why)));
    Some((sender.ok()?, named.known(stop).await?))
}

/// Takes note of how an export went.
fn note(signal: &'static str, trouble: &Trouble, result: &Result<u64, Failure>) {
    let label = if result.is_ok() { "ok" } else { "failed" };
    ::metrics::counter!(EXPORTS, "signal" => signal, "result" => label).increment(1);
    trouble.note(signal, result.as_ref().map(drop).map_err(|failure| failure.why.as_str()));
}

/// The export of metrics.
pub(super) struct Metrics {
    pub(super) handle: metrics::Handle,
    pub(super) requests: Arc<Requests>,
    /// The time from which on is counted.
    pub(super) since: Micros,
    pub(super) every: Duration,
}

impl Metrics {
    /// Exports at once, then every interval, and once more at the stop.
    pub(super) async fn run(
        self,
        target: Target,
        named: Named,
        trouble: Arc<Trouble>,
        stop: CancellationToken,
    ) {
        let Some((sender, resource)) = begin(METRICS, target, named, &trouble, &stop).await else {
            return;
        };
        loop {
            let is_last = stop.is_cancelled();
            let mut metrics = points::read(&self.handle.render());
            metrics.extend(self.requests.metrics());
            let body = export_metrics(&resource, &metrics, self.since, SystemClock.now());
            let sent = sender.send(body);
            // An export that the stop finds under way has old figures, and a collector that hangs.
            let result = match is_last {
                true => Some(sent.await),
                false => stop.run_until_cancelled(sent).await,
            };
            if let Some(result) = result {
                note(METRICS, &trouble, &result);
            }
            if is_last {
                return;
            }
            pause(self.every, &stop).await;
        }
    }
}

/// The export of traces.
pub(super) struct Traces {
    pub(super) received: Receiver<Span>,
    pub(super) batches: Batches,
}

impl Traces {
    /// Exports spans in batches, and what is left at the stop.
    pub(super) async fn run(
        mut self,
        target: Target,
        named: Named,
        trouble: Arc<Trouble>,
        stop: CancellationToken,
    ) {
        let Some((sender, resource)) = begin(TRACES, target, named, &trouble, &stop).await else {
            return;
        };
        let (mut batch, mut wait) = (Vec::new(), FIRST_PAUSE);
        loop {
            self.fill(&mut batch, &stop).await;
            let is_last = stop.is_cancelled();
            if batch.is_empty() {
                match is_last {
                    true => return,
                    false => continue,
                }
            }
            let result = sender.send(export_spans(&resource, &batch)).await;
            note(TRACES, &trouble, &result);
            match result {
                Err(failure) if failure.is_passing && !is_last => {
                    // The batch is kept, and what comes meanwhile waits in the queue while it has room.
                    pause(wait, &stop).await;
                    wait = (wait * 2).min(LONGEST_PAUSE);
                }
                Err(_) => {
                    dropped(batch.len() as u64);
                    batch.clear();
                    if is_last {
                        // The next ones would not fare better, and the end waits.
                        dropped(self.received.len() as u64);
                        return;
                    }
                }
                Ok(rejected) => {
                    dropped(rejected);
                    batch.clear();
                    wait = FIRST_PAUSE;
                }
            }
        }
    }

    /// Fills a batch: until it is full, the delay is over, or, at the stop, the queue is empty.
    async fn fill(&mut self, batch: &mut Vec<Span>, stop: &CancellationToken) {
        let Batches { most, delay } = self.batches;
        let over = tokio::time::sleep(delay);
        tokio::pin!(over);
        while batch.len() < most && !stop.is_cancelled() {
            tokio::select! {
                span = self.received.recv() => match span {
                    Some(span) => batch.push(span),
                    // All who put are gone.
                    None => stop.cancelled().await,
                },
                () = &mut over => return,
                () = stop.cancelled() => {}
            }
        }
        while batch.len() < most {
            match self.received.try_recv() {
                Ok(span) => batch.push(span),
                Err(_) => return,
            }
        }
    }
}
