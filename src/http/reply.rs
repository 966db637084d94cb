//! Answers: the one good one, and every refusal with its status, headers and text.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use warp::http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use warp::http::{Method, StatusCode};

use crate::auth::{Granted, NotGranted};
use crate::intake::bulk::BulkError;
use crate::intake::{self, Receipt, RefusalKind};

use super::encoding;

/// What warp's filters answer with.
pub(super) type Response = warp::reply::Response;

/// The `Server` header of every answer.
pub(super) const SERVER: &str = concat!("sessionlake/", env!("CARGO_PKG_VERSION"));

/// Content types that a body may have; a body with none is taken too.
pub(super) const CONTENT_TYPES: &[&str] = &[
    "application/json",
    "application/x-ndjson",
    "application/ndjson",
    "application/x-www-form-urlencoded",
    "text/plain",
    "application/octet-stream",
    "application/vnd.elasticsearch+x-ndjson",
    "application/vnd.elasticsearch+json",
];

/// When to come back after the memory for bodies could not be had.
const MEMORY_RETRY: Duration = Duration::from_secs(2);

/// Why a request is not answered with 200.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("nothing is at {asked}: send sessions to {path} by PUT or POST")]
    NotFound { asked: String, path: String },
    #[error(
        "{method} does nothing at {path}: send sessions by {}, one JSON document a line, for \
         instance: curl -X {first} --data-binary @sessions.json http://HOST:PORT{path}",
        allow.replace(", ", " or "),
        first = allow.split(',').next().unwrap_or_default()
    )]
    NotPutOrPost { method: Method, path: String, allow: &'static str },
    #[error("the request names no path")]
    NoPath,
    #[error("{method} does nothing here: use GET")]
    NotGet { method: Method },
    #[error("Content-Type {got:?} is not taken: send none, or one of {}", CONTENT_TYPES.join(", "))]
    ContentType { got: String },
    #[error("Content-Encoding {got:?} is not taken: send none, or one of {}", encoding::NAMES)]
    ContentEncoding { got: String },
    #[error(
        "the body is longer than {limit_bytes} bytes as sent: send smaller bulks, or raise the \
         receiver's body limit"
    )]
    SentTooLong { limit_bytes: u64 },
    #[error(
        "the body is longer than {limit_bytes} bytes when inflated: send smaller bulks, or raise \
         the receiver's inflated limit"
    )]
    InflatedTooLong { limit_bytes: u64 },
    #[error("the body did not arrive within {} s: send it again", after.as_secs_f64())]
    BodyTimeout { after: Duration },
    #[error("nothing of the body came for {} s: send it again", silence.as_secs_f64())]
    BodySilent { silence: Duration },
    #[error(
        "the body holds so much memory that it has to come faster: nothing was kept; send smaller \
         bulks"
    )]
    BodyTooLargeToBeSlow,
    #[error(
        "the body needs more memory than all bodies together may have: nothing was kept; send \
         smaller bulks"
    )]
    NeverFits,
    #[error(
        "the body ended early, after {received_bytes} bytes ({reason}): nothing was kept; send it \
         again"
    )]
    Interrupted { received_bytes: u64, reason: String },
    #[error(
        "the body is not whole {encoding} data, as its Content-Encoding says: {reason} near byte \
         {at_bytes} as sent, after {inflated_bytes} bytes inflated; nothing was kept"
    )]
    BrokenEncoding { encoding: &'static str, reason: String, at_bytes: u64, inflated_bytes: u64 },
    #[error("too many bodies are being received: nothing was kept; send it again a little later")]
    NoMemory,
    #[error("credentials are missing or wrong")]
    Unauthorized { challenge: &'static str },
    #[error("too many wrong credentials came from your address: come back later")]
    TooManyFailures { wait: Duration },
    #[error("too many senders are being looked up: send it again a little later")]
    AuthBusy,
    #[error("too many requests are under way: send it again a little later")]
    TooManyInFlight,
    #[error("this is not open to your address")]
    Forbidden,
    #[error(
        "this was sent by a web page, as its Origin or Sec-Fetch-Site says, and pages may not send \
         here: send it by a program"
    )]
    FromPage,
    #[error(
        "{asked:?} is no name of this receiver: ask for its address or for localhost, or have the \
         name in its host_names"
    )]
    Host { asked: String },
    #[error("too many requests: send fewer and larger bodies, or come back later")]
    TooManyRequests { wait: Duration },
    #[error("the answer to the bulk would have more than {limit_bytes} bytes: send smaller bulks")]
    AnswerTooLong { limit_bytes: usize },
    #[error(transparent)]
    Intake(#[from] intake::Refusal),
}

impl From<BulkError> for Refusal {
    fn from(error: BulkError) -> Refusal {
        Refusal::Intake(error.into())
    }
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Refusal::NotFound { .. } => StatusCode::NOT_FOUND,
            Refusal::NotPutOrPost { .. } | Refusal::NotGet { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::ContentType { .. } | Refusal::ContentEncoding { .. } => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Refusal::SentTooLong { .. }
            | Refusal::InflatedTooLong { .. }
            | Refusal::NeverFits
            | Refusal::AnswerTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::BodyTimeout { .. }
            | Refusal::BodySilent { .. }
            | Refusal::BodyTooLargeToBeSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::Interrupted { .. } | Refusal::BrokenEncoding { .. } => StatusCode::BAD_REQUEST,
            Refusal::NoPath => StatusCode::BAD_REQUEST,
            Refusal::Intake(refusal) => match refusal.kind() {
                RefusalKind::Invalid => StatusCode::BAD_REQUEST,
                RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            },
            Refusal::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Refusal::Forbidden | Refusal::FromPage | Refusal::Host { .. } => StatusCode::FORBIDDEN,
            Refusal::TooManyFailures { .. } | Refusal::TooManyRequests { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Refusal::NoMemory | Refusal::AuthBusy | Refusal::TooManyInFlight => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// When to come back.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::NoMemory | Refusal::AuthBusy | Refusal::TooManyInFlight => Some(MEMORY_RETRY),
            Refusal::TooManyFailures { wait } | Refusal::TooManyRequests { wait } => Some(*wait),
            Refusal::Intake(refusal) => refusal.retry_after(),
            _ => None,
        }
    }

    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Refusal::NotPutOrPost { allow, .. } => Some((ALLOW, HeaderValue::from_static(allow))),
            Refusal::Unauthorized { challenge } => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
            }
            Refusal::NotGet { .. } => Some((ALLOW, HeaderValue::from_static("GET, HEAD"))),
            Refusal::ContentEncoding { .. } => {
                Some((ACCEPT_ENCODING, HeaderValue::from_static(encoding::NAMES)))
            }
            _ => {
                // Whole seconds, rounded up: coming back early only meets the same refusal.
                let wait = self.retry_after()?;
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Some((RETRY_AFTER, HeaderValue::from(seconds.max(1))))
            }
        }
    }

    pub(super) fn into_response(self) -> Response {
        let text = Status { status: "error", error: &self.to_string() };
        let mut response = json(self.status(), to_text(&text));
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[derive(Serialize)]
struct Status<'a> {
    status: &'static str,
    error: &'a str,
}

#[derive(Serialize)]
struct Ready<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    parts: &'a [Part],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    trouble: &'a [Part],
}

/// A part of the program that is not ready, or in trouble.
#[derive(Serialize)]
pub(super) struct Part {
    /// Its name.
    pub(super) part: &'static str,
    /// Why not.
    pub(super) reason: String,
}

/// The body is durable.
pub(super) fn taken(Receipt { lines, bytes, duplicate }: Receipt) -> Response {
    json(
        StatusCode::OK,
        format!(r#"{{"status":"OK","lines":{lines},"bytes":{bytes},"duplicate":{duplicate}}}"#),
    )
}

/// Every part is ready, or some are not; which, is not for everybody.
pub(super) fn ready_or_not(waiting: &[Part]) -> Response {
    match waiting.is_empty() {
        true => ready(waiting, &[]),
        false => json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"not ready"}"#),
    }
}

/// What the token endpoint says (RFC 6749, 5).
pub(super) fn granted(granted: Result<Granted, NotGranted>) -> Response {
    let error = |status, error: &str| json(status, format!(r#"{{"error":"{error}"}}"#));
    let mut response = match granted {
        Ok(granted) => json(StatusCode::OK, to_text(&granted)),
        Err(NotGranted::GrantType) => error(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        Err(NotGranted::Request) => error(StatusCode::BAD_REQUEST, "invalid_request"),
        Err(NotGranted::Scope) => error(StatusCode::BAD_REQUEST, "invalid_scope"),
        Err(NotGranted::Denied(denied)) => {
            let refusal = super::admission::refusal(denied, r#"Basic realm="sessionlake""#);
            let mut response = error(refusal.status(), "invalid_client");
            if let Some((name, value)) = refusal.header() {
                response.headers_mut().insert(name, value);
            }
            response
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The process runs.
pub(super) fn live() -> Response {
    json(StatusCode::OK, r#"{"status":"live"}"#)
}

/// Every part is ready, or which are not; and what is in trouble behind the journal.
pub(super) fn ready(waiting: &[Part], trouble: &[Part]) -> Response {
    let (code, status) = match waiting.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    json(code, to_text(&Ready { status, parts: waiting, trouble }))
}

/// Prometheus text.
pub(super) fn metrics(text: String) -> Response {
    typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into())
}

pub(super) fn json(status: StatusCode, text: impl Into<Bytes>) -> Response {
    typed(status, "application/json", text.into())
}

fn typed(status: StatusCode, content_type: &'static str, text: Bytes) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn to_text(value: &impl Serialize) -> String {
    // Strings under fixed keys: there is nothing in them that JSON cannot hold.
    serde_json::to_string(value).unwrap_or_default()
}
