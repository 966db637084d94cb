//! The listener of operators: health, metrics, the status page and its JSON, apart from senders.
//!
//! | path | for | |
//! |---|---|---|
//! | `/health/live`, `/health/ready` | everybody | without reasons for those without credentials |
//! | `/metrics`, `/status.json`, `/` | operators | GET, HEAD |
//! | `/admin/…` | operators with credentials | POST ([`admin`](super::admin)) |
//! | `/events` | operators | GET |
//!
//! It shares nothing with the listener of senders but what it shows: not its connections, not its
//! credentials, not its endpoints. Its own credentials are asked for wherever there are some. The
//! browser guard is the same. Connections are [`MOST_STATUS_CONNECTIONS`] at a time and [`LONGEST`] long, and no
//! body of a request is read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use warp::Reply as _;
use warp::http::StatusCode;
use warp::http::header::{AUTHORIZATION, HeaderValue, SERVER};

use super::admin::{self, Administered, Operator};
use super::admission;
use super::browser_guard::BrowserGuard;
use super::endpoint::trimmed;
use super::event_streams::{Event, EventStreams, LONGEST_STREAM};
use super::health;
use super::log_pace::LogPace;
use super::options::Access;
use super::refusal::Refusal;
use super::refusal_log::RefusalLog;
use super::reply::{self, Response};
use super::route::Class;
use super::status_page::{self, Page};
use crate::auth::{Rules, Scheme};
use crate::intake::Gate;
use crate::metrics::{self as names, NO_ENDPOINT};
use crate::status::{Board, Control, Monitor, Readiness};

/// The most connections at a time, those of streams among them. More wait in the kernel's queue.
pub const MOST_STATUS_CONNECTIONS: usize = 64;
/// The longest that a connection lives: what does not read its answers keeps no place for longer.
const LONGEST: Duration = Duration::from_secs(300);
/// The most time of a TLS handshake, and from the end of a request to the end of the next head.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of a head.
const HEAD_BYTES: usize = 16 << 10;
/// The pause after an `accept` that failed.
const PAUSE: Duration = Duration::from_millis(100);
/// Characters of an unknown path that a refusal repeats.
const SHOWN_CHARACTERS: usize = 200;

/// Options of the listener: its contents, and whom it admits.
pub struct StatusOptions {
    /// Credentials of operators, and the certificate of TLS.
    pub access: Access,
    /// Host names that requests may ask for, besides the address and `localhost`.
    pub host_names: Vec<String>,
    /// Readiness and trouble.
    pub readiness: Arc<Readiness>,
    /// Renders `/metrics`.
    pub metrics: names::Handle,
    /// Makes `/status.json`.
    pub monitor: Arc<Monitor>,
    /// The streams of `/events`. Who has it sends a state every second.
    pub events: Arc<EventStreams>,
    /// Leads to the journal, which tells whether a usual bulk would be taken now.
    pub gate: Gate,
    /// The last rolls.
    pub board: Arc<Board>,
    /// What operators ask a server through.
    pub control: Arc<Control>,
}

struct Shared {
    options: StatusOptions,
    page: Page,
    guard: BrowserGuard,
    refusals: Arc<RefusalLog>,
}

/// Serves `listener` until the future is dropped.
///
/// # Cancel safety
/// Dropped, it closes the listener and cuts open connections.
pub async fn serve_status(listener: TcpListener, options: StatusOptions) {
    let guard = BrowserGuard::new(listener.local_addr().ok(), &options.host_names);
    let access = options.access.clone();
    let refusals = Arc::new(RefusalLog::default());
    let (page, log) = (Page::new(), Arc::clone(&refusals));
    let shared = Arc::new(Shared { options, page, guard, refusals: log });
    let accept = async {
        let places = Arc::new(Semaphore::new(MOST_STATUS_CONNECTIONS));
        let (mut connections, failures) = (JoinSet::new(), LogPace::default());
        loop {
            // Never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            while connections.try_join_next().is_some() {}
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(times) = failures.count(1, std::time::Instant::now()) {
                        tracing::warn!(%error, times, "cannot accept connections of operators");
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let (shared, tls) = (Arc::clone(&shared), access.tls.clone());
            connections.spawn(async move {
                let _place = place;
                let served = async {
                    match tls {
                        None => converse(stream, false, shared, peer).await,
                        Some(tls) => {
                            let accepted = tls.acceptor().accept(stream);
                            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, accepted).await {
                                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                                converse(stream, is_h2, shared, peer).await;
                            }
                        }
                    }
                };
                let _ = tokio::time::timeout(LONGEST, served).await;
            });
        }
    };
    tokio::select! {
        () = accept => {}
        // Without credentials and certificate there is nothing to renew.
        ((), ()) = async { tokio::join!(access.keep_fresh(), refusals.keep_flushing()) } => {}
    }
}

/// Answers the requests of one connection, of HTTP/2 if TLS has agreed on it.
async fn converse<IO>(stream: IO, is_h2: bool, shared: Arc<Shared>, peer: SocketAddr)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    if !is_h2 {
        // To find out the version would wait for the first bytes, for as long as a peer likes.
        builder = builder.http1_only();
    }
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PATIENCE)
        .max_concurrent_streams(8)
        .max_header_list_size(HEAD_BYTES as u32);
    let cut = CancellationToken::new();
    let of_service = cut.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, cut) = (Arc::clone(&shared), of_service.clone());
        async move {
            let (route, answer) = answer(&shared, &request, peer, &cut).await;
            let mut response = answer.unwrap_or_else(Refusal::into_response);
            shared.refusals.record_response(peer.ip(), NO_ENDPOINT, &response);
            response.headers_mut().insert(SERVER, HeaderValue::from_static(reply::SERVER));
            let code = response.status().as_str().to_owned();
            ::metrics::counter!(names::HTTP_REQUESTS, "route" => route, "code" => code)
                .increment(1);
            Ok::<_, Infallible>(response)
        }
    });
    let served = builder.serve_connection(TokioIo::new(stream), service);
    if let Some(Err(error)) = cut.run_until_cancelled(served).await {
        tracing::debug!(%peer, %error, "a connection of an operator ended");
    }
}

/// Returns the label of the route, and the answer to a request.
async fn answer(
    shared: &Shared,
    request: &Request<Incoming>,
    peer: SocketAddr,
    cut: &CancellationToken,
) -> (&'static str, Result<Response, Refusal>) {
    let path = request.uri().path();
    let (route, class) = match trimmed(path) {
        "/health/live" | "/health/ready" => ("health", Class::Public),
        "/metrics" => ("metrics", Class::Operator),
        "/status.json" | "/events" | "" | "/" => ("status", Class::Operator),
        asked if asked.starts_with(admin::PREFIX) => ("admin", Class::Operator),
        _ => ("other", Class::Operator),
    };
    let admitted = admit(shared, request, class, peer).await;
    let answered = match (admitted, trimmed(path)) {
        (Err(refusal), _) => Err(refusal),
        (Ok(name), path) if path.starts_with(admin::PREFIX) => {
            administer(shared, request, name, peer).await
        }
        (Ok(_), _) if request.method() != Method::GET && request.method() != Method::HEAD => {
            Err(Refusal::NotGet { method: request.method().clone() })
        }
        (Ok(_), "/health/live") => Ok(health::alive()),
        (Ok(_), "/health/ready") => {
            // A request without credentials is not counted as one that guesses.
            let asked = shared.options.access.auth.is_none()
                || request.headers().contains_key(AUTHORIZATION);
            let shown = asked && admit(shared, request, Class::Operator, peer).await.is_ok();
            Ok(health::readiness(&shared.options.readiness, &shared.options.gate, shown))
        }
        (Ok(_), "/metrics") => {
            let content_type = "text/plain; version=0.0.4; charset=utf-8";
            Ok(reply::typed(StatusCode::OK, content_type, shared.options.metrics.render()))
        }
        (Ok(_), "/status.json") => Ok(status(shared, request.uri().query().unwrap_or_default())),
        (Ok(_), "/events") if request.method() == Method::GET => events(shared, request, cut),
        (Ok(_), "" | "/") => Ok(shared.page.response()),
        (Ok(_), _) => {
            let asked = path.chars().take(SHOWN_CHARACTERS).collect();
            Err(Refusal::NoStatus { asked })
        }
    };
    (route, answered)
}

/// Answers a request to `/admin/…` of an operator. One without a name has no credentials.
async fn administer(
    shared: &Shared,
    request: &Request<Incoming>,
    name: Option<Arc<str>>,
    peer: SocketAddr,
) -> Result<Response, Refusal> {
    let operator = Operator { name: name.ok_or(Refusal::NoOperators)?, address: peer.ip() };
    let StatusOptions { control, gate, board, .. } = &shared.options;
    let on = Administered { control, gate, board };
    let (uri, method) = (request.uri(), request.method());
    let query = uri.query().unwrap_or_default();
    admin::answer(&on, &operator, method, trimmed(uri.path()), query).await
}

/// Admits a request by the browser guard and, for operators, by credentials, whose name is returned.
async fn admit(
    shared: &Shared,
    request: &Request<Incoming>,
    class: Class,
    peer: SocketAddr,
) -> Result<Option<Arc<str>>, Refusal> {
    if class == Class::Public {
        return Ok(None);
    }
    let (headers, auth) = (request.headers(), shared.options.access.auth.as_ref());
    let authority = request.uri().authority().map(ToString::to_string);
    let authority = authority.as_deref();
    shared.guard.check(class, request.method(), headers, authority, auth.is_some())?;
    match auth {
        None => shared.guard.check_host(headers, authority).map(|()| None),
        Some(auth) => {
            // Tokens of the senders' token endpoint are not for here.
            let rules = Rules::of(vec![Scheme::Basic, Scheme::Token, Scheme::Jwt]);
            admission::identify(Some(auth), &rules, headers, peer.ip()).await
        }
    }
}

/// Responds with the status as JSON. `after=SECONDS` leaves the history up to then out.
fn status(shared: &Shared, query: &str) -> Response {
    let after = member(query, "after").unwrap_or(0);
    let mut response = reply::json(StatusCode::OK, shared.options.monitor.report(after));
    status_page::protect(response.headers_mut());
    response
}

/// Responds with a stream of events: `state` every second, `rejects` when there are any. A client that
/// comes again names the last reject that it knows, in `Last-Event-ID` or as `after=ID`.
fn events(
    shared: &Shared,
    request: &Request<Incoming>,
    cut: &CancellationToken,
) -> Result<Response, Refusal> {
    let monitor = &shared.options.monitor;
    let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let known = last.or_else(|| member(request.uri().query().unwrap_or_default(), "after"));
    let first = event_of(monitor, known.unwrap_or_else(|| monitor.last_reject()));
    let stream =
        shared.options.events.begin(first, cut, LONGEST_STREAM).ok_or(Refusal::TooManyStreams)?;
    let mut response = warp::sse::reply(stream).into_response();
    status_page::protect(response.headers_mut());
    Ok(response)
}

/// Returns the events of this second: the state, and rejects after the one with the number `known`.
pub fn event_of(monitor: &Monitor, known: u64) -> Vec<Event> {
    // One that comes meanwhile is not among them: it is of the next second.
    let (id, rejects) = match monitor.rejects_after(known) {
        Some((last, rejects)) => (last, Some(("rejects", rejects.into()))),
        None => (monitor.last_reject().min(known), None),
    };
    let events = std::iter::once(("state", monitor.event())).chain(rejects);
    events.map(|(name, data)| Event { name, id, data }).collect()
}

/// Returns a number of the query.
fn member<T: std::str::FromStr>(query: &str, name: &str) -> Option<T> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok())
}
