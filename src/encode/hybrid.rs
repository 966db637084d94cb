//! Levels and indexes of a data page in the format's hybrid of runs and packed bits
//! (<https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE>).

use arrow::buffer::BooleanBuffer;

use crate::varint;

/// Equal numbers from which on they are written as a run.
const RUN: usize = 16;
/// Most numbers in one packed part: its header is a byte then, which every reader knows.
const PACKED: usize = 63 * 8;

/// Writes numbers of so many bits, each repeated, as runs. Equal ones that meet are one run.
pub(super) fn runs(out: &mut Vec<u8>, runs: impl Iterator<Item = (u32, usize)>, width: u32) {
    let mut open: Option<(u32, usize)> = None;
    for (number, rows) in runs {
        open = match open {
            Some((before, count)) if before == number => Some((before, count + rows)),
            Some((before, count)) => {
                run(out, before, count, width);
                Some((number, rows))
            }
            None => Some((number, rows)),
        };
    }
    if let Some((number, rows)) = open {
        run(out, number, rows, width);
    }
}

/// Writes numbers of so many bits: those that stand in runs as runs, the others packed.
pub(super) fn numbers(out: &mut Vec<u8>, numbers: &[u32], width: u32) {
    let (mut packed, mut at) = (0, 0);
    while let Some(first) = numbers.get(at) {
        let rest = numbers.get(at..).unwrap_or_default();
        let equal = rest.iter().take_while(|number| *number == first).count();
        if equal >= RUN {
            pack(out, numbers.get(packed..at).unwrap_or_default(), width);
            run(out, *first, equal, width);
            at += equal;
            packed = at;
        } else {
            // Packed parts in the middle have a multiple of eight.
            at = (at + 8).min(numbers.len());
        }
    }
    pack(out, numbers.get(packed..).unwrap_or_default(), width);
}

/// Writes bits, as numbers of one bit.
pub(super) fn bits(out: &mut Vec<u8>, bits: &BooleanBuffer) {
    let packed = bits.sliced();
    let bytes = packed.as_slice();
    let whole = bits.len() / 8;
    let (mut from, mut at) = (0, 0);
    let flush = |out: &mut Vec<u8>, part: &[u8]| {
        for part in part.chunks(PACKED / 8) {
            out.push((part.len() as u8) << 1 | 1);
            out.extend_from_slice(part);
        }
    };
    while let Some(first) = bytes.get(at).filter(|_| at < whole) {
        let rest = bytes.get(at..whole).unwrap_or_default();
        let equal = match first {
            0 | 0xff => rest.iter().take_while(|byte| *byte == first).count(),
            _ => 0,
        };
        if equal * 8 >= RUN {
            flush(out, bytes.get(from..at).unwrap_or_default());
            run(out, u32::from(first & 1), equal * 8, 1);
            at += equal;
            from = at;
        } else {
            at += 1;
        }
    }
    // Bits behind the last one have no meaning.
    flush(out, bytes.get(from..bits.len().div_ceil(8)).unwrap_or_default());
}

/// Writes levels of so many bits (1 to 7): those that stand in runs as runs, the others packed.
pub(super) fn levels(out: &mut Vec<u8>, levels: &[u8], width: u8) {
    let (mut packed, mut at) = (0, 0);
    while let Some(first) = levels.get(at) {
        let equal = equal(levels.get(at..).unwrap_or_default(), *first);
        if equal >= RUN {
            pack_levels(out, levels.get(packed..at).unwrap_or_default(), width);
            run(out, u32::from(*first), equal, u32::from(width));
            at += equal;
            packed = at;
        } else {
            // Packed parts in the middle have a multiple of eight.
            at = (at + 8).min(levels.len());
        }
    }
    pack_levels(out, levels.get(packed..).unwrap_or_default(), width);
}

/// Returns how many levels at the beginning equal `first`.
fn equal(levels: &[u8], first: u8) -> usize {
    let (eights, rest) = levels.as_chunks::<8>();
    let all = u64::from_le_bytes([first; 8]);
    for (at, eight) in eights.iter().enumerate() {
        let differing = u64::from_le_bytes(*eight) ^ all;
        if differing != 0 {
            return at * 8 + differing.trailing_zeros() as usize / 8;
        }
    }
    eights.len() * 8 + rest.iter().take_while(|level| **level == first).count()
}

fn pack_levels(out: &mut Vec<u8>, levels: &[u8], width: u8) {
    for part in levels.chunks(PACKED) {
        let (eights, rest) = part.as_chunks::<8>();
        out.push((part.len().div_ceil(8) as u8) << 1 | 1);
        let mut pack = |eight: &[u8; 8]| {
            let packed =
                eight.iter().rev().fold(0_u64, |all, level| all << width | u64::from(*level));
            let bytes = packed.to_le_bytes();
            out.extend_from_slice(bytes.get(..usize::from(width)).unwrap_or_default());
        };
        eights.iter().for_each(&mut pack);
        if !rest.is_empty() {
            // The last group is filled up with zeros.
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, level)| *to = *level);
            pack(&last);
        }
    }
}

/// Returns a byte for each bit, 0 or 1.
pub(super) fn bytes_of_bits(bits: &BooleanBuffer) -> Vec<u8> {
    let packed = bits.sliced();
    let mut bytes = Vec::with_capacity(bits.len().next_multiple_of(8));
    for byte in packed.as_slice() {
        // Copies of the byte, of which each keeps one bit.
        let spread = (u64::from(*byte) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
        let ones = ((spread + 0x7f7f_7f7f_7f7f_7f7f) >> 7) & 0x0101_0101_0101_0101;
        bytes.extend_from_slice(&ones.to_le_bytes());
    }
    bytes.truncate(bits.len());
    bytes
}

/// Returns the bits that levels up to `most` take, none if there is but one.
pub(super) fn level_width(most: i16) -> u8 {
    (i16::BITS - most.leading_zeros()) as u8
}

/// Returns the bits that an index needs of so many values.
pub(super) fn width(values: usize) -> u32 {
    let most = values.saturating_sub(1) as u32;
    // A width of none is allowed, and readers differ on it.
    (u32::BITS - most.leading_zeros()).max(1)
}

/// Writes a run of equal numbers of so many bits.
pub(super) fn run(out: &mut Vec<u8>, number: u32, rows: usize, width: u32) {
    if rows == 0 {
        return;
    }
    varint::put(out, (rows as u64) << 1);
    let bytes = number.to_le_bytes();
    out.extend(bytes.iter().take(width.div_ceil(8) as usize));
}

fn pack(out: &mut Vec<u8>, numbers: &[u32], width: u32) {
    for part in numbers.chunks(PACKED) {
        let groups = part.len().div_ceil(8);
        out.push((groups as u8) << 1 | 1);
        let end = out.len() + groups * width as usize;
        let (mut packed, mut filled) = (0_u64, 0);
        for number in part {
            packed |= u64::from(*number) << filled;
            filled += width;
            if filled >= u32::BITS {
                out.extend_from_slice(&(packed as u32).to_le_bytes());
                packed >>= u32::BITS;
                filled -= u32::BITS;
            }
        }
        out.extend_from_slice(&packed.to_le_bytes());
        // The last group is filled up with zeros.
        out.resize(end, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads numbers as the format says.
    fn read(bytes: &[u8], width: usize, len: usize) -> Vec<u32> {
        let (mut numbers, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (mut header, mut shift) = (0_usize, 0);
            loop {
                header |= usize::from(bytes[at] & 0x7f) << shift;
                (at, shift) = (at + 1, shift + 7);
                if bytes[at - 1] < 0x80 {
                    break;
                }
            }
            if header & 1 == 0 {
                let mut number = [0; 4];
                let size = width.div_ceil(8);
                number[..size].copy_from_slice(&bytes[at..at + size]);
                at += size;
                let number = u32::from_le_bytes(number);
                numbers.extend(std::iter::repeat_n(number, header >> 1));
                continue;
            }
            let end = at + (header >> 1) * width;
            for first in (at * 8..end * 8).step_by(width) {
                let bit = |bit: usize| u32::from(bytes[bit / 8] >> (bit % 8) & 1);
                numbers.push((0..width).map(|of| bit(first + of) << of).sum());
            }
            at = end;
        }
        assert!(numbers.len() < len + 8 && numbers[len..].iter().all(|number| *number == 0));
        numbers.truncate(len);
        numbers
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for width in 1..=20_u32 {
            for len in [0, 1, 7, 8, 15, 16, 17, 503, 504, 505, 2000] {
                let most = (1_u64 << width) - 1;
                let mixed = |n: usize| (n as u64).wrapping_mul(2_654_435_761) >> 7 & most;
                for of in [|n: usize| n, |n: usize| n / 19, |n: usize| n / 40 * (n % 2), |_| 3] {
                    let all: Vec<u32> = (0..len).map(|n| mixed(of(n)) as u32).collect();
                    let mut out = Vec::new();
                    numbers(&mut out, &all, width);
                    assert_eq!(read(&out, width as usize, len), all, "{width} bits, {len} numbers");
                    if width <= 7 {
                        let mut out = Vec::new();
                        let bytes: Vec<u8> = all.iter().map(|number| *number as u8).collect();
                        levels(&mut out, &bytes, width as u8);
                        assert_eq!(
                            read(&out, width as usize, len),
                            all,
                            "{width} bits, {len} levels"
                        );
                    }
                    if width == 1 {
                        let flags: BooleanBuffer = all.iter().map(|bit| *bit == 1).collect();
                        let mut out = Vec::new();
                        bits(&mut out, &flags);
                        assert_eq!(read(&out, 1, len), all);
                        let bytes = bytes_of_bits(&flags);
                        assert!(bytes.iter().map(|bit| u32::from(*bit)).eq(all.iter().copied()));
                        if len > 9 {
                            out.clear();
                            bits(&mut out, &flags.slice(3, len - 5));
                            assert_eq!(read(&out, 1, len - 5), all[3..len - 2]);
                        }
                    }
                }
            }
        }
        assert_eq!(
            [width(0), width(1), width(2), width(3), width(256), width(257)],
            [1, 1, 1, 2, 8, 9]
        );
    }
}
