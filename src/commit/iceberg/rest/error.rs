//! Outcomes of requests that did not succeed.

use reqwest::StatusCode;
use serde::Deserialize;

use crate::error_text::{MOST_CHARACTERS, bounded};

/// The failure of a request, by what the caller must do. Texts are one bounded line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::commit::iceberg) enum RestError {
    /// Another commit was first, perhaps this very one; or the name exists. Look, and decide.
    #[error("{0}")]
    Conflict(String),
    /// The change may have happened. Look, and decide.
    #[error("{0}")]
    Unknown(String),
    /// It did not happen, and trying again as it is does not help.
    #[error("{0}")]
    Refused(String),
    /// It did not happen: the catalog cannot be asked at the moment.
    #[error("{0}")]
    Away(String),
}

/// The effect of a request: what a lost answer leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It changes nothing.
    Read,
    /// It changes something.
    Write,
}

impl Effect {
    /// Returns the failure of a request of which no answer came.
    pub(super) fn unanswered(self, why: String) -> RestError {
        match self {
            Effect::Read => RestError::Away(why),
            Effect::Write => RestError::Unknown(why),
        }
    }
}

/// The form of errors of a catalog.
#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorModel,
}

#[derive(Deserialize)]
struct ErrorModel {
    #[serde(default)]
    message: String,
    #[serde(default, rename = "type")]
    kind: String,
}

/// Returns the failure that an answer is.
pub(super) fn of_answer(status: StatusCode, body: &[u8], effect: Effect) -> RestError {
    let why = message(status, body);
    match status.as_u16() {
        409 => RestError::Conflict(why),
        400 | 401 | 403 | 404 | 405 | 406 | 422 => RestError::Refused(why),
        _ => effect.unanswered(why),
    }
}

/// Tells whether a 404 is of a catalog that does not have a table or namespace. That of a wrong address
/// is none.
pub(super) fn is_missing(status: StatusCode, body: &[u8]) -> bool {
    let missing = |error: ErrorModel| {
        matches!(&*error.kind, "NoSuchTableException" | "NoSuchNamespaceException")
    };
    status == StatusCode::NOT_FOUND
        && serde_json::from_slice::<ErrorBody>(body).is_ok_and(|body| missing(body.error))
}

fn message(status: StatusCode, body: &[u8]) -> String {
    let said = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error: ErrorModel { message, kind } }) => format!("{kind}: {message}"),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let said = match said.trim() {
        "" => format!("the catalog answers {status}"),
        said => format!("the catalog answers {status}: {}", bounded(said, MOST_CHARACTERS)),
    };
    match status.as_u16() {
        401 | 419 => format!(
            "{said}; it does not know who asks: give the credential, token or signing_name under \
             [catalog] that it wants"
        ),
        403 => format!(
            "{said}; let the credentials under [catalog] create namespaces and tables, and read and change \
             tables, in the namespace"
        ),
        _ => said,
    }
}
