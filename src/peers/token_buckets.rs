//! Token buckets by peer, in a table of bounded size.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::peer::Peer;

/// The most peers that have a token bucket.
const MAX_PEERS: usize = 1 << 16;
/// The peers that keep theirs when the table is full: those whose buckets are the emptiest.
const KEPT_PEERS: usize = MAX_PEERS / 2;

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
            // With more new peers in a second than are forgotten in a sweep, one is not limited: an
            // attacker with many addresses would want new peers to be refused.
            if peers.levels.len() < MAX_PEERS || peers.levels.contains_key(&peer) {
                *peers.levels.entry(peer).or_insert(full) = (level - taken, now);
            }
        }
        Ok(())
    }

    /// Forgets the peers whose bucket is full again, and, if that leaves too many, those with the
    /// fullest buckets; at most once a second. So who fills the table with addresses that took a
    /// token or two makes none forgotten that has taken more.
    fn sweep(&self, peers: &mut Levels, now: Instant) {
        let second = Duration::from_secs(1);
        if peers.swept_at.is_some_and(|at| now.saturating_duration_since(at) < second) {
            return;
        }
        peers.swept_at = Some(now);
        let level = |(level, at): &(f64, Instant)| {
            level + now.saturating_duration_since(*at).as_secs_f64() * self.per_second
        };
        peers.levels.retain(|_, bucket| level(bucket) < self.burst);
        if peers.levels.len() <= KEPT_PEERS {
            return;
        }
        let mut levels: Vec<f64> = peers.levels.values().map(level).collect();
        let (_, fullest_kept, _) = levels.select_nth_unstable_by(KEPT_PEERS, f64::total_cmp);
        let fullest_kept = *fullest_kept;
        peers.levels.retain(|_, bucket| level(bucket) < fullest_kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
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
    fn who_fills_the_table_makes_nobody_forgotten_that_failed_more() {
        let (buckets, start) = (TokenBuckets::new(0.5, 10.0), Instant::now());
        let guesser = peer("192.0.2.1");
        for _ in 0..10 {
            assert!(buckets.take(guesser, start).is_ok());
        }
        for number in 0..3 * MAX_PEERS as u32 {
            let v6 = (0x2001_0db8_u128 << 96) | (u128::from(number) << 64);
            let now = start + Duration::from_micros(u64::from(number) * 10);
            assert!(buckets.take(Peer::of(std::net::Ipv6Addr::from(v6).into()), now).is_ok());
            assert!(buckets.peers.lock().levels.len() <= MAX_PEERS);
        }
        assert!(buckets.check(guesser, start + Duration::from_millis(1900)).is_err());
        assert!(buckets.check(guesser, start + Duration::from_millis(2100)).is_ok());
    }
}
