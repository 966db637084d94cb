//! The receiver's options, and the credentials and certificates it works with.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Auth;
use crate::record::Form;
use crate::tls::Tls;

use super::body::BodyLimits;
use super::elasticsearch::MAX_ANSWER_BYTES;
use super::endpoint::Endpoint;

/// Memory for the bodies of all requests together. More when an endpoint asks for it by its limits
/// and its form: a body that keeps to its limit always fits, with the copies that are made of it,
/// once others have gone.
pub const BODY_MEMORY_BYTES: u64 = 256 << 20;
/// Memory for small bodies besides, when larger ones have all of that.
pub(super) const SMALL_BODY_MEMORY_BYTES: u64 = 16 << 20;

/// The default of [`Options::idle_timeout`]: longer than the 60 s of the load balancers in front, which
/// must be the ones to close, or a request meets a closing socket.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// The default of [`Options::answer_timeout`].
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Options of the receiver.
#[derive(Clone, Debug)]
pub struct Options {
    /// Endpoints, with different paths and names; at least one.
    pub endpoints: Vec<Endpoint>,
    /// Host names that requests may ask for, besides the address and `localhost`.
    pub host_names: Vec<String>,
    /// Most requests of a peer in a second, over all endpoints; at least one.
    pub requests_per_second: Option<u32>,
    /// Memory for the bodies of all requests together, unless one may need more by the limits of its endpoint;
    /// usually [`BODY_MEMORY_BYTES`](super::BODY_MEMORY_BYTES).
    pub body_memory_bytes: u64,
    /// The most time from the first byte of a request (or the opening of the connection) to the end of
    /// its head.
    pub header_timeout: Duration,
    /// The most time from the head of a request to the end of its body.
    pub body_timeout: Duration,
    /// The most time that a client may leave an answer unread; usually [`ANSWER_TIMEOUT`].
    pub answer_timeout: Duration,
    /// The most time that a connection may have no request; usually [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// The most time that requests in flight may take after the shutdown was asked for.
    pub drain_timeout: Duration,
    /// The most time of a TLS handshake.
    pub handshake_timeout: Duration,
    /// Connections of senders open at one time; at least one. Beyond it, those without a request make
    /// room, and [`SPARE_CONNECTIONS`](super::SPARE_CONNECTIONS) more are taken for health and metrics.
    pub max_connections: usize,
    /// Connections of one peer open at one time. More are closed at once. At least one.
    pub max_connections_per_peer: Option<usize>,
}

impl Options {
    /// Returns the memory that bodies share: a body that keeps to its limits fits.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let largest = self.endpoints.iter().map(body_memory_bytes).max();
        self.body_memory_bytes.max(largest.unwrap_or_default())
    }
}

/// Returns the most memory that the body of one request to `endpoint` can need.
#[must_use]
pub fn body_memory_bytes(endpoint: &Endpoint) -> u64 {
    let (copies, answer_bytes) = match endpoint.form {
        Form::Ndjson => (0, 0),
        Form::Elasticsearch => (1, MAX_ANSWER_BYTES as u64),
    };
    BodyLimits::of(endpoint).max_memory_bytes(copies, answer_bytes)
}

/// Credentials and certificates, opened. The default has none: plain HTTP, and no endpoint
/// may ask for credentials.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Credentials that requests are checked against; needed by endpoints that ask for them.
    pub auth: Option<Arc<Auth>>,
    /// Certificate and key of TLS; none for plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

impl Access {
    /// Reads credentials and certificates again as their files change. Ends only if there are none.
    ///
    /// # Cancel safety
    /// Dropped, it leaves them as they were last read.
    pub(super) async fn keep_fresh(&self) {
        let auth = async {
            if let Some(auth) = &self.auth {
                auth.keep_fresh().await
            }
        };
        let tls = async {
            if let Some(tls) = &self.tls {
                tls.keep_fresh().await
            }
        };
        tokio::join!(auth, tls);
    }
}
