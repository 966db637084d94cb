//! Hashes of passwords (Argon2), and the memory that they are computed in.
//!
//! The memory is reused, and given back when no password was verified for a while ([`KEEP`]): it is
//! 19 MiB by the usual parameters, which an allocator would keep once for every thread that ever
//! computed a hash.

use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::password_hash::{
    PasswordHasher as _,
    phc::{Output, PasswordHash},
};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use parking_lot::Mutex;

/// The time for which memory is kept after its last use.
const KEEP: Duration = Duration::from_secs(60);

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
        // A hash that was cut, or is of another algorithm, would be right for no password.
        hash.salt.is_some()
            && hash.hash.is_some()
            && Algorithm::try_from(hash.algorithm.as_str()).is_ok()
            && hash.version.is_none_or(|version| Version::try_from(version).is_ok())
            && Params::try_from(&hash).is_ok_and(|params| {
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
        Params::try_from(&hash).ok()
    });
    let work = |params: &Params| u64::from(params.m_cost()) * u64::from(params.t_cost());
    let params = params.max_by_key(work).unwrap_or_default();
    let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
    let mut random = [0; 48];
    getrandom::fill(&mut random).ok()?;
    let (salt, hash) = random.split_at(16);
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Some(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}").into())
}

/// Computes hashes in memory that it reuses: as many blocks of it as hashes are computed at a time.
#[derive(Default)]
pub(super) struct Hasher {
    // A lock, held to take or put back one vector.
    unused: Mutex<Unused>,
}

#[derive(Default)]
struct Unused {
    memory: Vec<Vec<Block>>,
    used_at: Option<Instant>,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

impl Hasher {
    /// Returns whether `password` is that of `hash`. Takes tens of milliseconds.
    pub(super) fn verify(&self, hash: &str, password: &str) -> bool {
        let mut memory = self.unused.lock().memory.pop().unwrap_or_default();
        let right = verify(hash, password, &mut memory);
        let mut unused = self.unused.lock();
        unused.memory.push(memory);
        unused.used_at = Some(Instant::now());
        right.unwrap_or(false)
    }

    /// Gives the memory back if it has not been used for a while.
    pub(super) fn release_unused(&self, now: Instant) {
        let mut unused = self.unused.lock();
        if unused.used_at.is_some_and(|at| now.saturating_duration_since(at) >= KEEP) {
            *unused = Unused::default();
        }
    }

    #[cfg(test)]
    pub(super) fn unused_bytes(&self) -> usize {
        self.unused.lock().memory.iter().map(|memory| memory.len() * Block::SIZE).sum()
    }
}

/// Computes the hash of `password` in `memory`, which is made larger if need be, and compares it.
/// `None` for a hash that cannot be computed.
fn verify(hash: &str, password: &str, memory: &mut Vec<Block>) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
    let params = Params::try_from(&hash).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = match hash.version {
        Some(version) => Version::try_from(version).ok()?,
        None => Version::default(),
    };
    if memory.len() < params.block_count() {
        // In place of growing, which would hold the old memory and the new for a moment.
        *memory = Vec::new();
        memory.resize(params.block_count(), Block::new());
    }
    let mut computed = [0; Output::MAX_LENGTH];
    let computed = computed.get_mut(..expected.len())?;
    let argon2 = Argon2::new(algorithm, version, params);
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, computed, &mut *memory)
        .ok()?;
    // The comparison of outputs takes the same time wherever they differ.
    Some(Output::new(computed).ok()? == *expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash that is computed soon in a build for tests.
    fn quick(password: &str, m: u32) -> String {
        let params = Params::new(m, 2, 2, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password(password.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn memory_that_was_used_makes_no_difference() {
        let hasher = Hasher::default();
        let hashes = [("a", quick("a", 64)), ("b", quick("b", 16)), ("", quick("", 128))];
        for (password, hash) in hashes.iter().chain(&hashes) {
            assert!(hasher.verify(hash, password));
            assert!(!hasher.verify(hash, "another"));
        }
        assert!(!hasher.verify("no hash", "a"));
        assert_eq!(hasher.unused_bytes(), 128 << 10, "one block of memory for all of them");
    }

    #[test]
    fn hashes_of_other_variants_are_verified() {
        for (algorithm, version) in
            [(Algorithm::Argon2i, Version::V0x10), (Algorithm::Argon2d, Version::V0x13)]
        {
            let argon2 = Argon2::new(algorithm, version, Params::new(32, 3, 1, Some(24)).unwrap());
            let hash = argon2.hash_password(b"right").unwrap().to_string();
            let hasher = Hasher::default();
            assert!(hasher.verify(&hash, "right"), "{hash}");
            assert!(!hasher.verify(&hash, "wrong"), "{hash}");
        }
    }

    #[test]
    fn a_hash_that_no_password_is_right_for_is_none() {
        let hash = quick("a", 64);
        assert!(is_hash(&hash));
        let (cut, _) = hash.rsplit_once('$').unwrap();
        let (cut_more, _) = cut.rsplit_once('$').unwrap();
        for wrong in [cut, cut_more, &hash.replace("argon2id", "argon2xx"), "no hash", ""] {
            assert!(!is_hash(wrong), "{wrong}");
        }
    }

    #[test]
    fn memory_is_given_back_after_a_while() {
        let hasher = Hasher::default();
        assert!(hasher.verify(&quick("a", 64), "a"));
        hasher.release_unused(Instant::now());
        assert_eq!(hasher.unused_bytes(), 64 << 10);
        hasher.release_unused(Instant::now() + KEEP);
        assert_eq!(hasher.unused_bytes(), 0);
    }
}
