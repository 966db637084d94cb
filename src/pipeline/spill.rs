//! Rows of the open roll that wait on disk: batches in the staging directory, written one after the
//! other and read back once.
//!
//! ```text
//! length of the buffers, u64 little-endian │ buffers │ message
//! ```
//! Buffers and message are those of Arrow's IPC
//! (<https://arrow.apache.org/docs/format/Columnar.html>); where they are, whoever parked them
//! remembers. Nothing here must survive: a roll that is not committed is made again from the
//! journal. So nothing is synced, and what is read is what this process wrote a moment ago, mostly
//! from the page cache.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};

use crate::batch::Parked;

/// Bytes before each batch: how long its buffers are. A multiple of 8, as places in memory are that
/// numbers are read at.
const LENGTH: usize = 8;

/// The file, while there is one.
pub(super) struct Spill {
    path: PathBuf,
    file: Option<File>,
    end: u64,
}

impl Spill {
    /// Nothing yet. The file will be `path`.
    pub(super) fn new(path: PathBuf) -> Spill {
        Spill { path, file: None, end: 0 }
    }

    /// Bytes in the file.
    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    /// Writes the rows of `batch`.
    pub(super) fn park(&mut self, batch: &RecordBatch) -> anyhow::Result<Parked> {
        let options = IpcWriteOptions::try_new(8, false, arrow::ipc::MetadataVersion::V5)?;
        // No schema has dictionaries.
        let mut dictionaries = DictionaryTracker::new(true);
        let (_, encoded) = IpcDataGenerator {}.encode(
            batch,
            &mut dictionaries,
            &options,
            &mut Default::default(),
        )?;
        let (message, buffers) = (&encoded.ipc_message, &encoded.arrow_data);
        let length = (buffers.len() as u64).to_le_bytes();
        let bytes = length.len() + buffers.len() + message.len();
        let parked = Parked { offset: self.end, len: bytes as u64, bytes };
        self.write(&[&length, buffers, message])
            .with_context(|| self.path.display().to_string())?;
        self.end += parked.len;
        Ok(parked)
    }

    fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => File::options().read(true).write(true).create_new(true).open(&self.path)?,
        };
        for part in parts {
            file.write_all(part)?;
        }
        self.file = Some(file);
        Ok(())
    }

    /// The rows that were parked there, which are of `schema`.
    pub(super) fn fetch(&self, parked: &Parked, schema: &SchemaRef) -> anyhow::Result<RecordBatch> {
        self.read(parked, schema).with_context(|| {
            format!("{}, {} bytes at {}", self.path.display(), parked.len, parked.offset)
        })
    }

    fn read(&self, parked: &Parked, schema: &SchemaRef) -> anyhow::Result<RecordBatch> {
        let file = self.file.as_ref().context("nothing was parked")?;
        let mut bytes = vec![0; usize::try_from(parked.len)?];
        file.read_exact_at(&mut bytes, parked.offset)?;
        let torn = || anyhow!("not what was parked there");
        // The arrays will be parts of this, and not copied.
        let all = Buffer::from_vec(bytes);
        let (length, rest) = all.as_slice().split_first_chunk::<LENGTH>().ok_or_else(torn)?;
        let length = usize::try_from(u64::from_le_bytes(*length))?;
        let (_, message) = rest.split_at_checked(length).ok_or_else(torn)?;
        let message = root_as_message(message).map_err(|error| anyhow!("{error}"))?;
        let batch = message.header_as_record_batch().ok_or_else(torn)?;
        let (buffers, schema) = (all.slice_with_length(LENGTH, length), SchemaRef::clone(schema));
        let none = HashMap::new();
        Ok(read_record_batch(&buffers, batch, schema, &none, None, &message.version())?)
    }

    /// Forgets what was parked, and begins anew at `path`.
    pub(super) fn clear(&mut self, path: PathBuf) {
        if self.file.take().is_some() {
            // What cannot be removed now is with the staging directory.
            let _ = std::fs::remove_file(&self.path);
        }
        (self.path, self.end) = (path, 0);
    }
}

/// The name of a roll's file in the staging directory.
pub(super) fn path(staging: &Path, roll: crate::record::Roll) -> PathBuf {
    staging.join(format!("{roll}-parked"))
}
