//! Who may come in: by address, by rate, by name. Before a byte of the body is read.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use warp::http::HeaderMap;
use warp::http::header::AUTHORIZATION;

use crate::auth::{Auth, Denied, Rules};
use crate::metrics as names;
use crate::peers::{Buckets, Peer};

use super::reply::Refusal;
use super::{Endpoint, Options};

/// Seconds' worth of requests that may come at once.
const BURST_SECONDS: f64 = 2.0;

/// The limits on requests, and whom to believe.
#[derive(Debug)]
pub(super) struct Gate {
    auth: Option<Arc<Auth>>,
    all: Option<Buckets>,
    /// By the endpoint's place.
    endpoints: Vec<Option<Buckets>>,
    /// Who may come to what is no endpoint: whoever may come to one of them. None for everybody.
    peers: Option<Vec<IpNet>>,
}

impl Gate {
    pub(super) fn new(options: &Options, auth: Option<Arc<Auth>>) -> Gate {
        let buckets = |rate: u32| {
            let rate = f64::from(rate);
            Buckets::new(rate, (rate * BURST_SECONDS).max(1.0))
        };
        let limited = options.endpoints.iter().all(|endpoint| !endpoint.peers.is_empty());
        let peers = options.endpoints.iter().flat_map(|endpoint| endpoint.peers.clone());
        Gate {
            peers: limited.then(|| peers.collect()),
            auth,
            all: options.requests_per_second.map(buckets),
            endpoints: options
                .endpoints
                .iter()
                .map(|endpoint| endpoint.requests_per_second.map(buckets))
                .collect(),
        }
    }

    /// Any request.
    pub(super) fn any(&self, from: IpAddr) -> Result<(), Refusal> {
        take(self.all.as_ref(), from)
    }

    /// A request to the endpoint at `place`.
    pub(super) async fn endpoint(
        &self,
        place: usize,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        from: IpAddr,
    ) -> Result<(), Refusal> {
        if !endpoint.admits(from) {
            return Err(Refusal::Forbidden);
        }
        take(self.endpoints.get(place).and_then(Option::as_ref), from)?;
        self.known(&endpoint.auth, headers, from).await
    }

    /// A request to what is no endpoint.
    pub(super) fn beside(&self, from: IpAddr) -> Result<(), Refusal> {
        let from = from.to_canonical();
        match &self.peers {
            Some(peers) if !peers.iter().any(|net| net.contains(&from)) => Err(Refusal::Forbidden),
            _ => Ok(()),
        }
    }

    /// A request to what only those may see who have any credentials, once there are any.
    pub(super) async fn operator(&self, headers: &HeaderMap, from: IpAddr) -> Result<(), Refusal> {
        self.beside(from)?;
        match self.auth {
            Some(_) => self.known(&Rules::any(), headers, from).await,
            None => Ok(()),
        }
    }

    /// Whether whoever sent these headers may be told more than that we are not ready. Who has no
    /// credentials is not refused: probes have none.
    pub(super) async fn may_know(&self, headers: &HeaderMap, from: IpAddr) -> bool {
        let silent = self.auth.is_some() && !headers.contains_key(AUTHORIZATION);
        !silent && self.operator(headers, from).await.is_ok()
    }

    /// The token endpoint's side, if there is one.
    pub(super) fn tokens(&self) -> Option<&Arc<Auth>> {
        self.auth.as_ref().filter(|auth| auth.has_clients())
    }

    async fn known(&self, rules: &Rules, headers: &HeaderMap, from: IpAddr) -> Result<(), Refusal> {
        if !rules.is_asked() {
            return Ok(());
        }
        let mut values = headers.get_all(AUTHORIZATION).iter();
        // Two of them would be read differently by different readers.
        let value = match (values.next(), values.next()) {
            (value, None) => value.map(|value| value.as_bytes()),
            _ => None,
        };
        let who = match &self.auth {
            Some(auth) => auth.check(rules, value, from).await,
            None => Err(Denied::Unauthorized),
        };
        who.map(drop).map_err(|denied| refusal(denied, rules.challenge()))
    }
}

/// What somebody is told who was denied.
pub(super) fn refusal(denied: Denied, challenge: &'static str) -> Refusal {
    metrics::counter!(names::AUTH_REFUSED).increment(1);
    match denied {
        Denied::Unauthorized => Refusal::Unauthorized { challenge },
        Denied::TooMany(wait) => Refusal::TooManyFailures { wait },
        Denied::Busy => Refusal::AuthBusy,
    }
}

fn take(buckets: Option<&Buckets>, from: IpAddr) -> Result<(), Refusal> {
    let Some(buckets) = buckets else { return Ok(()) };
    buckets.take(Peer::of(from), Instant::now()).map_err(|wait| {
        metrics::counter!(names::LIMITED).increment(1);
        Refusal::TooManyRequests { wait }
    })
}
