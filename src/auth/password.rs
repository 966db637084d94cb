//! Passwords: hashing, and verifying with a memory and a limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use aws_lc_rs::{constant_time, hmac};
use tokio::sync::Semaphore;

use super::file::{CredentialsError, Secret};
use super::{Denied, REMEMBER};

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

/// Verifies passwords: few at a time, on blocking threads, and remembers the right ones.
#[derive(Debug)]
pub(super) struct Verifier {
    key: hmac::Key,
    /// What an unknown name is verified against.
    nobody: Arc<str>,
    turns: Arc<Semaphore>,
    // A lock, held for one look-up; keyed by digests that tell nothing without `key`.
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
}

impl Verifier {
    pub(super) fn new() -> Result<Verifier, CredentialsError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| CredentialsError::Random)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Verifier {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            nobody: hash("nobody").map_err(|_| CredentialsError::Random)?.into(),
            turns: Arc::new(Semaphore::new((cores / 4).max(1))),
            remembered: Mutex::default(),
        })
    }

    /// Whether this was verified before and not forgotten. A changed hash makes another entry.
    pub(super) fn remembers(&self, secret: Option<&Secret>, name: &str, password: &str) -> bool {
        let Some(Secret::Hash(stored) | Secret::Plain(stored)) = secret else { return false };
        let entry = self.entry(stored, name, password);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match remembered.get_mut(&entry) {
            Some(used) if now.duration_since(*used) < REMEMBER => {
                *used = now;
                true
            }
            _ => false,
        }
    }

    /// Whether `password` is right.
    pub(super) async fn verify(
        &self,
        secret: Option<&Secret>,
        name: &str,
        password: &str,
    ) -> Result<(), Denied> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Denied::Busy) };
        // Whoever waited together with the first of many equal requests need not compute it again.
        if self.remembers(secret, name, password) {
            return Ok(());
        }
        // A plain secret and an unknown name cost a hash as well: time tells nothing.
        let hash = match secret {
            Some(Secret::Hash(hash)) => Arc::clone(hash),
            _ => Arc::clone(&self.nobody),
        };
        let typed = password.to_owned();
        let hashed = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let Ok(hash) = PasswordHash::new(&hash) else { return false };
            Argon2::default().verify_password(typed.as_bytes(), &hash).is_ok()
        });
        let hashed = hashed.await.unwrap_or(false);
        let stored = match secret {
            Some(Secret::Hash(stored)) if hashed => stored,
            Some(Secret::Plain(plain)) if self.equal(plain.as_bytes(), password.as_bytes()) => {
                plain
            }
            _ => return Err(Denied::Unauthorized),
        };
        let entry = self.entry(stored, name, password);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, used| now.duration_since(*used) < REMEMBER);
        }
        if remembered.len() < MOST_REMEMBERED {
            remembered.insert(entry, now);
        }
        Ok(())
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
