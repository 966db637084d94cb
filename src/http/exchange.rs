//! The exchange of a request and its response around every route: the peer's address is added as an
//! extension, the `Server` header is set, requests are counted, and the rest of a request body that
//! was not read to its end is drained.
//!
//! In HTTP/1.1 the connection is closed after such a body, in steps, by the socket. In HTTP/2 the
//! stream would be reset, and some clients (curl 7.88 is one) then discard the response they have; so
//! the rest of the body is read and dropped for a while first.
//!
//! A request holds a place (`in_flight`) until the last byte of its response has been handed to the
//! socket. One that gets none is refused; in HTTP/2 without a text, for which there may be no window:
//! so it holds nothing.
//!
//! Here every response passes, and so every refusal that has one is logged here.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::{Service, service_fn};
use hyper::{Request, Version};
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Handle;
use warp::filters::BoxedFilter;
use warp::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, SERVER};

use crate::metrics::{HTTP_IN_FLIGHT, HTTP_REQUESTS, LIMITED};
use crate::peers::Peer;

use super::connection_state::{AnswerInProgress, ConnectionState};
use super::endpoint_handler::refused;
use super::in_flight::{InFlightLimits, InFlightPermit};
use super::live_rules::LiveRules;
use super::refusal::Refusal;
use super::refusal_log::RefusalLog;
use super::reply::{self, Response};
use super::request::PeerInfo;
use super::route::{Addressee, is_watched};
use super::slots::Slot;
use super::socket::LINGER;

/// A connection, as its requests see it.
#[derive(Clone, Debug)]
pub(super) struct ConnectionContext {
    pub(super) peer: SocketAddr,
    pub(super) state: Arc<ConnectionState>,
    /// The slot, which the socket holds.
    pub(super) slot: Weak<Slot>,
    pub(super) in_flight: InFlightLimits,
    pub(super) refusals: Arc<RefusalLog>,
    pub(super) rules: LiveRules,
    /// It was opened after the receiver had begun to drain.
    pub(super) is_late: bool,
    #[cfg(feature = "otlp")]
    pub(super) is_encrypted: bool,
}

/// The body type of warp's responses, which has no public name.
pub(super) type WarpBody = <Response as HasBody>::Body;

pub(super) trait HasBody {
    type Body;
}

impl<B> HasBody for hyper::Response<B> {
    type Body = B;
}

/// Returns the service of one connection.
pub(super) fn service(
    routes: BoxedFilter<(Response,)>,
    connection: ConnectionContext,
) -> impl Service<
    Request<Incoming>,
    Response = hyper::Response<ResponseBody>,
    Error = Infallible,
    Future: Future<Output = Result<hyper::Response<ResponseBody>, Infallible>> + Send + 'static,
> + Clone
+ Send
+ 'static {
    let routes = TowerToHyperService::new(warp::service(routes));
    service_fn(move |request: Request<Incoming>| {
        let h1 = request.version() < Version::HTTP_2;
        let peer = connection.peer;
        let request_in_flight = InFlightRequest::begin(Arc::clone(&connection.state), h1);
        let read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let mut request =
            request.map(|body| RequestBody { body: Some(body), h1, read: Arc::clone(&read) });
        let authority = request.uri().authority().map(ToString::to_string);
        let rules = connection.rules.current();
        request.extensions_mut().insert(PeerInfo {
            address: peer,
            authority,
            began: Instant::now(),
            is_late: connection.is_late,
            rules: Arc::clone(&rules),
        });
        let is_watched = is_watched(request.uri().path());
        let addressee = Addressee::of(request.uri().path(), &rules.endpoints);
        let (form, route, endpoint) =
            (addressee.form(), addressee.route, addressee.endpoint_name());
        #[cfg(feature = "otlp")]
        let exported = exported(&request, &rules, is_watched, connection.is_encrypted);
        let permit = connection.in_flight.acquire(Peer::of(peer.ip()), is_watched);
        // warp panics on a target without a path, as CONNECT has.
        let admitted = match (request.uri().path_and_query(), &permit) {
            (None, _) => Err(Refusal::NoPath),
            (_, None) => {
                metrics::counter!(LIMITED, "reason" => "in_flight").increment(1);
                Err(Refusal::TooManyInFlight)
            }
            (Some(_), Some(_)) => Ok(request),
        };
        let routes = routes.clone();
        let (slot, refusals) = (connection.slot.clone(), Arc::clone(&connection.refusals));
        async move {
            let mut response = match admitted {
                Ok(request) if is_watched || has_slot(&slot).await => routes.call(request).await?,
                Ok(_) => refused(&Refusal::TooManyConnections, form),
                Err(refusal) => refused(&refusal, form),
            };
            refusals.record_response(peer.ip(), &endpoint, &response);
            if permit.is_none() && !h1 {
                *response.body_mut() = WarpBody::default();
                response.headers_mut().remove(CONTENT_TYPE);
            }
            response.headers_mut().insert(SERVER, HeaderValue::from_static(reply::SERVER));
            if h1 && !read.load(Ordering::Relaxed) {
                // The rest of the body cannot be told from the next request's head.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                request_in_flight.state.leave_body_unread();
            }
            count(route, &response);
            #[cfg(feature = "otlp")]
            if let Some(exported) = exported {
                exported.answered(response.status());
            }
            let guard = Arc::new(ResponseGuard {
                _permit: permit,
                _unfinished: request_in_flight.state.track_answer(),
            });
            Ok(response.map(|body| ResponseBody { body, guard }))
        }
    })
}

/// Waits until the connection has an ordinary slot. Returns false if there was none in time.
async fn has_slot(slot: &Weak<Slot>) -> bool {
    match slot.upgrade() {
        Some(slot) => slot.become_ordinary().await,
        // The socket is closed already.
        None => true,
    }
}

/// A request between its head and its response. Dropped when the client goes away as well.
struct InFlightRequest {
    state: Arc<ConnectionState>,
    number: u64,
    /// The gauge that it was added to, which it is taken from.
    counted: metrics::Gauge,
}

impl InFlightRequest {
    fn begin(state: Arc<ConnectionState>, h1: bool) -> Self {
        let number = state.request_began(h1);
        let counted = metrics::gauge!(HTTP_IN_FLIGHT);
        counted.increment(1.0);
        InFlightRequest { state, number, counted }
    }
}

fn count(route: &'static str, response: &Response) {
    let code = response.status().as_str().to_owned();
    metrics::counter!(HTTP_REQUESTS, "route" => route, "code" => code).increment(1);
}

/// Takes note of a request for the export to a collector, if there is one.
#[cfg(feature = "otlp")]
fn exported<B>(
    request: &Request<B>,
    rules: &super::live_rules::RequestRules,
    is_watched: bool,
    is_encrypted: bool,
) -> Option<crate::otlp::Request> {
    Some(crate::otlp::requests()?.begin(&crate::otlp::Begun {
        method: request.method(),
        route: super::route::path_of_route(request.uri().path(), &rules.endpoints),
        is_encrypted,
        version: request.version(),
        traceparent: request.headers().get("traceparent"),
        is_watched,
    }))
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        self.counted.decrement(1.0);
        self.state.request_ended(self.number);
    }
}

/// Held by a response until its last byte has been handed to the socket.
#[derive(Debug)]
struct ResponseGuard {
    _permit: Option<InFlightPermit>,
    _unfinished: AnswerInProgress,
}

/// The body of a response, each of whose bytes holds the guard.
pub(super) struct ResponseBody {
    body: WarpBody,
    guard: Arc<ResponseGuard>,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = <WarpBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let follow =
            |bytes| Bytes::from_owner(TrackedChunk { bytes, _guard: Arc::clone(&self.guard) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(follow))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of a response. hyper and h2 keep them until they can be written.
struct TrackedChunk {
    bytes: Bytes,
    _guard: Arc<ResponseGuard>,
}

impl AsRef<[u8]> for TrackedChunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A request body that records when it has been read to its end.
struct RequestBody {
    /// `None` only while dropping.
    body: Option<Incoming>,
    h1: bool,
    read: Arc<AtomicBool>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if frame.is_none() || (matches!(frame, Some(Ok(_))) && body.is_end_stream()) {
            self.read.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.h1 || self.read.load(Ordering::Relaxed) {
            return;
        }
        if let (Some(rest), Ok(runtime)) = (self.body.take(), Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(LINGER, drain(rest)));
        }
    }
}

/// Reads a body to its end, and drops it.
async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
}
