//! JWTs of other issuers, verified against their key sets (JWKS).
//!
//! A key set from a URL is fetched when the credentials are read, every [`FETCH_EVERY`], and, at
//! most every [`FETCH_AGAIN`], when a token of this issuer names a key that is not in it. Such a token
//! waits for the fetch, so that no valid token is refused after a start or a key rotation. A token that
//! cannot be verified, because the set cannot be fetched, or not in [`KEY_TIMEOUT`], is not refused
//! either: the client is asked to retry, and the fetch goes on. One fetch of a set is in progress at a
//! time, for all that wait, and issuers do not wait for one another. At most [`MAX_WAITING`] tokens wait
//! for a set: anybody can name a key that nobody has. While a set cannot be fetched, the known keys stay
//! valid. A key set in a file is read again when it changes.
//!
//! A token's header says that it is a JWT or an access token, or nothing: an ID token (`id+jwt`) or a
//! logout token, signed with the same keys for the same audience, was given for something else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, Validation};
use parking_lot::{Mutex, MutexGuard, RwLock};
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::watch;

use super::error::{Denied, Rejection};
use super::key_set::{self, Key};

/// The time between two fetches of a set.
const FETCH_EVERY: Duration = Duration::from_secs(300);
/// The least time between two fetches of a set that lacks a key.
const FETCH_AGAIN: Duration = Duration::from_secs(1);
/// The time between two fetches of a set of which nothing is known yet.
const FETCH_FIRST: Duration = Duration::from_secs(5);
/// The most time that a token waits for its key: until a set may be fetched again, and a little.
const KEY_TIMEOUT: Duration = Duration::from_secs(2);
/// The most tokens that wait for a set.
const MAX_WAITING: usize = 256;
/// The least time between two lines of the log on a set that cannot be fetched.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// The most seconds that clocks may differ by.
const LEEWAY_S: u64 = 30;

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
    /// The time at which a failure was logged, since the last success.
    logged: Option<Instant>,
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
        if header.typ.as_deref().is_some_and(|typ| !is_access_token(typ)) {
            return None;
        }
        let claim: IssuerClaim = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
        Some(Unverified { token, algorithm: header.alg, key: header.kid, issuer: claim.iss })
    }
}

/// Returns whether the `typ` of a header leaves a token for use with a resource. Its case means nothing,
/// and `application/` may be left out (RFC 7515, 4.1.9).
fn is_access_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
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
            None => Some(key_set::parse_url(&text.jwks)?),
        };
        let keys = keys.map_or(Ok(Vec::new()), key_set::parse)?;
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
            let every = if issuer.keys().is_empty() { FETCH_FIRST } else { FETCH_EVERY };
            if age.is_none_or(|age| age >= every) {
                issuer.begin_fetch();
            }
        }
    }

    /// Returns the subject of a token, as `issuer#subject`, and its scopes.
    ///
    /// # Errors
    /// [`Rejection::Uncharged`] for a token that is not valid; [`Denied::Busy`] if that cannot be known
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
        Arc::clone(&self.keys.read())
    }

    fn set_keys(&self, keys: Arc<Vec<Key>>) {
        *self.keys.write() = keys;
    }

    fn fetching(&self) -> MutexGuard<'_, Fetching> {
        self.fetching.lock()
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
        // One more than these is this token's own.
        if self.fetched.receiver_count() > MAX_WAITING {
            return None;
        }
        let verdict = async {
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
        tokio::time::timeout(KEY_TIMEOUT, verdict).await.ok().flatten()
    }

    fn verify(&self, token: &Unverified<'_>) -> Verdict {
        let mut validation = Validation::new(token.algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        let keys = self.keys();
        let candidates = key_set::candidates(&keys, token.algorithm, token.key.as_deref());
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
            let read = key_set::fetch(url.clone()).await.and_then(|text| key_set::parse(&text));
            let succeeded = read.is_ok();
            let is_due = {
                let mut fetching = issuer.fetching();
                let logged = fetching.logged.filter(|_| !succeeded);
                let is_due =
                    logged.is_none_or(|at| began.saturating_duration_since(at) >= LOG_EVERY);
                let logged = if is_due && !succeeded { Some(began) } else { logged };
                *fetching = Fetching { running: false, began: Some(began), logged };
                is_due
            };
            match read {
                Ok(keys) => issuer.set_keys(Arc::new(keys)),
                Err(error) if is_due => tracing::warn!(
                    issuer = issuer.issuer,
                    "the key set at {url} stays as it was: {error}"
                ),
                Err(_) => {}
            }
            issuer.fetched.send_replace(Some(Fetched { began, succeeded }));
        });
    }
}
