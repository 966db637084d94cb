//! What is done around every request, whichever route takes it: the peer's address goes in as an
//! extension, the `Server` header goes on, requests are counted, and a request body that was not
//! read to its end is dealt with.
//!
//! In HTTP/1.1 that means closing the connection, as the socket does it: gently. In HTTP/2 the
//! stream would be reset, and there are clients (curl 7.88 is one) that then throw away the answer
//! they have; so the rest of the body is read and dropped for a while first.
//!
//! A request counts as in flight until the last byte of its answer has gone to the socket: HTTP/2
//! would otherwise let one client have any number of them.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::{Service, service_fn};
use hyper::{Request, Version};
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::filters::BoxedFilter;
use warp::http::header::{CONNECTION, HeaderValue, SERVER};

use crate::metrics::{HTTP_IN_FLIGHT, HTTP_REQUESTS, LIMITED, status_class};
use crate::peers::{Open, OpenOne, Peer};

use super::connection_state::{Unfinished, Watch};
use super::reply::{self, Refusal, Response};
use super::socket::LINGER;

/// Who sent a request, and to whom. An extension of every request.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub(super) from: SocketAddr,
    /// The host that the target names: always in HTTP/2, seldom in HTTP/1.1.
    pub(super) authority: Option<String>,
}

/// The requests that may be in flight.
#[derive(Clone, Debug)]
pub(super) struct Flights {
    all: Arc<Semaphore>,
    peers: Arc<Open>,
}

/// A request's place among those in flight.
#[derive(Debug)]
struct Seat {
    _of_all: OwnedSemaphorePermit,
    _of_peer: OpenOne,
}

impl Flights {
    pub(super) fn new(all: usize, of_peer: usize) -> Flights {
        let all = Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS)));
        Flights { all, peers: Open::new(of_peer) }
    }

    fn seat(&self, peer: SocketAddr) -> Option<Seat> {
        let of_peer = self.peers.one(Peer::of(peer.ip()))?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Seat { _of_all: of_all, _of_peer: of_peer })
    }
}

/// What warp's answers have for a body. It has no public name of its own.
pub(super) type WarpBody = <Response as HasBody>::Body;

pub(super) trait HasBody {
    type Body;
}

impl<B> HasBody for hyper::Response<B> {
    type Body = B;
}

/// The service of one connection.
pub(super) fn service(
    routes: BoxedFilter<(Response,)>,
    peer: SocketAddr,
    watch: Arc<Watch>,
    flights: Flights,
) -> impl Service<
    Request<Incoming>,
    Response = hyper::Response<Answer>,
    Error = Infallible,
    Future: Future<Output = Result<hyper::Response<Answer>, Infallible>> + Send + 'static,
> + Clone
+ Send
+ 'static {
    let routes = TowerToHyperService::new(warp::service(routes));
    service_fn(move |request: Request<Incoming>| {
        let h1 = request.version() < Version::HTTP_2;
        let flight = Flight::begin(Arc::clone(&watch), h1);
        let read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let mut request =
            request.map(|body| Followed { body: Some(body), h1, read: Arc::clone(&read) });
        let authority = request.uri().authority().map(ToString::to_string);
        request.extensions_mut().insert(Ends { from: peer, authority });
        // A target without a path (CONNECT has none) is nothing that warp can be given: it panics.
        let seat = flights.seat(peer);
        let answer = match (request.uri().path_and_query(), &seat) {
            (None, _) => Err(Refusal::NoPath.into_response()),
            (_, None) => {
                metrics::counter!(LIMITED).increment(1);
                Err(Refusal::TooManyInFlight.into_response())
            }
            (Some(_), Some(_)) => Ok(routes.call(request)),
        };
        async move {
            let mut response = match answer {
                Ok(answer) => answer.await?,
                Err(refused) => refused,
            };
            response.headers_mut().insert(SERVER, HeaderValue::from_static(reply::SERVER));
            if h1 && !read.load(Ordering::Relaxed) {
                // What is left of the body cannot be told from the next request's head.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                flight.watch.leaves_unread();
            }
            flight.answered(&response);
            let going = Arc::new(Going { _seat: seat, _unfinished: flight.watch.answer() });
            Ok(response.map(|body| Answer { body, going }))
        }
    })
}

/// A request between its head and its answer. Counts down when the client goes away as well.
struct Flight {
    watch: Arc<Watch>,
}

impl Flight {
    fn begin(watch: Arc<Watch>, h1: bool) -> Self {
        watch.begins(h1);
        metrics::gauge!(HTTP_IN_FLIGHT).increment(1.0);
        Flight { watch }
    }

    fn answered(&self, response: &Response) {
        let class = status_class(response.status().as_u16());
        metrics::counter!(HTTP_REQUESTS, "status" => class).increment(1);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        metrics::gauge!(HTTP_IN_FLIGHT).decrement(1.0);
        self.watch.ends();
    }
}

/// What an answer holds until its last byte has gone to the socket.
#[derive(Debug)]
struct Going {
    _seat: Option<Seat>,
    _unfinished: Unfinished,
}

/// The body of an answer, every byte of which is followed out.
pub(super) struct Answer {
    body: WarpBody,
    going: Arc<Going>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = <WarpBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let follow = |bytes| Bytes::from_owner(Chunk { bytes, _going: Arc::clone(&self.going) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(follow))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an answer. hyper and h2 keep them until they can be written.
struct Chunk {
    bytes: Bytes,
    _going: Arc<Going>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A request body that notes when it has been read to its end.
struct Followed {
    /// `None` only once it has been dropped.
    body: Option<Incoming>,
    h1: bool,
    read: Arc<AtomicBool>,
}

impl Body for Followed {
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

impl Drop for Followed {
    fn drop(&mut self) {
        if self.h1 || self.read.load(Ordering::Relaxed) {
            return;
        }
        if let (Some(rest), Ok(runtime)) = (self.body.take(), Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(LINGER, waste(rest)));
        }
    }
}

async fn waste(mut body: Incoming) {
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
}
