//! The HTTP receiver: reads bodies, hands them to the intake, and answers 200 once they are durable.
//!
//! # Promises
//! - 200 is sent only after [`Intake::accept`] has returned a receipt. Nothing is acknowledged from
//!   memory, and a body that did not arrive whole is never handed on.
//! - No document is looked at: a body is inflated, counted, and handed on.
//! - Memory is bounded: a body by its two limits (as sent, and inflated), all bodies together by a
//!   budget ([`BODY_MEMORY_BYTES`]), connections by `max_connections`, requests in flight by peer
//!   and in all, and the bytes that are read ahead of a connection by 64 KiB (HTTP/1.1) or 256 KiB
//!   (HTTP/2). Past the budget the answer is 503 with `Retry-After`.
//! - Time is bounded: the head of a request, its whole body, an idle connection, and a client that
//!   does not read its answer each have a deadline.
//! - Every refusal says in JSON what was wrong and what to do, for a person with curl. Only a head
//!   that is malformed (400) or too long (431) is refused by hyper itself, without a text.
//! - Every refusal is in the log, with its peer and text, and counted by its reason (`refusal_log`).
//! - Crowds keep nobody out: networks share connections (`slots`, `eviction`) and requests in flight
//!   (`in_flight`).
//!
//! # A request's path through the modules
//! ```text
//! listener ─▶ accept ─▶ socket ─(TLS)─▶ hyper (h1, h2) ─▶ exchange ─▶ dispatch ─▶ handler ─▶ intake
//!             slots      head            idle and ping     Server      route       admission
//!             drain      deadline        timers            in flight   browser     body
//!                                                                      guard       inflate
//! ```
//! `route` maps a method and a path to data; `dispatch` calls the handler: `health`, `dispatch`
//! itself for metrics, `token_handler`, `endpoint_handler`.
//!
//! | status | reason |
//! |---|---|
//! | 200 | durable, or a duplicate of a body that is, or empty |
//! | 400 | the body's encoding is broken, or the body ended early |
//! | 401, 403 | no right credentials, or an address that may not, or a web page |
//! | 404, 405 | another path, another method |
//! | 408 | the head or the body took too long, or nothing of it arrived for a while |
//! | 413 | too long as sent, inflated, or for the journal |
//! | 415 | a Content-Type or Content-Encoding that is not accepted |
//! | 429 | too many requests, or too many wrong credentials, of this peer |
//! | 503 | no capacity (with `Retry-After`), or the journal has failed |
//!
//! # From the start to the end
//! | phase | bodies | health and metrics |
//! |---|---|---|
//! | the gate is closed: the journal is being replayed | 503 with `Retry-After`, unread | answered |
//! | the gate is open | taken | answered |
//! | [`Ending::stop`]: the receiver drains | requests under way end within the drain time-out; 503 on connections opened since | answered, on new connections |
//! | [`Ending::drained`]: no request can reach the intake | 503 | answered |
//! | [`Ending::end`]: the listener is closed | – | – |
//!
//! After an answer that leaves a body unread the connection (in HTTP/2: the stream) is closed in
//! steps: the bytes that the client still sends are read and dropped for a moment, because a reset
//! can destroy the answer on its way. A client that goes away while its body is being appended
//! changes nothing: the append goes on in the journal, and the body, sent again, is recognised.

mod accept;
mod admin;
mod admission;
mod body;
mod body_budget;
mod body_buffers;
mod browser_guard;
mod connection_state;
mod dispatch;
mod elasticsearch;
mod encoding;
mod ending;
mod endpoint;
mod endpoint_handler;
mod event_streams;
mod eviction;
mod exchange;
mod health;
mod in_flight;
mod live_rules;
mod log_pace;
mod media;
mod options;
mod receiver;
mod refusal;
mod refusal_log;
mod refusal_reason;
mod reply;
mod request;
mod route;
mod slots;
mod socket;
mod status_listener;
mod status_page;
#[cfg(test)]
mod tests;
mod token_handler;

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::intake::Gate;
use crate::metrics;
use crate::status::Readiness;

pub use self::ending::Ending;
pub use self::endpoint::Endpoint;
pub use self::event_streams::EventStreams;
pub(crate) use self::health::not_ready;
pub use self::live_rules::LiveRules;
pub use self::options::{
    ANSWER_TIMEOUT, Access, BODY_MEMORY_BYTES, IDLE_TIMEOUT, Options, body_memory_bytes,
};
pub use self::slots::SPARE_CONNECTIONS;
pub use self::status_listener::{MOST_STATUS_CONNECTIONS, StatusOptions, event_of, serve_status};
pub use crate::intake::IndexPattern;

use self::connection_state::Timeouts;
use self::receiver::Receiver;
use self::refusal_log::RefusalLog;
use self::refusal_reason::Reason;

/// Serves `listener`. Bodies are taken once `gate` is open, and until `ending.stop`; then it drains:
/// requests in flight finish (for at most `drain_timeout`; then their connections are cut), idle
/// connections close, and `ending.drained` is cancelled once none of its requests can reach the intake
/// any more. New connections get answers about health and metrics until `ending.end`.
///
/// # Errors
/// None at present: a failure on one connection ends that connection, and a failing `accept` is
/// tried again. The type is for a listener that is lost for good.
///
/// # Cancel safety
/// Dropped, it closes the listener at once and cuts open connections. A body that is being appended
/// may still be recorded.
pub async fn run(
    listener: TcpListener,
    live: LiveRules,
    gate: Gate,
    readiness: Arc<Readiness>,
    metrics: metrics::Handle,
    ending: Ending,
) -> io::Result<()> {
    let (options, access) = (live.options(), live.access());
    let limits = accept::ConnectionLimits {
        header_timeout: options.header_timeout,
        drain_timeout: options.drain_timeout,
        max_connections: options.max_connections,
        max_connections_per_peer: options.max_connections_per_peer,
        handshake_timeout: options.handshake_timeout,
        timeouts: Timeouts { answer: options.answer_timeout, idle: options.idle_timeout },
        tls: access.tls.clone(),
        rules: live.clone(),
    };
    for endpoint in &options.endpoints {
        metrics::start_endpoint(&endpoint.name, Reason::ALL.map(Reason::label));
    }
    metrics::start_refused(metrics::NO_ENDPOINT, Reason::ALL.map(Reason::label));
    let refusals = Arc::new(RefusalLog::default());
    let (renewed, flushing) = (access.clone(), Arc::clone(&refusals));
    let _fresh = AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::join!(renewed.keep_fresh(), flushing.keep_flushing());
    }));

    let address = listener.local_addr().ok();
    let receiver = Arc::new(Receiver::new(&live, address, gate, readiness, metrics));
    accept::serve(listener, &dispatch::filter(receiver), &limits, &refusals, &ending).await;
    refusals.flush();
    Ok(())
}
