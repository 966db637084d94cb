//! Values one after the other: as plain pages have them, or by an encoding that needs no dictionary.

use std::ops::Range;

use parquet::basic::Encoding;

use super::delta;
use super::page_bytes::PageBytes;
use crate::columnar::leaf_values::Values;

/// Writes a range of the values in an encoding. One that the type does not have is plain.
pub(super) fn values(
    page: &mut PageBytes,
    of: &Values<'_>,
    range: Range<usize>,
    encoding: Encoding,
) {
    match of {
        Values::Texts(all) => {
            let some = all.get(range).unwrap_or_default();
            match encoding {
                Encoding::DELTA_LENGTH_BYTE_ARRAY => {
                    delta::lengths_and_bytes(page, some.iter().copied())
                }
                Encoding::DELTA_BYTE_ARRAY => delta::shared_beginnings(page, some),
                _ => texts(page.out(), some.iter().copied()),
            }
        }
        Values::Integers(all) | Values::Doubles(all) => {
            let some = all.get(range).unwrap_or_default();
            match (of, encoding) {
                (Values::Integers(_), Encoding::DELTA_BINARY_PACKED) => {
                    delta::integers(page.out(), some.iter().copied());
                }
                (_, Encoding::BYTE_STREAM_SPLIT) => split(page, some),
                _ => integers(page.out(), some),
            }
        }
        Values::Booleans(all) => {
            for eight in all.get(range).unwrap_or_default().chunks(8) {
                page.out().push(eight.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
            }
        }
    }
}

/// Writes texts as plain pages have them: the length of each and its bytes.
fn texts<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a [u8]>) {
    for text in texts {
        // A page of 2 GiB is refused: lengths fit.
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text);
    }
}

/// Writes integers, or the bits of doubles, as plain pages have them.
fn integers(out: &mut Vec<u8>, integers: &[i64]) {
    let start = out.len();
    out.resize(start + size_of_val(integers), 0);
    let (places, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut();
    places.iter_mut().zip(integers).for_each(|(place, value)| *place = value.to_le_bytes());
}

/// Writes the first byte of each integer, or of each double's bits, then the second one of each, and so on. Each
/// of these has its own code when it is compressed.
fn split(page: &mut PageBytes, integers: &[i64]) {
    for byte in 0..size_of::<i64>() {
        let bytes = integers.iter().map(|value| (value >> (8 * byte)) as u8);
        page.out().extend(bytes);
        page.cut();
    }
}
