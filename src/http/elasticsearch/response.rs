//! Responses as Elasticsearch words them.

use serde_json::Value;
use warp::http::StatusCode;
use warp::http::header::HeaderValue;

use crate::http::refusal::Refusal;
use crate::http::reply::{self, Response};

/// Returns the response to a refused request.
///
/// A 503 for want of capacity becomes 429: Fluent Bit, Logstash and the official clients send the
/// request again later only then.
pub(in crate::http) fn refused(refusal: &Refusal) -> Response {
    let status = match refusal.retry_after() {
        Some(_) if refusal.status() == StatusCode::SERVICE_UNAVAILABLE => {
            StatusCode::TOO_MANY_REQUESTS
        }
        _ => refusal.status(),
    };
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "es_rejected_execution_exception",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "security_exception",
        StatusCode::PAYLOAD_TOO_LARGE => "content_too_long_exception",
        status if status.is_server_error() => "unavailable_exception",
        _ => "illegal_argument_exception",
    };
    let mut response = error(status, kind, &refusal.to_string());
    if let Some((name, value)) = refusal.header() {
        response.headers_mut().insert(name, value);
    }
    refusal.mark(&mut response);
    response
}

/// Returns an error response with one cause.
pub(super) fn error(status: StatusCode, kind: &str, reason: &str) -> Response {
    let cause = cause(kind, reason);
    let text = format!(
        r#"{{"error":{{"root_cause":[{{{cause}}}],{cause}}},"status":{}}}"#,
        status.as_u16()
    );
    with_product(reply::json(status, text))
}

/// Returns the members `"type":…,"reason":…`.
pub(super) fn cause(kind: &str, reason: &str) -> String {
    format!(r#""type":{},"reason":{}"#, Value::from(kind), Value::from(reason))
}

/// Adds the header without which the official clients refuse to talk to a server.
pub(super) fn with_product(mut response: Response) -> Response {
    let value = HeaderValue::from_static("Elasticsearch");
    response.headers_mut().insert("x-elastic-product", value);
    response
}
