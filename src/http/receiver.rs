//! The state that all handlers share.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Buf;
use futures::Stream;
use warp::http::header::CONTENT_LENGTH;

use crate::intake::{self, Gate, Intake};
use crate::metrics;
use crate::peers::Peer;
use crate::status::Readiness;

use super::body::{self, AnnouncedBody, BodyLimits, ReceivedBody};
use super::body_budget::BodyBudget;
use super::browser_guard::BrowserGuard;
use super::encoding::Encoding;
use super::live_rules::LiveRules;
use super::options::Access;
use super::refusal::Refusal;
use super::request::RequestHead;

/// The state that all handlers share.
pub(super) struct Receiver {
    pub(super) access: Access,
    pub(super) gate: Gate,
    pub(super) readiness: Arc<Readiness>,
    pub(super) metrics: metrics::Handle,
    budget: Arc<BodyBudget>,
    pub(super) browser_guard: BrowserGuard,
}

impl Receiver {
    /// Creates the state of a receiver that listens at `address`.
    pub(super) fn new(
        live: &LiveRules,
        address: Option<SocketAddr>,
        gate: Gate,
        readiness: Arc<Readiness>,
        metrics: metrics::Handle,
    ) -> Receiver {
        Receiver {
            budget: live.budget(),
            browser_guard: BrowserGuard::new(address, &live.options().host_names),
            access: live.access().clone(),
            gate,
            readiness,
            metrics,
        }
    }

    /// Checks that the host that was asked for is one of this receiver's, unless there are
    /// credentials to ask for: a page that made its own name mean this address has none.
    ///
    /// # Errors
    /// [`Refusal::Host`].
    pub(super) fn check_host(&self, head: &RequestHead) -> Result<(), Refusal> {
        match self.access.auth {
            Some(_) => Ok(()),
            None => self.browser_guard.check_host(&head.headers, head.peer.authority.as_deref()),
        }
    }

    /// Returns the intake for the body of a request.
    ///
    /// # Errors
    /// The receiver is starting, or stopping.
    pub(super) fn intake(&self, head: &RequestHead) -> Result<&Intake, Refusal> {
        match head.peer.is_late {
            true => Err(intake::Refusal::Stopping.into()),
            false => Ok(self.gate.intake()?),
        }
    }

    /// Reads the whole body of a request within the body time-out.
    ///
    /// # Errors
    /// Those of [`body::read`], and [`Refusal::BodyTimeout`].
    pub(super) async fn read_body(
        &self,
        head: &RequestHead,
        limits: BodyLimits,
        stream: impl Stream<Item = Result<impl Buf + Send, warp::Error>> + Send,
    ) -> Result<ReceivedBody, Refusal> {
        let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let announced = AnnouncedBody {
            peer: Peer::of(head.peer.address.ip()),
            encoding: Encoding::of(&head.headers)?,
            length_bytes: length.and_then(|length| length.parse().ok()),
        };
        let after = head.peer.rules.body_timeout;
        let body = body::read(stream, announced, limits, &self.budget);
        tokio::time::timeout(after, body).await.map_err(|_| Refusal::BodyTimeout { after })?
    }
}
