//! Health: liveness for everybody, and readiness, whose details are for operators.

use serde::Serialize;
use warp::http::StatusCode;

use super::receiver::Receiver;
use super::refusal::Refusal;
use super::reply::{self, Response};
use super::request::RequestHead;
use super::route::Route;
use crate::intake::Gate;
use crate::record::Micros;
use crate::status::Readiness;

/// A part of the program that is not ready, or in trouble.
#[derive(Serialize)]
struct Part {
    part: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct ReadyBody {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trouble: Vec<Part>,
    /// The time at which the oldest body that has not landed was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_pending: Option<String>,
}

/// Responds that the process runs.
pub(super) fn live(head: &RequestHead, route: &Route<'_>) -> Result<Response, Refusal> {
    route.check_read(&head.method)?;
    Ok(alive())
}

/// Returns the answer of a process that runs.
pub(super) fn alive() -> Response {
    reply::json(StatusCode::OK, r#"{"status":"live"}"#)
}

/// Responds with the readiness of the program. Only an operator learns which parts are not ready,
/// and which are in trouble behind the journal.
pub(super) async fn ready(
    receiver: &Receiver,
    head: &RequestHead,
    route: &Route<'_>,
) -> Result<Response, Refusal> {
    let details = receiver.check_host(head).is_ok()
        && head.peer.rules.admission.is_operator(&head.headers, head.peer.address.ip()).await;
    route.check_read(&head.method)?;
    Ok(readiness(&receiver.readiness, &receiver.gate, details))
}

/// Returns the answer about readiness: with parts, trouble and the oldest body if `details` are to be shown.
pub(super) fn readiness(readiness: &Readiness, gate: &Gate, details: bool) -> Response {
    let waiting = not_ready(readiness, gate);
    let (code, status) = match waiting.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let body = match details {
        true => ReadyBody {
            status,
            parts: parts(waiting),
            trouble: parts(readiness.trouble()),
            oldest_pending: readiness.oldest_pending().and_then(Micros::rfc3339),
        },
        false => ReadyBody { status, parts: vec![], trouble: vec![], oldest_pending: None },
    };
    reply::json(code, reply::to_text(&body))
}

fn parts(of: Vec<(&'static str, String)>) -> Vec<Part> {
    of.into_iter().map(|(part, reason)| Part { part, reason }).collect()
}

/// Returns the parts that are not ready, each with its reason. The journal is asked, as it need not report
/// itself; one that is not open yet is reported by the start.
pub(crate) fn not_ready(readiness: &Readiness, gate: &Gate) -> Vec<(&'static str, String)> {
    let mut parts = readiness.check().err().unwrap_or_default();
    if let Ok(intake) = gate.intake()
        && let Err(error) = intake.accepting()
        && !parts.iter().any(|(part, _)| *part == "journal")
    {
        parts.push(("journal", error.to_string()));
    }
    parts
}
