//! Values one after the other: as plain pages have them, or by an encoding that needs no dictionary.

use std::ops::Range;

use parquet::basic::Encoding;

use super::delta;
use crate::columnar::leaf_values::Values;

/// Writes a range of the values in an encoding. One that the type does not have is plain.
pub(super) fn values(out: &mut Vec<u8>, of: &Values<'_>, range: Range<usize>, encoding: Encoding) {
    match of {
        Values::Texts(all) => {
            let some = all.get(range).unwrap_or_default();
            match encoding {
                Encoding::DELTA_LENGTH_BYTE_ARRAY => {
                    delta::lengths_and_bytes(out, some.iter().copied())
                }
                Encoding::DELTA_BYTE_ARRAY => delta::shared_beginnings(out, some),
                _ => texts(out, some.iter().copied()),
            }
        }
        Values::Integers(all) => {
            let some = all.get(range).unwrap_or_default();
            match encoding {
                Encoding::DELTA_BINARY_PACKED => delta::integers(out, some.iter().copied()),
                _ => {
                    out.reserve(some.len() * size_of::<i64>());
                    some.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
                }
            }
        }
        Values::Doubles(all) => bits(out, all.get(range).unwrap_or_default().iter()),
        Values::Booleans(all) => {
            for eight in all.get(range).unwrap_or_default().chunks(8) {
                out.push(eight.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
            }
        }
    }
}

/// Writes texts as plain pages have them: the length of each and its bytes.
pub(super) fn texts<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a [u8]>) {
    for text in texts {
        // A page of 2 GiB is refused: lengths fit.
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text);
    }
}

/// Writes numbers of 64 bits as plain pages have them.
pub(super) fn bits<'a>(out: &mut Vec<u8>, bits: impl ExactSizeIterator<Item = &'a u64>) {
    out.reserve(bits.len() * size_of::<u64>());
    bits.for_each(|bits| out.extend_from_slice(&bits.to_le_bytes()));
}
