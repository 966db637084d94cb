//! The codecs of pages, without the costs that the library's have for each column chunk.
//!
//! The library makes a compressor for each chunk, even of a few bytes. Making one of Zstandard costs more
//! than compressing such a chunk: with a thousand small files an eighth of an import was spent on it, much
//! of it on asking the processor for its features, which a virtual machine answers slowly. Here a thread
//! keeps its context.

use parquet::basic::CompressionCodec;
use parquet::errors::ParquetError;

use super::Compression;
use super::page_bytes::PageBytes;
use crate::zstd_context;

impl Compression {
    /// Returns the codec as the format's metadata names it.
    pub(super) fn name(self) -> CompressionCodec {
        match self {
            Compression::Zstd(_) => CompressionCodec::ZSTD,
            Compression::Snappy => CompressionCodec::SNAPPY,
            Compression::Lz4 => CompressionCodec::LZ4_RAW,
            Compression::None => CompressionCodec::UNCOMPRESSED,
        }
    }

    /// Compresses a page and returns what `then` makes of the result. `then` must not compress.
    ///
    /// # Errors
    /// The codec fails.
    pub(super) fn compressed<T>(
        self,
        page: &PageBytes,
        then: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, ParquetError> {
        let bytes = page.all();
        match self {
            Compression::Zstd(level) => {
                Ok(zstd_context::with_compressed_parts(level, bytes, page.cuts(), then)?)
            }
            Compression::Snappy => {
                let packed = snap::raw::Encoder::new().compress_vec(bytes);
                Ok(then(&packed.map_err(|error| ParquetError::General(error.to_string()))?))
            }
            Compression::Lz4 => Ok(then(&lz4_flex::block::compress(bytes))),
            Compression::None => Ok(then(bytes)),
        }
    }
}
