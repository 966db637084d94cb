//! Answers.

use reqwest::StatusCode;
use serde::de::DeserializeOwned;

use super::error::{self, Effect, RestError};
use crate::error_text::one_line;

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Parses the body of a success.
    ///
    /// # Errors
    /// [`RestError`], by what the answer proves of a request with `effect`.
    pub(super) fn parsed<T: DeserializeOwned>(self, effect: Effect) -> Result<T, RestError> {
        if !self.status.is_success() {
            return Err(error::of_answer(self.status, &self.body, effect));
        }
        serde_json::from_slice(&self.body).map_err(|error| match effect {
            Effect::Read => {
                RestError::Refused(format!("the answer is none of a catalog: {}", one_line(&error)))
            }
            Effect::Write => RestError::Unknown("the answer is none of a catalog".to_owned()),
        })
    }
}
