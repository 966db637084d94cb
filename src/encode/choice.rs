//! The encoding of a column's values: by what the values are, not by their type.
//!
//! Values of which most occur again have a dictionary. For the others, and where it is close, the first
//! values are encoded and compressed in each way that readers take, and the smallest wins. What was chosen is
//! remembered for the next row groups of the column: with a thousand small files trials would cost more than
//! they gain.
//!
//! Zstandard looks for shorter matches in few bytes (at its first level from 5 bytes on below 16 KiB, from 6 above,
//! from 7 above 256 KiB), so that plain integers are smaller in a trial than in pages. They are chosen only if they
//! are smaller in a longer trial as well.

use std::sync::atomic::{AtomicU32, Ordering};

use parquet::basic::Encoding;
use parquet::errors::ParquetError;

use super::dictionary::{self, Dictionary, Limit};
use super::page_bytes::PageBytes;
use super::{Compression, Encodings, hybrid, plain};
use crate::columnar::leaf_values::Values;

/// Values that are encoded to try an encoding.
const SAMPLE: usize = 2048;
/// Values from which on trials are made: of fewer, nothing is worth it.
const TRIED: usize = 256;
/// Row groups for which a choice is remembered.
const REMEMBERED: u32 = 32;

/// The form in which the values of a column chunk are written.
#[derive(Debug)]
pub(super) enum Chosen<'a> {
    /// A dictionary, and indexes.
    Dictionary(Dictionary<'a>),
    /// One value after the other.
    Each(Encoding),
}

/// The last choice for a column, and for how many row groups it still counts. Threads that encode the same
/// column at once may lose one another's: it is an advice.
#[derive(Debug, Default)]
pub(super) struct Memory(AtomicU32);

impl Memory {
    fn recall(&self) -> Option<Encoding> {
        let kept = self.0.load(Ordering::Relaxed);
        let (left, code) = (kept >> 8, kept & 0xff);
        if left == 0 {
            return None;
        }
        self.0.store((left - 1) << 8 | code, Ordering::Relaxed);
        ENCODINGS.get(code as usize).copied()
    }

    pub(super) fn keep(&self, encoding: Encoding) {
        let code = ENCODINGS.iter().position(|known| *known == encoding).unwrap_or(0);
        self.0.store(REMEMBERED << 8 | code as u32, Ordering::Relaxed);
    }
}

/// Encodings that are chosen from.
pub(super) const ENCODINGS: [Encoding; 6] = [
    Encoding::PLAIN,
    Encoding::RLE_DICTIONARY,
    Encoding::DELTA_BINARY_PACKED,
    Encoding::DELTA_LENGTH_BYTE_ARRAY,
    Encoding::DELTA_BYTE_ARRAY,
    Encoding::BYTE_STREAM_SPLIT,
];

/// Chooses how to write `values`, which are some, for readers that take `known` encodings.
///
/// # Errors
/// The codec's, in a trial.
pub(super) fn choose<'a>(
    values: &Values<'a>,
    codec: Compression,
    known: Encodings,
    memory: &Memory,
) -> Result<Chosen<'a>, ParquetError> {
    let remembered = memory.recall().filter(|_| values.len() >= TRIED / 4);
    let found = match remembered {
        None | Some(Encoding::RLE_DICTIONARY) => dictionary::of(values, Limit::WhereItPays),
        Some(_) => None,
    };
    let chosen = match found {
        Some(found) if pays(&found, values, codec, remembered.is_some())? => {
            Chosen::Dictionary(found)
        }
        _ => Chosen::Each(each(values, codec, known, remembered)?),
    };
    let encoding = match &chosen {
        Chosen::Each(encoding) => *encoding,
        Chosen::Dictionary(_) => Encoding::RLE_DICTIONARY,
    };
    if values.len() >= TRIED && remembered != Some(encoding) {
        memory.keep(encoding);
    }
    Ok(chosen)
}

/// Returns whether a dictionary is smaller than the values one by one.
fn pays(
    Dictionary { distinct, indexes }: &Dictionary<'_>,
    values: &Values<'_>,
    codec: Compression,
    is_remembered: bool,
) -> Result<bool, ParquetError> {
    let dictionary = distinct.plain_bytes();
    let width = hybrid::width(distinct.len());
    let all = dictionary + indexes.len() * width as usize / 8;
    let plain_bytes = values.plain_bytes();
    if all * 3 <= plain_bytes || is_remembered || indexes.len() < TRIED {
        return Ok(all < plain_bytes);
    }
    let packed = |sample: &PageBytes, all: usize| -> Result<usize, ParquetError> {
        let packed = codec.compressed(sample, <[u8]>::len)?.min(sample.len());
        Ok(all * packed / sample.len().max(1))
    };
    let (mut sample, _) = first(distinct, Encoding::PLAIN);
    let of_dictionary = packed(&sample, dictionary)?;
    sample.clear();
    let some = indexes.get(..SAMPLE).unwrap_or(indexes);
    hybrid::numbers(sample.out(), some, width);
    let of_indexes = packed(&sample, sample.len() * indexes.len() / some.len().max(1))?;
    let (sample, all) = first(values, Encoding::PLAIN);
    // Readers are faster by a dictionary.
    Ok((of_dictionary + of_indexes) * 100 <= packed(&sample, all)? * 103)
}

/// Returns the first values in an encoding, and about how many bytes all have.
fn first(values: &Values<'_>, encoding: Encoding) -> (PageBytes, usize) {
    let bytes = sample(values, &[0], encoding);
    let all = bytes.len() * values.len() / values.len().clamp(1, SAMPLE);
    (bytes, all)
}

/// Returns [`SAMPLE`] values from each of `starts` on in an encoding, fewer at the end.
fn sample(values: &Values<'_>, starts: &[usize], encoding: Encoding) -> PageBytes {
    let mut bytes = PageBytes::default();
    for start in starts {
        let end = values.len().min(start + SAMPLE);
        plain::values(&mut bytes, values, *start..end, encoding);
    }
    bytes
}

/// Returns the encodings to choose from, the preferred one first.
fn candidates(values: &Values<'_>, known: Encodings) -> &'static [Encoding] {
    match (values, known) {
        (_, Encodings::Plain)
        | (Values::Booleans(_), _)
        | (Values::Doubles(_), Encodings::Delta) => &[Encoding::PLAIN],
        (Values::Doubles(_), Encodings::Split) => &[Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT],
        (Values::Texts(_), _) => {
            &[Encoding::PLAIN, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY]
        }
        (Values::Integers(_), Encodings::Delta) => {
            &[Encoding::DELTA_BINARY_PACKED, Encoding::PLAIN]
        }
        (Values::Integers(_), Encodings::Split) => {
            &[Encoding::DELTA_BINARY_PACKED, Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT]
        }
    }
}

/// Returns the encoding by which values without a dictionary are smallest.
fn each(
    values: &Values<'_>,
    codec: Compression,
    known: Encodings,
    remembered: Option<Encoding>,
) -> Result<Encoding, ParquetError> {
    let candidates = candidates(values, known);
    if let Some(encoding) = remembered.filter(|encoding| candidates.contains(encoding)) {
        return Ok(encoding);
    }
    let Some((preferred, others)) = candidates.split_first() else { return Ok(Encoding::PLAIN) };
    if others.is_empty() || values.len() < TRIED / 4 {
        return Ok(*preferred);
    }
    let tried = |starts: &[usize]| -> Result<Encoding, ParquetError> {
        let mut sizes = Vec::with_capacity(candidates.len());
        for encoding in candidates {
            let bytes = sample(values, starts, *encoding);
            sizes.push(codec.compressed(&bytes, <[u8]>::len)?.min(bytes.len()));
        }
        Ok(smallest(candidates, &sizes).unwrap_or(*preferred))
    };
    let found = tried(&[0])?;
    match values {
        Values::Integers(_) if found != *preferred && values.len() > 3 * SAMPLE => {
            tried(&[0, (values.len() - SAMPLE) / 2, values.len() - SAMPLE])
        }
        _ => Ok(found),
    }
}

/// Returns the encoding of the least size. One that is hardly smaller than those before it is not worth what it
/// costs to read.
fn smallest(candidates: &[Encoding], sizes: &[usize]) -> Option<Encoding> {
    let mut all = candidates.iter().zip(sizes);
    let mut best = all.next()?;
    for one in all {
        if *one.1 * 100 < *best.1 * 97 {
            best = one;
        }
    }
    Some(*best.0)
}
