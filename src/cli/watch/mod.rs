//! What `top` and `tap` have in common: the listener of operators, asked over HTTP.

mod events;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

pub(super) use self::events::Events;
use super::Failure;
use super::admin::{TOKEN, USER};

/// The most bytes of an answer.
const ANSWER_BYTES: usize = 16 << 20;
/// The time for which a server that has answered is waited for again.
pub(super) const AWAY: Duration = Duration::from_secs(60);
/// The pause before it is asked again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// The longest time between two events of a stream.
const SILENCE: Duration = Duration::from_secs(10);

/// The server that is looked at.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// Address of the status page (status_listen of the server).
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:3001")]
    url: String,
    /// Name and password of an operator, for HTTP Basic authentication.
    #[arg(
        long,
        value_name = "NAME:PASSWORD",
        env = USER,
        hide_env_values = true,
        conflicts_with = "token"
    )]
    user: Option<String>,
    /// Token of an operator.
    #[arg(long, value_name = "TOKEN", env = TOKEN, hide_env_values = true)]
    token: Option<String>,
    /// Trust the certificates in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// A client of the listener of operators.
pub(super) struct Watcher {
    client: Client,
    base: Url,
    user: Option<(String, String)>,
    token: Option<String>,
}

impl Watcher {
    /// Makes the client. Asks nothing yet.
    pub(super) fn new(target: &Target) -> Result<Watcher, Failure> {
        Watcher::make(target).map_err(Failure::Usage)
    }

    fn make(target: &Target) -> anyhow::Result<Watcher> {
        let text = match target.url.contains("://") {
            true => target.url.clone(),
            false => format!("http://{}", target.url),
        };
        let mut base: Url =
            text.parse().map_err(|error| anyhow!("the URL of the server is wrong: {error}"))?;
        ensure!(
            matches!(base.scheme(), "http" | "https") && base.host().is_some(),
            "the URL of the server begins with http:// or https://"
        );
        ensure!(
            base.username().is_empty() && base.password().is_none(),
            "give credentials with --user or --token, not in the URL"
        );
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let user = match &target.user {
            Some(user) => {
                let (name, password) =
                    user.split_once(':').context("--user is not NAME:PASSWORD")?;
                Some((name.to_owned(), password.to_owned()))
            }
            None => None,
        };
        if base.scheme() == "http" && (user.is_some() || target.token.is_some()) {
            ensure!(
                is_loopback(&base),
                "credentials are not sent to another machine without TLS: use https://"
            );
        }
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sessionlake-watch/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(SILENCE)
            .read_timeout(SILENCE);
        if let Some(path) = &target.ca {
            let pem = std::fs::read(path).with_context(|| path.display().to_string())?;
            let roots = Certificate::from_pem_bundle(&pem).context("this is no PEM")?;
            ensure!(!roots.is_empty(), "{} has no certificate", path.display());
            builder = builder.tls_certs_only(roots);
        }
        let client = builder.build().context("cannot set up the HTTP client")?;
        Ok(Watcher { client, base, user, token: target.token.clone() })
    }

    /// Returns the status with the history after `after`.
    pub(super) async fn status(&self, after: i64) -> anyhow::Result<Value> {
        let mut answer = self.get(&format!("status.json?after={after}")).await?;
        let mut text = Vec::new();
        while let Some(bytes) = answer.chunk().await.with_context(|| self.no_answer())? {
            text.extend_from_slice(&bytes);
            ensure!(text.len() <= ANSWER_BYTES, "{} answers too much", self.base);
        }
        let status: Value = serde_json::from_slice(&text).with_context(|| self.is_another())?;
        ensure!(status["version"] == 1, "{}", self.is_another());
        Ok(status)
    }

    /// Begins a stream of events, with those after the reject `after` if it is given. `None` if the server
    /// has as many as it may.
    pub(super) async fn events(&self, after: Option<u64>) -> anyhow::Result<Option<Events>> {
        let after = after.map(|id| format!("?after={id}")).unwrap_or_default();
        let request = self.request(&format!("events{after}"))?;
        let answer = request.send().await.with_context(|| self.no_answer())?;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        Ok(Some(Events::of(self.check(answer)?)))
    }

    async fn get(&self, path: &str) -> anyhow::Result<Response> {
        let request = self.request(path)?;
        self.check(request.send().await.with_context(|| self.no_answer())?)
    }

    fn request(&self, path: &str) -> anyhow::Result<RequestBuilder> {
        let mut request = self.client.get(self.base.join(path)?);
        if let Some((name, password)) = &self.user {
            request = request.basic_auth(name, Some(password));
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Ok(request)
    }

    fn check(&self, answer: Response) -> anyhow::Result<Response> {
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED => bail!(
                "{} wants the credentials of an operator (status_credentials of the server): give them \
                 with --user or --token",
                self.base
            ),
            StatusCode::NOT_FOUND => bail!("{}", self.is_another()),
            other => bail!("{} answers {other}", self.base),
        }
    }

    fn no_answer(&self) -> String {
        format!(
            "no answer from {}: is the server running, with status_listen at that address",
            self.base
        )
    }

    fn is_another(&self) -> String {
        format!("{} is no status page of sessionlake: it is at status_listen", self.base)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_matches(['[', ']']);
            host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(url: &str, token: Option<&str>) -> anyhow::Result<String> {
        let token = token.map(str::to_owned);
        let target = Target { url: url.to_owned(), user: None, token, ca: None };
        Watcher::make(&target).map(|watcher| watcher.base.to_string())
    }

    #[test]
    fn an_address_is_a_url() {
        assert_eq!(made("127.0.0.1:3001", None).unwrap(), "http://127.0.0.1:3001/");
        assert_eq!(made("https://a.example/x", Some("t")).unwrap(), "https://a.example/x/");
        assert!(made("http://[::1]:3001", Some("t")).is_ok());
        assert!(made("http://localhost:3001", Some("t")).is_ok());
        for wrong in ["http://a.example", "ftp://127.0.0.1", "http://u:p@127.0.0.1", "http://"] {
            let error = made(wrong, Some("t")).unwrap_err().to_string();
            assert!(!error.contains("u:p"), "{error}");
        }
    }
}
