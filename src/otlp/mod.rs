//! Export of metrics and traces to an OpenTelemetry collector (OTLP over HTTP, Protobuf), with the cargo
//! feature `otlp`.
//!
//! ```text
//!  recorder of /metrics ─text, every interval─▶ points ─┐
//!  requests (http) ─durations, active──────────▶ points ─┴─▶ POST /v1/metrics
//!          └─spans, sampled─┐
//!  rolls (an observer)─spans┴─▶ queue, bounded ─▶ batch ─▶ POST /v1/traces
//! ```
//! - *Nothing waits for the collector.* A span is put into a bounded queue or dropped, and what is dropped
//!   is counted ([`DROPPED_SPANS`]). Metrics are cumulative: an export that fails loses nothing that the next
//!   one does not have.
//! - *A collector that is away* is one line of the log at its begin and one at its end, and trouble of the
//!   part `otlp` meanwhile.
//! - *No value of a document, header or credential* is in what is exported. Spans have numbers of rolls,
//!   counts, closed lists and paths of the configuration; of headers only `traceparent` is read.
//! - *The end* waits for a last export, for [`END_WITHIN`] at most.
//!
//! What is exported, and where to, stands in the `OTEL_…` variables ([`settings`]). Without an endpoint there
//! is no exporter, and a request costs one look at a pointer.

mod exporter;
mod messages;
mod points;
mod requests;
mod rolls;
mod sampler;
mod sender;
mod settings;
mod spans;
#[cfg(test)]
mod tests;
mod trouble;
mod wire;

use std::ffi::OsStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::requests::Requests;
use self::rolls::RollSpans;
use self::settings::Settings;
use self::spans::SpanQueue;
use crate::clock::{Clock as _, SystemClock};
use crate::metrics;
use crate::status::{Observer, Readiness};

pub(crate) use self::requests::{Begun, Request};

/// Spans that were dropped, since the queue was full or the collector refused them.
pub(crate) const DROPPED_SPANS: &str = "sessionlake_otlp_dropped_spans_total";
/// Exports, by signal and result.
pub(crate) const EXPORTS: &str = "sessionlake_otlp_exports_total";

/// The longest time that an end waits for the last export.
const END_WITHIN: Duration = Duration::from_millis(1500);

/// What stations report to.
struct Sources {
    requests: Arc<Requests>,
    rolls: Option<Arc<RollSpans>>,
}

// The variables are of the process, as the recorder of metrics is: there is one exporter.
static SOURCES: OnceLock<Sources> = OnceLock::new();

/// Returns what requests report to, if anything is exported.
pub(crate) fn requests() -> Option<&'static Arc<Requests>> {
    SOURCES.get().map(|sources| &sources.requests)
}

/// Returns the observer of rolls, if traces are exported.
pub(crate) fn rolls() -> Option<Arc<dyn Observer>> {
    Some(Arc::clone(SOURCES.get()?.rolls.as_ref()?) as _)
}

/// An exporter that runs.
pub(crate) struct Exporter {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Exporter {
    /// Starts the exporter that the variables ask for, if they do. Its tasks run on the current runtime.
    /// They wait until `node`, which names what is exported, is known.
    pub(crate) fn start<'v>(
        variable: impl Fn(&str) -> Option<&'v OsStr>,
        handle: metrics::Handle,
        readiness: Arc<Readiness>,
        node: Arc<OnceLock<String>>,
    ) -> Option<Exporter> {
        let settings = Settings::read(variable);
        settings.problems.iter().for_each(|problem| tracing::warn!("{problem}"));
        Exporter::with(settings, handle, readiness, node, |sources| {
            let _ = SOURCES.set(sources);
        })
    }

    fn with(
        settings: Settings,
        handle: metrics::Handle,
        readiness: Arc<Readiness>,
        node: Arc<OnceLock<String>>,
        set: impl FnOnce(Sources),
    ) -> Option<Exporter> {
        let Settings { metrics, traces, resource, sampler, queue, .. } = settings;
        if metrics.is_none() && traces.is_none() {
            return None;
        }
        exporter::start_counts();
        let (stop, mut tasks) = (CancellationToken::new(), Vec::new());
        let trouble = Arc::new(trouble::Trouble::new(readiness));
        let named = exporter::Named { resource, node };
        let (spans, received) = SpanQueue::new(queue);
        let has_traces = traces.is_some();
        let requests = Requests::new(has_traces.then(|| (spans.clone(), sampler)));
        let requests = Arc::new(requests);
        let rolls = has_traces && sampler.takes_any();
        let rolls = rolls.then(|| Arc::new(RollSpans::new(spans, Arc::clone(&named.node))));
        if let Some((target, every)) = metrics {
            tracing::info!("metrics go to {} every {every:?}", target.shown());
            let export = exporter::Metrics {
                handle,
                requests: Arc::clone(&requests),
                since: SystemClock.now(),
                every,
            };
            let (trouble, named) = (Arc::clone(&trouble), named.clone());
            tasks.push(tokio::spawn(export.run(target, named, trouble, stop.clone())));
        }
        if let Some((target, batches)) = traces {
            tracing::info!("traces go to {}", target.shown());
            let export = exporter::Traces { received, batches };
            tasks.push(tokio::spawn(export.run(target, named, trouble, stop.clone())));
        }
        set(Sources { requests, rolls });
        Some(Exporter { stop, tasks })
    }

    /// Exports what there is, and ends.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        let aborts: Vec<_> = self.tasks.iter().map(JoinHandle::abort_handle).collect();
        if tokio::time::timeout(END_WITHIN, futures::future::join_all(self.tasks)).await.is_err() {
            tracing::info!("the last export to the collector was given up after {END_WITHIN:?}");
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
    }
}
