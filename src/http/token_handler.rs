//! The token endpoint: `POST /oauth2/token` (RFC 6749, client credentials).

use bytes::Buf;
use futures::Stream;
use warp::http::StatusCode;
use warp::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue};

use crate::auth::{Granted, NotGranted};

use super::admission;
use super::body::{BodyLimits, ReceivedBody};
use super::receiver::Receiver;
use super::refusal::Refusal;
use super::refusal_log::Refused;
use super::refusal_reason::Reason;
use super::reply::{self, Response};
use super::request::RequestHead;
use super::route::{Route, TOKEN_PATH};

/// The longest form, in bytes.
const MAX_FORM_BYTES: u64 = 16 << 10;

/// Responds with a token, or with the error that RFC 6749 has for the request.
///
/// # Errors
/// [`Refusal`] for a request that never reaches the issuer.
pub(super) async fn grant(
    receiver: &Receiver,
    head: &RequestHead,
    route: &Route<'_>,
    stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
) -> Result<Response, Refusal> {
    let address = head.peer.address.ip();
    head.peer.rules.admission.admit_peer(address)?;
    let issuer = head.peer.rules.admission.token_issuer().ok_or(Refusal::Forbidden)?;
    if let Some(allow) = route.not_allowed {
        let (method, path) = (head.method.clone(), TOKEN_PATH.to_owned());
        return Err(Refusal::NotPutOrPost { method, path, allow });
    }
    let limits =
        BodyLimits { body_limit_bytes: MAX_FORM_BYTES, inflated_limit_bytes: MAX_FORM_BYTES };
    let ReceivedBody { bytes: form, .. } = receiver.read_body(head, limits, stream).await?;
    let mut authorization =
        head.headers.get_all(AUTHORIZATION).iter().map(|value| value.as_bytes());
    let granted = match (authorization.next(), authorization.next()) {
        (_, Some(_)) => Err(NotGranted::Request),
        (authorization, None) => issuer.grant(authorization, &form, address).await,
    };
    Ok(response(granted))
}

fn response(granted: Result<Granted, NotGranted>) -> Response {
    let plain = |status, error: &str| reply::json(status, format!(r#"{{"error":"{error}"}}"#));
    let error = |status, error: &str| {
        let mut response = plain(status, error);
        let text = format!("the request for a token is answered {error}");
        response.extensions_mut().insert(Refused { reason: Reason::TokenRequest, text });
        response
    };
    let mut response = match granted {
        Ok(granted) => reply::json(StatusCode::OK, reply::to_text(&granted)),
        Err(NotGranted::GrantType) => error(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        Err(NotGranted::Request) => error(StatusCode::BAD_REQUEST, "invalid_request"),
        Err(NotGranted::Scope) => error(StatusCode::BAD_REQUEST, "invalid_scope"),
        Err(NotGranted::Denied(denied)) => {
            let refusal = admission::refusal(denied, r#"Basic realm="sessionlake""#);
            let mut response = plain(refusal.status(), "invalid_client");
            refusal.mark(&mut response);
            if let Some((name, value)) = refusal.header() {
                response.headers_mut().insert(name, value);
            }
            response
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
