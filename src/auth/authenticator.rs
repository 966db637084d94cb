//! Authentication of clients, and the credentials file's renewal.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::error::{CredentialsError, Denied, Rejection};
use super::file::Credentials;
use super::header::pair;
use super::oauth2::{Granted, NotGranted, Payload, Signer, TokenRequest};
use super::password::Verifier;
use super::rules::{Rules, Scheme};
use crate::peers::{Peer, TokenBuckets};

/// Failed attempts of a peer before it has to wait.
pub const FAILURES: f64 = 10.0;
/// Failed attempts that a peer may make in a second after that.
const FAILURES_PER_SECOND: f64 = 0.5;
/// The time between two checks of the files for changes.
pub(super) const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The longest `Authorization` that is looked at, in bytes.
const MAX_HEADER_BYTES: usize = 16 << 10;

/// A client whose credentials were right.
struct Identity {
    kind: Scheme,
    name: Arc<str>,
    scopes: Option<Vec<String>>,
}

impl Identity {
    /// Returns whether `entry` of a list names the client: by its name, alone or after its kind. The
    /// name of a JWT's subject is `issuer#subject`, and so never that of another kind.
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

/// Credentials, and the memory of those that were verified.
#[derive(Debug)]
pub struct Auth {
    path: PathBuf,
    // Read for every request, written when the file has changed.
    current: RwLock<Arc<Credentials>>,
    verifier: Verifier,
    failures: Arc<TokenBuckets>,
    signer: Signer,
}

/// Credentials that were read and are not in use.
#[derive(Debug)]
pub struct ReadCredentials(Credentials);

impl Auth {
    /// Reads the credentials at `path`. Creates the key of the token endpoint's tokens in the directory
    /// `state` if there is none.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn open(path: &Path, state: &Path) -> Result<Arc<Auth>, CredentialsError> {
        let credentials = Credentials::read(path)?;
        let signer = Signer::open(&state.join("oauth2.key"))?;
        let failures = Arc::new(TokenBuckets::new(FAILURES_PER_SECOND, FAILURES));
        Ok(Arc::new(Auth {
            path: path.to_owned(),
            current: RwLock::new(Arc::new(credentials)),
            verifier: Verifier::new(Arc::clone(&failures))?,
            failures,
            signer,
        }))
    }

    /// Reads the credentials at `path`, and returns the number of each kind as text.
    ///
    /// # Errors
    /// As for [`Auth::open`].
    pub fn inspect(path: &Path) -> Result<String, CredentialsError> {
        Ok(Credentials::read(path)?.summary())
    }

    /// Reads the file again. Blocks.
    ///
    /// # Errors
    /// As for [`Auth::open`].
    pub fn read(&self) -> Result<ReadCredentials, CredentialsError> {
        Credentials::read(&self.path).map(ReadCredentials)
    }

    /// Puts credentials that were read to use. Returns the number of each kind as text if they are not
    /// those in use.
    pub fn put(&self, ReadCredentials(new): ReadCredentials) -> Option<String> {
        let mut current = self.current.write();
        if new.digest == current.digest {
            return None;
        }
        new.issuers.take_over(&current.issuers);
        let summary = new.summary();
        *current = Arc::new(new);
        Some(summary)
    }

    /// Reads credentials and key sets again when they change, until the future is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the credentials as they were last read.
    pub async fn keep_fresh(&self) {
        let mut failed = None;
        loop {
            let now = Instant::now();
            self.credentials().issuers.refresh(now);
            self.verifier.release_unused(now);
            tokio::time::sleep(CHECK_EVERY).await;
            let path = self.path.clone();
            let read = tokio::task::spawn_blocking(move || Credentials::read(&path)).await;
            match read {
                Ok(Ok(new)) => {
                    failed = None;
                    if let Some(summary) = self.put(ReadCredentials(new)) {
                        tracing::info!("credentials read again: {summary}");
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

    /// Authenticates the sender of `authorization` (the value of the header), and returns its name if
    /// `rules` admit it.
    ///
    /// # Errors
    /// [`Denied`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt. A password that is being verified is charged all the same.
    pub async fn check(
        &self,
        rules: &Rules,
        authorization: Option<&[u8]>,
        from: IpAddr,
    ) -> Result<Arc<str>, Denied> {
        let peer = Peer::of(from);
        // A request without credentials is no attempt.
        let Some(authorization) = authorization else { return Err(Denied::Unauthorized) };
        let identity = match self.identify(rules, authorization, peer).await {
            Ok(identity) => identity,
            Err(rejection) => return Err(self.denied(rejection, peer)),
        };
        let named = rules.allow.as_ref().is_none_or(|allow| allow.iter().any(|n| identity.is(n)));
        let scoped = match (&rules.scope, &identity.scopes) {
            (Some(scope), Some(scopes)) => scopes.contains(scope),
            _ => true,
        };
        if named && scoped { Ok(identity.name) } else { Err(self.charge(peer)) }
    }

    /// Returns the client that `authorization` identifies.
    async fn identify(
        &self,
        rules: &Rules,
        authorization: &[u8],
        peer: Peer,
    ) -> Result<Identity, Rejection> {
        let unknown = || Rejection::Uncharged;
        if authorization.len() > MAX_HEADER_BYTES {
            return Err(unknown());
        }
        let text = std::str::from_utf8(authorization).map_err(|_| unknown())?;
        let (scheme, value) = text.trim().split_once(' ').ok_or_else(unknown)?;
        let value = value.trim();
        let credentials = self.credentials();
        if scheme.eq_ignore_ascii_case("basic") && rules.takes(Scheme::Basic) {
            let (name, password) = pair(value).ok_or_else(unknown)?;
            let (user, decoy) = (credentials.users.get(&*name), &credentials.decoy);
            self.verifier.verify(user, decoy, &name, &password, peer).await?;
            return Ok(Identity { kind: Scheme::Basic, name: name.into(), scopes: None });
        }
        if scheme.eq_ignore_ascii_case("apikey") && rules.takes(Scheme::Token) {
            let (name, token) = pair(value).ok_or_else(unknown)?;
            let found = credentials.token(token.as_bytes()).ok_or_else(unknown)?;
            return if *found == *name {
                Ok(Identity { kind: Scheme::Token, name: found, scopes: None })
            } else {
                Err(unknown())
            };
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            if rules.takes(Scheme::Token)
                && let Some(name) = credentials.token(value.as_bytes())
            {
                return Ok(Identity { kind: Scheme::Token, name, scopes: None });
            }
            if rules.takes(Scheme::OAuth2)
                && let Some((name, scopes)) = self.signer.verify(value, &credentials)
            {
                return Ok(Identity { kind: Scheme::OAuth2, name, scopes: Some(scopes) });
            }
            if rules.takes(Scheme::Jwt) {
                let (name, scopes) = credentials.issuers.verify(value).await?;
                return Ok(Identity { kind: Scheme::Jwt, name, scopes: Some(scopes) });
            }
        }
        Err(unknown())
    }

    /// Returns the answer to a rejected attempt, and charges the peer for it if that is still to do.
    fn denied(&self, rejection: Rejection, peer: Peer) -> Denied {
        match rejection {
            Rejection::Uncharged => self.charge(peer),
            Rejection::Charged => Denied::Unauthorized,
            Rejection::Denied(denied) => denied,
        }
    }

    /// Charges a peer for a failed attempt.
    fn charge(&self, peer: Peer) -> Denied {
        match self.failures.take(peer, Instant::now()) {
            Ok(()) => Denied::Unauthorized,
            Err(wait) => Denied::TooMany(wait),
        }
    }

    /// Grants a token to the client that a request authenticates: `form` is its body, `authorization`
    /// its header, if any.
    ///
    /// # Errors
    /// [`NotGranted`].
    ///
    /// # Cancel safety
    /// As for [`check`](Self::check).
    pub async fn grant(
        &self,
        authorization: Option<&[u8]>,
        form: &[u8],
        from: IpAddr,
    ) -> Result<Granted, NotGranted> {
        let peer = Peer::of(from);
        let denied = |denied| NotGranted::Denied(denied);
        let TokenRequest { id, secret, scope } = match TokenRequest::parse(authorization, form) {
            Err(NotGranted::Denied(_)) => return Err(denied(self.charge(peer))),
            parsed => parsed?,
        };
        let credentials = self.credentials();
        let client = credentials.clients.get(&id);
        let stored = client.map(|client| &client.secret);
        let verified = self.verifier.verify(stored, &credentials.decoy, &id, &secret, peer).await;
        let client = match (verified, client) {
            (Ok(()), Some(client)) => client,
            (Ok(()), None) => return Err(denied(self.charge(peer))),
            (Err(rejection), _) => return Err(denied(self.denied(rejection, peer))),
        };
        let scope: Vec<String> = match scope {
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

    /// Returns whether there are clients of a token endpoint.
    #[must_use]
    pub fn has_clients(&self) -> bool {
        !self.credentials().clients.is_empty()
    }

    fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.read())
    }
}
