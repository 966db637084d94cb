//! Footers of data files, read from the ends of the files alone.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::DecodeResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataPushDecoder,
    ParquetStatisticsPolicy,
};

use super::{Lake, Location, Object, StoreError};

/// Bytes of a file's end that are asked for at first: enough for most footers in one request.
pub(crate) const TAIL_BYTES: u64 = 64 * 1024;
/// The shortest Parquet file: the magic at both ends, and the length of the footer.
const LEAST_BYTES: u64 = 12;

/// A data file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataFileError {
    /// The store would not read.
    #[error("{0}")]
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

/// The part of a footer that is wanted; the rest is passed over, which takes a fraction of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FooterPart {
    /// Number of rows and schema.
    Rows,
    /// All but the statistics of encodings and of sizes.
    Columns,
    All,
}

impl FooterPart {
    fn options(self) -> ParquetMetaDataOptions {
        let options = ParquetMetaDataOptions::new();
        let skip = || ParquetStatisticsPolicy::SkipAll;
        match self {
            FooterPart::All => options,
            FooterPart::Columns => {
                options.with_encoding_stats_policy(skip()).with_size_stats_policy(skip())
            }
            FooterPart::Rows => options
                .with_encoding_stats_policy(skip())
                .with_size_stats_policy(skip())
                .with_column_stats_policy(skip()),
        }
    }
}

impl Lake {
    /// Reads the footer of the data file `object`, without page indexes: one request of the last
    /// 64 KiB for most files, and a second one for longer footers.
    ///
    /// # Errors
    /// [`DataFileError`].
    pub async fn footer(&self, object: &Object) -> Result<ParquetMetaData, DataFileError> {
        self.read_footer(object, FooterPart::All, |footer| footer).await
    }

    /// Returns the number of rows of the data file `object`, by its footer.
    ///
    /// # Errors
    /// [`DataFileError`].
    pub async fn row_count(&self, object: &Object) -> Result<u64, DataFileError> {
        let rows = |footer: ParquetMetaData| footer.file_metadata().num_rows();
        let rows = self.read_footer(object, FooterPart::Rows, rows).await?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    /// Reads the footer of `object` as [`Lake::footer`] does, and returns what `make` makes of it. It is
    /// parsed on a thread for blocking work, so that footers are parsed side by side.
    ///
    /// # Errors
    /// [`DataFileError`].
    pub(crate) async fn read_footer<T: Send + 'static>(
        &self,
        object: &Object,
        part: FooterPart,
        make: impl FnOnce(ParquetMetaData) -> T + Send + 'static,
    ) -> Result<T, DataFileError> {
        let bytes = object.bytes;
        if bytes < LEAST_BYTES {
            return Err(DataFileError::TooShort(bytes));
        }
        let path = self.path(&object.name)?;
        let mut decoder = ParquetMetaDataPushDecoder::try_new(bytes)?
            .with_page_index_policy(PageIndexPolicy::Skip)
            .with_metadata_options(Some(Arc::new(part.options())));
        let tail = bytes.saturating_sub(TAIL_BYTES)..bytes;
        if let Location::Local(root) = &self.location {
            let file = root.join(&object.name);
            let parse = move || parse(decoder, bytes, tail, |ranges| read_local(&file, ranges));
            return on_a_thread(move || parse().map(make)).await;
        }
        let read = self.store.get_range(&path, tail.clone()).await.map_err(|e| self.failed(e))?;
        decoder.push_range(tail, read)?;
        let mut make = Some(make);
        loop {
            let made = make.take();
            let step = on_a_thread(move || {
                Ok(match decoder.try_decode()? {
                    DecodeResult::NeedsData(ranges) => Step::Reads(Box::new(decoder), ranges, made),
                    DecodeResult::Data(footer) => match made {
                        Some(make) => Step::Done(make(footer)),
                        None => return Err(DataFileError::TooShort(bytes)),
                    },
                    DecodeResult::Finished => return Err(DataFileError::TooShort(bytes)),
                })
            });
            match step.await? {
                Step::Done(made) => return Ok(made),
                Step::Reads(again, ranges, made) => {
                    (decoder, make) = (*again, made);
                    inside(&ranges, bytes)?;
                    let read: Vec<Bytes> =
                        self.store.get_ranges(&path, &ranges).await.map_err(|e| self.failed(e))?;
                    decoder.push_ranges(ranges, read)?;
                }
            }
        }
    }
}

/// A step of reading a footer: it is parsed, or more of the file is needed.
enum Step<T, F> {
    Done(T),
    Reads(Box<ParquetMetaDataPushDecoder>, Vec<Range<u64>>, Option<F>),
}

/// Parses the footer at the end of a file of `bytes`.
fn parse(
    mut decoder: ParquetMetaDataPushDecoder,
    bytes: u64,
    tail: Range<u64>,
    read: impl Fn(&[Range<u64>]) -> Result<Vec<Bytes>, StoreError>,
) -> Result<ParquetMetaData, DataFileError> {
    let mut ranges = vec![tail];
    loop {
        let parts = read(&ranges)?;
        decoder.push_ranges(ranges, parts)?;
        ranges = match decoder.try_decode()? {
            DecodeResult::Data(footer) => return Ok(footer),
            DecodeResult::Finished => return Err(DataFileError::TooShort(bytes)),
            DecodeResult::NeedsData(ranges) => ranges,
        };
        inside(&ranges, bytes)?;
    }
}

fn inside(ranges: &[Range<u64>], bytes: u64) -> Result<(), DataFileError> {
    match ranges.iter().find(|range| range.end > bytes) {
        Some(outside) => Err(DataFileError::Outside(outside.clone(), bytes)),
        None => Ok(()),
    }
}

fn read_local(path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
    let failed = |source| StoreError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let read = |range: &Range<u64>| {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, range.start).map_err(failed)?;
        Ok(Bytes::from(bytes))
    };
    ranges.iter().map(read).collect()
}

async fn on_a_thread<T, F>(work: F) -> Result<T, DataFileError>
where
    F: FnOnce() -> Result<T, DataFileError> + Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => Err(ParquetError::General(panic.to_string()).into()),
    }
}
