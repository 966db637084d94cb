//! Key sets (JWKS): fetched, parsed, and searched for the key of a token.

use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Url;
use serde::Deserialize;

use crate::error_text::one_line;
use crate::peers::is_loopback_host;

/// The most time of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest key set, in bytes.
const MAX_SET_BYTES: usize = 1 << 20;
/// The most keys that a token without a key's name is verified with.
const MAX_KEYS_TRIED: usize = 8;

/// A key that verifies tokens.
pub(super) struct Key {
    name: Option<String>,
    algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Returns the keys that could have signed a token that names `name`. A key without a name matches
/// any, if it is the only one of its kind.
pub(super) fn candidates<'k>(
    keys: &'k [Key],
    algorithm: Algorithm,
    name: Option<&str>,
) -> Vec<&'k Key> {
    let fitting = || keys.iter().filter(|key| key.algorithm == algorithm);
    let named = fitting().filter(|key| name.is_none() || key.name.as_deref() == name);
    let named: Vec<_> = named.take(MAX_KEYS_TRIED).collect();
    let mut unnamed = fitting().filter(|key| key.name.is_none());
    match (named.is_empty(), unnamed.next(), unnamed.next()) {
        (true, Some(only), None) => vec![only],
        _ => named,
    }
}

/// Parses the URL of a key set.
///
/// # Errors
/// The reason for which no set is fetched from there.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "jwks is neither a file nor a URL".to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name or a password does not belong into the URL of the keys".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    let loopback = is_loopback_host(host);
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err("keys fetched without TLS could be anybody's: use https".to_owned()),
    }
}

/// Fetches the text of a key set.
///
/// # Errors
/// The reason for which it cannot be fetched.
pub(super) async fn fetch(url: Url) -> Result<String, String> {
    let client = reqwest::Client::builder()
        .timeout(FETCH_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| one_line(&error))?;
    let mut answer = client.get(url).send().await.map_err(|error| one_line(&error))?;
    if !answer.status().is_success() {
        return Err(format!("the answer is {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| one_line(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_SET_BYTES {
            return Err(format!("it has more than {MAX_SET_BYTES} bytes"));
        }
    }
    String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())
}

/// Returns the keys of a set that can verify; others are left out.
///
/// # Errors
/// The reason for which the set cannot be used.
pub(super) fn parse(text: &str) -> Result<Vec<Key>, String> {
    let values: Values =
        serde_json::from_str(text).map_err(|_| "the key set is no JSON Web Key Set".to_owned())?;
    // Each key by itself, so that one of an unknown kind does not hide the others.
    let set = JwkSet {
        keys: values.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect(),
    };
    let keys: Vec<Key> = set.keys.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Err("the key set has no key for RS256, ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}

/// A key set whose entries are not parsed.
#[derive(Deserialize)]
struct Values {
    keys: Vec<serde_json::Value>,
}

/// Returns the key of an entry; `None` for one that cannot verify.
fn key(jwk: &Jwk) -> Option<Key> {
    use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, KeyAlgorithm, PublicKeyUse};
    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(ed) if ed.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    let said = jwk.common.key_algorithm.as_ref();
    let fits = said.is_none_or(|said| {
        matches!(
            (said, algorithm),
            (KeyAlgorithm::RS256, Algorithm::RS256)
                | (KeyAlgorithm::ES256, Algorithm::ES256)
                | (KeyAlgorithm::EdDSA, Algorithm::EdDSA)
        )
    });
    let key = DecodingKey::from_jwk(jwk).ok()?;
    fits.then(|| Key { name: jwk.common.key_id.clone(), algorithm, key })
}
