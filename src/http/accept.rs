//! The accept loop: a slot for each connection, the protocol on it, and the drain at the end.
//!
//! While it drains, and until the server has landed everything, it accepts connections for health and
//! metrics: an orchestrator that gets no answer would take the process for dead.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{debug, info, warn};
use warp::filters::BoxedFilter;
use warp::http::StatusCode;

use crate::metrics::{LIMITED, TLS_HANDSHAKES_FAILED};
use crate::peers::{Peer, PeerLimit, PeerPermit};
use crate::tls::Tls;

use super::connection_state::{CloseReason, ConnectionState, Timeouts};
use super::ending::Ending;
use super::exchange::{self, ConnectionContext, ResponseBody};
use super::in_flight::InFlightLimits;
use super::live_rules::LiveRules;
use super::log_pace::LogPace;
use super::refusal_log::RefusalLog;
use super::refusal_reason::Reason;
use super::reply::Response;
use super::slots::{Closing, SlotPermit, Slots};
use super::socket::{LATE_HEAD, Socket};

/// HTTP/1.1: the longest head, and the most that is read from the socket at a time, in bytes.
const HEAD_BYTES: usize = 64 << 10;
/// HTTP/2: the longest list of headers, in bytes.
const H2_HEADERS_BYTES: u32 = 32 << 10;
/// HTTP/2: requests at one time on a connection. Senders rarely handle a refused stream well.
const H2_STREAMS: u32 = 256;
/// HTTP/2: streams that a client may open and reset before they are handled, and invalid frames that
/// it may send, before its connection is closed (rapid reset).
const H2_RESETS: usize = 32;
/// HTTP/2: the bytes that a client may send ahead, on one stream as on the whole connection. They are
/// held besides the memory budget while streams wait for that.
const H2_WINDOW_BYTES: u32 = 256 << 10;
/// HTTP/2: the time between two pings of an open connection, and the time-out of the pong.
const H2_PING: Duration = Duration::from_secs(20);
/// The pause after an `accept` that failed for want of a resource (descriptors, memory).
const PAUSE: Duration = Duration::from_millis(100);
/// The longest time for which answers about health and metrics are waited for at the very end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// The end of a connection that was closed for another one.
const MADE_ROOM: &str = "it had no request, and others had no room";
const CUT: &str =
    "the connection is closed: there was no room for others, and its network had the most";
const NO_ROOM: &str =
    "the connection is closed: all are in use, and none of them makes room for its network";

/// The limits of connections, in number and time.
pub(super) struct ConnectionLimits {
    pub(super) header_timeout: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) max_connections: usize,
    pub(super) max_connections_per_peer: Option<usize>,
    pub(super) handshake_timeout: Duration,
    pub(super) timeouts: Timeouts,
    /// None for plain HTTP.
    pub(super) tls: Option<Arc<Tls>>,
    /// The rules that requests are judged by.
    pub(super) rules: LiveRules,
}

/// The state that all connections share.
struct Shared<'a> {
    routes: &'a BoxedFilter<(Response,)>,
    limits: &'a ConnectionLimits,
    protocol: Arc<Builder<TokioExecutor>>,
    slots: Arc<Slots>,
    in_flight: InFlightLimits,
    of_peers: Option<Arc<PeerLimit>>,
    refusals: &'a Arc<RefusalLog>,
    connections: TaskTracker,
    draining: CancellationToken,
    cut: CancellationToken,
    /// Its connections get answers about health and metrics alone.
    is_late: bool,
}

/// Accepts until the stop; then drains, cutting what is left after `drain_timeout`, and answers about
/// health and metrics until the end.
pub(super) async fn serve(
    listener: TcpListener,
    routes: &BoxedFilter<(Response,)>,
    limits: &ConnectionLimits,
    refusals: &Arc<RefusalLog>,
    ending: &Ending,
) {
    let shared = Shared {
        routes,
        limits,
        protocol: Arc::new(protocol(limits)),
        slots: Slots::new(limits.max_connections),
        in_flight: InFlightLimits::new(
            limits.max_connections_per_peer.unwrap_or(limits.max_connections),
            limits.max_connections,
        ),
        of_peers: limits.max_connections_per_peer.map(PeerLimit::new),
        refusals,
        connections: TaskTracker::new(),
        draining: CancellationToken::new(),
        cut: CancellationToken::new(),
        is_late: false,
    };
    let late = shared.late();
    // Dropped, this future leaves no connection behind.
    let _cut_when_dropped = (shared.cut.clone().drop_guard(), late.cut.clone().drop_guard());
    let (in_flight, slots) = (shared.in_flight.clone(), Arc::clone(&shared.slots));
    let _unread =
        AbortOnDropHandle::new(tokio::spawn(async move { in_flight.give_up_unread(&slots).await }));

    shared.accept_until(&listener, ending.stop.cancelled()).await;
    info!(connections = shared.connections.len(), "no more bodies on new connections: draining");
    let drain = async {
        shared.drain(limits.drain_timeout).await;
        ending.drained.cancel();
    };
    tokio::join!(drain, late.accept_until(&listener, ending.end.cancelled()));
    drop(listener);
    late.drain(LAST_ANSWERS).await;
}

impl<'a> Shared<'a> {
    /// Returns the state of the connections that are opened while these drain. They share its limits.
    fn late(&self) -> Shared<'a> {
        Shared {
            routes: self.routes,
            limits: self.limits,
            protocol: Arc::clone(&self.protocol),
            slots: Arc::clone(&self.slots),
            in_flight: self.in_flight.clone(),
            of_peers: self.of_peers.clone(),
            refusals: self.refusals,
            connections: TaskTracker::new(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            is_late: true,
        }
    }

    /// Accepts connections until `end` resolves.
    async fn accept_until(&self, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        let failures = LogPace::default();
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = &mut end => return,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        self.pause_after(&error, &failures).await;
                        continue;
                    }
                },
            };
            let of_peer = match &self.of_peers {
                None => None,
                Some(limit) => match limit.acquire(Peer::of(peer.ip())) {
                    Some(permit) => Some(permit),
                    None => {
                        let text = "the connection is closed: its peer has too many open";
                        self.turn_away(peer, text);
                        continue;
                    }
                },
            };
            // Meanwhile further connections wait in the kernel's queue.
            let permit = tokio::select! {
                biased;
                () = &mut end => return,
                permit = self.slots.acquire(Peer::of(peer.ip())) => permit,
            };
            match permit {
                Some(permit) => self.start(stream, peer, permit, of_peer),
                None => self.turn_away(peer, NO_ROOM),
            }
        }
    }

    /// Ends all connections: idle ones at once, others when their requests have ended, or `most`
    /// after.
    async fn drain(&self, most: Duration) {
        self.connections.close();
        self.draining.cancel();
        if tokio::time::timeout(most, self.connections.wait()).await.is_err() {
            self.cut.cancel();
        }
        self.connections.wait().await;
    }

    /// Counts a connection that is closed at once: an answer would need the slot that it may not have.
    fn turn_away(&self, peer: SocketAddr, text: &str) {
        metrics::counter!(LIMITED, "reason" => "connections").increment(1);
        self.refusals.record(peer.ip(), Reason::Connections, None, text);
    }

    /// Serves a connection in a task of its own.
    fn start(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        permit: SlotPermit,
        of_peer: Option<PeerPermit>,
    ) {
        // Answers are small and complete: waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "TCP_NODELAY was not set");
        }
        let (state, closing) = (ConnectionState::new(), Closing::default());
        let of = Peer::of(peer.ip());
        let slot = self.slots.enter(permit, of_peer, of, Arc::clone(&state), closing.clone());
        let context = ConnectionContext {
            peer,
            state: Arc::clone(&state),
            slot: Arc::downgrade(&slot),
            in_flight: self.in_flight.clone(),
            refusals: Arc::clone(self.refusals),
            rules: self.limits.rules.clone(),
            is_late: self.is_late,
            #[cfg(feature = "otlp")]
            is_encrypted: self.limits.tls.is_some(),
        };
        let service = exchange::service(self.routes.clone(), context);
        let tls = self.limits.tls.as_ref().map(|tls| tls.acceptor());
        let header_timeout = self.limits.header_timeout;
        let socket = Socket::new(stream, slot, Arc::clone(&state), header_timeout, tls.is_some());
        let handshake_timeout = self.limits.handshake_timeout;
        let protocol = Arc::clone(&self.protocol);
        let (timeouts, draining) = (self.limits.timeouts, self.draining.clone());
        let Closing { evicted, cut: cut_alone } = closing;
        let policy = ClosePolicy { state, timeouts, draining, evicted };
        let (cut, refusals) = (self.cut.clone(), Arc::clone(self.refusals));
        self.connections.spawn(async move {
            let served = async {
                match tls {
                    None => serve_connection(&protocol, socket, service, &policy).await,
                    Some(tls) => match handshake(&tls, socket, handshake_timeout, &policy).await {
                        Ok(stream) => serve_connection(&protocol, stream, service, &policy).await,
                        Err(ended) => ended,
                    },
                }
            };
            tokio::select! {
                ended = served => {
                    debug!(%peer, ended = ended.why, "connection closed");
                    if let Some((reason, status)) = ended.refused {
                        refusals.record(peer.ip(), reason, status, &ended.why);
                    } else if policy.state.had_late_head() {
                        let status = Some(StatusCode::REQUEST_TIMEOUT);
                        refusals.record(peer.ip(), Reason::Timeout, status, LATE_HEAD);
                    }
                }
                () = cut_alone.cancelled() => {
                    metrics::counter!(LIMITED, "reason" => "connections").increment(1);
                    refusals.record(peer.ip(), Reason::Connections, None, CUT);
                }
                () = cut.cancelled() => {
                    info!(%peer, "connection cut: its request did not end while draining");
                }
            }
        });
    }

    /// Waits a moment after an `accept` that failed for want of a resource, and closes connections
    /// that have no request.
    async fn pause_after(&self, error: &io::Error, failures: &LogPace) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            debug!(%error, "a client went away before it was accepted");
            return;
        }
        let now = Instant::now();
        if let Some(times) = failures.count(1, now) {
            warn!(
                %error,
                times,
                "cannot accept connections; trying again (is the limit on open files too low?)"
            );
        }
        self.slots.make_room(None, now);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns the settings of HTTP/1.1 and HTTP/2.
fn protocol(limits: &ConnectionLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // It runs from the end of the last request, and so is the idle time-out; the socket keeps
        // the time-out of the head.
        .header_read_timeout(limits.timeouts.idle.max(limits.header_timeout * 2))
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING)
        .max_concurrent_streams(H2_STREAMS)
        .max_pending_accept_reset_streams(H2_RESETS)
        .max_local_error_reset_streams(H2_RESETS)
        .max_header_list_size(H2_HEADERS_BYTES)
        .initial_stream_window_size(H2_WINDOW_BYTES)
        .initial_connection_window_size(H2_WINDOW_BYTES);
    builder
}

/// The end of a connection.
struct Ended {
    why: String,
    /// The reason and the status of a refusal that was not answered by a handler.
    refused: Option<(Reason, Option<StatusCode>)>,
}

impl Ended {
    fn because(why: impl Into<String>) -> Ended {
        Ended { why: why.into(), refused: None }
    }

    /// Returns the end of a connection that hyper ended. A head that it refused is a refusal.
    fn by(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Ended {
        let status = match error.downcast_ref::<hyper::Error>() {
            Some(error) if error.is_parse_too_large() => {
                Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
            }
            Some(error) if error.is_parse() => Some(StatusCode::BAD_REQUEST),
            _ => None,
        };
        match status {
            None => Ended::because(error.to_string()),
            Some(status) => Ended {
                why: format!("the head of the request cannot be read: {error}"),
                refused: Some((Reason::Head, Some(status))),
            },
        }
    }
}

/// Makes the TLS handshake.
///
/// # Errors
/// The end of the connection: the handshake failed, took longer than `timeout`, or had to make room.
async fn handshake(
    tls: &TlsAcceptor,
    socket: Socket,
    timeout: Duration,
    policy: &ClosePolicy,
) -> Result<TlsStream<Socket>, Ended> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long");
    let made = tokio::select! {
        made = tokio::time::timeout(timeout, tls.accept(socket)) => made.map_err(late),
        () = policy.evicted.cancelled() => return Err(Ended::because(MADE_ROOM)),
    };
    made.and_then(|made| made).map_err(|error| {
        metrics::counter!(TLS_HANDSHAKES_FAILED).increment(1);
        // A probe of a balancer's opens a connection and closes it.
        let gone =
            matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
        let refused = (!gone).then_some((Reason::Tls, None));
        Ended { why: format!("no TLS: {error}"), refused }
    })
}

/// The conditions on which the server closes a connection.
struct ClosePolicy {
    state: Arc<ConnectionState>,
    timeouts: Timeouts,
    draining: CancellationToken,
    evicted: CancellationToken,
}

/// Serves HTTP on one stream until either side ends it.
async fn serve_connection<IO, S>(
    protocol: &Builder<TokioExecutor>,
    stream: IO,
    service: S,
    policy: &ClosePolicy,
) -> Ended
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<
            hyper::Request<hyper::body::Incoming>,
            Response = hyper::Response<ResponseBody>,
            Error = std::convert::Infallible,
            Future: Send + 'static,
        >,
{
    let connection = protocol.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut shutting_down = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return match ended {
                Ok(()) => Ended::because("well"),
                Err(error) => Ended::by(&*error),
            },
            () = policy.draining.cancelled(), if !shutting_down => {}
            () = policy.evicted.cancelled(), if !shutting_down => {
                // hyper would wait for the rest of a head that has begun.
                if policy.state.idle_for(Instant::now()).is_some() {
                    return Ended::because(MADE_ROOM);
                }
            }
            reason = policy.state.close_reason(policy.timeouts) => match reason {
                CloseReason::Idle => {}
                CloseReason::AnswerUnread => {
                    metrics::counter!(LIMITED, "reason" => "answer_unread").increment(1);
                    return Ended {
                        why: "its answers were not read".to_owned(),
                        refused: Some((Reason::Timeout, None)),
                    };
                }
            },
        }
        // No new requests; those in flight end.
        shutting_down = true;
        connection.as_mut().graceful_shutdown();
    }
}
