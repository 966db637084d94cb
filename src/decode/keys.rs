//! The keys of one map, to find repeated ones.

use std::collections::HashSet;
use std::ops::Range;

/// The most keys that are compared one by one.
const FEW: usize = 16;

/// A set of keys. Few are compared one by one, which costs next to nothing; many are hashed.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    few: Vec<Range<usize>>,
    many: HashSet<Box<[u8]>>,
}

impl Keys {
    /// Forgets all keys.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.few.clear();
        if !self.many.is_empty() {
            self.many = HashSet::new();
        }
    }

    /// Returns whether `key` is there.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        let few = self.few.iter().any(|range| self.bytes.get(range.clone()) == Some(key));
        few || (!self.many.is_empty() && self.many.contains(key))
    }

    /// Adds a key; returns whether it is new.
    pub(super) fn insert(&mut self, key: &[u8]) -> bool {
        if self.few.iter().any(|range| self.bytes.get(range.clone()) == Some(key)) {
            return false;
        }
        if self.few.len() >= FEW {
            return self.many.insert(key.into());
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.few.push(start..self.bytes.len());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_found_among_few_and_many() {
        let mut keys = Keys::default();
        for _ in 0..2 {
            for i in 0..100 {
                assert!(keys.insert(format!("key{i}").as_bytes()));
            }
            for i in 0..100 {
                assert!(!keys.insert(format!("key{i}").as_bytes()));
            }
            keys.clear();
        }
        assert!(keys.insert(b"") && !keys.insert(b""));
    }
}
