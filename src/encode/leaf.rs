//! One column as Parquet counts them: a leaf of the schema, encoded by itself.
//!
//! Leaves share the [`Shape`] of the lists around them and know nothing else of one another: any thread can
//! write any of them.
//!
//! A chunk with next to nothing in it is written **bare**: plain, without dictionary. A dictionary has a page
//! and a header of its own, and a file of ten sessions has 160 chunks, most of them empty. With some values the
//! codec is tried: those of one session's actions repeat.

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescPtr;

use super::bounds::{self, Bound};
use super::choice::{self, Chosen, Memory};
use super::dictionary::{self, Dictionary, Limit};
use super::hybrid::{self, level_width};
use super::inputs::Input;
use super::page_bytes::PageBytes;
use super::pages::{Chunk, ChunkWriter, Content, Footer, NullPages};
use super::plain;
use super::runs::{Run, Runs};
use super::shape::{Page, PageLevels, Shape, Widths};
use super::{Compression, FileForm};
use crate::columnar::leaf_values::{Gathered, Values};

/// A chunk of fewer bytes than this, before the codec, is written bare.
const BARE_BYTES: usize = 512;
/// Of a chunk of fewer bytes than this the codec is not tried: it hardly gets smaller.
const TINY_BYTES: usize = 64;
/// Bytes of plain values after which a page ends with the row.
const PAGE_BYTES: usize = 1 << 20;
/// Share of false answers of a Bloom filter.
const FALSE_POSITIVES: f64 = 0.05;
/// Most distinct values that a Bloom filter is made for. With more it says yes more often.
const FILTERED: u64 = 100_000;

/// A leaf of a table.
#[derive(Debug)]
pub(super) struct Leaf {
    column: ColumnDescPtr,
    form: FileForm,
    has_filter: bool,
    /// Its rows repeat others, many times.
    is_repeated: bool,
    /// Bits of a definition level and of a repetition level, none if there is but one.
    widths: [u8; 2],
    memory: Memory,
}

impl Leaf {
    /// Returns the leaf that is `column` of the files, with a Bloom filter if `has_filter`. `is_repeated` says
    /// that its rows repeat others.
    pub(super) fn new(
        column: ColumnDescPtr,
        form: FileForm,
        has_filter: bool,
        is_repeated: bool,
    ) -> Leaf {
        let widths = [level_width(column.max_def_level()), level_width(column.max_rep_level())];
        let memory = Memory::default();
        Leaf { column, form, has_filter, is_repeated, widths, memory }
    }

    /// Returns the last choice of an encoding.
    #[cfg(test)]
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns whether the column is a value a row, within neither list nor record.
    pub(super) fn is_flat(&self) -> bool {
        self.column.path().parts().len() == 1
    }

    /// Encodes the chunk of a row group.
    ///
    /// # Errors
    /// The codec's, or more than the format can hold.
    pub(super) fn encode(&self, input: &Input) -> Result<Chunk, ParquetError> {
        if input.arrays.is_empty() {
            return self.nulls(input);
        }
        let Gathered { values, valid } = Gathered::of(&input.arrays, input.shape.elements())?;
        if values.len() == 0 {
            return self.nulls(input);
        }
        let shape = &input.shape;
        let plain_bytes = values.plain_bytes();
        let bytes = plain_bytes + shape.slots() / 4;
        let is_bare = bytes < BARE_BYTES;
        let codec = if bytes < TINY_BYTES { Compression::None } else { self.form.compression };
        let chosen = match is_bare {
            true => Chosen::Each(Encoding::PLAIN),
            false if self.is_repeated => dictionary::of(&values, Limit::None)
                .map_or(Chosen::Each(Encoding::PLAIN), Chosen::Dictionary),
            false => choice::choose(&values, codec, self.form.encodings, &self.memory)?,
        };
        let own = self.long_pages(shape, &values, valid.as_ref(), plain_bytes, &chosen);
        let pages = own.as_deref().unwrap_or(shape.pages());
        let (encoding, dictionary) = match &chosen {
            Chosen::Each(encoding) => (*encoding, None),
            Chosen::Dictionary(found) => (Encoding::RLE_DICTIONARY, Some(found)),
        };
        let mut writer = ChunkWriter::new(codec, encoding);
        let distinct = dictionary.map(|found| &found.distinct);
        if let Some(distinct) = distinct {
            writer.dictionary(distinct)?;
        }
        let all = distinct.unwrap_or(&values);
        let mut bytes = PageBytes::default();
        let bounds = if self.has_bounds() { bounds_of(all, 0..all.len()) } else { None };
        let mut at = 0;
        for (number, page) in pages.iter().enumerate() {
            let count = match &valid {
                None => page.present.len(),
                Some(valid) => valid.slice(page.present.start, page.present.len()).count_set_bits(),
            };
            let range = at..at + count;
            at = range.end;
            bytes.clear();
            let shared = own.is_none().then_some(number);
            let level = self.level_of(valid.is_none());
            self.append_levels(&mut bytes, shape, page, shared, level, valid.as_ref());
            match dictionary {
                None => plain::values(&mut bytes, &values, range.clone(), encoding),
                Some(Dictionary { distinct, indexes }) => {
                    let width = hybrid::width(distinct.len());
                    bytes.out().push(width as u8);
                    let indexes = indexes.get(range.clone()).unwrap_or_default();
                    hybrid::numbers(bytes.out(), indexes, width);
                }
            }
            let bounds_of_page = match (&bounds, pages.len(), dictionary) {
                (None, ..) => None,
                (bounds, 1, _) => bounds.clone(),
                (_, _, None) => bounds_of(&values, range.clone()),
                (_, _, Some(Dictionary { distinct, indexes })) => {
                    let indexes = indexes.get(range.clone()).unwrap_or_default().iter();
                    bounds_of_used(distinct, indexes.copied())
                }
            };
            let content = Content {
                rows: page.rows,
                slots: page.slots.len(),
                nulls: page.slots.len() - count,
                bounds: bounds_of_page,
                nans: nans(&values, range),
            };
            writer.page(&bytes, content)?;
        }
        let bloom = self.filter(all)?;
        writer.finish(&self.column, Footer { bounds, bloom })
    }

    /// Returns whether the column has bounds. No reader skips by those of a column in a list.
    fn has_bounds(&self) -> bool {
        self.column.max_rep_level() == 0
    }

    /// Returns the definition level of a value, or of null.
    fn level_of(&self, is_valid: bool) -> u8 {
        let may_be_null = self.column.self_type().is_optional();
        self.column.max_def_level() as u8 - u8::from(may_be_null && !is_valid)
    }

    /// Appends the levels of a page: those of present places are `level`, or one more where `valid` says so.
    /// `shared` is the number of the page in the shape, if it is one of its pages.
    fn append_levels(
        &self,
        bytes: &mut PageBytes,
        shape: &Shape,
        page: &Page,
        shared: Option<usize>,
        level: u8,
        valid: Option<&BooleanBuffer>,
    ) {
        let [definition, repetition] = self.widths;
        let one = |levels: &PageLevels, number: usize, bytes: &mut PageBytes| {
            append_levels(bytes, levels.get(number).map_or(&[], Vec::as_slice));
        };
        if repetition > 0 {
            match shared {
                Some(number) => one(&shape.repetition(repetition), number, bytes),
                None => append_levels(bytes, &shape.repetition_of(page, repetition)),
            }
        }
        if definition > 0 {
            match (valid, shared) {
                (Some(valid), _) => {
                    append_levels(bytes, &shape.definition_by(page, valid, level, definition));
                }
                (None, Some(number)) => one(&shape.definition(level, definition), number, bytes),
                (None, None) => {
                    append_levels(bytes, &shape.definition_of(page, level, definition));
                }
            }
        }
    }

    /// Returns the pages of a column whose values are too long for those of others.
    fn long_pages(
        &self,
        shape: &Shape,
        values: &Values<'_>,
        valid: Option<&BooleanBuffer>,
        plain_bytes: usize,
        chosen: &Chosen<'_>,
    ) -> Option<Vec<Page>> {
        let (Values::Texts(texts), Chosen::Each(_)) = (values, chosen) else { return None };
        if plain_bytes <= PAGE_BYTES + PAGE_BYTES / 2 {
            return None;
        }
        // Bytes of all values before each present place.
        let mut before = Vec::with_capacity(shape.present() + 1);
        let (mut bytes, mut texts) = (0, texts.iter());
        for place in 0..shape.present() {
            before.push(bytes);
            if valid.is_none_or(|valid| valid.value(place)) {
                bytes += texts.next().map_or(0, |text| 4 + text.len());
            }
        }
        before.push(bytes);
        let of = |range: &Range<usize>| {
            let ends = before.get(range.start).zip(before.get(range.end));
            ends.map_or(0, |(first, last)| last - first)
        };
        let cut = |page: &Page| {
            if of(&page.present) <= PAGE_BYTES + PAGE_BYTES / 2 {
                return vec![page.clone()];
            }
            shape.cut(&page.slots, usize::MAX, |places| of(&places.present) >= PAGE_BYTES)
        };
        Some(shape.pages().iter().flat_map(cut).collect())
    }

    /// Encodes the chunk of a row group in which the column has no value.
    fn nulls(&self, input: &Input) -> Result<Chunk, ParquetError> {
        let [definition, repetition] = self.widths;
        let widths = Widths { level: input.level, definition, repetition };
        input.shape.nulls(widths, || self.null_pages(&input.shape, widths))?.chunk(&self.column)
    }

    fn null_pages(&self, shape: &Shape, widths: Widths) -> Result<NullPages, ParquetError> {
        let of = |(number, page): (usize, &Page)| {
            let mut bytes = PageBytes::default();
            self.append_levels(&mut bytes, shape, page, Some(number), widths.level, None);
            bytes
        };
        let pages: Vec<PageBytes> = shape.pages().iter().enumerate().map(of).collect();
        let is_bare = pages.iter().map(PageBytes::len).sum::<usize>() < BARE_BYTES / 4;
        let codec = if is_bare { Compression::None } else { self.form.compression };
        let mut writer = ChunkWriter::new(codec, Encoding::PLAIN);
        for (page, bytes) in shape.pages().iter().zip(&pages) {
            let slots = page.slots.len();
            writer.page(
                bytes,
                Content { rows: page.rows, slots, nulls: slots, ..Content::default() },
            )?;
        }
        Ok(writer.nulls())
    }

    /// Encodes the chunk of a column that is repeated: each array has values, and `rows` the number of rows
    /// that have each. `None` if runs of its values are not worth it, or it has none.
    ///
    /// # Errors
    /// The codec's, or more than the format can hold.
    pub(super) fn encode_runs(
        &self,
        arrays: &[ArrayRef],
        rows: &[&[usize]],
    ) -> Result<Option<Chunk>, ParquetError> {
        let runs = Runs::of(arrays, rows)?;
        let Some(runs) = runs.filter(|runs| runs.plain_bytes() >= BARE_BYTES) else {
            return Ok(None);
        };
        let distinct = &runs.distinct;
        let mut writer = ChunkWriter::new(self.form.compression, Encoding::RLE_DICTIONARY);
        writer.dictionary(distinct)?;
        let bounds = bounds_of(distinct, 0..distinct.len());
        let pages = runs.pages();
        for page in &pages {
            let sum = |is_counted: fn(&Run) -> bool| {
                page.iter().filter(|run| is_counted(run)).map(|(_, rows)| rows).sum()
            };
            let bounds = match pages.len() {
                1 => bounds.clone(),
                _ => bounds_of_used(distinct, page.iter().filter_map(|(value, _)| *value)),
            };
            let rows = sum(|_| true);
            let nulls = sum(|(value, _)| value.is_none());
            let content = Content { rows, slots: rows, nulls, bounds, nans: None };
            writer.page(&runs.data(page, self.widths[0] > 0), content)?;
        }
        let bloom = self.filter(distinct)?;
        writer.finish(&self.column, Footer { bounds, bloom }).map(Some)
    }

    /// Returns the Bloom filter of a column that has one. Values may repeat.
    fn filter(&self, values: &Values<'_>) -> Result<Option<Sbbf>, ParquetError> {
        if !self.has_filter {
            return Ok(None);
        }
        let count = (values.len() as u64).clamp(1, FILTERED);
        let mut filter = Sbbf::new_with_ndv_fpp(count, FALSE_POSITIVES)?;
        match values {
            Values::Texts(texts) => texts.iter().for_each(|text| filter.insert(*text)),
            Values::Integers(all) => all.iter().for_each(|value| filter.insert(value)),
            Values::Doubles(all) => all.iter().for_each(|bits| insert_double(&mut filter, *bits)),
            Values::Booleans(all) => all.iter().for_each(|value| filter.insert(value)),
        }
        Ok(Some(filter))
    }
}

/// Inserts a double, as each of those that readers take for equal: a filter is about bits.
fn insert_double(filter: &mut Sbbf, bits: i64) {
    match f64::from_bits(bits.cast_unsigned()) {
        0.0 => [0.0, -0.0].iter().for_each(|zero: &f64| filter.insert(zero)),
        value if value.is_nan() => {
            [f64::NAN, -f64::NAN, value].iter().for_each(|nan| filter.insert(nan))
        }
        value => filter.insert(&value),
    }
}

/// Appends the levels of a page: their length and these.
fn append_levels(page: &mut PageBytes, levels: &[u8]) {
    let bytes = page.out();
    // A page of 2 GiB is refused: the length fits.
    bytes.extend_from_slice(&(levels.len() as u32).to_le_bytes());
    bytes.extend_from_slice(levels);
    page.cut();
}

/// Returns the least and the most of a range of values, as plain pages have them; `None` if there is none, none
/// that is a number, or none short enough.
fn bounds_of(values: &Values<'_>, range: Range<usize>) -> Option<[Bound; 2]> {
    let exact = |bytes: &[u8]| Bound { bytes: bytes.to_vec(), is_exact: true };
    match values {
        Values::Texts(texts) => {
            let (first, some) = texts.get(range)?.split_first()?;
            let (mut least, mut most) = (first, first);
            for text in some {
                if text < least {
                    least = text;
                } else if text > most {
                    most = text;
                }
            }
            Some([bounds::lower(least), bounds::upper(most)?])
        }
        Values::Integers(all) => {
            let some = all.get(range)?.iter();
            let (least, most) = (some.clone().min()?, some.max()?);
            Some([least, most].map(|bound| exact(&bound.to_le_bytes())))
        }
        Values::Doubles(all) => {
            let some = all.get(range)?.iter().map(|bits| f64::from_bits(bits.cast_unsigned()));
            let some = some.filter(|value| !value.is_nan());
            let (least, most) = (some.clone().reduce(f64::min)?, some.reduce(f64::max)?);
            // Readers may tell zeros apart, or not.
            let [least, most] = [(least, -0.0), (most, 0.0)]
                .map(|(bound, zero)| if bound == 0.0 { zero } else { bound });
            Some([least, most].map(|bound: f64| exact(&bound.to_le_bytes())))
        }
        Values::Booleans(all) => {
            let some = all.get(range)?.iter();
            let (least, most) = (some.clone().min()?, some.max()?);
            Some([least, most].map(|bound| exact(&[u8::from(*bound)])))
        }
    }
}

/// Returns the bounds of those distinct values that are used.
fn bounds_of_used(distinct: &Values<'_>, indexes: impl Iterator<Item = u32>) -> Option<[Bound; 2]> {
    let mut is_used = vec![false; distinct.len()];
    for index in indexes {
        if let Some(is_used) = is_used.get_mut(index as usize) {
            *is_used = true;
        }
    }
    let used = distinct.only(&is_used);
    bounds_of(&used, 0..used.len())
}

/// Returns how many of a range are no number; `None` of other types than doubles.
fn nans(values: &Values<'_>, range: Range<usize>) -> Option<u64> {
    let Values::Doubles(all) = values else { return None };
    let some = all.get(range).unwrap_or_default().iter();
    Some(some.filter(|bits| f64::from_bits(bits.cast_unsigned()).is_nan()).count() as u64)
}
