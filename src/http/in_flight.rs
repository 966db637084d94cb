//! The limits of requests in flight.
//!
//! A request is in flight until the last byte of its response has been handed to the socket: HTTP/2
//! would otherwise let one client have any number of them. Networks share the places, so that there
//! is always one for who comes next ([`FairLimit`]). Requests for health and metrics have places of
//! their own, so that they are answered when senders have all of theirs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::peers::{FairLimit, FairPermit, Peer};

use super::slots::Slots;

/// Requests in flight at one time, at least: of all peers, and of one.
const MIN_IN_FLIGHT: usize = 2048;
const MIN_IN_FLIGHT_OF_PEER: usize = 512;
/// Requests for health and metrics in flight at one time: of all peers, and of one.
const WATCHED_IN_FLIGHT: usize = 128;
const WATCHED_IN_FLIGHT_OF_PEER: usize = 16;
/// The interval at which answers that are not read are looked for while half of all places are held.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The limits of requests in flight: of senders, and for health and metrics.
#[derive(Clone, Debug)]
pub(super) struct InFlightLimits {
    senders: Arc<FairLimit>,
    watched: Arc<FairLimit>,
}

/// The permit of one request in flight.
#[derive(Debug)]
pub(super) struct InFlightPermit {
    _permit: FairPermit,
}

impl InFlightLimits {
    /// Creates limits under which a peer that is alone can have a request on each of its
    /// `connections_of_peer` connections.
    pub(super) fn new(connections_of_peer: usize) -> InFlightLimits {
        let of_peer = MIN_IN_FLIGHT_OF_PEER.max(connections_of_peer);
        InFlightLimits {
            senders: FairLimit::new(MIN_IN_FLIGHT.max(of_peer.saturating_mul(4)), of_peer),
            watched: FairLimit::new(WATCHED_IN_FLIGHT, WATCHED_IN_FLIGHT_OF_PEER),
        }
    }

    /// Returns a permit for a request of `peer`, if there is one.
    pub(super) fn acquire(&self, peer: Peer, is_watched: bool) -> Option<InFlightPermit> {
        let limit = if is_watched { &self.watched } else { &self.senders };
        limit.acquire(peer).map(|permit| InFlightPermit { _permit: permit })
    }

    /// Closes connections whose answers are not read while half of all places are held: those of the
    /// networks that hold the most. Never returns.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(super) async fn give_up_unread(&self, slots: &Slots) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for limit in [&self.senders, &self.watched] {
                let heaviest = limit.heaviest();
                if !heaviest.is_empty() {
                    slots.close_unread(&heaviest, Instant::now());
                }
            }
        }
    }
}
