//! Refusals: every reason for which a request is not answered with 200, with its status, headers
//! and text.

use std::time::Duration;

use serde::Serialize;
use warp::http::header::{
    ACCEPT_ENCODING, ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use warp::http::{Method, StatusCode};

use crate::foreign_format::ForeignFormat;
use crate::intake::bulk::BulkError;
use crate::intake::{self, RefusalKind};

use super::body_budget::BudgetError;
use super::encoding::{self, UnknownEncoding};
use super::event_streams::MOST_STREAMS;
use super::refusal_log::Refused;
use super::refusal_reason::Reason;
use super::reply::{self, Response};

/// The content types of bodies that are accepted, besides none.
pub(super) const CONTENT_TYPES: &[&str] = &[
    "application/json",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
    "application/json-lines",
    "text/jsonl",
    "text/x-ndjson",
    "text/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "application/octet-stream",
    "application/vnd.elasticsearch+x-ndjson",
    "application/vnd.elasticsearch+json",
];

/// The time after which a request for which there was no capacity is worth sending again.
const CAPACITY_RETRY: Duration = Duration::from_secs(2);

/// The reason for which a request is not answered with 200.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("nothing is at {asked}: send sessions to {path} by PUT or POST")]
    NotFound { asked: String, path: String },
    #[error(
        "nothing is at {asked}: this listener has /, /status.json, /events, /metrics, /health/live, /health/ready and, by POST, /admin/roll, /admin/reload and /admin/drain"
    )]
    NoStatus { asked: String },
    #[error(
        "{MOST_STREAMS} streams of events are open already: ask for /status.json, or close one"
    )]
    TooManyStreams,
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
    #[error("{method} does nothing here: use POST")]
    NotPost { method: Method },
    #[error(
        "administration is for operators, and without status_credentials nobody is told from anybody: \
         configure that file, and use the credentials of one of them"
    )]
    NoOperators,
    #[error("wait is a whole number of seconds, {most} at most")]
    Wait { most: u64 },
    #[error("this server was not started by the command serve, and has no configuration to read")]
    NoReload,
    #[error("Content-Type {got:?} is not taken: send none, or one of {}", CONTENT_TYPES.join(", "))]
    ContentType { got: String },
    #[error("the charset {got:?} is not taken: send JSON in UTF-8")]
    Charset { got: String },
    #[error(
        "Transfer-Encoding {got:?} is not taken: pack the body itself, and say so with \
         Content-Encoding"
    )]
    TransferEncoding { got: String },
    #[error(
        "the body is {encoding}, and no Content-Encoding says so: send it with the header \
         Content-Encoding: {encoding}; nothing was kept"
    )]
    UndeclaredEncoding { encoding: &'static str },
    #[error("the body is {format}; nothing was kept")]
    ForeignFormat { format: ForeignFormat },
    #[error(transparent)]
    ContentEncoding(#[from] UnknownEncoding),
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
    #[error("too many connections are open: send it again a little later")]
    TooManyConnections,
    #[error("this is not open to your address")]
    Forbidden,
    #[error(
        "this was sent by a web page, as its Origin or Sec-Fetch-Site says, and pages may not send \
         here: send it by a program"
    )]
    FromPage,
    #[error(
        "Host {asked:?} is not accepted: use the address of this receiver or localhost, or add the \
         name to its host_names"
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

impl From<BudgetError> for Refusal {
    fn from(error: BudgetError) -> Refusal {
        match error {
            BudgetError::TimedOut => Refusal::NoMemory,
            BudgetError::ExceedsBudget => Refusal::NeverFits,
        }
    }
}

impl Refusal {
    /// Returns the status of the response.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Refusal::NotFound { .. } | Refusal::NoStatus { .. } => StatusCode::NOT_FOUND,
            Refusal::NotPutOrPost { .. } | Refusal::NotGet { .. } | Refusal::NotPost { .. } => {
                StatusCode::METHOD_NOT_ALLOWED
            }
            Refusal::NoReload => StatusCode::NOT_IMPLEMENTED,
            Refusal::ContentType { .. }
            | Refusal::Charset { .. }
            | Refusal::UndeclaredEncoding { .. }
            | Refusal::ForeignFormat { .. }
            | Refusal::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::TransferEncoding { .. } => StatusCode::NOT_IMPLEMENTED,
            Refusal::SentTooLong { .. }
            | Refusal::InflatedTooLong { .. }
            | Refusal::NeverFits
            | Refusal::AnswerTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::BodyTimeout { .. }
            | Refusal::BodySilent { .. }
            | Refusal::BodyTooLargeToBeSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::Interrupted { .. } | Refusal::BrokenEncoding { .. } => StatusCode::BAD_REQUEST,
            Refusal::NoPath | Refusal::Wait { .. } => StatusCode::BAD_REQUEST,
            Refusal::Intake(refusal) => match refusal.kind() {
                RefusalKind::Invalid => StatusCode::BAD_REQUEST,
                RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            },
            Refusal::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Refusal::Forbidden
            | Refusal::NoOperators
            | Refusal::FromPage
            | Refusal::Host { .. } => StatusCode::FORBIDDEN,
            Refusal::TooManyFailures { .. } | Refusal::TooManyRequests { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Refusal::NoMemory
            | Refusal::AuthBusy
            | Refusal::TooManyInFlight
            | Refusal::TooManyStreams
            | Refusal::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the time after which the request is worth sending again; `None` if never.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::NoMemory
            | Refusal::AuthBusy
            | Refusal::TooManyInFlight
            | Refusal::TooManyStreams
            | Refusal::TooManyConnections => Some(CAPACITY_RETRY),
            Refusal::TooManyFailures { wait } | Refusal::TooManyRequests { wait } => Some(*wait),
            Refusal::Intake(refusal) => refusal.retry_after(),
            _ => None,
        }
    }

    /// Returns the header that tells a client how to do better.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Refusal::NotPutOrPost { allow, .. } => Some((ALLOW, HeaderValue::from_static(allow))),
            Refusal::Unauthorized { challenge } => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
            }
            Refusal::NotGet { .. } => Some((ALLOW, HeaderValue::from_static("GET, HEAD"))),
            Refusal::NotPost { .. } => Some((ALLOW, HeaderValue::from_static("POST"))),
            Refusal::ContentEncoding(_) | Refusal::UndeclaredEncoding { .. } => {
                Some((ACCEPT_ENCODING, HeaderValue::from_static(encoding::NAMES)))
            }
            _ => {
                // Whole seconds, rounded up: a request that comes early meets the same refusal.
                let wait = self.retry_after()?;
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Some((RETRY_AFTER, HeaderValue::from(seconds.max(1))))
            }
        }
    }

    /// Returns the response, as [`Refusal::to_response`] does.
    pub(super) fn into_response(self) -> Response {
        self.to_response()
    }

    /// Returns the response: its text as the member `error` of a JSON object.
    pub(super) fn to_response(&self) -> Response {
        let body = ErrorBody { status: "error", error: &self.to_string() };
        let mut response = reply::json(self.status(), reply::to_text(&body));
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        self.mark(&mut response);
        response
    }

    /// Returns the reason, for the log and the metrics.
    fn reason(&self) -> Reason {
        match self {
            Refusal::NotFound { .. } | Refusal::NoStatus { .. } => Reason::NotFound,
            Refusal::NotPutOrPost { .. } | Refusal::NotGet { .. } | Refusal::NotPost { .. } => {
                Reason::Method
            }
            Refusal::NoPath | Refusal::Wait { .. } => Reason::Head,
            Refusal::NoReload => Reason::NotFound,
            Refusal::ContentType { .. } => Reason::MediaType,
            Refusal::Charset { .. } | Refusal::ForeignFormat { .. } => Reason::Format,
            Refusal::TransferEncoding { .. }
            | Refusal::UndeclaredEncoding { .. }
            | Refusal::ContentEncoding(_)
            | Refusal::BrokenEncoding { .. } => Reason::Encoding,
            Refusal::SentTooLong { .. }
            | Refusal::InflatedTooLong { .. }
            | Refusal::NeverFits
            | Refusal::AnswerTooLong { .. } => Reason::TooLarge,
            Refusal::BodyTimeout { .. }
            | Refusal::BodySilent { .. }
            | Refusal::BodyTooLargeToBeSlow => Reason::Timeout,
            Refusal::Interrupted { .. } => Reason::Interrupted,
            Refusal::NoMemory
            | Refusal::AuthBusy
            | Refusal::TooManyInFlight
            | Refusal::TooManyStreams
            | Refusal::TooManyConnections => Reason::Capacity,
            Refusal::Unauthorized { .. } | Refusal::NoOperators => Reason::Credentials,
            Refusal::TooManyFailures { .. } => Reason::FailedAttempts,
            Refusal::Forbidden => Reason::Address,
            Refusal::FromPage => Reason::WebPage,
            Refusal::Host { .. } => Reason::Host,
            Refusal::TooManyRequests { .. } => Reason::Rate,
            Refusal::Intake(intake::Refusal::Bulk(BulkError::Line { .. })) => Reason::Format,
            Refusal::Intake(refusal) if refusal.kind() == intake::RefusalKind::TooLarge => {
                Reason::TooLarge
            }
            Refusal::Intake(_) => Reason::Journal,
        }
    }

    /// Marks a response as this refusal, for the log and the metrics.
    pub(super) fn mark(&self, response: &mut Response) {
        let refused = Refused { reason: self.reason(), text: self.to_string() };
        response.extensions_mut().insert(refused);
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    status: &'static str,
    error: &'a str,
}
