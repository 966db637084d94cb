//! The pages of a column chunk: compressed with the thread's Zstandard context, and put in order.
//!
//! The library's column writer makes a compressor and a decompressor for each column chunk, even of
//! a few bytes. Making the two costs more than compressing such a chunk: with a thousand small
//! files an eighth of an import was spent on it, much of it on asking the processor for its
//! features, which a virtual machine answers slowly. So for Zstandard the writer is told not to
//! compress, and this module compresses the pages as they arrive in its page store.
//!
//! Version 60.1 of `parquet` takes no codec from outside. Its column writer makes one by
//! `create_codec` from the properties; the writers of Arrow columns take a `PageStore`, which sees
//! serialized pages, but no `PageWriter`; and `get_column_writer`, which does take a `PageWriter`,
//! encodes neither Arrow's byte arrays nor the levels that `compute_leaves` gives, which are
//! private. When one of these opens, the rewriting of headers below can go.
//!
//! A page is a header and the bytes that follow it. The header
//! (<https://parquet.apache.org/docs/file-format/data-pages/>, in Thrift's compact protocol) begins
//! with the type of the page and its two lengths; the second, that of the compressed bytes, is
//! rewritten. A header that does not begin so is an error and never gets into a file.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory,
};
use parquet::basic::{Compression as Codec, Type, ZstdLevel};
use parquet::column::page_store::{PageKey, PageStore, PageStoreArgs, PageStoreFactory};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::SerializedRowGroupWriter;

use super::runs::Runs;
use super::sink::Sink;
use crate::zstd_context::with_compressed;

/// Makes the column writers of a leaf.
#[derive(Debug)]
pub(super) struct ColumnWriterFactory {
    factory: ArrowRowGroupWriterFactory,
    stores: Arc<Stores>,
}

/// The page stores of one leaf's writers, in the order of their creation. Several threads may want
/// writers of the same leaf, so that `turn` is held while a set of them is made.
#[derive(Debug)]
struct Stores {
    zstd: Option<ZstdLevel>,
    turn: Mutex<()>,
    pages: Mutex<Vec<Arc<Mutex<Pages>>>>,
}

/// A column that is being written.
pub(super) struct ColumnWriter {
    pub(super) writer: ArrowColumnWriter,
    pages: Arc<Mutex<Pages>>,
}

/// A finished column chunk that is not in a file yet.
#[derive(Debug)]
pub(super) struct Chunk {
    pages: Pages,
    close: ColumnCloseResult,
}

/// The pages of one column chunk as they are in the file.
#[derive(Debug)]
struct Pages {
    /// The level to compress them with; `None` leaves them as the writer made them.
    zstd: Option<ZstdLevel>,
    /// The header whose page has not arrived yet.
    header: Option<Bytes>,
    /// The dictionary page, which arrives last and stands first in the file. It includes its
    /// header, as all pages do.
    dictionary: Option<Bytes>,
    data: Vec<Bytes>,
}

impl ColumnWriterFactory {
    /// Creates a factory of writers that compress with `zstd`, if there is one; then the properties
    /// of `factory` must say not to compress.
    pub(super) fn new(
        factory: ArrowRowGroupWriterFactory,
        zstd: Option<ZstdLevel>,
    ) -> ColumnWriterFactory {
        let stores = Arc::new(Stores { zstd, turn: Mutex::default(), pages: Mutex::default() });
        let factory_of_stores: Arc<dyn PageStoreFactory> = Arc::clone(&stores) as _;
        ColumnWriterFactory { factory: factory.with_page_store_factory(factory_of_stores), stores }
    }

    /// Returns the writers for the columns of a leaf: one, or two for a map.
    pub(super) fn columns(&self) -> Result<Vec<ColumnWriter>, ParquetError> {
        let turn = self.stores.turn.lock();
        self.stores.pages.lock().clear();
        let writers = self.factory.create_column_writers(0)?;
        let pages = std::mem::take(&mut *self.stores.pages.lock());
        drop(turn);
        if writers.len() != pages.len() {
            return Err(unexpected("pages of other columns"));
        }
        let columns = writers.into_iter().zip(pages);
        Ok(columns.map(|(writer, pages)| ColumnWriter { writer, pages }).collect())
    }
}

impl PageStoreFactory for Stores {
    fn create(&self, _: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>, ParquetError> {
        let pages = Arc::new(Mutex::new(Pages::new(self.zstd)));
        self.pages.lock().push(Arc::clone(&pages));
        Ok(Box::new(Store(pages)))
    }
}

impl ColumnWriter {
    /// Ends the column; returns its chunk.
    pub(super) fn close(self) -> Result<Chunk, ParquetError> {
        let chunk: ArrowColumnChunk = self.writer.close()?;
        let close = chunk.close().clone();
        drop(chunk);
        let pages = Arc::into_inner(self.pages).ok_or_else(|| unexpected("pages in use"))?;
        Chunk::new(pages.into_inner(), close)
    }
}

impl Chunk {
    /// Creates the chunk of `pages`. The writer's metadata in `close` is corrected: it saw pages
    /// that were not compressed, and the dictionary behind the others.
    fn new(pages: Pages, close: ColumnCloseResult) -> Result<Chunk, ParquetError> {
        let (first, length) = (pages.dictionary.as_ref().map_or(0, Bytes::len), pages.len());
        let mut close = close.update_dictionary_location(first)?;
        close.bytes_written = length as u64;
        let codec = pages.zstd.map_or(close.metadata.compression(), Codec::ZSTD);
        close.metadata = close
            .metadata
            .into_builder()
            .set_compression(codec)
            .set_total_compressed_size(signed(length)?)
            .set_data_page_offset(signed(first)?)
            .build()?;
        if let Some(index) = &mut close.offset_index {
            if index.page_locations.len() != pages.data.len() {
                return Err(unexpected("pages that the index does not know"));
            }
            let mut at = first;
            for (location, page) in index.page_locations.iter_mut().zip(&pages.data) {
                location.offset = signed(at)?;
                location.compressed_page_size =
                    i32::try_from(page.len()).map_err(|_| unexpected("a page of 2 GiB"))?;
                at += page.len();
            }
        }
        Ok(Chunk { pages, close })
    }

    /// Appends the chunk to the row group, as its next column.
    pub(super) fn append(
        self,
        group: &mut SerializedRowGroupWriter<'_, Sink>,
    ) -> Result<(), ParquetError> {
        group.append_column(&self.pages, self.close)
    }
}

impl Chunk {
    /// Returns the chunk of a column that `runs` describes; this one is of its distinct values, and keeps
    /// their dictionary, bounds and Bloom filter. `None` if it has no dictionary.
    ///
    /// # Errors
    /// A page that cannot be compressed; statistics of another type.
    pub(super) fn with_runs(mut self, runs: &Runs<'_>) -> Result<Option<Chunk>, ParquetError> {
        let Some(first) = self.pages.dictionary.as_ref().map(Bytes::len) else { return Ok(None) };
        let bounds = match self.close.metadata.statistics() {
            Some(Statistics::ByteArray(of)) => {
                let bounds = [of.min_opt(), of.max_opt()].map(|bound| bound.cloned());
                let [min, max] = bounds;
                ValueStatistics::new(min, max, None, Some(runs.nulls as u64), false)
                    .with_min_is_exact(of.min_is_exact())
                    .with_max_is_exact(of.max_is_exact())
            }
            _ => return Err(unexpected("other statistics than those of text")),
        };
        // Of the dictionary page what it holds, and its header.
        let mut uncompressed = runs.values.len() * 4 + runs.distinct_bytes + DICTIONARY_HEADER;
        let (mut index, mut at) = (OffsetIndexBuilder::new(), first);
        // Of each page the bounds of all: values in runs are in no order.
        let mut of_pages = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
        let bound =
            |bound: Option<&ByteArray>| bound.map_or_else(Vec::new, |of| of.data().to_vec());
        let (min, max) = (bound(bounds.min_opt()), bound(bounds.max_opt()));
        self.pages.data.clear();
        for page in runs.pages() {
            let (before, after) = data_header(page.bytes.len(), page.rows);
            let header =
                Header { page_type: DATA_PAGE, uncompressed: 0, before: &before, after: &after };
            uncompressed += before.len() + after.len() + page.bytes.len();
            let bytes = match self.pages.zstd {
                None => header.with(&page.bytes),
                Some(level) => with_compressed(level.compression_level(), &page.bytes, |bytes| {
                    header.with(bytes)
                })?,
            };
            match page.nulls == page.rows {
                true => of_pages.append(true, Vec::new(), Vec::new(), signed(page.nulls)?, None),
                false => {
                    of_pages.append(false, min.clone(), max.clone(), signed(page.nulls)?, None);
                }
            }
            index.append_row_count(signed(page.rows)?);
            let size = i32::try_from(bytes.len()).map_err(|_| unexpected("a page of 2 GiB"))?;
            index.append_offset_and_size(signed(at)?, size);
            at += bytes.len();
            self.pages.data.push(bytes.into());
        }
        let mut close = self.close;
        close.bytes_written = at as u64;
        close.rows_written = runs.rows as u64;
        close.column_index = close.column_index.map(|_| of_pages.build()).transpose()?;
        close.offset_index = Some(index.build());
        close.metadata = close
            .metadata
            .into_builder()
            .set_num_values(signed(runs.rows)?)
            .set_total_compressed_size(signed(at)?)
            .set_total_uncompressed_size(signed(uncompressed)?)
            .set_data_page_offset(signed(first)?)
            .set_statistics(Statistics::ByteArray(bounds))
            .set_definition_level_histogram(None)
            .set_repetition_level_histogram(None)
            .set_unencoded_byte_array_data_bytes(Some(signed(runs.text_bytes)?))
            .build()?;
        Ok(Some(Chunk { pages: self.pages, close }))
    }
}

/// About the bytes of the header of a dictionary page.
const DICTIONARY_HEADER: usize = 14;

/// Returns the header of a data page (version 1) of dictionary indexes, split around the length of the
/// compressed page: what is before that length, and what is behind it.
fn data_header(uncompressed: usize, rows: usize) -> (Vec<u8>, Vec<u8>) {
    let number = |out: &mut Vec<u8>, number: usize| {
        out.push(NEXT_I32);
        // Zigzag: not negative.
        let mut number = (number as u64) << 1;
        while number > 0x7f {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    number(&mut before, DATA_PAGE as usize);
    number(&mut before, uncompressed);
    before.push(NEXT_I32);
    // Field 5, a record: its values, their encoding, and that of both kinds of levels.
    after.push(0x2c);
    number(&mut after, rows);
    for encoding in [RLE_DICTIONARY, RLE, RLE] {
        number(&mut after, encoding);
    }
    // The ends of both records.
    after.extend([0, 0]);
    (before, after)
}

/// Encodings, as the format numbers them.
const RLE: usize = 3;
const RLE_DICTIONARY: usize = 8;

/// Returns a length as the metadata has it.
fn signed(bytes: usize) -> Result<i64, ParquetError> {
    i64::try_from(bytes).map_err(|_| unexpected("a chunk beyond all numbers"))
}

impl Pages {
    fn new(zstd: Option<ZstdLevel>) -> Pages {
        Pages { zstd, header: None, dictionary: None, data: Vec::new() }
    }

    fn len(&self) -> usize {
        self.all().map(Bytes::len).sum()
    }

    /// Returns the pages in the order of the file.
    fn all(&self) -> impl Iterator<Item = &Bytes> {
        self.dictionary.iter().chain(&self.data)
    }

    /// Takes the next blob of the writer, which alternates headers and their pages.
    fn put(&mut self, bytes: Bytes) -> Result<(), ParquetError> {
        let Some(header) = self.header.take() else {
            self.header = Some(bytes);
            return Ok(());
        };
        let header = Header::read(&header, bytes.len())?;
        let page = match self.zstd {
            None => header.with(&bytes),
            Some(_) if header.uncompressed as usize != bytes.len() => {
                return Err(unexpected("a page that is compressed"));
            }
            Some(level) => {
                with_compressed(level.compression_level(), &bytes, |bytes| header.with(bytes))?
            }
        };
        match header.page_type {
            DATA_PAGE => self.data.push(page.into()),
            DICTIONARY_PAGE if self.dictionary.is_none() => self.dictionary = Some(page.into()),
            _ => return Err(unexpected("a page of another type")),
        }
        Ok(())
    }
}

/// The page store of one column writer.
struct Store(Arc<Mutex<Pages>>);

impl PageStore for Store {
    fn put(&mut self, value: Bytes) -> Result<PageKey, ParquetError> {
        self.0.lock().put(value)?;
        Ok(PageKey::new(0))
    }

    fn take(&mut self, _: PageKey) -> Result<Bytes, ParquetError> {
        Err(unexpected("pages that are taken one by one"))
    }

    fn memory_size(&self) -> usize {
        self.0.lock().len()
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        Pages::len(self) as u64
    }
}

impl ChunkReader for Pages {
    type T = PagesReader;

    fn get_read(&self, start: u64) -> Result<PagesReader, ParquetError> {
        let mut reader = PagesReader(self.all().cloned().collect());
        reader.skip(start)?;
        Ok(reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// A reader of the pages in the order of the file.
pub(super) struct PagesReader(VecDeque<Bytes>);

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

/// The type of a data page (version 1), as the format numbers it.
const DATA_PAGE: u32 = 0;
/// The type of a dictionary page, as the format numbers it.
const DICTIONARY_PAGE: u32 = 2;

/// The first byte of a field that is an i32 and has the number after that of the field before it.
const NEXT_I32: u8 = 0x15;

/// A page's header, split around the length of the compressed page.
struct Header<'a> {
    page_type: u32,
    /// The length of the page before compression.
    uncompressed: u32,
    before: &'a [u8],
    after: &'a [u8],
}

impl<'a> Header<'a> {
    /// Parses the header of a page that has `len` bytes.
    fn read(header: &'a [u8], len: usize) -> Result<Header<'a>, ParquetError> {
        let mut rest = header;
        let page_type = field(&mut rest)?;
        let uncompressed = field(&mut rest)?;
        let before = header.len() - rest.len() + 1;
        let compressed = field(&mut rest)?;
        // The next would be a checksum of the page.
        if compressed as usize != len || rest.first() == Some(&NEXT_I32) {
            return Err(unexpected("a header of another page"));
        }
        let before = header.get(..before).unwrap_or_default();
        Ok(Header { page_type, uncompressed, before, after: rest })
    }

    /// Returns the header, with the new length, and the page `bytes`.
    fn with(&self, bytes: &[u8]) -> Vec<u8> {
        let most = self.before.len() + 10 + self.after.len() + bytes.len();
        let mut out = Vec::with_capacity(most);
        out.extend_from_slice(self.before);
        // Zigzag: a length is not negative.
        let mut number = (bytes.len() as u64) << 1;
        while number > 0x7f {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
        out.extend_from_slice(self.after);
        out.extend_from_slice(bytes);
        out
    }
}

/// Reads a field of Thrift's compact protocol that is an i32, has the number after that of the
/// field before it, and is not negative.
fn field(from: &mut &[u8]) -> Result<u32, ParquetError> {
    let wrong = || unexpected("a header of another form");
    let (&NEXT_I32, rest) = from.split_first().ok_or_else(wrong)? else { return Err(wrong()) };
    let (mut number, mut rest) = (0_u64, rest);
    for shift in (0..35).step_by(7) {
        let (byte, after) = rest.split_first().ok_or_else(wrong)?;
        rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            *from = rest;
            let even = (number & 1 == 0).then_some(number >> 1);
            return even.and_then(|number| u32::try_from(number).ok()).ok_or_else(wrong);
        }
    }
    Err(wrong())
}

fn unexpected(what: &str) -> ParquetError {
    ParquetError::General(format!("the column writer gave {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_how_long_its_page_has_become() {
        // Kind 0, 300 bytes, 300 bytes, then the header of a data page.
        let header = [0x15, 0, 0x15, 0xd8, 4, 0x15, 0xd8, 4, 0x2c, 0x15, 2, 0, 0];
        let read = Header::read(&header, 300).unwrap();
        assert_eq!(read.page_type, DATA_PAGE);
        assert_eq!(
            read.with(&[7; 5]),
            [0x15, 0, 0x15, 0xd8, 4, 0x15, 10, 0x2c, 0x15, 2, 0, 0, 7, 7, 7, 7, 7]
        );
        let out = read.with(&[7; 300]);
        assert_eq!(out[..header.len()], header);
        assert_eq!(out.len(), header.len() + 300);
    }

    #[test]
    fn what_is_no_such_header_is_an_error() {
        let header = [0x15, 0, 0x15, 0xd8, 4, 0x15, 0xd8, 4, 0x2c];
        assert!(Header::read(&header, 300).is_ok());
        assert!(Header::read(&header, 301).is_err());
        for end in 0..8 {
            assert!(Header::read(&header[..end], 300).is_err(), "{end} bytes of it");
        }
        for (at, byte) in [(0, 0x25), (2, 0x16), (3, 0xd9), (6, 0), (7, 5), (8, NEXT_I32)] {
            let mut other = header;
            other[at] = byte;
            assert!(Header::read(&other, 300).is_err(), "{byte} at {at}");
        }
        assert!(Header::read(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0x15], 0).is_err());
        let mut pages = Pages::new(None);
        pages.put(Bytes::from_static(&[0x15, 6, 0x15, 0, 0x15, 0, 0])).unwrap();
        assert!(pages.put(Bytes::new()).is_err(), "a data page of the second version");
    }
}
