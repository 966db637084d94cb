//! Requests and answers.

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, Url};
use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::sync::OnceCell;

use super::answer::Answer;
use super::bounded_body::beginning;
use super::error::{self, Effect, RestError};
use super::names;
use super::options::{Credentials, Options, parse_url};
use super::protocol::{
    Commit, CommitRequest, Committed, Config, CreateTable, Identifier, LoadedTable,
};
use super::sigv4::{self, Keys};
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::error_text::one_line;
use crate::record::Micros;

/// Most bytes of an answer: the metadata of a table.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// Most bytes that are read of a refusal.
const REFUSAL_BYTES: usize = 16 << 10;

/// A catalog, and the namespace of our tables in it.
pub(crate) struct Catalog {
    http: Client,
    url: Url,
    options: Options,
    auth: Auth,
    clock: Arc<dyn Clock>,
    /// Asked once; an attempt that failed is not kept.
    paths: OnceCell<Paths>,
    #[cfg(test)]
    fake: Option<Fake>,
}

/// Answers a request with status and body in place of a server; none breaks the connection.
#[cfg(test)]
pub(crate) type Fake = Arc<dyn Fn(&Request) -> Option<(u16, Vec<u8>)> + Send + Sync>;

enum Auth {
    None,
    Token(String),
    OAuth2(Tokens),
    SigV4(Keys),
}

/// The parts of paths that a catalog decides.
#[derive(Debug)]
struct Paths {
    prefix: String,
    namespace: String,
}

impl Catalog {
    /// Creates a client. Asks nothing yet.
    ///
    /// # Errors
    /// The option that is wrong, as the end of a sentence about the catalog.
    pub(crate) fn new(options: Options, clock: Arc<dyn Clock>) -> Result<Catalog, String> {
        let url = parse_url(&options.uri, options.allow_http)?;
        let auth = match &options.credentials {
            Credentials::None => Auth::None,
            Credentials::Token(token) => Auth::Token(token.clone()),
            Credentials::SigV4(keys) => Auth::SigV4(keys.clone()),
            Credentials::OAuth2(client) => {
                let own = format!("{}/v1/oauth/tokens", url.as_str().trim_end_matches('/'));
                let endpoint = client.endpoint.as_deref().unwrap_or(&own);
                let endpoint = parse_url(endpoint, options.allow_http)
                    .map_err(|why| format!("the token endpoint: {why}"))?;
                Auth::OAuth2(Tokens::new(client.clone(), endpoint))
            }
        };
        // A proxy of the environment could read what is sent without TLS.
        let token_url = match &auth {
            Auth::OAuth2(tokens) => tokens.endpoint(),
            _ => &url,
        };
        let is_plain = [&url, token_url].iter().any(|url| url.scheme() == "http");
        let http = if is_plain { Client::builder().no_proxy() } else { Client::builder() };
        let http = http
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| one_line(&error))?;
        Ok(Catalog {
            http,
            url,
            options,
            auth,
            clock,
            paths: OnceCell::new(),
            #[cfg(test)]
            fake: None,
        })
    }

    /// Returns the same client with `fake` in place of the server.
    #[cfg(test)]
    pub(crate) fn with_fake(self, fake: Fake) -> Catalog {
        Catalog { fake: Some(fake), ..self }
    }

    /// Returns the name of a table with its namespace, as people write it.
    pub(in crate::commit::iceberg) fn full_name(&self, table: &str) -> String {
        format!("{}.{table}", self.options.namespace.join("."))
    }

    /// Returns the time.
    pub(in crate::commit::iceberg) fn now(&self) -> Micros {
        self.clock.now()
    }

    /// Loads a table. Returns `None` when the catalog does not have it.
    ///
    /// # Errors
    /// [`RestError::Refused`] and [`RestError::Away`].
    pub(in crate::commit::iceberg) async fn load(
        &self,
        table: &str,
    ) -> Result<Option<LoadedTable>, RestError> {
        let path = self.table_path(table).await?;
        let answer = self.send(Method::GET, &path, "snapshots=refs", None, Effect::Read).await?;
        if error::is_missing(answer.status, &answer.body) {
            return Ok(None);
        }
        answer.parsed(Effect::Read).map(Some)
    }

    /// Creates a table.
    ///
    /// # Errors
    /// [`RestError`]; of a conflict, a table has the name.
    pub(in crate::commit::iceberg) async fn create(
        &self,
        table: &CreateTable,
    ) -> Result<LoadedTable, RestError> {
        let path = format!("{}/tables", self.namespace_path().await?);
        self.post(&path, table).await?.parsed(Effect::Write)
    }

    /// Changes a table. Dropping the future leaves the outcome unknown.
    ///
    /// # Errors
    /// [`RestError`].
    pub(in crate::commit::iceberg) async fn commit(
        &self,
        table: &str,
        commit: &Commit,
    ) -> Result<(), RestError> {
        let path = self.table_path(table).await?;
        let identifier = Identifier { namespace: &self.options.namespace, name: table };
        let request = CommitRequest { identifier, commit };
        // A catalog answers with the metadata.
        let committed: Committed = self.post(&path, &request).await?.parsed(Effect::Write)?;
        match committed.metadata.is_empty() {
            false => Ok(()),
            true => {
                Err(RestError::Unknown("the answer to a commit is none of a catalog".to_owned()))
            }
        }
    }

    /// Tells whether the namespace exists.
    ///
    /// # Errors
    /// [`RestError::Refused`] and [`RestError::Away`].
    pub(in crate::commit::iceberg) async fn has_namespace(&self) -> Result<bool, RestError> {
        let path = self.namespace_path().await?;
        let answer = self.send(Method::GET, &path, "", None, Effect::Read).await?;
        if error::is_missing(answer.status, &answer.body) {
            return Ok(false);
        }
        answer.parsed::<Json>(Effect::Read).map(|_| true)
    }

    /// Returns the address of the catalog.
    pub(in crate::commit::iceberg) fn uri(&self) -> &str {
        self.url.as_str()
    }

    /// Creates the namespace and those above it, unless they exist.
    ///
    /// # Errors
    /// [`RestError`], but for conflicts.
    pub(in crate::commit::iceberg) async fn create_namespace(&self) -> Result<(), RestError> {
        let path = self.path("namespaces").await?;
        for end in 1..=self.options.namespace.len() {
            let levels = self.options.namespace.get(..end).unwrap_or_default();
            let request = json!({"namespace": levels, "properties": {}});
            match self.post(&path, &request).await?.parsed::<Json>(Effect::Write) {
                Ok(_) | Err(RestError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, RestError> {
        let body = serde_json::to_vec(body).map_err(|error| {
            RestError::Refused(format!("the request cannot be written: {error}"))
        })?;
        self.send(Method::POST, path, "", Some(body), Effect::Write).await
    }

    async fn table_path(&self, table: &str) -> Result<String, RestError> {
        let name = names::encode(table).map_err(RestError::Refused)?;
        Ok(format!("{}/tables/{name}", self.namespace_path().await?))
    }

    async fn namespace_path(&self) -> Result<String, RestError> {
        let namespace = &self.paths().await?.namespace;
        self.path(&format!("namespaces/{namespace}")).await
    }

    async fn path(&self, below: &str) -> Result<String, RestError> {
        Ok(match &*self.paths().await?.prefix {
            "" => format!("v1/{below}"),
            prefix => format!("v1/{prefix}/{below}"),
        })
    }

    /// Asks the catalog for the parts of its paths, once. Nothing else that it says is taken.
    async fn paths(&self) -> Result<&Paths, RestError> {
        self.paths.get_or_try_init(|| self.configure()).await
    }

    async fn configure(&self) -> Result<Paths, RestError> {
        let query = match &self.options.warehouse {
            Some(warehouse) => {
                let warehouse = names::encode(warehouse).map_err(RestError::Refused)?;
                format!("warehouse={warehouse}")
            }
            None => String::new(),
        };
        let answer = self.send(Method::GET, "v1/config", &query, None, Effect::Read).await?;
        // Those who are not let in are told so.
        let is_let_in = !matches!(answer.status.as_u16(), 401 | 403 | 419);
        let config: Config = answer.parsed(Effect::Read).map_err(|error| match error {
            RestError::Refused(why) if is_let_in => RestError::Refused(format!(
                "its configuration, at {}/v1/config: {why}; is the uri under [catalog] right, without /v1, \
                 and the warehouse one that the catalog has?",
                self.url.as_str().trim_end_matches('/')
            )),
            other => other,
        })?;
        let value = |key: &str, ours: Option<&String>| {
            config.overrides.get(key).or(ours).or(config.defaults.get(key)).cloned()
        };
        let prefix = value("prefix", self.options.prefix.as_ref()).unwrap_or_default();
        let prefix = names::check_prefix(&prefix).map_err(RestError::Refused)?.to_owned();
        let separator = value("namespace-separator", None).unwrap_or_default();
        let separator = percent_encoding::percent_decode_str(&separator).decode_utf8_lossy();
        let separator = match &*separator {
            "" => names::SEPARATOR.to_owned(),
            other => other.to_owned(),
        };
        let namespace = names::encode_namespace(&self.options.namespace, &separator);
        let namespace = namespace.map_err(RestError::Refused)?;
        Ok(Paths { prefix, namespace })
    }

    /// Sends a request; once more, with a new token, if the catalog refuses the token.
    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &str,
        body: Option<Vec<u8>>,
        effect: Effect,
    ) -> Result<Answer, RestError> {
        let request = self.request(method, path, query, body)?;
        let Auth::OAuth2(tokens) = &self.auth else {
            return self.exchange(self.authorized(request)?, effect).await;
        };
        let token = tokens.get(&self.http).await?;
        let again = request.try_clone();
        let answer = self.exchange(with_token(request, &token)?, effect).await?;
        let Some(again) = again.filter(|_| matches!(answer.status.as_u16(), 401 | 419)) else {
            return Ok(answer);
        };
        tokens.forget(&token).await;
        let token = tokens.get(&self.http).await?;
        self.exchange(with_token(again, &token)?, effect).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Request, RestError> {
        let mut url = self.url.clone();
        let path = format!("{}/{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        if url.path() != path {
            return Err(RestError::Refused("its prefix or a name is no part of a path".to_owned()));
        }
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        headers.insert("accept", HeaderValue::from_static("application/json"));
        if let Some(body) = body {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.into());
        }
        Ok(request)
    }

    /// Adds credentials that need no asking.
    fn authorized(&self, mut request: Request) -> Result<Request, RestError> {
        match &self.auth {
            Auth::None | Auth::OAuth2(_) => Ok(request),
            Auth::Token(token) => with_token(request, token),
            Auth::SigV4(keys) => {
                let url = request.url();
                let name = url.host_str().unwrap_or_default();
                let host = match url.port() {
                    Some(port) => format!("{name}:{port}"),
                    None => name.to_owned(),
                };
                let signed = sigv4::Request {
                    method: request.method().as_str(),
                    path: url.path(),
                    query: url.query().unwrap_or_default(),
                    host: &host,
                    body: request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default(),
                };
                let time = || RestError::Refused("the time cannot be signed".to_owned());
                let signed = sigv4::headers(keys, signed, self.clock.now()).ok_or_else(time)?;
                for (name, value) in signed {
                    let value = secret_header(&value)?;
                    request.headers_mut().insert(HeaderName::from_static(name), value);
                }
                Ok(request)
            }
        }
    }

    async fn exchange(&self, request: Request, effect: Effect) -> Result<Answer, RestError> {
        #[cfg(test)]
        if let Some(fake) = &self.fake {
            let broken = || effect.unanswered("the connection is broken".to_owned());
            let (status, body) = fake(&request).ok_or_else(broken)?;
            let status = reqwest::StatusCode::from_u16(status).unwrap_or_default();
            return Ok(Answer { status, body });
        }
        let mut answer = match self.http.execute(request).await {
            Ok(answer) => answer,
            // Nothing was sent.
            Err(error) if error.is_connect() => return Err(RestError::Away(one_line(&error))),
            Err(error) => return Err(effect.unanswered(one_line(&error))),
        };
        let status = answer.status();
        if !status.is_success() {
            // The status says it all; the text is for people.
            let body = beginning(&mut answer, REFUSAL_BYTES).await.unwrap_or_default();
            return Ok(Answer { status, body });
        }
        match beginning(&mut answer, MOST_BYTES + 1).await {
            Ok(body) if body.len() > MOST_BYTES => {
                Err(effect.unanswered(format!("the answer has more than {MOST_BYTES} bytes")))
            }
            Ok(body) => Ok(Answer { status, body }),
            Err(error) => Err(effect.unanswered(one_line(&error))),
        }
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("options", &self.options).finish_non_exhaustive()
    }
}

fn with_token(mut request: Request, token: &str) -> Result<Request, RestError> {
    request.headers_mut().insert(AUTHORIZATION, secret_header(&format!("Bearer {token}"))?);
    Ok(request)
}

fn secret_header(value: &str) -> Result<HeaderValue, RestError> {
    let no_header = |_| RestError::Refused("a credential is no text of a header".to_owned());
    let mut value = HeaderValue::from_str(value).map_err(no_header)?;
    value.set_sensitive(true);
    Ok(value)
}
