//! Who may send: users, static tokens, OAuth 2.0 clients and JWT issuers, from one file.
//!
//! # What it promises
//! - *No hint.* Whatever part was wrong, the answer is the same, and takes about as long: an
//!   unknown user costs a hash as a known one does.
//! - *No secret gets out.* Passwords, tokens and keys are never logged, shown or part of an error;
//!   what is kept in memory of a verified credential is a keyed digest.
//! - *No denial by hashing.* Password hashes are slow on purpose, so they are computed on blocking
//!   threads, few at a time, one of a peer; a verified credential is remembered for [`REMEMBER`]
//!   since its last use; and a peer that failed [`FAILURES`] times waits, while those who are
//!   remembered, or have a token that is good, go on. Senders behind one proxy are one peer: one of
//!   them that keeps failing makes those wait who have not been verified yet.
//! - *Reloaded.* The file and the files it names are read again when they change; a file that
//!   cannot be used leaves what was before, and an error in the log.
//!
//! ```text
//!  Authorization ─┬─ Basic  ─▶ user: argon2 hash, or a plain secret from a file or variable
//!                 ├─ Bearer ─┬▶ static token: SHA-256
//!                 │          ├▶ our own token (POST /oauth2/token): HMAC
//!                 │          └▶ JWT: an issuer's key set (RS256, ES256, EdDSA)
//!                 └─ ApiKey ─▶ static token, with its name before it
//! ```

mod file;
mod jwt;
mod oauth2;
pub mod password;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::peers::{Peer, TokenBuckets};

pub use file::CredentialsError;
pub(crate) use file::{may_be_shown, token_hash};
pub use oauth2::{Granted, NotGranted};

use file::Credentials;
use password::Verifier;

/// How long a verified password is remembered since it was last used.
pub const REMEMBER: Duration = Duration::from_secs(600);
/// Failed attempts of a peer before it has to wait.
pub const FAILURES: f64 = 10.0;
/// Failed attempts a peer may make in a second after that.
const FAILURES_PER_SECOND: f64 = 0.5;
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest `Authorization` that is looked at.
const MOST_BYTES: usize = 16 << 10;

/// A way to say who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Basic`: a user's name and password.
    Basic,
    /// `Bearer` or `ApiKey`: a static token.
    Token,
    /// `Bearer`: a token of our own token endpoint.
    OAuth2,
    /// `Bearer`: a JWT of an issuer.
    Jwt,
}

impl Scheme {
    /// From the configuration; `None` for `none`.
    ///
    /// # Errors
    /// The half sentence that follows what was found.
    pub fn parse(text: &str) -> Result<Option<Scheme>, String> {
        Ok(Some(match text {
            "none" => return Ok(None),
            "basic" => Scheme::Basic,
            "token" => Scheme::Token,
            "oauth2" => Scheme::OAuth2,
            "jwt" => Scheme::Jwt,
            _ => return Err("is none of basic, token, oauth2, jwt and none".to_owned()),
        }))
    }
}

/// Who may come to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    schemes: Vec<Scheme>,
    /// Who may come: names of users, tokens and clients, alone or after `user:`, `token:` and
    /// `client:`, and `issuer#subject` for JWTs; everybody who has credentials, if there is no list.
    pub allow: Option<Vec<String>>,
    /// A scope that tokens of the token endpoint and JWTs must have.
    pub scope: Option<String>,
}

impl Rules {
    /// Whoever has credentials of any kind.
    #[must_use]
    pub fn any() -> Rules {
        Rules::of(vec![Scheme::Basic, Scheme::Token, Scheme::OAuth2, Scheme::Jwt])
    }

    /// Everybody.
    #[must_use]
    pub fn nobody_is_asked() -> Rules {
        Rules::of(Vec::new())
    }

    /// Whoever has credentials of these kinds; everybody, if there are none.
    #[must_use]
    pub fn of(schemes: Vec<Scheme>) -> Rules {
        Rules { schemes, allow: None, scope: None }
    }

    /// Whether senders have to say who they are.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        !self.schemes.is_empty()
    }

    /// What `WWW-Authenticate` says.
    #[must_use]
    pub fn challenge(&self) -> &'static str {
        let others = self.schemes.iter().any(|scheme| *scheme != Scheme::Basic);
        match (self.takes(Scheme::Basic), others) {
            (true, true) => {
                r#"Basic realm="sessionlake", charset="UTF-8", Bearer realm="sessionlake""#
            }
            (true, false) => r#"Basic realm="sessionlake", charset="UTF-8""#,
            _ => r#"Bearer realm="sessionlake""#,
        }
    }

    fn takes(&self, scheme: Scheme) -> bool {
        self.schemes.contains(&scheme)
    }
}

/// Why somebody may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No credentials, or none that are right. Which, is not said.
    Unauthorized,
    /// Too many wrong ones: come back after this time.
    TooMany(Duration),
    /// Too many passwords wait to be verified.
    Busy,
}

/// Why somebody was not believed, inside.
enum Wrong {
    /// Nothing was paid for the attempt.
    Uncounted,
    /// It was paid for.
    Counted,
    /// It was no attempt, or none that was looked at.
    Denied(Denied),
}

impl From<Denied> for Wrong {
    fn from(denied: Denied) -> Wrong {
        Wrong::Denied(denied)
    }
}

/// Somebody who was believed.
struct Known {
    kind: Scheme,
    name: Arc<str>,
    scopes: Option<Vec<String>>,
}

impl Known {
    /// Whether a list of who may come means them by `entry`: their name, alone or after their kind.
    /// Who an issuer vouches for is `issuer#subject`, and so never somebody of another kind.
    fn is(&self, entry: &str) -> bool {
        let kind = match self.kind {
            Scheme::Basic => "user:",
            Scheme::Token => "token:",
            Scheme::OAuth2 => "client:",
            Scheme::Jwt => "jwt:",
        };
        *entry == *self.name || entry.strip_prefix(kind) == Some(&*self.name)
    }
}

/// Credentials, and the memory of who was verified.
#[derive(Debug)]
pub struct Auth {
    path: PathBuf,
    // Read for every request, written when the file has changed.
    current: RwLock<Arc<Credentials>>,
    verifier: Verifier,
    failures: Arc<TokenBuckets>,
    signer: oauth2::Signer,
}

impl Auth {
    /// Reads the credentials at `path`. Makes the key of our own tokens in the directory `state`,
    /// if there is none.
    ///
    /// # Errors
    /// Says what about the file cannot be used, without what it says.
    pub fn open(path: &Path, state: &Path) -> Result<Arc<Auth>, CredentialsError> {
        let credentials = Credentials::read(path)?;
        let signer = oauth2::Signer::open(&state.join("oauth2.key"))?;
        let failures = Arc::new(TokenBuckets::new(FAILURES_PER_SECOND, FAILURES));
        Ok(Arc::new(Auth {
            path: path.to_owned(),
            current: RwLock::new(Arc::new(credentials)),
            verifier: Verifier::new(Arc::clone(&failures))?,
            failures,
            signer,
        }))
    }

    /// Whether the credentials at `path` can be used, and how many there are of each kind.
    ///
    /// # Errors
    /// As for [`Auth::open`].
    pub fn inspect(path: &Path) -> Result<String, CredentialsError> {
        Ok(Credentials::read(path)?.summary())
    }

    /// Keeps credentials and key sets fresh until it is dropped.
    pub async fn keep_fresh(&self) {
        let mut failed = None;
        loop {
            let now = Instant::now();
            self.credentials().issuers.refresh(now);
            tokio::time::sleep(LOOK_EVERY).await;
            let path = self.path.clone();
            let read = tokio::task::spawn_blocking(move || Credentials::read(&path)).await;
            match read {
                Ok(Ok(new)) => {
                    failed = None;
                    let old = self.credentials();
                    if new.digest != old.digest {
                        new.issuers.take_over(&old.issuers);
                        tracing::info!("credentials read again: {}", new.summary());
                        let mut current =
                            self.current.write().unwrap_or_else(PoisonError::into_inner);
                        *current = Arc::new(new);
                    }
                }
                Ok(Err(error)) => {
                    let error = error.to_string();
                    if failed.as_ref() != Some(&error) {
                        tracing::error!("credentials stay as they were: {error}");
                        failed = Some(error);
                    }
                }
                Err(error) => tracing::error!("credentials stay as they were: {error}"),
            }
        }
    }

    /// Whether `authorization` (the value of the header) is somebody whom `rules` let in; who.
    ///
    /// # Errors
    /// [`Denied`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt. A password that is being computed counts all the same.
    pub async fn check(
        &self,
        rules: &Rules,
        authorization: Option<&[u8]>,
        from: IpAddr,
    ) -> Result<Arc<str>, Denied> {
        let peer = Peer::of(from);
        // Who says nothing has not tried anything.
        let Some(authorization) = authorization else { return Err(Denied::Unauthorized) };
        let known = match self.who(rules, authorization, peer).await {
            Ok(known) => known,
            Err(wrong) => return Err(self.counted(wrong, peer)),
        };
        let named = rules.allow.as_ref().is_none_or(|allow| allow.iter().any(|n| known.is(n)));
        let scoped = match (&rules.scope, &known.scopes) {
            (Some(scope), Some(scopes)) => scopes.contains(scope),
            _ => true,
        };
        if named && scoped { Ok(known.name) } else { Err(self.failed(peer)) }
    }

    async fn who(&self, rules: &Rules, authorization: &[u8], peer: Peer) -> Result<Known, Wrong> {
        let unknown = || Wrong::Uncounted;
        if authorization.len() > MOST_BYTES {
            return Err(unknown());
        }
        let text = std::str::from_utf8(authorization).map_err(|_| unknown())?;
        let (scheme, value) = text.trim().split_once(' ').ok_or_else(unknown)?;
        let value = value.trim();
        let credentials = self.credentials();
        if scheme.eq_ignore_ascii_case("basic") && rules.takes(Scheme::Basic) {
            let (name, password) = pair(value).ok_or_else(unknown)?;
            let (user, nobody) = (credentials.users.get(&*name), &credentials.nobody);
            self.verifier.verify(user, nobody, &name, &password, peer).await?;
            return Ok(Known { kind: Scheme::Basic, name: name.into(), scopes: None });
        }
        if scheme.eq_ignore_ascii_case("apikey") && rules.takes(Scheme::Token) {
            let (name, token) = pair(value).ok_or_else(unknown)?;
            let found = credentials.token(token.as_bytes()).ok_or_else(unknown)?;
            return if *found == *name {
                Ok(Known { kind: Scheme::Token, name: found, scopes: None })
            } else {
                Err(unknown())
            };
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            if rules.takes(Scheme::Token)
                && let Some(name) = credentials.token(value.as_bytes())
            {
                return Ok(Known { kind: Scheme::Token, name, scopes: None });
            }
            if rules.takes(Scheme::OAuth2)
                && let Some((name, scopes)) = self.signer.verify(value, &credentials)
            {
                return Ok(Known { kind: Scheme::OAuth2, name, scopes: Some(scopes) });
            }
            if rules.takes(Scheme::Jwt) {
                let (name, scopes) = credentials.issuers.verify(value).await?;
                return Ok(Known { kind: Scheme::Jwt, name, scopes: Some(scopes) });
            }
        }
        Err(unknown())
    }

    /// What somebody is told who was not believed, and counts the attempt if it was not yet.
    fn counted(&self, wrong: Wrong, peer: Peer) -> Denied {
        match wrong {
            Wrong::Uncounted => self.failed(peer),
            Wrong::Counted => Denied::Unauthorized,
            Wrong::Denied(denied) => denied,
        }
    }

    fn failed(&self, peer: Peer) -> Denied {
        match self.failures.take(peer, Instant::now()) {
            Ok(()) => Denied::Unauthorized,
            Err(wait) => Denied::TooMany(wait),
        }
    }

    /// Whether there is a token endpoint.
    #[must_use]
    pub fn has_clients(&self) -> bool {
        !self.credentials().clients.is_empty()
    }

    fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `name:secret` in base64.
fn pair(value: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (name, secret) = text.split_once(':')?;
    Some((name.to_owned(), secret.to_owned()))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}
