//! A column chunk: its pages as they are in the file, and what the footer and the indexes say of them.
//!
//! Pages are of the first version: levels and values are compressed together, which is smaller where most of
//! a page is levels, as it is in lists of records with many columns.

use std::collections::VecDeque;
use std::io::Read;

use bytes::{Buf as _, Bytes};
use parquet::basic::{Encoding, PageType, Type};
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;

use super::Compression;
use super::bounds::Bound;
use super::headers::{data_header, dictionary_header, unexpected};
use super::page_bytes::PageBytes;
use super::plain;
use super::sink::Sink;
use crate::columnar::leaf_values::Values;

/// Of a page that codecs make no smaller than this share of it, in percent, nothing is compressed.
const WORTH_PERCENT: usize = 97;

/// A finished column chunk that is not in a file yet.
#[derive(Debug)]
pub(super) struct Chunk {
    pages: Vec<Bytes>,
    close: ColumnCloseResult,
    has_one_page: bool,
}

/// A column chunk under construction.
#[derive(Debug)]
pub(super) struct ChunkWriter {
    codec: Compression,
    dictionary: Option<Bytes>,
    data: Vec<DataPage>,
    /// Bytes of the pages before compression, with their headers.
    uncompressed: usize,
    encoding: Encoding,
}

/// A finished data page.
#[derive(Clone, Debug)]
struct DataPage {
    /// With its header.
    bytes: Bytes,
    of: Content,
}

/// The content of a page, in numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) rows: usize,
    /// Places, nulls included.
    pub(super) slots: usize,
    pub(super) nulls: usize,
    /// Least and most of its values; none where nobody reads them.
    pub(super) bounds: Option<[Bound; 2]>,
    /// Values that are no number, of doubles.
    pub(super) nans: Option<u64>,
}

/// The pages of a column without values. They are the same for any type.
#[derive(Clone, Debug)]
pub(super) struct NullPages {
    codec: Compression,
    data: Vec<DataPage>,
    uncompressed: usize,
}

/// Facts of a column that are in the footer, besides those of its pages.
#[derive(Debug, Default)]
pub(super) struct Footer {
    /// Least and most of all values; none where nobody reads them, or there is no value.
    pub(super) bounds: Option<[Bound; 2]>,
    pub(super) bloom: Option<Sbbf>,
}

impl ChunkWriter {
    /// Creates a chunk of data pages with this encoding. Its pages are compressed with `codec`, unless the
    /// first one says that it does not pay.
    pub(super) fn new(codec: Compression, encoding: Encoding) -> ChunkWriter {
        ChunkWriter { codec, dictionary: None, data: Vec::new(), uncompressed: 0, encoding }
    }

    /// Writes the dictionary page.
    ///
    /// # Errors
    /// The codec's, or a page of 2 GiB.
    pub(super) fn dictionary(&mut self, distinct: &Values<'_>) -> Result<(), ParquetError> {
        let mut bytes = PageBytes::default();
        plain::values(&mut bytes, distinct, 0..distinct.len(), Encoding::PLAIN);
        let page = self.codec.compressed(&bytes, |packed| {
            let header = dictionary_header(bytes.len(), packed.len(), distinct.len())?;
            self.uncompressed += header.len() + bytes.len();
            Ok::<_, ParquetError>([header.as_slice(), packed].concat())
        })?;
        self.dictionary = Some(page?.into());
        Ok(())
    }

    /// Writes a data page: levels and values as they are before compression.
    ///
    /// # Errors
    /// The codec's, or a page of 2 GiB.
    pub(super) fn page(&mut self, bytes: &PageBytes, of: Content) -> Result<(), ParquetError> {
        let page = |packed: &[u8]| {
            let header = data_header(bytes.len(), packed.len(), of.slots, self.encoding)?;
            Ok::<_, ParquetError>((header.len(), [header.as_slice(), packed].concat()))
        };
        let is_first = self.data.is_empty() && self.dictionary.is_none();
        let packed = self.codec.compressed(bytes, |packed| {
            let pays = packed.len() * 100 <= bytes.len() * WORTH_PERCENT;
            if is_first && !pays { None } else { Some(page(packed)) }
        })?;
        let (header, bytes_of_page) = match packed {
            Some(page) => page?,
            None => {
                self.codec = Compression::None;
                page(bytes.all())?
            }
        };
        self.uncompressed += header + bytes.len();
        self.data.push(DataPage { bytes: bytes_of_page.into(), of });
        Ok(())
    }

    /// Returns the pages, of a column without values.
    pub(super) fn nulls(self) -> NullPages {
        NullPages { codec: self.codec, data: self.data, uncompressed: self.uncompressed }
    }

    /// Returns the chunk of a column.
    ///
    /// # Errors
    /// Sizes that the format cannot hold.
    pub(super) fn finish(
        self,
        column: &ColumnDescPtr,
        footer: Footer,
    ) -> Result<Chunk, ParquetError> {
        let nulls: usize = self.data.iter().map(|page| page.of.nulls).sum();
        let nans = self.data.iter().filter_map(|page| page.of.nans).sum();
        let statistics = statistics(column.physical_type(), footer.bounds.as_ref(), nulls, nans)?;
        let dictionary = self.dictionary.as_ref().map_or(0, Bytes::len);
        let mut builder = ColumnChunkMetaData::builder(column.clone())
            .set_statistics(statistics)
            .set_total_uncompressed_size(signed(self.uncompressed)?)
            .set_data_page_offset(signed(dictionary)?);
        let mut encodings = vec![Encoding::RLE, self.encoding];
        if self.dictionary.is_some() {
            encodings.push(Encoding::PLAIN);
            let pages = |page_type, encoding, count: usize| PageEncodingStats {
                page_type,
                encoding,
                count: i32::try_from(count).unwrap_or(i32::MAX),
            };
            builder = builder.set_dictionary_page_offset(Some(0)).set_page_encoding_stats(vec![
                pages(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
                pages(PageType::DATA_PAGE, self.encoding, self.data.len()),
            ]);
        }
        let mut index = ColumnIndexBuilder::new(column.physical_type());
        let mut offsets = OffsetIndexBuilder::new();
        let (mut at, mut slots, mut rows) = (dictionary, 0, 0);
        let mut is_ordered = true;
        let mut before: Option<[&[u8]; 2]> = None;
        for DataPage { bytes, of: page } in &self.data {
            offsets.append_row_count(signed(page.rows)?);
            let size = i32::try_from(bytes.len()).map_err(|_| unexpected("a page of 2 GiB"))?;
            offsets.append_offset_and_size(signed(at)?, size);
            (at, slots, rows) = (at + bytes.len(), slots + page.slots, rows + page.rows);
            let [min, max] = match &page.bounds {
                Some(bounds) => bounds.each_ref().map(|bound| bound.bytes.clone()),
                None => [Vec::new(), Vec::new()],
            };
            let is_null = page.nulls == page.slots;
            if page.bounds.is_none() && !is_null {
                index.to_invalid();
            }
            let nans = page.nans.map(|nans| i64::try_from(nans).unwrap_or(i64::MAX));
            index.append(is_null, min, max, signed(page.nulls)?, nans);
            if let Some(bounds) = &page.bounds {
                let bounds = bounds.each_ref().map(|bound| bound.bytes.as_slice());
                is_ordered &= before.is_none_or(|before| {
                    let less = |at: usize| is_less(column.physical_type(), bounds[at], before[at]);
                    !less(0) && !less(1)
                });
                before = Some(bounds);
            }
        }
        if is_ordered && before.is_some() {
            index.set_boundary_order(parquet::basic::BoundaryOrder::ASCENDING);
        }
        // No reader skips by the bounds of a column in a list.
        let column_index = match column.max_rep_level() == 0 && index.valid() {
            true => Some(index.build()?),
            false => None,
        };
        let metadata = builder
            .set_compression_codec(self.codec.name())
            .set_encodings(encodings)
            .set_num_values(signed(slots)?)
            .set_total_compressed_size(signed(at)?)
            .build()?;
        let has_one_page = self.data.len() <= 1;
        let pages = self.dictionary.into_iter().chain(self.data.into_iter().map(|page| page.bytes));
        let close = ColumnCloseResult {
            bytes_written: at as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: footer.bloom,
            column_index,
            offset_index: Some(offsets.build()),
        };
        Ok(Chunk { pages: pages.collect(), close, has_one_page })
    }
}

impl NullPages {
    /// Returns the chunk of a column without values.
    ///
    /// # Errors
    /// Sizes that the format cannot hold.
    pub(super) fn chunk(&self, column: &ColumnDescPtr) -> Result<Chunk, ParquetError> {
        let is_double = column.physical_type() == Type::DOUBLE;
        let nans = |mut page: DataPage| {
            page.of.nans = is_double.then_some(0);
            page
        };
        let writer = ChunkWriter {
            codec: self.codec,
            dictionary: None,
            data: self.data.iter().cloned().map(nans).collect(),
            uncompressed: self.uncompressed,
            encoding: Encoding::PLAIN,
        };
        writer.finish(column, Footer::default())
    }
}

impl Chunk {
    /// Returns whether all rows are in one page.
    pub(super) fn has_one_page(&self) -> bool {
        self.has_one_page
    }

    /// Leaves out where pages are and what their bounds are: of one page the footer says both.
    pub(super) fn without_page_index(&mut self) {
        self.close.column_index = None;
        self.close.offset_index = None;
    }

    /// Appends the chunk to the row group, as its next column.
    pub(super) fn append(
        self,
        group: &mut SerializedRowGroupWriter<'_, Sink>,
    ) -> Result<(), ParquetError> {
        group.append_column(&Pages(self.pages), self.close)
    }
}

/// Returns whether a value is less than another, as plain pages have them.
fn is_less(kind: Type, a: &[u8], b: &[u8]) -> bool {
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, i64::from_le_bytes);
    match kind {
        Type::INT64 => number(a) < number(b),
        Type::DOUBLE => f64::from_bits(number(a) as u64) < f64::from_bits(number(b) as u64),
        _ => a < b,
    }
}

/// Returns the statistics of a chunk.
fn statistics(
    kind: Type,
    bounds: Option<&[Bound; 2]>,
    nulls: usize,
    nans: u64,
) -> Result<Statistics, ParquetError> {
    let nulls = Some(nulls as u64);
    let of = |at: usize| bounds.and_then(|bounds| bounds.get(at));
    let is_exact = |at: usize| of(at).is_some_and(|bound| bound.is_exact);
    let bits = |at: usize| {
        let bytes = of(at)?.bytes.as_slice();
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    Ok(match kind {
        Type::INT64 => {
            let bound = |at| bits(at).map(|bits| bits as i64);
            Statistics::Int64(ValueStatistics::new(bound(0), bound(1), None, nulls, false))
        }
        Type::DOUBLE => {
            let bound = |at| bits(at).map(f64::from_bits);
            let of = ValueStatistics::new(bound(0), bound(1), None, nulls, false);
            Statistics::Double(of.with_nan_count(Some(nans)))
        }
        Type::BOOLEAN => {
            let bound = |at| of(at).map(|bound| bound.bytes == [1]);
            Statistics::Boolean(ValueStatistics::new(bound(0), bound(1), None, nulls, false))
        }
        Type::BYTE_ARRAY => {
            let bound = |at| of(at).map(|bound| ByteArray::from(bound.bytes.clone()));
            let of = ValueStatistics::new(bound(0), bound(1), None, nulls, false);
            let of = of.with_min_is_exact(is_exact(0)).with_max_is_exact(is_exact(1));
            Statistics::ByteArray(of)
        }
        _ => return Err(unexpected("a column of a type that no schema has")),
    })
}

/// Returns a length as the metadata has it.
fn signed(bytes: usize) -> Result<i64, ParquetError> {
    i64::try_from(bytes).map_err(|_| unexpected("a chunk beyond all numbers"))
}

/// The pages of a chunk in the order of the file.
struct Pages(Vec<Bytes>);

impl Length for Pages {
    fn len(&self) -> u64 {
        self.0.iter().map(|page| page.len() as u64).sum()
    }
}

impl ChunkReader for Pages {
    type T = PagesReader;

    fn get_read(&self, start: u64) -> Result<PagesReader, ParquetError> {
        let mut reader = PagesReader(self.0.iter().cloned().collect());
        reader.skip(start)?;
        Ok(reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// A reader of pages.
struct PagesReader(VecDeque<Bytes>);

impl PagesReader {
    fn skip(&mut self, mut bytes: u64) -> Result<(), ParquetError> {
        while bytes > 0 {
            let Some(first) = self.0.front_mut() else { return Err(unexpected("fewer bytes")) };
            let some = first.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            first.advance(some);
            bytes -= some as u64;
            self.0.pop_front_if(|first| first.is_empty());
        }
        Ok(())
    }
}

impl Read for PagesReader {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        while self.0.pop_front_if(|first| first.is_empty()).is_some() {}
        let Some(first) = self.0.front_mut() else { return Ok(0) };
        let some = first.len().min(to.len());
        first.copy_to_slice(&mut to[..some]);
        Ok(some)
    }
}
