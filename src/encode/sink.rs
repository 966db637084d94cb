//! A staging file that is open, and has a buffer, only while something is written to it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Bytes that go to the file at a time.
const WRITE_BYTES: usize = 256 * 1024;

pub(super) struct Sink {
    path: PathBuf,
    file: Option<File>,
    waiting: Vec<u8>,
}

impl Sink {
    /// Begins the file `path`, which must not exist.
    pub(super) fn create(path: &Path) -> io::Result<Sink> {
        let file = File::options().write(true).create_new(true).open(path)?;
        Ok(Sink { path: path.to_owned(), file: Some(file), waiting: Vec::new() })
    }

    /// Writes what waits, and lets go of buffer and file.
    pub(super) fn rest(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.file()?.write_all(&waiting)?;
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
        if self.waiting.len() + bytes.len() > WRITE_BYTES {
            let mut waiting = std::mem::take(&mut self.waiting);
            self.file()?.write_all(&waiting)?;
            waiting.clear();
            self.waiting = waiting;
        }
        if bytes.len() > WRITE_BYTES {
            self.file()?.write_all(bytes)?;
        } else {
            self.waiting.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    /// Only [`Sink::rest`] writes what waits: the writer flushes more often than is good for it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
