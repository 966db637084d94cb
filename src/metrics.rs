//! Metrics: their names, their descriptions, and the recorder that renders them for Prometheus.
//!
//! [`ALL`] names and describes every metric. Stations record with the macros of the `metrics` crate
//! and the constants here. Every series exists from the start with a zero, so that a rate or an alert
//! never meets a missing one.
//!
//! The `metrics` crate has one recorder for a process: [`install`] makes it once, and servers that
//! share a process share its counts. A thread empties the histograms' sample buffers, which would
//! otherwise grow until the next scrape.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Requests answered, by class of status: label `status`, one of `2xx`, `4xx`, `5xx`.
pub const HTTP_REQUESTS: &str = "sessionlake_http_requests_total";
/// Requests whose head was read and whose answer is not yet written.
pub const HTTP_IN_FLIGHT: &str = "sessionlake_http_requests_in_flight";
/// Open connections.
pub const HTTP_CONNECTIONS: &str = "sessionlake_http_connections";
/// Memory reserved for request bodies, in bytes.
pub const BODY_MEMORY_BYTES: &str = "sessionlake_body_memory_bytes";
/// Bodies acknowledged, without duplicates.
pub const RECEIVED_BODIES: &str = "sessionlake_received_bodies_total";
/// Bytes of those bodies, inflated.
pub const RECEIVED_BYTES: &str = "sessionlake_received_bytes_total";
/// Non-blank lines of those bodies.
pub const RECEIVED_LINES: &str = "sessionlake_received_lines_total";
/// Duplicates: bodies acknowledged that equal one acknowledged before.
pub const DUPLICATES: &str = "sessionlake_duplicates_total";
/// Requests answered by an endpoint: labels `endpoint`, and `status` as of [`HTTP_REQUESTS`].
pub const ENDPOINT_REQUESTS: &str = "sessionlake_endpoint_requests_total";
/// Non-blank lines of the bodies that an endpoint acknowledged: label `endpoint`.
pub const ENDPOINT_LINES: &str = "sessionlake_endpoint_lines_total";
/// Requests refused because their credentials were missing or wrong.
pub const AUTH_REFUSED: &str = "sessionlake_auth_refused_total";
/// Requests and connections refused because their peer had too many.
pub const LIMITED: &str = "sessionlake_limited_total";
/// Requests and connections refused: label `reason`.
pub const REFUSED: &str = "sessionlake_refused_total";
/// Connections without a request that were closed to make room for others.
pub const EVICTED: &str = "sessionlake_connections_evicted_total";
/// TLS handshakes that failed.
pub const TLS_FAILED: &str = "sessionlake_tls_failed_total";
/// Seconds from the head of a request to its 200.
pub const ACK_SECONDS: &str = "sessionlake_ack_seconds";

/// Bytes of the journal on disk.
pub const JOURNAL_BACKLOG_BYTES: &str = "sessionlake_journal_backlog_bytes";
/// Time at which the oldest body that has not landed was received, in seconds since the epoch; 0 when
/// all have landed.
pub const JOURNAL_OLDEST_PENDING: &str = "sessionlake_journal_oldest_pending_timestamp_seconds";
/// Segment files of the journal.
pub const JOURNAL_SEGMENTS: &str = "sessionlake_journal_segments";
/// Seconds of one sync of the journal.
pub const JOURNAL_SYNC_SECONDS: &str = "sessionlake_journal_sync_seconds";
/// Bodies made durable by one sync.
pub const JOURNAL_GROUP_BODIES: &str = "sessionlake_journal_group_bodies";

/// Bodies forgotten within the retry window because it was full.
pub const RETRY_WINDOW_DROPPED: &str = "sessionlake_retry_window_dropped_total";

/// Rolls committed.
pub const ROLLS: &str = "sessionlake_rolls_total";
/// Requests for a roll that failed and were made again.
pub const ROLL_RETRIES: &str = "sessionlake_roll_retries_total";
/// Rows committed.
pub const ROWS: &str = "sessionlake_rows_total";
/// Rows committed that are null in every column.
pub const UNMATCHED_ROWS: &str = "sessionlake_unmatched_rows_total";
/// Rows committed that have a field without a column, or a value that did not fit its column: labels
/// `table`, and `field`, a JSON Pointer whose list indexes are `*`; those past 50 are [`OTHER_FIELDS`].
pub const UNKNOWN_FIELD_ROWS: &str = "sessionlake_unknown_field_rows_total";
/// The label of fields that have no series of their own in [`UNKNOWN_FIELD_ROWS`].
pub const OTHER_FIELDS: &str = "other";
/// Rows committed to the overflow partition of their table.
pub const OVERFLOW_ROWS: &str = "sessionlake_overflow_rows_total";
/// Lines committed to quarantine.
pub const REJECTS: &str = "sessionlake_rejects_total";
/// Rows left out since they equal one that has landed.
pub const DOUBLED: &str = "sessionlake_doubled_rows_total";
/// Rows in the index of `dedup`.
pub const DEDUP_ROWS: &str = "sessionlake_dedup_index_rows";
/// Rows within the window that it has no room for.
pub const DEDUP_EVICTED: &str = "sessionlake_dedup_evicted_rows_total";
/// Failures to read or write it: doubles land meanwhile.
pub const DEDUP_FAILURES: &str = "sessionlake_dedup_index_failures_total";
/// Bodies of which no roll could be made, committed to quarantine whole.
pub const SET_ASIDE: &str = "sessionlake_set_aside_bodies_total";
/// Data files committed.
pub const FILES: &str = "sessionlake_files_total";
/// Bytes of those files.
pub const FILE_BYTES: &str = "sessionlake_file_bytes_total";
/// Bytes of rows held in memory for the next roll.
pub const BUFFERED_BYTES: &str = "sessionlake_buffered_bytes";
/// Partitions with rows waiting for the next roll.
pub const OPEN_PARTITIONS: &str = "sessionlake_open_partitions";
/// Time of the last commit of a roll, in seconds since the epoch; 0 before the first.
pub const LAST_COMMIT: &str = "sessionlake_last_commit_timestamp_seconds";

/// 1 while the lake accepts nothing, the engine begins anew or a body waits for too long, else 0;
/// bodies are accepted meanwhile.
pub const LANDING_TROUBLE: &str = "sessionlake_landing_trouble";
/// Rolls of this node that have landed and that a table with a log does not have yet.
pub const WAITING_ROLLS: &str = "sessionlake_waiting_rolls";
/// Time at which the first of them landed since the start, in seconds since the epoch; 0 when there is
/// none.
pub const OLDEST_WAITING_ROLL: &str = "sessionlake_oldest_waiting_roll_timestamp_seconds";

/// The version of the program: the value is always 1, the label `version` holds it.
pub const BUILD_INFO: &str = "sessionlake_build_info";

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A count that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution with these upper bounds.
    Histogram(&'static [f64]),
}

/// One metric of the program.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Name in Prometheus.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Unit of its values.
    pub unit: Unit,
    /// Help text for people.
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind, unit, help }
}

/// Upper bounds of acknowledgement times, in seconds. A sender gives up after 30 s.
const ACK_BOUNDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds of sync times, in seconds: from a good NVMe to a disk that is failing.
const SYNC_BOUNDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Upper bounds of groups, in bodies.
const GROUP_BOUNDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

use Kind::{Counter, Gauge, Histogram};

/// Every metric of the program.
pub const ALL: &[Metric] = &[
    metric(HTTP_REQUESTS, Counter, Unit::Count, "Requests answered, by class of status"),
    metric(HTTP_IN_FLIGHT, Gauge, Unit::Count, "Requests being worked on"),
    metric(HTTP_CONNECTIONS, Gauge, Unit::Count, "Open connections"),
    metric(BODY_MEMORY_BYTES, Gauge, Unit::Bytes, "Memory reserved for request bodies"),
    metric(RECEIVED_BODIES, Counter, Unit::Count, "Bodies acknowledged, without duplicates"),
    metric(RECEIVED_BYTES, Counter, Unit::Bytes, "Inflated bytes of the bodies acknowledged"),
    metric(
        RECEIVED_LINES,
        Counter,
        Unit::Count,
        "Non-blank lines of the bodies acknowledged; as many as rows and rejects where each line is \
         a document, not so for arrays, documents in a row or of several lines, and action lines",
    ),
    metric(DUPLICATES, Counter, Unit::Count, "Bodies acknowledged that equal an earlier one"),
    metric(ENDPOINT_REQUESTS, Counter, Unit::Count, "Requests answered, by endpoint and status"),
    metric(
        ENDPOINT_LINES,
        Counter,
        Unit::Count,
        "Lines acknowledged, by endpoint, counted as received lines are",
    ),
    metric(AUTH_REFUSED, Counter, Unit::Count, "Requests with missing or wrong credentials"),
    metric(LIMITED, Counter, Unit::Count, "Requests and connections beyond a limit of their peer"),
    metric(REFUSED, Counter, Unit::Count, "Requests and connections refused, by reason"),
    metric(EVICTED, Counter, Unit::Count, "Connections closed to make room for others"),
    metric(TLS_FAILED, Counter, Unit::Count, "TLS handshakes that failed"),
    metric(ACK_SECONDS, Histogram(ACK_BOUNDS), Unit::Seconds, "From a request's head to its 200"),
    metric(JOURNAL_BACKLOG_BYTES, Gauge, Unit::Bytes, "Bytes of journal on disk"),
    metric(
        JOURNAL_OLDEST_PENDING,
        Gauge,
        Unit::Seconds,
        "Time at which the oldest body that has not landed was received, Unix time; 0 if none waits",
    ),
    metric(JOURNAL_SEGMENTS, Gauge, Unit::Count, "Segment files of the journal"),
    metric(
        JOURNAL_SYNC_SECONDS,
        Histogram(SYNC_BOUNDS),
        Unit::Seconds,
        "Duration of one sync of the journal",
    ),
    metric(
        JOURNAL_GROUP_BODIES,
        Histogram(GROUP_BOUNDS),
        Unit::Count,
        "Bodies made durable by one sync",
    ),
    metric(
        RETRY_WINDOW_DROPPED,
        Counter,
        Unit::Count,
        "Bodies forgotten within the retry window because it was full",
    ),
    metric(ROLLS, Counter, Unit::Count, "Rolls committed"),
    metric(
        ROLL_RETRIES,
        Counter,
        Unit::Count,
        "Requests for a roll that failed and were made again",
    ),
    metric(ROWS, Counter, Unit::Count, "Rows committed"),
    metric(
        UNMATCHED_ROWS,
        Counter,
        Unit::Count,
        "Rows committed that are null in every column, as their documents have no field of the table's, or none that fits",
    ),
    metric(
        UNKNOWN_FIELD_ROWS,
        Counter,
        Unit::Count,
        "Rows committed with a field that has no column, or that did not fit it, by table and field; \
         fields past 50 are other",
    ),
    metric(
        OVERFLOW_ROWS,
        Counter,
        Unit::Count,
        "Rows committed to the overflow partition, as their bodies may not open partitions of their own",
    ),
    metric(REJECTS, Counter, Unit::Count, "Lines committed to quarantine"),
    metric(DOUBLED, Counter, Unit::Count, "Rows left out since they equal one that has landed"),
    metric(DEDUP_ROWS, Gauge, Unit::Count, "Rows in the index of dedup"),
    metric(
        DEDUP_EVICTED,
        Counter,
        Unit::Count,
        "Rows within the window that the index of dedup has no room for: doubles of them land",
    ),
    metric(
        DEDUP_FAILURES,
        Counter,
        Unit::Count,
        "Failures to read or write the index of dedup: doubles land meanwhile",
    ),
    metric(
        SET_ASIDE,
        Counter,
        Unit::Count,
        "Bodies of which no roll could be made, committed to quarantine whole",
    ),
    metric(FILES, Counter, Unit::Count, "Data files committed"),
    metric(FILE_BYTES, Counter, Unit::Bytes, "Bytes of the data files committed"),
    metric(BUFFERED_BYTES, Gauge, Unit::Bytes, "Rows held in memory for the next roll"),
    metric(OPEN_PARTITIONS, Gauge, Unit::Count, "Partitions with rows for the next roll"),
    metric(LAST_COMMIT, Gauge, Unit::Seconds, "Time of the last commit of a roll, Unix time"),
    metric(LANDING_TROUBLE, Gauge, Unit::Count, "1 while nothing can land, or a body is overdue"),
    metric(
        WAITING_ROLLS,
        Gauge,
        Unit::Count,
        "Landed rolls that a Delta or Iceberg table does not have yet",
    ),
    metric(
        OLDEST_WAITING_ROLL,
        Gauge,
        Unit::Seconds,
        "Time at which the first of them landed since the start, Unix time; 0 when there is none",
    ),
    metric(BUILD_INFO, Gauge, Unit::Count, "Always 1; the version is a label"),
];

/// A handle that renders the metrics. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Handle(PrometheusHandle);

impl Handle {
    /// Renders all metrics in the Prometheus text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// Makes the process-wide recorder, describes every metric, and returns the handle that renders it.
/// Called again, it returns the same handle and changes nothing.
///
/// If another recorder was installed before, the handle renders nothing, and a warning is logged.
pub fn install() -> Handle {
    // A recorder is process-wide by the nature of the macros; so is this.
    static INSTALLED: OnceLock<Handle> = OnceLock::new();
    INSTALLED.get_or_init(make).clone()
}

fn make() -> Handle {
    let builder = ALL.iter().fold(PrometheusBuilder::new(), with_bounds);
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed: /metrics will be empty");
        return Handle(handle);
    }
    describe();
    start_at_zero();
    keep_up(handle.clone());
    Handle(handle)
}

fn with_bounds(builder: PrometheusBuilder, metric: &Metric) -> PrometheusBuilder {
    let Histogram(bounds) = metric.kind else { return builder };
    let name = Matcher::Full(metric.name.to_owned());
    match builder.set_buckets_for_metric(name, bounds) {
        Ok(builder) => builder,
        // The only error is an empty list, and a test reads the lists.
        Err(_) => PrometheusBuilder::new(),
    }
}

/// Tells the recorder the help text and the unit of every metric.
fn describe() {
    for metric in ALL {
        let Metric { name, unit, help, .. } = *metric;
        match metric.kind {
            Counter => metrics::describe_counter!(name, unit, help),
            Gauge => metrics::describe_gauge!(name, unit, help),
            Histogram(_) => metrics::describe_histogram!(name, unit, help),
        }
    }
}

fn start_at_zero() {
    for metric in ALL {
        match (metric.name, metric.kind) {
            (HTTP_REQUESTS, _) => {
                for status in ["2xx", "4xx", "5xx"] {
                    metrics::counter!(HTTP_REQUESTS, "status" => status).absolute(0);
                }
            }
            // By labels that are not known here: see `start_endpoint`, `start_refused` and
            // `start_unknown_fields`.
            (ENDPOINT_REQUESTS | ENDPOINT_LINES | REFUSED | UNKNOWN_FIELD_ROWS, _) => {}
            (BUILD_INFO, _) => {
                let version = env!("CARGO_PKG_VERSION");
                metrics::gauge!(BUILD_INFO, "version" => version).set(1.0);
            }
            (name, Counter) => metrics::counter!(name).absolute(0),
            (name, Gauge) => metrics::gauge!(name).set(0.0),
            (name, Histogram(_)) => drop(metrics::histogram!(name)),
        }
    }
}

/// Starts the counts of one endpoint at zero.
pub fn start_endpoint(name: &str) {
    for status in ["2xx", "4xx", "5xx"] {
        let endpoint = name.to_owned();
        metrics::counter!(ENDPOINT_REQUESTS, "endpoint" => endpoint, "status" => status)
            .absolute(0);
    }
    metrics::counter!(ENDPOINT_LINES, "endpoint" => name.to_owned()).absolute(0);
}

/// Starts the counts of refusals for these reasons at zero.
pub fn start_refused(reasons: impl IntoIterator<Item = &'static str>) {
    for reason in reasons {
        metrics::counter!(REFUSED, "reason" => reason).absolute(0);
    }
}

/// Starts the count of fields without a column of one table at zero.
pub fn start_unknown_fields(table: &str) {
    let table = table.to_owned();
    metrics::counter!(UNKNOWN_FIELD_ROWS, "table" => table, "field" => OTHER_FIELDS).absolute(0);
}

/// Returns the class of a status, as a label.
#[must_use]
pub fn status_class(status: u16) -> &'static str {
    match status {
        ..400 => "2xx", // there are no redirections here
        400..500 => "4xx",
        500.. => "5xx",
    }
}

/// Starts the thread that empties the histograms' buffers every few seconds.
fn keep_up(handle: PrometheusHandle) {
    let work = move || {
        loop {
            std::thread::sleep(Duration::from_secs(5));
            handle.run_upkeep();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("metrics".into()).spawn(work) {
        tracing::warn!(%error, "no thread for the metrics: histograms are tidied when scraped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_gives_one_recorder_that_shows_every_metric_from_the_start() {
        let (first, second) = (install(), install());
        start_endpoint("default");
        start_refused(["rate"]);
        start_unknown_fields("t");
        metrics::histogram!(ACK_SECONDS).record(0.004);
        metrics::histogram!(JOURNAL_SYNC_SECONDS).record(0.004);
        metrics::histogram!(JOURNAL_GROUP_BODIES).record(3.0);
        let text = second.render();
        for metric in ALL {
            let kind = match metric.kind {
                Counter => "counter",
                Gauge => "gauge",
                Histogram(_) => "histogram",
            };
            for line in [
                format!("# HELP {} {}\n", metric.name, metric.help),
                format!("# TYPE {} {kind}\n", metric.name),
            ] {
                assert!(text.contains(&line), "{line:?} is missing in\n{text}");
            }
        }
        assert!(text.contains("sessionlake_ack_seconds_bucket{le=\"0.005\"}"), "{text}");
        assert!(first.render().contains(HTTP_REQUESTS));
    }

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let mut names: Vec<_> = ALL.iter().map(|m| m.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            assert!(metric.name.starts_with("sessionlake_"), "{}", metric.name);
            assert_eq!(metric.kind == Counter, metric.name.ends_with("_total"), "{}", metric.name);
            if let Histogram(bounds) = metric.kind {
                assert!(!bounds.is_empty() && bounds.is_sorted(), "{}", metric.name);
            }
        }
    }
}
