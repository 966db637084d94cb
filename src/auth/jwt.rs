//! JWTs of other issuers, verified against their key sets (JWKS).
//!
//! A key set from a URL is fetched when the credentials are read, every [`FETCH_EVERY`], and, at
//! most every [`FETCH_AGAIN`], when a token of this issuer names a key that is not in it. Such a token
//! waits for the fetch, so that no valid token is refused after a start or a key rotation. A token that
//! cannot be verified, because the set cannot be fetched, is not refused either: the client is told to
//! retry. One fetch of a set is in progress at a time, for all that wait, and issuers do not wait for
//! one another. While a set cannot be fetched, the known keys stay valid. A key set in a file is read
//! again when it changes.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::watch;

use super::error::{Denied, Rejection};
use crate::lock::lock;

/// The time between two fetches of a set.
const FETCH_EVERY: Duration = Duration::from_secs(300);
/// The least time between two fetches of a set that lacks a key.
const FETCH_AGAIN: Duration = Duration::from_secs(5);
/// The most time of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The most time that a token waits for its key: until a set may be fetched again, and a little.
const KEY_TIMEOUT: Duration = Duration::from_secs(7);
/// The longest key set, in bytes.
const MAX_SET_BYTES: usize = 1 << 20;
/// The most seconds that clocks may differ by.
const LEEWAY_S: u64 = 30;
/// The most keys that a token without a key's name is verified with.
const MAX_KEYS_TRIED: usize = 8;

/// The accepted algorithms.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// An `[[issuer]]` of the credentials file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerSection {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) jwks: String,
    pub(super) scope: Option<String>,
}

/// The issuers of the credentials file.
#[derive(Debug, Default)]
pub(super) struct Issuers(Vec<Arc<Issuer>>);

#[derive(Debug)]
struct Issuer {
    issuer: String,
    audience: String,
    scope: Option<String>,
    url: Option<Url>,
    // Read for every token, written when the set was fetched.
    keys: RwLock<Arc<Vec<Key>>>,
    // A lock, held to read or set a time.
    fetching: Mutex<Fetching>,
    fetched: watch::Sender<Option<Fetched>>,
}

/// The state of fetching.
#[derive(Clone, Copy, Debug, Default)]
struct Fetching {
    running: bool,
    /// The time at which the last fetch began.
    began: Option<Instant>,
}

/// A fetch that has ended.
#[derive(Clone, Copy, Debug)]
struct Fetched {
    began: Instant,
    succeeded: bool,
}

/// The verdict of a key set on a token.
enum Verdict {
    Good {
        who: Arc<str>,
        scopes: Vec<String>,
    },
    Bad,
    /// The token's key is not in the set.
    NoKey,
}

/// A token that is not verified.
struct Unverified<'a> {
    token: &'a str,
    algorithm: Algorithm,
    key: Option<String>,
    issuer: String,
}

/// The claim that names a token's issuer.
#[derive(Deserialize)]
struct IssuerClaim {
    iss: String,
}

/// A key that verifies tokens.
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

impl Unverified<'_> {
    fn read(token: &str) -> Option<Unverified<'_>> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        // Critical extensions have to be understood, and none is.
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return None;
        }
        let claim: IssuerClaim = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
        Some(Unverified { token, algorithm: header.alg, key: header.kid, issuer: claim.iss })
    }
}

impl Issuers {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds an issuer; `keys` is the text of its set, if that is in a file.
    ///
    /// # Errors
    /// The reason for which its set cannot be used.
    pub(super) fn add(&mut self, text: IssuerSection, keys: Option<&str>) -> Result<(), String> {
        let url = match keys {
            Some(_) => None,
            None => Some(parse_url(&text.jwks)?),
        };
        let keys = keys.map_or(Ok(Vec::new()), read)?;
        self.0.push(Arc::new(Issuer {
            issuer: text.issuer,
            audience: text.audience,
            scope: text.scope,
            url,
            keys: RwLock::new(Arc::new(keys)),
            fetching: Mutex::default(),
            fetched: watch::Sender::new(None),
        }));
        Ok(())
    }

    /// Takes over the keys that `old` has fetched, so that a reload does not begin without any.
    pub(super) fn take_over(&self, old: &Issuers) {
        for new in &self.0 {
            if let Some(old) = old.0.iter().find(|old| old.url.is_some() && old.url == new.url) {
                new.set_keys(old.keys());
                new.fetching().began = old.fetching().began;
            }
        }
    }

    /// Begins to fetch the sets that are due, and waits for none.
    pub(super) fn refresh(&self, now: Instant) {
        for issuer in &self.0 {
            let age = issuer.fetching().began.map(|at| now.saturating_duration_since(at));
            let every = if issuer.keys().is_empty() { FETCH_AGAIN } else { FETCH_EVERY };
            if age.is_none_or(|age| age >= every) {
                issuer.begin_fetch();
            }
        }
    }

    /// Returns the subject of a token, as `issuer#subject`, and its scopes.
    ///
    /// # Errors
    /// [`Rejection::Uncharged`] for a token that is not valid; [`Denied::Busy`] if that cannot be told
    /// now.
    ///
    /// # Cancel safety
    /// A fetch that has begun goes on.
    pub(super) async fn verify(&self, token: &str) -> Result<(Arc<str>, Vec<String>), Rejection> {
        let token = Unverified::read(token).ok_or(Rejection::Uncharged)?;
        let mut undecided = false;
        for issuer in self.0.iter().filter(|issuer| issuer.issuer == token.issuer) {
            match issuer.verify_in_time(&token).await {
                Some(Verdict::Good { who, scopes }) => return Ok((who, scopes)),
                Some(Verdict::Bad | Verdict::NoKey) => {}
                None => undecided = true,
            }
        }
        Err(if undecided { Denied::Busy.into() } else { Rejection::Uncharged })
    }
}

impl Issuer {
    fn keys(&self) -> Arc<Vec<Key>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_keys(&self, keys: Arc<Vec<Key>>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn fetching(&self) -> MutexGuard<'_, Fetching> {
        lock(&self.fetching)
    }

    /// Returns the verdict on a token. If its key is unknown, the set is fetched first; `None` if that
    /// takes too long.
    async fn verify_in_time(self: &Arc<Self>, token: &Unverified<'_>) -> Option<Verdict> {
        let came = Instant::now();
        let mut fetched = self.fetched.subscribe();
        let verdict = self.verify(token);
        if !matches!(verdict, Verdict::NoKey) || self.url.is_none() {
            return Some(verdict);
        }
        let told = async {
            loop {
                self.begin_fetch();
                fetched.changed().await.ok()?;
                let last = *fetched.borrow_and_update();
                let verdict = self.verify(token);
                match (&verdict, last) {
                    (Verdict::NoKey, Some(Fetched { succeeded: false, .. })) => return None,
                    (Verdict::NoKey, Some(Fetched { began, .. })) if began < came => {}
                    _ => return Some(verdict),
                }
            }
        };
        tokio::time::timeout(KEY_TIMEOUT, told).await.ok().flatten()
    }

    fn verify(&self, token: &Unverified<'_>) -> Verdict {
        let mut validation = Validation::new(token.algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        let keys = self.keys();
        let candidates = candidates(&keys, token.algorithm, token.key.as_deref());
        if candidates.is_empty() {
            return Verdict::NoKey;
        }
        let data = candidates.into_iter().find_map(|key| {
            jsonwebtoken::decode::<Claims>(token.token, &key.key, &validation).ok()
        });
        let Some(data) = data else { return Verdict::Bad };
        let Claims { sub, client_id, scope, scp } = data.claims;
        let scopes: Vec<String> = match scope.or(scp) {
            Some(Scopes::Text(text)) => text.split_whitespace().map(str::to_owned).collect(),
            Some(Scopes::List(list)) => list,
            None => Vec::new(),
        };
        if self.scope.as_ref().is_some_and(|scope| !scopes.contains(scope)) {
            return Verdict::Bad;
        }
        let subject = sub.or(client_id).unwrap_or_default();
        Verdict::Good { who: format!("{}#{subject}", self.issuer).into(), scopes }
    }

    /// Begins to fetch the set, unless a fetch is in progress.
    fn begin_fetch(self: &Arc<Self>) {
        let Some(url) = self.url.clone() else { return };
        let mut fetching = self.fetching();
        if fetching.running {
            return;
        }
        fetching.running = true;
        let last = fetching.began;
        drop(fetching);
        let issuer = Arc::clone(self);
        tokio::spawn(async move {
            if let Some(last) = last {
                tokio::time::sleep_until((last + FETCH_AGAIN).into()).await;
            }
            let began = Instant::now();
            let read = fetch(url.clone()).await.and_then(|text| read(&text));
            *issuer.fetching() = Fetching { running: false, began: Some(began) };
            let succeeded = read.is_ok();
            match read {
                Ok(keys) => issuer.set_keys(Arc::new(keys)),
                Err(error) => tracing::warn!(
                    issuer = issuer.issuer,
                    "the key set at {url} stays as it was: {error}"
                ),
            }
            issuer.fetched.send_replace(Some(Fetched { began, succeeded }));
        });
    }
}

/// Returns the keys that could have signed a token that names `name`. A key without a name matches
/// any, if it is the only one of its kind.
fn candidates<'k>(keys: &'k [Key], algorithm: Algorithm, name: Option<&str>) -> Vec<&'k Key> {
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
fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "jwks is neither a file nor a URL".to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name or a password does not belong into the URL of the keys".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
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
async fn fetch(url: Url) -> Result<String, String> {
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
fn read(text: &str) -> Result<Vec<Key>, String> {
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
