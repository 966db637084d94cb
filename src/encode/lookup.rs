//! A column of texts or integers, not in lists, of which most values occur several times: its dictionary
//! and its data pages.
//!
//! The library's writer makes a level and an index for each row first, hashes each value and compares it
//! with the bounds. Here a value is looked up, and bits of validity are the levels: a third of the time.
//! The library writes the distinct values, so that dictionary, bounds and Bloom filter are its own.
//! Columns of flat tables alone are encoded like this: what nested tables' files are is settled.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanBufferBuilder, Int64Array, StringArray};
use arrow::buffer::BooleanBuffer;

use super::hashes::Seeded;
use super::hybrid;
use super::pages::{DataPage, DictionaryPages};
use super::runs::PAGE_ROWS;
use crate::columnar::values::{longs, strings};

/// Bytes of a dictionary at which it is given up, as the library does.
const DICTIONARY_BYTES: usize = 1 << 20;
/// Integers that are so near to one another are looked up in a table.
const NEAR: usize = 1 << 16;

/// Returns the distinct values of a column and the data pages of its rows; `None` if it is of another type,
/// has no value, or too many. `has_levels` says that the column may be null.
pub(super) fn look_up(
    arrays: &[ArrayRef],
    has_levels: bool,
) -> Option<(ArrayRef, DictionaryPages)> {
    let texts: Option<Vec<&StringArray>> = arrays.iter().map(|array| strings(array)).collect();
    if let Some(texts) = texts {
        return self::texts(arrays, &texts, has_levels);
    }
    let longs: Option<Vec<&Int64Array>> = arrays.iter().map(|array| longs(array)).collect();
    self::integers(arrays, &longs?, has_levels)
}

fn texts(
    arrays: &[ArrayRef],
    texts: &[&StringArray],
    has_levels: bool,
) -> Option<(ArrayRef, DictionaryPages)> {
    let mut numbers: HashMap<&str, u32, Seeded> = HashMap::default();
    let (mut values, mut dictionary_bytes, mut text_bytes) = (Vec::new(), 0, 0);
    let mut last: Option<(&str, u32)> = None;
    let mut indexes = Vec::with_capacity(texts.iter().map(|texts| texts.len()).sum());
    for texts in texts {
        for_each_valid(*texts, |row| {
            let value = texts.value(row);
            text_bytes += value.len();
            let number = match last {
                Some((before, number)) if before == value => number,
                _ => *numbers.entry(value).or_insert_with(|| {
                    values.push(value);
                    dictionary_bytes += size_of::<u32>() + value.len();
                    values.len() as u32 - 1
                }),
            };
            last = Some((value, number));
            indexes.push(number);
            (dictionary_bytes < DICTIONARY_BYTES).then_some(())
        })?;
    }
    if values.is_empty() {
        return None;
    }
    let mut pages = pages(arrays, &indexes, values.len(), has_levels, |_| None);
    (pages.dictionary_bytes, pages.text_bytes) = (dictionary_bytes, Some(text_bytes));
    Some((Arc::new(StringArray::from(values)), pages))
}

fn integers(
    arrays: &[ArrayRef],
    longs: &[&Int64Array],
    has_levels: bool,
) -> Option<(ArrayRef, DictionaryPages)> {
    let mut all: Vec<i64> = Vec::with_capacity(longs.iter().map(|longs| longs.len()).sum());
    for longs in longs {
        match longs.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => all.extend_from_slice(longs.values()),
            Some(nulls) => {
                let values = longs.values();
                all.extend(nulls.valid_indices().filter_map(|row| values.get(row)));
            }
        }
    }
    let least = *all.iter().min()?;
    let range = all.iter().max()?.abs_diff(least);
    let mut values: Vec<i64> = Vec::new();
    let mut indexes = Vec::with_capacity(all.len());
    if range < NEAR as u64 {
        let mut table = vec![u32::MAX; range as usize + 1];
        for value in &all {
            // Within the table: it has as many places as there are values from the least to the most.
            let Some(number) = table.get_mut(value.abs_diff(least) as usize) else { continue };
            if *number == u32::MAX {
                *number = values.len() as u32;
                values.push(*value);
            }
            indexes.push(*number);
        }
    } else {
        let mut numbers: HashMap<i64, u32, Seeded> = HashMap::default();
        for value in &all {
            indexes.push(*numbers.entry(*value).or_insert_with(|| {
                values.push(*value);
                values.len() as u32 - 1
            }));
            if values.len() * size_of::<i64>() >= DICTIONARY_BYTES {
                return None;
            }
        }
    }
    let bounds = |of_page: Range<usize>| {
        let all = all.get(of_page)?;
        Some([all.iter().min()?, all.iter().max()?].map(|bound| bound.to_le_bytes().to_vec()))
    };
    let mut pages = pages(arrays, &indexes, values.len(), has_levels, bounds);
    pages.dictionary_bytes = values.len() * size_of::<i64>();
    Some((Arc::new(Int64Array::from(values)), pages))
}

/// Calls `each` for each row that is not null, until it returns `None`, which is returned then. The
/// iterators of the library take several times as long.
fn for_each_valid(array: &dyn Array, mut each: impl FnMut(usize) -> Option<()>) -> Option<()> {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (0..array.len()).try_for_each(each),
        Some(nulls) => nulls.valid_indices().try_for_each(&mut each),
    }
}

/// Makes the data pages. `indexes` are those of the rows that are not null, into `values` values; `bounds`
/// gives the bounds of a range of these rows.
fn pages(
    arrays: &[ArrayRef],
    indexes: &[u32],
    values: usize,
    has_levels: bool,
    bounds: impl Fn(Range<usize>) -> Option<[Vec<u8>; 2]>,
) -> DictionaryPages {
    let valid = validity(arrays);
    let rows = arrays.iter().map(|array| array.len()).sum();
    let width = hybrid::width(values);
    let (mut pages, mut at) = (Vec::new(), 0);
    for first in (0..rows).step_by(PAGE_ROWS) {
        let rows = PAGE_ROWS.min(rows - first);
        let mut levels = Vec::new();
        let nulls = match &valid {
            None => {
                hybrid::runs(&mut levels, std::iter::once((1, rows)), 1);
                0
            }
            Some(valid) => {
                let valid = valid.slice(first, rows);
                hybrid::bits(&mut levels, &valid);
                rows - valid.count_set_bits()
            }
        };
        let range = at..at + rows - nulls;
        at = range.end;
        let of_page = indexes.get(range.clone()).unwrap_or_default();
        let mut bytes = Vec::with_capacity(levels.len() + of_page.len() * width as usize / 8 + 64);
        if has_levels {
            bytes.extend((levels.len() as u32).to_le_bytes());
            bytes.extend(levels);
        }
        bytes.push(width as u8);
        hybrid::numbers(&mut bytes, of_page, width);
        pages.push(DataPage { rows, nulls, bytes, bounds: bounds(range) });
    }
    let nulls = rows - indexes.len();
    DictionaryPages { rows, nulls, dictionary_bytes: 0, text_bytes: None, pages }
}

/// Returns which of all rows are not null; `None` if none is null.
fn validity(arrays: &[ArrayRef]) -> Option<BooleanBuffer> {
    if arrays.iter().all(|array| array.null_count() == 0) {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(arrays.iter().map(|array| array.len()).sum());
    for array in arrays {
        match array.nulls() {
            Some(nulls) => valid.append_buffer(nulls.inner()),
            None => valid.append_n(array.len(), true),
        }
    }
    Some(valid.finish())
}
