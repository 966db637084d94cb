//! Dictionaries: the distinct values of a column, and for each value which of them it is.
//!
//! Values are in the order that compresses best: numbers and many texts by value, since neighbours are alike
//! then, few texts by how often they occur, since their indexes are small numbers then.

use super::hashes;
use crate::columnar::leaf_values::Values;

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
const NEAR: u64 = 1 << 17;
/// Values after which a dictionary is given up if nearly all of them are distinct.
const FIRST: usize = 4096;
/// Texts that are ordered by how often they occur.
const FEW: usize = 256;

/// The distinct values of a column and the index of each value.
#[derive(Debug)]
pub(super) struct Dictionary<'a> {
    pub(super) distinct: Values<'a>,
    pub(super) indexes: Vec<u32>,
}

/// Looks up values. `None` if that is given up, if there are none, or for booleans, of which there are no more
/// than two.
pub(super) fn of<'a>(values: &Values<'a>, limit: Limit) -> Option<Dictionary<'a>> {
    let integers = |all| of_integers(all, limit);
    let (distinct, indexes) = match values {
        Values::Texts(texts) => {
            let Found { distinct, indexes } = of_texts(texts, limit)?;
            (Values::Texts(distinct), indexes)
        }
        Values::Integers(all) => {
            let Found { distinct, indexes } = integers(all)?;
            (Values::Integers(distinct), indexes)
        }
        Values::Doubles(all) => {
            let Found { distinct, indexes } = integers(all)?;
            (Values::Doubles(distinct), indexes)
        }
        Values::Booleans(_) => return None,
    };
    (distinct.len() > 0).then_some(Dictionary { distinct, indexes })
}

/// The distinct values of one type and the index of each value.
#[derive(Debug, PartialEq)]
struct Found<T> {
    distinct: Vec<T>,
    indexes: Vec<u32>,
}

impl Limit {
    /// Returns true if a dictionary with so many bytes of so many distinct ones among so many values is given up.
    fn is_reached(self, bytes: usize, distinct: usize, values: usize) -> bool {
        let is_hopeless = values < FIRST && distinct > FIRST / 8 * 7;
        self == Limit::WhereItPays && (bytes > DICTIONARY_BYTES || is_hopeless)
    }
}

/// Looks up texts. `None` if it is given up.
fn of_texts<'a>(texts: &[&'a [u8]], limit: Limit) -> Option<Found<&'a [u8]>> {
    let mut table = Table::new(texts.len());
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
    let mut found = Found { distinct, indexes };
    if found.distinct.len() <= FEW {
        let mut counts = vec![0_usize; found.distinct.len()];
        for index in &found.indexes {
            if let Some(count) = counts.get_mut(*index as usize) {
                *count += 1;
            }
        }
        found.reorder(|_, order| {
            order.sort_by_key(|index| std::cmp::Reverse(counts.get(*index as usize)));
        });
    } else {
        found.reorder(|distinct, order| {
            order.sort_unstable_by_key(|index| distinct.get(*index as usize));
        });
    }
    Some(found)
}

/// Looks up integers, or the bits of doubles. `None` if it is given up, or there are none.
fn of_integers(values: &[i64], limit: Limit) -> Option<Found<i64>> {
    let (least, most) = (*values.iter().min()?, *values.iter().max()?);
    // The table is no larger than what it saves.
    if most.abs_diff(least) < NEAR.min(values.len() as u64 * 8) {
        return Some(near(values, least, most.abs_diff(least) as usize));
    }
    let mut distinct: Vec<i64> = Vec::new();
    let mut indexes: Vec<u32> = Vec::with_capacity(values.len());
    let mut table = Table::new(values.len());
    for value in values {
        let next = distinct.len() as u32;
        let is = |index: u32| distinct.get(index as usize) == Some(value);
        let index = table.find_or_add(hashes::of_bits(value.cast_unsigned()), next, is);
        if index == next {
            distinct.push(*value);
            let bytes = distinct.len() * size_of::<u64>();
            if limit.is_reached(bytes, distinct.len(), indexes.len()) {
                return None;
            }
        }
        indexes.push(index);
    }
    let mut found = Found { distinct, indexes };
    found.reorder(|distinct, order| {
        order.sort_unstable_by_key(|index| distinct.get(*index as usize));
    });
    Some(found)
}

/// Looks up integers from `least` to `least + range`.
fn near(values: &[i64], least: i64, range: usize) -> Found<i64> {
    let place = |value: &i64| value.abs_diff(least) as usize;
    let mut places = vec![0_u32; range + 1];
    for value in values {
        // Within the table: it has as many places as there are values from the least to the most.
        if let Some(is_used) = places.get_mut(place(value)) {
            *is_used = 1;
        }
    }
    let mut distinct = Vec::new();
    for (at, index) in places.iter_mut().enumerate().filter(|(_, is_used)| **is_used == 1) {
        *index = distinct.len() as u32;
        distinct.push(least.wrapping_add_unsigned(at as u64));
    }
    let index = |value| places.get(place(value)).copied().unwrap_or_default();
    Found { indexes: values.iter().map(index).collect(), distinct }
}

impl<T: Copy> Found<T> {
    /// Puts the distinct values in the order into which `sort` brings their indexes.
    fn reorder(&mut self, sort: impl FnOnce(&[T], &mut [u32])) {
        let mut order: Vec<u32> = (0..self.distinct.len() as u32).collect();
        sort(&self.distinct, &mut order);
        let mut places = vec![0; order.len()];
        for (place, index) in order.iter().enumerate() {
            if let Some(of) = places.get_mut(*index as usize) {
                *of = place as u32;
            }
        }
        let at = |index: &u32| self.distinct.get(*index as usize).copied();
        self.distinct = order.iter().filter_map(at).collect();
        for index in &mut self.indexes {
            *index = places.get(*index as usize).copied().unwrap_or_default();
        }
    }
}

/// Indexes by hash: open addressing, the upper half of an entry is a half of the hash.
struct Table {
    entries: Vec<u64>,
    len: usize,
}

impl Table {
    /// Creates an empty table with places for `values` values, at most 1,024 places; it grows.
    fn new(values: usize) -> Table {
        let places = values.saturating_mul(2).clamp(16, 1 << 10).next_power_of_two();
        Table { entries: vec![0; places], len: 0 }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Dice;

    #[test]
    fn each_index_is_that_of_its_value() {
        let mut dice = Dice(11);
        for (count, range) in [
            (1, 1),
            (5, 2),
            (8, u64::MAX),
            (9, u64::MAX),
            (300, 7),
            (512, u64::MAX),
            (513, u64::MAX),
            (9_000, 300),
            (70_000, 1 << 20),
            (20_000, u64::MAX),
        ] {
            let values: Vec<i64> = (0..count).map(|_| dice.below(range) as i64 - 5).collect();
            let found = of_integers(&values, Limit::None).unwrap();
            let at = |index: &u32| found.distinct[*index as usize];
            assert!(found.indexes.iter().map(at).eq(values.iter().copied()), "{range}");
            assert!(found.distinct.is_sorted_by(|a, b| a < b));

            let texts: Vec<String> = values.iter().map(|value| format!("t{value}")).collect();
            let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
            let found = of_texts(&texts, Limit::None).unwrap();
            let at = |index: &u32| found.distinct[*index as usize];
            assert!(found.indexes.iter().map(at).eq(texts.iter().copied()), "{range}");
            let mut distinct = found.distinct.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), found.distinct.len());
        }
        let extremes = [i64::MIN, i64::MAX, 0, i64::MIN];
        let found = of_integers(&extremes, Limit::WhereItPays).unwrap();
        assert_eq!(found.indexes, [0, 2, 1, 0]);
    }

    #[test]
    fn a_dictionary_is_given_up_where_it_does_not_pay() {
        let distinct: Vec<i64> = (0..10_000).map(|n| n << 32).collect();
        assert!(of_integers(&distinct, Limit::WhereItPays).is_none());
        assert!(of_integers(&distinct, Limit::None).is_some());
        let twice: Vec<i64> = (0..10_000).map(|n| (n / 2) << 32).collect();
        assert!(of_integers(&twice, Limit::WhereItPays).is_some());
        let long = "l".repeat(DICTIONARY_BYTES);
        let texts = [b"a".as_slice(), long.as_bytes()];
        assert!(of_texts(&texts, Limit::WhereItPays).is_none());
        assert!(of_texts(&texts, Limit::None).is_some());
        assert!(of_integers(&[], Limit::None).is_none());
    }

    #[test]
    fn few_texts_are_ordered_by_how_often_they_occur_and_many_by_value() {
        let texts: [&[u8]; 5] = [b"a", b"c", b"b", b"c", b"c"];
        assert_eq!(of_texts(&texts, Limit::None).unwrap().distinct[0], b"c");
        let many: Vec<String> = (0..900).rev().map(|n| format!("{n:04}")).collect();
        let many: Vec<&[u8]> = many.iter().map(String::as_bytes).collect();
        assert!(of_texts(&many, Limit::None).unwrap().distinct.is_sorted());
    }
}
