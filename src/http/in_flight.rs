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
    /// `connections_of_peer` connections, and a network of many peers one on nearly each of all
    /// `connections`.
    pub(super) fn new(connections_of_peer: usize, connections: usize) -> InFlightLimits {
        let of_peer = MIN_IN_FLIGHT_OF_PEER.max(connections_of_peer);
        let most = of_peer.saturating_mul(4).max(connections.saturating_mul(2));
        InFlightLimits {
            senders: FairLimit::new(MIN_IN_FLIGHT.max(most), of_peer),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many requests the peers of one network, that is alone, have in flight at most.
    fn of_one_network(limits: &InFlightLimits, peers: u8) -> usize {
        let peers: Vec<_> = (1..=peers).map(|last| Peer::of([192, 0, 2, last].into())).collect();
        let mut held = Vec::new();
        loop {
            let before = held.len();
            held.extend(peers.iter().filter_map(|peer| limits.acquire(*peer, false)));
            if held.len() == before {
                return before;
            }
        }
    }

    #[test]
    fn a_network_that_is_alone_has_nearly_a_request_on_each_connection() {
        assert_eq!(of_one_network(&InFlightLimits::new(256, 1024), 1), 512);
        assert_eq!(of_one_network(&InFlightLimits::new(4000, 4000), 1), 4000);
        assert!(of_one_network(&InFlightLimits::new(256, 1024), 8) > 900);
        assert!(of_one_network(&InFlightLimits::new(256, 10_000), 100) > 9_500);
    }
}
