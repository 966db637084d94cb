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
    /// The body is no form.
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
        let key = match std::fs::read(path) {
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
pub(super) fn fields(form: &[u8]) -> Option<Vec<(String, String)>> {
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
pub(super) fn decoded(text: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    let decoded = percent_encoding::percent_decode(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
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
}
