//! Settings of authentication and of TLS.

use super::setting::{HOUR, Kind, SERVE, Setting};

const ACCESS: &str = "Access";

/// The setting `credentials`.
pub(crate) const CREDENTIALS: Setting = Setting {
    key: "credentials",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "credentials.toml",
    commands: SERVE,
    heading: ACCESS,
    help: "Take sessions only from those whom this TOML file names: users, tokens, OAuth 2.0 \
           clients, issuers.",
    more: "It is read again when it changes. Without it, authentication is off.",
};

/// The setting `tls_cert`.
pub(crate) const TLS_CERT: Setting = Setting {
    key: "tls_cert",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "tls/cert.pem",
    commands: SERVE,
    heading: ACCESS,
    help: "Speak TLS (1.2 and 1.3) only, with this certificate and its chain (PEM).",
    more: "Read again when it changes, without a restart. `sessionlake cert` makes one to try.",
};

/// The setting `tls_key`.
pub(crate) const TLS_KEY: Setting = Setting {
    key: "tls_key",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "tls/key.pem",
    commands: SERVE,
    heading: ACCESS,
    help: "The private key of the certificate (PEM).",
    more: "",
};

/// The setting `tls_client_ca`.
pub(crate) const TLS_CLIENT_CA: Setting = Setting {
    key: "tls_client_ca",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "tls/clients.pem",
    commands: SERVE,
    heading: ACCESS,
    help: "Require a client certificate that one of these authorities (PEM) has signed.",
    more: "",
};

/// The setting `handshake_timeout`.
pub(crate) const HANDSHAKE_TIMEOUT: Setting = Setting {
    key: "handshake_timeout",
    value_name: "DURATION",
    kind: Kind::Duration { least_ms: 100, most_ms: HOUR },
    default: Some("10s"),
    example: "10s",
    commands: SERVE,
    heading: ACCESS,
    help: "Give up on a TLS handshake that takes longer than this.",
    more: "",
};

const WATCHING: &str = "Watching";

/// The setting `status_listen`.
pub(crate) const STATUS_LISTEN: Setting = Setting {
    key: "status_listen",
    value_name: "HOST:PORT",
    kind: Kind::Text,
    default: None,
    example: "127.0.0.1:3001",
    commands: SERVE,
    heading: WATCHING,
    help: "Show a status page, /status.json, /metrics and /health on this address, apart from the \
           senders'.",
    more: "Off unless it is given. On loopback it speaks plain HTTP; elsewhere TLS, with tls_cert, \
           and needs status_credentials, or insecure_listen.",
};

/// The setting `status_credentials`.
pub(crate) const STATUS_CREDENTIALS: Setting = Setting {
    key: "status_credentials",
    value_name: "FILE",
    kind: Kind::Text,
    default: None,
    example: "operators.toml",
    commands: SERVE,
    heading: WATCHING,
    help: "Show them only to those whom this TOML file names; it is written as that of credentials.",
    more: "Senders' credentials are of no use there. It is read again when it changes.",
};
