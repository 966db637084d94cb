//! The one list of settings.
//!
//! Everything that names a setting is made from this list: the flag (`--roll-age`), the
//! environment variable (`SESSIONLAKE_ROLL_AGE`), the key of the file (`roll_age`), the help, the
//! reference in docs/settings.md and `examples/sessionlake.toml`. A new setting is one entry here and
//! one line in [`build`](super::build).

mod access;
mod http;
mod journal;
mod lake;
mod setting;

pub(crate) use self::access::*;
pub(crate) use self::http::*;
pub(crate) use self::journal::*;
pub(crate) use self::lake::*;
pub(crate) use self::setting::{ENVIRONMENT_PREFIX, IMPORT, INSPECT, Kind, SERVE, Setting, TABLES};

/// Returns the setting with this key.
pub(crate) fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key).copied()
}

/// Returns the names of a value of [`Kind::Names`].
pub(crate) fn names_of(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Every setting, in the order of help, reference and example.
pub(crate) const SETTINGS: &[&Setting] = &[
    &CONFIG,
    &LOG,
    &LOG_FORMAT,
    &LISTEN,
    &PATH,
    &HOST_NAMES,
    &INSECURE_LISTEN,
    &BODY_LIMIT,
    &INFLATED_LIMIT,
    &HEADER_TIMEOUT,
    &BODY_TIMEOUT,
    &DRAIN_TIMEOUT,
    &DRAIN_DELAY,
    &DRAIN_LIMIT,
    &MAX_CONNECTIONS,
    &MAX_CONNECTIONS_PER_PEER,
    &REQUESTS_PER_SECOND,
    &CREDENTIALS,
    &TLS_CERT,
    &TLS_KEY,
    &TLS_CLIENT_CA,
    &HANDSHAKE_TIMEOUT,
    &STATUS_LISTEN,
    &STATUS_CREDENTIALS,
    &LAKE,
    &STORE_TIMEOUT,
    &TABLE,
    &SCHEMA,
    &PARTITION,
    &TABLE_FORMAT,
    &FLAT_TABLES,
    &FLAT_COLUMNS,
    &LINE_LIMIT,
    &DEDUP,
    &DEDUP_MAX_ROWS,
    &MAX_PARTITIONS,
    &TIME_WINDOW,
    &OUTSIDE_WINDOW,
    &PROMOTE,
    &PROMOTE_AFTER,
    &ROLL_AGE,
    &OVERDUE_AFTER,
    &VERIFY_EVERY,
    &VERIFY_WINDOW,
    &ROLL_BYTES,
    &ROLL_ROWS,
    &COMPRESSION,
    &ENCODINGS,
    &ROW_GROUP_BYTES,
    &MEMORY,
    &DECODE_THREADS,
    &STATE,
    &NODE,
    &JOURNAL_QUOTA,
    &JOURNAL_SEGMENT,
    &JOURNAL_COMPRESSION,
    &DISK_RESERVE,
    &RETRY_WINDOW,
    &SKIP_DAMAGED,
    &PRIVACY_KEY,
    &ENCRYPT_JOURNAL,
];
