//! One endpoint: its URL, its client, the sender's credentials, and one try of a bulk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use futures::StreamExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Client, Method, RequestBuilder, Url};
use tokio::sync::Mutex;

use super::send_error::SendError;

/// Credentials of the sender.
#[derive(Clone)]
pub enum Auth {
    /// No credentials.
    None,
    /// A name and a password.
    Basic(String, String),
    /// A token that does not change.
    Bearer(String),
    /// OAuth 2.0 client credentials: a token is fetched, and again before it ends.
    OAuth {
        /// Access token URL.
        url: Url,
        /// Client id.
        id: String,
        /// Client secret.
        secret: String,
        /// Scope, if any.
        scope: Option<String>,
    },
}

/// Version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Http {
    /// Negotiated: HTTP/2 over TLS if the receiver has it, else HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    #[value(name = "1.1")]
    One,
    /// HTTP/2, without TLS too.
    #[value(name = "2")]
    Two,
}

/// Settings of the transport, the same for every endpoint.
#[derive(Clone)]
pub struct Transport {
    /// PUT or POST.
    pub method: Method,
    /// `Content-Type` of a bulk.
    pub content_type: String,
    /// Credentials.
    pub auth: Auth,
    /// Certificates (PEM) to trust instead of the system's.
    pub roots: Option<Vec<u8>>,
    /// Version of HTTP.
    pub http: Http,
    /// Longest time for one try.
    pub timeout: Duration,
}

/// Bytes of an answer that are read: enough for a sentence of what is wrong.
const ANSWER_BYTES: usize = 4_096;
/// Bytes of a body that are sent at a time where a fault asks for a slow body.
const CHUNK_BYTES: usize = 65_536;
/// Time that a slow body takes.
const SLOW: Duration = Duration::from_secs(2);

pub(crate) struct Endpoint {
    pub(crate) url: Url,
    transport: Transport,
    client: Client,
    token: Mutex<Option<Token>>,
}

struct Token {
    value: String,
    until: Instant,
}

/// The way in which a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The whole body at once.
    Plain,
    /// Chunks with pauses between them.
    Slow,
    /// The whole body; then the connection is dropped after this time.
    Drop(Duration),
}

impl Endpoint {
    pub(crate) fn new(url: Url, transport: Transport) -> anyhow::Result<Endpoint> {
        ensure!(
            matches!(url.scheme(), "http" | "https") && url.has_host(),
            "{url} is no URL to send to: it must begin with http:// or https://"
        );
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sessionlake-simulate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(transport.timeout)
            .timeout(transport.timeout)
            .tcp_nodelay(true);
        builder = match transport.http {
            Http::Auto => builder,
            Http::One => builder.http1_only(),
            Http::Two => builder.http2_prior_knowledge(),
        };
        if let Some(pem) = &transport.roots {
            let roots = Certificate::from_pem_bundle(pem).context("this is no PEM")?;
            ensure!(!roots.is_empty(), "there is no certificate in the file of --ca");
            builder = builder.tls_certs_only(roots);
        }
        let client = builder.build().context("cannot set up the HTTP client")?;
        Ok(Endpoint { url, transport, client, token: Mutex::new(None) })
    }

    /// Sends `body` once. Dropping the future drops the connection.
    pub(crate) async fn send(&self, body: &Bytes, manner: Manner) -> Result<(), SendError> {
        let content_type = HeaderValue::from_str(&self.transport.content_type)
            .map_err(|error| SendError::Other(error.to_string()))?;
        let request = self
            .client
            .request(self.transport.method.clone(), self.url.clone())
            .header(CONTENT_TYPE, content_type);
        let request = self.authorize(request).await?;
        match manner {
            Manner::Plain => self.answer(request.body(body.clone())).await,
            Manner::Slow => {
                let chunks = body.len().div_ceil(CHUNK_BYTES).max(1) as u32;
                let pause = SLOW / chunks;
                self.answer(in_chunks(request, body.clone(), Some(pause), Arc::default())).await
            }
            Manner::Drop(after) => {
                let sent = Arc::new(AtomicBool::new(false));
                let sending = self.answer(in_chunks(request, body.clone(), None, sent.clone()));
                let dropping = async {
                    while !sent.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    tokio::time::sleep(after).await;
                };
                tokio::select! {
                    answer = sending => answer.and(Err(SendError::Dropped)),
                    () = dropping => Err(SendError::Dropped),
                }
            }
        }
    }

    /// Sends a request, and judges the answer by its status alone; a little of the text is read for
    /// people.
    async fn answer(&self, request: RequestBuilder) -> Result<(), SendError> {
        let error_of = |error| SendError::of(&error, self.transport.timeout);
        let mut response = request.send().await.map_err(error_of)?;
        let status = response.status().as_u16();
        let mut said = Vec::new();
        while said.len() < ANSWER_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => said.extend_from_slice(&chunk),
                _ => break,
            }
        }
        if status == 200 {
            return Ok(());
        }
        if status == 401 {
            // Whatever token this was, it is of no use.
            *self.token.lock().await = None;
        }
        let said: String = String::from_utf8_lossy(&said).chars().take(200).collect();
        Err(SendError::Status(status, said))
    }

    async fn authorize(&self, request: RequestBuilder) -> Result<RequestBuilder, SendError> {
        Ok(match &self.transport.auth {
            Auth::None => request,
            Auth::Basic(name, password) => request.basic_auth(name, Some(password)),
            Auth::Bearer(token) => request.bearer_auth(token),
            Auth::OAuth { url, id, secret, scope } => {
                // Held while a token is fetched: the other connections wait for the same one.
                let mut token = self.token.lock().await;
                let value = match token.as_ref().filter(|token| Instant::now() < token.until) {
                    Some(token) => token.value.clone(),
                    None => {
                        let fetched = self.fetch_token(url, id, secret, scope.as_deref()).await;
                        let fetched =
                            fetched.map_err(|why| SendError::Token(format!("{why:#}")))?;
                        token.insert(fetched).value.clone()
                    }
                };
                request.header(AUTHORIZATION, format!("Bearer {value}"))
            }
        })
    }

    async fn fetch_token(
        &self,
        url: &Url,
        id: &str,
        secret: &str,
        scope: Option<&str>,
    ) -> anyhow::Result<Token> {
        let mut pairs = vec![
            ("client_id", id),
            ("client_secret", secret),
            ("grant_type", "client_credentials"),
        ];
        pairs.extend(scope.map(|scope| ("scope", scope)));
        let form: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        let response = self
            .client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.join("&"))
            .send()
            .await
            .map_err(|error| {
                let error = SendError::of(&error, self.transport.timeout);
                anyhow::anyhow!("{}", error.explain(url))
            })?;
        let status = response.status();
        let answer = response.bytes().await.context("its answer broke off")?;
        if !status.is_success() {
            bail!("{url} answered {}", status.as_u16());
        }
        #[derive(serde::Deserialize)]
        struct Answer {
            access_token: String,
            expires_in: Option<u64>,
        }
        let answer: Answer = serde_json::from_slice(&answer)
            .with_context(|| format!("{url} answered something else than a token"))?;
        // Renewed while it still holds, so that no bulk meets its end.
        let lifetime = Duration::from_secs(answer.expires_in.unwrap_or(300));
        let early = (lifetime / 10).min(Duration::from_secs(30));
        Ok(Token { value: answer.access_token, until: Instant::now() + lifetime - early })
    }
}

/// Returns `request` with a body that is sent in chunks, each after a pause; `sent` becomes true
/// once the last was taken.
fn in_chunks(
    request: RequestBuilder,
    body: Bytes,
    pause: Option<Duration>,
    sent: Arc<AtomicBool>,
) -> RequestBuilder {
    let length = body.len();
    let chunks = futures::stream::unfold(body, move |mut left| {
        let sent = sent.clone();
        async move {
            if left.is_empty() {
                sent.store(true, Ordering::Relaxed);
                return None;
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            let chunk = left.split_to(left.len().min(CHUNK_BYTES));
            // HTTP/1.1 stops asking once it has all the bytes that were announced.
            sent.store(left.is_empty(), Ordering::Relaxed);
            Some((Ok::<_, std::io::Error>(chunk), left))
        }
    });
    request.header(CONTENT_LENGTH, length).body(reqwest::Body::wrap_stream(chunks.boxed()))
}
