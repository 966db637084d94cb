//! Scanning sixteen bytes at a time.
//!
//! The only module of the decoder with `unsafe`, and that only for loads out of arrays of the
//! right size. On x86_64 it uses SSE2, which every such machine has; elsewhere, whole words.
#![allow(unsafe_code)]

/// The number of bytes scanned in one step.
const WIDTH: usize = 16;

/// Appends bytes of `src` from `from` on to `out`, up to the first byte that a JSON string cannot
/// hold as it is: a quote, a backslash or a control character. Returns the position of that byte,
/// or `src.len()` when there is none.
#[inline]
pub(super) fn copy_plain(src: &[u8], from: usize, out: &mut Vec<u8>) -> usize {
    let mut at = from;
    while let Some(chunk) = src.get(at..).and_then(<[u8]>::first_chunk::<WIDTH>) {
        let plain = wide::plain(chunk);
        out.extend_from_slice(chunk);
        if plain < WIDTH {
            out.truncate(out.len() - WIDTH + plain);
            return at + plain;
        }
        at += WIDTH;
    }
    let rest = src.get(at..).unwrap_or_default();
    let plain = rest.iter().position(|b| is_special(*b)).unwrap_or(rest.len());
    out.extend_from_slice(&rest[..plain]);
    at + plain
}

/// Returns the position of the first quote, backslash or control character of `src` from `from` on,
/// or `src.len()`.
#[inline]
pub(super) fn skip_plain(src: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = src.get(at..).and_then(<[u8]>::first_chunk::<WIDTH>) {
        let plain = wide::plain(chunk);
        if plain < WIDTH {
            return at + plain;
        }
        at += WIDTH;
    }
    let rest = src.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| is_special(*b)).unwrap_or(rest.len())
}

/// Returns whether `window` equals `pattern` in the bytes whose bits are set in `mask`.
#[inline]
pub(super) fn matches(window: &[u8; 32], pattern: &[u8; 32], mask: u32) -> bool {
    wide::equal(window, pattern) & mask == mask
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };

    #[inline]
    fn load(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: the array has the sixteen bytes that are read, and an unaligned load asks for no
        // alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline]
    fn bits(equal: __m128i) -> u32 {
        // SAFETY: SSE2 is part of x86_64.
        unsafe { _mm_movemask_epi8(equal).cast_unsigned() }
    }

    /// Returns the number of bytes of `chunk` before the first special one; 16 when none is.
    #[inline]
    pub(super) fn plain(chunk: &[u8; 16]) -> usize {
        let bytes = load(chunk);
        // SAFETY: SSE2 is part of x86_64.
        let special = unsafe {
            let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
            let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
            let last_control = _mm_set1_epi8(0x1f);
            let control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
            _mm_or_si128(_mm_or_si128(quote, slash), control)
        };
        // Bit 16 stops the count where none is special.
        (bits(special) | 1 << 16).trailing_zeros() as usize
    }

    /// Returns a set bit for each byte of `a` that equals that of `b`.
    #[inline]
    pub(super) fn equal(a: &[u8; 32], b: &[u8; 32]) -> u32 {
        let ([a_low, a_high], [b_low, b_high]) = (halves(a), halves(b));
        // SAFETY: SSE2 is part of x86_64.
        let (low, high) = unsafe {
            (_mm_cmpeq_epi8(load(a_low), load(b_low)), _mm_cmpeq_epi8(load(a_high), load(b_high)))
        };
        bits(low) | bits(high) << 16
    }

    #[inline]
    fn halves(bytes: &[u8; 32]) -> [&[u8; 16]; 2] {
        // SAFETY: both halves lie within the array, and bytes have no alignment.
        unsafe { [&*bytes.as_ptr().cast(), &*bytes.as_ptr().add(16).cast()] }
    }
}

#[cfg(not(target_arch = "x86_64"))]
use words as wide;

/// The functions of [`wide`] in whole words. They are also built where they are only tested.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    /// Returns the high bit of each byte of `word` below `limit` (at most 0x80). Bytes above the
    /// first one found may be marked wrongly.
    fn below(word: u64, limit: u64) -> u64 {
        word.wrapping_sub(ONES * limit) & !word & HIGHS
    }

    fn specials(word: u64) -> u64 {
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let slash = below(word ^ (ONES * u64::from(b'\\')), 1);
        below(word, 0x20) | quote | slash
    }

    pub(super) fn plain(chunk: &[u8; 16]) -> usize {
        let mut words = [0u64; 2];
        for (word, bytes) in words.iter_mut().zip(chunk.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        match (specials(words[0]), specials(words[1])) {
            (0, 0) => 16,
            (0, high) => 8 + (high.trailing_zeros() / 8) as usize,
            (low, _) => (low.trailing_zeros() / 8) as usize,
        }
    }

    pub(super) fn equal(a: &[u8; 32], b: &[u8; 32]) -> u32 {
        let pairs = a.iter().zip(b).rev();
        pairs.fold(0, |bits, (a, b)| bits << 1 | u32::from(a == b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_byte_is_found_at_every_place_and_no_other() {
        for len in 1..70 {
            for at in 0..len {
                for byte in 0..=255u8 {
                    let mut src = vec![b'x'; len];
                    src[at] = byte;
                    let expected = if is_special(byte) { at } else { len };
                    let mut out = b"before".to_vec();
                    assert_eq!(copy_plain(&src, 0, &mut out), expected, "{byte} at {at} of {len}");
                    assert_eq!(out, [b"before", &src[..expected]].concat());
                    assert_eq!(skip_plain(&src, 0), expected);
                }
            }
        }
        assert_eq!(skip_plain(b"abc", 7), 7, "past the end there is nothing");
    }

    #[test]
    fn words_say_the_same() {
        for byte in 0..=255u8 {
            for other in
                [b'x', 0, 0x1f, 0x20, b'!', b'"', b'#', b'[', b'\\', b']', 0x7f, 0x80, 0xff]
            {
                for at in 0..16 {
                    let mut chunk = [b'x'; 16];
                    chunk[15 - at] = other;
                    chunk[at] = byte;
                    assert_eq!(words::plain(&chunk), wide::plain(&chunk), "{chunk:?}");
                }
            }
        }
        let a: [u8; 32] = std::array::from_fn(|i| i as u8);
        for at in 0..32 {
            let mut b = a;
            b[at] ^= 0x81;
            assert_eq!(words::equal(&a, &b), !(1 << at));
            assert_eq!(words::equal(&a, &b), wide::equal(&a, &b));
        }
    }

    #[test]
    fn a_window_matches_only_where_all_masked_bytes_are_equal() {
        let window: [u8; 32] = std::array::from_fn(|i| i as u8);
        for at in 0..32 {
            let mut other = window;
            other[at] ^= 0x40;
            for len in 1..=32 {
                let mask = u32::MAX >> (32 - len);
                assert_eq!(matches(&window, &other, mask), at >= len as usize);
            }
        }
    }
}
