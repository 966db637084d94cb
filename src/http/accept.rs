//! The accept loop: a permit for each connection, the protocol on it, and the drain at the end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use warp::filters::BoxedFilter;

use crate::metrics::{LIMITED, TLS_FAILED};
use crate::peers::{Peer, PeerLimit};
use crate::tls::Tls;

use super::connection_state::{CloseReason, ConnectionState, Timeouts};
use super::exchange::{self, InFlightLimit, ResponseBody};
use super::reply::Response;
use super::socket::{ConnectionPermit, Socket};

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
/// Requests in flight at one time: of all peers, and of one. Never less than the limit of connections,
/// so that only clients with many requests on one connection meet it.
const MIN_IN_FLIGHT: usize = 2048;
const MIN_IN_FLIGHT_OF_PEER: usize = 512;
/// HTTP/2: the time between two pings of an open connection, and the time-out of the pong.
const H2_PING: Duration = Duration::from_secs(20);
/// The pause after an `accept` that failed for want of a resource (descriptors, memory).
const PAUSE: Duration = Duration::from_millis(100);

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
}

/// Accepts until `shutdown` resolves; then drains, cutting what is left after `drain_timeout`.
pub(super) async fn serve(
    listener: TcpListener,
    routes: &BoxedFilter<(Response,)>,
    limits: &ConnectionLimits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let permits = limits.max_connections.clamp(1, Semaphore::MAX_PERMITS);
    let permits = Arc::new(Semaphore::new(permits));
    let per_peer = limits.max_connections_per_peer.map(PeerLimit::new);
    let protocol = Arc::new(protocol(limits));
    let in_flight = InFlightLimit::new(
        MIN_IN_FLIGHT.max(limits.max_connections),
        MIN_IN_FLIGHT_OF_PEER
            .max(limits.max_connections_per_peer.unwrap_or(limits.max_connections)),
    );
    let connections = TaskTracker::new();
    let (draining, cut) = (CancellationToken::new(), CancellationToken::new());
    // Dropped, this future leaves no connection behind.
    let _cut_when_dropped = cut.clone().drop_guard();

    let mut shutdown = pin!(shutdown);
    loop {
        let next = next(&listener, &permits);
        let (stream, peer, permit) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next => match next {
                Ok(next) => next,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
        };
        let of_peer = match &per_peer {
            None => None,
            Some(limit) => match limit.acquire(Peer::of(peer.ip())) {
                Some(permit) => Some(permit),
                None => {
                    // Closed at once: an answer would need the permit that it may not have.
                    metrics::counter!(LIMITED).increment(1);
                    debug!(%peer, "connection refused: its peer has too many open");
                    continue;
                }
            },
        };
        let permit = ConnectionPermit::new(permit, of_peer);
        let state = ConnectionState::new();
        let tls = limits.tls.as_ref().map(|tls| tls.acceptor());
        let socket =
            Socket::new(stream, permit, Arc::clone(&state), limits.header_timeout, tls.is_some());
        let handshake_timeout = limits.handshake_timeout;
        let service =
            exchange::service(routes.clone(), peer, Arc::clone(&state), in_flight.clone());
        let protocol = Arc::clone(&protocol);
        let close_policy =
            ClosePolicy { state, timeouts: limits.timeouts, draining: draining.clone() };
        let cut = cut.clone();
        connections.spawn(async move {
            tokio::select! {
                ended = async {
                    match tls {
                        None => serve_connection(&protocol, socket, service, &close_policy).await,
                        Some(tls) => match handshake(&tls, socket, handshake_timeout).await {
                            Ok(stream) => {
                                serve_connection(&protocol, stream, service, &close_policy).await
                            }
                            Err(error) => {
                                metrics::counter!(TLS_FAILED).increment(1);
                                format!("no TLS: {error}")
                            }
                        },
                    }
                } => {
                    debug!(%peer, ended, "connection closed");
                }
                () = cut.cancelled() => {
                    info!(%peer, "connection cut: its request did not end while draining");
                }
            }
        });
    }

    drop(listener);
    connections.close();
    info!(connections = connections.len(), "no new connections: draining");
    draining.cancel();
    if tokio::time::timeout(limits.drain_timeout, connections.wait()).await.is_err() {
        cut.cancel();
    }
    connections.wait().await;
}

/// Accepts the next connection once there is a permit for it.
///
/// # Cancel safety
/// Dropping the future loses no connection.
async fn next(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are small and complete: waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "TCP_NODELAY was not set");
    }
    Ok((stream, peer, permit))
}

/// Waits a moment after an `accept` that failed for want of a resource.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        debug!(%error, "a client went away before it was accepted");
        return;
    }
    warn!(%error, "cannot accept connections; trying again (is the limit on open files too low?)");
    tokio::time::sleep(PAUSE).await;
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

/// Makes the TLS handshake.
///
/// # Errors
/// Those of TLS, or `TimedOut` after `timeout`.
async fn handshake(
    tls: &TlsAcceptor,
    socket: Socket,
    timeout: Duration,
) -> io::Result<TlsStream<Socket>> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long");
    tokio::time::timeout(timeout, tls.accept(socket)).await.map_err(late)?
}

/// The conditions on which the server closes a connection.
struct ClosePolicy {
    state: Arc<ConnectionState>,
    timeouts: Timeouts,
    draining: CancellationToken,
}

/// Serves HTTP on one stream until either side ends it; returns the reason for the log.
async fn serve_connection<IO, S>(
    protocol: &Builder<TokioExecutor>,
    stream: IO,
    service: S,
    close_policy: &ClosePolicy,
) -> String
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
                Ok(()) => "well".to_owned(),
                Err(error) => error.to_string(),
            },
            () = close_policy.draining.cancelled(), if !shutting_down => {}
            reason = close_policy.state.close_reason(close_policy.timeouts) => match reason {
                CloseReason::Idle => {}
                CloseReason::AnswerUnread => {
                    metrics::counter!(LIMITED).increment(1);
                    return "its answers were not read".to_owned();
                }
            },
        }
        // No new requests; those in flight end.
        shutting_down = true;
        connection.as_mut().graceful_shutdown();
    }
}
