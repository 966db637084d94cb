//! The HTTP receiver: takes bodies in, hands them to the intake, and answers 200 once they are
//! durable.
//!
//! # What it promises
//! - 200 is sent only after [`Intake::accept`] has returned a receipt. Nothing is acknowledged
//!   from memory, and a body that did not arrive whole is never appended.
//! - It never looks inside a document. It inflates, counts, and hands on.
//! - Memory is bounded: a body by its two limits (as sent, and inflated), all bodies together by a
//!   budget ([`BODY_MEMORY_BYTES`]), connections by `max_connections`, requests in flight by peer
//!   and in all, and what is read ahead of a connection by 64 KiB (HTTP/1.1) or 256 KiB (HTTP/2).
//!   Past the budget the answer is 503 with `Retry-After`.
//! - Time is bounded: the head of a request, its whole body, an idle connection, and a client that
//!   does not read its answer each have a deadline.
//! - Every refusal says in JSON what was wrong and what to do, for a person with curl. Only a head
//!   that is malformed (400) or too long (431) is refused by hyper itself, without a text.
//!
//! # The way of a request
//! ```text
//! listener ─▶ accept ─▶ socket ─(TLS)─▶ hyper (h1, h2) ─▶ exchange ─▶ routes ─▶ gate ─▶ body ─▶ journal
//!             places     head            idle and ping     Server:     path     rate    limits
//!             drain      deadline        timers            close?      method   who     inflate
//! ```
//! | answer | when |
//! |---|---|
//! | 200 | durable, or a duplicate of a body that is, or empty |
//! | 400 | the body's encoding is broken, or the body ended early |
//! | 401, 403 | no credentials that are right, or from an address that may not, or from a web page |
//! | 404, 405 | not the path, not PUT or POST |
//! | 408 | the head or the body took too long, or nothing of it came for a while |
//! | 413 | too long as sent, inflated, or for the journal |
//! | 415 | a Content-Type or Content-Encoding that is not taken |
//! | 429 | too many requests, or too many wrong credentials, of this peer |
//! | 503 | no room (with `Retry-After`), or the journal has failed |
//!
//! After an answer that leaves a body unread the connection (in HTTP/2: the stream) is closed, and
//! closed gently: what the client still sends is read and dropped for a moment, because a reset can
//! take the answer with it. A client that goes away while its body is being appended changes nothing: the append runs on
//! in the journal, and the body, sent again, is recognised.

mod accept;
mod admission;
mod body;
mod body_budget;
mod browser_guard;
mod connection_state;
mod elasticsearch;
mod encoding;
mod endpoint;
mod exchange;
mod refusal_log;
mod reply;
mod routes;
mod socket;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::auth::Auth;
use crate::intake::Intake;
use crate::metrics;
use crate::status::Readiness;
use crate::tls::Tls;

pub use self::endpoint::Endpoint;
pub use crate::intake::IndexPattern;

use self::body_budget::Memory;
use self::connection_state::Patience;

/// Memory for the bodies of all requests together. More when an endpoint asks for it by its limits,
/// its form and whether bodies are sealed: a body that keeps to its limit always fits, with the
/// copies that are made of it, once others have gone.
pub const BODY_MEMORY_BYTES: u64 = 256 << 20;

/// How long a connection may be idle between two requests: longer than the 60 s of the load
/// balancers in front, which must be the ones to close, or a request meets a closing socket.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a client may leave an answer unread.
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
    /// From the first byte of a request (or the opening of the connection) to the end of its head.
    pub header_timeout: Duration,
    /// From the head of a request to the end of its body.
    pub body_timeout: Duration,
    /// How long an answer may be unread; usually [`ANSWER_TIMEOUT`].
    pub answer_timeout: Duration,
    /// How long a connection may be without a request; usually [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// How long requests under way may take after the shutdown was asked for.
    pub drain_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// Connections open at one time. More wait in the kernel's queue. At least one.
    pub max_connections: usize,
    /// Connections of one peer open at one time. More are closed at once. At least one.
    pub max_connections_per_peer: Option<usize>,
}

/// Credentials, certificates and keys, opened. The default has none: plain HTTP, and no endpoint
/// may ask for credentials.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Credentials that requests are checked against; needed by endpoints that ask for them.
    pub auth: Option<Arc<Auth>>,
    /// Certificate and key of TLS; none for plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

/// What every request needs.
struct App {
    options: Options,
    access: Access,
    intake: Intake,
    readiness: Arc<Readiness>,
    metrics: metrics::Handle,
    memory: Arc<Memory>,
    refused: refusal_log::Refused,
    gate: admission::Gate,
    pages: browser_guard::Pages,
}

/// Serves `listener` until `shutdown` resolves, then drains: no new connections, requests under way
/// finish (for at most `drain_timeout`; then their connections are cut), idle connections close.
/// When it returns, none of its requests can reach the journal any more.
///
/// Says in `readiness` under `receive` that it is there, and that it is going.
///
/// # Errors
/// None at present: what fails on one connection ends that connection, and a failing `accept` is
/// tried again. The type leaves room for a listener that is lost for good.
///
/// # Cancel safety
/// Dropping the future closes the listener at once; open connections are left to the runtime.
pub async fn run(
    listener: TcpListener,
    options: Options,
    access: Access,
    intake: Intake,
    readiness: Arc<Readiness>,
    metrics: metrics::Handle,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let most = options.endpoints.iter().map(|endpoint| endpoint.most_memory(&intake)).max();
    let memory = Memory::new(BODY_MEMORY_BYTES.max(most.unwrap_or_default()));
    let limits = accept::Limits {
        header_timeout: options.header_timeout,
        drain_timeout: options.drain_timeout,
        max_connections: options.max_connections,
        max_connections_per_peer: options.max_connections_per_peer,
        handshake_timeout: options.handshake_timeout,
        patience: Patience { answer: options.answer_timeout, idle: options.idle_timeout },
        tls: access.tls.clone(),
    };
    for endpoint in &options.endpoints {
        metrics::start_endpoint(&endpoint.name);
    }
    let (auth, tls) = (access.auth.clone(), access.tls.clone());
    let keep_fresh = async move {
        let auth = async {
            if let Some(auth) = &auth {
                auth.keep_fresh().await
            }
        };
        let tls = async {
            if let Some(tls) = &tls {
                tls.keep_fresh().await
            }
        };
        tokio::join!(auth, tls);
    };
    let fresh = tokio::spawn(keep_fresh);

    let app = Arc::new(App {
        intake,
        readiness: readiness.clone(),
        metrics,
        memory: Arc::new(memory),
        refused: refusal_log::Refused::default(),
        gate: admission::Gate::new(&options, access.auth.clone()),
        pages: browser_guard::Pages::new(listener.local_addr().ok(), &options.host_names),
        options,
        access,
    });

    readiness.set("receive", Ok(()));
    let stopping = async {
        shutdown.await;
        readiness.set("receive", Err("is shutting down".into()));
    };
    accept::serve(listener, &routes::routes(app), &limits, stopping).await;
    fresh.abort();
    Ok(())
}
