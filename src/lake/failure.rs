//! Failures of an object store: told once, with what to do about them.
//!
//! The client's errors hold the request, the number of its attempts and the answer, each several
//! times and the answer with its XML: close to a thousand characters. [`describe`] keeps the request,
//! the status, and the code and message of the answer; [`advice`] goes by these and by the types of
//! the causes. The client keeps request, status and answer in a type of its own, so [`Request`] reads
//! them from its text, at this one place.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::ErrorKind;

use object_store::client::{HttpError, HttpErrorKind};

use super::StoreError;
use crate::error_text::{MOST_CHARACTERS, bounded, causes, one_line};

/// Returns the failure on one line of at most [`MOST_CHARACTERS`].
pub(super) fn describe(error: &object_store::Error) -> String {
    let Some(request) = Request::of(error) else { return one_line(error) };
    let answer = match (find::<HttpError>(error), Answer::parse(&request.answer)) {
        (Some(unanswered), _) => deepest(unanswered),
        (None, Some(answer)) => format!("{}, {}", request.status(), answer.text()),
        (None, None) => request.answer.clone(),
    };
    bounded(&format!("{}: {answer}", request.line), MOST_CHARACTERS)
}

/// Returns whether the store does not know what it was asked for, and so has not done it.
pub(super) fn is_not_implemented(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotImplemented { .. })
        || Request::of(error).is_some_and(|request| request.code() == Some(501))
}

/// Returns whether the store refuses the request to these credentials. The client has a type for that,
/// and not for a listing.
pub(super) fn is_denied(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::PermissionDenied { .. })
        || Request::of(error).is_some_and(|request| request.code() == Some(403))
}

/// Returns the error of the client for a listing that S3 refuses: one without a type of its own.
#[cfg(test)]
pub(crate) fn denied_listing() -> object_store::Error {
    let said = "Error performing list request: Error performing GET http://x/y?list-type=2 in 1ms - \
                Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>";
    object_store::Error::Generic { store: "S3", source: said.into() }
}

/// Returns advice on the failure of an object store, if there is one among the error and its causes.
/// Errors that wrap a [`StoreError`] have it as their cause for this: a transparent one hides its type.
#[must_use]
pub fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    causes(error).filter_map(store_error).find_map(of_store)
}

fn store_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a object_store::Error> {
    match error.downcast_ref::<StoreError>() {
        Some(StoreError::Object { error, .. }) => Some(error),
        // It says what to do.
        Some(_) => None,
        None => error.downcast_ref(),
    }
}

fn of_store(error: &object_store::Error) -> Option<&'static str> {
    let refused = matches!(
        error,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
    );
    let Some(request) = Request::of(error) else { return refused.then_some(REFUSED) };
    let code = Answer::parse(&request.answer).map(|answer| answer.code).unwrap_or_default();
    of_code(&code)
        .or_else(|| of_metadata_service(&request.line))
        .or_else(|| find(error).and_then(of_connection))
        .or_else(|| request.answer.contains("redirect without LOCATION").then_some(REGION))
        .or_else(|| of_status(request.code().unwrap_or_default()))
        .or_else(|| refused.then_some(REFUSED))
}

/// A request that failed, as the client tells of it: `Error performing GET http://… in 3ms, after 5
/// retries, …  - Server returned non-2xx status code: 403 Forbidden: <?xml …`.
struct Request {
    /// Method and address.
    line: String,
    /// The answer, or the reason why there was none.
    answer: String,
}

impl Request {
    fn of(error: &object_store::Error) -> Option<Request> {
        let text = error.to_string();
        let (head, answer) = text.split_once(" - ")?;
        // Of a listing it is told twice, the second time with the address.
        let (_, head) = head.rsplit_once("Error performing ")?;
        let line = head.split_once(" in ").map_or(head, |(line, _)| line);
        let answer = answer.trim_start_matches("Server returned non-2xx status code: ");
        let answer = answer.trim_start_matches("Server returned error response: ");
        let answer = answer.trim().trim_end_matches(':');
        Some(Request { line: line.trim().to_owned(), answer: answer.to_owned() })
    }

    /// Returns the code of the status, if there was an answer.
    fn code(&self) -> Option<u16> {
        self.answer.get(..3)?.parse().ok()
    }

    /// Returns the status with its name: `403 Forbidden`.
    fn status(&self) -> &str {
        let end = self.answer.find([':', '<', '{']).unwrap_or(self.answer.len());
        self.answer.get(..end).unwrap_or_default().trim()
    }
}

const REFUSED: &str = "the store refuses these credentials: they may be wrong, or may not do this \
    here; the rights that each command needs are listed in docs/security.md";
const REGION: &str =
    "the bucket is in another region: set AWS_REGION, or aws_region under [storage]";

/// Returns advice on an answer, by its code.
fn of_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "NoSuchBucket" | "ContainerNotFound" => {
            "there is no such bucket: make it, or give another lake"
        }
        "SignatureDoesNotMatch" => {
            "the secret key is not the one of this access key: see AWS_SECRET_ACCESS_KEY, or \
             aws_secret_access_key under [storage]"
        }
        "InvalidAccessKeyId" => {
            "the store does not know this access key: see AWS_ACCESS_KEY_ID, or aws_access_key_id \
             under [storage]"
        }
        "ExpiredToken" | "TokenRefreshRequired" => {
            "the credentials have expired: give others, or ones that renew themselves (a role)"
        }
        "RequestTimeTooSkewed" => "the clock of this machine is wrong",
        "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IncorrectEndpoint" => REGION,
        _ => return None,
    })
}

fn of_status(status: u16) -> Option<&'static str> {
    match status {
        300..=399 => Some(
            "the store sends requests to another address, and no redirect is followed: give the \
             address itself (AWS_ENDPOINT_URL, or aws_endpoint under [storage]), or the region",
        ),
        401 | 403 => Some(REFUSED),
        429 | 500 | 502..=504 => {
            Some("the store is overloaded or failing: look at it; the request is made again")
        }
        501 => Some(
            "the store does not know this kind of request; if it is a conditional put, say so with \
             aws_conditional_put = \"disabled\" under [storage]",
        ),
        _ => None,
    }
}

/// Returns advice on a request that was not answered.
fn of_connection(error: &HttpError) -> Option<&'static str> {
    if find::<std::io::Error>(error).is_some_and(|io| io.kind() == ErrorKind::ConnectionRefused) {
        return Some(
            "nobody listens there: is the store running, and is its address (AWS_ENDPOINT_URL, or \
             aws_endpoint under [storage]) right?",
        );
    }
    let deepest = deepest(error);
    if deepest.contains("URL scheme is not allowed") {
        return Some(
            "plain http:// is spoken only if asked for: set AWS_ALLOW_HTTP=true, or allow_http = \
             true under [storage]",
        );
    }
    if ["failed to lookup address", "No such host", "no record found", "dns error"]
        .iter()
        .any(|said| deepest.contains(said))
    {
        return Some(
            "there is no such host: is the address of the store (AWS_ENDPOINT_URL, or aws_endpoint \
             under [storage]), or its region, spelled right?",
        );
    }
    (error.kind() == HttpErrorKind::Timeout).then_some(
        "there was no answer in time: is the network slow, or store_timeout too short for it?",
    )
}

/// Returns advice on a request to a cloud's service for credentials, which is asked only when none are
/// set.
fn of_metadata_service(request: &str) -> Option<&'static str> {
    let asks = |words: &[&str]| words.iter().any(|word| request.contains(word));
    Some(if asks(&["/metadata/identity"]) {
        "there are no credentials: set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, \
         or their like under [storage]"
    } else if asks(&["/computeMetadata/", "metadata.google.internal"]) {
        "there are no credentials: set GOOGLE_SERVICE_ACCOUNT, or google_service_account under \
         [storage]"
    } else if asks(&["169.254.169.254", "169.254.170.2"]) {
        "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
         aws_access_key_id and aws_secret_access_key under [storage]; profiles and files below \
         ~/.aws are not read (aws configure export-credentials --format env shows what they give)"
    } else {
        return None;
    })
}

/// The code and the message of a store's answer.
struct Answer {
    code: String,
    message: String,
}

impl Answer {
    /// Reads an answer of XML (S3, Azure, Google) or JSON (Google). `None` for one without a code.
    fn parse(body: &str) -> Option<Answer> {
        let element = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            Some(rest.split_once(&format!("</{name}>"))?.0.trim().to_owned())
        };
        if let Some(code) = element("Code").filter(|code| !code.is_empty()) {
            return Some(Answer { code, message: element("Message").unwrap_or_default() });
        }
        let json: serde_json::Value = serde_json::from_str(body.get(body.find('{')?..)?).ok()?;
        let error = json.get("error")?;
        let text = |key: &str| error.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        let code = text("status").or_else(|| error.as_str().map(str::to_owned))?;
        Some(Answer { code, message: text("message").unwrap_or_default() })
    }

    fn text(&self) -> String {
        match self.message.is_empty() {
            true => self.code.clone(),
            false => format!("{}: {}", self.code, self.message.trim_end_matches('.')),
        }
    }
}

/// Returns the text of the last cause.
fn deepest(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// Returns the first of the error and its causes that is a `T`.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}
