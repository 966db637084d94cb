//! What `top` and `tap` have in common: the listener of operators, asked over HTTP.

mod events;

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

pub(super) use self::events::Events;
use super::Failure;
use super::operators::{Listener, Target};
use crate::config::Environment;

/// The most bytes of an answer.
const ANSWER_BYTES: usize = 16 << 20;
/// The time for which a server that has answered is waited for again.
pub(super) const AWAY: Duration = Duration::from_secs(60);
/// The pause before it is asked again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// The longest time between two events of a stream.
const SILENCE: Duration = Duration::from_secs(10);

/// A client of the listener of operators.
pub(super) struct Watcher {
    client: Client,
    listener: Listener,
}

impl Watcher {
    /// Makes the client. Asks nothing yet.
    pub(super) fn new(target: &Target, environment: &Environment) -> Result<Watcher, Failure> {
        let listener = Listener::of(target, environment)?;
        let client = listener.client().connect_timeout(SILENCE).read_timeout(SILENCE).build();
        let client = client.context("cannot set up the HTTP client").map_err(Failure::Running)?;
        Ok(Watcher { client, listener })
    }

    /// Returns the status with the history after `after`.
    pub(super) async fn status(&self, after: i64) -> anyhow::Result<Value> {
        let mut answer = self.get(&format!("status.json?after={after}")).await?;
        let mut text = Vec::new();
        while let Some(bytes) = answer.chunk().await.with_context(|| self.no_answer())? {
            text.extend_from_slice(&bytes);
            ensure!(text.len() <= ANSWER_BYTES, "{} answers too much", self.listener.base());
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
        self.listener.request(&self.client, Method::GET, path)
    }

    fn check(&self, answer: Response) -> anyhow::Result<Response> {
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED => bail!(
                "{} wants the credentials of an operator (status_credentials of the server): give them \
                 with --user or --token",
                self.listener.base()
            ),
            StatusCode::NOT_FOUND => bail!("{}", self.is_another()),
            other => bail!("{} answers {other}", self.listener.base()),
        }
    }

    fn no_answer(&self) -> String {
        self.listener.no_answer()
    }

    fn is_another(&self) -> String {
        format!("{} is no status page of sessionlake: it is at status_listen", self.listener.base())
    }
}
