//! Footers of data files, read from the ends of the files alone.

use std::ops::Range;

use bytes::Bytes;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::DecodeResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};

use super::{Lake, Object, StoreError};

/// Bytes of a file's end that are asked for at first: enough for most footers in one request.
pub(crate) const TAIL_BYTES: u64 = 64 * 1024;
/// The shortest Parquet file: the magic at both ends, and the length of the footer.
const LEAST_BYTES: u64 = 12;

/// A data file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataFileError {
    /// The store would not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is no Parquet, or a broken one.
    #[error("this is no whole Parquet file: {}", plain(.0))]
    Parquet(#[from] ParquetError),
    /// The file is shorter than any Parquet file.
    #[error("this is no Parquet file: it has {0} bytes")]
    TooShort(u64),
    /// The footer points outside of the file.
    #[error("this is no whole Parquet file: its footer asks for bytes {0:?} of {1}")]
    Outside(Range<u64>, u64),
}

/// Returns the reader's text without its own "Parquet error:" before it.
fn plain(error: &ParquetError) -> String {
    match error {
        ParquetError::General(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Lake {
    /// Reads the footer of the data file `object`, without page indexes: one request of the last
    /// 64 KiB for most files, and a second one for longer footers.
    ///
    /// # Errors
    /// [`DataFileError`].
    pub async fn footer(&self, object: &Object) -> Result<ParquetMetaData, DataFileError> {
        let bytes = object.bytes;
        if bytes < LEAST_BYTES {
            return Err(DataFileError::TooShort(bytes));
        }
        let path = self.path(&object.name)?;
        let mut decoder = ParquetMetaDataPushDecoder::try_new(bytes)?
            .with_page_index_policy(PageIndexPolicy::Skip);
        let tail = bytes.saturating_sub(TAIL_BYTES)..bytes;
        let read = self.store.get_range(&path, tail.clone()).await.map_err(|e| self.failed(e))?;
        decoder.push_range(tail, read)?;
        loop {
            match decoder.try_decode()? {
                DecodeResult::Data(footer) => return Ok(footer),
                DecodeResult::Finished => return Err(DataFileError::TooShort(bytes)),
                DecodeResult::NeedsData(ranges) => {
                    if let Some(outside) = ranges.iter().find(|range| range.end > bytes) {
                        return Err(DataFileError::Outside(outside.clone(), bytes));
                    }
                    let read: Vec<Bytes> =
                        self.store.get_ranges(&path, &ranges).await.map_err(|e| self.failed(e))?;
                    decoder.push_ranges(ranges, read)?;
                }
            }
        }
    }

    /// Returns the number of rows of the data file `object`, by its footer.
    ///
    /// # Errors
    /// [`DataFileError`].
    pub async fn row_count(&self, object: &Object) -> Result<u64, DataFileError> {
        let rows = self.footer(object).await?.file_metadata().num_rows();
        Ok(u64::try_from(rows).unwrap_or(0))
    }
}
