//! The encoding of a column's values: by what the values are, not by their type.
//!
//! Values of which most occur again have a dictionary. For the others, and where it is close, the first
//! values are encoded and compressed in each way that readers take, and the smallest wins. What was chosen is
//! remembered for the next row groups of the column: with a thousand small files trials would cost more than
//! they gain.

use std::sync::atomic::{AtomicU32, Ordering};

use parquet::basic::Encoding;
use parquet::errors::ParquetError;

use super::dictionary::{self, Dictionary, Limit};
use super::{Compression, Encodings, hybrid, plain};
use crate::columnar::leaf_values::Values;

/// Values that are encoded to try an encoding.
const SAMPLE: usize = 4096;
/// Values from which on trials are made: of fewer, nothing is worth it.
const TRIED: usize = 256;
/// Row groups for which a choice is remembered.
const REMEMBERED: u32 = 32;

/// How the values of a column chunk are written.
#[derive(Debug)]
pub(super) enum Chosen<'a> {
    /// A dictionary of texts, and indexes.
    Texts(Dictionary<&'a [u8]>),
    /// A dictionary of integers, or of the bits of doubles, and indexes.
    Numbers(Dictionary<u64>),
    /// One value after the other.
    Each(Encoding),
}

/// The last choice for a column, and for how many row groups it still counts. Threads that encode the same
/// column at once may lose one another's: it is an advice.
#[derive(Debug, Default)]
pub(super) struct Memory(AtomicU32);

impl Memory {
    fn recall(&self) -> Option<Encoding> {
        let (left, code) =
            (self.0.load(Ordering::Relaxed) >> 8, self.0.load(Ordering::Relaxed) & 0xff);
        if left == 0 {
            return None;
        }
        self.0.store((left - 1) << 8 | code, Ordering::Relaxed);
        ENCODINGS.get(code as usize).copied()
    }

    fn keep(&self, encoding: Encoding) {
        let code = ENCODINGS.iter().position(|known| *known == encoding).unwrap_or(0);
        self.0.store(REMEMBERED << 8 | code as u32, Ordering::Relaxed);
    }
}

/// Encodings that are chosen from.
const ENCODINGS: [Encoding; 5] = [
    Encoding::PLAIN,
    Encoding::RLE_DICTIONARY,
    Encoding::DELTA_BINARY_PACKED,
    Encoding::DELTA_LENGTH_BYTE_ARRAY,
    Encoding::DELTA_BYTE_ARRAY,
];

/// Returns the dictionary of values that repeat so much that nothing else is thought of; `None` if their type
/// has none.
pub(super) fn dictionary<'a>(values: &Values<'a>) -> Option<Chosen<'a>> {
    match values {
        Values::Texts(texts) => dictionary::of_texts(texts, Limit::None).map(Chosen::Texts),
        Values::Integers(all) => {
            let bits: Vec<u64> = all.iter().map(|value| *value as u64).collect();
            dictionary::of_bits(&bits, Limit::None).map(Chosen::Numbers)
        }
        Values::Doubles(bits) => dictionary::of_bits(bits, Limit::None).map(Chosen::Numbers),
        Values::Booleans(_) => None,
    }
}

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
    let chosen = match values {
        Values::Booleans(_) => return Ok(Chosen::Each(Encoding::PLAIN)),
        Values::Texts(texts) => {
            let found = match remembered {
                None | Some(Encoding::RLE_DICTIONARY) => {
                    dictionary::of_texts(texts, Limit::WhereItPays)
                }
                Some(_) => None,
            };
            let sizes = found.as_ref().map(|found| Sizes {
                dictionary: found.distinct.iter().map(|text| 4 + text.len()).sum(),
                distinct: found.distinct.len(),
            });
            let pays = sizes.map(|sizes| {
                sizes.pay(
                    values,
                    || {
                        let mut bytes = Vec::new();
                        let distinct = found.iter().flat_map(|found| &found.distinct);
                        plain::texts(&mut bytes, distinct.copied().take(SAMPLE));
                        bytes
                    },
                    found.as_ref().map_or(&[], |found| &found.indexes),
                    codec,
                    remembered.is_some(),
                )
            });
            match (found, pays.transpose()?) {
                (Some(found), Some(true)) => Chosen::Texts(found),
                _ => Chosen::Each(each(values, codec, known, remembered)?),
            }
        }
        Values::Integers(integers) => numbers(
            &|| integers.iter().map(|value| *value as u64).collect(),
            (values, codec, known, remembered),
        )?,
        Values::Doubles(bits) => numbers(&|| bits.clone(), (values, codec, known, remembered))?,
    };
    if values.len() >= TRIED && remembered.is_none() {
        memory.keep(match &chosen {
            Chosen::Each(encoding) => *encoding,
            _ => Encoding::RLE_DICTIONARY,
        });
    }
    Ok(chosen)
}

fn numbers<'a>(
    bits: &dyn Fn() -> Vec<u64>,
    (values, codec, known, remembered): (&Values<'a>, Compression, Encodings, Option<Encoding>),
) -> Result<Chosen<'a>, ParquetError> {
    let found = match remembered {
        None | Some(Encoding::RLE_DICTIONARY) => dictionary::of_bits(&bits(), Limit::WhereItPays),
        Some(_) => None,
    };
    if let Some(found) = found {
        let sizes = Sizes { dictionary: found.distinct.len() * 8, distinct: found.distinct.len() };
        let sample = || {
            let mut bytes = Vec::new();
            plain::bits(&mut bytes, found.distinct.iter().take(SAMPLE));
            bytes
        };
        if sizes.pay(values, sample, &found.indexes, codec, remembered.is_some())? {
            return Ok(Chosen::Numbers(found));
        }
    }
    Ok(Chosen::Each(each(values, codec, known, remembered)?))
}

/// The size of a dictionary.
#[derive(Clone, Copy)]
struct Sizes {
    dictionary: usize,
    distinct: usize,
}

impl Sizes {
    /// Returns whether the dictionary is smaller than the values one by one. `sample` makes the first of its
    /// values.
    fn pay(
        self,
        values: &Values<'_>,
        sample: impl FnOnce() -> Vec<u8>,
        indexes: &[u32],
        codec: Compression,
        is_remembered: bool,
    ) -> Result<bool, ParquetError> {
        let width = hybrid::width(self.distinct);
        let all = self.dictionary + indexes.len() * width as usize / 8;
        let plain = values.plain_bytes();
        if all * 3 <= plain || is_remembered {
            return Ok(all <= plain);
        }
        if indexes.len() < TRIED {
            return Ok(all < plain);
        }
        let of = |sample: &[u8], all: usize| -> Result<usize, ParquetError> {
            let packed = codec.compressed(sample, <[u8]>::len)?.min(sample.len());
            Ok(all * packed / sample.len().max(1))
        };
        let mut some = Vec::new();
        hybrid::numbers(
            &mut some,
            indexes.get(..SAMPLE.min(indexes.len())).unwrap_or_default(),
            width,
        );
        let sampled = indexes.len().min(SAMPLE);
        let of_indexes = of(&some, some.len() * indexes.len() / sampled.max(1))?;
        let of_dictionary = of(&sample(), self.dictionary)?;
        let (first, all_bytes) = first(values, Encoding::PLAIN);
        let of_plain = of(&first, all_bytes)?;
        // Readers are faster by a dictionary.
        Ok((of_indexes + of_dictionary) * 100 <= of_plain * 105)
    }
}

/// Returns the first values in an encoding, and about how many bytes all have.
fn first(values: &Values<'_>, encoding: Encoding) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let count = values.len().min(SAMPLE);
    plain::values(&mut bytes, values, 0..count, encoding);
    let all = bytes.len() * values.len() / count.max(1);
    (bytes, all)
}

/// Returns the encoding by which values without a dictionary are smallest.
fn each(
    values: &Values<'_>,
    codec: Compression,
    known: Encodings,
    remembered: Option<Encoding>,
) -> Result<Encoding, ParquetError> {
    let candidates: &[Encoding] = match (values, known) {
        (_, Encodings::Plain) | (Values::Booleans(_) | Values::Doubles(_), _) => &[Encoding::PLAIN],
        (Values::Texts(_), Encodings::Delta) => {
            &[Encoding::PLAIN, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY]
        }
        (Values::Integers(_), Encodings::Delta) => {
            &[Encoding::DELTA_BINARY_PACKED, Encoding::PLAIN]
        }
    };
    if let Some(encoding) = remembered.filter(|encoding| candidates.contains(encoding)) {
        return Ok(encoding);
    }
    let Some((preferred, others)) = candidates.split_first() else { return Ok(Encoding::PLAIN) };
    if others.is_empty() || values.len() < TRIED / 4 {
        return Ok(*preferred);
    }
    let size = |encoding: Encoding| -> Result<usize, ParquetError> {
        let (bytes, _) = first(values, encoding);
        Ok(codec.compressed(&bytes, <[u8]>::len)?.min(bytes.len()))
    };
    let mut best = (*preferred, size(*preferred)?);
    for encoding in others {
        let size = size(*encoding)?;
        // One that is hardly smaller is not worth what it costs to read.
        if size * 100 < best.1 * 97 {
            best = (*encoding, size);
        }
    }
    Ok(best.0)
}
