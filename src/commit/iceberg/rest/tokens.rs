//! Access tokens of OAuth 2.0 (RFC 6749, client credentials).
//!
//! A token is renewed before it expires, by the first request that finds it due; others wait for it. When the
//! endpoint is away, a token that is valid is used on, and the endpoint is tried again after a pause; without
//! one, the request fails, and the next one tries. A token that a catalog refused is dropped.

use std::time::{Duration, Instant};

use reqwest::{Client, Url};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use tokio::sync::Mutex;

use super::bounded_body::beginning;
use super::error::RestError;
use super::names;
use super::options::OAuth2;
use crate::error_text::{MOST_CHARACTERS, bounded, one_line};

/// Time before its end at which a token is renewed; a quarter of its life if that is less.
const BEFORE_END: Duration = Duration::from_secs(60);
/// Time after which the renewal of a valid token is tried again.
const PAUSE: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const MOST_BYTES: usize = 64 << 10;

/// The tokens of a client.
pub(super) struct Tokens {
    client: OAuth2,
    endpoint: Url,
    /// Held while the token is renewed. A future that is dropped leaves it as it was.
    token: Mutex<Option<Token>>,
}

/// A token with its times.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    value: String,
    /// None for one that does not say: it is used until it is refused.
    renew_at: Option<Instant>,
    ends_at: Option<Instant>,
}

impl Token {
    fn of(granted: Granted, now: Instant) -> Token {
        let life = granted.expires_in.map(Duration::from_secs);
        let ends_at = life.and_then(|life| now.checked_add(life));
        let renew_at = ends_at
            .zip(life)
            .and_then(|(ends_at, life)| ends_at.checked_sub(BEFORE_END.min(life / 4)));
        Token { value: granted.access_token, renew_at, ends_at }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.renew_at.is_some_and(|at| now >= at)
    }

    fn is_valid(&self, now: Instant) -> bool {
        self.ends_at.is_none_or(|at| now < at)
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

/// Deserialises a time in seconds, which some endpoints give as a text or with a fraction. One that is
/// neither is not known.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = match Json::deserialize(from)? {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text,
        _ => return Ok(None),
    };
    Ok(text.split('.').next().and_then(|whole| whole.trim().parse().ok()))
}

#[derive(Default, Deserialize)]
struct NotGranted {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Tokens {
    pub(super) fn new(client: OAuth2, endpoint: Url) -> Tokens {
        Tokens { client, endpoint, token: Mutex::new(None) }
    }

    /// Returns the address of the endpoint.
    pub(super) fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Returns a token.
    ///
    /// # Errors
    /// [`RestError::Refused`] for a client that the endpoint does not know, [`RestError::Away`] for
    /// an endpoint that cannot be asked.
    pub(super) async fn get(&self, http: &Client) -> Result<String, RestError> {
        let mut token = self.token.lock().await;
        let now = Instant::now();
        if let Some(token) = token.as_ref().filter(|token| !token.is_due(now)) {
            return Ok(token.value.clone());
        }
        match self.fetch(http).await {
            Ok(granted) => {
                let new = Token::of(granted, now);
                let value = new.value.clone();
                *token = Some(new);
                Ok(value)
            }
            Err(error) => match token.as_mut().filter(|token| token.is_valid(Instant::now())) {
                Some(token) => {
                    tracing::warn!("the token of the catalog is not renewed yet: {error}");
                    token.renew_at = Instant::now().checked_add(PAUSE);
                    Ok(token.value.clone())
                }
                None => Err(error),
            },
        }
    }

    /// Drops a token that the catalog refused, unless it was renewed since.
    pub(super) async fn forget(&self, refused: &str) {
        let mut token = self.token.lock().await;
        if token.as_ref().is_some_and(|token| token.value == refused) {
            *token = None;
        }
    }

    async fn fetch(&self, http: &Client) -> Result<Granted, RestError> {
        let away = |why: String| RestError::Away(format!("the token endpoint: {why}"));
        let mut fields = vec![("grant_type", "client_credentials")];
        fields.extend(self.client.client_id.as_deref().map(|id| ("client_id", id)));
        fields.push(("client_secret", &self.client.client_secret));
        if !self.client.scope.is_empty() {
            fields.push(("scope", &self.client.scope));
        }
        let field = |(name, value): &(&str, &str)| format!("{name}={}", names::encode_value(value));
        let form: Vec<String> = fields.iter().map(field).collect();
        let request = http
            .post(self.endpoint.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(form.join("&"));
        let mut answer = request.send().await.map_err(|error| away(one_line(&error)))?;
        let status = answer.status();
        let body = beginning(&mut answer, MOST_BYTES).await;
        let body = body.map_err(|error| away(one_line(&error)))?;
        if matches!(status.as_u16(), 400 | 401 | 403) {
            let NotGranted { error, error_description } =
                serde_json::from_slice(&body).unwrap_or_default();
            let said = bounded(&format!("{error} {error_description}"), MOST_CHARACTERS);
            return Err(RestError::Refused(format!(
                "the token endpoint answers {status}: {said}; are credential, scope and oauth2_uri under \
                 [catalog] right?"
            )));
        }
        if !status.is_success() {
            return Err(away(format!("the answer is {status}")));
        }
        let granted: Granted =
            serde_json::from_slice(&body).map_err(|_| away("it answers no token".to_owned()))?;
        let is_visible = |byte: u8| byte.is_ascii_graphic();
        if granted.access_token.is_empty() || !granted.access_token.bytes().all(is_visible) {
            return Err(away("its token is no text of a header".to_owned()));
        }
        Ok(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_life_of_a_token_is_read_in_the_forms_that_endpoints_have() {
        for (text, expected) in [
            ("3600", Some(3_600)),
            ("3599.0", Some(3_599)),
            (r#""3599""#, Some(3_599)),
            ("null", None),
            (r#""soon""#, None),
        ] {
            let granted = format!(r#"{{"access_token": "t", "expires_in": {text}}}"#);
            let granted: Granted = serde_json::from_str(&granted).unwrap();
            assert_eq!(granted.expires_in, expected, "{text}");
        }
        assert!(serde_json::from_str::<Granted>(r#"{"access_token": "t"}"#).is_ok());
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let now = Instant::now();
        let of = |expires_in| Token::of(Granted { access_token: "t".to_owned(), expires_in }, now);
        let after = |seconds| now + Duration::from_secs(seconds);
        let hour = of(Some(3_600));
        assert!(!hour.is_due(after(3_539)) && hour.is_due(after(3_540)));
        assert!(hour.is_valid(after(3_599)) && !hour.is_valid(after(3_600)));
        let short = of(Some(8));
        assert!(!short.is_due(after(5)) && short.is_due(after(6)));
        assert!(of(Some(0)).is_due(now) && !of(Some(0)).is_valid(now));
        for endless in [of(None), of(Some(u64::MAX))] {
            assert!(!endless.is_due(after(1 << 30)) && endless.is_valid(after(1 << 30)));
        }
    }
}
