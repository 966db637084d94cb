//! What is where: endpoints, health, metrics, tokens, and a helpful 404 for the rest.
//!
//! A path is matched first, then the gate asked, and then the method looked at, so that a wrong
//! method is answered with the `Allow` of its path, to those who may know. No filter rejects: every
//! request gets an answer of ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Buf;
use futures::Stream;
use tracing::debug;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use warp::http::{HeaderMap, Method};

use crate::intake::{Receipt, offload};
use crate::metrics as names;
use crate::peers::Peer;
use crate::record::Form;

use super::App;
use super::body::{self, Announced, Limits};
use super::browser_guard::Pages;
use super::elasticsearch;
use super::encoding::Encoding;
use super::endpoint::{Endpoint, trimmed};
use super::exchange::Ends;
use super::reply::{self, CONTENT_TYPES, Part, Refusal, Response};

/// Where tokens are to be had.
const TOKEN_PATH: &str = "/oauth2/token";

/// The longest form that the token endpoint reads.
const FORM_BYTES: u64 = 16 << 10;

/// A request, but for its body.
struct Head {
    path: FullPath,
    query: String,
    method: Method,
    headers: HeaderMap,
    from: SocketAddr,
    /// The host that the target names, if it does.
    authority: Option<String>,
}

/// The routes, as one filter.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::any()
        .map(move || Arc::clone(&app))
        .and(warp::path::full())
        .and(query)
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Ends>())
        .map(|app: Arc<App>, path, query, method, headers, ends: Ends| {
            let Ends { from, authority } = ends;
            (app, Head { path, query, method, headers, from, authority })
        })
        .untuple_one()
        .and(warp::body::stream())
        .then(answer)
        .boxed()
}

async fn answer(
    app: Arc<App>,
    head: Head,
    stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
) -> Response {
    let path = trimmed(head.path.as_str());
    match path {
        "/health/live" => return get(head.method, reply::live),
        "/health/ready" => {
            let known =
                app.ours(&head).is_ok() && app.gate.may_know(&head.headers, head.from.ip()).await;
            let (waiting, trouble) = (app.waiting(), app.trouble());
            return get(head.method, || match known {
                true => reply::ready(&waiting, &trouble),
                false => reply::ready_or_not(&waiting),
            });
        }
        _ => {}
    }
    if let Err(refusal) = Pages::check(&head.headers).and_then(|()| app.gate.any(head.from.ip())) {
        return refusal.into_response();
    }
    if path == "/metrics" {
        let allowed = match app.ours(&head) {
            Ok(()) => app.gate.operator(&head.headers, head.from.ip()).await,
            Err(refusal) => Err(refusal),
        };
        return match allowed {
            Ok(()) => get(head.method, || reply::metrics(app.metrics.render())),
            Err(refusal) => refusal.into_response(),
        };
    }
    if path == TOKEN_PATH && app.gate.tokens().is_some() {
        if let Err(refusal) = app.gate.beside(head.from.ip()) {
            return refusal.into_response();
        }
        return app.grant(&head, stream).await;
    }
    let Some(place) = app.endpoint_at(path) else {
        let asked = head.path.as_str().chars().take(200).collect();
        let path = app.options.endpoints.first().map(|endpoint| endpoint.path.clone());
        let path = path.unwrap_or_default();
        return Refusal::NotFound { asked, path }.into_response();
    };
    let Some(endpoint) = app.options.endpoints.get(place) else {
        return Refusal::Forbidden.into_response();
    };
    let answered = app.at_endpoint(place, endpoint, &head, stream).await;
    let response = answered.unwrap_or_else(|refusal| {
        let status = refusal.status();
        debug!(peer = %head.from, status = status.as_u16(), error = %refusal, "body refused");
        if status.is_server_error() {
            app.refused.tell(&refusal, Instant::now());
        }
        match endpoint.form {
            Form::Ndjson => refusal.into_response(),
            Form::Elasticsearch => elasticsearch::refused(&refusal),
        }
    });
    let (name, class) =
        (endpoint.name.to_string(), names::status_class(response.status().as_u16()));
    metrics::counter!(names::ENDPOINT_REQUESTS, "endpoint" => name, "status" => class).increment(1);
    response
}

fn get(method: Method, answer: impl FnOnce() -> Response) -> Response {
    if method == Method::GET || method == Method::HEAD {
        answer()
    } else {
        Refusal::NotGet { method }.into_response()
    }
}

impl App {
    /// The endpoint that `path` is for. One with the whole path goes before one with the beginning
    /// of it, and a longer beginning before a shorter.
    fn endpoint_at(&self, path: &str) -> Option<usize> {
        let owners = self.options.endpoints.iter().enumerate().filter(|(_, e)| e.owns(path));
        owners.max_by_key(|(_, endpoint)| trimmed(&endpoint.path).len()).map(|(place, _)| place)
    }

    /// Whether the host that was asked for is ours; who has credentials need not know it.
    fn ours(&self, head: &Head) -> Result<(), Refusal> {
        match self.access.auth {
            Some(_) => Ok(()),
            None => self.pages.host(&head.headers, head.authority.as_deref()),
        }
    }

    async fn at_endpoint(
        &self,
        place: usize,
        endpoint: &Endpoint,
        head: &Head,
        stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
    ) -> Result<Response, Refusal> {
        if !endpoint.auth.is_asked() {
            self.pages.host(&head.headers, head.authority.as_deref())?;
        }
        self.gate.endpoint(place, endpoint, &head.headers, head.from.ip()).await?;
        let method = &head.method;
        let bulk = match endpoint.form {
            Form::Ndjson => None,
            Form::Elasticsearch => {
                let below = endpoint.below(trimmed(head.path.as_str())).unwrap_or_default();
                match elasticsearch::asked(method, below) {
                    elasticsearch::Asked::Bulk { index } => Some(elasticsearch::Bulk {
                        index: index.map(str::to_owned),
                        brief: head.query.contains("filter_path="),
                    }),
                    elasticsearch::Asked::Else(response) => return Ok(response),
                }
            }
        };
        let taken =
            (*method == Method::PUT && endpoint.put) || (*method == Method::POST && endpoint.post);
        if !taken {
            let (path, allow) = (endpoint.path.clone(), endpoint.methods());
            return Err(Refusal::NotPutOrPost { method: method.clone(), path, allow });
        }
        let began = Instant::now();
        check_content_type(&head.headers)?;
        let body = self.body(head, endpoint.limits(), stream).await?;
        match bulk {
            None => self.take(endpoint, body, began).await,
            Some(bulk) => self.take_bulk(endpoint, bulk, body, began).await,
        }
    }

    /// Reads the whole body, in time.
    async fn body(
        &self,
        head: &Head,
        limits: Limits,
        stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
    ) -> Result<body::Whole, Refusal> {
        let announced = Announced {
            peer: Peer::of(head.from.ip()),
            encoding: Encoding::of(&head.headers)?,
            length_bytes: head
                .headers
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.parse().ok()),
        };
        let after = self.options.body_timeout;
        let body = body::read(stream, announced, limits, &self.memory);
        tokio::time::timeout(after, body).await.map_err(|_| Refusal::BodyTimeout { after })?
    }

    /// Accepts documents, one a line.
    async fn take(
        &self,
        endpoint: &Endpoint,
        body::Whole { bytes, mut reserved }: body::Whole,
        began: Instant,
    ) -> Result<Response, Refusal> {
        let len = bytes.len() as u64;
        reserved.grow_to(len + self.intake.copy_bytes(len)).await?;
        // Whatever goes on when the client goes away holds the reservation with its bytes.
        let bytes = Arc::new(reserved).hold(bytes);
        let receipt = self.intake.accept(&endpoint.table, Form::Ndjson, bytes).await?;
        count(endpoint, receipt, began);
        Ok(reply::taken(receipt))
    }

    /// Accepts an Elasticsearch bulk: a body for each table that its actions name.
    async fn take_bulk(
        &self,
        endpoint: &Endpoint,
        bulk: elasticsearch::Bulk,
        body::Whole { bytes, mut reserved }: body::Whole,
        began: Instant,
    ) -> Result<Response, Refusal> {
        let len = bytes.len() as u64;
        // The answer is written while the bulk is split, so its memory is reserved before.
        reserved.grow_to(len + elasticsearch::most_answer_bytes(&bytes)).await?;
        let endpoint_ = endpoint.clone();
        let (split, bytes, mut reserved) = offload(bytes.len(), move || {
            let split = elasticsearch::split(&endpoint_, &bulk, &bytes);
            (split, bytes, reserved)
        })
        .await?;
        let (parts, answer) = split?;
        let copied = parts.values().map(|part| part.copied_bytes).max().unwrap_or_default();
        let needed = len + answer.memory_bytes() + copied + self.intake.copy_bytes(copied.max(len));
        reserved.shrink_to(needed);
        reserved.grow_to(needed).await?;
        let of_answer = reserved.split(answer.memory_bytes());
        let reserved = Arc::new(reserved);
        let body = reserved.hold(bytes);
        for (table, part) in parts {
            let (whole, lines, copied) = (body.clone(), part.documents, part.copied_bytes);
            let of_table = offload(copied as usize, move || part.bytes(&whole)).await?;
            let of_table = if copied == 0 { of_table } else { reserved.hold(of_table) };
            let form = Form::Elasticsearch;
            let receipt = self.intake.accept_counted(&table, form, lines, of_table).await?;
            count(endpoint, receipt, began);
        }
        Ok(answer.into_response(began.elapsed(), of_answer))
    }

    /// `POST /oauth2/token`.
    async fn grant(
        &self,
        head: &Head,
        stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
    ) -> Response {
        let Some(auth) = self.gate.tokens() else { return Refusal::Forbidden.into_response() };
        if head.method != Method::POST {
            let (method, path) = (head.method.clone(), TOKEN_PATH.to_owned());
            return Refusal::NotPutOrPost { method, path, allow: "POST" }.into_response();
        }
        let limits = Limits { body_limit_bytes: FORM_BYTES, inflated_limit_bytes: FORM_BYTES };
        let form = match self.body(head, limits, stream).await {
            Ok(body::Whole { bytes, .. }) => bytes,
            Err(refusal) => return refusal.into_response(),
        };
        let authorization = head.headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        reply::granted(auth.grant(authorization, &form, head.from.ip()).await)
    }

    /// The parts behind the journal that are in trouble.
    fn trouble(&self) -> Vec<Part> {
        let trouble = self.readiness.trouble().into_iter();
        trouble.map(|(part, reason)| Part { part, reason }).collect()
    }

    /// The parts that are not ready. The journal is asked and need not say so itself.
    fn waiting(&self) -> Vec<Part> {
        let mut parts: Vec<_> = self
            .readiness
            .check()
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|(part, reason)| Part { part, reason })
            .collect();
        if let Err(error) = self.intake.accepting()
            && !parts.iter().any(|part| part.part == "journal")
        {
            parts.push(Part { part: "journal", reason: error.to_string() });
        }
        parts
    }
}

/// Counts a body that an endpoint has accepted.
fn count(endpoint: &Endpoint, receipt: Receipt, began: Instant) {
    if receipt.lines == 0 {
        return;
    }
    if !receipt.duplicate {
        let name = endpoint.name.to_string();
        metrics::counter!(names::ENDPOINT_LINES, "endpoint" => name).increment(receipt.lines);
    }
    metrics::histogram!(names::ACK_SECONDS).record(began.elapsed());
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let name = text.split(';').next().unwrap_or_default().trim();
    if name.is_empty() || CONTENT_TYPES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(Refusal::ContentType { got: name.to_owned() })
}
