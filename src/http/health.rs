//! Health: liveness for everybody, and readiness, whose details are for operators.

use serde::Serialize;
use warp::http::StatusCode;

use super::receiver::Receiver;
use super::refusal::Refusal;
use super::reply::{self, Response};
use super::request::RequestHead;
use super::route::Route;
use crate::record::Micros;

/// A part of the program that is not ready, or in trouble.
#[derive(Serialize)]
struct Part {
    part: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct ReadyBody<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    parts: &'a [Part],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    trouble: &'a [Part],
    /// The time at which the oldest body that has not landed was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_pending: Option<String>,
}

/// Responds that the process runs.
pub(super) fn live(head: &RequestHead, route: &Route<'_>) -> Result<Response, Refusal> {
    route.check_read(&head.method)?;
    Ok(reply::json(StatusCode::OK, r#"{"status":"live"}"#))
}

/// Responds with the readiness of the program. Only an operator learns which parts are not ready,
/// and which are in trouble behind the journal.
pub(super) async fn ready(
    receiver: &Receiver,
    head: &RequestHead,
    route: &Route<'_>,
) -> Result<Response, Refusal> {
    let details = receiver.check_host(head).is_ok()
        && receiver.admission.is_operator(&head.headers, head.peer.address.ip()).await;
    route.check_read(&head.method)?;
    let (parts, trouble) = (not_ready(receiver), trouble(receiver));
    let (code, status) = match parts.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let body = match details {
        true => {
            let oldest_pending = receiver.readiness.oldest_pending().and_then(Micros::rfc3339);
            ReadyBody { status, parts: &parts, trouble: &trouble, oldest_pending }
        }
        false => ReadyBody { status, parts: &[], trouble: &[], oldest_pending: None },
    };
    Ok(reply::json(code, reply::to_text(&body)))
}

/// Returns the parts behind the journal that are in trouble.
fn trouble(receiver: &Receiver) -> Vec<Part> {
    let trouble = receiver.readiness.trouble().into_iter();
    trouble.map(|(part, reason)| Part { part, reason }).collect()
}

/// Returns the parts that are not ready. The journal is asked, as it need not report itself.
fn not_ready(receiver: &Receiver) -> Vec<Part> {
    let reported = receiver.readiness.check().err().unwrap_or_default();
    let mut parts: Vec<_> =
        reported.into_iter().map(|(part, reason)| Part { part, reason }).collect();
    // One that is not open yet is reported by the start.
    if let Ok(intake) = receiver.gate.intake()
        && let Err(error) = intake.accepting()
        && !parts.iter().any(|part| part.part == "journal")
    {
        parts.push(Part { part: "journal", reason: error.to_string() });
    }
    parts
}
