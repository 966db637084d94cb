//! The HTTP client of a bucket: one that follows no redirects and reads little of a refusal.
//!
//! - A redirect is an answer like any other that is no success. Followed, it would take the request, and
//!   what is in it, to any host that the store names; and of a put it makes a get, whose success says
//!   nothing of the object.
//! - Of an answer that is no success, [`REFUSAL_BYTES`] are read: they are for people.
//!
//! The client of `object_store` has no option for either, so it is built here from the same options.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, NoProxy, Proxy};

/// Most bytes that are read of an answer that is no success.
const REFUSAL_BYTES: usize = 16 << 10;

/// Makes the HTTP clients of the stores.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let builder = build(&Values(options))?;
        let client = builder.build().map_err(|error| wrong(error.to_string()))?;
        Ok(HttpClient::new(Client(client)))
    }
}

#[derive(Debug)]
struct Client(reqwest::Client);

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = HttpService::call(&self.0, request).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        Ok(HttpResponse::from_parts(parts, beginning(body).await?))
    }
}

/// Reads the beginning of an answer, as text.
async fn beginning(body: HttpResponseBody) -> Result<HttpResponseBody, HttpError> {
    let (mut chunks, mut bytes) = (body.bytes_stream(), Vec::new());
    while bytes.len() < REFUSAL_BYTES
        && let Some(chunk) = chunks.next().await
    {
        let chunk = chunk?;
        let room = REFUSAL_BYTES - bytes.len();
        bytes.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned().into())
}

/// The options of a client by their keys.
struct Values<'a>(&'a ClientOptions);

impl Values<'_> {
    fn text(&self, key: ClientConfigKey) -> Option<String> {
        self.0.get_config_value(&key)
    }

    fn parsed<T>(
        &self,
        key: ClientConfigKey,
        parse: impl Fn(&str) -> Option<T>,
    ) -> object_store::Result<Option<T>> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let value = parse(&text);
        value.map(Some).ok_or_else(|| wrong(format!("{} has no such value", key.as_ref())))
    }

    fn number<T: FromStr>(&self, key: ClientConfigKey) -> object_store::Result<Option<T>> {
        self.parsed(key, |text| text.parse().ok())
    }

    fn duration(&self, key: ClientConfigKey) -> object_store::Result<Option<std::time::Duration>> {
        self.parsed(key, |text| humantime::parse_duration(text).ok())
    }

    fn is_set(&self, key: ClientConfigKey) -> object_store::Result<bool> {
        let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "on" | "yes" | "y" => Some(true),
            "0" | "false" | "off" | "no" | "n" => Some(false),
            _ => None,
        };
        Ok(self.parsed(key, parse)?.unwrap_or_default())
    }
}

fn build(values: &Values<'_>) -> object_store::Result<ClientBuilder> {
    use ClientConfigKey as Key;
    let mut builder = ClientBuilder::new().redirect(Policy::none());
    let agent = values.text(Key::UserAgent);
    builder = builder.user_agent(agent.unwrap_or_else(|| {
        concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned()
    }));
    if let Some(url) = values.text(Key::ProxyUrl) {
        // The error could hold the address, and with it a password.
        let mut proxy = Proxy::all(url).map_err(|_| wrong("proxy_url is no URL".to_owned()))?;
        if let Some(pem) = values.text(Key::ProxyCaCertificate) {
            let certificate = reqwest::tls::Certificate::from_pem(pem.as_bytes());
            let no_pem = |_| wrong("proxy_ca_certificate is no certificate in PEM".to_owned());
            builder = builder.tls_certs_merge([certificate.map_err(no_pem)?]);
        }
        if let Some(excludes) = values.text(Key::ProxyExcludes) {
            proxy = proxy.no_proxy(NoProxy::from_string(&excludes));
        }
        builder = builder.proxy(proxy);
    }
    if values.is_set(Key::NoSystemCertificates)? {
        builder = builder.tls_certs_only([]);
    }
    if let Some(time) = values.duration(Key::Timeout)? {
        builder = builder.timeout(time);
    }
    if let Some(time) = values.duration(Key::ConnectTimeout)? {
        builder = builder.connect_timeout(time);
    }
    if let Some(time) = values.duration(Key::ReadTimeout)? {
        builder = builder.read_timeout(time);
    }
    if let Some(time) = values.duration(Key::PoolIdleTimeout)? {
        builder = builder.pool_idle_timeout(time);
    }
    if let Some(most) = values.number(Key::PoolMaxIdlePerHost)? {
        builder = builder.pool_max_idle_per_host(most);
    }
    builder = protocols(builder, values)?;
    if values.is_set(Key::AllowInvalidCertificates)? {
        builder = builder.danger_accept_invalid_certs(true);
    }
    if values.is_set(Key::RandomizeAddresses)? {
        builder = builder.dns_resolver(Arc::new(Shuffled));
    }
    // Compressed answers would have another length than the object.
    builder = builder.no_gzip().no_brotli().no_zstd().no_deflate();
    Ok(builder.https_only(!values.is_set(Key::AllowHttp)?))
}

fn protocols(
    mut builder: ClientBuilder,
    values: &Values<'_>,
) -> object_store::Result<ClientBuilder> {
    use ClientConfigKey as Key;
    if let Some(interval) = values.duration(Key::Http2KeepAliveInterval)? {
        builder = builder.http2_keep_alive_interval(interval);
    }
    if let Some(time) = values.duration(Key::Http2KeepAliveTimeout)? {
        builder = builder.http2_keep_alive_timeout(time);
    }
    if values.is_set(Key::Http2KeepAliveWhileIdle)? {
        builder = builder.http2_keep_alive_while_idle(true);
    }
    if let Some(bytes) = values.number::<u32>(Key::Http2MaxFrameSize)? {
        builder = builder.http2_max_frame_size(Some(bytes));
    }
    if values.is_set(Key::Http1Only)? {
        builder = builder.http1_only();
    }
    if values.is_set(Key::Http2Only)? {
        builder = builder.http2_prior_knowledge();
    }
    Ok(builder)
}

fn wrong(what: String) -> object_store::Error {
    object_store::Error::Generic { store: "HTTP client", source: what.into() }
}

/// Resolves names to their addresses in random order: a store spreads its load by them.
#[derive(Debug)]
struct Shuffled;

impl Resolve for Shuffled {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut found: Vec<(u32, SocketAddr)> =
                found.map(|address| (getrandom::u32().unwrap_or_default(), address)).collect();
            found.sort_unstable_by_key(|(random, _)| *random);
            let addresses: Addrs = Box::new(found.into_iter().map(|(_, address)| address));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests;
