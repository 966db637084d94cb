//! Hashes of values that are looked up for a dictionary: fast, and with seeds that no sender knows.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seeds of this process.
static SEEDS: LazyLock<[u64; 2]> = LazyLock::new(|| {
    let state = RandomState::new();
    // A factor is odd.
    [state.hash_one(0), state.hash_one(1) | 1]
});

/// Returns the hash of a text.
pub(super) fn of_bytes(bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, SEEDS[0])
}

/// Returns the hash of a number.
pub(super) fn of_bits(bits: u64) -> u64 {
    let [seed, factor] = *SEEDS;
    // Both halves of the product: each bit of the number reaches each of the hash.
    let product = u128::from(bits ^ seed) * u128::from(factor);
    (product >> 64) as u64 ^ product as u64
}
