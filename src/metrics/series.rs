//! Series that exist from the start, with zero: a rate or an alert never meets a missing one.

use metrics::{counter, gauge, histogram};

use super::list::{ALL, Kind};
use super::names::*;

/// Statuses that an endpoint answers with.
const INGEST_CODES: [&str; 12] =
    ["200", "400", "401", "403", "404", "405", "408", "413", "415", "429", "500", "503"];
/// Statuses of routes besides the endpoints.
const OTHER_CODES: [(&str, &[&str]); 6] = [
    ("health", &["200", "503"]),
    ("metrics", &["200", "401", "403"]),
    ("status", &["200", "401", "403"]),
    ("admin", &["200", "202", "401", "403", "422"]),
    ("token", &["200", "400", "401", "429"]),
    ("other", &["400", "403", "404", "429", "503"]),
];
/// The endpoint of refusals whose endpoint is not known.
pub const NO_ENDPOINT: &str = "none";
/// Reasons of [`AUTH_REFUSED`].
const AUTH_REASONS: [&str; 3] = ["credentials", "failed_attempts", "busy"];
/// Reasons of [`LIMITED`].
const LIMIT_REASONS: [&str; 5] =
    ["connections", "in_flight", "rate", "failed_attempts", "answer_unread"];
/// Stages of [`ROLL_DURATION`].
const STAGES: [&str; 3] = ["encode", "upload", "commit"];
/// Stages of [`ROLL_RETRIES`].
const RETRY_STAGES: [&str; 3] = ["prepare", "upload", "commit"];
/// Operations of [`STORE_REQUESTS`].
const STORE_OPERATIONS: [&str; 6] = ["get", "head", "put", "list", "delete", "copy"];
/// Results of [`STORE_REQUESTS`].
const STORE_RESULTS: [&str; 5] = ["ok", "not_found", "conflict", "denied", "error"];
/// Parts of [`TROUBLE`].
const TROUBLE_PARTS: [&str; 7] =
    ["lake", "lake_at_start", "landing", "overdue", "set_aside", "tables", "verify"];
/// Verdicts of a verification.
const VERDICTS: [&str; 3] = ["ok", "damaged", "failed"];
/// Kinds of [`VERIFY_PROBLEMS`].
const VERIFY_KINDS: [&str; 10] = [
    "receipt",
    "gap",
    "overlap",
    "sum",
    "no_file",
    "no_receipt",
    "file",
    "checkpoint",
    "log",
    "unread",
];

/// Starts what needs no label, and what has labels that are the same in every server.
pub(super) fn start() {
    for metric in ALL.iter().filter(|metric| metric.labels.is_empty()) {
        match metric.kind {
            Kind::Counter => counter!(metric.name).absolute(0),
            Kind::Gauge => gauge!(metric.name).set(0.0),
            Kind::Histogram(_) => drop(histogram!(metric.name)),
        }
    }
    for code in INGEST_CODES {
        counter!(HTTP_REQUESTS, "route" => "ingest", "code" => code).absolute(0);
    }
    for (route, codes) in OTHER_CODES {
        for code in codes {
            counter!(HTTP_REQUESTS, "route" => route, "code" => *code).absolute(0);
        }
    }
    for reason in AUTH_REASONS {
        counter!(AUTH_REFUSED, "reason" => reason).absolute(0);
    }
    for reason in LIMIT_REASONS {
        counter!(LIMITED, "reason" => reason).absolute(0);
    }
    for stage in STAGES {
        drop(histogram!(ROLL_DURATION, "stage" => stage));
    }
    for stage in RETRY_STAGES {
        counter!(ROLL_RETRIES, "stage" => stage).absolute(0);
    }
    for op in STORE_OPERATIONS {
        drop(histogram!(STORE_REQUEST_DURATION, "op" => op));
        for result in STORE_RESULTS {
            counter!(STORE_REQUESTS, "op" => op, "result" => result).absolute(0);
        }
    }
    for part in TROUBLE_PARTS {
        gauge!(TROUBLE, "part" => part).set(0.0);
    }
    for from in ["memory", "disk"] {
        counter!(JOURNAL_READ_BODIES, "from" => from).absolute(0);
    }
    for verdict in VERDICTS {
        gauge!(VERIFY_VERDICT, "verdict" => verdict).set(0.0);
        counter!(VERIFY_RUNS, "verdict" => verdict).absolute(0);
    }
    for kind in VERIFY_KINDS {
        gauge!(VERIFY_PROBLEMS, "kind" => kind).set(0.0);
    }
    gauge!(LAKE_UP).set(1.0);
    let (version, revision) = (env!("CARGO_PKG_VERSION"), option_env!("SESSIONLAKE_REVISION"));
    let revision = revision.filter(|revision| !revision.is_empty()).unwrap_or("unknown");
    let rustc = env!("SESSIONLAKE_RUSTC");
    gauge!(BUILD_INFO, "version" => version, "revision" => revision, "rustc" => rustc).set(1.0);
}

/// Starts the counts of one endpoint, whose refusals have these `reasons`.
pub fn start_endpoint(name: &str, reasons: impl IntoIterator<Item = &'static str>) {
    for code in INGEST_CODES {
        counter!(REQUESTS, "endpoint" => name.to_owned(), "code" => code).absolute(0);
    }
    for count in [RECEIVED_BODIES, RECEIVED_BYTES, RECEIVED_LINES, DUPLICATES] {
        counter!(count, "endpoint" => name.to_owned()).absolute(0);
    }
    drop(histogram!(ACK_DURATION, "endpoint" => name.to_owned()));
    start_refused(name, reasons);
}

/// Starts the counts of refusals of one endpoint, or of [`NO_ENDPOINT`].
pub fn start_refused(endpoint: &str, reasons: impl IntoIterator<Item = &'static str>) {
    for reason in reasons {
        counter!(REQUESTS_REFUSED, "endpoint" => endpoint.to_owned(), "reason" => reason)
            .absolute(0);
    }
}

/// Starts the counts of one table, whose rejects have these `reasons`.
pub fn start_table(table: &str, reasons: impl IntoIterator<Item = &'static str>) {
    for count in [LANDED_ROWS, LANDED_FILES, LANDED_BYTES, OVERFLOW_ROWS, DOUBLED] {
        counter!(count, "table" => table.to_owned()).absolute(0);
    }
    counter!(UNKNOWN_FIELD_ROWS, "table" => table.to_owned(), "field" => OTHER_FIELDS).absolute(0);
    for reason in reasons {
        counter!(REJECTS, "table" => table.to_owned(), "reason" => reason).absolute(0);
    }
}

/// Starts the counts of rolls for these causes.
pub fn start_rolls(causes: impl IntoIterator<Item = &'static str>) {
    for cause in causes {
        counter!(ROLLS, "cause" => cause).absolute(0);
    }
}
