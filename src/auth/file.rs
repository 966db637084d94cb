//! The file of credentials.
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

use super::jwt::Issuers;
use super::{password, sha256};

/// The shortest token that is taken in the clear.
const LEAST_TOKEN_CHARACTERS: usize = 32;

/// Why credentials cannot be used. No text of the file is in it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML of this form.
    #[error("{}:{line}: {what}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// It is TOML, and says something that cannot be.
    #[error("{}: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// What a password is verified against.
#[derive(Clone)]
pub(super) enum Secret {
    /// An Argon2 hash in its usual text form.
    Hash(Arc<str>),
    /// The password itself, which is only ever in a file of its own or a variable.
    Plain(Arc<str>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Secret {
    /// What a token of ours depends on: with another secret, the tokens of the old one are void.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let (Secret::Hash(text) | Secret::Plain(text)) = self;
        sha256(text.as_bytes())
    }
}

/// A client of the token endpoint.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) secret: Secret,
    pub(super) scopes: Vec<String>,
}

/// Everything the file says.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) users: HashMap<String, Secret>,
    tokens: HashMap<[u8; 32], Arc<str>>,
    pub(super) clients: HashMap<String, Client>,
    pub(super) issuers: Issuers,
    pub(super) token_seconds: u64,
    /// What an unknown name is verified against: no cheaper than any of the above.
    pub(super) nobody: Arc<str>,
    /// Over the file and the files it names: differs when anything does.
    pub(super) digest: [u8; 32],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    token_seconds: Option<u64>,
    #[serde(default)]
    user: Vec<UserText>,
    #[serde(default)]
    token: Vec<TokenText>,
    #[serde(default)]
    client: Vec<ClientText>,
    #[serde(default)]
    issuer: Vec<IssuerText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserText {
    name: String,
    password_hash: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenText {
    name: String,
    token_hash: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientText {
    id: String,
    secret_hash: Option<String>,
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerText {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) jwks: String,
    pub(super) scope: Option<String>,
}

impl Credentials {
    pub(super) fn read(path: &Path) -> Result<Credentials, CredentialsError> {
        let mut reader = Reader { path, digest: digest::Context::new(&digest::SHA256) };
        let text = reader.file(path)?;
        let parsed: Text = toml::from_str(&text).map_err(|error| {
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
                false => Some(reader.file(&reader.beside(Path::new(&issuer.jwks)))?),
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
        let nobody = password::nobody(hashes).ok_or(CredentialsError::Random)?;
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(reader.digest.finish().as_ref()) {
            *to = *from;
        }
        Ok(Credentials { users, tokens, clients, issuers, token_seconds, nobody, digest })
    }

    /// The name of a static token.
    ///
    /// Found by its SHA-256: what a look-up's time could tell is about the hash of what was sent,
    /// which its sender knows.
    pub(super) fn token(&self, token: &[u8]) -> Option<Arc<str>> {
        self.tokens.get(&sha256(token)).cloned()
    }

    pub(super) fn summary(&self) -> String {
        let (users, tokens) = (self.users.len(), self.tokens.len());
        let (clients, issuers) = (self.clients.len(), self.issuers.len());
        format!("{users} users, {tokens} tokens, {clients} clients, {issuers} issuers")
    }
}

/// What the parser said, without the text of the file, which may be a secret.
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

/// Whether a path that cannot be read may be shown: what nothing is at may be the secret itself, put
/// where its file belongs.
pub(crate) fn may_be_shown(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    !matches!(error.kind(), NotFound | NotADirectory | InvalidFilename | InvalidInput)
}

struct Reader<'a> {
    path: &'a Path,
    digest: digest::Context,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) -> Result<String, CredentialsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CredentialsError::Read { path: path.to_owned(), source })?;
        self.digest.update(&(text.len() as u64).to_le_bytes());
        self.digest.update(text.as_bytes());
        Ok(text)
    }

    fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn wrong(&self, what: String) -> CredentialsError {
        CredentialsError::Wrong { path: self.path.to_owned(), what }
    }

    /// A secret in the clear, from a file (its first line) or a variable.
    fn plain(
        &mut self,
        what: &str,
        file: Option<PathBuf>,
        variable: Option<String>,
    ) -> Result<Option<String>, CredentialsError> {
        let plain = match (file, variable) {
            (Some(file), None) => {
                let read = self.file(&self.beside(&file));
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

    fn secret(
        &mut self,
        what: &str,
        key: &str,
        (hash, file, variable): (Option<String>, Option<PathBuf>, Option<String>),
    ) -> Result<Secret, CredentialsError> {
        match (hash, self.plain(what, file, variable)?) {
            (Some(hash), None) if password::is_hash(&hash) => Ok(Secret::Hash(hash.into())),
            (Some(_), None) => Err(self.wrong(format!(
                "{what}: {key}_hash is no Argon2 hash of a usable size; `sessionlake passwd` makes one"
            ))),
            (None, Some(plain)) => Ok(Secret::Plain(plain.into())),
            _ => Err(self.wrong(format!("{what}: one of {key}_hash, {key}_file and {key}_env"))),
        }
    }

    fn token(
        &mut self,
        what: &str,
        hash: Option<String>,
        file: Option<PathBuf>,
        variable: Option<String>,
    ) -> Result<[u8; 32], CredentialsError> {
        match (hash, self.plain(what, file, variable)?) {
            (Some(hash), None) => from_hex(&hash).ok_or_else(|| {
                self.wrong(format!(
                    "{what}: token_hash is not sha256: and 64 hex digits; `sessionlake passwd \
                     --token` makes one"
                ))
            }),
            // Unlike a password it is not verified slowly, and so has to be beyond guessing.
            (None, Some(plain)) if plain.chars().count() < LEAST_TOKEN_CHARACTERS => Err(self
                .wrong(format!(
                    "{what}: the token has less than {LEAST_TOKEN_CHARACTERS} characters; \
                     `sessionlake passwd --token` makes one"
                ))),
            (None, Some(plain)) => Ok(sha256(plain.as_bytes())),
            _ => Err(self.wrong(format!("{what}: one of token_hash, token_file and token_env"))),
        }
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix("sha256:")?.as_bytes();
    if hex.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (to, two) in out.iter_mut().zip(hex.chunks_exact(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()?;
    }
    Some(out)
}

/// The `token_hash` of a token.
#[must_use]
pub(crate) fn token_hash(token: &str) -> String {
    sha256(token.as_bytes()).iter().fold("sha256:".to_owned(), |text, b| format!("{text}{b:02x}"))
}
