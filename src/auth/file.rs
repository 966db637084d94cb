//! The credentials file.
//!
//! ```toml
//! [[user]]                                  # Basic
//! name = "exporter"
//! password_hash = "$argon2id$…"             # or password_file, or password_env
//!
//! [[token]]                                 # Bearer, and ApiKey (whose id is the name)
//! name = "batch"
//! token_hash = "sha256:…"                   # or token_file, or token_env
//!
//! [[client]]                                # POST /oauth2/token
//! id = "exporter"
//! secret_hash = "$argon2id$…"               # or secret_file, or secret_env
//! scopes = ["sessions.write"]
//!
//! [[issuer]]                                # JWTs of somebody else
//! issuer = "https://login.example.com/"
//! audience = "sessionlake"
//! jwks = "https://login.example.com/keys"   # or a file
//! scope = "sessions.write"                  # if tokens must have one
//! ```
//! Relative paths start from the directory of the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::Deserialize;

use super::error::CredentialsError;
use super::hasher;
use super::jwt::{IssuerSection, Issuers};
use super::secret::{Secret, parse_token_hash, sha256};
use crate::secret_path::{self, Kept, may_be_shown};

/// The least characters of a token that is given in the clear.
const MIN_TOKEN_CHARACTERS: usize = 32;

/// A client of the token endpoint.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) secret: Secret,
    pub(super) scopes: Vec<String>,
}

/// The credentials of a file.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) users: HashMap<String, Secret>,
    tokens: HashMap<[u8; 32], Arc<str>>,
    pub(super) clients: HashMap<String, Client>,
    pub(super) issuers: Issuers,
    pub(super) token_seconds: u64,
    /// The hash that an unknown name is verified against, as costly as any of the above.
    pub(super) decoy: Arc<str>,
    /// The digest of the file and of the files that it names.
    pub(super) digest: [u8; 32],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    #[serde(default)]
    token_seconds: Option<u64>,
    #[serde(default)]
    user: Vec<UserSection>,
    #[serde(default)]
    token: Vec<TokenSection>,
    #[serde(default)]
    client: Vec<ClientSection>,
    #[serde(default)]
    issuer: Vec<IssuerSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserSection {
    name: String,
    password_hash: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenSection {
    name: String,
    token_hash: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientSection {
    id: String,
    secret_hash: Option<String>,
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

impl Credentials {
    /// Reads the credentials file at `path`, and the files that it names.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub(super) fn read(path: &Path) -> Result<Credentials, CredentialsError> {
        let mut reader = Reader { path, digest: digest::Context::new(&digest::SHA256) };
        let text = reader.file(path, Kept::Secret)?;
        let parsed: Sections = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let before = text.as_bytes().get(..at).unwrap_or_default();
            let line = 1 + memchr::memchr_iter(b'\n', before).count();
            let what = without_values(error.message());
            CredentialsError::Form { path: path.to_owned(), line, what }
        })?;
        let mut users = HashMap::new();
        for user in parsed.user {
            let what = format!("user {}", user.name);
            let given = (user.password_hash, user.password_file, user.password_env);
            let secret = reader.secret(&what, "password", given)?;
            if user.name.is_empty() || user.name.contains(':') {
                return Err(reader.wrong(format!("{what}: a name is not empty and has no colon")));
            }
            if users.insert(user.name, secret).is_some() {
                return Err(reader.wrong(format!("{what} is there twice")));
            }
        }
        let mut tokens = HashMap::new();
        for token in parsed.token {
            let what = format!("token {}", token.name);
            let hash = reader.token(&what, token.token_hash, token.token_file, token.token_env)?;
            if tokens.insert(hash, token.name.into()).is_some() {
                return Err(reader.wrong(format!("{what} is equal to another")));
            }
        }
        let mut clients = HashMap::new();
        for client in parsed.client {
            let what = format!("client {}", client.id);
            let given = (client.secret_hash, client.secret_file, client.secret_env);
            let secret = reader.secret(&what, "secret", given)?;
            let client_ = Client { secret, scopes: client.scopes };
            if clients.insert(client.id, client_).is_some() {
                return Err(reader.wrong(format!("{what} is there twice")));
            }
        }
        let mut issuers = Issuers::default();
        for issuer in parsed.issuer {
            let url = issuer.jwks.starts_with("https://") || issuer.jwks.starts_with("http://");
            let keys = match url {
                true => None,
                false => {
                    Some(reader.file(&reader.beside(Path::new(&issuer.jwks)), Kept::Unchanged)?)
                }
            };
            let name = issuer.issuer.clone();
            if let Err(what) = issuers.add(issuer, keys.as_deref()) {
                return Err(reader.wrong(format!("issuer {name}: {what}")));
            }
        }
        let token_seconds = parsed.token_seconds.unwrap_or(300);
        if !(30..=86_400).contains(&token_seconds) {
            return Err(reader.wrong("token_seconds is not between 30 and 86400".to_owned()));
        }
        let secrets = users.values().chain(clients.values().map(|client| &client.secret));
        let hashes = secrets.filter_map(|secret| match secret {
            Secret::Hash(hash) => Some(&**hash),
            Secret::Plain(_) => None,
        });
        let decoy = hasher::decoy_hash(hashes).ok_or(CredentialsError::Random)?;
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(reader.digest.finish().as_ref()) {
            *to = *from;
        }
        Ok(Credentials { users, tokens, clients, issuers, token_seconds, decoy, digest })
    }

    /// Returns the name of a static token.
    ///
    /// It is found by its SHA-256, so that the time of a look-up depends only on the digest of the
    /// bytes that were sent, which their sender knows.
    pub(super) fn token(&self, token: &[u8]) -> Option<Arc<str>> {
        self.tokens.get(&sha256(token)).cloned()
    }

    /// Returns the number of credentials of each kind, as text.
    pub(super) fn summary(&self) -> String {
        let (users, tokens) = (self.users.len(), self.tokens.len());
        let (clients, issuers) = (self.clients.len(), self.issuers.len());
        format!("{users} users, {tokens} tokens, {clients} clients, {issuers} issuers")
    }
}

/// Returns the parser's message without the text of the file, which may be a secret.
fn without_values(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    match line.starts_with("invalid type") || line.starts_with("invalid value") {
        // `invalid type: string "…", expected …`
        true => match line.rsplit_once(", expected ") {
            Some((_, expected)) => format!("a value of another kind than {expected}"),
            None => "a value of another kind than expected".to_owned(),
        },
        false => line.to_owned(),
    }
}

/// Reads the file and the files that it names, and digests them.
struct Reader<'a> {
    path: &'a Path,
    digest: digest::Context,
}

impl Reader<'_> {
    /// Reads a file.
    fn file(&mut self, path: &Path, kept: Kept) -> Result<String, CredentialsError> {
        let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
        let text = String::from_utf8(secret_path::read(path, kept).map_err(failed)?);
        let text = text.map_err(|_| failed(std::io::ErrorKind::InvalidData.into()))?;
        self.digest.update(&(text.len() as u64).to_le_bytes());
        self.digest.update(text.as_bytes());
        Ok(text)
    }

    /// Returns a path that starts from the directory of the credentials file.
    fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn wrong(&self, what: String) -> CredentialsError {
        CredentialsError::Wrong { path: self.path.to_owned(), what }
    }

    /// Returns a secret that is given in the clear, in a file (its first line) or a variable.
    fn plain(
        &mut self,
        what: &str,
        file: Option<PathBuf>,
        variable: Option<String>,
    ) -> Result<Option<String>, CredentialsError> {
        let plain = match (file, variable) {
            (Some(file), None) => {
                let read = self.file(&self.beside(&file), Kept::Secret);
                let text = read.map_err(|error| match error {
                    CredentialsError::Read { source, .. } if !may_be_shown(&source) => {
                        let named = "the file of the secret (not named here: it may be the secret)";
                        self.wrong(format!("{what}: cannot read {named}: {source}"))
                    }
                    error => error,
                })?;
                text.lines().next().unwrap_or_default().to_owned()
            }
            (None, Some(variable)) => {
                let value = std::env::var(&variable);
                value.map_err(|_| self.wrong(format!("{what}: {variable} is not set")))?
            }
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(self.wrong(format!("{what}: a file or a variable, not both")));
            }
        };
        if plain.is_empty() {
            return Err(self.wrong(format!("{what}: the secret is empty")));
        }
        Ok(Some(plain))
    }

    /// Returns the secret that one of three keys gives.
    fn secret(
        &mut self,
        what: &str,
        key: &str,
        (hash, file, variable): (Option<String>, Option<PathBuf>, Option<String>),
    ) -> Result<Secret, CredentialsError> {
        match (hash, self.plain(what, file, variable)?) {
            (Some(hash), None) if hasher::is_hash(&hash) => Ok(Secret::Hash(hash.into())),
            (Some(_), None) => Err(self.wrong(format!(
                "{what}: {key}_hash is no Argon2 hash of a usable size; `sessionlake passwd` makes one"
            ))),
            (None, Some(plain)) => Ok(Secret::Plain(plain.into())),
            _ => Err(self.wrong(format!("{what}: one of {key}_hash, {key}_file and {key}_env"))),
        }
    }

    /// Returns the digest of the token that one of three keys gives.
    fn token(
        &mut self,
        what: &str,
        hash: Option<String>,
        file: Option<PathBuf>,
        variable: Option<String>,
    ) -> Result<[u8; 32], CredentialsError> {
        match (hash, self.plain(what, file, variable)?) {
            (Some(hash), None) => parse_token_hash(&hash).ok_or_else(|| {
                self.wrong(format!(
                    "{what}: token_hash is not sha256: and 64 hex digits; `sessionlake passwd \
                     --token` makes one"
                ))
            }),
            // A token is not verified slowly as a password is, and so must not be guessable.
            (None, Some(plain)) if plain.chars().count() < MIN_TOKEN_CHARACTERS => {
                Err(self.wrong(format!(
                    "{what}: the token has less than {MIN_TOKEN_CHARACTERS} characters; \
                     `sessionlake passwd --token` makes one"
                )))
            }
            (None, Some(plain)) => Ok(sha256(plain.as_bytes())),
            _ => Err(self.wrong(format!("{what}: one of token_hash, token_file and token_env"))),
        }
    }
}
