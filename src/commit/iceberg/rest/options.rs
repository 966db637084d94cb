//! Addresses and credentials of a catalog.

use std::time::Duration;

use reqwest::Url;

use super::names;
use super::sigv4::Keys;
use crate::peers::is_loopback_host;

/// Options of a catalog. `Debug` shows no credentials.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address, without `/v1`.
    pub uri: String,
    /// The warehouse, as the catalog names it.
    pub warehouse: Option<String>,
    /// Part of every path, unless the catalog gives another one.
    pub prefix: Option<String>,
    /// Levels of the namespace that tables are in.
    pub namespace: Vec<String>,
    /// The credentials of requests.
    pub credentials: Credentials,
    /// Allows addresses without TLS that are not loopback.
    pub allow_http: bool,
    /// The most time of a request with its answer.
    pub timeout: Duration,
    /// The most time of connecting.
    pub connect_timeout: Duration,
}

impl Options {
    /// Returns the options of a catalog at `uri` with everything else as it usually is.
    #[must_use]
    pub fn new(uri: &str, namespace: &str) -> Options {
        Options {
            uri: uri.to_owned(),
            warehouse: None,
            prefix: None,
            namespace: vec![namespace.to_owned()],
            credentials: Credentials::None,
            allow_http: false,
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
        }
    }

    /// Checks what a client would refuse before it asks anything.
    ///
    /// # Errors
    /// The field, by the name of its setting, and what is wrong with it, without its value.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        parse_url(&self.uri, self.allow_http).map_err(|why| ("uri", why))?;
        if let Credentials::OAuth2(OAuth2 { endpoint: Some(endpoint), .. }) = &self.credentials {
            parse_url(endpoint, self.allow_http).map_err(|why| ("oauth2_uri", why))?;
        }
        let namespace = names::encode_namespace(&self.namespace, names::SEPARATOR);
        namespace.map_err(|why| ("namespace", why))?;
        if let Some(prefix) = &self.prefix {
            names::check_prefix(prefix).map_err(|why| ("prefix", why))?;
        }
        match &self.warehouse {
            Some(warehouse) => names::encode(warehouse).map(drop).map_err(|why| ("warehouse", why)),
            None => Ok(()),
        }
    }
}

/// Credentials of a client.
#[derive(Clone)]
pub enum Credentials {
    /// A catalog that asks for none.
    None,
    /// A bearer token.
    Token(String),
    /// OAuth 2.0, client credentials.
    OAuth2(OAuth2),
    /// AWS.
    SigV4(Keys),
}

/// A client of a token endpoint.
#[derive(Clone)]
pub struct OAuth2 {
    /// Left out by catalogs that know it by its secret.
    pub client_id: Option<String>,
    /// The client's secret.
    pub client_secret: String,
    /// Scopes with spaces between.
    pub scope: String,
    /// Address of the token endpoint; the catalog's own if there is none.
    pub endpoint: Option<String>,
}

impl OAuth2 {
    /// Parses `id:secret`, or a secret alone. The scope is `catalog`, as catalogs have it.
    #[must_use]
    pub fn parse(credential: &str) -> OAuth2 {
        let (id, secret) = match credential.split_once(':') {
            Some((id, secret)) => (Some(id.to_owned()), secret),
            None => (None, credential),
        };
        let (client_secret, scope) = (secret.to_owned(), "catalog".to_owned());
        OAuth2 { client_id: id, client_secret, scope, endpoint: None }
    }
}

impl std::fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OAuth2([hidden])")
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::None => "none",
            _ => "[hidden]",
        })
    }
}

/// Parses an address that credentials are sent to, and takes slashes from its end.
///
/// # Errors
/// The reason for which nothing is sent there, without the address.
pub(super) fn parse_url(text: &str, allow_http: bool) -> Result<Url, String> {
    let trimmed = text.trim_end_matches('/');
    let url: Url = trimmed.parse().map_err(|_| "its address is no URL".to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name or a password does not belong into the address of a catalog".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("its address has a query or a fragment".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    let loopback = is_loopback_host(host);
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback || allow_http => Ok(url),
        "http" => Err(
            "anybody could read its credentials without TLS: use https, or allow_http = true on \
                       a network that you trust"
                .to_owned(),
        ),
        _ => Err("its address is neither https nor http".to_owned()),
    }
}
