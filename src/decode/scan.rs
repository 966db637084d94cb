//! Scanning sixteen bytes at a time.
//!
//! The only module of the decoder with `unsafe`, and that only for loads out of arrays of the
//! right size, and stores of as much into room that was reserved. On x86_64 it uses SSE2, which every
//! such machine has; elsewhere, whole words.
#![allow(unsafe_code)]

use std::ops::Range;

/// The number of bytes scanned in one step.
const WIDTH: usize = 16;

/// The number of bytes copied in one step.
const COPIED: usize = 32;

/// Appends bytes of `src` from `from` on to `out`, up to the first byte that a JSON string cannot
/// hold as it is: a quote, a backslash or a control character. Returns the position of that byte,
/// or `src.len()` when there is none.
#[inline(always)]
pub(super) fn copy_plain(src: &[u8], from: usize, out: &mut Vec<u8>) -> usize {
    let Some(chunk) = src.get(from..).and_then(<[u8]>::first_chunk) else {
        return copy_rest(src, from, out);
    };
    let plain = append_plain(chunk, out);
    if plain < COPIED { from + plain } else { copy_long(src, from + COPIED, out) }
}

/// Goes on as [`copy_plain`] begins.
#[inline(never)]
fn copy_long(src: &[u8], from: usize, out: &mut Vec<u8>) -> usize {
    let mut at = from;
    while let Some(chunk) = src.get(at..).and_then(<[u8]>::first_chunk) {
        let plain = append_plain(chunk, out);
        if plain < COPIED {
            return at + plain;
        }
        at += COPIED;
    }
    copy_rest(src, at, out)
}

/// Copies what is too short for one step.
#[cold]
#[inline(never)]
fn copy_rest(src: &[u8], from: usize, out: &mut Vec<u8>) -> usize {
    let rest = src.get(from..).unwrap_or_default();
    let plain = rest.iter().position(|b| is_special(*b)).unwrap_or(rest.len());
    out.extend_from_slice(&rest[..plain]);
    from + plain
}

/// Appends the bytes of `chunk` before the first special one to `out`; returns their number.
#[inline(always)]
fn append_plain(chunk: &[u8; COPIED], out: &mut Vec<u8>) -> usize {
    let (low, high) = wide::halves(chunk);
    let specials = wide::specials(low) | wide::specials(high) << WIDTH;
    let plain = (u64::from(specials) | 1 << COPIED).trailing_zeros() as usize;
    append(chunk, plain, out);
    plain
}

/// Returns whether one of the bytes of `src` in `range` is `a` or `b`.
#[inline]
pub(super) fn holds(src: &[u8], range: Range<usize>, a: u8, b: u8) -> bool {
    match src.get(range.start..).and_then(<[u8]>::first_chunk) {
        Some(chunk) if (1..=COPIED).contains(&range.len()) => {
            let found = wide::equal(chunk, &[a; COPIED]) | wide::equal(chunk, &[b; COPIED]);
            found & (u32::MAX >> (COPIED - range.len())) != 0
        }
        _ => memchr::memchr2(a, b, src.get(range).unwrap_or_default()).is_some(),
    }
}

/// Appends the bytes of `src` in `range` to `out`.
#[inline]
pub(super) fn append_text(src: &[u8], range: Range<usize>, out: &mut Vec<u8>) {
    let mut at = range.start;
    // A call for a few bytes takes longer than to copy more of them.
    while range.len() <= 2 * COPIED && at < range.end {
        let Some(chunk) = src.get(at..).and_then(<[u8]>::first_chunk) else { break };
        append(chunk, range.end - at, out);
        at += COPIED;
    }
    if at < range.end {
        out.extend_from_slice(src.get(at..range.end).unwrap_or_default());
    }
}

/// Appends the first `len` bytes of `chunk` to `out`: all are copied, since that takes no loop, and those
/// beyond are not counted.
#[inline(always)]
pub(super) fn append(chunk: &[u8; COPIED], len: usize, out: &mut Vec<u8>) {
    let len = len.min(COPIED);
    out.reserve(COPIED);
    // SAFETY: there is room for all of the chunk behind the bytes of the vector, which is no part of the
    // chunk, and the bytes that are counted were written.
    unsafe {
        out.as_mut_ptr().add(out.len()).cast::<[u8; COPIED]>().write_unaligned(*chunk);
        out.set_len(out.len() + len);
    }
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
        // Bit 16 stops the count where none is special.
        (specials(chunk) | 1 << 16).trailing_zeros() as usize
    }

    /// Returns a set bit for each special byte of `chunk`.
    #[inline]
    pub(super) fn specials(chunk: &[u8; 16]) -> u32 {
        let bytes = load(chunk);
        // SAFETY: SSE2 is part of x86_64.
        let special = unsafe {
            let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
            let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
            let last_control = _mm_set1_epi8(0x1f);
            let control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
            _mm_or_si128(_mm_or_si128(quote, slash), control)
        };
        bits(special)
    }

    /// Returns a set bit for each byte of `a` that equals that of `b`.
    #[inline]
    pub(super) fn equal(a: &[u8; 32], b: &[u8; 32]) -> u32 {
        let ((a_low, a_high), (b_low, b_high)) = (halves(a), halves(b));
        // SAFETY: SSE2 is part of x86_64.
        let (low, high) = unsafe {
            (_mm_cmpeq_epi8(load(a_low), load(b_low)), _mm_cmpeq_epi8(load(a_high), load(b_high)))
        };
        bits(low) | bits(high) << 16
    }

    #[inline]
    pub(super) fn halves(bytes: &[u8; 32]) -> (&[u8; 16], &[u8; 16]) {
        // SAFETY: both halves lie within the array, and bytes have no alignment.
        unsafe { (&*bytes.as_ptr().cast(), &*bytes.as_ptr().add(16).cast()) }
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

    fn specials_in(word: u64) -> u64 {
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let slash = below(word ^ (ONES * u64::from(b'\\')), 1);
        below(word, 0x20) | quote | slash
    }

    pub(super) fn plain(chunk: &[u8; 16]) -> usize {
        let mut words = [0u64; 2];
        for (word, bytes) in words.iter_mut().zip(chunk.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        match (specials_in(words[0]), specials_in(words[1])) {
            (0, 0) => 16,
            (0, high) => 8 + (high.trailing_zeros() / 8) as usize,
            (low, _) => (low.trailing_zeros() / 8) as usize,
        }
    }

    pub(super) fn specials(chunk: &[u8; 16]) -> u32 {
        let all = chunk.iter().rev();
        all.fold(0, |bits, byte| bits << 1 | u32::from(super::is_special(*byte)))
    }

    pub(super) fn halves(bytes: &[u8; 32]) -> (&[u8; 16], &[u8; 16]) {
        let none = &[0; 16];
        (bytes.first_chunk().unwrap_or(none), bytes.last_chunk().unwrap_or(none))
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
    fn as_much_is_appended_as_is_counted() {
        let chunk: [u8; COPIED] = std::array::from_fn(|i| i as u8);
        for len in 0..=COPIED + 1 {
            let mut out = b"before".to_vec();
            append(&chunk, len, &mut out);
            append(&chunk, 1, &mut out);
            assert_eq!(out, [b"before", &chunk[..len.min(COPIED)], &chunk[..1]].concat());
        }
    }

    #[test]
    fn text_of_any_length_is_appended_from_any_place() {
        let src: Vec<u8> = (0..120).collect();
        for start in 0..src.len() {
            for end in start..src.len() {
                let mut out = b"before".to_vec();
                append_text(&src, start..end, &mut out);
                assert_eq!(out, [b"before", &src[start..end]].concat());
            }
        }
    }

    #[test]
    fn one_of_two_bytes_is_found_within_a_range_and_not_beyond() {
        for at in 0..90 {
            let mut src = [b'x'; 90];
            src[at] = if at % 2 == 0 { b'~' } else { b'/' };
            for start in 0..src.len() {
                for end in start..src.len() {
                    let expected = (start..end).contains(&at);
                    assert_eq!(holds(&src, start..end, b'~', b'/'), expected, "{at} {start} {end}");
                }
            }
        }
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
                    assert_eq!(words::specials(&chunk), wide::specials(&chunk), "{chunk:?}");
                }
            }
        }
        let a: [u8; 32] = std::array::from_fn(|i| i as u8);
        assert_eq!(words::halves(&a), wide::halves(&a));
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
