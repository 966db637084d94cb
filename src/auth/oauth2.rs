//! The token endpoint's side of OAuth 2.0 (RFC 6749, client credentials), for those who have no
//! authorization server.
//!
//! A token is `sl1.PAYLOAD.MAC`, both in base64url: the payload says who, which scopes, until when;
//! the MAC is HMAC-SHA256 under a key in the state directory, over the payload and the client's
//! stored secret, so that a changed or removed client voids its tokens at once. Nothing is stored.

use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::file::{Client, Credentials, CredentialsError};
use super::{Auth, Denied, pair};
use crate::peers::Peer;

const PREFIX: &str = "sl1";

/// A token was granted: the answer of the token endpoint.
#[derive(Debug, Serialize)]
pub struct Granted {
    /// The token.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Seconds it is good for.
    pub expires_in: u64,
    /// Scopes, with spaces between.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

/// Why no token was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGranted {
    /// Not `grant_type=client_credentials`.
    GrantType,
    /// No form, or a scope the client does not have.
    Request,
    /// A scope that the client does not have.
    Scope,
    /// Not a client, or not its secret; or too many tries.
    Denied(Denied),
}

#[derive(Serialize, Deserialize)]
struct Payload {
    sub: String,
    scope: Vec<String>,
    exp: u64,
}

/// Makes and verifies tokens.
#[derive(Debug)]
pub(super) struct Signer {
    key: hmac::Key,
}

impl Signer {
    /// With the key in `path`, which is made if it is missing.
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

    fn message(payload: &str, client: &Client) -> Vec<u8> {
        let mut message = payload.as_bytes().to_vec();
        message.extend(client.secret.fingerprint());
        message
    }

    fn sign(&self, payload: &Payload, client: &Client) -> String {
        let payload = serde_json::to_vec(payload).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let mac = hmac::sign(&self.key, &Signer::message(&payload, client));
        format!("{PREFIX}.{payload}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// Whose token it is, with which scopes; `None` for any that is not good (any more).
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

/// Writes a file that only its owner can read: there whole, even after a crash, or not at all.
fn write_whole(path: &Path, dir: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    // What a crash has left may be anybody's to read.
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

impl Auth {
    /// Answers a request for a token: `form` is its body, `authorization` its header, if any.
    ///
    /// # Errors
    /// [`NotGranted`].
    pub async fn grant(
        &self,
        authorization: Option<&[u8]>,
        form: &[u8],
        from: IpAddr,
    ) -> Result<Granted, NotGranted> {
        let form = fields(form).ok_or(NotGranted::Request)?;
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
        if field("grant_type") != Some("client_credentials") {
            return Err(NotGranted::GrantType);
        }
        let peer = Peer::of(from);
        let denied = |denied| NotGranted::Denied(denied);
        let basic = authorization
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, value)| pair(value.trim()));
        let (id, secret) = match (basic, field("client_id"), field("client_secret")) {
            // RFC 6749, 2.3.1: both are form-encoded within the header.
            (Some((id, secret)), ..) => {
                let decode = |text: &str| decoded(text.as_bytes());
                let (Some(id), Some(secret)) = (decode(&id), decode(&secret)) else {
                    return Err(denied(self.failed(peer)));
                };
                (id, secret)
            }
            (None, Some(id), Some(secret)) => (id.to_owned(), secret.to_owned()),
            _ => return Err(denied(self.failed(peer))),
        };
        let credentials = self.credentials();
        let client = credentials.clients.get(&id);
        let stored = client.map(|client| &client.secret);
        let known = self.verifier.verify(stored, &credentials.nobody, &id, &secret, peer).await;
        let client = match (known, client) {
            (Ok(()), Some(client)) => client,
            (Ok(()), None) => return Err(denied(self.failed(peer))),
            (Err(wrong), _) => return Err(denied(self.counted(wrong, peer))),
        };
        let scope: Vec<String> = match field("scope").map(str::trim).filter(|s| !s.is_empty()) {
            Some(asked) => asked.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
            None => client.scopes.clone(),
        };
        if !scope.iter().all(|scope| client.scopes.contains(scope)) {
            return Err(NotGranted::Scope);
        }
        let expires_in = credentials.token_seconds;
        let exp = jsonwebtoken::get_current_timestamp() + expires_in;
        let joined = scope.join(" ");
        let access_token = self.signer.sign(&Payload { sub: id, scope, exp }, client);
        Ok(Granted { access_token, token_type: "Bearer", expires_in, scope: joined })
    }
}

/// The fields of `application/x-www-form-urlencoded`.
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

fn decoded(text: &[u8]) -> Option<String> {
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
