//! The one list of settings.
//!
//! Everything that names a setting is made from this list: the flag (`--roll-age`), the
//! environment variable (`SESSIONLAKE_ROLL_AGE`), the key of the file (`roll_age`), the help, the
//! reference in the README and `examples/sessionlake.toml`. A new setting is one entry here and
//! one line in `checker`.

use crate::config::value::{GIB, KIB, MIB, TIB};

/// Bit of [`Setting::commands`]: `serve` (and `check`, which takes what `serve` takes).
pub(crate) const SERVE: u8 = 1;
/// Bit of [`Setting::commands`]: `import`.
pub(crate) const IMPORT: u8 = 2;
/// Bit of [`Setting::commands`]: `inspect`, whose lake is a positional argument.
pub(crate) const INSPECT: u8 = 4;
const LANDING: u8 = SERVE | IMPORT;

/// What prefixes the environment variable of every setting.
pub(crate) const ENVIRONMENT_PREFIX: &str = "SESSIONLAKE_";

/// One setting: its names, its type and range, its default, and what it means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Key in the file; the flag and the variable are spelled from it.
    pub(crate) key: &'static str,
    /// What help shows for the value.
    pub(crate) value_name: &'static str,
    /// Type and range.
    pub(crate) kind: Kind,
    /// What holds when nothing else says; none when the setting is simply absent then.
    pub(crate) default: Option<&'static str>,
    /// A value that is right, for error messages and the reference.
    pub(crate) example: &'static str,
    /// The commands that take it as a flag.
    pub(crate) commands: u8,
    /// Heading in help and in the reference.
    pub(crate) section: &'static str,
    /// One sentence.
    pub(crate) help: &'static str,
    /// What else there is to know; may be empty.
    pub(crate) more: &'static str,
}

/// Type and range of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, checked further where it is used.
    Text,
    /// A time span with a unit; both bounds are allowed.
    Duration { least_ms: u64, most_ms: u64 },
    /// A number of bytes, with or without a unit; both bounds are allowed.
    Size { least: u64, most: u64 },
    /// A whole number, or (where there is one) a word in its stead; both bounds are allowed.
    Count { least: u64, most: u64, word: Option<&'static str> },
    /// On or off.
    Switch,
}

impl Setting {
    /// `--roll-age`
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.key.replace('_', "-"))
    }

    /// `SESSIONLAKE_ROLL_AGE`
    pub(crate) fn variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.key.to_uppercase())
    }

    /// Whether the file may have it. A file cannot name the file to read.
    pub(crate) fn in_file(&self) -> bool {
        self.key != CONFIG.key
    }
}

/// The setting with this key.
pub(crate) fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key).copied()
}

/// Every setting, in the order of help, reference and example.
pub(crate) const SETTINGS: &[&Setting] = &[
    &CONFIG,
    &LOG,
    &LISTEN,
    &PATH,
    &INSECURE_LISTEN,
    &BODY_LIMIT,
    &INFLATED_LIMIT,
    &HEADER_TIMEOUT,
    &BODY_TIMEOUT,
    &DRAIN_TIMEOUT,
    &MAX_CONNECTIONS,
    &MAX_CONNECTIONS_PER_PEER,
    &REQUESTS_PER_SECOND,
    &CREDENTIALS,
    &TLS_CERT,
    &TLS_KEY,
    &TLS_CLIENT_CA,
    &HANDSHAKE_TIMEOUT,
    &LAKE,
    &STORE_TIMEOUT,
    &TABLE,
    &SCHEMA,
    &PARTITION,
    &ROLL_AGE,
    &ROLL_BYTES,
    &ROLL_ROWS,
    &COMPRESSION,
    &ROW_GROUP_BYTES,
    &MEMORY,
    &DECODE_THREADS,
    &STATE,
    &NODE,
    &JOURNAL_QUOTA,
    &JOURNAL_SEGMENT,
    &DISK_RESERVE,
    &RETRY_WINDOW,
    &SKIP_DAMAGED,
    &PRIVACY_KEY,
    &ENCRYPT_JOURNAL,
];

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

const GENERAL: &str = "General";
const RECEIVING: &str = "Receiving";
const ACCESS: &str = "Access";
const LAKE_SECTION: &str = "Lake";
const FILES: &str = "Rolls and files";
const RESOURCES: &str = "Resources";
const JOURNAL: &str = "Journal";
const PRIVACY: &str = "Personal data";

/// `config`
pub(crate) const CONFIG: Setting = Setting {
    key: "config",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "sessionlake.toml",
    commands: SERVE | IMPORT | INSPECT,
    section: GENERAL,
    help: "Read settings from this TOML file.",
    more: "No file is read unless one is named. Flags and environment variables outrank it.",
};

/// `log`
pub(crate) const LOG: Setting = Setting {
    key: "log",
    value_name: "FILTER",
    kind: Kind::Text,
    default: Some("info"),
    example: "info,sessionlake::journal=debug",
    commands: LANDING,
    section: GENERAL,
    help: "What to log, to standard error: error, warn, info, debug, trace or off, also by module.",
    more: "",
};

/// `listen`
pub(crate) const LISTEN: Setting = Setting {
    key: "listen",
    value_name: "HOST:PORT",
    kind: Kind::Text,
    default: Some("127.0.0.1:3000"),
    example: "127.0.0.1:3000",
    commands: SERVE,
    section: RECEIVING,
    help: "Listen on this address.",
    more: "A name is resolved once, at the start. Port 0 takes a free port, which is printed. \
           Anything but loopback needs TLS and credentials, or insecure_listen.",
};

/// `path`
pub(crate) const PATH: Setting = Setting {
    key: "path",
    value_name: "PATH",
    kind: Kind::Text,
    default: Some("/export/events"),
    example: "/export/events",
    commands: SERVE,
    section: RECEIVING,
    help: "Take sessions by PUT and POST on this path.",
    more: "[[endpoint]] sections of the file, if there are any, take the place of this one.",
};

/// `insecure_listen`
pub(crate) const INSECURE_LISTEN: Setting = Setting {
    key: "insecure_listen",
    value_name: "BOOL",
    kind: Kind::Switch,
    default: Some("false"),
    example: "true",
    commands: SERVE,
    section: RECEIVING,
    help: "Allow listening beyond loopback although traffic is not encrypted or not everybody is \
           asked who they are.",
    more: "For a network where every sender is trusted, or behind a proxy that does both.",
};

/// `body_limit`
pub(crate) const BODY_LIMIT: Setting = Setting {
    key: "body_limit",
    value_name: "SIZE",
    kind: Kind::Size { least: KIB, most: GIB },
    default: Some("32MiB"),
    example: "32MiB",
    commands: SERVE,
    section: RECEIVING,
    help: "Refuse (413) a body with more bytes than this, as sent.",
    more: "",
};

/// `inflated_limit`
pub(crate) const INFLATED_LIMIT: Setting = Setting {
    key: "inflated_limit",
    value_name: "SIZE",
    kind: Kind::Size { least: KIB, most: GIB },
    default: Some("256MiB"),
    example: "256MiB",
    commands: SERVE,
    section: RECEIVING,
    help: "Refuse (413) a body with more bytes than this once decompressed.",
    more: "Not below body_limit.",
};

/// `header_timeout`
pub(crate) const HEADER_TIMEOUT: Setting = Setting {
    key: "header_timeout",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 100, most_ms: HOUR },
    default: Some("10s"),
    example: "10s",
    commands: SERVE,
    section: RECEIVING,
    help: "Give up on a request whose headers take longer than this.",
    more: "",
};

/// `body_timeout`
pub(crate) const BODY_TIMEOUT: Setting = Setting {
    key: "body_timeout",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 100, most_ms: HOUR },
    default: Some("25s"),
    example: "25s",
    commands: SERVE,
    section: RECEIVING,
    help: "Give up (408) on a request whose body takes longer than this.",
    more: "The exporter itself gives up after 30 s.",
};

/// `drain_timeout`
pub(crate) const DRAIN_TIMEOUT: Setting = Setting {
    key: "drain_timeout",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 0, most_ms: HOUR },
    default: Some("30s"),
    example: "30s",
    commands: SERVE,
    section: RECEIVING,
    help: "At a stop, give requests under way this long to end.",
    more: "",
};

/// `max_connections`
pub(crate) const MAX_CONNECTIONS: Setting = Setting {
    key: "max_connections",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1_000_000, word: None },
    default: Some("1024"),
    example: "1024",
    commands: SERVE,
    section: RECEIVING,
    help: "Serve at most this many connections at a time.",
    more: "",
};

/// `max_connections_per_peer`
pub(crate) const MAX_CONNECTIONS_PER_PEER: Setting = Setting {
    key: "max_connections_per_peer",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1_000_000, word: Some("none") },
    default: Some("512"),
    example: "512",
    commands: SERVE,
    section: RECEIVING,
    help: "Close a connection at once when its peer has this many open already.",
    more: "A peer is an IPv4 address or an IPv6 /64. Senders behind one proxy are one peer.",
};

/// `requests_per_second`
pub(crate) const REQUESTS_PER_SECOND: Setting = Setting {
    key: "requests_per_second",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1_000_000, word: Some("none") },
    default: Some("none"),
    example: "200",
    commands: SERVE,
    section: RECEIVING,
    help: "Answer 429 to what a peer asks beyond this many requests a second.",
    more: "Two seconds' worth may come at once. An [[endpoint]] can have a limit of its own.",
};

/// `credentials`
pub(crate) const CREDENTIALS: Setting = Setting {
    key: "credentials",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "credentials.toml",
    commands: SERVE,
    section: ACCESS,
    help: "Take sessions only from those whom this TOML file names: users, tokens, OAuth 2.0 \
           clients, issuers.",
    more: "It is read again when it changes. Without it, nobody is asked who they are.",
};

/// `tls_cert`
pub(crate) const TLS_CERT: Setting = Setting {
    key: "tls_cert",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "tls/cert.pem",
    commands: SERVE,
    section: ACCESS,
    help: "Speak TLS (1.2 and 1.3) only, with this certificate and its chain (PEM).",
    more: "Read again when it changes, without a restart. `sessionlake cert` makes one to try.",
};

/// `tls_key`
pub(crate) const TLS_KEY: Setting = Setting {
    key: "tls_key",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "tls/key.pem",
    commands: SERVE,
    section: ACCESS,
    help: "The private key of the certificate (PEM).",
    more: "",
};

/// `tls_client_ca`
pub(crate) const TLS_CLIENT_CA: Setting = Setting {
    key: "tls_client_ca",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "tls/clients.pem",
    commands: SERVE,
    section: ACCESS,
    help: "Require a client certificate that one of these authorities (PEM) has signed.",
    more: "",
};

/// `handshake_timeout`
pub(crate) const HANDSHAKE_TIMEOUT: Setting = Setting {
    key: "handshake_timeout",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 100, most_ms: HOUR },
    default: Some("10s"),
    example: "10s",
    commands: SERVE,
    section: ACCESS,
    help: "Give up on a TLS handshake that takes longer than this.",
    more: "",
};

/// `lake`
pub(crate) const LAKE: Setting = Setting {
    key: "lake",
    value_name: "LAKE",
    kind: Kind::Text,
    default: Some("./data/lake"),
    example: "s3://bucket/prefix",
    commands: LANDING,
    section: LAKE_SECTION,
    help: "Land files here: a directory, s3://bucket/prefix, gs://bucket/prefix or \
           az://container/prefix.",
    more: "Credentials come from the usual variables of the cloud (AWS_ACCESS_KEY_ID, …) or from \
           the [storage] table of the file.",
};

/// `store_timeout`
pub(crate) const STORE_TIMEOUT: Setting = Setting {
    key: "store_timeout",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: SECOND, most_ms: HOUR },
    default: Some("30s"),
    example: "30s",
    commands: LANDING,
    section: LAKE_SECTION,
    help: "Give up on one request to an object store after this long; it is then tried again.",
    more: "",
};

/// `table`
pub(crate) const TABLE: Setting = Setting {
    key: "table",
    value_name: "NAME",
    kind: Kind::Text,
    default: Some("user_sessions"),
    example: "user_sessions",
    commands: LANDING,
    section: LAKE_SECTION,
    help: "Name of the table: its directory under the lake.",
    more: "1 to 64 of a-z, 0-9 and _, not beginning with _.",
};

/// `schema`
pub(crate) const SCHEMA: Setting = Setting {
    key: "schema",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "schemas/orders.avsc",
    commands: LANDING,
    section: LAKE_SECTION,
    help: "Take the table's columns from this Avro schema.",
    more: "Without it, the built-in schema of the table is used.",
};

/// `partition`
pub(crate) const PARTITION: Setting = Setting {
    key: "partition",
    value_name: "TEMPLATE",
    kind: Kind::Text,
    default: Some("date={startTime:%Y-%m-%d}"),
    example: "tenant={tenantId}/date={startTime:%Y-%m-%d}",
    commands: LANDING,
    section: LAKE_SECTION,
    help: "Directories below the table: {column} for text, {column:FORMAT} for a time (UTC, \
           strftime).",
    more: "",
};

/// `roll_age`
pub(crate) const ROLL_AGE: Setting = Setting {
    key: "roll_age",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: SECOND, most_ms: DAY },
    default: Some("60s"),
    example: "60s",
    commands: SERVE,
    section: FILES,
    help: "Write files once their oldest row is this old.",
    more: "",
};

/// `roll_bytes`
pub(crate) const ROLL_BYTES: Setting = Setting {
    key: "roll_bytes",
    value_name: "SIZE",
    kind: Kind::Size { least: MIB, most: 64 * GIB },
    default: Some("128MiB"),
    example: "128MiB",
    commands: LANDING,
    section: FILES,
    help: "Write files once they would hold this many bytes of Parquet.",
    more: "",
};

/// `roll_rows`
pub(crate) const ROLL_ROWS: Setting = Setting {
    key: "roll_rows",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1_000_000_000_000, word: Some("none") },
    default: Some("none"),
    example: "1000000",
    commands: LANDING,
    section: FILES,
    help: "Write files once they would hold this many rows; none for no such limit.",
    more: "",
};

/// `compression`
pub(crate) const COMPRESSION: Setting = Setting {
    key: "compression",
    value_name: "CODEC",
    kind: Kind::Text,
    default: Some("zstd:1"),
    example: "zstd:3",
    commands: LANDING,
    section: FILES,
    help: "Compress pages with zstd:LEVEL (1 to 22), snappy, lz4 or none.",
    more: "",
};

/// `row_group_bytes`
pub(crate) const ROW_GROUP_BYTES: Setting = Setting {
    key: "row_group_bytes",
    value_name: "SIZE",
    kind: Kind::Size { least: MIB, most: 4 * GIB },
    default: Some("64MiB"),
    example: "64MiB",
    commands: LANDING,
    section: FILES,
    help: "Close a row group once it takes this much memory.",
    more: "Not above memory.",
};

/// `memory`
pub(crate) const MEMORY: Setting = Setting {
    key: "memory",
    value_name: "SIZE",
    kind: Kind::Size { least: 64 * MIB, most: TIB },
    default: Some("256MiB"),
    example: "256MiB",
    commands: LANDING,
    section: RESOURCES,
    help: "Hold at most this many bytes of rows that are not written yet.",
    more: "The process takes more than that: requests, stacks and caches come on top.",
};

/// `decode_threads`
pub(crate) const DECODE_THREADS: Setting = Setting {
    key: "decode_threads",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1024, word: Some("auto") },
    default: Some("auto"),
    example: "4",
    commands: LANDING,
    section: RESOURCES,
    help: "Decode with this many threads; auto for one a core.",
    more: "",
};

/// `state`
pub(crate) const STATE: Setting = Setting {
    key: "state",
    value_name: "DIR",
    kind: Kind::Text,
    default: Some("./data/state"),
    example: "/var/lib/sessionlake",
    commands: SERVE,
    section: JOURNAL,
    help: "Keep the journal in this directory, on a local disk that honours fsync.",
    more: "Not inside the lake. One process at a time can use it.",
};

/// `node`
pub(crate) const NODE: Setting = Setting {
    key: "node",
    value_name: "PREFIX",
    kind: Kind::Text,
    default: Some(""),
    example: "eu-1",
    commands: SERVE,
    section: JOURNAL,
    help: "Begin the name of this node, and so of its files, with this.",
    more: "Up to 32 of a-z, 0-9 and -. The rest of the name is chosen at random for each new \
           journal.",
};

/// `journal_quota`
pub(crate) const JOURNAL_QUOTA: Setting = Setting {
    key: "journal_quota",
    value_name: "SIZE",
    kind: Kind::Size { least: MIB, most: 1024 * TIB },
    default: Some("10GiB"),
    example: "10GiB",
    commands: SERVE,
    section: JOURNAL,
    help: "Refuse (503) new bodies while the journal holds this much that has not landed.",
    more: "Not below inflated_limit or journal_segment.",
};

/// `journal_segment`
pub(crate) const JOURNAL_SEGMENT: Setting = Setting {
    key: "journal_segment",
    value_name: "SIZE",
    kind: Kind::Size { least: 64 * KIB, most: 4 * GIB },
    default: Some("64MiB"),
    example: "64MiB",
    commands: SERVE,
    section: JOURNAL,
    help: "Begin a new file of the journal after this many bytes.",
    more: "",
};

/// `disk_reserve`
pub(crate) const DISK_RESERVE: Setting = Setting {
    key: "disk_reserve",
    value_name: "SIZE",
    kind: Kind::Size { least: 0, most: 1024 * TIB },
    default: Some("1GiB"),
    example: "1GiB",
    commands: SERVE,
    section: JOURNAL,
    help: "Refuse (503) new bodies while the disk of the journal has less than this free.",
    more: "",
};

/// `retry_window`
pub(crate) const RETRY_WINDOW: Setting = Setting {
    key: "retry_window",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 0, most_ms: DAY },
    default: Some("10min"),
    example: "10min",
    commands: SERVE,
    section: JOURNAL,
    help: "Take a body equal to one of the last this long for a retry, and store it once.",
    more: "0s stores every body.",
};

/// `skip_damaged`
pub(crate) const SKIP_DAMAGED: Setting = Setting {
    key: "skip_damaged",
    value_name: "BOOL",
    kind: Kind::Switch,
    default: Some("false"),
    example: "true",
    commands: SERVE,
    section: JOURNAL,
    help: "Start although the journal is damaged in the middle: set damaged segments aside.",
    more: "What they held does not land; the segments are kept for a rescue by hand.",
};

/// `privacy_key`
pub(crate) const PRIVACY_KEY: Setting = Setting {
    key: "privacy_key",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "privacy.key",
    commands: LANDING,
    section: PRIVACY,
    help: "The secret (32 bytes or more, any text) that hashes columns and seals rejected lines, \
           as the [privacy] table of the file asks.",
    more: "Keep it: with another one, equal values no longer have equal hashes.",
};

/// `encrypt_journal`
pub(crate) const ENCRYPT_JOURNAL: Setting = Setting {
    key: "encrypt_journal",
    value_name: "BOOL",
    kind: Kind::Switch,
    default: Some("false"),
    example: "true",
    commands: SERVE,
    section: PRIVACY,
    help: "Encrypt bodies in the journal (AES-256-GCM) with a key made from privacy_key.",
    more: "What lies there already stays as it is until it has landed.",
};
