//! Dictionaries: the distinct values of a column, and for each value which of them it is.

use super::hashes;

/// When a dictionary is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// From a megabyte on, which readers have in memory as a whole, or when most values are distinct.
    WhereItPays,
    /// Never: what else there is would be larger.
    None,
}

/// Bytes of a dictionary from which on it is given up.
const DICTIONARY_BYTES: usize = 1 << 20;
/// Integers that are so near to one another are looked up in a table.
const NEAR: u64 = 1 << 16;
/// Values after which a dictionary is given up if most of them are distinct.
const FIRST: usize = 4096;

/// The distinct values of a column, in the order in which they occur first, and the index of each value.
#[derive(Debug, PartialEq)]
pub(super) struct Dictionary<T> {
    pub(super) distinct: Vec<T>,
    pub(super) indexes: Vec<u32>,
}

impl Limit {
    /// Whether a dictionary with so many bytes of so many distinct ones among so many values is given up.
    fn is_reached(self, bytes: usize, distinct: usize, values: usize) -> bool {
        let is_hopeless = values < FIRST && distinct > FIRST / 4 * 3;
        self == Limit::WhereItPays && (bytes > DICTIONARY_BYTES || is_hopeless)
    }
}

/// Looks up texts. `None` if it is given up.
pub(super) fn of_texts<'a>(texts: &[&'a [u8]], limit: Limit) -> Option<Dictionary<&'a [u8]>> {
    let mut table = Table::new();
    let mut distinct: Vec<&[u8]> = Vec::new();
    let mut indexes: Vec<u32> = Vec::with_capacity(texts.len());
    let mut bytes = 0;
    let mut last: Option<(&[u8], u32)> = None;
    for text in texts {
        let index = match last {
            Some((before, index)) if before == *text => index,
            _ => {
                let next = distinct.len() as u32;
                let is =
                    |index: u32| distinct.get(index as usize).is_some_and(|known| known == text);
                let index = table.find_or_add(hashes::of_bytes(text), next, is);
                if index == next {
                    distinct.push(text);
                    bytes += size_of::<u32>() + text.len();
                    if limit.is_reached(bytes, distinct.len(), indexes.len()) {
                        return None;
                    }
                }
                index
            }
        };
        last = Some((text, index));
        indexes.push(index);
    }
    Some(Dictionary { distinct, indexes })
}

/// Looks up numbers of 64 bits. `None` if it is given up, or there are none.
pub(super) fn of_bits(values: &[u64], limit: Limit) -> Option<Dictionary<u64>> {
    let least = values.iter().map(|bits| *bits as i64).min()?;
    let most = values.iter().map(|bits| *bits as i64).max()?;
    let mut distinct: Vec<u64> = Vec::new();
    let mut indexes: Vec<u32> = Vec::with_capacity(values.len());
    if most.abs_diff(least) < NEAR {
        let mut table = vec![u32::MAX; most.abs_diff(least) as usize + 1];
        for bits in values {
            // Within the table: it has as many places as there are values from the least to the most.
            let Some(index) = table.get_mut((*bits as i64).abs_diff(least) as usize) else {
                continue;
            };
            if *index == u32::MAX {
                *index = distinct.len() as u32;
                distinct.push(*bits);
            }
            indexes.push(*index);
        }
        return Some(Dictionary { distinct, indexes });
    }
    let mut table = Table::new();
    for bits in values {
        let next = distinct.len() as u32;
        let is = |index: u32| distinct.get(index as usize) == Some(bits);
        let index = table.find_or_add(hashes::of_bits(*bits), next, is);
        if index == next {
            distinct.push(*bits);
            let bytes = distinct.len() * size_of::<u64>();
            if limit.is_reached(bytes, distinct.len(), indexes.len()) {
                return None;
            }
        }
        indexes.push(index);
    }
    Some(Dictionary { distinct, indexes })
}

/// Indexes by hash: open addressing, the upper half of an entry is a half of the hash.
struct Table {
    entries: Vec<u64>,
    len: usize,
}

impl Table {
    fn new() -> Table {
        Table { entries: vec![0; 1 << 10], len: 0 }
    }

    /// Returns the index with this hash that `is` the value; `next`, which is added, if there is none.
    fn find_or_add(&mut self, hash: u64, next: u32, is: impl Fn(u32) -> bool) -> u32 {
        let half = hash >> 32;
        let mask = self.entries.len() - 1;
        let mut at = half as usize & mask;
        while let Some(entry) = self.entries.get_mut(at) {
            if *entry == 0 {
                *entry = half << 32 | (u64::from(next) + 1);
                self.len += 1;
                if self.len * 2 > self.entries.len() {
                    self.grow();
                }
                return next;
            }
            let index = (*entry as u32).wrapping_sub(1);
            if *entry >> 32 == half && is(index) {
                return index;
            }
            at = (at + 1) & mask;
        }
        next
    }

    fn grow(&mut self) {
        let larger = vec![0; self.entries.len() * 4];
        let entries = std::mem::replace(&mut self.entries, larger);
        let mask = self.entries.len() - 1;
        for entry in entries.into_iter().filter(|entry| *entry != 0) {
            let mut at = (entry >> 32) as usize & mask;
            while self.entries.get(at).is_some_and(|taken| *taken != 0) {
                at = (at + 1) & mask;
            }
            if let Some(place) = self.entries.get_mut(at) {
                *place = entry;
            }
        }
    }
}
