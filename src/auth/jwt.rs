//! JWTs of other issuers, verified against their key sets (JWKS).
//!
//! A key set from a URL is fetched when the credentials are read, every [`FETCH_EVERY`], and, at
//! most every [`FETCH_AGAIN`], when a token names a key that is not in it: that is how a rotated key
//! comes in. While it cannot be fetched, the keys that are known stay good. A key set in a file is
//! read again when it changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::file::IssuerText;

const FETCH_EVERY: Duration = Duration::from_secs(300);
const FETCH_AGAIN: Duration = Duration::from_secs(5);
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest key set that is taken.
const MOST_BYTES: usize = 1 << 20;
/// Clocks may differ by this.
const LEEWAY_S: u64 = 30;
/// Keys that a token without a key's name is tried against.
const MOST_TRIES: usize = 8;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// All issuers.
#[derive(Debug, Default)]
pub(super) struct Issuers(Vec<Issuer>);

#[derive(Debug)]
struct Issuer {
    issuer: String,
    audience: String,
    scope: Option<String>,
    url: Option<String>,
    // Read for every token, written when the set was fetched.
    keys: RwLock<Arc<Vec<Key>>>,
    /// A token named a key that is not here.
    wanting: AtomicBool,
    // A lock, held to read or set a time.
    fetched_at: Mutex<Option<Instant>>,
}

struct Key {
    name: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    scope: Option<Scopes>,
    #[serde(default)]
    scp: Option<Scopes>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scopes {
    Text(String),
    List(Vec<String>),
}

impl Issuers {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds one; `keys` is the text of its set, if that is in a file.
    pub(super) fn add(&mut self, text: IssuerText, keys: Option<&str>) -> Result<(), String> {
        let url = match keys {
            Some(_) => None,
            None => {
                let loopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
                let local = loopback.iter().any(|begin| {
                    let rest = text.jwks.strip_prefix(begin);
                    rest.is_some_and(|rest| rest.starts_with([':', '/']))
                });
                if text.jwks.starts_with("http://") && !local {
                    return Err("keys fetched without TLS could be anybody's: use https".to_owned());
                }
                Some(text.jwks)
            }
        };
        let keys = keys.map_or(Ok(Vec::new()), read)?;
        self.0.push(Issuer {
            issuer: text.issuer,
            audience: text.audience,
            scope: text.scope,
            url,
            keys: RwLock::new(Arc::new(keys)),
            wanting: AtomicBool::new(false),
            fetched_at: Mutex::new(None),
        });
        Ok(())
    }

    /// Keeps the keys that `old` has fetched, so that a reload does not begin without any.
    pub(super) fn take_over(&self, old: &Issuers) {
        for new in &self.0 {
            if let Some(old) = old.0.iter().find(|old| old.url.is_some() && old.url == new.url) {
                new.set_keys(old.keys());
            }
        }
    }

    /// Fetches what is due.
    pub(super) async fn refresh(&self, now: Instant) {
        for issuer in &self.0 {
            issuer.refresh(now).await;
        }
    }

    /// Whose token it is, with which scopes.
    pub(super) fn verify(&self, token: &str) -> Option<(Arc<str>, Vec<String>)> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if !ALGORITHMS.contains(&header.alg) {
            return None;
        }
        self.0.iter().find_map(|issuer| issuer.verify(token, header.alg, header.kid.as_deref()))
    }
}

impl Issuer {
    fn keys(&self) -> Arc<Vec<Key>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_keys(&self, keys: Arc<Vec<Key>>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn verify(
        &self,
        token: &str,
        algorithm: Algorithm,
        name: Option<&str>,
    ) -> Option<(Arc<str>, Vec<String>)> {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        let keys = self.keys();
        let mut named = keys
            .iter()
            .filter(|key| key.algorithm == algorithm)
            .filter(|key| name.is_none() || key.name.as_deref() == name)
            .take(MOST_TRIES)
            .peekable();
        if named.peek().is_none() {
            self.wanting.store(true, Ordering::Relaxed);
            return None;
        }
        let data = named
            .find_map(|key| jsonwebtoken::decode::<Claims>(token, &key.key, &validation).ok())?;
        let Claims { sub, client_id, scope, scp } = data.claims;
        let scopes = match scope.or(scp) {
            Some(Scopes::Text(text)) => text.split_whitespace().map(str::to_owned).collect(),
            Some(Scopes::List(list)) => list,
            None => Vec::new(),
        };
        if self.scope.as_ref().is_some_and(|scope| !scopes.contains(scope)) {
            return None;
        }
        let who = sub.or(client_id).unwrap_or_else(|| self.issuer.clone());
        Some((who.into(), scopes))
    }

    async fn refresh(&self, now: Instant) {
        let Some(url) = &self.url else { return };
        let fetched_at = *self.fetched_at.lock().unwrap_or_else(PoisonError::into_inner);
        let age = fetched_at.map(|at| now.saturating_duration_since(at));
        let wanting = self.wanting.load(Ordering::Relaxed) || self.keys().is_empty();
        let due = age.is_none_or(|age| age >= FETCH_EVERY || (wanting && age >= FETCH_AGAIN));
        if !due {
            return;
        }
        self.wanting.store(false, Ordering::Relaxed);
        *self.fetched_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        match fetch(url).await.and_then(|text| read(&text)) {
            Ok(keys) => self.set_keys(Arc::new(keys)),
            Err(error) => tracing::warn!(
                issuer = self.issuer,
                "the key set at {url} stays as it was: {error}"
            ),
        }
    }
}

async fn fetch(url: &str) -> Result<String, String> {
    let client = reqwest::Client::builder()
        .timeout(FETCH_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())?;
    let mut answer = client.get(url).send().await.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("the answer is {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| error.to_string())? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST_BYTES {
            return Err(format!("it has more than {MOST_BYTES} bytes"));
        }
    }
    String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())
}

/// The keys of a set that can verify; others in it are left out.
fn read(text: &str) -> Result<Vec<Key>, String> {
    let values: Values =
        serde_json::from_str(text).map_err(|_| "the key set is no JSON Web Key Set".to_owned())?;
    // Each key by itself: one of a kind that is not known must not hide the others.
    let set = JwkSet {
        keys: values.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect(),
    };
    let keys: Vec<Key> = set.keys.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Err("the key set has no key for RS256, ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}

#[derive(Deserialize)]
struct Values {
    keys: Vec<serde_json::Value>,
}

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
