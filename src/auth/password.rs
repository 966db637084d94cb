//! Passwords: verification with a memory and a limit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, hmac};
use parking_lot::Mutex;

use super::error::{CredentialsError, Denied, Rejection};
use super::hasher::Hasher;
pub use super::hasher::hash;
use super::secret::Secret;
use super::turns::Turns;
use crate::peers::{Peer, PeerShares, TokenBuckets};

/// The time since its last use for which a verified password is remembered.
pub const REMEMBER: Duration = Duration::from_secs(600);
/// Verified credentials that are remembered at a time.
const MAX_REMEMBERED: usize = 4096;
/// The most time that a password waits to be verified.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Peers that have sent a right password and are remembered.
const MAX_PROVEN: usize = 4096;

/// Verifies passwords, few at a time, on blocking threads, and remembers the right ones.
///
/// A peer has one password verified at a time, and networks take turns ([`Turns`]), so that a peer
/// that guesses delays itself and no other. An attempt is charged before it is computed, and refunded
/// if it was right: attempts that are made at once, or given up, count as those made in turn.
#[derive(Debug)]
pub(super) struct Verifier {
    queues: PeerShares,
    turns: Arc<Turns>,
    failures: Arc<TokenBuckets>,
    memory: Arc<Remembered>,
    hasher: Arc<Hasher>,
    proven: Arc<ProvenPeers>,
}

/// Peers that have sent a right password, with the time of the last.
#[derive(Debug, Default)]
struct ProvenPeers(
    // A lock, held for one look-up, or to find the oldest of all when a new one comes.
    Mutex<HashMap<Peer, Instant>>,
);

/// Credentials that were verified.
#[derive(Debug)]
struct Remembered {
    key: hmac::Key,
    // A lock, held for one look-up; keyed by digests that tell nothing without `key`.
    entries: Mutex<HashMap<[u8; 32], Instant>>,
}

impl Verifier {
    /// Creates a verifier that charges attempts to `failures`.
    ///
    /// # Errors
    /// [`CredentialsError::Random`].
    pub(super) fn new(failures: Arc<TokenBuckets>) -> Result<Verifier, CredentialsError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| CredentialsError::Random)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Verifier {
            queues: PeerShares::new(1),
            turns: Turns::new(cores / 4),
            failures,
            memory: Arc::new(Remembered { key, entries: Mutex::default() }),
            hasher: Arc::default(),
            proven: Arc::default(),
        })
    }

    /// Verifies that `password` is that of `secret`. Without a secret it is wrong, and takes as long as
    /// one with the hash `decoy`.
    ///
    /// # Errors
    /// [`Rejection::Charged`], or [`Rejection::Denied`] if the peer has to wait.
    ///
    /// # Cancel safety
    /// A verification that has begun goes on when the future is dropped, and is charged.
    pub(super) async fn verify(
        &self,
        secret: Option<&Secret>,
        decoy: &Arc<str>,
        name: &str,
        password: &str,
        peer: Peer,
    ) -> Result<(), Rejection> {
        if self.memory.knows(secret, name, password) {
            self.proven.add(peer, Instant::now());
            return Ok(());
        }
        self.failures.check(peer, Instant::now()).map_err(Denied::TooMany)?;
        let turn = async {
            let of_peer = self.queues.of(peer).acquire_owned().await.ok()?;
            // An equal request may have been verified meanwhile.
            if self.memory.knows(secret, name, password) {
                return Some(None);
            }
            // Those that its peer has sent before it may have failed meanwhile. A turn is of all peers.
            if let Err(wait) = self.failures.check(peer, Instant::now()) {
                return Some(Some(Err(wait)));
            }
            let turn = self.turns.wait(peer, self.proven.contains(peer)).await?;
            Some(Some(Ok((turn, of_peer))))
        };
        let (mut turn, of_peer) = match tokio::time::timeout(QUEUE_TIMEOUT, turn).await {
            Ok(Some(Some(turn))) => turn.map_err(Denied::TooMany)?,
            Ok(Some(None)) => return Ok(()),
            Ok(None) | Err(_) => return Err(Denied::Busy.into()),
        };
        self.failures.take(peer, Instant::now()).map_err(Denied::TooMany)?;
        let (secret, decoy) = (secret.cloned(), Arc::clone(decoy));
        let (name, typed) = (name.to_owned(), password.to_owned());
        let (memory, failures) = (Arc::clone(&self.memory), Arc::clone(&self.failures));
        let (hasher, proven) = (Arc::clone(&self.hasher), Arc::clone(&self.proven));
        let verified = tokio::task::spawn_blocking(move || {
            let right = memory.verify(&hasher, secret.as_ref(), &decoy, &name, &typed);
            if right {
                failures.give_back(peer);
                proven.add(peer, Instant::now());
                turn.was_right();
            }
            drop((turn, of_peer));
            right
        });
        if verified.await.unwrap_or(false) { Ok(()) } else { Err(Rejection::Charged) }
    }

    /// Gives back memory that has not been used for a while.
    pub(super) fn release_unused(&self, now: Instant) {
        self.hasher.release_unused(now);
    }
}

impl ProvenPeers {
    fn contains(&self, peer: Peer) -> bool {
        self.0.lock().contains_key(&peer)
    }

    /// Adds a peer, in place of the one whose last right password is the oldest if there are too many.
    fn add(&self, peer: Peer, now: Instant) {
        let mut peers = self.0.lock();
        if peers.len() >= MAX_PROVEN && !peers.contains_key(&peer) {
            let oldest = peers.iter().min_by_key(|(_, at)| **at).map(|(peer, _)| *peer);
            oldest.map(|oldest| peers.remove(&oldest));
        }
        peers.insert(peer, now);
    }
}

impl Remembered {
    /// Returns whether the password was verified before and is remembered. Another hash is another
    /// entry.
    fn knows(&self, secret: Option<&Secret>, name: &str, password: &str) -> bool {
        let Some(Secret::Hash(stored) | Secret::Plain(stored)) = secret else { return false };
        let entry = self.entry(stored, name, password);
        let mut entries = self.entries.lock();
        let now = Instant::now();
        match entries.get_mut(&entry) {
            Some(used) if now.duration_since(*used) < REMEMBER => {
                *used = now;
                true
            }
            _ => false,
        }
    }

    /// Verifies `password`, and remembers it if it is right.
    fn verify(
        &self,
        hasher: &Hasher,
        secret: Option<&Secret>,
        decoy: &str,
        name: &str,
        password: &str,
    ) -> bool {
        // A plain secret and an unknown name cost a hash as well, so that the time tells nothing.
        let hash = match secret {
            Some(Secret::Hash(hash)) => hash,
            _ => decoy,
        };
        let hashed = hasher.verify(hash, password);
        let stored = match secret {
            Some(Secret::Hash(stored)) if hashed => stored,
            Some(Secret::Plain(plain)) if self.equal(plain.as_bytes(), password.as_bytes()) => {
                plain
            }
            _ => return false,
        };
        let entry = self.entry(stored, name, password);
        let mut entries = self.entries.lock();
        let now = Instant::now();
        if entries.len() >= MAX_REMEMBERED {
            entries.retain(|_, used| now.duration_since(*used) < REMEMBER);
        }
        if entries.len() < MAX_REMEMBERED {
            entries.insert(entry, now);
        }
        true
    }

    /// Compares in a time that depends neither on the first difference nor on the lengths.
    fn equal(&self, one: &[u8], other: &[u8]) -> bool {
        let (one, other) = (hmac::sign(&self.key, one), hmac::sign(&self.key, other));
        constant_time::verify_slices_are_equal(one.as_ref(), other.as_ref()).is_ok()
    }

    /// Returns the key of an entry.
    fn entry(&self, hash: &str, name: &str, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [hash, name, password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        let mut entry = [0; 32];
        for (to, from) in entry.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_peers_are_proven_and_the_oldest_are_forgotten() {
        let (proven, now) = (ProvenPeers::default(), Instant::now());
        let peer = |number: usize| Peer::of(std::net::Ipv4Addr::from(number as u32).into());
        for number in 0..MAX_PROVEN {
            proven.add(peer(number), now + Duration::from_millis(number as u64));
        }
        proven.add(peer(0), now + Duration::from_secs(60));
        proven.add(peer(MAX_PROVEN), now + Duration::from_secs(61));
        assert_eq!(proven.0.lock().len(), MAX_PROVEN);
        assert!(proven.contains(peer(0)) && proven.contains(peer(MAX_PROVEN)));
        assert!(!proven.contains(peer(1)));
    }

    #[tokio::test]
    async fn a_peer_that_has_failed_too_often_takes_no_turns_of_others() {
        let failures = Arc::new(TokenBuckets::new(0.001, 3.0));
        let verifier = Verifier::new(failures).unwrap();
        // As little work as there can be.
        let decoy: Arc<str> =
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2E$aGFzaGhhc2hoYXNoaGFzaA".into();
        let peer = Peer::of([192, 0, 2, 1].into());
        let guesses = (0..40).map(|_| verifier.verify(None, &decoy, "eve", "guess", peer));
        let answers = futures::future::join_all(guesses).await;
        let charged = answers.iter().filter(|a| matches!(a, Err(Rejection::Charged))).count();
        assert_eq!(charged, 3);
        let waits = |a: &&_| matches!(a, Err(Rejection::Denied(Denied::TooMany(_))));
        assert_eq!(answers.iter().filter(waits).count(), 37);
        assert!(verifier.turns.guesses_left() >= super::super::turns::GUESSES_AT_ONCE - 3.0);
    }
}
