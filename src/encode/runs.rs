//! A column whose values stand in runs: those that a flat table repeats of the session.
//!
//! The library's writer hashes each value and compares it with the bounds; with a value that stands seven
//! times in a row, that is done seven times, and was a third of what flat tables cost. Here a value is
//! looked up once a run. The library writes the distinct values as a column (their dictionary, bounds and
//! Bloom filter are the column's), and the data pages are made of the runs: levels and indexes in the
//! format's RLE form (<https://parquet.apache.org/docs/file-format/data-pages/encodings/>).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayAccessor, ArrayRef, Int64Array, StringArray};

use super::hashes::Seeded;
use super::hybrid;
use super::pages::{DataPage, DictionaryPages};
use crate::columnar::builders;
use crate::columnar::values::{longs, strings, timestamps};

/// Rows of a data page.
pub(super) const PAGE_ROWS: usize = 20_000;
/// Most bytes of distinct values in a dictionary. Readers have it in memory as a whole.
const DICTIONARY_BYTES: usize = 16 << 20;

/// The rows of a column as runs of its distinct values.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// The value of each run, none for null, and its rows.
    runs: Vec<(Option<u32>, usize)>,
    /// Number of distinct values.
    values: usize,
    rows: usize,
    nulls: usize,
    /// Bytes of the values of all rows, as plain pages have them.
    bytes: usize,
    /// Bytes of the distinct values.
    dictionary_bytes: usize,
    is_text: bool,
    /// The distinct values of a column that is none of texts.
    integers: Vec<i64>,
}

impl Runs {
    /// Finds the runs of a column, of which each array has values, and the number of rows that have each;
    /// beside them the distinct values, in the order in which they occur first. `None` if it is of another
    /// type, has too many bytes of distinct values, or no value at all.
    pub(super) fn of(arrays: &[(&ArrayRef, &[usize])]) -> Option<(ArrayRef, Runs)> {
        let first = arrays.first()?.0;
        if strings(first).is_some() {
            let (values, runs) = find(arrays, strings, |text| size_of::<u32>() + text.len())?;
            return Some((Arc::new(StringArray::from(values)), Runs { is_text: true, ..runs }));
        }
        let bytes = |_| size_of::<i64>();
        if longs(first).is_some() {
            let (values, runs) = find(arrays, longs, bytes)?;
            let runs = Runs { integers: values.clone(), ..runs };
            return Some((Arc::new(Int64Array::from(values)), runs));
        }
        let (values, runs) = find(arrays, timestamps, bytes)?;
        let runs = Runs { integers: values.clone(), ..runs };
        Some((builders::timestamps(values), runs))
    }

    /// Returns the bytes that the values of all rows would have in plain pages.
    pub(super) fn plain_bytes(&self) -> usize {
        self.bytes + self.rows / 4
    }

    fn page(&self, runs: &[(Option<u32>, usize)], width: u32, has_levels: bool) -> DataPage {
        let nulls = runs.iter().filter(|(value, _)| value.is_none()).map(|(_, rows)| rows).sum();
        let rows = runs.iter().map(|(_, rows)| rows).sum();
        let values = || {
            let indexes = runs.iter().filter_map(|(value, _)| *value);
            indexes.filter_map(|index| self.integers.get(index as usize))
        };
        let bounds = values().min().zip(values().max());
        let bounds = bounds.map(|(min, max)| [min, max].map(|of| of.to_le_bytes().to_vec()));
        DataPage { rows, nulls, bytes: data(runs, width, has_levels), bounds }
    }

    /// Makes the data pages. `has_levels` says that the column may be null.
    pub(super) fn pages(&self, has_levels: bool) -> DictionaryPages {
        DictionaryPages {
            rows: self.rows,
            nulls: self.nulls,
            dictionary_bytes: self.dictionary_bytes,
            text_bytes: self
                .is_text
                .then(|| self.bytes - (self.rows - self.nulls) * size_of::<u32>()),
            pages: self.data_pages(has_levels),
        }
    }

    fn data_pages(&self, has_levels: bool) -> Vec<DataPage> {
        let width = hybrid::width(self.values);
        let mut pages = Vec::new();
        let (mut page, mut rows) = (Vec::new(), 0);
        for (value, of_run) in &self.runs {
            let mut left = *of_run;
            while left > 0 {
                let some = left.min(PAGE_ROWS - rows);
                page.push((*value, some));
                (rows, left) = (rows + some, left - some);
                if rows == PAGE_ROWS {
                    pages.push(self.page(&page, width, has_levels));
                    (page, rows) = (Vec::new(), 0);
                }
            }
        }
        if rows > 0 {
            pages.push(self.page(&page, width, has_levels));
        }
        pages
    }
}

/// Finds the distinct values, and the runs.
fn find<'a, A: 'a, V: Copy + Eq + Hash>(
    arrays: &[(&'a ArrayRef, &[usize])],
    of_type: impl Fn(&'a dyn Array) -> Option<&'a A>,
    bytes: impl Fn(V) -> usize,
) -> Option<(Vec<V>, Runs)>
where
    &'a A: ArrayAccessor<Item = V>,
{
    let (mut values, mut found) = (Vec::new(), Runs::default());
    let mut numbers: HashMap<V, u32, Seeded> = HashMap::default();
    let mut last: Option<Option<V>> = None;
    found.runs.reserve(arrays.iter().map(|(_, rows)| rows.len()).sum());
    for &(array, rows) in arrays {
        let array: &'a dyn Array = array.as_ref();
        let (of_type, nulls) = (of_type(array)?, array.nulls());
        for (at, rows) in rows.iter().enumerate().take(array.len()) {
            let is_valid = nulls.is_none_or(|nulls| nulls.is_valid(at));
            let value = is_valid.then(|| of_type.value(at));
            found.rows += rows;
            found.bytes += value.map_or(0, &bytes) * rows;
            found.nulls += if is_valid { 0 } else { *rows };
            if last == Some(value) {
                if let Some((_, before)) = found.runs.last_mut() {
                    *before += rows;
                }
                continue;
            }
            last = Some(value);
            let number = value.map(|value| {
                *numbers.entry(value).or_insert_with(|| {
                    values.push(value);
                    found.dictionary_bytes += bytes(value);
                    values.len() as u32 - 1
                })
            });
            found.runs.push((number, *rows));
            if found.dictionary_bytes > DICTIONARY_BYTES {
                return None;
            }
        }
    }
    found.values = values.len();
    (!values.is_empty()).then_some((values, found))
}

/// Returns the bytes of a data page: the length of the levels and these, if it has any, the width of
/// indexes, these.
fn data(runs: &[(Option<u32>, usize)], width: u32, has_levels: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if has_levels {
        let mut levels = Vec::new();
        let valid = runs.iter().map(|(value, rows)| (u32::from(value.is_some()), *rows));
        hybrid::runs(&mut levels, valid, 1);
        bytes.extend((levels.len() as u32).to_le_bytes());
        bytes.extend(levels);
    }
    bytes.push(width as u8);
    let indexes = runs.iter().filter_map(|(value, rows)| Some(((*value)?, *rows)));
    hybrid::runs(&mut bytes, indexes, width);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(arrays: &[(ArrayRef, Vec<usize>)]) -> Option<(ArrayRef, Runs)> {
        let arrays: Vec<(&ArrayRef, &[usize])> =
            arrays.iter().map(|(array, rows)| (array, rows.as_slice())).collect();
        Runs::of(&arrays)
    }

    fn texts(texts: Vec<Option<&str>>) -> ArrayRef {
        Arc::new(StringArray::from(texts))
    }

    #[test]
    fn runs_go_on_from_array_to_array_and_nulls_are_runs_too() {
        let arrays = [
            (texts(vec![Some("a"), None, Some("b")]), vec![2, 2, 1]),
            (texts(vec![Some("b"), Some("b"), Some("a"), None]), vec![1, 1, 2, 1]),
        ];
        let (values, runs) = runs(&arrays).unwrap();
        assert_eq!(&values, &texts(vec![Some("a"), Some("b")]));
        assert_eq!(runs.runs, [(Some(0), 2), (None, 2), (Some(1), 3), (Some(0), 2), (None, 1)]);
        let pages = runs.pages(true);
        assert_eq!((pages.rows, pages.nulls, pages.dictionary_bytes), (10, 3, 10));
        assert_eq!(pages.text_bytes, Some(7));
        let levels = [4, 1, 4, 0, 10, 1, 2, 0];
        let indexes = [1, 4, 0, 6, 1, 4, 0];
        let bytes = [[8, 0, 0, 0].as_slice(), &levels, &indexes].concat();
        assert_eq!(pages.pages, [DataPage { rows: 10, nulls: 3, bytes, bounds: None }]);
    }

    #[test]
    fn pages_have_a_bounded_number_of_rows_and_indexes_as_many_bytes_as_they_need() {
        let all: Vec<String> = (0..300).map(|n| format!("{n}")).collect();
        let array: ArrayRef = Arc::new(StringArray::from(all));
        let pages = runs(&[(array, vec![150; 300])]).unwrap().1.data_pages(true);
        let rows: Vec<usize> = pages.iter().map(|page| page.rows).collect();
        assert_eq!(rows, [PAGE_ROWS, PAGE_ROWS, 5_000]);
        // All rows are valid: 20,000 of them; then nine bits, and the first run.
        let start = [4, 0, 0, 0, 0xc0, 0xb8, 2, 1, 9, 0xac, 2, 0, 0];
        assert_eq!(pages[0].bytes[..start.len()], start);
    }

    #[test]
    fn columns_without_values_or_with_too_many_are_left_to_the_library() {
        assert!(runs(&[(texts(vec![None; 9]), vec![1; 9])]).is_none() && runs(&[]).is_none());
        assert!(runs(&[(texts(vec![Some("a"); 9]), vec![1; 9])]).is_some());
        let times = builders::timestamps(vec![7, 7, 9]);
        let (values, _) = runs(&[(times, vec![1, 2, 3])]).unwrap();
        assert_eq!(&values, &builders::timestamps(vec![7, 9]));
        let long = "l".repeat(DICTIONARY_BYTES);
        assert!(runs(&[(texts(vec![Some(&long)]), vec![9])]).is_none());
    }
}
