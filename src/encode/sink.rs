//! A staging file that is open, and has a buffer, only while a row group is written to it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The size of writes to the file, in bytes.
const WRITE_BYTES: usize = 256 * 1024;

/// A buffered writer of one staging file. Between row groups it holds neither file nor buffer.
pub(super) struct Sink {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl Sink {
    /// Creates the file `path`.
    ///
    /// # Errors
    /// The file exists already, or cannot be created.
    pub(super) fn create(path: &Path) -> io::Result<Sink> {
        let file = File::options().write(true).create_new(true).open(path)?;
        Ok(Sink { path: path.to_owned(), file: Some(file), buffer: Vec::new() })
    }

    /// Writes the buffer out, frees it and closes the file, until the next write opens it again.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub(super) fn release(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        if !buffer.is_empty() {
            self.file()?.write_all(&buffer)?;
        }
        self.file = None;
        Ok(())
    }

    fn file(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::options().append(true).open(&self.path)?,
        };
        Ok(self.file.insert(file))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > WRITE_BYTES {
            let mut buffer = std::mem::take(&mut self.buffer);
            self.file()?.write_all(&buffer)?;
            buffer.clear();
            self.buffer = buffer;
        }
        if bytes.len() > WRITE_BYTES {
            self.file()?.write_all(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    /// Does nothing: the Parquet writer flushes more often than pays, so only [`Sink::release`]
    /// writes the buffer out.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
