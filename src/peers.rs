//! Peers, and limits of their rate and of their concurrency.
//!
//! A peer is an IPv4 address or an IPv6 /64, since a sender that has one IPv6 address has the others
//! of its network as well. Memory is bounded: at most `MAX_PEERS` have a token bucket, and those
//! whose bucket has filled up again are forgotten first.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// The most peers that have a token bucket.
const MAX_PEERS: usize = 1 << 16;
/// The number of peers with a share at which unused shares are removed the first time; later, at twice
/// the number that was left.
const SWEEP_PEERS: usize = 1024;

/// A sender, as far as its address tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl Peer {
    /// Returns the peer at `address`.
    #[must_use]
    pub fn of(address: IpAddr) -> Peer {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & !u128::from(u64::MAX);
                Peer(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
            v4 => Peer(v4),
        }
    }
}

/// A token bucket for each peer.
#[derive(Debug)]
pub struct TokenBuckets {
    per_second: f64,
    burst: f64,
    // A lock, held for one look-up; the sweep visits all peers at most once a second.
    peers: Mutex<Levels>,
}

#[derive(Debug)]
struct Levels {
    levels: HashMap<Peer, (f64, Instant)>,
    swept_at: Option<Instant>,
}

impl TokenBuckets {
    /// Creates buckets that hold `burst` tokens and gain `per_second` tokens in a second.
    #[must_use]
    pub fn new(per_second: f64, burst: f64) -> TokenBuckets {
        let peers = Mutex::new(Levels { levels: HashMap::new(), swept_at: None });
        TokenBuckets { per_second, burst, peers }
    }

    /// Takes a token from the bucket of `peer`.
    ///
    /// # Errors
    /// The time until there is one, if there is none now.
    pub fn take(&self, peer: Peer, now: Instant) -> Result<(), Duration> {
        self.take_tokens(peer, now, 1.0)
    }

    /// Checks that there is a token, without taking it.
    ///
    /// # Errors
    /// As for [`TokenBuckets::take`].
    pub fn check(&self, peer: Peer, now: Instant) -> Result<(), Duration> {
        self.take_tokens(peer, now, 0.0)
    }

    /// Returns a token to the bucket of `peer`.
    pub fn give_back(&self, peer: Peer) {
        if let Some((level, _)) = self.peers.lock().levels.get_mut(&peer) {
            *level = (*level + 1.0).min(self.burst);
        }
    }

    /// Takes `taken` tokens, one or none, if there is at least one.
    fn take_tokens(&self, peer: Peer, now: Instant, taken: f64) -> Result<(), Duration> {
        let mut peers = self.peers.lock();
        let full = (self.burst, now);
        let level = match peers.levels.get(&peer) {
            Some((level, at)) => {
                let since = now.saturating_duration_since(*at).as_secs_f64();
                (level + since * self.per_second).min(self.burst)
            }
            None => self.burst,
        };
        if level < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - level) / self.per_second));
        }
        if taken > 0.0 {
            if peers.levels.len() >= MAX_PEERS {
                self.sweep(&mut peers, now);
            }
            // With the table full of busy peers, a new peer is not limited: an attacker with many
            // addresses would want new peers to be refused.
            if peers.levels.len() < MAX_PEERS || peers.levels.contains_key(&peer) {
                *peers.levels.entry(peer).or_insert(full) = (level - taken, now);
            }
        }
        Ok(())
    }

    /// Forgets the peers whose bucket is full again, at most once a second.
    fn sweep(&self, peers: &mut Levels, now: Instant) {
        let second = Duration::from_secs(1);
        if peers.swept_at.is_some_and(|at| now.saturating_duration_since(at) < second) {
            return;
        }
        peers.swept_at = Some(now);
        let fills = Duration::from_secs_f64(self.burst / self.per_second);
        peers.levels.retain(|_, (_, at)| now.saturating_duration_since(*at) < fills);
    }
}

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
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
    }

    #[test]
    fn a_peer_is_a_v4_address_or_a_v6_network() {
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
    }

    #[test]
    fn a_bucket_holds_its_burst_and_fills_again() {
        let (buckets, now) = (TokenBuckets::new(2.0, 3.0), Instant::now());
        let one = peer("10.0.0.1");
        for _ in 0..3 {
            assert_eq!(buckets.check(one, now), Ok(()));
            assert_eq!(buckets.take(one, now), Ok(()));
        }
        assert_eq!(buckets.take(one, now), Err(Duration::from_millis(500)));
        assert_eq!(buckets.check(one, now), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take(peer("10.0.0.2"), now), Ok(()));
        assert_eq!(buckets.take(one, now + Duration::from_millis(500)), Ok(()));
        assert!(buckets.take(one, now + Duration::from_millis(500)).is_err());
        buckets.give_back(one);
        assert_eq!(buckets.take(one, now + Duration::from_millis(500)), Ok(()));
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
