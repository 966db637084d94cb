//! Requests to endpoints: admission, the body, and the intake.

use std::sync::Arc;
use std::time::Instant;

use bytes::Buf;
use futures::Stream;

use crate::intake::{Intake, MemoryGuard, Receipt, offload};

use crate::metrics as names;
use crate::record::Form;

use super::body::{BodyLimits, ReceivedBody};
use super::elasticsearch::{self, Bulk, ClientRequest};
use super::encoding::Encoding;
use super::endpoint::Endpoint;
use super::media;
use super::receiver::Receiver;
use super::refusal::Refusal;
use super::reply::{self, Response};
use super::request::RequestHead;
use super::route::{EndpointRequest, Route};

/// An endpoint, and the request that is addressed to it.
pub(super) struct Addressed<'a> {
    /// Its position in the list of endpoints.
    pub(super) index: usize,
    pub(super) endpoint: &'a Endpoint,
    pub(super) request: EndpointRequest<'a>,
}

/// Responds to a request, in the endpoint's form, and counts it.
pub(super) async fn respond(
    receiver: &Receiver,
    addressed: Addressed<'_>,
    head: &RequestHead,
    route: &Route<'_>,
    stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
) -> Response {
    let endpoint = addressed.endpoint;
    let handled = handle(receiver, addressed, head, route, stream).await;
    let response = handled.unwrap_or_else(|refusal| refused(&refusal, endpoint.form));
    let (name, code) = (endpoint.name.to_string(), response.status().as_str().to_owned());
    metrics::counter!(names::REQUESTS, "endpoint" => name, "code" => code).increment(1);
    response
}

/// Returns the response to a refused request, in the form that its client reads.
pub(super) fn refused(refusal: &Refusal, form: Form) -> Response {
    match form {
        Form::Ndjson => refusal.to_response(),
        Form::Elasticsearch => elasticsearch::refused(refusal),
    }
}

async fn handle(
    receiver: &Receiver,
    Addressed { index, endpoint, request }: Addressed<'_>,
    head: &RequestHead,
    route: &Route<'_>,
    stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
) -> Result<Response, Refusal> {
    let address = head.peer.address.ip();
    if !endpoint.auth.is_asked() {
        receiver.browser_guard.check_host(&head.headers, head.peer.authority.as_deref())?;
    }
    head.peer.rules.admission.admit_sender(index, endpoint, &head.headers, address).await?;
    let bulk_index = match request {
        EndpointRequest::Documents => None,
        EndpointRequest::Elasticsearch(ClientRequest::Inquiry(inquiry)) => {
            return Ok(elasticsearch::answer(inquiry));
        }
        EndpointRequest::Elasticsearch(ClientRequest::Bulk { index }) => Some(index),
    };
    if let Some(allow) = route.not_allowed {
        let (method, path) = (head.method.clone(), endpoint.path.clone());
        return Err(Refusal::NotPutOrPost { method, path, allow });
    }
    let intake = receiver.intake(head)?;
    let began = head.peer.began;
    media::check_headers(&head.headers)?;
    let body = receiver.read_body(head, BodyLimits::of(endpoint), stream).await?;
    media::check_body(&body.bytes, Encoding::of(&head.headers)?)?;
    match bulk_index {
        None => accept_documents(intake, endpoint, body, began).await,
        Some(index) => {
            let index = index.map(str::to_owned);
            let bulk = Bulk { index, brief: head.query.contains("filter_path=") };
            accept_bulk(intake, endpoint, bulk, body, began).await
        }
    }
}

/// Accepts documents, one a line.
async fn accept_documents(
    intake: &Intake,
    endpoint: &Endpoint,
    ReceivedBody { bytes, mut reservation }: ReceivedBody,
    began: Instant,
) -> Result<Response, Refusal> {
    let len = bytes.len() as u64;
    reservation.grow_to(len).await?;
    // Work that goes on when the client goes away holds the reservation with the bytes.
    let guard: MemoryGuard = Arc::new(reservation);
    let receipt = intake.accept_held(&endpoint.table, Form::Ndjson, bytes, Some(guard)).await?;
    count(endpoint, receipt, began);
    Ok(reply::accepted(receipt))
}

/// Accepts an Elasticsearch bulk: a body for each table that its actions name.
async fn accept_bulk(
    intake: &Intake,
    endpoint: &Endpoint,
    bulk: Bulk,
    ReceivedBody { bytes, mut reservation }: ReceivedBody,
    began: Instant,
) -> Result<Response, Refusal> {
    let len = bytes.len() as u64;
    // The answer is written while the bulk is split, so its memory is reserved before.
    reservation.grow_to(len + elasticsearch::max_answer_bytes(&bytes)).await?;
    let of_endpoint = endpoint.clone();
    let (split, bytes, mut reservation) = offload(bytes.len(), move || {
        let split = elasticsearch::split(&of_endpoint, &bulk, &bytes);
        (split, bytes, reservation)
    })
    .await?;
    let (parts, answer) = split?;
    let copied = parts.values().map(|part| part.copied_bytes).max().unwrap_or_default();
    let needed = len + answer.memory_bytes() + copied;
    reservation.shrink_to(needed);
    reservation.grow_to(needed).await?;
    let of_answer = reservation.split(answer.memory_bytes());
    let reservation = Arc::new(reservation);
    let guard: MemoryGuard = reservation;
    for (table, part) in parts {
        let (lines, copied) = (part.documents, part.copied_bytes);
        let held = (bytes.clone(), Arc::clone(&guard));
        let of_table = offload(copied as usize, move || part.bytes(&held.0)).await?;
        let (form, guard) = (Form::Elasticsearch, Some(Arc::clone(&guard)));
        let receipt = intake.accept_counted(&table, form, lines, of_table, guard).await?;
        count(endpoint, receipt, began);
    }
    Ok(answer.into_response(began.elapsed(), of_answer))
}

/// Counts a body that an endpoint has accepted.
fn count(endpoint: &Endpoint, receipt: Receipt, began: Instant) {
    let Receipt { lines, bytes, duplicate } = receipt;
    if lines == 0 {
        return;
    }
    let add = |name: &'static str, count: u64| {
        metrics::counter!(name, "endpoint" => endpoint.name.to_string()).increment(count);
    };
    if duplicate {
        add(names::DUPLICATES, 1);
    } else {
        add(names::RECEIVED_BODIES, 1);
        add(names::RECEIVED_BYTES, bytes);
        add(names::RECEIVED_LINES, lines);
    }
    let name = endpoint.name.to_string();
    metrics::histogram!(names::ACK_DURATION, "endpoint" => name).record(began.elapsed());
}
