//! A column whose values stand in runs: those that a flat table repeats of the session.
//!
//! A value is looked up once a run, and the data pages are made of the runs: levels and indexes in the
//! format's RLE form (<https://parquet.apache.org/docs/file-format/data-pages/encodings/>). To look up a
//! value that stands seven times in a row seven times was a third of what flat tables cost.

use arrow::array::{Array as _, ArrayRef};
use parquet::errors::ParquetError;

use super::dictionary::{self, Dictionary, Limit};
use super::hybrid;
use super::page_bytes::PageBytes;
use super::shape::PAGE_ROWS;
use crate::columnar::leaf_values::{Gathered, Values};

/// The rows of a column as runs of its distinct values.
#[derive(Debug)]
pub(super) struct Runs<'a> {
    /// The distinct values.
    pub(super) distinct: Values<'a>,
    /// The value of each run, none for null, and its rows.
    runs: Vec<Run>,
}

/// The index of a value, none for null, and the rows that have it.
pub(super) type Run = (Option<u32>, usize);

impl<'a> Runs<'a> {
    /// Finds the runs of a column of which each array has values, and the number of rows that have each. `None`
    /// if it has no value at all, booleans or doubles.
    ///
    /// # Errors
    /// Arrays of two types.
    pub(super) fn of(
        arrays: &'a [ArrayRef],
        rows: &[&[usize]],
    ) -> Result<Option<Runs<'a>>, ParquetError> {
        if arrays.is_empty() {
            return Ok(None);
        }
        let all: Vec<Vec<_>> =
            arrays.iter().map(|array| std::iter::once(0..array.len()).collect()).collect();
        let gathered = Gathered::of(arrays, &all)?;
        // A value looked up for each row of a session's, of which there are far fewer than of the table's.
        let found = dictionary::of(&gathered.values, Limit::None);
        // Of doubles it would have to be counted how many are no number.
        let found = found.filter(|found| !matches!(found.distinct, Values::Doubles(_)));
        let Some(Dictionary { distinct, indexes }) = found else { return Ok(None) };
        let mut indexes = indexes.into_iter();
        let mut runs: Vec<Run> = Vec::new();
        for (array, rows) in arrays.iter().zip(rows) {
            let nulls = array.nulls();
            for (at, rows) in rows.iter().enumerate().take(array.len()) {
                let is_valid = nulls.is_none_or(|nulls| nulls.is_valid(at));
                let value = if is_valid { indexes.next() } else { None };
                match runs.last_mut() {
                    Some((before, count)) if *before == value => *count += rows,
                    _ => runs.push((value, *rows)),
                }
            }
        }
        Ok(Some(Runs { distinct, runs }))
    }

    /// Returns about how many bytes the values of all rows would have in plain pages, with levels.
    pub(super) fn plain_bytes(&self) -> usize {
        let of = |index: u32| match &self.distinct {
            Values::Texts(texts) => texts.get(index as usize).map_or(0, |text| 4 + text.len()),
            _ => size_of::<i64>(),
        };
        let bytes = |(value, rows): &Run| value.map_or(0, of) * rows + rows / 4;
        self.runs.iter().map(bytes).sum()
    }

    /// Returns the runs of each page.
    pub(super) fn pages(&self) -> Vec<Vec<Run>> {
        let mut pages = Vec::new();
        let (mut page, mut rows) = (Vec::new(), 0);
        for (value, of_run) in &self.runs {
            let mut left = *of_run;
            while left > 0 {
                let some = left.min(PAGE_ROWS - rows);
                page.push((*value, some));
                (rows, left) = (rows + some, left - some);
                if rows == PAGE_ROWS {
                    pages.push(std::mem::take(&mut page));
                    rows = 0;
                }
            }
        }
        if rows > 0 {
            pages.push(page);
        }
        pages
    }

    /// Returns the bytes of a data page: levels, if the column may be null, and indexes.
    pub(super) fn data(&self, page: &[Run], has_levels: bool) -> PageBytes {
        let width = hybrid::width(self.distinct.len());
        let mut page_bytes = PageBytes::default();
        let bytes = page_bytes.out();
        if has_levels {
            let mut levels = Vec::new();
            let valid = page.iter().map(|(value, rows)| (u32::from(value.is_some()), *rows));
            hybrid::runs(&mut levels, valid, 1);
            bytes.extend((levels.len() as u32).to_le_bytes());
            bytes.extend(levels);
            page_bytes.cut();
        }
        let bytes = page_bytes.out();
        bytes.push(width as u8);
        let indexes = page.iter().filter_map(|(value, rows)| Some(((*value)?, *rows)));
        hybrid::runs(bytes, indexes, width);
        page_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;
    use crate::columnar::builders;

    fn texts(texts: Vec<Option<&str>>) -> ArrayRef {
        Arc::new(StringArray::from(texts))
    }

    #[test]
    fn runs_go_on_from_array_to_array_and_nulls_are_runs_too() {
        let arrays = [
            texts(vec![Some("a"), None, Some("b")]),
            texts(vec![Some("b"), Some("b"), Some("a"), None]),
        ];
        let runs = Runs::of(&arrays, &[&[2, 2, 1], &[1, 1, 2, 1]]).unwrap().unwrap();
        assert_eq!(runs.distinct, Values::Texts(vec![b"b", b"a"]));
        assert_eq!(runs.runs, [(Some(1), 2), (None, 2), (Some(0), 3), (Some(1), 2), (None, 1)]);
        let levels = [4, 1, 4, 0, 10, 1, 2, 0];
        let indexes = [1, 4, 1, 6, 0, 4, 1];
        let bytes = [[8, 0, 0, 0].as_slice(), &levels, &indexes].concat();
        assert_eq!(runs.data(&runs.pages()[0], true).all(), bytes);
    }

    #[test]
    fn pages_have_a_bounded_number_of_rows_and_indexes_as_many_bytes_as_they_need() {
        let all: Vec<String> = (0..300).map(|n| format!("{n}")).collect();
        let arrays: [ArrayRef; 1] = [Arc::new(StringArray::from(all))];
        let runs = Runs::of(&arrays, &[&[150; 300]]).unwrap().unwrap();
        let pages = runs.pages();
        let rows = |page: &Vec<Run>| page.iter().map(|(_, rows)| rows).sum::<usize>();
        assert_eq!(pages.iter().map(rows).collect::<Vec<_>>(), [PAGE_ROWS, PAGE_ROWS, 5_000]);
        // All rows are valid: 20,000 of them; then nine bits, and the first run.
        let start = [4, 0, 0, 0, 0xc0, 0xb8, 2, 1, 9, 0xac, 2, 0, 0];
        assert_eq!(runs.data(&pages[0], true).all()[..start.len()], start);
    }

    #[test]
    fn columns_without_values_have_no_runs() {
        assert!(Runs::of(&[texts(vec![None; 9])], &[&[1; 9]]).unwrap().is_none());
        assert!(Runs::of(&[], &[]).unwrap().is_none());
        let times = [builders::timestamps(vec![7, 7, 9])];
        let runs = Runs::of(&times, &[&[1, 2, 3]]).unwrap().unwrap();
        assert_eq!(runs.distinct, Values::Integers(vec![7, 9]));
        assert_eq!(runs.runs, [(Some(0), 3), (Some(1), 3)]);
    }
}
