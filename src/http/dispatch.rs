//! Dispatch: from a request to the handler of its route.
//!
//! No filter rejects: every request gets a response of ours. A request is routed first, then
//! checked for web pages and rate, and then handled; the handler asks for credentials before it
//! looks at the method.

use std::sync::Arc;

use bytes::Buf;
use futures::Stream;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;

use super::receiver::Receiver;
use super::refusal::Refusal;
use super::reply::{self, Response};
use super::request::{PeerInfo, RequestHead};
use super::route::{Addressee, Class, Route, Target, route};
use super::{endpoint_handler, health, token_handler};

/// Characters of an unknown path that a refusal repeats.
const SHOWN_CHARACTERS: usize = 200;

/// Returns all routes as one filter.
pub(super) fn filter(receiver: Arc<Receiver>) -> BoxedFilter<(Response,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::any()
        .map(move || Arc::clone(&receiver))
        .and(warp::path::full())
        .and(query)
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<PeerInfo>())
        .map(|receiver: Arc<Receiver>, path, query, method, headers, peer: PeerInfo| {
            (receiver, RequestHead { path, query, method, headers, peer })
        })
        .untuple_one()
        .and(warp::body::stream())
        .then(respond)
        .boxed()
}

async fn respond(
    receiver: Arc<Receiver>,
    head: RequestHead,
    stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
) -> Response {
    let rules = Arc::clone(&head.peer.rules);
    let endpoints = &rules.endpoints;
    let has_clients = rules.admission.token_issuer().is_some();
    let route = route(&head.method, head.path.as_str(), endpoints, has_clients);
    if let Err(refusal) = check(&receiver, &route, &head) {
        let form = Addressee::of(head.path.as_str(), endpoints).form();
        return endpoint_handler::refused(&refusal, form);
    }
    let response = match route.target {
        Target::Live => health::live(&head, &route),
        Target::Ready => health::ready(&receiver, &head, &route).await,
        Target::Metrics => metrics(&receiver, &head, &route).await,
        Target::Token => token_handler::grant(&receiver, &head, &route, stream).await,
        Target::Endpoint { index, request } => match endpoints.get(index) {
            Some(endpoint) => {
                let at = endpoint_handler::Addressed { index, endpoint, request };
                Ok(endpoint_handler::respond(&receiver, at, &head, &route, stream).await)
            }
            None => Err(unknown(&head)),
        },
        Target::Unknown => Err(unknown(&head)),
    };
    response.unwrap_or_else(Refusal::into_response)
}

/// Refuses web pages, and peers that send too many requests. Public routes are for everybody.
fn check(receiver: &Receiver, route: &Route<'_>, head: &RequestHead) -> Result<(), Refusal> {
    let class = route.class();
    if class == Class::Public {
        return Ok(());
    }
    receiver.browser_guard.check_page(class, head, receiver.access.auth.is_some())?;
    head.peer.rules.admission.admit_request(head.peer.address.ip())
}

/// Responds with the metrics as Prometheus text.
async fn metrics(
    receiver: &Receiver,
    head: &RequestHead,
    route: &Route<'_>,
) -> Result<Response, Refusal> {
    receiver.check_host(head)?;
    head.peer.rules.admission.admit_operator(&head.headers, head.peer.address.ip()).await?;
    route.check_read(&head.method)?;
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(reply::typed(StatusCode::OK, content_type, receiver.metrics.render()))
}

/// Refuses a request for an unknown path, with an endpoint's path.
fn unknown(head: &RequestHead) -> Refusal {
    let asked = head.path.as_str().chars().take(SHOWN_CHARACTERS).collect();
    let path = head.peer.rules.endpoints.first().map(|endpoint| endpoint.path.clone());
    Refusal::NotFound { asked, path: path.unwrap_or_default() }
}
