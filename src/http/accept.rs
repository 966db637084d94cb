//! The accept loop: a place for each connection, the protocol on it, and the drain at the end.

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
use crate::peers::{Open, Peer};
use crate::tls::Tls;

use super::connection_state::{Patience, Trouble, Watch};
use super::exchange::{self, Answer, Flights};
use super::reply::Response;
use super::socket::{Place, Socket};

/// HTTP/1.1: what a head may measure, and what is read from the socket at a time.
const HEAD_BYTES: usize = 64 << 10;
/// HTTP/2: what a list of headers may measure.
const H2_HEADERS_BYTES: u32 = 32 << 10;
/// HTTP/2: requests at one time on a connection. Senders take a refused stream badly.
const H2_STREAMS: u32 = 256;
/// HTTP/2: streams that a client has opened and reset before we looked at them, and frames of its
/// that were wrong, before its connection is closed (rapid reset).
const H2_RESETS: usize = 32;
/// HTTP/2: what a client may send ahead of our reading, on one stream as on the whole connection.
/// It is held besides the memory budget, for as long as that makes streams wait.
const H2_WINDOW_BYTES: u32 = 256 << 10;
/// Requests in flight at one time: of all, and of a peer. Never less than there may be connections,
/// so that only those meet them who put many on one.
const LEAST_IN_FLIGHT: usize = 2048;
const LEAST_IN_FLIGHT_OF_PEER: usize = 512;
/// HTTP/2: how often an open connection is pinged, and how long the pong may take.
const H2_PING: Duration = Duration::from_secs(20);
/// After an `accept` that failed for want of something (descriptors, memory).
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Limits {
    pub(super) header_timeout: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) max_connections: usize,
    pub(super) max_connections_per_peer: Option<usize>,
    pub(super) handshake_timeout: Duration,
    pub(super) patience: Patience,
    /// None for plain HTTP.
    pub(super) tls: Option<Arc<Tls>>,
}

/// Accepts until `shutdown` resolves; then drains, cutting what is left after `drain_timeout`.
pub(super) async fn serve(
    listener: TcpListener,
    routes: &BoxedFilter<(Response,)>,
    limits: &Limits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let places = limits.max_connections.clamp(1, Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places));
    let per_peer = limits.max_connections_per_peer.map(Open::new);
    let protocol = Arc::new(protocol(limits));
    let flights = Flights::new(
        LEAST_IN_FLIGHT.max(limits.max_connections),
        LEAST_IN_FLIGHT_OF_PEER
            .max(limits.max_connections_per_peer.unwrap_or(limits.max_connections)),
    );
    let connections = TaskTracker::new();
    let (draining, cut) = (CancellationToken::new(), CancellationToken::new());

    let mut shutdown = pin!(shutdown);
    loop {
        let next = next(&listener, &places);
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
            Some(open) => match open.one(Peer::of(peer.ip())) {
                Some(one) => Some(one),
                None => {
                    // Closed at once: to answer it would take the place that it may not have.
                    metrics::counter!(LIMITED).increment(1);
                    debug!(%peer, "connection refused: its peer has too many open");
                    continue;
                }
            },
        };
        let place = Place::taken(permit, of_peer);
        let watch = Watch::new();
        let tls = limits.tls.as_ref().map(|tls| tls.acceptor());
        let socket =
            Socket::new(stream, place, Arc::clone(&watch), limits.header_timeout, tls.is_some());
        let handshake_timeout = limits.handshake_timeout;
        let service = exchange::service(routes.clone(), peer, Arc::clone(&watch), flights.clone());
        let protocol = Arc::clone(&protocol);
        let ending = Ending { watch, patience: limits.patience, draining: draining.clone() };
        let cut = cut.clone();
        connections.spawn(async move {
            tokio::select! {
                ended = async {
                    match tls {
                        None => speak(&protocol, socket, service, &ending).await,
                        Some(tls) => match shake(&tls, socket, handshake_timeout).await {
                            Ok(stream) => speak(&protocol, stream, service, &ending).await,
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

/// The next connection, once there is a place for it. Dropping the future loses nothing.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are small and complete: waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "TCP_NODELAY was not set");
    }
    Ok((stream, peer, permit))
}

async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        debug!(%error, "a client went away before it was accepted");
        return;
    }
    warn!(%error, "cannot accept connections; trying again (is the limit on open files too low?)");
    tokio::time::sleep(PAUSE).await;
}

fn protocol(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // It runs from the end of the last request, so it is the idle time-out in truth; the
        // socket keeps the one of the head.
        .header_read_timeout(limits.patience.idle.max(limits.header_timeout * 2))
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

/// The TLS handshake, in time.
async fn shake(
    tls: &TlsAcceptor,
    socket: Socket,
    timeout: Duration,
) -> io::Result<TlsStream<Socket>> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long");
    tokio::time::timeout(timeout, tls.accept(socket)).await.map_err(late)?
}

/// What ends a connection from our side.
struct Ending {
    watch: Arc<Watch>,
    patience: Patience,
    draining: CancellationToken,
}

/// Speaks HTTP on one stream until either side has done; says how it ended.
async fn speak<IO, S>(
    protocol: &Builder<TokioExecutor>,
    stream: IO,
    service: S,
    ending: &Ending,
) -> String
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<
            hyper::Request<hyper::body::Incoming>,
            Response = hyper::Response<Answer>,
            Error = std::convert::Infallible,
            Future: Send + 'static,
        >,
{
    let connection = protocol.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut going = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return match ended {
                Ok(()) => "well".to_owned(),
                Err(error) => error.to_string(),
            },
            () = ending.draining.cancelled(), if !going => {}
            trouble = ending.watch.trouble(ending.patience) => match trouble {
                Trouble::Idle => {}
                Trouble::Unread => {
                    metrics::counter!(LIMITED).increment(1);
                    return "its answers were not read".to_owned();
                }
            },
        }
        // No new requests; those that are under way end.
        going = true;
        connection.as_mut().graceful_shutdown();
    }
}
