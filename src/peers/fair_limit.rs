//! A limit in all that networks share.
//!
//! Whoever asks gets a place while its network, and it within its network, hold fewer places than are
//! free. So one network alone gets half of the places at most, two get a third each, and with any
//! number of them some are left for who comes next: nobody waits for places that others hold for as
//! long as they like. (In switches this is known as dynamic thresholds.)

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::peer::{Network, Peer};

/// A limit of what all peers have at one time, shared by their networks.
#[derive(Debug)]
pub struct FairLimit {
    most: usize,
    most_of_peer: usize,
    // A lock, held for a few look-ups.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    /// By network, of every prefix; those that hold nothing are not in it.
    networks: HashMap<Network, usize>,
}

/// A permit for one place, given back when it is dropped.
#[derive(Debug)]
pub struct FairPermit {
    limit: Arc<FairLimit>,
    peer: Peer,
}

impl FairLimit {
    /// Creates a limit of `most` places, of which a peer has at most `most_of_peer`. A peer that is
    /// alone gets as many, if that is a quarter of all places or less.
    #[must_use]
    pub fn new(most: usize, most_of_peer: usize) -> Arc<FairLimit> {
        Arc::new(FairLimit { most, most_of_peer, held: Mutex::default() })
    }

    /// Returns a permit for one more place of `peer`; `None` if it has its share.
    #[must_use]
    pub fn acquire(self: &Arc<Self>, peer: Peer) -> Option<FairPermit> {
        let mut held = self.held.lock();
        let mut of_networks = 0_usize;
        let mut of_peer = 0;
        for network in peer.networks() {
            of_peer = held.networks.get(&network).copied().unwrap_or_default();
            of_networks += of_peer;
        }
        if of_peer >= self.most_of_peer || of_networks >= self.most.saturating_sub(held.all) {
            return None;
        }
        held.all += 1;
        for network in peer.networks() {
            *held.networks.entry(network).or_default() += 1;
        }
        Some(FairPermit { limit: Arc::clone(self), peer })
    }

    /// Returns the widest networks that hold the most, if half of all places are held: those with more
    /// than half as many as the first of them.
    #[must_use]
    pub fn heaviest(&self) -> Vec<Network> {
        let held = self.held.lock();
        if held.all < self.most.div_ceil(2) {
            return Vec::new();
        }
        let widest = held.networks.iter().filter(|(network, _)| network.is_widest());
        let widest: Vec<(Network, usize)> = widest.map(|(network, n)| (*network, *n)).collect();
        let most = widest.iter().map(|(_, held)| *held).max().unwrap_or_default();
        let heavy = widest.into_iter().filter(|(_, held)| held * 2 > most);
        heavy.map(|(network, _)| network).collect()
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        let mut held = self.limit.held.lock();
        held.all -= 1;
        for network in self.peer.networks() {
            if let Some(count) = held.networks.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    held.networks.remove(&network);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
    }

    /// Lets the peers take places in turn until none gets one more.
    fn saturate(limit: &Arc<FairLimit>, peers: &[Peer]) -> Vec<FairPermit> {
        let mut held = Vec::new();
        loop {
            let more: Vec<_> = peers.iter().filter_map(|peer| limit.acquire(*peer)).collect();
            if more.is_empty() {
                return held;
            }
            held.extend(more);
        }
    }

    #[test]
    fn who_comes_next_finds_a_place_however_many_networks_take_what_they_get() {
        for networks in [1_u8, 2, 4, 8, 64, 250] {
            let limit = FairLimit::new(2048, 512);
            let peers: Vec<_> = (0..networks).map(|n| peer(&format!("10.0.{n}.1"))).collect();
            let held = saturate(&limit, &peers);
            let good = saturate(&limit, &[peer("192.0.2.1")]);
            let fair = 2048 / (usize::from(networks) + 1);
            assert!(good.len() >= fair / 4, "{networks}: {} of {fair}", good.len());
            assert!(held.len() + good.len() <= 2048);
        }
    }

    #[test]
    fn who_comes_next_finds_a_place_in_a_network_that_has_its_share() {
        for crowd in [1_u8, 4, 100] {
            let limit = FairLimit::new(2048, 512);
            let peers: Vec<_> = (0..crowd).map(|n| peer(&format!("10.0.0.{n}"))).collect();
            let _held = saturate(&limit, &peers);
            assert!(limit.acquire(peer("10.0.0.200")).is_some(), "{crowd}");
        }
        let limit = FairLimit::new(2048, 512);
        let sites: Vec<_> =
            (0..=255_u8).map(|n| peer(&format!("2001:db8:1:{n:02x}00::1"))).collect();
        let _held = saturate(&limit, &sites);
        for other in ["2001:db8:1:aaaa::1", "2001:db8:2::1", "192.0.2.1"] {
            assert!(limit.acquire(peer(other)).is_some(), "{other}");
        }
    }

    #[test]
    fn a_peer_that_is_alone_has_its_limit_and_gives_it_back() {
        for text in ["192.0.2.1", "2001:db8::1"] {
            let limit = FairLimit::new(2048, 512);
            let held = saturate(&limit, &[peer(text)]);
            assert_eq!(held.len(), 512, "{text}");
            drop(held);
            assert_eq!(limit.held.lock().all, 0);
            assert!(limit.held.lock().networks.is_empty());
        }
    }

    #[test]
    fn the_heaviest_are_named_once_half_is_held() {
        let limit = FairLimit::new(64, 16);
        let heavy = [peer("10.0.1.1"), peer("10.0.1.2"), peer("10.0.2.1")];
        let _light = limit.acquire(peer("10.0.3.1"));
        let one = limit.acquire(heavy[0]);
        assert!(limit.heaviest().is_empty());
        drop(one);
        let _held = saturate(&limit, &heavy);
        let named = limit.heaviest();
        assert!(named.contains(&heavy[0].widest_network()));
        assert!(!named.contains(&peer("10.0.3.1").widest_network()));
    }
}
