//! Tokens of the token endpoint (OAuth 2.0, RFC 6749, client credentials), for senders without an
//! authorization server.
//!
//! A token is `sl1.PAYLOAD.MAC`, both in base64url: the payload says who, which scopes, until when;
//! the MAC is HMAC-SHA256 under a key in the state directory, over the payload and the client's
//! stored secret, so that a changed or removed client voids its tokens at once. Nothing is stored.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::error::{CredentialsError, Denied};
use super::file::{Client, Credentials};
use super::header::pair;
use crate::secret_path::{self, Kept};

/// Begins every token, and names its format.
const PREFIX: &str = "sl1";

/// A granted token: the answer of the token endpoint.
#[derive(Debug, Serialize)]
pub struct Granted {
    /// The token.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Seconds that it is valid for.
    pub expires_in: u64,
    /// Scopes, with spaces between.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

/// The reason for which no token was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGranted {
    /// The grant type is not `client_credentials`.
    GrantType,
    /// The body is no form, lacks `grant_type`, or has a parameter twice; or the client authenticates
    /// itself in two ways.
    Request,
    /// The client does not have the scope.
    Scope,
    /// The client or its secret is wrong, or there were too many attempts.
    Denied(Denied),
}

/// The signed part of a token.
#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) sub: String,
    pub(super) scope: Vec<String>,
    pub(super) exp: u64,
}

/// A request for a token, as far as it can be told without the clients.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenRequest {
    pub(super) id: String,
    pub(super) secret: String,
    /// Scopes with spaces between; all of the client's without it.
    pub(super) scope: Option<String>,
}

impl TokenRequest {
    /// Parses the header `Authorization` and the body of a request. Two readers of one request must not
    /// find two clients in it: a parameter is there once (RFC 6749, 3.2), and the client authenticates
    /// itself in one way (2.3). Beside the header, `client_id` may repeat its name.
    ///
    /// # Errors
    /// [`NotGranted`]; [`NotGranted::Denied`] for credentials that are missing or no text, for which no
    /// peer has been charged.
    pub(super) fn parse(
        authorization: Option<&[u8]>,
        form: &[u8],
    ) -> Result<TokenRequest, NotGranted> {
        let form = fields(form).ok_or(NotGranted::Request)?;
        let mut names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.array_windows().any(|[name, next]| name == next) {
            return Err(NotGranted::Request);
        }
        // One without a value is none.
        let field = |name: &str| {
            let found = form.iter().find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.as_str())
        };
        match field("grant_type") {
            Some("client_credentials") => {}
            Some(_) => return Err(NotGranted::GrantType),
            None => return Err(NotGranted::Request),
        }
        let denied = || NotGranted::Denied(Denied::Unauthorized);
        let (id, secret) = match (authorization, field("client_id"), field("client_secret")) {
            (Some(_), _, Some(_)) => return Err(NotGranted::Request),
            (Some(header), repeated, None) => {
                let (id, secret) = basic(header).ok_or_else(denied)?;
                if repeated.is_some_and(|repeated| repeated != id) {
                    return Err(NotGranted::Request);
                }
                (id, secret)
            }
            (None, Some(id), Some(secret)) => (id.to_owned(), secret.to_owned()),
            (None, ..) => return Err(denied()),
        };
        let scope = field("scope").map(str::trim).filter(|scope| !scope.is_empty());
        Ok(TokenRequest { id, secret, scope: scope.map(str::to_owned) })
    }
}

/// Returns the client and the secret of a header, in which both are form-encoded (RFC 6749, 2.3.1).
fn basic(header: &[u8]) -> Option<(String, String)> {
    let (scheme, value) = std::str::from_utf8(header).ok()?.trim().split_once(' ')?;
    let (id, secret) = pair(value.trim()).filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    Some((decoded(id.as_bytes())?, decoded(secret.as_bytes())?))
}

/// Signs and verifies tokens.
#[derive(Debug)]
pub(super) struct Signer {
    key: hmac::Key,
}

impl Signer {
    /// Creates a signer with the key in `path`, which is created if it is missing.
    ///
    /// # Errors
    /// [`CredentialsError`]: the key cannot be read or created.
    pub(super) fn open(path: &Path) -> Result<Signer, CredentialsError> {
        let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
        let key = match secret_path::read(path, Kept::Secret) {
            Ok(key) if key.len() >= 32 => key,
            Ok(_) => {
                let what = "it has less than 32 bytes; remove it, and another is made".to_owned();
                return Err(CredentialsError::Wrong { path: path.to_owned(), what });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = vec![0; 32];
                getrandom::fill(&mut key).map_err(|_| CredentialsError::Random)?;
                let dir = path.parent().unwrap_or(Path::new("."));
                std::fs::create_dir_all(dir).map_err(failed)?;
                write_whole(path, dir, &key).map_err(failed)?;
                key
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Signer { key: hmac::Key::new(hmac::HMAC_SHA256, &key) })
    }

    /// Returns the bytes that are signed.
    fn message(payload: &str, client: &Client) -> Vec<u8> {
        let mut message = payload.as_bytes().to_vec();
        message.extend(client.secret.fingerprint());
        message
    }

    /// Returns the token of a client.
    pub(super) fn sign(&self, payload: &Payload, client: &Client) -> String {
        let payload = serde_json::to_vec(payload).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let mac = hmac::sign(&self.key, &Signer::message(&payload, client));
        format!("{PREFIX}.{payload}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// Returns the client and the scopes of a token; `None` for one that is not valid.
    pub(super) fn verify(
        &self,
        token: &str,
        credentials: &Credentials,
    ) -> Option<(Arc<str>, Vec<String>)> {
        let rest = token.strip_prefix(PREFIX)?.strip_prefix('.')?;
        let (payload, mac) = rest.split_once('.')?;
        let read: Payload = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let client = credentials.clients.get(&read.sub)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&self.key, &Signer::message(payload, client), &mac).ok()?;
        let held = read.scope.iter().all(|scope| client.scopes.contains(scope));
        (held && jsonwebtoken::get_current_timestamp() < read.exp)
            .then(|| (read.sub.as_str().into(), read.scope))
    }
}

/// Writes a file that only its owner can read, whole or not at all, even after a crash.
fn write_whole(path: &Path, dir: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    // The file that a crash has left may be readable by others.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::File::options();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    std::fs::File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?.sync_all()
}

/// Returns the fields of an `application/x-www-form-urlencoded` body; `None` for text that is no UTF-8.
fn fields(form: &[u8]) -> Option<Vec<(String, String)>> {
    form.split(|b| *b == b'&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            let at = memchr::memchr(b'=', field).unwrap_or(field.len());
            let (key, value) = field.split_at_checked(at)?;
            Some((decoded(key)?, decoded(value.get(1..).unwrap_or_default())?))
        })
        .collect()
}

/// Decodes one form-encoded text; returns `None` for text that is no UTF-8.
fn decoded(text: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    let decoded = percent_encoding::percent_decode(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn forms_are_decoded() {
        let form = fields(b"grant_type=client_credentials&client_id=a%40b&client_secret=x+y%2B&e")
            .unwrap();
        let expected = [
            ("grant_type", "client_credentials"),
            ("client_id", "a@b"),
            ("client_secret", "x y+"),
            ("e", ""),
        ];
        assert_eq!(form.iter().map(|(k, v)| (&**k, &**v)).collect::<Vec<_>>(), expected);
        assert!(fields(b"a=%ff").is_none());
    }

    #[test]
    fn a_request_has_each_parameter_once_and_one_client() {
        let header = |pair: &str| format!("Basic {}", STANDARD.encode(pair)).into_bytes();
        let parse = |authorization: Option<&str>, form: &str| {
            let header = authorization.map(header);
            TokenRequest::parse(header.as_deref(), form.as_bytes())
        };
        let grant = "grant_type=client_credentials";
        let of = |id: &str, scope: Option<&str>| {
            let (secret, scope) = ("s".to_owned(), scope.map(str::to_owned));
            Ok(TokenRequest { id: id.to_owned(), secret, scope })
        };
        let whole = format!("{grant}&client_id=a&client_secret=s");
        assert_eq!(parse(None, &whole), of("a", None));
        assert_eq!(parse(None, &format!("{whole}&scope=x+y&other=1")), of("a", Some("x y")));
        assert_eq!(parse(Some("a%20b:s"), grant), of("a b", None));
        assert_eq!(
            parse(Some("a:s"), &format!("{grant}&client_id=a&client_secret=")),
            of("a", None)
        );
        for (authorization, form) in [
            (None, whole.clone() + "&client_id=b"),
            (None, whole.clone() + "&client_id=a"),
            (None, whole.clone() + "&client_secret="),
            (None, whole.clone() + "&" + grant),
            (None, whole.clone() + "&scope=x&scope=y"),
            (None, whole.clone() + "&other=1&%6fther=1"),
            (Some("a:s"), whole.clone()),
            (Some("a:s"), grant.to_owned() + "&client_id=b"),
            (Some("a:s"), grant.to_owned() + "&client_secret=s"),
            (None, "client_id=a&client_secret=s".to_owned()),
        ] {
            assert_eq!(parse(authorization, &form), Err(NotGranted::Request), "{form}");
        }
        let other = TokenRequest::parse(Some(b"Bearer x"), grant.as_bytes());
        for denied in [other, parse(None, grant), parse(None, &format!("{grant}&client_id=a"))] {
            assert_eq!(denied, Err(NotGranted::Denied(Denied::Unauthorized)));
        }
        assert_eq!(parse(None, "grant_type=password"), Err(NotGranted::GrantType));
    }
}
