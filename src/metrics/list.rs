//! The list of all metrics, with what they mean.

use metrics::Unit;

use super::names::*;

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
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Help text for people.
    pub help: &'static str,
}

/// Upper bounds of acknowledgement times, in seconds. A sender gives up after 30 s.
const ACK_BOUNDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 25.0,
    30.0,
];
/// Upper bounds of sync times, in seconds: from a good NVMe to a disk that is failing.
const SYNC_BOUNDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Upper bounds of groups, in bodies.
const GROUP_BOUNDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// Upper bounds of the stages of a roll, in seconds.
const STAGE_BOUNDS: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
/// Upper bounds of requests to the store, in seconds. One is made again within itself for a minute.
const STORE_BOUNDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

use Kind::{Counter, Gauge, Histogram};
use Unit::{Bytes, Count, Seconds};

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, help }
}

/// Every metric of the program, but for those of the process ([`super::process`]).
#[rustfmt::skip] // A line for the metric and a line for its help.
pub const ALL: &[Metric] = &[
    metric(HTTP_REQUESTS, Counter, Count, &["route", "code"],
        "Requests answered; route is ingest, health, metrics, status, admin, token or other"),
    metric(HTTP_IN_FLIGHT, Gauge, Count, &[],
        "Requests being worked on"),
    metric(HTTP_CONNECTIONS, Gauge, Count, &[],
        "Open connections"),
    metric(BODY_MEMORY_BYTES, Gauge, Bytes, &[],
        "Memory reserved for request bodies"),
    metric(BODY_MEMORY_LIMIT_BYTES, Gauge, Bytes, &[],
        "The most memory for request bodies: past it the answer is 503"),
    metric(REQUESTS, Counter, Count, &["endpoint", "code"],
        "Requests answered by an endpoint"),
    metric(RECEIVED_BODIES, Counter, Count, &["endpoint"],
        "Bodies acknowledged, without duplicates"),
    metric(RECEIVED_BYTES, Counter, Bytes, &["endpoint"],
        "Inflated bytes of the bodies acknowledged, without duplicates"),
    metric(RECEIVED_LINES, Counter, Count, &["endpoint"],
        "Non-blank lines of the bodies acknowledged, without duplicates; as many as rows and rejects where each line is a \
         document, not so for arrays, documents in a row or of several lines, and action lines"),
    metric(DUPLICATES, Counter, Count, &["endpoint"],
        "Bodies acknowledged that equal an earlier one, and are not stored again"),
    metric(ACK_DURATION, Histogram(ACK_BOUNDS), Seconds, &["endpoint"],
        "From a request's head to its 200, for bodies that are not empty"),
    metric(REQUESTS_REFUSED, Counter, Count, &["endpoint", "reason"],
        "Requests and connections refused; endpoint is none where it is not known"),
    metric(AUTH_REFUSED, Counter, Count, &["reason"],
        "Requests refused for want of right credentials: none or wrong ones, too many wrong ones, or no turn to check them"),
    metric(LIMITED, Counter, Count, &["reason"],
        "Requests and connections beyond a limit of their peer"),
    metric(EVICTED, Counter, Count, &[],
        "Connections closed to make room for others"),
    metric(TLS_HANDSHAKES_FAILED, Counter, Count, &[],
        "TLS handshakes that failed"),
    metric(TLS_CERTIFICATE_EXPIRY, Gauge, Seconds, &[],
        "Time at which the certificate in use expires, Unix time; 0 without TLS"),
    metric(JOURNAL_SIZE_BYTES, Gauge, Bytes, &[],
        "Bytes of the journal's segments on disk; segments go as a whole, so some remain when all has landed"),
    metric(JOURNAL_SEGMENTS, Gauge, Count, &[],
        "Segment files of the journal"),
    metric(JOURNAL_PENDING_BYTES, Gauge, Bytes, &[],
        "Bytes of the journal that have not landed, within a segment estimated by its bodies; updated every second"),
    metric(JOURNAL_PENDING_BODIES, Gauge, Count, &[],
        "Bodies that have not landed; updated every second"),
    metric(JOURNAL_OLDEST_PENDING, Gauge, Seconds, &[],
        "Time at which the oldest body that has not landed was received, Unix time; 0 if none waits"),
    metric(JOURNAL_QUOTA_BYTES, Gauge, Bytes, &[],
        "The most bytes of the journal's segments: past it the answer is 503"),
    metric(JOURNAL_DISK_FREE_BYTES, Gauge, Bytes, &[],
        "Free bytes of the journal's file system; updated every second"),
    metric(JOURNAL_DISK_RESERVE_BYTES, Gauge, Bytes, &[],
        "Bytes of them that the journal leaves free: below that the answer is 503"),
    metric(JOURNAL_SYNC_DURATION, Histogram(SYNC_BOUNDS), Seconds, &[],
        "Duration of one sync of the journal"),
    metric(JOURNAL_READ_BODIES, Counter, Count, &["from"],
        "Bodies taken to be decoded, from memory or, if they did not fit there or after a start, from disk"),
    metric(JOURNAL_HANDED_BYTES, Gauge, Bytes, &[],
        "Memory of durable bodies, and of those being written, that are to be decoded without reading them; updated every second"),
    metric(JOURNAL_GROUP_BODIES, Histogram(GROUP_BOUNDS), Count, &[],
        "Bodies made durable by one sync"),
    metric(RETRY_WINDOW_DROPPED, Counter, Count, &[],
        "Bodies forgotten within the retry window because it was full"),
    metric(ROLLS, Counter, Count, &["cause"],
        "Rolls committed, by the limit that ended them; redone for those that an earlier attempt had sealed"),
    metric(ROLL_DURATION, Histogram(STAGE_BOUNDS), Seconds, &["stage"],
        "Duration of the stages of a roll, with their pauses and new tries: encode finishes its files, upload puts them, commit writes the receipt"),
    metric(ROLL_RETRIES, Counter, Count, &["stage"],
        "Steps of a roll that failed and were made again; prepare is all before the upload"),
    metric(LAST_ROLL, Gauge, Seconds, &[],
        "Time of the last commit of a roll, also of an earlier start, Unix time; 0 before the first"),
    metric(LANDED_ROWS, Counter, Count, &["table"],
        "Rows committed"),
    metric(LANDED_FILES, Counter, Count, &["table"],
        "Data files committed"),
    metric(LANDED_BYTES, Counter, Bytes, &["table"],
        "Bytes of the data files committed"),
    metric(UNMATCHED_ROWS, Counter, Count, &[],
        "Rows committed that are null in every column, as their documents have no field of the table's, or none that fits"),
    metric(UNKNOWN_FIELD_ROWS, Counter, Count, &["table", "field"],
        "Rows committed with a field that has no column, or that did not fit it; fields past 50 are other"),
    metric(OVERFLOW_ROWS, Counter, Count, &["table"],
        "Rows committed to the overflow partition, as their bodies may not open partitions of their own"),
    metric(REJECTS, Counter, Count, &["table", "reason"],
        "Lines committed to quarantine; reason is unknown for those that an earlier attempt has put"),
    metric(DOUBLED, Counter, Count, &["table"],
        "Rows left out since they equal one that has landed"),
    metric(DEDUP_ROWS, Gauge, Count, &[],
        "Rows in the index of dedup"),
    metric(DEDUP_EVICTED, Counter, Count, &[],
        "Rows within the window that the index of dedup has no room for: doubles of them land"),
    metric(DEDUP_FAILURES, Counter, Count, &[],
        "Failures to read or write the index of dedup: doubles land meanwhile"),
    metric(SET_ASIDE, Counter, Count, &[],
        "Bodies of which no roll could be made, committed to quarantine whole"),
    metric(BUFFERED_BYTES, Gauge, Bytes, &[],
        "Rows held in memory for the next roll"),
    metric(BUFFERED_LIMIT_BYTES, Gauge, Bytes, &[],
        "The memory setting, which rows and the encoding of files share"),
    metric(OPEN_PARTITIONS, Gauge, Count, &[],
        "Partitions with rows for the next roll"),
    metric(STORE_REQUESTS, Counter, Count, &["op", "result"],
        "Requests to the store of the lake, local or not; tries within a request are not counted"),
    metric(STORE_REQUEST_DURATION, Histogram(STORE_BOUNDS), Seconds, &["op"],
        "Duration of a request to the store, with the tries within it; of get, until its first bytes"),
    metric(LAKE_UP, Gauge, Count, &[],
        "1 while requests of rolls to the lake succeed, 0 from one that failed to the next that does not"),
    metric(LAKE_TROUBLE_SINCE, Gauge, Seconds, &[],
        "Time since which the lake is not up, Unix time; 0 while it is"),
    metric(TROUBLE, Gauge, Count, &["part"],
        "1 while a part behind the journal is in trouble; bodies are accepted meanwhile"),
    metric(WAITING_ROLLS, Gauge, Count, &[],
        "Landed rolls that a Delta or Iceberg table does not have yet"),
    metric(OLDEST_WAITING_ROLL, Gauge, Seconds, &[],
        "Time at which the first of them landed since the start, Unix time; 0 when there is none"),
    metric(VERIFY_LAST_RUN, Gauge, Seconds, &[],
        "Time of the last verification of the lake (verify_every), also of an earlier start, Unix time; 0 before the first"),
    metric(VERIFY_LAST_SUCCESS, Gauge, Seconds, &[],
        "Time of the last verification that found every line accounted for, also of an earlier start, Unix time; 0 before the first"),
    metric(VERIFY_DURATION, Gauge, Seconds, &[],
        "Duration of the last verification"),
    metric(VERIFY_VERDICT, Gauge, Count, &["verdict"],
        "1 for the verdict of the last verification since the start, else 0: ok, damaged (something is missing, damaged or doubled), failed (it could not look at everything)"),
    metric(VERIFY_PROBLEMS, Gauge, Count, &["kind"],
        "Problems that the last verification found; of kind unread is what it could not look at"),
    metric(VERIFY_ROLLS, Gauge, Count, &[],
        "Rolls that the last verification looked at"),
    metric(VERIFY_LINES, Gauge, Count, &[],
        "Lines of the rolls that the last verification looked at"),
    metric(VERIFY_RUNS, Counter, Count, &["verdict"],
        "Verifications of the lake"),
    metric(READY, Gauge, Count, &["part"],
        "1 while a part lets bodies be accepted, 0 while it does not"),
    metric(START_TIME, Gauge, Seconds, &[],
        "Time of the start of the receiver, Unix time"),
    metric(REPLAY_BYTES, Gauge, Bytes, &[],
        "Bytes of journal that this start has read"),
    metric(REPLAY_TOTAL_BYTES, Gauge, Bytes, &[],
        "Bytes of journal that this start has to read, the newest segment twice"),
    metric(DRAINING, Gauge, Count, &[],
        "1 from the request to stop on, else 0"),
    metric(RELOAD_SUCCESS, Gauge, Count, &[],
        "1 if the last reload, or the start, went well, else 0"),
    metric(RELOAD_SUCCESS_AT, Gauge, Seconds, &[],
        "Time of the last reload, or start, that went well, Unix time"),
    metric(BUILD_INFO, Gauge, Count, &["version", "revision", "rustc"],
        "Always 1; the labels say what was built; revision is unknown unless the build was told"),
];
