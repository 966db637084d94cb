//! A text column whose values stand in runs, as those that a flat table repeats of the session.
//!
//! The library's writer hashes each value and compares it with the bounds; with a value that stands seven
//! times in a row, that is done seven times, and was a third of what flat tables cost. Here a value is
//! compared with the one before it alone, and looked up once a run. The library writes the distinct values
//! as a column (their dictionary, bounds and Bloom filter are the column's), and the data pages are made
//! of the runs: levels and indexes in the format's RLE form
//! (<https://parquet.apache.org/docs/file-format/data-pages/encodings/>).

use std::collections::HashMap;

use arrow::array::ArrayRef;

use crate::columnar::values::strings;

/// Rows of a data page.
const PAGE_ROWS: usize = 20_000;
/// Most bytes of distinct values: the library gives a dictionary up at a megabyte.
const DISTINCT_BYTES: usize = 256 << 10;
/// Rows that a run has at least, on average.
const RUN_ROWS: usize = 2;

/// A column of text: its distinct values, and its rows as runs of them.
#[derive(Debug, Default)]
pub(super) struct Runs<'a> {
    /// The distinct values, in the order in which they occur first.
    pub(super) values: Vec<&'a str>,
    /// The value of each run, none for null, and its rows.
    runs: Vec<(Option<u32>, usize)>,
    pub(super) rows: usize,
    pub(super) nulls: usize,
    /// Bytes of the values of all rows.
    pub(super) text_bytes: usize,
    /// Bytes of the distinct values.
    pub(super) distinct_bytes: usize,
}

/// A data page before it is compressed: its levels and indexes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunPage {
    pub(super) rows: usize,
    pub(super) nulls: usize,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Runs<'a> {
    /// Finds the runs of a column; `None` if there are too many, or too many values, or no value at all.
    pub(super) fn of(arrays: &'a [ArrayRef]) -> Option<Runs<'a>> {
        let all: usize = arrays.iter().map(|array| array.len()).sum();
        let mut found = Runs::default();
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut last: Option<Option<&str>> = None;
        for array in arrays {
            for value in strings(array)?.iter() {
                found.text_bytes += value.map_or(0, str::len);
                found.nulls += usize::from(value.is_none());
                if last == Some(value) {
                    if let Some((_, rows)) = found.runs.last_mut() {
                        *rows += 1;
                    }
                    continue;
                }
                last = Some(value);
                let number = value.map(|value| {
                    *numbers.entry(value).or_insert_with(|| {
                        found.values.push(value);
                        found.distinct_bytes += value.len();
                        found.values.len() as u32 - 1
                    })
                });
                found.runs.push((number, 1));
                if found.runs.len() * RUN_ROWS > all || found.distinct_bytes > DISTINCT_BYTES {
                    return None;
                }
            }
        }
        found.rows = all;
        (!found.values.is_empty()).then_some(found)
    }

    /// Makes the data pages.
    pub(super) fn pages(&self) -> Vec<RunPage> {
        let most = self.values.len().saturating_sub(1) as u32;
        // A width of none is allowed, and readers differ on it.
        let width = (u32::BITS - most.leading_zeros()).max(1);
        let mut pages = Vec::new();
        let (mut page, mut rows) = (Vec::new(), 0);
        for (value, of_run) in &self.runs {
            let mut left = *of_run;
            while left > 0 {
                let some = left.min(PAGE_ROWS - rows);
                page.push((*value, some));
                (rows, left) = (rows + some, left - some);
                if rows == PAGE_ROWS {
                    pages.push(RunPage::of(&page, width));
                    (page, rows) = (Vec::new(), 0);
                }
            }
        }
        if rows > 0 {
            pages.push(RunPage::of(&page, width));
        }
        pages
    }
}

impl RunPage {
    fn of(runs: &[(Option<u32>, usize)], width: u32) -> RunPage {
        let nulls = runs.iter().filter(|(value, _)| value.is_none()).map(|(_, rows)| rows).sum();
        let rows = runs.iter().map(|(_, rows)| rows).sum();
        RunPage { rows, nulls, bytes: data(runs, width) }
    }
}

/// Returns the bytes of a data page: the length of the levels, the levels, the width of indexes, these.
fn data(runs: &[(Option<u32>, usize)], width: u32) -> Vec<u8> {
    let mut levels = Vec::new();
    write(&mut levels, runs.iter().map(|(value, rows)| (u32::from(value.is_some()), *rows)), 1);
    let mut bytes = (levels.len() as u32).to_le_bytes().to_vec();
    bytes.extend(levels);
    bytes.push(width as u8);
    write(&mut bytes, runs.iter().filter_map(|(value, rows)| Some(((*value)?, *rows))), width);
    bytes
}

/// Writes numbers of so many bits, each repeated, as RLE runs. Equal ones that meet are one run.
fn write(out: &mut Vec<u8>, runs: impl Iterator<Item = (u32, usize)>, width: u32) {
    let mut write = |number: u32, rows: usize| {
        let mut header = (rows as u64) << 1;
        while header > 0x7f {
            out.push(header as u8 | 0x80);
            header >>= 7;
        }
        out.push(header as u8);
        let bytes = number.to_le_bytes();
        out.extend(bytes.iter().take(width.div_ceil(8) as usize));
    };
    let mut open: Option<(u32, usize)> = None;
    for (number, rows) in runs {
        open = match open {
            Some((before, count)) if before == number => Some((before, count + rows)),
            Some((before, count)) => {
                write(before, count);
                Some((number, rows))
            }
            None => Some((number, rows)),
        };
    }
    if let Some((number, rows)) = open {
        write(number, rows);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn runs_go_on_from_array_to_array_and_nulls_are_runs_too() {
        let arrays: [ArrayRef; 2] = [
            Arc::new(StringArray::from(vec![Some("a"), Some("a"), None, None, Some("b")])),
            Arc::new(StringArray::from(vec![Some("b"), Some("b"), Some("a"), Some("a"), None])),
        ];
        let runs = Runs::of(&arrays).unwrap();
        assert_eq!(runs.values, ["a", "b"]);
        assert_eq!(runs.runs, [(Some(0), 2), (None, 2), (Some(1), 3), (Some(0), 2), (None, 1)]);
        assert_eq!((runs.rows, runs.nulls, runs.text_bytes, runs.distinct_bytes), (10, 3, 7, 2));
        let levels = [4, 1, 4, 0, 10, 1, 2, 0];
        let indexes = [1, 4, 0, 6, 1, 4, 0];
        let bytes = [[8, 0, 0, 0].as_slice(), &levels, &indexes].concat();
        assert_eq!(runs.pages(), [RunPage { rows: 10, nulls: 3, bytes }]);
    }

    #[test]
    fn pages_have_a_bounded_number_of_rows_and_indexes_as_many_bytes_as_they_need() {
        let texts: Vec<String> =
            (0..300).flat_map(|n| std::iter::repeat_n(format!("{n}"), 150)).collect();
        let arrays: [ArrayRef; 1] = [Arc::new(StringArray::from(texts))];
        let pages = Runs::of(&arrays).unwrap().pages();
        let rows: Vec<usize> = pages.iter().map(|page| page.rows).collect();
        assert_eq!(rows, [PAGE_ROWS, PAGE_ROWS, 5_000]);
        // All rows are valid: 20,000 of them; then nine bits, and the first run.
        let start = [4, 0, 0, 0, 0xc0, 0xb8, 2, 1, 9, 0xac, 2, 0, 0];
        assert_eq!(pages[0].bytes[..start.len()], start);
    }

    #[test]
    fn columns_without_runs_or_values_are_left_to_the_library() {
        let of = |texts: Vec<Option<&str>>| {
            let arrays: [ArrayRef; 1] = [Arc::new(StringArray::from(texts))];
            Runs::of(&arrays).is_some()
        };
        assert!(!of(vec![None; 9]) && !of(vec![]) && !of(vec![Some("a"), Some("b"), Some("c")]));
        assert!(of(vec![Some("a"); 9]));
        let long = "l".repeat(DISTINCT_BYTES + 1);
        assert!(!of(vec![Some(&long); 9]));
    }
}
