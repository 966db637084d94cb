//! Values as they stand most often, straight into their columns.
//!
//! What is decided here is what [`Parser::value`](super::parser::Parser::value) and its callers decide,
//! with fewer questions: the column has nothing in the row yet, the value follows its colon at once, is
//! short, and of the column's type. Whatever else it is, it is left to them.

use std::ops::RangeInclusive;

use super::number;
use super::plan::Column;
use super::scan;

#[cfg(test)]
thread_local! {
    /// True while nothing is decided here, nor by the guesses of names: the tests compare.
    pub(super) static OFF: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Reads the value at `at` into row `row` of `column`, or passes over a null; returns the position after
/// it. `None` decides nothing: the column has no more than the nulls of earlier rows added to it.
/// `may_descend` says whether a list may be here.
#[inline(always)]
pub(super) fn value(
    src: &[u8],
    times_ms: &RangeInclusive<i64>,
    may_descend: bool,
    column: &mut Column,
    row: usize,
    at: usize,
) -> Option<usize> {
    #[cfg(test)]
    if OFF.get() {
        return None;
    }
    match column {
        Column::Long(plain) if plain.len() <= row => {
            let Some((value, end)) = number::short_long(src, at) else { return null(src, at) };
            plain.push(row, value);
            Some(end)
        }
        Column::String(strings) if strings.len() <= row => {
            if *src.get(at)? != b'"' {
                return null(src, at);
            }
            strings.open(row);
            let end = scan::copy_plain(src, at + 1, &mut strings.bytes);
            if src.get(end) == Some(&b'"') && strings.close().is_ok() {
                return Some(end + 1);
            }
            strings.discard_open();
            None
        }
        Column::Timestamp(plain) if plain.len() <= row => {
            let Some((value, end)) = number::short_long(src, at) else { return null(src, at) };
            if !times_ms.contains(&value) {
                return None;
            }
            plain.push(row, value * 1000);
            Some(end)
        }
        Column::Double(plain) if plain.len() <= row => {
            let Some((value, end)) = number::short_double(src, at) else { return null(src, at) };
            plain.push(row, value);
            Some(end)
        }
        Column::Boolean(plain) if plain.len() <= row => {
            let text = src.get(at..)?.first_chunk::<5>()?;
            let (value, len) = match text {
                b"false" => (false, 5),
                [b't', b'r', b'u', b'e', _] => (true, 4),
                [b'n', b'u', b'l', b'l', _] => return Some(at + 4),
                _ => return None,
            };
            plain.push(row, value);
            Some(at + len)
        }
        Column::List(lists) if lists.len() <= row => {
            if src.get(at..)?.first_chunk() != Some(b"[]") || !may_descend {
                return null(src, at);
            }
            lists.open(row);
            lists.close().ok().map(|()| at + 2)
        }
        _ => None,
    }
}

#[inline]
fn null(src: &[u8], at: usize) -> Option<usize> {
    (src.get(at..)?.first_chunk() == Some(b"null")).then(|| at + 4)
}
