//! Settings of the program as a whole, and of the receiver.

use super::setting::{CONFIG_KEY, HOUR, IMPORT, INSPECT, Kind, LANDING, SERVE, Setting, TABLES};
use crate::config::value::{GIB, KIB};

const GENERAL: &str = "General";
const RECEIVING: &str = "Receiving";

/// The setting `config`.
pub(crate) const CONFIG: Setting = Setting {
    key: CONFIG_KEY,
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "sessionlake.toml",
    commands: SERVE | IMPORT | INSPECT | TABLES,
    heading: GENERAL,
    help: "Read settings from this TOML file.",
    more: "No file is read unless one is named. Flags and environment variables outrank it.",
};

/// The setting `log`.
pub(crate) const LOG: Setting = Setting {
    key: "log",
    value_name: "FILTER",
    kind: Kind::Text,
    default: Some("info,object_store=warn,delta_kernel=off"),
    example: "info,sessionlake::journal=debug",
    commands: LANDING | TABLES,
    heading: GENERAL,
    help: "Log to standard error from this level on: error, warn, info, debug, trace or off, also \
           by module.",
    more: "",
};

/// The setting `log_format`.
pub(crate) const LOG_FORMAT: Setting = Setting {
    key: "log_format",
    value_name: "FORM",
    kind: Kind::Text,
    default: Some("text"),
    example: "json",
    commands: SERVE,
    heading: GENERAL,
    help: "Write the log as text, or as json: an object a line.",
    more: "Under systemd's journal lines of text have no time, and all have a priority.",
};

/// The setting `listen`.
pub(crate) const LISTEN: Setting = Setting {
    key: "listen",
    value_name: "HOST:PORT",
    kind: Kind::Text,
    default: Some("127.0.0.1:3000"),
    example: "127.0.0.1:3000",
    commands: SERVE,
    heading: RECEIVING,
    help: "Listen on this address.",
    more: "A name is resolved once, at the start. Port 0 takes a free port, which is printed. \
           Anything but loopback needs TLS and credentials, or insecure_listen.",
};

/// The setting `path`.
pub(crate) const PATH: Setting = Setting {
    key: "path",
    value_name: "PATH",
    kind: Kind::Text,
    default: Some("/export/events"),
    example: "/export/events",
    commands: SERVE,
    heading: RECEIVING,
    help: "Take sessions by PUT and POST on this path.",
    more: "[[endpoint]] sections of the file, if there are any, take the place of this one.",
};

/// The setting `host_names`.
pub(crate) const HOST_NAMES: Setting = Setting {
    key: "host_names",
    value_name: "NAMES",
    kind: Kind::Text,
    default: None,
    example: "lake.example.com",
    commands: SERVE,
    heading: RECEIVING,
    help: "Further Host names to accept on loopback, with commas between.",
    more: "While authentication is off, names besides localhost are refused there, against web \
           pages that make their own name mean this machine (DNS rebinding). For a proxy that \
           passes its own name on.",
};

/// The setting `insecure_listen`.
pub(crate) const INSECURE_LISTEN: Setting = Setting {
    key: "insecure_listen",
    value_name: "BOOL",
    kind: Kind::Switch,
    default: Some("false"),
    example: "true",
    commands: SERVE,
    heading: RECEIVING,
    help: "Allow listening beyond loopback although traffic is not encrypted or not everybody is \
           asked who they are.",
    more: "For a network where every sender is trusted, or behind a proxy that does both.",
};

/// The setting `body_limit`.
pub(crate) const BODY_LIMIT: Setting = Setting {
    key: "body_limit",
    value_name: "SIZE",
    kind: Kind::Size { least: KIB, most: GIB },
    default: Some("32MiB"),
    example: "32MiB",
    commands: SERVE,
    heading: RECEIVING,
    help: "Refuse (413) a body with more bytes than this, as sent.",
    more: "",
};

/// The setting `inflated_limit`.
pub(crate) const INFLATED_LIMIT: Setting = Setting {
    key: "inflated_limit",
    value_name: "SIZE",
    kind: Kind::Size { least: KIB, most: GIB },
    default: Some("256MiB"),
    example: "256MiB",
    commands: SERVE,
    heading: RECEIVING,
    help: "Refuse (413) a body with more bytes than this once decompressed.",
    more: "Not below body_limit.",
};

/// The setting `header_timeout`.
pub(crate) const HEADER_TIMEOUT: Setting = Setting {
    key: "header_timeout",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 100, most_ms: HOUR },
    default: Some("10s"),
    example: "10s",
    commands: SERVE,
    heading: RECEIVING,
    help: "Give up on a request whose headers take longer than this.",
    more: "",
};

/// The setting `body_timeout`.
pub(crate) const BODY_TIMEOUT: Setting = Setting {
    key: "body_timeout",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 100, most_ms: HOUR },
    default: Some("25s"),
    example: "25s",
    commands: SERVE,
    heading: RECEIVING,
    help: "Give up (408) on a request whose body takes longer than this.",
    more: "The exporter itself gives up after 30 s.",
};

/// The setting `drain_timeout`.
pub(crate) const DRAIN_TIMEOUT: Setting = Setting {
    key: "drain_timeout",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 0, most_ms: HOUR },
    default: Some("30s"),
    example: "30s",
    commands: SERVE,
    heading: RECEIVING,
    help: "At a stop, give requests under way this long to end.",
    more: "",
};

/// The setting `drain_delay`.
pub(crate) const DRAIN_DELAY: Setting = Setting {
    key: "drain_delay",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 0, most_ms: HOUR },
    default: Some("0s"),
    example: "10s",
    commands: SERVE,
    heading: RECEIVING,
    help: "At a stop, go on taking sessions for this long while /health/ready is 503.",
    more: "For load balancers, which notice by their probes: give it a little more than they take to.",
};

/// The setting `drain_limit`.
pub(crate) const DRAIN_LIMIT: Setting = Setting {
    key: "drain_limit",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 0, most_ms: 24 * HOUR },
    default: Some("0s"),
    example: "5m",
    commands: SERVE,
    heading: RECEIVING,
    help: "End a stop that takes longer than this, with exit code 3; 0s sets no limit.",
    more: "A stop waits until everything has landed, for as long as the lake is away. What has not \
           landed then is in the journal, and lands after the next start.",
};

/// The setting `max_connections`.
pub(crate) const MAX_CONNECTIONS: Setting = Setting {
    key: "max_connections",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1_000_000, word: None },
    default: Some("1024"),
    example: "1024",
    commands: SERVE,
    heading: RECEIVING,
    help: "Serve at most this many connections at a time.",
    more: "When all are in use, those without a request are closed to make room. A start takes \
           fewer, and says so, when the process may not open as many files and sockets.",
};

/// The setting `max_connections_per_peer`.
pub(crate) const MAX_CONNECTIONS_PER_PEER: Setting = Setting {
    key: "max_connections_per_peer",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1_000_000, word: Some("none") },
    default: Some("256"),
    example: "256",
    commands: SERVE,
    heading: RECEIVING,
    help: "Close a connection at once when its peer has this many open already.",
    more: "A peer is an IPv4 address or an IPv6 /64. Senders behind one proxy are one peer.",
};

/// The setting `requests_per_second`.
pub(crate) const REQUESTS_PER_SECOND: Setting = Setting {
    key: "requests_per_second",
    value_name: "N",
    kind: Kind::Count { least: 1, most: 1_000_000, word: Some("none") },
    default: Some("none"),
    example: "200",
    commands: SERVE,
    heading: RECEIVING,
    help: "Answer 429 to what a peer asks beyond this many requests a second.",
    more: "Two seconds' worth may come at once. An [[endpoint]] can have a limit of its own.",
};
