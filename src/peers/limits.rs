//! Limits of what each peer has at one time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::peer::Peer;

/// The number of peers with a share at which unused shares are removed the first time; later, at twice
/// the number that was left.
const SWEEP_PEERS: usize = 1024;

/// A limit of what each peer has open at one time.
#[derive(Debug)]
pub struct PeerLimit {
    most: usize,
    // A lock, held for one look-up.
    peers: Mutex<HashMap<Peer, usize>>,
}

/// A permit for one open thing of a peer, given back when it is dropped.
#[derive(Debug)]
pub struct PeerPermit {
    open: Arc<PeerLimit>,
    peer: Peer,
}

impl PeerLimit {
    /// Creates a limit of `most` for each peer.
    #[must_use]
    pub fn new(most: usize) -> Arc<PeerLimit> {
        Arc::new(PeerLimit { most, peers: Mutex::default() })
    }

    /// Returns a permit for one more of `peer`; `None` if it has as many as it may.
    #[must_use]
    pub fn acquire(self: &Arc<Self>, peer: Peer) -> Option<PeerPermit> {
        let mut peers = self.peers.lock();
        let count = peers.entry(peer).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(peers);
        Some(PeerPermit { open: Arc::clone(self), peer })
    }
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let mut peers = self.open.peers.lock();
        if let Some(count) = peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

/// A semaphore for each peer, with the same number of permits.
#[derive(Debug)]
pub struct PeerShares {
    permits: usize,
    // A lock, held for one look-up. Peers that hold and await no permit are removed in time.
    peers: Mutex<(HashMap<Peer, Weak<Semaphore>>, usize)>,
}

impl PeerShares {
    /// Creates semaphores with `permits` for each peer.
    #[must_use]
    pub fn new(permits: usize) -> PeerShares {
        let permits = permits.clamp(1, Semaphore::MAX_PERMITS);
        PeerShares { permits, peers: Mutex::new((HashMap::new(), SWEEP_PEERS)) }
    }

    /// Returns the number of permits of each peer.
    #[must_use]
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Returns the semaphore of `peer`.
    #[must_use]
    pub fn of(&self, peer: Peer) -> Arc<Semaphore> {
        let mut peers = self.peers.lock();
        let (peers, sweep_at) = &mut *peers;
        if let Some(known) = peers.get(&peer).and_then(Weak::upgrade) {
            return known;
        }
        if peers.len() >= *sweep_at {
            peers.retain(|_, share| share.strong_count() > 0);
            *sweep_at = SWEEP_PEERS.max(2 * peers.len());
        }
        let new = Arc::new(Semaphore::new(self.permits));
        peers.insert(peer, Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
    }

    #[test]
    fn each_peer_has_its_share_for_as_long_as_it_holds_any() {
        let shares = PeerShares::new(2);
        let one = shares.of(peer("10.0.0.1")).try_acquire_many_owned(2).unwrap();
        assert_eq!(shares.of(peer("10.0.0.1")).available_permits(), 0);
        assert_eq!(shares.of(peer("10.0.0.2")).available_permits(), 2);
        drop(one);
        assert_eq!(shares.of(peer("10.0.0.1")).available_permits(), 2);
        for number in 0..3 * SWEEP_PEERS as u32 {
            let _ = shares.of(Peer::of(IpAddr::from(number.to_be_bytes())));
        }
        assert!(shares.peers.lock().0.len() <= SWEEP_PEERS);
    }

    #[test]
    fn what_is_closed_can_be_opened_again() {
        let open = PeerLimit::new(2);
        let one = open.acquire(peer("10.0.0.1")).unwrap();
        let _two = open.acquire(peer("10.0.0.1")).unwrap();
        assert!(open.acquire(peer("10.0.0.1")).is_none());
        assert!(open.acquire(peer("10.0.0.2")).is_some());
        drop(one);
        assert!(open.acquire(peer("10.0.0.1")).is_some());
        drop(_two);
        assert!(open.peers.lock().is_empty());
    }
}
