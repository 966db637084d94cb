//! The encodings by differences: `DELTA_BINARY_PACKED`, `DELTA_LENGTH_BYTE_ARRAY` and `DELTA_BYTE_ARRAY`
//! (<https://parquet.apache.org/docs/file-format/data-pages/encodings/>).
//!
//! Integers are blocks of 128 differences to the value before, less the least of the block, each quarter of a
//! block in as many bits as its greatest needs. Texts are their lengths, so encoded, and their bytes; or what
//! each shares with the one before, and the rest of it.

use super::page_bytes::PageBytes;
use crate::varint;

/// Differences in a block.
const BLOCK: usize = 128;
/// Parts of a block with a width of their own.
const PARTS: usize = 4;
/// Differences in a part.
const PART: usize = BLOCK / PARTS;

/// Writes integers as `DELTA_BINARY_PACKED`.
pub(super) fn integers(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = i64>) {
    varint::put(out, BLOCK as u64);
    varint::put(out, PARTS as u64);
    varint::put(out, values.len() as u64);
    let mut values = values.fuse();
    let mut last = values.next().unwrap_or(0);
    varint::put_signed(out, last);
    let mut block = [0_i64; BLOCK];
    loop {
        let mut count = 0;
        for (to, value) in block.iter_mut().zip(values.by_ref()) {
            // Differences wrap, in the reader as well.
            *to = value.wrapping_sub(last);
            last = value;
            count += 1;
        }
        let (of_block, rest) = block.split_at_mut(count);
        let Some(least) = of_block.iter().min().copied() else { return };
        rest.fill(least);
        varint::put_signed(out, least);
        let mut packed = [0_u64; BLOCK];
        packed
            .iter_mut()
            .zip(&block)
            .for_each(|(to, delta)| *to = delta.wrapping_sub(least) as u64);
        let (parts, _) = packed.as_chunks::<PART>();
        let width = |part: &[u64; PART]| {
            let any = part.iter().fold(0, |any, delta| any | delta);
            u64::BITS - any.leading_zeros()
        };
        out.extend(parts.iter().map(|part| width(part) as u8));
        // Parts without a difference of their own have none of the bytes: their width is 0.
        parts.iter().for_each(|part| pack(out, part, width(part)));
        if count < BLOCK {
            return;
        }
    }
}

/// Appends numbers of `width` bits each.
fn pack(out: &mut Vec<u8>, part: &[u64; PART], width: u32) {
    let (mut bits, mut filled) = (0_u128, 0);
    for number in part {
        bits |= u128::from(*number) << filled;
        filled += width;
        if filled >= u64::BITS {
            out.extend_from_slice(&(bits as u64).to_le_bytes());
            bits >>= u64::BITS;
            filled -= u64::BITS;
        }
    }
    let rest = bits.to_le_bytes();
    out.extend_from_slice(rest.get(..filled as usize / 8).unwrap_or_default());
}

/// Writes texts as `DELTA_LENGTH_BYTE_ARRAY`.
pub(super) fn lengths_and_bytes<'a>(
    page: &mut PageBytes,
    texts: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
) {
    integers(page.out(), texts.clone().map(|text| text.len() as i64));
    page.cut();
    texts.for_each(|text| page.out().extend_from_slice(text));
}

/// Writes texts as `DELTA_BYTE_ARRAY`.
pub(super) fn shared_beginnings(page: &mut PageBytes, texts: &[&[u8]]) {
    let mut last: &[u8] = &[];
    let shared: Vec<usize> = texts
        .iter()
        .map(|text| {
            let shared = shared_len(last, text);
            last = text;
            shared
        })
        .collect();
    integers(page.out(), shared.iter().map(|len| *len as i64));
    page.cut();
    let rest = |(text, shared): (&&'_ [u8], &usize)| text.len() - shared;
    integers(page.out(), texts.iter().zip(&shared).map(rest).map(|len| len as i64));
    page.cut();
    for (text, shared) in texts.iter().zip(&shared) {
        page.out().extend_from_slice(text.get(*shared..).unwrap_or_default());
    }
}

/// Returns how many bytes at the beginning of two texts are the same.
pub(super) fn shared_len(a: &[u8], b: &[u8]) -> usize {
    let (eights_of_a, _) = a.as_chunks::<8>();
    let (eights_of_b, _) = b.as_chunks::<8>();
    let same = eights_of_a.iter().zip(eights_of_b).take_while(|(a, b)| a == b).count() * 8;
    let rest = a.iter().skip(same).zip(b.iter().skip(same));
    same + rest.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_blocks_of_differences() {
        let written = |values: &[i64]| {
            let mut out = Vec::new();
            integers(&mut out, values.iter().copied());
            out
        };
        // Blocks of 128 in 4 parts; so many values; the first.
        let head = [0x80, 1, 4];
        assert_eq!(written(&[]), [head.as_slice(), &[0, 0]].concat());
        assert_eq!(written(&[-3]), [head.as_slice(), &[1, 5]].concat());
        // Differences 2 and 5: the least is 2, and what is above it takes two bits.
        let block = [4, 2, 0, 0, 0, 0b1100, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(written(&[7, 9, 14]), [head.as_slice(), &[3, 14], &block].concat());
        // A whole block, and none behind it.
        let whole = written(&(0..129).collect::<Vec<_>>());
        assert_eq!(whole, [head.as_slice(), &[0x81, 1, 0], &[2, 0, 0, 0, 0]].concat());
    }

    #[test]
    fn beginnings_are_counted_to_the_byte() {
        for (a, b, shared) in
            [("", "a", 0), ("abc", "abd", 2), ("0123456789", "0123456789x", 10), ("a", "a", 1)]
        {
            assert_eq!(shared_len(a.as_bytes(), b.as_bytes()), shared, "{a} {b}");
        }
    }
}
