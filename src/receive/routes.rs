//! What is where: the path for bodies, health, metrics, and a helpful 404 for the rest.
//!
//! A path is matched first and the method looked at after, so that a wrong method is answered with
//! the `Allow` of its path. No filter rejects in the end: every request gets an answer of ours.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Buf;
use futures::Stream;
use tracing::{debug, warn};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use warp::http::{HeaderMap, Method};

use crate::journal::NewBody;
use crate::metrics as names;
use crate::record::Form;

use super::App;
use super::body::{self, Announced};
use super::encoding::Encoding;
use super::exchange::Peer;
use super::reply::{self, CONTENT_TYPES, Part, Refusal, Response};

/// How often the log tells of refused bodies.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The routes, as one filter.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let path = trimmed(&app.settings.path).to_owned();

    let sessions = at(path.clone())
        .and(with(&app))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(sessions);
    let live = at("/health/live").and(warp::method()).map(|method| get(method, reply::live));
    let ready = at("/health/ready")
        .and(with(&app))
        .and(warp::method())
        .map(|app: Arc<App>, method| get(method, || reply::ready(&app.waiting())));
    let metrics = at("/metrics")
        .and(with(&app))
        .and(warp::method())
        .map(|app: Arc<App>, method| get(method, || reply::metrics(app.metrics.render())));
    let nowhere = warp::path::full().map(move |asked: FullPath| {
        let asked = asked.as_str().chars().take(200).collect();
        Refusal::NotFound { asked, path: path.clone() }.into_response()
    });

    sessions.or(live).unify().or(ready).unify().or(metrics).unify().or(nowhere).unify().boxed()
}

/// Requests at exactly `path`, with or without a slash at the end.
fn at(
    path: impl Into<String>,
) -> impl Filter<Extract = (), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let path: Arc<str> = path.into().into();
    warp::path::full()
        .and_then(move |asked: FullPath| {
            let here = trimmed(asked.as_str()) == &*path;
            std::future::ready(if here { Ok(()) } else { Err(warp::reject::not_found()) })
        })
        .untuple_one()
}

fn trimmed(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some("") | None => path,
        Some(path) => path,
    }
}

fn with(
    app: &Arc<App>,
) -> impl Filter<Extract = (Arc<App>,), Error = std::convert::Infallible> + Clone + use<> {
    let app = Arc::clone(app);
    warp::any().map(move || Arc::clone(&app))
}

fn get(method: Method, answer: impl FnOnce() -> Response) -> Response {
    if method == Method::GET || method == Method::HEAD {
        answer()
    } else {
        Refusal::NotGet { method }.into_response()
    }
}

async fn sessions(
    app: Arc<App>,
    method: Method,
    headers: HeaderMap,
    peer: Option<Peer>,
    stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
) -> Response {
    match app.take(&method, &headers, stream).await {
        Ok(response) => response,
        Err(refusal) => {
            let peer = peer.map(|Peer(address)| tracing::field::display(address));
            let status = refusal.status();
            debug!(peer, status = status.as_u16(), error = %refusal, "body refused");
            if status.is_server_error() {
                app.refused.tell(&refusal, Instant::now());
            }
            refusal.into_response()
        }
    }
}

/// Bodies refused for reasons of ours. A sender gives up after a few tries, so the operator must
/// hear of it, but not once a request.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    bodies: u64,
    told_at: Option<Instant>,
}

impl Refused {
    fn tell(&self, refusal: &Refusal, now: Instant) {
        if let Some(bodies) = self.count(now) {
            warn!(bodies, error = %refusal, "bodies refused with 503");
        }
    }

    /// Counts one; returns how many there are to tell of, if it is time to.
    fn count(&self, now: Instant) -> Option<u64> {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.bodies += 1;
        if untold.told_at.is_some_and(|at| now.duration_since(at) < TELL_EVERY) {
            return None;
        }
        untold.told_at = Some(now);
        Some(std::mem::take(&mut untold.bodies))
    }
}

impl App {
    /// Takes one body: everything between the head of the request and the answer.
    async fn take(
        &self,
        method: &Method,
        headers: &HeaderMap,
        stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
    ) -> Result<Response, Refusal> {
        let began = Instant::now();
        if method != Method::PUT && method != Method::POST {
            let path = self.settings.path.clone();
            return Err(Refusal::NotPutOrPost { method: method.clone(), path });
        }
        check_content_type(headers)?;
        let announced = Announced {
            encoding: Encoding::of(headers)?,
            length_bytes: headers
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.parse().ok()),
        };

        let after = self.settings.body_timeout;
        let body = body::read(stream, announced, &self.settings, &self.memory);
        let body::Whole { bytes, reserved } = tokio::time::timeout(after, body)
            .await
            .map_err(|_| Refusal::BodyTimeout { after })??;

        let lines = body::lines(&bytes);
        let len = bytes.len() as u64;
        if lines == 0 {
            return Ok(reply::taken(0, len, false));
        }
        let table = Arc::clone(&self.settings.table);
        let new = NewBody { table, form: Form::Ndjson, first_line: 1, bytes };
        let receipt = self.journal.append(new).await?;
        drop(reserved);

        if receipt.duplicate {
            metrics::counter!(names::DUPLICATES).increment(1);
        } else {
            metrics::counter!(names::RECEIVED_BODIES).increment(1);
            metrics::counter!(names::RECEIVED_BYTES).increment(len);
            metrics::counter!(names::RECEIVED_LINES).increment(lines);
        }
        metrics::histogram!(names::ACK_SECONDS).record(began.elapsed());
        Ok(reply::taken(lines, len, receipt.duplicate))
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
        if let Err(error) = self.journal.status().accepting
            && !parts.iter().any(|part| part.part == "journal")
        {
            parts.push(Part { part: "journal", reason: error.to_string() });
        }
        parts
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_bodies_are_told_of_at_once_and_then_every_ten_seconds() {
        let (refused, start) = (Refused::default(), Instant::now());
        assert_eq!(refused.count(start), Some(1));
        assert_eq!(refused.count(start + Duration::from_secs(1)), None);
        assert_eq!(refused.count(start + Duration::from_secs(9)), None);
        assert_eq!(refused.count(start + Duration::from_secs(10)), Some(3));
        assert_eq!(refused.count(start + Duration::from_secs(11)), None);
    }

    #[test]
    fn one_trailing_slash_makes_no_difference() {
        for (path, expected) in [("/", "/"), ("/a", "/a"), ("/a/", "/a"), ("/a//", "/a/")] {
            assert_eq!(trimmed(path), expected);
        }
    }
}
