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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Decoder;
    use crate::record::{Body, Form, Micros, Roll, Seq};
    use crate::schema::TableSchema;

    fn rows() -> RecordBatch {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let mut decoder = Decoder::new(schema, "n".into());
        let line = |n: usize| {
            let actions =
                r#"{"name":"a","duration":1,"stringProperties":[{"key":"k"}]},"#.repeat(n % 4);
            let actions = actions.trim_end_matches(',');
            format!(
                "{{\"userSessionId\":\"{n}\",\"startTime\":{n},\"bounce\":{},\"new\":[{n}],\
                 \"userActions\":[{actions}],\"stringTags\":{{\"t\":\"{n}\"}}}}\n",
                n.is_multiple_of(3)
            )
        };
        let bytes: String = (0..50).map(line).collect();
        decoder.push(&Body {
            seq: Seq(1),
            received_at: Micros(1),
            table: "user_sessions".into(),
            form: Form::Ndjson,
            first_line: 1,
            bytes: bytes.into(),
        });
        decoder.finish().batch
    }

    #[test]
    fn what_was_parked_comes_back_whole_or_in_slices() {
        let staging = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(path(staging.path(), Roll(1)));
        let rows = rows();
        assert_eq!(rows.num_rows(), 50);
        let slices = [(0, 50), (0, 1), (13, 9), (49, 1), (3, 0)].map(|(at, n)| rows.slice(at, n));
        let parked: Vec<Parked> = slices.iter().map(|s| spill.park(s).unwrap()).collect();
        assert_eq!(spill.bytes(), parked.iter().map(|parked| parked.len).sum::<u64>());
        for (slice, parked) in slices.iter().zip(&parked).rev() {
            assert_eq!(spill.fetch(parked, &rows.schema()).unwrap(), *slice);
        }
        // A slice does not bring the rest along.
        assert!(parked[1].len < parked[0].len / 4, "{parked:?}");

        spill.clear(path(staging.path(), Roll(2)));
        assert_eq!(spill.bytes(), 0);
        assert_eq!(std::fs::read_dir(staging.path()).unwrap().count(), 0);
        let error = spill.fetch(&parked[0], &rows.schema()).unwrap_err();
        assert!(error.to_string().contains("2-parked"), "{error}");
        let again = spill.park(&slices[2]).unwrap();
        assert_eq!(spill.fetch(&again, &rows.schema()).unwrap(), slices[2]);
    }

    #[test]
    fn a_file_that_was_cut_is_an_error_with_its_name() {
        let staging = tempfile::tempdir().unwrap();
        let at = path(staging.path(), Roll(7));
        let mut spill = Spill::new(at.clone());
        let rows = rows();
        let parked = spill.park(&rows).unwrap();
        File::options().write(true).open(&at).unwrap().set_len(parked.len / 2).unwrap();
        let error = spill.fetch(&parked, &rows.schema()).unwrap_err();
        assert!(error.to_string().contains("7-parked"), "{error}");
    }
}
