//! Hashes of values that are looked up for a dictionary: fast, and with a seed that no sender knows.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seed of this process.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));

/// Makes the hashers of a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeded(u64);

/// The hash of one value.
pub(super) struct OneValue(u64);

impl Default for Seeded {
    fn default() -> Seeded {
        Seeded(*SEED)
    }
}

impl BuildHasher for Seeded {
    type Hasher = OneValue;

    fn build_hasher(&self) -> OneValue {
        OneValue(self.0)
    }
}

impl Hasher for OneValue {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// A text ends with a byte of its own, which a map of nothing but texts has no need of.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
