//! Admission of requests by address, by rate and by credentials, before a byte of the body is read.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use warp::http::HeaderMap;
use warp::http::header::AUTHORIZATION;

use crate::auth::{Auth, Denied, Rules};
use crate::metrics as names;
use crate::peers::{Peer, TokenBuckets};

use super::endpoint::Endpoint;
use super::options::Options;
use super::refusal::Refusal;

/// The seconds' worth of requests that a peer may send at once.
const BURST_SECONDS: f64 = 2.0;

/// A rate limit, and how far peers have used it.
#[derive(Clone, Debug)]
struct Rate {
    per_second: u32,
    buckets: Arc<TokenBuckets>,
}

impl Rate {
    /// Returns `before` if that has the same limit, which goes on counting then, or a new one.
    fn of(per_second: u32, before: Option<&Rate>) -> Rate {
        if let Some(same) = before.filter(|before| before.per_second == per_second) {
            return same.clone();
        }
        let rate = f64::from(per_second);
        let buckets = TokenBuckets::new(rate, (rate * BURST_SECONDS).max(1.0));
        Rate { per_second, buckets: Arc::new(buckets) }
    }
}

/// The rate limits, and the credentials that requests are checked against.
#[derive(Debug)]
pub(super) struct Admission {
    auth: Option<Arc<Auth>>,
    all: Option<Rate>,
    /// Rate limits by the endpoint's position in the options.
    endpoints: Vec<Option<Rate>>,
    /// The networks of peers for routes besides the endpoints: those of all endpoints together. None
    /// admits every peer.
    peers: Option<Vec<IpNet>>,
}

impl Admission {
    /// Creates the admission for `options`, with the credentials `auth`. Limits that are as in the admission
    /// `before`, with its endpoints, go on counting.
    pub(super) fn new(
        options: &Options,
        auth: Option<Arc<Auth>>,
        before: Option<(&[Endpoint], &Admission)>,
    ) -> Admission {
        let of_endpoint = |endpoint: &Endpoint| {
            let before = before.and_then(|(endpoints, admission)| {
                let index = endpoints.iter().position(|one| one.name == endpoint.name)?;
                admission.endpoints.get(index)?.as_ref()
            });
            endpoint.requests_per_second.map(|rate| Rate::of(rate, before))
        };
        let of_all = before.and_then(|(_, admission)| admission.all.as_ref());
        let limited = options.endpoints.iter().all(|endpoint| !endpoint.peers.is_empty());
        let peers = options.endpoints.iter().flat_map(|endpoint| endpoint.peers.clone());
        Admission {
            peers: limited.then(|| peers.collect()),
            auth,
            all: options.requests_per_second.map(|rate| Rate::of(rate, of_all)),
            endpoints: options.endpoints.iter().map(of_endpoint).collect(),
        }
    }

    /// Admits a request by the rate of its peer over all routes.
    ///
    /// # Errors
    /// [`Refusal::TooManyRequests`].
    pub(super) fn admit_request(&self, from: IpAddr) -> Result<(), Refusal> {
        take(self.all.as_ref(), from)
    }

    /// Admits a request to the endpoint at position `index`, by address, rate and credentials.
    ///
    /// # Errors
    /// The [`Refusal`] for the first that does not hold.
    pub(super) async fn admit_sender(
        &self,
        index: usize,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        from: IpAddr,
    ) -> Result<(), Refusal> {
        if !endpoint.admits(from) {
            return Err(Refusal::Forbidden);
        }
        take(self.endpoints.get(index).and_then(Option::as_ref), from)?;
        self.check_credentials(&endpoint.auth, headers, from).await
    }

    /// Admits a peer to routes besides the endpoints, by address.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub(super) fn admit_peer(&self, from: IpAddr) -> Result<(), Refusal> {
        let from = from.to_canonical();
        match &self.peers {
            Some(peers) if !peers.iter().any(|net| net.contains(&from)) => Err(Refusal::Forbidden),
            _ => Ok(()),
        }
    }

    /// Admits an operator: a peer that has any credentials, if there are credentials.
    ///
    /// # Errors
    /// The [`Refusal`] for the first that does not hold.
    pub(super) async fn admit_operator(
        &self,
        headers: &HeaderMap,
        from: IpAddr,
    ) -> Result<(), Refusal> {
        self.admit_peer(from)?;
        match self.auth {
            Some(_) => self.check_credentials(&Rules::any(), headers, from).await,
            None => Ok(()),
        }
    }

    /// Returns whether a request is an operator's. Headers without credentials, as probes send, are
    /// not counted as an attempt.
    pub(super) async fn is_operator(&self, headers: &HeaderMap, from: IpAddr) -> bool {
        let silent = self.auth.is_some() && !headers.contains_key(AUTHORIZATION);
        !silent && self.admit_operator(headers, from).await.is_ok()
    }

    /// Returns the issuer of tokens, if there are clients that could ask for one.
    pub(super) fn token_issuer(&self) -> Option<&Arc<Auth>> {
        self.auth.as_ref().filter(|auth| auth.has_clients())
    }

    async fn check_credentials(
        &self,
        rules: &Rules,
        headers: &HeaderMap,
        from: IpAddr,
    ) -> Result<(), Refusal> {
        check_credentials(self.auth.as_ref(), rules, headers, from).await
    }
}

/// Checks the credentials of a request against `auth`, as `rules` ask.
///
/// # Errors
/// The [`Refusal`] of those that are missing or wrong.
pub(super) async fn check_credentials(
    auth: Option<&Arc<Auth>>,
    rules: &Rules,
    headers: &HeaderMap,
    from: IpAddr,
) -> Result<(), Refusal> {
    identify(auth, rules, headers, from).await.map(drop)
}

/// Checks the credentials of a request as [`check_credentials`] does, and returns their name; `None` if none
/// are asked for.
///
/// # Errors
/// The [`Refusal`] of those that are missing or wrong.
pub(super) async fn identify(
    auth: Option<&Arc<Auth>>,
    rules: &Rules,
    headers: &HeaderMap,
    from: IpAddr,
) -> Result<Option<Arc<str>>, Refusal> {
    if !rules.is_asked() {
        return Ok(None);
    }
    let mut values = headers.get_all(AUTHORIZATION).iter();
    // Different readers would read two of them differently.
    let value = match (values.next(), values.next()) {
        (value, None) => value.map(|value| value.as_bytes()),
        _ => None,
    };
    let who = match auth {
        Some(auth) => auth.check(rules, value, from).await,
        None => Err(Denied::Unauthorized),
    };
    who.map(Some).map_err(|denied| refusal(denied, rules.challenge()))
}

/// Counts a denied request, and returns the refusal that it is answered with.
pub(super) fn refusal(denied: Denied, challenge: &'static str) -> Refusal {
    let (reason, refusal) = match denied {
        Denied::Unauthorized => ("credentials", Refusal::Unauthorized { challenge }),
        Denied::TooMany(wait) => {
            let reason = "failed_attempts";
            metrics::counter!(names::LIMITED, "reason" => reason).increment(1);
            (reason, Refusal::TooManyFailures { wait })
        }
        Denied::Busy => ("busy", Refusal::AuthBusy),
    };
    metrics::counter!(names::AUTH_REFUSED, "reason" => reason).increment(1);
    refusal
}

/// Takes a token of the peer at `from`.
fn take(rate: Option<&Rate>, from: IpAddr) -> Result<(), Refusal> {
    let Some(rate) = rate else { return Ok(()) };
    rate.buckets.take(Peer::of(from), Instant::now()).map_err(|wait| {
        metrics::counter!(names::LIMITED, "reason" => "rate").increment(1);
        Refusal::TooManyRequests { wait }
    })
}
