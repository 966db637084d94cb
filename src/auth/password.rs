//! Passwords: hashing, and verifying with a memory and a limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::{AcquireError, Semaphore};

use super::file::{CredentialsError, Secret};
use super::{Denied, REMEMBER, Wrong};
use crate::lock::lock;
use crate::peers::{Peer, PeerShares, TokenBuckets};

/// Verified credentials that are remembered at a time.
const MOST_REMEMBERED: usize = 4096;
/// How long a password waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The hash of `password` with a salt of its own, as `password_hash` has it (Argon2id, 19 MiB, two
/// passes).
///
/// # Errors
/// The system gives no random salt.
pub fn hash(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| anyhow::anyhow!("the password cannot be hashed: {error}"))?;
    Ok(hash.to_string())
}

/// Whether `text` is a hash that can be verified.
pub(super) fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|hash| {
        argon2::Params::try_from(&hash).is_ok_and(|params| {
            // A hash in the file must not make a login cost gigabytes or minutes.
            params.m_cost() <= 1 << 18 && params.t_cost() <= 16
        })
    })
}

/// What a name that nobody has is verified against: as much work as the most of `hashes`, and no
/// password fits.
pub(super) fn nobody<'a>(hashes: impl Iterator<Item = &'a str>) -> Option<Arc<str>> {
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

/// Verifies passwords: few at a time, on blocking threads, and remembers the right ones.
///
/// A peer has one password verified at a time, and peers take turns, so that one who guesses waits
/// for itself and not others for it. An attempt is paid for before it is computed and the payment
/// given back if it was right: what is tried at once, or given up, counts as what is tried in turn.
#[derive(Debug)]
pub(super) struct Verifier {
    queues: PeerShares,
    turns: Arc<Semaphore>,
    failures: Arc<TokenBuckets>,
    memory: Arc<Remembered>,
}

/// What was verified.
#[derive(Debug)]
struct Remembered {
    key: hmac::Key,
    // A lock, held for one look-up; keyed by digests that tell nothing without `key`.
    entries: Mutex<HashMap<[u8; 32], Instant>>,
}

impl Verifier {
    /// One that pays with `failures`.
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

    /// Whether `password` is that of `secret`; without one it takes as long as `nobody` does, and
    /// is wrong.
    ///
    /// # Errors
    /// [`Wrong::Counted`], or that the peer has to wait.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what is being computed to its end, and counted.
    pub(super) async fn verify(
        &self,
        secret: Option<&Secret>,
        nobody: &Arc<str>,
        name: &str,
        password: &str,
        peer: Peer,
    ) -> Result<(), Wrong> {
        if self.memory.knows(secret, name, password) {
            return Ok(());
        }
        self.failures.check(peer, Instant::now()).map_err(Denied::TooMany)?;
        let turn = async {
            let of_peer = self.queues.of(peer).acquire_owned().await?;
            // Whoever waited for an equal request need not compute it again, nor wait for others.
            if self.memory.knows(secret, name, password) {
                return Ok(None);
            }
            Ok(Some((of_peer, Arc::clone(&self.turns).acquire_owned().await?)))
        };
        let turn = tokio::time::timeout(PATIENCE, turn).await;
        let turn = match turn.map(|got: Result<_, AcquireError>| got) {
            Ok(Ok(Some(turn))) => turn,
            Ok(Ok(None)) => return Ok(()),
            _ => return Err(Denied::Busy.into()),
        };
        self.failures.take(peer, Instant::now()).map_err(Denied::TooMany)?;
        let (secret, nobody) = (secret.cloned(), Arc::clone(nobody));
        let (name, typed) = (name.to_owned(), password.to_owned());
        let (memory, failures) = (Arc::clone(&self.memory), Arc::clone(&self.failures));
        let verified = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let right = memory.verify(secret.as_ref(), &nobody, &name, &typed);
            if right {
                failures.give_back(peer);
            }
            right
        });
        if verified.await.unwrap_or(false) { Ok(()) } else { Err(Wrong::Counted) }
    }
}

impl Remembered {
    /// Whether this was verified before and not forgotten. A changed hash makes another entry.
    fn knows(&self, secret: Option<&Secret>, name: &str, password: &str) -> bool {
        let Some(Secret::Hash(stored) | Secret::Plain(stored)) = secret else { return false };
        let entry = self.entry(stored, name, password);
        let mut entries = lock(&self.entries);
        let now = Instant::now();
        match entries.get_mut(&entry) {
            Some(used) if now.duration_since(*used) < REMEMBER => {
                *used = now;
                true
            }
            _ => false,
        }
    }

    /// Computes whether `password` is right, and remembers it if so.
    fn verify(&self, secret: Option<&Secret>, nobody: &str, name: &str, password: &str) -> bool {
        // A plain secret and an unknown name cost a hash as well: time tells nothing.
        let hash = match secret {
            Some(Secret::Hash(hash)) => hash,
            _ => nobody,
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
        let mut entries = lock(&self.entries);
        let now = Instant::now();
        if entries.len() >= MOST_REMEMBERED {
            entries.retain(|_, used| now.duration_since(*used) < REMEMBER);
        }
        if entries.len() < MOST_REMEMBERED {
            entries.insert(entry, now);
        }
        true
    }

    /// Compares in a time that does not depend on where they differ, nor on their lengths.
    fn equal(&self, one: &[u8], other: &[u8]) -> bool {
        let (one, other) = (hmac::sign(&self.key, one), hmac::sign(&self.key, other));
        constant_time::verify_slices_are_equal(one.as_ref(), other.as_ref()).is_ok()
    }

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
