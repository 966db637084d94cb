//! Responses with 200, and what all responses share.

use bytes::Bytes;
use serde::Serialize;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_TYPE, HeaderValue};

use crate::intake::Receipt;

/// The response type of warp's filters.
pub(super) type Response = warp::reply::Response;

/// The `Server` header of every response.
pub(super) const SERVER: &str = concat!("sessionlake/", env!("CARGO_PKG_VERSION"));

/// Returns the response to a body that is durable.
pub(super) fn accepted(Receipt { lines, bytes, duplicate }: Receipt) -> Response {
    json(
        StatusCode::OK,
        format!(r#"{{"status":"OK","lines":{lines},"bytes":{bytes},"duplicate":{duplicate}}}"#),
    )
}

/// Returns a response with a JSON text.
pub(super) fn json(status: StatusCode, text: impl Into<Bytes>) -> Response {
    typed(status, "application/json", text)
}

/// Returns a response with a text of this content type.
pub(super) fn typed(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<Bytes>,
) -> Response {
    let mut response = Response::new(text.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Returns `value` as JSON.
pub(super) fn to_text(value: &impl Serialize) -> String {
    // Strings under fixed keys: there is nothing in them that JSON cannot hold.
    serde_json::to_string(value).unwrap_or_default()
}
