//! Names of the metrics.

/// Requests answered.
pub const HTTP_REQUESTS: &str = "sessionlake_http_requests_total";
/// Requests whose head was read and whose answer is not yet written.
pub const HTTP_IN_FLIGHT: &str = "sessionlake_http_requests_in_flight";
/// Open connections.
pub const HTTP_CONNECTIONS: &str = "sessionlake_http_connections";
/// Memory reserved for request bodies.
pub const BODY_MEMORY_BYTES: &str = "sessionlake_body_memory_bytes";
/// The most of it.
pub const BODY_MEMORY_LIMIT_BYTES: &str = "sessionlake_body_memory_limit_bytes";
/// Bodies acknowledged, without duplicates.
pub const RECEIVED_BODIES: &str = "sessionlake_received_bodies_total";
/// Bytes of those bodies, inflated.
pub const RECEIVED_BYTES: &str = "sessionlake_received_bytes_total";
/// Non-blank lines of those bodies.
pub const RECEIVED_LINES: &str = "sessionlake_received_lines_total";
/// Duplicates: bodies acknowledged that equal one acknowledged before.
pub const DUPLICATES: &str = "sessionlake_duplicates_total";
/// Requests answered by an endpoint.
pub const REQUESTS: &str = "sessionlake_requests_total";
/// Requests refused for want of credentials.
pub const AUTH_REFUSED: &str = "sessionlake_auth_refused_total";
/// Requests and connections refused because their peer had too many.
pub const LIMITED: &str = "sessionlake_limited_total";
/// Requests and connections refused.
pub const REQUESTS_REFUSED: &str = "sessionlake_requests_refused_total";
/// Connections without a request that were closed to make room for others.
pub const EVICTED: &str = "sessionlake_connections_evicted_total";
/// TLS handshakes that failed.
pub const TLS_HANDSHAKES_FAILED: &str = "sessionlake_tls_handshakes_failed_total";
/// Time at which the certificate expires.
pub const TLS_CERTIFICATE_EXPIRY: &str = "sessionlake_tls_certificate_expiry_timestamp_seconds";
/// Time from the head of a request to its 200.
pub const ACK_DURATION: &str = "sessionlake_ack_duration_seconds";

/// Bytes of the journal on disk.
pub const JOURNAL_SIZE_BYTES: &str = "sessionlake_journal_size_bytes";
/// Segment files of the journal.
pub const JOURNAL_SEGMENTS: &str = "sessionlake_journal_segments";
/// Bytes of the journal that have not landed.
pub const JOURNAL_PENDING_BYTES: &str = "sessionlake_journal_pending_bytes";
/// Bodies that have not landed.
pub const JOURNAL_PENDING_BODIES: &str = "sessionlake_journal_pending_bodies";
/// Time at which the oldest of them was received.
pub const JOURNAL_OLDEST_PENDING: &str = "sessionlake_journal_oldest_pending_timestamp_seconds";
/// The most bytes that the journal may have.
pub const JOURNAL_QUOTA_BYTES: &str = "sessionlake_journal_quota_bytes";
/// Free bytes of the journal's file system.
pub const JOURNAL_DISK_FREE_BYTES: &str = "sessionlake_journal_disk_free_bytes";
/// The bytes of them that the journal leaves free.
pub const JOURNAL_DISK_RESERVE_BYTES: &str = "sessionlake_journal_disk_reserve_bytes";
/// Time of one sync of the journal.
pub const JOURNAL_SYNC_DURATION: &str = "sessionlake_journal_sync_duration_seconds";
/// Bodies made durable by one sync.
pub const JOURNAL_GROUP_BODIES: &str = "sessionlake_journal_group_bodies";
/// Bodies taken to be decoded.
pub const JOURNAL_READ_BODIES: &str = "sessionlake_journal_read_bodies_total";
/// Memory of bodies that are handed on.
pub const JOURNAL_HANDED_BYTES: &str = "sessionlake_journal_handed_bytes";
/// Bodies forgotten within the retry window because it was full.
pub const RETRY_WINDOW_DROPPED: &str = "sessionlake_retry_window_dropped_total";

/// Rolls committed.
pub const ROLLS: &str = "sessionlake_rolls_total";
/// Time of the stages of a roll.
pub const ROLL_DURATION: &str = "sessionlake_roll_duration_seconds";
/// Steps of a roll that failed and were made again.
pub const ROLL_RETRIES: &str = "sessionlake_roll_retries_total";
/// Time of the last commit of a roll.
pub const LAST_ROLL: &str = "sessionlake_last_roll_timestamp_seconds";
/// Rows committed.
pub const LANDED_ROWS: &str = "sessionlake_landed_rows_total";
/// Data files committed.
pub const LANDED_FILES: &str = "sessionlake_landed_files_total";
/// Bytes of those files.
pub const LANDED_BYTES: &str = "sessionlake_landed_bytes_total";
/// Rows committed that are null in every column.
pub const UNMATCHED_ROWS: &str = "sessionlake_unmatched_rows_total";
/// Rows committed that have a field without a column, or a value that did not fit its column.
pub const UNKNOWN_FIELD_ROWS: &str = "sessionlake_unknown_field_rows_total";
/// The label of fields that have no series of their own in [`UNKNOWN_FIELD_ROWS`].
pub const OTHER_FIELDS: &str = "other";
/// Rows committed to the overflow partition of their table.
pub const OVERFLOW_ROWS: &str = "sessionlake_overflow_rows_total";
/// Lines committed to quarantine.
pub const REJECTS: &str = "sessionlake_rejects_total";
/// The reason of rejects that an earlier attempt has put.
pub const UNKNOWN_REASON: &str = "unknown";
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
/// Bytes of rows held in memory for the next roll.
pub const BUFFERED_BYTES: &str = "sessionlake_buffered_bytes";
/// The memory that a roll may take.
pub const BUFFERED_LIMIT_BYTES: &str = "sessionlake_buffered_limit_bytes";
/// Partitions with rows waiting for the next roll.
pub const OPEN_PARTITIONS: &str = "sessionlake_open_partitions";

/// Requests to the store.
pub const STORE_REQUESTS: &str = "sessionlake_store_requests_total";
/// Time of a request to the store.
pub const STORE_REQUEST_DURATION: &str = "sessionlake_store_request_duration_seconds";
/// Whether the lake took the last request of a roll.
pub const LAKE_UP: &str = "sessionlake_lake_up";
/// Time since which it has not.
pub const LAKE_TROUBLE_SINCE: &str = "sessionlake_lake_trouble_since_timestamp_seconds";
/// Trouble behind the journal; bodies are accepted meanwhile.
pub const TROUBLE: &str = "sessionlake_trouble";
/// Rolls of this node that have landed and that a table with a log does not have yet.
pub const WAITING_ROLLS: &str = "sessionlake_waiting_rolls";
/// Time at which the first of them landed since the start.
pub const OLDEST_WAITING_ROLL: &str = "sessionlake_oldest_waiting_roll_timestamp_seconds";

/// Time of the last verification of the lake.
pub const VERIFY_LAST_RUN: &str = "sessionlake_verify_last_run_timestamp_seconds";
/// Time of the last one that found everything accounted for.
pub const VERIFY_LAST_SUCCESS: &str = "sessionlake_verify_last_success_timestamp_seconds";
/// How long the last one took.
pub const VERIFY_DURATION: &str = "sessionlake_verify_last_duration_seconds";
/// Its verdict.
pub const VERIFY_VERDICT: &str = "sessionlake_verify_verdict";
/// What it found to be off.
pub const VERIFY_PROBLEMS: &str = "sessionlake_verify_problems";
/// Rolls that it looked at.
pub const VERIFY_ROLLS: &str = "sessionlake_verify_rolls";
/// Lines of these rolls.
pub const VERIFY_LINES: &str = "sessionlake_verify_lines";
/// Verifications, by verdict.
pub const VERIFY_RUNS: &str = "sessionlake_verify_runs_total";

/// Readiness of a part.
pub const READY: &str = "sessionlake_ready";
/// Time of the start.
pub const START_TIME: &str = "sessionlake_start_time_seconds";
/// Bytes of the journal that this start has read.
pub const REPLAY_BYTES: &str = "sessionlake_replay_bytes";
/// Bytes of the journal that were there to be read.
pub const REPLAY_TOTAL_BYTES: &str = "sessionlake_replay_total_bytes";
/// Whether the receiver was asked to stop.
pub const DRAINING: &str = "sessionlake_draining";
/// Whether the last reload (SIGHUP), or the start, went well.
pub const RELOAD_SUCCESS: &str = "sessionlake_reload_last_success";
/// Time of the last reload, or start, that went well.
pub const RELOAD_SUCCESS_AT: &str = "sessionlake_reload_last_success_timestamp_seconds";
/// The program: the value is always 1, the labels say what it is.
pub const BUILD_INFO: &str = "sessionlake_build_info";
