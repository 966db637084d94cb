//! Passwords: hashing, and verification with a memory and a limit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use parking_lot::Mutex;
use tokio::sync::{AcquireError, Semaphore};

use super::error::{CredentialsError, Denied, Rejection};
use super::secret::Secret;
use crate::peers::{Peer, PeerShares, TokenBuckets};

/// The time since its last use for which a verified password is remembered.
pub const REMEMBER: Duration = Duration::from_secs(600);
/// Verified credentials that are remembered at a time.
const MAX_REMEMBERED: usize = 4096;
/// The most time that a password waits to be verified.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the hash of `password` with a random salt, as `password_hash` has it (Argon2id, 19 MiB, two
/// passes).
///
/// # Errors
/// The system provides no random salt.
pub fn hash(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| anyhow::anyhow!("the password cannot be hashed: {error}"))?;
    Ok(hash.to_string())
}

/// Returns whether `text` is a hash that can be verified.
pub(super) fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|hash| {
        argon2::Params::try_from(&hash).is_ok_and(|params| {
            // A hash in the file must not make a login cost gigabytes or minutes.
            params.m_cost() <= 1 << 18 && params.t_cost() <= 16
        })
    })
}

/// Returns the hash that an unknown name is verified against: as much work as the most costly of
/// `hashes`, and right for no password. `None` if the system provides no random numbers.
pub(super) fn decoy_hash<'a>(hashes: impl Iterator<Item = &'a str>) -> Option<Arc<str>> {
    let params = hashes.filter_map(|hash| {
        let hash = PasswordHash::new(hash).ok()?;
        argon2::Params::try_from(&hash).ok()
    });
    let work = |params: &argon2::Params| u64::from(params.m_cost()) * u64::from(params.t_cost());
    let params = params.max_by_key(work).unwrap_or_default();
    let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
    let mut random = [0; 48];
    getrandom::fill(&mut random).ok()?;
    let (salt, hash) = random.split_at(16);
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Some(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}").into())
}

/// Verifies passwords, few at a time, on blocking threads, and remembers the right ones.
///
/// A peer has one password verified at a time, and peers take turns, so that a peer that guesses
/// delays itself and no other. An attempt is charged before it is computed, and refunded if it was
/// right: attempts that are made at once, or given up, count as those made in turn.
#[derive(Debug)]
pub(super) struct Verifier {
    queues: PeerShares,
    turns: Arc<Semaphore>,
    failures: Arc<TokenBuckets>,
    memory: Arc<Remembered>,
}

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
            turns: Arc::new(Semaphore::new((cores / 4).max(1))),
            failures,
            memory: Arc::new(Remembered { key, entries: Mutex::default() }),
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
            return Ok(());
        }
        self.failures.check(peer, Instant::now()).map_err(Denied::TooMany)?;
        let turn = async {
            let of_peer = self.queues.of(peer).acquire_owned().await?;
            // An equal request may have been verified meanwhile.
            if self.memory.knows(secret, name, password) {
                return Ok(None);
            }
            Ok(Some((of_peer, Arc::clone(&self.turns).acquire_owned().await?)))
        };
        let turn = tokio::time::timeout(QUEUE_TIMEOUT, turn).await;
        let turn = match turn.map(|got: Result<_, AcquireError>| got) {
            Ok(Ok(Some(turn))) => turn,
            Ok(Ok(None)) => return Ok(()),
            _ => return Err(Denied::Busy.into()),
        };
        self.failures.take(peer, Instant::now()).map_err(Denied::TooMany)?;
        let (secret, decoy) = (secret.cloned(), Arc::clone(decoy));
        let (name, typed) = (name.to_owned(), password.to_owned());
        let (memory, failures) = (Arc::clone(&self.memory), Arc::clone(&self.failures));
        let verified = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let right = memory.verify(secret.as_ref(), &decoy, &name, &typed);
            if right {
                failures.give_back(peer);
            }
            right
        });
        if verified.await.unwrap_or(false) { Ok(()) } else { Err(Rejection::Charged) }
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
    fn verify(&self, secret: Option<&Secret>, decoy: &str, name: &str, password: &str) -> bool {
        // A plain secret and an unknown name cost a hash as well, so that the time tells nothing.
        let hash = match secret {
            Some(Secret::Hash(hash)) => hash,
            _ => decoy,
        };
        let hashed = PasswordHash::new(hash).is_ok_and(|hash| {
            Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
        });
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
