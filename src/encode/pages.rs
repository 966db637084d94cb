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

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory,
};
use parquet::basic::{Compression as Codec, Encoding, PageType, ZstdLevel};
use parquet::column::page_store::{PageKey, PageStore, PageStoreArgs, PageStoreFactory};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::SerializedRowGroupWriter;

use super::headers::{DATA_PAGE, DICTIONARY_PAGE, Header, data_header, unexpected};
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
        // Version 60.1 of `parquet` takes a page for one without values if it has as many nulls as rows,
        // which says nothing of a list. Readers would leave out its rows.
        let is_list = close.metadata.column_descr().max_rep_level() > 0;
        close.column_index = close.column_index.filter(|index| {
            !is_list || !(0..index.num_pages()).any(|page| index.is_null_page(page as usize))
        });
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

/// The data pages of a column, before they are compressed: indexes of a dictionary.
#[derive(Debug)]
pub(super) struct DictionaryPages {
    pub(super) rows: usize,
    pub(super) nulls: usize,
    /// Bytes of the dictionary page.
    pub(super) dictionary_bytes: usize,
    /// Bytes of the values of all rows, of a column of texts.
    pub(super) text_bytes: Option<usize>,
    pub(super) pages: Vec<DataPage>,
}

/// A data page before it is compressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DataPage {
    pub(super) rows: usize,
    pub(super) nulls: usize,
    /// Levels and indexes.
    pub(super) bytes: Vec<u8>,
    /// Least and most of its values; those of the column if it is not known.
    pub(super) bounds: Option<[Vec<u8>; 2]>,
}

impl Chunk {
    /// Returns the chunk of a column with these data pages; this one is of its distinct values, and keeps
    /// their dictionary, bounds and Bloom filter. `None` if it has no dictionary.
    ///
    /// # Errors
    /// A page that cannot be compressed; statistics of another type.
    pub(super) fn with_pages(
        mut self,
        all: &DictionaryPages,
    ) -> Result<Option<Chunk>, ParquetError> {
        let Some(first) = self.pages.dictionary.as_ref().map(Bytes::len) else { return Ok(None) };
        let nulls = Some(all.nulls as u64);
        let statistics = match self.close.metadata.statistics() {
            Some(Statistics::ByteArray(of)) => {
                let [min, max] = [of.min_opt(), of.max_opt()].map(|bound| bound.cloned());
                let of = ValueStatistics::new(min, max, None, nulls, false)
                    .with_min_is_exact(of.min_is_exact())
                    .with_max_is_exact(of.max_is_exact());
                Statistics::ByteArray(of)
            }
            Some(Statistics::Int64(of)) => {
                let [min, max] = [of.min_opt(), of.max_opt()].map(|bound| bound.copied());
                Statistics::Int64(ValueStatistics::new(min, max, None, nulls, false))
            }
            _ => return Err(unexpected("statistics of neither texts nor integers")),
        };
        // Of the dictionary page what it holds, and its header.
        let mut uncompressed = all.dictionary_bytes + DICTIONARY_HEADER;
        let (mut index, mut at) = (OffsetIndexBuilder::new(), first);
        let mut of_pages = ColumnIndexBuilder::new(self.close.metadata.column_type());
        let bound = |bound: Option<&[u8]>| bound.unwrap_or_default().to_vec();
        let (min, max) = (bound(statistics.min_bytes_opt()), bound(statistics.max_bytes_opt()));
        self.pages.data.clear();
        for page in &all.pages {
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
            let (is_null, [min, max]) = match (page.nulls == page.rows, &page.bounds) {
                (true, _) => (true, [Vec::new(), Vec::new()]),
                (false, Some(bounds)) => (false, bounds.clone()),
                (false, None) => (false, [min.clone(), max.clone()]),
            };
            of_pages.append(is_null, min, max, signed(page.nulls)?, None);
            index.append_row_count(signed(page.rows)?);
            let size = i32::try_from(bytes.len()).map_err(|_| unexpected("a page of 2 GiB"))?;
            index.append_offset_and_size(signed(at)?, size);
            at += bytes.len();
            self.pages.data.push(bytes.into());
        }
        let mut close = self.close;
        close.bytes_written = at as u64;
        close.rows_written = all.rows as u64;
        close.column_index = close.column_index.map(|_| of_pages.build()).transpose()?;
        close.offset_index = Some(index.build());
        close.metadata = close
            .metadata
            .into_builder()
            .set_num_values(signed(all.rows)?)
            .set_total_compressed_size(signed(at)?)
            .set_total_uncompressed_size(signed(uncompressed)?)
            .set_data_page_offset(signed(first)?)
            .set_statistics(statistics)
            .set_page_encoding_stats(vec![
                of_pages_by(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
                of_pages_by(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, all.pages.len()),
            ])
            .set_definition_level_histogram(None)
            .set_repetition_level_histogram(None)
            .set_unencoded_byte_array_data_bytes(all.text_bytes.map(signed).transpose()?)
            .build()?;
        Ok(Some(Chunk { pages: self.pages, close }))
    }
}

/// About the bytes of the header of a dictionary page.
const DICTIONARY_HEADER: usize = 14;

/// Returns the entry of the metadata that counts pages of a kind.
fn of_pages_by(page_type: PageType, encoding: Encoding, count: usize) -> PageEncodingStats {
    PageEncodingStats { page_type, encoding, count: i32::try_from(count).unwrap_or(i32::MAX) }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_types_are_refused() {
        let mut pages = Pages::new(None);
        pages.put(Bytes::from_static(&[0x15, 6, 0x15, 0, 0x15, 0, 0])).unwrap();
        assert!(pages.put(Bytes::new()).is_err(), "a data page of the second version");
    }
}
